//! What is known of other nodes: soft, bounded, rebuilt after a restart. It never decides safety.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use akita_core::{
    NodeId,
    schedule::{Load, Offer},
    wire::{Ask, Hello, Standing},
};

/// Nodes that are remembered: more than a mesh has, fewer than would trouble a small machine. Those that were not
/// admitted are forgotten first.
pub(super) const MAX_PEERS: usize = 4_096;

/// Hellos of one node that wait for their proof: a repeated one must not make the first one's proof wrong.
pub(super) const MAX_PENDING: usize = 4;
/// Rows about failed proofs in [`ALERTS_IN`], whoever sent them: identities cost nothing, and rows are kept for ever.
const MAX_ALERTS: u32 = 20;
const ALERTS_IN: Duration = Duration::from_secs(600);

/// How many rows about failed proofs may be written.
#[derive(Default)]
pub(super) struct Alerts {
    since: Option<Instant>,
    written: u32,
    unwritten: u64,
}

impl Alerts {
    /// Whether one more may be written at `now`, and how many were not since the last.
    pub(super) fn take(&mut self, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= ALERTS_IN) {
            (self.since, self.written) = (Some(now), 0);
        }
        if self.written >= MAX_ALERTS {
            self.unwritten += 1;
            return None;
        }
        self.written += 1;
        Some(std::mem::take(&mut self.unwritten))
    }
}

/// What the books say to a question: an answer, or nothing if there is no such thing. Why there is none now, where another
/// node may know better.
pub type Word = Result<Option<Vec<u8>>, String>;

/// Answers questions about this node's own books, as MessagePack of the types in [`crate::view`].
pub trait Books: Send + Sync + 'static {
    /// The answer.
    fn answer(&self, ask: Ask) -> Pin<Box<dyn Future<Output = Word> + Send + '_>>;
}

/// Everybody that was met.
#[derive(Default)]
pub(super) struct Known {
    pub(super) peers: BTreeMap<NodeId, Peer>,
    /// Nodes that a handshake is under way with.
    pub(super) joining: BTreeSet<NodeId>,
    /// Rows about failed proofs that may still be written.
    pub(super) alerts: Alerts,
    /// Elections under this node's own log.
    pub(super) term: u64,
    /// Changes with what the leader would show.
    pub(super) version: u32,
    /// The leader's last view, while this node follows.
    pub(super) view: Option<akita_core::wire::View>,
    /// When that was fetched.
    pub(super) viewed: Option<Instant>,
    /// Since when this node leads.
    pub(super) leading_since: Option<Instant>,
    /// Voters that did not answer this leader when it last looked.
    pub(super) silent_voters: BTreeSet<NodeId>,
    /// Voters that came back with an older log than they had, when this leader last looked.
    pub(super) older_voters: BTreeSet<NodeId>,
    /// Why the leader takes no report of this node, if it takes none.
    pub(super) turned_away: Option<String>,
    /// Who votes in the cluster that this node works for, where several do.
    pub(super) voters: Vec<NodeId>,
    /// Leaders that this node has followed, and of which cluster: another of the same may take outcomes for them.
    pub(super) led: BTreeMap<NodeId, akita_core::ClusterId>,
    /// The leader that has heard which key this node holds, and which one that was.
    pub(super) key_offered: Option<(NodeId, u64)>,
    /// As leader: who has the key of that generation, and knows that those before it are refused.
    pub(super) key_told: BTreeMap<NodeId, (u64, bool)>,
    /// Who did not accept this node's key, and when.
    pub(super) key_refused: Option<(NodeId, Instant)>,
    /// As leader: clusters that were told to come here, and when. This one does not give way to them meanwhile.
    pub(super) expected: BTreeMap<akita_core::ClusterId, Instant>,
    /// What the log last said of the cluster key.
    pub(super) turn: Option<akita_core::keys::KeyTurn>,
    /// The cluster that this node's voters have given way to.
    pub(super) merging: Option<akita_core::ClusterId>,
    /// Other clusters of this name with several voters: their leaders, and when they were last met.
    pub(super) rivals: BTreeMap<akita_core::ClusterId, (NodeId, Instant)>,
    /// Nodes that do not agree with this one on the ledger.
    pub(super) contradictions: Vec<super::cosign::Contradiction>,
}

