//! The listener and its connections: bounded in number, in time and for each address, and ended in order. It knows
//! nothing of what is served.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::REQUEST_TIMEOUT;
use super::guard::Peer;
use super::routes::Ending;

/// Open connections. Half of the 1,024 files that most systems let a process open; further ones wait in the
/// system's queue.
pub const MAX_CONNECTIONS: usize = 512;

/// Of these from one address that is not loopback, so that one slow or hostile machine leaves room for the others.
pub const MAX_CONNECTIONS_PER_ADDRESS: usize = 64;

/// The head of a request must have come after this time. A kept-alive connection on which nothing comes is closed
/// after it too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of a head, and of what is read ahead of a body.
const HEAD_BYTES: usize = 64 << 10;

/// A connection is closed after this time, as soon as its request is answered: who reads answers too slowly, or
/// not at all, does not hold it for ever.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(600);

/// How long requests that run may take to end after the node was told to stop. Long polls end at once, and nothing
/// that was committed is lost with a connection.
pub const STOP_GRACE: Duration = Duration::from_secs(5);

/// A pause after the system refused a connection, mostly for want of files: it will not be better at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Why the API cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody listens there.
    #[error("cannot listen on {address} for the API: the port is taken")]
    Taken {
        /// The address.
        address: SocketAddr,
    },
    /// Not ours to use.
    #[error("cannot listen on {address} for the API: not permitted")]
    Denied {
        /// The address.
        address: SocketAddr,
    },
    /// No interface has it.
    #[error("cannot listen on {address} for the API: this machine has no such address")]
    NoSuchAddress {
        /// The address.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("cannot listen on {address} for the API: {source}")]
    Other {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

impl BindError {
    /// The next step.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Taken { .. } => {
                "is a node running already? see: akita status; or choose another port with --api-port (0 takes a free one)"
            }
            Self::Denied { .. } => "ports below 1024 need privileges; choose a higher one with --api-port",
            Self::NoSuchAddress { .. } => "choose an address of this machine with --api-host, such as 127.0.0.1",
            Self::Other { .. } => "check --api-host and --api-port, or run without the API: --no-api-server",
        }
    }
}

/// Listens on that address; port 0 takes a free one.
///
/// # Errors
/// When the system does not let us.
pub async fn bind(host: IpAddr, port: u16) -> Result<TcpListener, BindError> {
    let address = SocketAddr::new(host, port);
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::Taken { address },
        io::ErrorKind::PermissionDenied => BindError::Denied { address },
        io::ErrorKind::AddrNotAvailable => BindError::NoSuchAddress { address },
        _ => BindError::Other { address, source },
    })
}

/// Serves until `cancel` is cancelled. Then it takes no more connections at once, ends long polls, and returns when
/// the running requests have been answered, or after [`STOP_GRACE`].
pub async fn serve(listener: TcpListener, router: Router, cancel: CancellationToken) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let crowd = Crowd::default();
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = cancel.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let (stream, peer, place) = accepted;
        let Some(member) = crowd.enter(peer.ip()) else {
            tracing::debug!(%peer, "closed a connection: its address has {MAX_CONNECTIONS_PER_ADDRESS} of them");
            continue;
        };
        let (router, cancel) = (router.clone(), cancel.clone());
        connections.spawn(async move {
            let _held = (place, member);
            connection(stream, peer, router, cancel).await;
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// The next connection, when there is a place for it.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    let place = Arc::clone(places).acquire_owned().await.expect("it is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, place),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot take a connection to the API");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whether the fault is that of a client which went away again.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn connection(stream: TcpStream, peer: SocketAddr, router: Router, cancel: CancellationToken) {
    // Answers are small and whole: waiting to fill a packet would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "cannot switch TCP_NODELAY on");
    }
    let ending = Ending(cancel.clone());
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        request.extensions_mut().insert(ending.clone());
        router.call(request)
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    tokio::select! {
        ended = serving.as_mut() => return note(peer, ended),
        () = cancel.cancelled() => {}
        () = tokio::time::sleep(CONNECTION_LIFETIME) => {}
    }
    serving.as_mut().graceful_shutdown();
    tokio::select! {
        ended = serving => note(peer, ended),
        () = over(cancel) => tracing::debug!(%peer, "cut a connection whose request did not end in time"),
    }
}

/// Waits for as long as a closing connection may take.
async fn over(cancel: CancellationToken) {
    if tokio::time::timeout(REQUEST_TIMEOUT, cancel.cancelled()).await.is_ok() {
        tokio::time::sleep(STOP_GRACE).await;
    }
}

fn note(peer: SocketAddr, ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::trace!(%peer, %error, "a connection to the API broke off");
    }
}

/// How many connections each address has. Loopback is not counted: everybody of this machine shares it.
#[derive(Clone, Default)]
struct Crowd(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A connection that is counted, until it is dropped.
struct Member {
    crowd: Crowd,
    address: IpAddr,
}

impl Crowd {
    fn enter(&self, address: IpAddr) -> Option<Member> {
        let address = address.to_canonical();
        if !address.is_loopback() {
            let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let count = counts.entry(address).or_default();
            if *count >= MAX_CONNECTIONS_PER_ADDRESS {
                return None;
            }
            *count += 1;
        }
        Some(Member { crowd: self.clone(), address })
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if self.address.is_loopback() {
            return;
        }
        let mut counts = self.crowd.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_leaves_room_for_others_and_gives_its_places_back() {
        let crowd = Crowd::default();
        let (one, other): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let members: Vec<Member> = (0..MAX_CONNECTIONS_PER_ADDRESS).filter_map(|_| crowd.enter(one)).collect();
        assert_eq!(members.len(), MAX_CONNECTIONS_PER_ADDRESS);
        assert!(crowd.enter(one).is_none());
        assert!(crowd.enter(other).is_some());
        drop(members);
        assert!(crowd.enter(one).is_some());
        assert!(crowd.0.lock().expect("not poisoned").is_empty());
    }

    #[test]
    fn loopback_is_not_counted() {
        let crowd = Crowd::default();
        let members: Vec<_> = (0..MAX_CONNECTIONS).filter_map(|_| crowd.enter([127, 0, 0, 1].into())).collect();
        assert_eq!(members.len(), MAX_CONNECTIONS);
    }
}
