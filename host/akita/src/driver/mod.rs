//! The one place where commands are proposed: submissions, placements, outcomes and patience come together in one loop
//! and leave as log entries, many commands in each. What the log decided comes back and is acted on. It never decides
//! by itself: [`akita_core::leader::Leader`] does.

mod outbound;
mod service;
#[cfg(test)]
mod tests;
mod watch;

use std::sync::Arc;

use akita_core::{
    Command, NodeId, Status, TaskId, TaskSpec,
    schedule::{Load, Offer},
    wire::{self, Ran},
};
use tokio::sync::{mpsc, oneshot};

pub use outbound::{Assigner, Delivery};
pub(crate) use outbound::{message_len, unreadable};
pub(crate) use service::ticks;
pub use service::{Service, Start, now};
pub use watch::{Progress, Watch};

use crate::view::NodeError;

/// Requests that wait for the loop: more than the API has connections, so that it is the API that pushes back.
const BACKLOG: usize = 4_096;

/// A task on its way in.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// Its id.
    pub id: TaskId,
    /// The node that took it from its submitter.
    pub origin: NodeId,
    /// Attempts that another cluster has begun.
    pub attempts: u32,
    /// What to do.
    pub spec: TaskSpec,
}

/// Tasks that were accepted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Accepted {
    /// Of each, in order.
    pub statuses: Vec<Status>,
    /// The log's entry that has them; 0: nobody said.
    pub index: u64,
}

/// What the loop is asked to do.
enum Request {
    /// Accept all or none. `imported`: they were accepted before, elsewhere.
    Submit { tasks: Vec<Incoming>, imported: bool, reply: oneshot::Sender<Result<Accepted, NodeError>> },
    /// Outcomes of one worker; answered after the commit.
    Outcomes { worker: NodeId, ran: Vec<Ran>, reply: Option<oneshot::Sender<()>> },
    /// What a worker said to an assignment.
    Delivered { worker: NodeId, taken: Vec<(TaskId, u64)>, refused: Vec<(TaskId, u64)>, unreachable: bool },
    /// A worker is there.
    WorkerUp { node: NodeId, offer: Offer, load: Load },
    /// How busy it is.
    WorkerLoad { node: NodeId, load: Load },
    /// It takes nothing more, but finishes what it has.
    WorkerLeaving { node: NodeId },
    /// It is gone.
    WorkerLost { node: NodeId },
    /// Commit these; answered after the commit.
    Commit { commands: Vec<Command>, reply: oneshot::Sender<()> },
    /// Why a task waits.
    Explain { task: TaskId, reply: oneshot::Sender<Option<String>> },
    /// Tasks that wait, for handing over.
    Waiting { limit: usize, reply: oneshot::Sender<Vec<TaskId>> },
    /// Workers that hold tasks but are not there.
    Absent { reply: oneshot::Sender<Vec<NodeId>> },
    /// Ask other workers whether they still have what they acknowledged; `only`: this one.
    Recall { only: Option<NodeId> },
    /// How far a worker is with a task; may be lost.
    Progress { worker: NodeId, progress: wire::Progress },
    /// Give out no more work: the node is stopping.
    Pause,
}

/// The receiving end of a [`Driver`].
pub struct Inbox(mpsc::Receiver<Request>);

/// Asks the loop; clones share it.
#[derive(Clone)]
pub struct Driver {
    requests: mpsc::Sender<Request>,
    watch: Arc<Watch>,
}

/// The loop has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the node is shutting down")]
pub struct Stopped;

impl Driver {
    /// A handle, and the inbox that its service owns.
    pub fn new() -> (Driver, Inbox) {
        let (requests, receiver) = mpsc::channel(BACKLOG);
        (Driver { requests, watch: Arc::default() }, Inbox(receiver))
    }

    /// Who waits for a task's end, and how far running tasks are.
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Accepts tasks durably, all or none; answers the status of each.
    ///
    /// # Errors
    /// Unknown action, full queue, or the node is stopping.
    pub async fn submit(&self, tasks: Vec<Incoming>, imported: bool) -> Result<Accepted, NodeError> {
        let answer = self.ask(|reply| Request::Submit { tasks, imported, reply }).await;
        answer.unwrap_or(Err(NodeError::Stopping))
    }

    /// Takes outcomes; returns once they are committed, or known to be stale.
    ///
    /// # Errors
    /// The node is stopping, and nothing is known to be committed.
    pub async fn outcomes(&self, worker: NodeId, ran: Vec<Ran>) -> Result<(), Stopped> {
        self.ask(|reply| Request::Outcomes { worker, ran, reply: Some(reply) }).await
    }

    /// Takes outcomes of this node's own executor, which need no answer.
    pub async fn own_outcomes(&self, worker: NodeId, ran: Vec<Ran>) {
        let _ = self.requests.send(Request::Outcomes { worker, ran, reply: None }).await;
    }

    /// A worker is there, or offers something else now.
    pub async fn worker_up(&self, node: NodeId, offer: Offer, load: Load) {
        let _ = self.requests.send(Request::WorkerUp { node, offer, load }).await;
    }

    /// How busy a worker is.
    pub async fn worker_load(&self, node: NodeId, load: Load) {
        let _ = self.requests.send(Request::WorkerLoad { node, load }).await;
    }

    /// A worker takes nothing more, but finishes what it has.
    pub async fn worker_leaving(&self, node: NodeId) {
        let _ = self.requests.send(Request::WorkerLeaving { node }).await;
    }

    /// A worker is gone: its tasks are given to others.
    pub async fn worker_lost(&self, node: NodeId) {
        let _ = self.requests.send(Request::WorkerLost { node }).await;
    }

    /// Commits commands that change nothing in the queue, such as rows of the ledger.
    ///
    /// # Errors
    /// The node is stopping.
    pub async fn commit(&self, commands: Vec<Command>) -> Result<(), Stopped> {
        self.ask(|reply| Request::Commit { commands, reply }).await
    }

    /// Why a task waits; `None` if it does not.
    pub async fn explain(&self, task: TaskId) -> Option<String> {
        self.ask(|reply| Request::Explain { task, reply }).await.ok().flatten()
    }

    /// At most `limit` tasks that wait.
    pub async fn waiting(&self, limit: usize) -> Vec<TaskId> {
        self.ask(|reply| Request::Waiting { limit, reply }).await.unwrap_or_default()
    }

    /// Workers that hold tasks of this leader but are not there.
    pub async fn absent(&self) -> Vec<NodeId> {
        self.ask(|reply| Request::Absent { reply }).await.unwrap_or_default()
    }

    /// Asks other workers, or `only` that one, whether they still have what they acknowledged. What was lost with a
    /// worker's process while nobody looked would otherwise wait for WORKER_PROCESSING_TIMEOUT_S.
    pub async fn recall(&self, only: Option<NodeId>) {
        let _ = self.requests.send(Request::Recall { only }).await;
    }

    /// How far a worker is with a task. Not kept while the loop has more important things to do.
    pub fn progress(&self, worker: NodeId, progress: wire::Progress) {
        let _ = self.requests.try_send(Request::Progress { worker, progress });
    }

    /// Returns when the loop has ended. A node must not go on without it.
    pub async fn ended(&self) {
        self.requests.closed().await;
    }

    /// Gives out no more work.
    pub async fn pause(&self) {
        let _ = self.requests.send(Request::Pause).await;
    }

    async fn delivered(&self, worker: NodeId, taken: Vec<(TaskId, u64)>, refused: Vec<(TaskId, u64)>, lost: bool) {
        let _ = self.requests.send(Request::Delivered { worker, taken, refused, unreachable: lost }).await;
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }
}
