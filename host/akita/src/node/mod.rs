//! The node as its users see it: submit, look, ask the cluster. Any node answers for any task of its cluster: from its
//! own books, or by asking the leader, or, as the leader, by asking the others. It never decides anything about a task.

mod ask;
mod backend;
mod blobs;
mod children;
mod convert;
mod island;
mod ledger;
mod members;
mod output;
mod reads;

pub use convert::candidate as plugin_view;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use akita_core::{
    Extras, KeyPrint, NodeId, Status, TaskId, TaskSpec,
    wire::{Sent, Submitted},
};
use akita_mesh::Mesh;
use island::{Placed, no_leader};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    blobs::Blobs,
    cluster::Cluster,
    driver::{Accepted, Driver, Incoming},
    plugins::{Caller, Plugins},
    reading::{Consistency, Reading},
    resources::Resources,
    store::{Store, StoreError},
    telemetry::LogRing,
    view::{NewTask, NodeError, SubmittedView, TaskView},
};

/// Times that a submission follows the lead as it changes hands.
const MAX_TURNS: usize = 2;

/// Pause before the leader is asked again for a task that has not ended; the leader holds its answer back, too.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// The same where every node of the cluster is asked.
const ASK_ALL_EVERY: Duration = Duration::from_secs(2);

/// How far a question for a task goes. Each step is shorter than the one before, so that it comes to an end even while
/// two nodes take each other for the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// To whoever may know, as a user of this node asks.
    Cluster,
    /// The same, and no answer but one that is the newest.
    Confirmed,
    /// One step on, as another node asks.
    Next,
    /// This node's own books.
    Here,
}

/// What a node is made of.
pub struct Parts {
    /// This node.
    pub me: NodeId,
    /// Its name.
    pub name: String,
    /// Its books.
    pub store: Store,
    /// Its loop.
    pub driver: Driver,
    /// Its cluster.
    pub cluster: Cluster,
    /// Its plugins.
    pub plugins: Plugins,
    /// Blobs, its own and others'.
    pub blobs: Blobs,
    /// Its machine.
    pub resources: watch::Receiver<Resources>,
    /// Its mesh.
    pub mesh: Mesh,
    /// Its log lines.
    pub logs: LogRing,
    /// Longest time limit that a task may ask for.
    pub max_timeout: Duration,
    /// Cancelled when the node is to stop.
    pub stop: CancellationToken,
}

/// A handle; clones are the same node.
#[derive(Clone)]
pub struct Node(Arc<Parts2>);

/// Not nameable from outside: [`Parts`] and when they were put together.
pub(crate) struct Parts2 {
    parts: Parts,
    started: Instant,
}

impl std::ops::Deref for Node {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0.parts
    }
}

fn internal(error: StoreError) -> NodeError {
    NodeError::Internal(format!("the database cannot be read: {error}"))
}

impl Node {
    /// A node of these parts.
    pub fn new(parts: Parts) -> Node {
        Node(Arc::new(Parts2 { parts, started: Instant::now() }))
    }

    /// Seconds since start.
    fn uptime(&self) -> Duration {
        self.0.started.elapsed()
    }

    /// Accepts tasks, all or none, on whichever node leads; keeps them here when nobody can be reached. `key`: the API
    /// key that they came with.
    ///
    /// # Errors
    /// The tasks make no sense, the queue is full, or the node is stopping.
    pub async fn submit(&self, tasks: Vec<NewTask>, key: Option<KeyPrint>) -> Result<Vec<SubmittedView>, NodeError> {
        if self.stop.is_cancelled() {
            return Err(NodeError::Stopping);
        }
        let many = tasks.len() > 1;
        let mut incoming = Vec::with_capacity(tasks.len());
        let island: Vec<bool> = tasks.iter().map(|task| task.island).collect();
        for (at, task) in tasks.into_iter().enumerate() {
            let spec = self.spec(task, key).map_err(|detail| NodeError::Invalid {
                detail: if many { format!("task {at} of the batch: {detail}") } else { detail },
                hint: "`akita task submit --help` shows what a task looks like".into(),
            })?;
            incoming.push(Incoming { id: new_task_id(), origin: self.me, attempts: 0, spec });
        }
        self.permit(&incoming)?;
        let incoming = self.plugins.check(incoming).await?;
        let ids: Vec<TaskId> = incoming.iter().map(|task| task.id).collect();
        let placed = self.place(incoming, &island).await.map_err(|error| self.while_compiling(error))?;
        Ok(ids.into_iter().zip(placed).map(|(id, placed)| placed.view(id)).collect())
    }

