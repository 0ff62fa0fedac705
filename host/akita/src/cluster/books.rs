//! What is known of other nodes: soft, bounded, rebuilt after a restart. It never decides safety.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::Pin,
    time::Instant,
};

use akita_core::{
    NodeId,
    schedule::{Load, Offer},
    wire::{Ask, Hello, Standing},
};

/// Nodes that are remembered: more than a mesh has, fewer than would trouble a small machine. Those that were not
/// admitted are forgotten first.
pub(super) const MAX_PEERS: usize = 4_096;

/// Answers questions about this node's own books, as MessagePack of the types in [`crate::view`].
pub trait Books: Send + Sync + 'static {
    /// The answer; nothing if there is no such thing.
    fn answer(&self, ask: Ask) -> Pin<Box<dyn Future<Output = Option<Vec<u8>>> + Send + '_>>;
}

/// Everybody that was met.
#[derive(Default)]
pub(super) struct Known {
    pub(super) peers: BTreeMap<NodeId, Peer>,
    /// Nodes that a handshake is under way with.
    pub(super) joining: BTreeSet<NodeId>,
    /// Elections under this node's own log.
    pub(super) term: u64,
    /// Changes with what the leader would show.
    pub(super) version: u32,
    /// The leader's last view, while this node follows.
    pub(super) view: Option<akita_core::wire::View>,
}

/// One node that was met.
#[derive(Default)]
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) hops: Option<u8>,
    pub(super) standing: Option<Standing>,
    /// It has proved that it may be here.
    pub(super) admitted: bool,
    /// Our nonce and its hello, between hello and proof.
    pub(super) pending: Option<(Hello, [u8; 16])>,
    /// Not to be called again before this time, after a refusal.
    pub(super) refused_until: Option<Instant>,
    /// When a failed proof of it was last written to the ledger.
    pub(super) alerted: Option<Instant>,
    /// When its link was lost, unless it was heard since.
    pub(super) lost_link: Option<Instant>,
    /// It works for this leader.
    pub(super) member: Option<Member>,
}

/// A worker of this leader.
pub(super) struct Member {
    pub(super) incarnation: u32,
    pub(super) slots: u16,
    pub(super) digest: [u8; 8],
    /// Nothing until its catalogue has arrived.
    pub(super) offer: Option<Offer>,
    pub(super) load: Load,
    pub(super) running: u16,
    pub(super) last_heard: Instant,
    pub(super) online: bool,
    pub(super) leaving: bool,
    /// Its catalogue is being fetched.
    pub(super) fetching: bool,
}

impl Known {
    /// The entry of a node, made if missing. Makes room by forgetting one that was not admitted.
    pub(super) fn peer(&mut self, node: NodeId) -> &mut Peer {
        if self.peers.len() >= MAX_PEERS && !self.peers.contains_key(&node) {
            let stranger = self.peers.iter().find(|(_, peer)| !peer.admitted).or_else(|| self.peers.iter().next());
            if let Some(stranger) = stranger.map(|(node, _)| *node) {
                self.peers.remove(&stranger);
            }
        }
        self.peers.entry(node).or_default()
    }
}

impl Peer {
    pub(super) fn is_refused(&self) -> bool {
        self.refused_until.is_some_and(|until| Instant::now() < until)
    }
}
