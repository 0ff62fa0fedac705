//! HTTP for plugins: each request is checked against the hosts that the operator named, its name is resolved once, and the
//! connection goes to an address that was checked. Redirects come back to the plugin, so that each hop is checked as a
//! request of its own. It follows nothing, keeps no cookie and no connection.

mod allow;
mod body;
mod connect;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use akita_sandbox::{HostFuture, HttpBody, HttpFailure, HttpHost, HttpTimeouts};
use http::{
    HeaderValue, Method, Request, Response, Uri,
    header::{CONNECTION, HOST, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE, USER_AGENT},
};
use http_body_util::{BodyExt, Limited};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::task::AbortOnDropHandle;

pub use allow::HostEntry;
use allow::{Target, address, is_name};

/// Bytes of one response's body, unless the grant says otherwise: as the largest blob.
pub const DEFAULT_RESPONSE_BYTES: u64 = 16 << 20;
/// Bytes of one request's body: as much in the other direction.
const MAX_REQUEST_BYTES: usize = 16 << 20;
/// Requests of one plugin at once on this node; more wait.
const AT_ONCE: usize = 16;
/// For the name and the connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// For the answer to begin, and between two pieces of it. The task's own limit is mostly shorter.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// What a request says of itself unless the plugin says something else.
const AGENT: &str = concat!("akita/", env!("CARGO_PKG_VERSION"));

/// Sends requests for one plugin.
pub struct PluginHttp {
    plugin: String,
    hosts: Arc<[HostEntry]>,
    response_bytes: u64,
    runtime: Handle,
    room: Arc<Semaphore>,
}

impl PluginHttp {
    /// For the plugin of that name, to these hosts, on the present runtime.
    pub fn new(plugin: String, hosts: Arc<[HostEntry]>, response_bytes: u64) -> PluginHttp {
        PluginHttp {
            plugin,
            hosts,
            response_bytes,
            runtime: Handle::current(),
            room: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }
}

impl HttpHost for PluginHttp {
    fn send(
        &self,
        request: Request<HttpBody>,
        timeouts: HttpTimeouts,
    ) -> HostFuture<'static, Result<Response<HttpBody>, HttpFailure>> {
        let errand = Errand {
            plugin: self.plugin.clone(),
            hosts: Arc::clone(&self.hosts),
            response_bytes: self.response_bytes,
            connect: timeouts.connect.unwrap_or(CONNECT_TIMEOUT).min(ANSWER_TIMEOUT),
            first_byte: timeouts.first_byte.unwrap_or(ANSWER_TIMEOUT),
            between_bytes: timeouts.between_bytes.unwrap_or(ANSWER_TIMEOUT),
        };
        let (runtime, room) = (self.runtime.clone(), Arc::clone(&self.room));
        Box::pin(async move {
            let turn = room.acquire_owned().await.expect("it is never closed");
            // On the node's runtime, which has sockets; stopped with the run.
            let sending = AbortOnDropHandle::new(runtime.spawn(errand.run(request, turn)));
            sending.await.unwrap_or_else(|error| Err(HttpFailure::Connection(error.to_string())))
        })
    }
}

/// One request and how long it may take.
struct Errand {
    plugin: String,
    hosts: Arc<[HostEntry]>,
    response_bytes: u64,
    connect: Duration,
    first_byte: Duration,
    between_bytes: Duration,
}

impl Errand {
    async fn run(
        self,
        request: Request<HttpBody>,
        turn: OwnedSemaphorePermit,
    ) -> Result<Response<HttpBody>, HttpFailure> {
        let begun = Instant::now();
        let (target, tls) = target(request.method(), request.uri())
            .and_then(|(target, tls)| {
                let named = target.is_named(&self.hosts);
                let denied = || format!("{}:{} is not among the hosts of its grant", target.host, target.port);
                if named { Ok((target, tls)) } else { Err(denied()) }
            })
            .map_err(|why| self.deny(why))?;
        let method = request.method().clone();
        let answered = self.exchange(request, &target, tls, turn).await;
        let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (plugin, host, port) = (&self.plugin, &target.host, target.port);
        match &answered {
            Ok(response) => {
                let status = response.status().as_u16();
                tracing::debug!(plugin, %method, host, port, status, took_ms, "a plugin's request was answered");
            }
            Err(error) => tracing::debug!(plugin, %method, host, port, %error, took_ms, "a plugin's request failed"),
        }
        answered
    }

