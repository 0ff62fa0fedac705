//! Sends committed assignments to their workers: to this node's executor directly, to others over the mesh, several in
//! one message. What a worker said comes back to the loop. It never retries by itself: patience does.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    future::Future,
    pin::Pin,
    sync::Arc,
};

use akita_core::{
    Content, Failure, NodeId, Outcome, Task, TaskId,
    wire::{Job, JobExtras, Ran},
};

use super::Driver;
use crate::{executor::Executor, store::Store};

/// Bytes of input that are kept from submission to assignment, so that most need no read; more are read from the store.
const CACHE_BYTES: usize = 16 << 20;
/// Bytes of tasks in one message: large enough to be efficient, small enough that one lost message costs little.
const MESSAGE_BYTES: usize = 64 << 10;

/// What a worker said to an assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// It has all but these.
    Taken {
        /// What it does not take.
        refused: Vec<TaskId>,
    },
    /// It did not answer in time; it may have them or not.
    Unreachable,
}

/// Takes assignments to other nodes.
pub trait Assigner: Send + Sync + 'static {
    /// Sends jobs to a worker and waits for its answer.
    fn assign(&self, worker: NodeId, jobs: Vec<Job>) -> Pin<Box<dyn Future<Output = Delivery> + Send + '_>>;
}

/// Inputs on their way from submission to assignment.
#[derive(Default)]
pub(super) struct Inputs {
    cached: HashMap<TaskId, Content>,
    bytes: usize,
}

impl Inputs {
    pub(super) fn keep(&mut self, task: TaskId, input: Content) {
        let size = input.body.len() + 128;
        if self.bytes + size <= CACHE_BYTES
            && let Entry::Vacant(place) = self.cached.entry(task)
        {
            place.insert(input);
            self.bytes += size;
        }
    }

    fn take(&mut self, task: TaskId) -> Option<Content> {
        let input = self.cached.remove(&task)?;
        self.bytes -= input.body.len() + 128;
        Some(input)
    }

    pub(super) fn forget(&mut self, task: TaskId) {
        self.take(task);
    }
}

pub(super) struct Outbound {
    pub(super) me: NodeId,
    pub(super) executor: Executor,
    pub(super) assigner: Arc<dyn Assigner>,
    pub(super) store: Store,
    pub(super) driver: Driver,
    pub(super) inputs: Inputs,
}

fn job(me: NodeId, task: &Task, input: Content) -> Job {
    Job {
        extras: JobExtras::of(task, me),
        task: task.id,
        fence: task.assignment.map_or(0, |held| held.fence),
        attempt: task.attempts,
        action: task.action.clone(),
        timeout_ms: task.timeout_ms.unwrap_or(0),
        content_type: akita_core::wire::pack_type(&input.content_type),
        input: input.body,
    }
}

impl Outbound {
    /// Sends committed assignments. Answers those that this node's own executor has taken already.
    pub(super) fn send(&mut self, tasks: Vec<Task>) -> Vec<(TaskId, u64)> {
        let mut taken = Vec::new();
        let mut others: HashMap<NodeId, Vec<(Task, Option<Content>)>> = HashMap::new();
        for task in tasks {
            let Some(held) = task.assignment else { continue };
            let input = self.inputs.take(task.id);
            match input {
                Some(input) if held.worker == self.me => {
                    if self.executor.take(self.me, job(self.me, &task, input)) {
                        taken.push((task.id, held.fence));
                    } else {
                        others.entry(held.worker).or_default().push((task, None));
                    }
                }
                input => others.entry(held.worker).or_default().push((task, input)),
            }
        }
        for (worker, tasks) in others {
            let delivery = self.errand(false);
            tokio::spawn(async move { delivery.run(worker, tasks).await });
        }
        taken
    }

