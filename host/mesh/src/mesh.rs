//! The handle that the rest of a node holds: start, announce, call, look, stop.
//!
//! Never blocks and never touches the Reticulum library: everything goes to the engine's thread.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::sync::oneshot;

use crate::engine::{self, Command, Input, ReplyTo, Shared};
use crate::interfaces::{Bound, Interfaces, InterfacesError};
use crate::{CallError, Identity, MAX_ANNOUNCE, MAX_BODY, PeerId, PeerInfo};

/// How long `shutdown` waits for the links' last frames; a slow radio may need longer, and then peers find out later.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(5);

/// What a mesh needs to start.
pub struct MeshConfig {
    /// Who this node is.
    pub identity: Identity,
    /// How it reaches others.
    pub interfaces: Interfaces,
    /// Folder for files of the Reticulum library; made if missing.
    pub state_dir: PathBuf,
    /// Time between two announces, spread by a fifth either way.
    pub announce_interval: Duration,
    /// Numbers that tests change and others leave.
    pub tuning: Tuning,
}

/// Numbers with good defaults.
#[derive(Debug, Clone)]
pub struct Tuning {
    /// TCP port on 127.0.0.1 where nodes of one machine meet when no mesh option is given. Below 32768, where Linux
    /// starts to hand out ports by itself.
    pub local_port: u16,
    /// Longest wait between two attempts to reach a TCP peer.
    pub reconnect_max: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { local_port: 24_842, reconnect_max: Duration::from_secs(3) }
    }
}

/// Why a mesh did not start, or did not announce.
#[derive(Debug, thiserror::Error)]
pub enum MeshError {
    /// An interface or a configuration is wrong.
    #[error(transparent)]
    Interfaces(#[from] InterfacesError),
    /// The Reticulum library did not start.
    #[error("the Reticulum node did not start: {0}; check the Reticulum configuration and that {1} is writable")]
    Node(String, String),
    /// More than an announce can carry.
    #[error("an announce carries at most {MAX_ANNOUNCE} bytes, these are {0}")]
    AnnounceTooLarge(usize),
    /// The mesh was shut down.
    #[error("the mesh is shut down")]
    Closed,
}

/// What happens on the mesh, in order.
#[derive(Debug)]
pub enum Event {
    /// A peer announced itself; never this node itself. The payload is signed by the peer, and may be old.
    Announced {
        /// Who.
        peer: PeerId,
        /// What it says.
        app_data: Vec<u8>,
        /// Hops away; 1 is a direct neighbour.
        hops: u8,
    },
    /// A link to the peer is up and both ends know each other.
    Connected {
        /// Who.
        peer: PeerId,
    },
    /// The last link to the peer was closed or lost, or the peer has restarted.
    Disconnected {
        /// Who.
        peer: PeerId,
    },
    /// A peer calls. Only from a peer that has proved its identity.
    Request(Request),
}

/// A call from a peer. Dropped without an answer it leaves the caller waiting until its deadline.
#[derive(Debug)]
pub struct Request {
    /// Who calls.
    pub peer: PeerId,
    /// What it sent.
    pub body: Vec<u8>,
    pub(crate) reply_to: ReplyTo,
}

impl Request {
    /// Answers. An answer over [`MAX_BODY`] is not sent, and logged: the caller times out.
    pub fn respond(self, body: Vec<u8>) {
        if body.len() > MAX_BODY {
            tracing::error!(peer = %self.peer, bytes = body.len(), "an answer is over the limit of {MAX_BODY} bytes and is not sent");
            return;
        }
        self.reply_to.send(self.peer, body);
    }
}

/// Bytes that crossed the node's interfaces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WireBytes {
    /// Sent, lost ones included.
    pub sent: u64,
    /// Received.
    pub received: u64,
}

/// A running mesh. Clones are the same mesh; it stops with [`Mesh::shutdown`], or when the last clone is gone.
#[derive(Clone)]
pub struct Mesh(Arc<Inner>);

struct Inner {
    identity: Identity,
    engine: Sender<Input>,
    shared: Arc<Shared>,
    bound: Bound,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let _ = self.engine.send(Input::Command(Command::Shutdown(None)));
    }
}