/// One node that was met.
#[derive(Default)]
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) hops: Option<u8>,
    pub(super) standing: Option<Standing>,
    /// Several vote in its cluster.
    pub(super) established: bool,
    /// The version of its program, as it said when it greeted; empty before, as its name is.
    pub(super) program: String,
    /// It has proved that it may be here.
    pub(super) admitted: bool,
    /// Its hellos and our nonces, between hello and proof; see [`MAX_PENDING`].
    pub(super) pending: VecDeque<(Hello, [u8; 16])>,
    /// One greeting at a time: a proof belongs to the last hello.
    pub(super) greeting: Arc<tokio::sync::Mutex<()>>,
    /// When it last let this node in.
    pub(super) greeted: Option<Instant>,
    /// Not to be called again before this time, after a refusal.
    pub(super) refused_until: Option<Instant>,
    /// When a failed proof of it was last written to the ledger.
    pub(super) alerted: Option<Instant>,
    /// When it last said anything that this node looked at.
    pub(super) heard: Option<Instant>,
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
    /// Since when it is online, or is not.
    pub(super) since: Instant,
    /// Its number among the voters, as it says itself; 0: it has none.
    pub(super) number: u64,
    pub(super) leaving: bool,
    /// Its catalogue is being fetched.
    pub(super) fetching: bool,
}

/// Other clusters of this name that are remembered at most.
pub(super) const MAX_RIVALS: usize = 16;

/// Leaders that are remembered for the sake of outcomes that they still wait for.
const MAX_LED: usize = 64;

impl Known {
    /// This node follows, or leads, under that standing.
    pub(super) fn remember_led(&mut self, standing: Standing) {
        if self.led.len() >= MAX_LED && !self.led.contains_key(&standing.leader) {
            self.led.pop_first();
        }
        self.led.insert(standing.leader, standing.cluster);
    }

    /// The entry of a node, made if missing. Makes room by forgetting the one that is missed least: a stranger, then one
    /// that was only met, and one that works here last.
    pub(super) fn peer(&mut self, node: NodeId) -> &mut Peer {
        if self.peers.len() >= MAX_PEERS && !self.peers.contains_key(&node) {
            let least = self.peers.iter().min_by_key(|(_, peer)| peer.worth()).map(|(node, _)| *node);
            least.and_then(|node| self.peers.remove(&node));
        }
        self.peers.entry(node).or_default()
    }
}

impl Peer {
    fn worth(&self) -> (bool, bool, bool, bool) {
        let online = self.member.as_ref().is_some_and(|member| member.online);
        (online, self.member.is_some(), self.admitted, self.is_refused() || !self.pending.is_empty())
    }

    pub(super) fn is_refused(&self) -> bool {
        self.refused_until.is_some_and(|until| Instant::now() < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(n: usize) -> NodeId {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&n.to_be_bytes());
        NodeId(id)
    }

    #[test]
    fn strangers_push_out_strangers_and_never_a_worker() {
        let mut known = Known::default();
        known.peer(node(0)).admitted = true;
        known.peer(node(1)).member = Some(Member {
            incarnation: 1,
            slots: 1,
            digest: [0; 8],
            offer: None,
            load: Load::default(),
            running: 0,
            last_heard: Instant::now(),
            online: true,
            since: Instant::now(),
            number: 0,
            leaving: false,
            fetching: false,
        });
        (2..3 * MAX_PEERS).for_each(|n| drop(known.peer(node(n)).name.clone()));
        assert_eq!(known.peers.len(), MAX_PEERS);
        assert!(known.peers.contains_key(&node(0)) && known.peers.contains_key(&node(1)));
    }

    #[test]
    fn a_flood_of_failed_proofs_fills_no_ledger() {
        let mut alerts = Alerts::default();
        let now = Instant::now();
        let written = (0..10_000).filter(|_| alerts.take(now).is_some()).count();
        assert_eq!(written, MAX_ALERTS as usize);
        assert_eq!(alerts.take(now + ALERTS_IN), Some(10_000 - u64::from(MAX_ALERTS)), "and says how many there were");
    }
}