    fn deny(&self, why: String) -> HttpFailure {
        tracing::info!(plugin = self.plugin, why, "a plugin's request was not sent");
        HttpFailure::Denied(why)
    }

    async fn exchange(
        &self,
        request: Request<HttpBody>,
        target: &Target,
        tls: bool,
        turn: OwnedSemaphorePermit,
    ) -> Result<Response<HttpBody>, HttpFailure> {
        let connecting = async {
            let addresses = connect::resolve(target).await?;
            let reachable: Vec<_> =
                addresses.into_iter().filter(|one| target.may_reach(one.ip(), &self.hosts)).collect();
            if reachable.is_empty() {
                let why = format!(
                    "{} is at no public address, and only an address that is named itself may be another",
                    target.host
                );
                return Err(self.deny(why));
            }
            connect::open(target, &reachable, tls).await
        };
        let connected = tokio::time::timeout(self.connect, connecting).await;
        let (mut sender, connection) = connected.map_err(|_elapsed| HttpFailure::Timeout)??;
        // Whoever reads the answer drives the connection; both end together.
        let connection = AbortOnDropHandle::new(tokio::spawn(connection));
        let request = plain(request, target)?;
        let answer = tokio::time::timeout(self.first_byte, sender.send_request(request)).await;
        let answer = answer.map_err(|_elapsed| HttpFailure::Timeout)?.map_err(|error| connect::broken(&error))?;
        let bounds = body::Bounds { bytes: self.response_bytes, pause: self.between_bytes };
        Ok(answer.map(|body| body::pump(body, bounds, (connection, sender, turn))))
    }
}

/// Whom a request is for, and whether it goes there in secret.
fn target(method: &Method, uri: &Uri) -> Result<(Target, bool), String> {
    if method == Method::CONNECT {
        return Err("CONNECT makes a tunnel, and nothing behind it could be checked".to_owned());
    }
    let (usual, tls) = match uri.scheme_str() {
        Some("http") => (80, false),
        Some("https") => (443, true),
        other => return Err(format!("`{}` is neither http nor https", other.unwrap_or_default())),
    };
    let authority = uri.authority().ok_or("the request names no host")?;
    if authority.as_str().contains('@') {
        return Err("a name and password have no place in an address".to_owned());
    }
    let port = match authority.port() {
        Some(port) => port.as_u16(),
        None => usual,
    };
    let host = authority.host().trim_end_matches('.').to_ascii_lowercase();
    let host = match address(&host) {
        Some(address) => address.to_string(),
        None if is_name(&host) => host,
        None => return Err(format!("`{host}` is neither a name nor an address")),
    };
    Ok((Target { host, port, usual }, tls))
}

/// The request as it goes over a connection of its own.
fn plain(request: Request<HttpBody>, target: &Target) -> Result<Request<connect::Body>, HttpFailure> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let invalid = |error: &dyn std::fmt::Display| HttpFailure::Protocol(error.to_string());
    parts.uri = path.parse().map_err(|error: http::uri::InvalidUri| invalid(&error))?;
    // What is said of the connection is the host's to say.
    for name in [CONNECTION, UPGRADE, TE, TRANSFER_ENCODING, PROXY_AUTHORIZATION] {
        parts.headers.remove(name);
    }
    let bare = if target.host.contains(':') { format!("[{}]", target.host) } else { target.host.clone() };
    let host = if target.port == target.usual { bare } else { format!("{bare}:{}", target.port) };
    let host = HeaderValue::try_from(host).map_err(|error| invalid(&error))?;
    parts.headers.insert(HOST, host);
    parts.headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
    let body = Limited::new(body, MAX_REQUEST_BYTES).boxed_unsync();
    Ok(Request::from_parts(parts, body))
}

#[cfg(test)]
mod tests;