    /// Refuses what this node's own grants do not allow to who asks. A node that lacks the plugin knows no better than
    /// to ask the cluster; the worker looks again in any case.
    fn permit(&self, tasks: &[Incoming]) -> Result<(), NodeError> {
        let shelf = self.plugins.shelf();
        for task in tasks {
            let Ok(found) = shelf.resolve(&task.spec.action) else { continue };
            let caller = Caller { node: task.origin, key: task.spec.extras.key };
            if let Err(denied) = found.permit(&caller) {
                return Err(NodeError::Forbidden { detail: denied.to_string(), hint: denied.hint() });
            }
        }
        Ok(())
    }

    /// An action that is not there may be that of a plugin which is not compiled yet.
    fn while_compiling(&self, error: NodeError) -> NodeError {
        match (error, self.plugins.work().len()) {
            (NodeError::Invalid { detail, hint } | NodeError::NoSuchAction { detail, hint }, waiting @ 1..) => {
                let also = format!("this node still compiles plugins ({waiting}), see `akita plugin list`");
                NodeError::Invalid { detail, hint: format!("{hint}; {also}") }
            }
            (error, _) => error,
        }
    }

    /// What is wrong with a time limit, if it is too long.
    fn over_time(&self, timeout_ms: Option<u32>) -> Option<String> {
        let asked = Duration::from_millis(u64::from(timeout_ms?));
        let most = self.max_timeout.as_secs();
        (asked > self.max_timeout).then(|| {
            format!("a time limit of {} s is over the {most} s of WORKER_PROCESSING_TIMEOUT_S", asked.as_secs())
        })
    }

    fn spec(&self, task: NewTask, key: Option<KeyPrint>) -> Result<TaskSpec, String> {
        if let Some(detail) = self.over_time(task.timeout_ms) {
            return Err(detail);
        }
        let spec = TaskSpec {
            action: task.action,
            required: task.required,
            priority: task.priority,
            timeout_ms: task.timeout_ms,
            input: akita_core::Content { content_type: task.content_type, body: task.input },
            extras: Extras { deterministic: task.deterministic, key, parent: None },
        };
        spec.normalise().map_err(|error| error.to_string())
    }

    /// Has the tasks accepted by whoever leads. Where nobody does, those that may run in an island do, and the others are
    /// kept for later.
    async fn place(&self, tasks: Vec<Incoming>, island: &[bool]) -> Result<Vec<Placed>, NodeError> {
        let some_here = island.contains(&true);
        // A leader that most voters have left would take them into its log, and another might run them later: what is
        // to run here at once is not given to it.
        let handed_in = match some_here && !self.leader_is_sure().await {
            true => Err(no_leader()),
            false => self.hand_in(&tasks).await,
        };
        let last = match handed_in {
            Err(error @ NodeError::Unavailable { .. }) => error,
            other => {
                let Accepted { statuses, index } = other?;
                let index = Some(index).filter(|index| *index > 0);
                return Ok(statuses.into_iter().map(|status| Placed::Log(status, index)).collect());
            }
        };
        tracing::info!(error = %last, "no leader takes the tasks now; they are kept here and sent later, or run here");
        let (mut here, mut later) = (Vec::new(), Vec::new());
        for (task, island) in tasks.into_iter().zip(island) {
            if *island { here.push(sent(task)) } else { later.push(sent(task)) }
        }
        if !later.is_empty() {
            self.cluster.keep_in_outbox(&later).await?;
        }
        if !here.is_empty() {
            self.cluster.run_here(here).await?;
        }
        let place = |island: &bool| if *island { Placed::Island } else { Placed::Log(Status::QueuedLocally, None) };
        Ok(island.iter().map(place).collect())
    }

