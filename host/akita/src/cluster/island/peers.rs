//! The other nodes of an island: finding those that could run what this node cannot, giving them tasks, and running
//! tasks for them. Only members of the same cluster are asked, and only they are served.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use akita_core::{
    NodeId, TaskId,
    island::is_island,
    schedule::{Load, Offer},
    tuning::airtime,
    versions::Versions,
    wire::{Assigned, Catalog, GetCatalog, Job, Message, Refusal, RunInIsland},
};

use super::{
    super::{CallFailed, Cluster, NOBODY},
    Request,
    run::Island,
};
use crate::driver::message_len;

/// Nodes that one island asks at most: more would answer nothing that these do not.
const MAX_PEERS: usize = 64;
/// Before a node is asked again what it offers, while something waits that nobody runs.
const ASK_AGAIN: Duration = Duration::from_secs(15);
/// Tasks for islands that a node holds for each of its slots: it has a leader of its own, or other islands, to serve.
const HELD_A_SLOT: usize = 2;
/// Slots of a node that does not say how many it has.
const UNSAID_SLOTS: u16 = 1;

/// What is known of the nodes that may be asked.
#[derive(Default)]
pub(super) struct Peers(BTreeMap<NodeId, Peer>);

struct Peer {
    /// When it was last asked what it offers.
    asked: Instant,
    /// When it was last asked whether it has what it was given.
    checked: Instant,
    /// Since when it does not answer.
    silent_since: Option<Instant>,
}

impl Peers {
    pub(super) fn heard(&mut self, node: NodeId) {
        if let Some(peer) = self.0.get_mut(&node) {
            peer.silent_since = None;
        }
    }
}

/// Asking others.
impl Island {
    pub(super) fn peer_up(&mut self, node: NodeId, offer: Offer, load: Load) {
        self.peers.heard(node);
        self.leader.worker_up(node, offer, load);
    }

    /// It did not answer. What it was given goes to others once it has been silent for as long as a node may be.
    pub(super) fn peer_silent(&mut self, node: NodeId) {
        let patience = self.cluster.0.tuning.patience(self.cluster.rtt_ms(node));
        let Some(peer) = self.peers.0.get_mut(&node) else { return };
        let since = *peer.silent_since.get_or_insert_with(Instant::now);
        self.leader.worker_leaving(node);
        if since.elapsed() >= Duration::from_millis(patience) {
            let lost = self.leader.worker_lost(node);
            self.requeue(lost);
        }
    }

    /// Looks for nodes that could run what waits, and whether those that were given something still have it.
    pub(super) fn look_around(&mut self) {
        if self.leader.is_leading() && !self.leader.waiting(1).is_empty() {
            for node in self.cluster.neighbours() {
                let now = Instant::now();
                let peer = self.peers.0.get(&node);
                if peer.is_some_and(|peer| peer.asked.elapsed() < ASK_AGAIN) {
                    continue;
                }
                if peer.is_none() && self.peers.0.len() >= MAX_PEERS {
                    break;
                }
                self.peers.0.entry(node).or_insert(Peer { asked: now, checked: now, silent_since: None }).asked = now;
                let cluster = self.cluster.clone();
                self.cluster.0.tasks.spawn(async move { cluster.ask_what_it_offers(node).await });
            }
        }
        let every = Duration::from_millis(self.cluster.0.tuning.node_timeout / 3);
        for (node, held) in self.leader.running_elsewhere() {
            let now = Instant::now();
            let fresh = Peer { asked: now, checked: now, silent_since: None };
            let peer = self.peers.0.entry(node).or_insert(fresh);
            let slow = Duration::from_millis(u64::from(self.cluster.rtt_ms(node)) * 20);
            if peer.checked.elapsed() >= every.max(slow) {
                peer.checked = now;
                let cluster = self.cluster.clone();
                self.cluster.0.tasks.spawn(async move { cluster.ask_after(node, held).await });
            }
        }
    }

    /// Gives jobs to another node.
    pub(super) fn send(&mut self, worker: NodeId, mut jobs: Vec<Job>) {
        while !jobs.is_empty() {
            let rest = jobs.split_off(message_len(&jobs));
            let some = std::mem::replace(&mut jobs, rest);
            let cluster = self.cluster.clone();
            self.cluster.0.tasks.spawn(async move { cluster.give(worker, some).await });
        }
    }
}

