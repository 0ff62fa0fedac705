//! `akita:plugin/mesh`: bounds what a guest asks, and passes it to the host. It knows no node and sends nothing.

use std::sync::Arc;
use std::time::Duration;

use super::HostFuture;
use crate::bindings::mesh;
use crate::store::RunState;

/// Longest message: with its envelope it goes over a radio link in a few packets.
pub const MAX_MESSAGE_BYTES: usize = 1_024;
/// Messages that one run may send: a loop must not fill the air.
const MAX_SENDS: u32 = 256;
/// Most peers in one answer: some tens of kilobytes.
const MAX_PEERS: usize = 256;
/// Digits of a node's identity.
const ID_DIGITS: usize = 32;

/// A node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeshNode {
    /// Its identity, 32 hexadecimal digits.
    pub id: String,
    /// Its name, for people.
    pub name: String,
}

/// Another node, as this one saw it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeshPeer {
    /// Who it is.
    pub node: MeshNode,
    /// Links between the two, where that is known.
    pub hops: Option<u8>,
    /// Milliseconds there and back, once that was measured.
    pub rtt_ms: Option<u32>,
    /// What it can do, where this node was told.
    pub capabilities: Vec<String>,
}

/// A message that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeshMessage {
    /// The identity of its sender.
    pub sender: String,
    /// What was sent.
    pub body: Vec<u8>,
    /// Since it came in.
    pub age: Duration,
}

/// Why a message was not delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MeshError {
    /// Nobody of that identity is in the cluster.
    #[error("no such node in the cluster")]
    UnknownNode,
    /// The plugin is not there, or may not.
    #[error("that node has no such plugin, or does not grant it `mesh`")]
    NoPlugin,
    /// The plugin there does not read.
    #[error("the plugin's box on that node is full")]
    Full,
    /// It does not work now.
    #[error("{0}")]
    Unavailable(String),
}

/// The mesh for one plugin. Sizes are checked before they come here.
pub trait MeshHost: Send + Sync + 'static {
    /// This node.
    fn this_node(&self) -> MeshNode;
    /// The other nodes of the cluster, sorted by id.
    fn peers(&self) -> Vec<MeshPeer>;
    /// Puts a message into the box of the same plugin on that node.
    fn send(&self, node: String, body: Vec<u8>) -> HostFuture<'_, Result<(), MeshError>>;
    /// Takes the oldest message, waiting for one.
    fn receive(&self, wait: Duration) -> HostFuture<'_, Option<MeshMessage>>;
}

impl From<MeshError> for mesh::MeshError {
    fn from(error: MeshError) -> mesh::MeshError {
        match error {
            MeshError::UnknownNode => mesh::MeshError::UnknownNode,
            MeshError::NoPlugin => mesh::MeshError::NoPlugin,
            MeshError::Full => mesh::MeshError::Full,
            MeshError::Unavailable(why) => mesh::MeshError::Unavailable(why),
        }
    }
}

impl From<MeshNode> for mesh::Node {
    fn from(MeshNode { id, name }: MeshNode) -> mesh::Node {
        mesh::Node { id, name }
    }
}

impl From<MeshPeer> for mesh::Peer {
    fn from(peer: MeshPeer) -> mesh::Peer {
        let MeshPeer { node, hops, rtt_ms, capabilities } = peer;
        mesh::Peer { node: node.into(), hops, rtt_ms, capabilities }
    }
}

impl RunState {
    fn mesh(&self) -> Result<Arc<dyn MeshHost>, mesh::MeshError> {
        let missing = || mesh::MeshError::Unavailable("this host is on no mesh".to_owned());
        self.hosts.mesh.clone().ok_or_else(missing)
    }

    fn mesh_for(&mut self, node: &str, body: &[u8]) -> Result<Arc<dyn MeshHost>, mesh::MeshError> {
        if body.len() > MAX_MESSAGE_BYTES {
            return Err(mesh::MeshError::TooLarge(MAX_MESSAGE_BYTES as u32));
        }
        if node.len() != ID_DIGITS {
            return Err(mesh::MeshError::UnknownNode);
        }
        if self.calls.mesh_sends >= MAX_SENDS {
            return Err(mesh::MeshError::Unavailable(format!("one run may send {MAX_SENDS} messages")));
        }
        self.calls.mesh_sends += 1;
        self.mesh()
    }
}

// The host is taken before anything is awaited: the state of a run is not shared between threads.
impl mesh::Host for RunState {
    fn this_node(&mut self) -> wasmtime::Result<mesh::Node> {
        let nobody = || MeshNode { id: "0".repeat(ID_DIGITS), name: String::new() };
        Ok(self.mesh().map_or_else(|_| nobody(), |host| host.this_node()).into())
    }

    fn peers(&mut self) -> wasmtime::Result<Vec<mesh::Peer>> {
        let peers = self.mesh().map(|host| host.peers()).unwrap_or_default();
        Ok(peers.into_iter().take(MAX_PEERS).map(Into::into).collect())
    }

    async fn send(&mut self, node: String, body: Vec<u8>) -> wasmtime::Result<Result<(), mesh::MeshError>> {
        let host = self.mesh_for(&node, &body);
        Ok(async { Ok(host?.send(node, body).await?) }.await)
    }

    async fn receive(&mut self, wait_ms: u32) -> wasmtime::Result<Option<mesh::Message>> {
        let Ok(host) = self.mesh() else { return Ok(None) };
        let message = host.receive(Duration::from_millis(u64::from(wait_ms))).await;
        Ok(message.map(|MeshMessage { sender, body, age }| {
            let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
            mesh::Message { sender, body, age_ms }
        }))
    }
}