    /// Has whoever leads accept the tasks.
    async fn hand_in(&self, tasks: &[Incoming]) -> Result<Accepted, NodeError> {
        let mut last = NodeError::Stopping;
        for _ in 0..MAX_TURNS {
            let placed = if self.cluster.leads() { self.accept_here(tasks).await } else { self.forward(tasks).await };
            match placed {
                Err(error @ NodeError::Unavailable { .. }) => last = error,
                other => return other,
            }
        }
        Err(last)
    }

    /// Accepts tasks on this leader. Where most voters have just gone, they are not answered for ever: the tasks may be
    /// accepted later, and are sent again under their ids.
    async fn accept_here(&self, tasks: &[Incoming]) -> Result<Accepted, NodeError> {
        self.cluster.when_offers_are_known(tasks.to_vec(), |tasks| self.accept_now(tasks)).await
    }

    async fn accept_now(&self, tasks: Vec<Incoming>) -> Result<Accepted, NodeError> {
        let accepted = self.driver.submit(tasks, false);
        let Some(profile) = self.cluster.role().profile else { return accepted.await };
        let wait = Duration::from_millis(profile.failover_ms());
        tokio::time::timeout(wait, accepted).await.unwrap_or_else(|_| {
            Err(NodeError::Unavailable {
                detail: "most voters do not answer".into(),
                hint: "`akita cluster members` shows who is there; the task is kept here and sent again".into(),
            })
        })
    }

    async fn forward(&self, tasks: &[Incoming]) -> Result<Accepted, NodeError> {
        let sent = tasks.iter().cloned().map(sent).collect();
        let Submitted { statuses, index } = self.cluster.forward(sent, false).await?;
        let status = |byte: u8| Status::ALL.into_iter().find(|status| *status as u8 == byte).unwrap_or(Status::Pending);
        Ok(Accepted { statuses: statuses.into_iter().map(status).collect(), index })
    }

    /// A task of the cluster, as new as is asked for; with `wait`, once it has ended or the time is over.
    ///
    /// # Errors
    /// It is not on this node's books, and the leader cannot be asked.
    pub async fn task(&self, id: TaskId, wait: Duration, reading: Reading) -> Result<Option<TaskView>, NodeError> {
        self.caught_up(reading.after).await?;
        match reading.consistency {
            // As `usual`, but that one task may be known without a leader.
            Consistency::Usual if self.cluster.role().is_voter() => self.look_up(id, wait, Reach::Cluster).await,
            Consistency::Usual => {
                let look = async || self.look_up(id, wait, Reach::Cluster).await;
                self.insist(wait, look, |_| false).await
            }
            Consistency::Linearizable => {
                let look = async || self.look_up(id, wait, Reach::Confirmed).await;
                self.insist(wait, look, |found| found.as_ref().is_some_and(|view| view.stale)).await
            }
            Consistency::Stale => self.stale_task(id, wait).await,
        }
    }

    /// A task as this node's own books, or its outbox, have it.
    async fn stale_task(&self, id: TaskId, wait: Duration) -> Result<Option<TaskView>, NodeError> {
        let found = self.look_up(id, wait, Reach::Here).await?;
        let Some(view) = found else { return self.must_have_copy().map(|()| None) };
        Ok(Some(TaskView { stale: true, as_of_index: Some(self.log_index().await?), ..view }))
    }