impl Cluster {
    /// Nodes of this cluster that may be in reach: whom the last leader showed, who votes, and who was met since.
    fn neighbours(&self) -> Vec<NodeId> {
        let standing = self.standing();
        let role = self.role();
        let known = self.known();
        let shown = known.view.iter().flat_map(|view| &view.nodes).map(|node| node.node);
        let met = known.peers.iter().filter(|(_, peer)| {
            let same = peer.standing.is_some_and(|theirs| theirs.cluster == standing.cluster);
            same && !peer.is_refused()
        });
        let voters = known.voters.iter().copied().chain(role.voters.iter().map(|(_, node)| *node));
        let mut all: Vec<NodeId> = met.map(|(node, _)| *node).chain(shown).chain(voters).collect();
        drop(known);
        all.sort();
        all.dedup();
        all.retain(|node| *node != self.0.me && *node != NOBODY && !self.is_banned(*node));
        all
    }

    async fn ask_what_it_offers(&self, node: NodeId) {
        let asked = tokio::select! {
            () = self.0.stop.cancelled() => return,
            asked = self.call::<Catalog>(node, &GetCatalog {}, self.patience(node)) => asked,
        };
        let request = match asked {
            Ok(catalog) => {
                let catalog = catalog.cleaned();
                let actions = catalog.actions.into_iter().collect();
                let offer = Offer {
                    slots: if catalog.slots == 0 { UNSAID_SLOTS } else { catalog.slots },
                    versions: Versions::unpack(&catalog.versions, &actions),
                    actions,
                    capabilities: catalog.capabilities.into_iter().collect(),
                    caps: catalog.caps.into_iter().collect(),
                };
                Request::PeerUp { node, offer, load: Load { rtt_ms: self.rtt_ms(node).max(1), ..Load::default() } }
            }
            Err(error) => {
                tracing::debug!(%node, %error, "this node is not in the island");
                Request::PeerSilent { node }
            }
        };
        let _ = self.0.island.requests.send(request).await;
    }

    async fn give(&self, worker: NodeId, jobs: Vec<Job>) {
        let had: Vec<(TaskId, u64)> = jobs.iter().map(|job| (job.task, job.fence)).collect();
        let bytes = jobs.iter().map(|job| job.input.len() as u64).sum();
        let rtt_ms = self.rtt_ms(worker);
        let wait = Duration::from_millis(self.0.tuning.ack_patience(rtt_ms) + airtime(bytes, rtt_ms));
        self.ask_to_run(worker, jobs, Vec::new(), had, wait).await;
    }

    async fn ask_after(&self, worker: NodeId, held: Vec<(TaskId, u64)>) {
        self.ask_to_run(worker, Vec::new(), held.clone(), held, self.patience(worker)).await;
    }

    async fn ask_to_run(
        &self,
        worker: NodeId,
        jobs: Vec<Job>,
        held: Vec<(TaskId, u64)>,
        had: Vec<(TaskId, u64)>,
        wait: Duration,
    ) {
        let again = jobs.is_empty();
        let request = RunInIsland { cluster: self.standing().cluster, jobs, held };
        let asked = tokio::select! {
            () = self.0.stop.cancelled() => return,
            asked = self.call::<Assigned>(worker, &request, wait) => asked,
        };
        let refused = match asked {
            Ok(answer) => Some(answer.refused),
            Err(CallFailed::Refused(refused)) => {
                tracing::warn!(%worker, reason = refused.detail, "a node of the island refused its tasks");
                Some(had.iter().map(|(task, _)| *task).collect())
            }
            Err(error) => {
                tracing::debug!(%worker, %error, "a node of the island did not answer");
                None
            }
        };
        let _ = self.0.island.requests.send(Request::Said { worker, had, refused, again }).await;
    }

    /// Answers [`RunInIsland`].
    pub(in crate::cluster) fn run_for(&self, node: NodeId, run: RunInIsland) -> Vec<u8> {
        if run.cluster != self.standing().cluster || self.is_banned(node) {
            return self.refuse(Refusal::Invalid, "only members of this node's cluster may have it run tasks");
        }
        let most = u32::try_from(self.0.tuning.processing_timeout).unwrap_or(u32::MAX);
        let room = usize::from(self.offer().slots) * HELD_A_SLOT;
        let executor = self.executor();
        let mut refused = Vec::new();
        for mut job in run.jobs {
            // Longer than its island waits for it, a task would only keep a slot from others.
            job.timeout_ms = job.timeout_ms.min(most);
            let (task, fence) = (job.task, job.fence);
            // Under another fence it would be taken for what a leader assigned.
            let takes =
                is_island(fence) && (executor.has(task, fence) || executor.held() < room && executor.take(node, job));
            if !takes {
                refused.push(task);
            }
        }
        refused.extend(run.held.into_iter().filter(|(task, fence)| !executor.has(*task, *fence)).map(|(task, _)| task));
        Assigned { refused }.encode()
    }
}