impl Mesh {
    /// Starts the mesh; returns when its interfaces are bound.
    ///
    /// # Errors
    /// An address in use, a configuration that does not parse, or a library that does not start.
    pub async fn start(config: MeshConfig) -> Result<(Self, UnboundedReceiver<Event>), MeshError> {
        let (events, receiver) = mpsc::unbounded_channel();
        let identity = config.identity.clone();
        let (engine, shared, bound) = engine::start(config, events).await?;
        Ok((Self(Arc::new(Inner { identity, engine, shared, bound })), receiver))
    }

    /// This node's name on the mesh.
    pub fn id(&self) -> PeerId {
        self.0.identity.id()
    }

    /// This node's public keys: X25519, then Ed25519.
    pub fn public_key(&self) -> [u8; 64] {
        self.0.identity.public_key()
    }

    /// Sets what is announced, and announces it as soon as the rate limit lets it: now, then at the interval, and soon
    /// after an interface comes up or a new peer is heard.
    ///
    /// # Errors
    /// More than [`MAX_ANNOUNCE`] bytes, or the mesh is shut down.
    pub fn announce(&self, app_data: Vec<u8>) -> Result<(), MeshError> {
        if app_data.len() > MAX_ANNOUNCE {
            return Err(MeshError::AnnounceTooLarge(app_data.len()));
        }
        self.command(Command::Announce(app_data)).map_err(|()| MeshError::Closed)
    }

    /// One request, one answer.
    ///
    /// Opens a link if there is none, and retries until the deadline. The peer runs a request at most once, however
    /// often it is sent.
    ///
    /// # Errors
    /// See [`CallError`]. After any error but `TooLarge` and `Unreachable` the peer may have run the request.
    pub async fn call(&self, peer: PeerId, body: Vec<u8>, deadline: Duration) -> Result<Vec<u8>, CallError> {
        if body.len() > MAX_BODY {
            return Err(CallError::TooLarge { size: body.len(), limit: MAX_BODY });
        }
        let (reply, answer) = oneshot::channel();
        let deadline = Instant::now() + deadline.min(engine::MAX_DEADLINE);
        self.command(Command::Call { peer, body, deadline, reply }).map_err(|()| CallError::Closed)?;
        answer.await.unwrap_or(Err(CallError::Closed))
    }

    /// What is known of one peer.
    pub fn peer(&self, peer: PeerId) -> Option<PeerInfo> {
        self.0.shared.peers.info(peer)
    }

    /// What is known of all peers, ordered by id.
    pub fn peers(&self) -> Vec<PeerInfo> {
        self.0.shared.peers.all()
    }

    /// A peer's public keys (X25519, then Ed25519), once it was heard.
    pub fn peer_public_key(&self, peer: PeerId) -> Option<[u8; 64]> {
        self.0.shared.peers.read(peer, |record| record.public_key).flatten()
    }

    /// Closes the links to a peer; calls to it that wait fail.
    pub fn disconnect(&self, peer: PeerId) {
        let _ = self.command(Command::Disconnect(peer));
    }

    /// The interfaces in one line, for a log.
    pub fn describe(&self) -> String {
        self.0.bound.description.clone()
    }

    /// Addresses that this node listens on, with the port the system chose where 0 was asked for.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.0.bound.addresses.clone()
    }

    /// Bytes on the wire so far. Exact for a memory interface; otherwise what the interfaces that are up have counted,
    /// as of at most a second ago.
    pub fn wire_bytes(&self) -> WireBytes {
        self.0.shared.wire_bytes()
    }

    /// Closes the links, so that peers notice at once, and stops. Later calls fail with [`CallError::Closed`].
    pub async fn shutdown(&self) {
        let (done, stopped) = oneshot::channel();
        if self.command(Command::Shutdown(Some(done))).is_ok() {
            let _ = tokio::time::timeout(SHUTDOWN_WAIT, stopped).await;
        }
    }

    fn command(&self, command: Command) -> Result<(), ()> {
        self.0.engine.send(Input::Command(command)).map_err(|_| ())
    }
}