    /// The same, asking no further than `reach`.
    async fn look_up(&self, id: TaskId, wait: Duration, reach: Reach) -> Result<Option<TaskView>, NodeError> {
        let deadline = Instant::now() + wait;
        loop {
            let mut end = self.driver.watch().end_of(id);
            let left = deadline.saturating_duration_since(Instant::now());
            let found = self.find(id, left, reach).await?;
            let Some(view) = found else { return Ok(None) };
            let ended = convert::is_end(&view.status);
            let left = deadline.saturating_duration_since(Instant::now());
            if ended || left.is_zero() || self.stop.is_cancelled() {
                return Ok(Some(view));
            }
            // A task on another node's books is asked for again; one on these wakes us.
            let pause = match (self.is_own(id).await?, self.cluster.leads()) {
                // Of a voter's copy of the log each change wakes us, too; who asks others may miss one.
                (true, _) if !view.stale => left,
                (true, _) => left.min(ASK_EVERY),
                (false, true) => left.min(ASK_ALL_EVERY),
                (false, false) => left.min(ASK_EVERY),
            };
            tokio::select! {
                () = end.wait() => {}
                () = tokio::time::sleep(pause) => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    /// The task as whoever must know the newest knows it; as this voter's copy of the log has it where nobody can be
    /// asked.
    async fn find(&self, id: TaskId, wait: Duration, reach: Reach) -> Result<Option<TaskView>, NodeError> {
        let votes = self.cluster.role().is_voter();
        let own = self.own_task(id).await?;
        // What has ended stays as it is, and what only this node has nobody else knows better.
        let is_final = |view: &TaskView| {
            let status = Status::parse(&view.status);
            let ended = status.is_some_and(Status::is_end) && (reach != Reach::Confirmed || !votes);
            ended || status == Some(Status::QueuedLocally) || view.recorded.is_some()
        };
        if own.as_ref().is_some_and(is_final) || reach == Reach::Here || own.is_some() && !votes {
            return Ok(own);
        }
        let newest = self.holds_newest().await;
        // Read again, as of when it was the newest.
        let own = if votes && newest { self.own_task(id).await? } else { own };
        let Some(view) = own else { return self.find_elsewhere(id, wait, reach, newest).await };
        if newest {
            return Ok(Some(view));
        }
        let asked = if self.cluster.leads() { Ok(None) } else { self.ask_for(id, wait, reach).await };
        match asked {
            Ok(Some(view)) => Ok(Some(view)),
            // A leader that has not this entry yet, or not any more, is none.
            Ok(None) | Err(NodeError::Unavailable { .. }) => {
                let as_of_index = Some(self.log_index().await?);
                Ok(Some(TaskView { stale: true, as_of_index, ..view }))
            }
            Err(error) => Err(error),
        }
    }

    /// A task that is not on this node's books. That nobody has it is only said where the newest was looked at.
    async fn find_elsewhere(
        &self,
        id: TaskId,
        wait: Duration,
        reach: Reach,
        newest: bool,
    ) -> Result<Option<TaskView>, NodeError> {
        match self.ask_for(id, wait, reach).await? {
            None if self.cluster.leads() && !newest => self.must_lead().await.map(|()| None),
            found => Ok(found),
        }
    }

    async fn is_own(&self, id: TaskId) -> Result<bool, NodeError> {
        let meta = self.store.task_meta(id).await.map_err(internal)?;
        Ok(meta.is_some_and(|meta| meta.handed_over_to.is_none()))
    }

    /// A task on this node's own books or in its outbox.
    async fn own_task(&self, id: TaskId) -> Result<Option<TaskView>, NodeError> {
        let Some(record) = self.store.task(id).await.map_err(internal)? else {
            if let Some(view) = self.island_task(id).await? {
                return Ok(Some(view));
            }
            let waiting = self.outbox().await?;
            return Ok(waiting.into_iter().find(|view| view.task_id == id.to_string()));
        };
        if record.meta.handed_over_to.is_some() {
            return Ok(None);
        }
        let mut view = convert::task(&record.meta, record.result);
        let task = &record.meta.task;
        if let Some(held) = task.assignment {
            view.progress = self.driver.watch().progress(id, held.fence);
        } else if !task.status.is_end() {
            let why = self.driver.explain(id).await;
            view.reason = match (why, view.reason.take()) {
                (Some(why), Some(before)) => Some(format!("{before}; {why}")),
                (why, before) => why.or(before),
            };
        }
        Ok(Some(view))
    }
}

fn sent(task: Incoming) -> Sent {
    Sent::new(task.id, task.origin, task.attempts, task.spec)
}

/// UUID version 7: its time makes ids ascend, so that they are appended to the database and not strewn over it.
fn new_task_id() -> TaskId {
    TaskId(uuid::Uuid::now_v7().into_bytes())
}
