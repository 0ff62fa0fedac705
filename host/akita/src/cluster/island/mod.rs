//! What this node does for tasks that are to run without a leader: it keeps a small log of its own beside the cluster's,
//! gives the tasks to its own slots and to nodes of the cluster that it reaches, and writes each step into its journal.
//! Which task runs where is decided by the same [`Leader`](akita_core::leader::Leader) as in a cluster. It accepts
//! nothing for the cluster: what ended here belongs to it once a leader has taken it, see `import`.

mod bring;
mod import;
mod peers;
mod run;

use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

use akita_core::{
    ClusterId, NodeId, TaskId,
    schedule::{Load, Offer},
    wire::{Ran, Sent},
};
use tokio::sync::{mpsc, oneshot};

use super::{Cluster, NOBODY, internal};
use crate::view::NodeError;

/// Requests that wait for the island's loop: what submits and reports is bounded elsewhere, this only evens it out.
const BACKLOG: usize = 1_024;
/// Tasks of the journal that have not ended or that the cluster does not have yet, at most: as many as the outbox holds.
pub const MAX_JOURNAL: usize = 10_000;

/// What the island's loop is asked to do.
enum Request {
    /// Write these down, and run them.
    Submit { tasks: Vec<Sent>, reply: oneshot::Sender<Result<(), NodeError>> },
    /// Outcomes of one worker; answered once they are written down.
    Outcomes { worker: NodeId, ran: Vec<Ran>, reply: oneshot::Sender<()> },
    /// What a worker said to what it was given, or, `again`, to whether it still has it.
    Said { worker: NodeId, had: Vec<(TaskId, u64)>, refused: Option<Vec<TaskId>>, again: bool },
    /// A node of the island is there, and this is what it offers.
    PeerUp { node: NodeId, offer: Offer, load: Load },
    /// It does not answer.
    PeerSilent { node: NodeId },
    /// Tasks that wait, for the leader that is back; nothing more is begun while it is there.
    Waiting { limit: usize, reply: oneshot::Sender<Vec<TaskId>> },
    /// The leader of that cluster has these.
    HandedOver { tasks: Vec<TaskId>, to: ClusterId, reply: oneshot::Sender<()> },
    /// Why a task waits.
    Explain { task: TaskId, reply: oneshot::Sender<Option<String>> },
}

/// The way to the island's loop, and what is remembered beside it.
pub(super) struct Gate {
    requests: mpsc::Sender<Request>,
    inbox: Mutex<Option<mpsc::Receiver<Request>>>,
    /// Only one brings the journal to a leader.
    bringing: tokio::sync::Mutex<()>,
    /// When ends that a leader had refused were last brought to one.
    refused_tried: Mutex<Option<Instant>>,
}

impl Gate {
    pub(super) fn new() -> Gate {
        let (requests, inbox) = mpsc::channel(BACKLOG);
        Gate {
            requests,
            inbox: Mutex::new(Some(inbox)),
            bringing: tokio::sync::Mutex::default(),
            refused_tried: Mutex::default(),
        }
    }
}

impl Cluster {
    /// Whether a leader is in reach, as far as this node knows: then nothing is begun in an island.
    pub fn has_leader(&self) -> bool {
        let leader = self.standing().leader;
        if leader == self.0.me {
            let role = self.role();
            return !role.is_voter() || role.quorum;
        }
        leader != NOBODY && !*self.0.leader_silent.borrow()
    }

    /// Writes tasks down in this node's journal and has them run in the island.
    ///
    /// # Errors
    /// The journal is full, or the node is stopping.
    pub async fn run_here(&self, tasks: Vec<Sent>) -> Result<(), NodeError> {
        let counts = self.0.store.island_counts().await.map_err(internal)?;
        let open = counts.waiting + counts.running + counts.to_import;
        if open + tasks.len() as u64 > MAX_JOURNAL as u64 {
            return Err(NodeError::QueueFull { limit: MAX_JOURNAL, retry_after_s: 30 });
        }
        self.ask_island(|reply| Request::Submit { tasks, reply }).await.unwrap_or(Err(NodeError::Stopping))
    }

    /// Why a task of the journal waits; `None` if it does not.
    pub async fn explain_here(&self, task: TaskId) -> Option<String> {
        self.ask_island(|reply| Request::Explain { task, reply }).await.flatten()
    }

    /// Takes outcomes of tasks that this node gave out in an island; `false`: it is stopping.
    pub(super) async fn island_outcomes(&self, worker: NodeId, ran: Vec<Ran>) -> bool {
        self.ask_island(|reply| Request::Outcomes { worker, ran, reply }).await.is_some()
    }

    async fn ask_island<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.0.island.requests.send(request(reply)).await.ok()?;
        answer.await.ok()
    }

    fn island_inbox(&self) -> Option<mpsc::Receiver<Request>> {
        self.0.island.inbox.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