    /// Sends once more what a worker has acknowledged. It takes what it has as taken, and a worker of this leader begins
    /// what it has lost; what is refused waits again.
    pub(super) fn ask_after(&self, worker: NodeId, held: Vec<(TaskId, u64)>) {
        let errand = self.errand(true);
        tokio::spawn(async move {
            let mut tasks = Vec::with_capacity(held.len());
            for (id, fence) in held {
                let record = errand.store.task_meta(id).await.ok().flatten();
                let task = record.map(|record| record.task);
                let held = |task: &Task| task.assignment.is_some_and(|held| held.fence == fence);
                tasks.extend(task.filter(held).map(|task| (task, None)));
            }
            errand.run(worker, tasks).await;
        });
    }

    fn errand(&self, again: bool) -> Errand {
        Errand {
            me: self.me,
            again,
            executor: self.executor.clone(),
            assigner: Arc::clone(&self.assigner),
            store: self.store.clone(),
            driver: self.driver.clone(),
        }
    }
}

/// Everything that one delivery needs, so that the loop need not wait for it.
struct Errand {
    me: NodeId,
    /// The worker had these before: what it refuses now was lost with its process.
    again: bool,
    executor: Executor,
    assigner: Arc<dyn Assigner>,
    store: Store,
    driver: Driver,
}

impl Errand {
    async fn run(self, worker: NodeId, tasks: Vec<(Task, Option<Content>)>) {
        let mut jobs = Vec::with_capacity(tasks.len());
        let mut unread = Vec::new();
        for (task, input) in tasks {
            let input = match input {
                Some(input) => Some(input),
                None => self.store.input(task.id).await.ok().flatten(),
            };
            match input {
                Some(input) => jobs.push(job(self.me, &task, input)),
                None => unread.push((task.id, task.assignment.map_or(0, |held| held.fence))),
            }
        }
        if !unread.is_empty() {
            tracing::error!(tasks = unread.len(), "the input of assigned tasks could not be read");
            // As an outcome, so that it counts as an attempt and comes to an end.
            let failed = || Outcome::Failed(unreadable("the leader could not read the task's input from its database"));
            let ran = unread.into_iter().map(|(task, fence)| Ran::new(task, fence, 0, failed()));
            self.driver.own_outcomes(worker, ran.collect()).await;
        }
        if worker == self.me {
            let ids: Vec<_> = jobs.iter().map(|job| (job.task, job.fence)).collect();
            let taken: Vec<bool> = jobs.into_iter().map(|job| self.executor.take(self.me, job)).collect();
            let (taken, refused): (Vec<_>, Vec<_>) = ids.into_iter().zip(taken).partition(|(_, taken)| *taken);
            let strip = |list: Vec<((TaskId, u64), bool)>| list.into_iter().map(|(id, _)| id).collect();
            self.driver.delivered(worker, strip(taken), strip(refused), false).await;
            return;
        }
        while !jobs.is_empty() {
            let rest = jobs.split_off(message_len(&jobs));
            self.deliver(worker, std::mem::replace(&mut jobs, rest)).await;
        }
    }

    async fn deliver(&self, worker: NodeId, jobs: Vec<Job>) {
        let ids: Vec<(TaskId, u64)> = jobs.iter().map(|job| (job.task, job.fence)).collect();
        match self.assigner.assign(worker, jobs).await {
            Delivery::Taken { refused } => {
                let refused: HashSet<TaskId> = refused.into_iter().collect();
                let (refused, taken) = ids.into_iter().partition(|(task, _)| refused.contains(task));
                self.driver.delivered(worker, taken, refused, self.again).await;
            }
            Delivery::Unreachable => self.driver.delivered(worker, Vec::new(), ids, true).await,
        }
    }
}

/// The failure of a task whose input whoever gives it out could not read; it may be tried again at once.
pub(crate) fn unreadable(message: &str) -> Failure {
    Failure {
        message: message.to_owned(),
        code: Some("input-unreadable".into()),
        pointer: None,
        retry_after_ms: Some(0),
    }
}

/// How many of `jobs` go into one message: at least one.
pub(crate) fn message_len(jobs: &[Job]) -> usize {
    let mut bytes = 0;
    let fits = |job: &&Job| {
        bytes += job.input.len() + job.action.len() + 64;
        bytes <= MESSAGE_BYTES
    };
    jobs.iter().take_while(fits).count().max(1)
}
