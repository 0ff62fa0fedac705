//! `wasi:http/outgoing-handler`: hands a guest's request to the host, which decides whether it may go out. It opens no
//! connection and knows no address.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use wasmtime_wasi_http::{
    Error as WasiError, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

use super::HostFuture;
use crate::store::RunState;

/// Requests of one run: a loop must not become an attack on somebody's server.
const MAX_REQUESTS: u32 = 256;
/// Bytes of headers, as they lie in memory, of one request or response.
const MAX_HEADER_BYTES: usize = 32 << 10;

/// A body as it comes, piece by piece.
pub type HttpBody = UnsyncBoxBody<Bytes, HttpFailure>;

/// How long a guest is ready to wait; nothing: as long as its task may run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HttpTimeouts {
    /// For a connection.
    pub connect: Option<Duration>,
    /// For the first byte of the answer.
    pub first_byte: Option<Duration>,
    /// Between two pieces of the answer.
    pub between_bytes: Option<Duration>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpFailure {
    /// The operator does not allow it.
    #[error("{0}")]
    Denied(String),
    /// The name means no address.
    #[error("no address: {0}")]
    Dns(String),
    /// Nobody takes the connection, or it broke.
    #[error("no connection: {0}")]
    Connection(String),
    /// Too slow.
    #[error("no answer in time")]
    Timeout,
    /// The other side is not who it should be.
    #[error("no secure connection: {0}")]
    Tls(String),
    /// The answer has more bytes than are allowed, which are given.
    #[error("the answer is over the limit of {0} bytes")]
    TooLarge(u64),
    /// What came back is no HTTP.
    #[error("{0}")]
    Protocol(String),
}

/// What sends requests for one plugin. It runs on a runtime of the host: the guests' has no sockets.
pub trait HttpHost: Send + Sync + 'static {
    /// Sends a request, if it may go where it wants to; redirects are the guest's to follow, as requests of their own.
    fn send(
        &self,
        request: http::Request<HttpBody>,
        timeouts: HttpTimeouts,
    ) -> HostFuture<'static, Result<http::Response<HttpBody>, HttpFailure>>;
}

/// What wasmtime calls back; made once a guest uses HTTP.
pub(crate) struct Outgoing {
    ctx: WasiHttpCtx,
    hooks: Hooks,
}

struct Hooks {
    host: Option<Arc<dyn HttpHost>>,
    requests: u32,
}

impl Outgoing {
    pub(crate) fn new(host: Option<Arc<dyn HttpHost>>) -> Box<Outgoing> {
        let mut ctx = WasiHttpCtx::new();
        ctx.set_field_size_limit(MAX_HEADER_BYTES);
        Box::new(Outgoing { ctx, hooks: Hooks { host, requests: 0 } })
    }
}

impl WasiHttpView for RunState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let host = &self.hosts.http;
        let outgoing = self.outgoing.get_or_insert_with(|| Outgoing::new(host.clone()));
        let wasi = self.wasi.get_or_insert_with(|| crate::store::Wasi::empty(&self.events));
        WasiHttpCtxView { hooks: &mut outgoing.hooks, table: &mut wasi.table, ctx: &mut outgoing.ctx }
    }
}

type Finished = Box<dyn Future<Output = Result<(), WasiError>> + Send>;
type Sending = Box<dyn Future<Output = Result<(http::Response<WasiBody>, Finished), WasiError>> + Send>;

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Finished,
    ) -> Sending {
        self.requests += 1;
        let Some(host) = self.host.clone().filter(|_| self.requests <= MAX_REQUESTS) else {
            return Box::new(async { Err(WasiError::HttpRequestDenied) });
        };
        let timeouts = options.map_or_else(HttpTimeouts::default, |options| HttpTimeouts {
            connect: options.connect_timeout,
            first_byte: options.first_byte_timeout,
            between_bytes: options.between_bytes_timeout,
        });
        let request = request.map(|body| body.map_err(from_guest).boxed_unsync());
        Box::new(async move {
            let response = host.send(request, timeouts).await.map_err(to_guest)?;
            let response = response.map(|body| body.map_err(to_guest).boxed_unsync());
            let finished: Finished = Box::new(async { Ok(()) });
            Ok((response, finished))
        })
    }
}

/// A body that the guest gave up half-way.
fn from_guest(error: WasiError) -> HttpFailure {
    HttpFailure::Protocol(error.to_string())
}

fn to_guest(failure: HttpFailure) -> WasiError {
    match failure {
        HttpFailure::Denied(why) => {
            tracing::info!("a plugin's request was not sent: {why}");
            WasiError::HttpRequestDenied
        }
        HttpFailure::Dns(_) => WasiError::DestinationNotFound,
        HttpFailure::Connection(_) => WasiError::ConnectionRefused,
        HttpFailure::Timeout => WasiError::HttpResponseTimeout,
        HttpFailure::Tls(_) => WasiError::TlsProtocolError,
        HttpFailure::TooLarge(limit) => WasiError::HttpResponseBodySize(Some(limit)),
        HttpFailure::Protocol(_) => WasiError::HttpProtocolError,
    }
}
