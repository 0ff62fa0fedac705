//! Connections for plugins: a name is resolved once, and what was checked is what is connected to. Certificates are
//! checked against the system's roots.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock},
};

use akita_sandbox::HttpFailure;
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, pki_types::ServerName},
};

use super::allow::Target;

/// Bytes of a response's head.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// Addresses of a name that are tried.
const MAX_ADDRESSES: usize = 8;

/// A request's body, bounded.
pub type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;
/// What reads and writes until the connection ends.
pub type Connection = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// The addresses of a host.
///
/// # Errors
/// The name means none.
pub async fn resolve(target: &Target) -> Result<Vec<SocketAddr>, HttpFailure> {
    if let Ok(address) = target.host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, target.port)]);
    }
    let found = lookup_host((target.host.as_str(), target.port)).await;
    let found: Vec<_> = found.map_err(|error| HttpFailure::Dns(error.to_string()))?.take(MAX_ADDRESSES).collect();
    if found.is_empty() { Err(HttpFailure::Dns(format!("{} has no address", target.host))) } else { Ok(found) }
}

/// Connects to the first of the addresses that answers.
///
/// # Errors
/// None of them does, or it is not who it should be.
pub async fn open(
    target: &Target,
    addresses: &[SocketAddr],
    tls: bool,
) -> Result<(SendRequest<Body>, Connection), HttpFailure> {
    let stream = TcpStream::connect(addresses).await.map_err(|error| HttpFailure::Connection(error.to_string()))?;
    // A request is one or two writes; nothing is gained by holding them back.
    let _ = stream.set_nodelay(true);
    if !tls {
        return speak(stream).await;
    }
    let failed = |error: &dyn std::fmt::Display| HttpFailure::Tls(error.to_string());
    let config =
        tokio::task::spawn_blocking(trust).await.map_err(|error| failed(&error))?.map_err(|why| failed(&why))?;
    let name = ServerName::try_from(target.host.clone()).map_err(|error| failed(&error))?;
    let stream = TlsConnector::from(config).connect(name, stream).await.map_err(|error| failed(&error))?;
    speak(stream).await
}

async fn speak<S>(stream: S) -> Result<(SendRequest<Body>, Connection), HttpFailure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shaken = Builder::new().max_buf_size(MAX_HEAD_BYTES).handshake(TokioIo::new(stream)).await;
    let (sender, connection) = shaken.map_err(|error| broken(&error))?;
    let connection = async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a plugin's connection broke");
        }
    };
    Ok((sender, Box::pin(connection)))
}

/// Whom to trust: the system's roots, read once. Blocks.
fn trust() -> Result<Arc<ClientConfig>, String> {
    static CONFIG: OnceLock<Result<Arc<ClientConfig>, String>> = OnceLock::new();
    CONFIG.get_or_init(read_roots).clone()
}

fn read_roots() -> Result<Arc<ClientConfig>, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(found.certs);
    if taken == 0 {
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        return Err(format!("the system has no root certificates{why}: install the package ca-certificates"));
    }
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// What HTTP itself says of a failure.
pub fn broken(error: &hyper::Error) -> HttpFailure {
    if error.is_parse() || error.is_incomplete_message() || error.is_user() {
        HttpFailure::Protocol(error.to_string())
    } else {
        HttpFailure::Connection(error.to_string())
    }
}
