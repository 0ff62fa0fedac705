//! The loop itself. One entry is under way to the disk while the next one fills: under load a commit carries hundreds
//! of commands, alone it carries one.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use akita_core::{
    Change, Command, Millis, NodeId, Reply, State, Status, TaskId,
    command::RequeueCause,
    leader::{Leader, Proposed},
    schedule::Resolved,
    tuning::Tuning,
    wire::Ran,
};
use tokio::sync::{mpsc, oneshot};

use super::{
    Assigner, Driver, Inbox, Incoming, Request,
    outbound::{Inputs, Outbound},
};
use crate::{
    consensus::{Applied, Consensus},
    executor::Executor,
    store::Store,
    view::NodeError,
};

/// Entries under way to the disk: one is being written, one waits, so that the disk never does.
const PIPELINE: usize = 2;
/// Requests looked at in one turn: bounds an entry, and how long a turn takes.
const TURN: usize = 512;
/// Commands after which an entry takes no more requests; far below what an entry may hold, because a whole batch of
/// submissions may still come on top.
const ENTRY_FULL: usize = 1_024;
/// How long an own task may run before its start is committed by itself; a shorter one shares the commit of its end.
const LAZY_ACK_MS: Millis = 25;
/// The longest sleep when nothing is due: bounds the damage of a clock that jumps.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);
/// Seconds after which a submitter refused by a full queue may try again.
const RETRY_AFTER_S: u64 = 2;

/// What the loop needs to start.
pub struct Start {
    /// This node.
    pub me: NodeId,
    /// Patience and bounds.
    pub tuning: Tuning,
    /// The state that the log has led to.
    pub state: State,
    /// Where commands go.
    pub consensus: Consensus,
    /// Where they come back.
    pub applied: mpsc::UnboundedReceiver<Applied>,
    /// Inputs of tasks.
    pub store: Store,
    /// This node's own slots.
    pub executor: Executor,
    /// The way to other workers.
    pub assigner: Arc<dyn Assigner>,
}

/// Who is told when an entry is committed.
enum Waiter {
    Submit { first: usize, count: usize, reply: oneshot::Sender<Result<Vec<Status>, NodeError>> },
    Done(oneshot::Sender<()>),
}

/// An entry that fills, or is under way.
#[derive(Default)]
struct Batch {
    commands: Vec<Command>,
    waiters: Vec<Waiter>,
}

struct UnderWay {
    proposed: Vec<Proposed>,
    waiters: Vec<Waiter>,
}

/// Owns the receiver and everything that changes with each command.
pub struct Service {
    leader: Leader,
    tuning: Tuning,
    consensus: Consensus,
    applied: mpsc::UnboundedReceiver<Applied>,
    requests: mpsc::Receiver<Request>,
    outbound: Outbound,
    driver: Driver,
    next: Batch,
    under_way: VecDeque<UnderWay>,
    /// Own tasks that run, and when their start is to be committed.
    unacknowledged: BTreeMap<TaskId, (Millis, u64)>,
    paused: bool,
}

/// Milliseconds since the epoch by this node's clock.
pub fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Service {
    /// The loop and its handle; nothing happens before [`Service::run`].
    pub fn new(start: Start, driver: Driver, inbox: Inbox) -> Service {
        let mut leader = Leader::new(start.me, start.tuning);
        let mut next = Batch::default();
        if start.state.cluster().is_none_or(|cluster| cluster.sealed_into.is_some()) {
            leader.set_leading(false);
        }
        next.commands = leader.resume(start.state.tasks().values(), now());
        Service {
            leader,
            tuning: start.tuning,
            consensus: start.consensus,
            applied: start.applied,
            requests: inbox.0,
            outbound: Outbound {
                me: start.me,
                executor: start.executor,
                assigner: start.assigner,
                store: start.store,
                driver: driver.clone(),
                inputs: Inputs::default(),
            },
            driver,
            next,
            under_way: VecDeque::new(),
            unacknowledged: BTreeMap::new(),
            paused: false,
        }
    }

    /// Runs until the log fails or every handle is gone. A node must not go on without its loop.
    pub async fn run(mut self) {
        loop {
            let sleep = tokio::time::sleep(self.until_next());
            tokio::select! {
                biased;
                applied = self.applied.recv() => match applied {
                    Some(applied) => self.applied(applied),
                    None => return,
                },
                request = self.requests.recv(), if self.next.commands.len() < ENTRY_FULL => match request {
                    Some(request) => self.request(request),
                    None => return,
                },
                () = sleep => {}
            }
            self.drain();
            if !self.advance() {
                return;
            }
        }
    }

    fn until_next(&self) -> Duration {
        let acknowledge = self.unacknowledged.values().map(|(due, _)| *due).min();
        let due = [self.leader.next_wake(), acknowledge].into_iter().flatten().min();
        let Some(due) = due else { return LONGEST_SLEEP };
        Duration::from_millis(due.saturating_sub(now()).max(1)).min(LONGEST_SLEEP)
    }

    fn drain(&mut self) {
        while let Ok(applied) = self.applied.try_recv() {
            self.applied(applied);
        }
        for _ in 0..TURN {
            if self.next.commands.len() >= ENTRY_FULL {
                break;
            }
            match self.requests.try_recv() {
                Ok(request) => self.request(request),
                Err(_) => break,
            }
        }
    }

    /// Adds what time and free slots bring about, and proposes. `false` when the log takes nothing any more.
    fn advance(&mut self) -> bool {
        let now = now();
        self.next.commands.extend(self.leader.tick(now));
        self.acknowledge_long_ones(now);
        if !self.paused {
            self.next.commands.extend(self.leader.place(now, ENTRY_FULL));
        }
        while !self.next.commands.is_empty() && self.under_way.len() < PIPELINE {
            if !self.propose() {
                return false;
            }
        }
        true
    }

    fn acknowledge_long_ones(&mut self, now: Millis) {
        let due: Vec<TaskId> =
            self.unacknowledged.iter().filter(|(_, (due, _))| *due <= now).map(|(task, _)| *task).collect();
        for task in due {
            if let Some((_, fence)) = self.unacknowledged.remove(&task) {
                self.next.commands.push(Command::Acknowledge { task, fence });
            }
        }
    }

    fn propose(&mut self) -> bool {
        let batch = std::mem::take(&mut self.next);
        let proposed = batch.commands.iter().map(Proposed::of).collect();
        match self.consensus.submit(batch.commands) {
            // What it came to arrives with what was applied.
            Ok(_) => {
                self.under_way.push_back(UnderWay { proposed, waiters: batch.waiters });
                true
            }
            Err(error) => {
                tracing::error!(%error, "the log takes nothing any more; the node stops");
                false
            }
        }
    }

    fn applied(&mut self, applied: Applied) {
        let Some(entry) = self.under_way.pop_front() else { return };
        for (proposed, reply) in entry.proposed.iter().zip(&applied.replies) {
            self.leader.replied(*proposed, reply);
        }
        let mut to_send = Vec::new();
        for change in &applied.changes {
            match change {
                Change::Ended { task, .. } => self.forget(task.id),
                Change::HandedOver { task, .. } => self.forget(*task),
                Change::Moved(task) if task.assignment.is_none() => {
                    self.unacknowledged.remove(&task.id);
                }
                _ => {}
            }
            to_send.extend(self.leader.changed(change, applied.time));
        }
        let due = now() + LAZY_ACK_MS;
        for (task, fence) in self.outbound.send(to_send) {
            self.unacknowledged.insert(task, (due, fence));
        }
        for waiter in entry.waiters {
            match waiter {
                Waiter::Done(reply) => drop(reply.send(())),
                Waiter::Submit { first, count, reply } => {
                    let _ = reply.send(statuses(&applied.replies[first..first + count]));
                }
            }
        }
    }

    fn forget(&mut self, task: TaskId) {
        self.unacknowledged.remove(&task);
        self.outbound.inputs.forget(task);
        self.driver.watch().ended(task);
    }

    fn request(&mut self, request: Request) {
        match request {
            Request::Submit { tasks, imported, reply } => self.submit(tasks, imported, reply),
            Request::Outcomes { worker, ran, reply } => self.outcomes(worker, ran, reply),
            Request::Delivered { worker, taken, refused, unreachable } => {
                self.delivered(worker, &taken, refused, unreachable);
            }
            Request::WorkerUp { node, offer, load } => self.leader.worker_up(node, offer, load),
            Request::WorkerLoad { node, load } => self.leader.worker_load(node, load),
            Request::WorkerLeaving { node } => self.leader.worker_leaving(node),
            Request::WorkerLost { node } => self.next.commands.extend(self.leader.worker_lost(node)),
            Request::Commit { commands, reply } => {
                self.next.commands.extend(commands);
                self.next.waiters.push(Waiter::Done(reply));
            }
            Request::Explain { task, reply } => {
                let _ = reply.send(self.leader.explain(task, now()));
            }
            Request::Waiting { limit, reply } => {
                let _ = reply.send(self.leader.waiting(limit));
            }
            Request::Absent { reply } => {
                let _ = reply.send(self.leader.absent_holders());
            }
            Request::Recall { only } => {
                let running = self.leader.running_elsewhere().into_iter();
                for (worker, tasks) in running.filter(|(worker, _)| only.is_none_or(|only| only == *worker)) {
                    self.outbound.ask_after(worker, tasks);
                }
            }
            Request::Pause => self.paused = true,
        }
    }

    fn submit(
        &mut self,
        mut tasks: Vec<Incoming>,
        imported: bool,
        reply: oneshot::Sender<Result<Vec<Status>, NodeError>>,
    ) {
        if let Err(error) = self.admit(&mut tasks, imported) {
            let _ = reply.send(Err(error));
            return;
        }
        let now = now();
        let (first, count) = (self.next.commands.len(), tasks.len());
        for Incoming { id, origin, attempts, spec } in tasks {
            self.leader.offer(id, &spec, now);
            self.outbound.inputs.keep(id, &spec.input);
            let max_attempts = self.tuning.max_attempts;
            self.next.commands.push(Command::Submit { id, origin, attempts, max_attempts, spec });
        }
        self.next.waiters.push(Waiter::Submit { first, count, reply });
    }

    fn admit(&self, tasks: &mut [Incoming], imported: bool) -> Result<(), NodeError> {
        if self.paused {
            return Err(NodeError::Stopping);
        }
        if imported {
            for task in tasks {
                if let Resolved::One(full) = self.leader.resolve(&task.spec.action) {
                    task.spec.action = full;
                }
            }
            return Ok(());
        }
        if !self.leader.has_room(tasks.len()) {
            let limit = self.tuning.max_queue;
            return Err(NodeError::QueueFull { limit, retry_after_s: RETRY_AFTER_S });
        }
        let many = tasks.len() > 1;
        for (at, task) in tasks.iter_mut().enumerate() {
            let place = if many { format!("task {at} of the batch: ") } else { String::new() };
            match self.leader.resolve(&task.spec.action) {
                Resolved::One(full) => task.spec.action = full,
                Resolved::Ambiguous(all) => {
                    return Err(NodeError::Invalid {
                        detail: format!("{place}several plugins have the action `{}`", task.spec.action),
                        hint: format!("name one of them: {}", all.join(", ")),
                    });
                }
                Resolved::Unknown(near) => {
                    let detail = format!("{place}no node of the cluster has the action `{}`", task.spec.action);
                    let hint = match near.as_slice() {
                        [] => "`akita plugin list` shows what a node offers; start it with --plugins DIR".to_owned(),
                        near => format!("did you mean {}?", near.join(", ")),
                    };
                    return Err(NodeError::Invalid { detail, hint });
                }
            }
        }
        Ok(())
    }

    fn outcomes(&mut self, worker: NodeId, ran: Vec<Ran>, reply: Option<oneshot::Sender<()>>) {
        for one in ran {
            let (task, fence) = (one.task, one.fence);
            self.unacknowledged.remove(&task);
            if self.leader.holder(task) == Some((worker, fence)) {
                self.leader.ran(task, one.run_us);
                self.next.commands.push(Command::Finish { task, fence, worker, outcome: one.outcome() });
            } else {
                tracing::debug!(%task, %worker, "an outcome came too late and is not taken");
            }
        }
        if let Some(reply) = reply {
            if self.next.commands.is_empty() {
                let _ = reply.send(());
            } else {
                self.next.waiters.push(Waiter::Done(reply));
            }
        }
    }

    fn delivered(&mut self, worker: NodeId, taken: &[(TaskId, u64)], refused: Vec<(TaskId, u64)>, unreachable: bool) {
        let own = worker == self.outbound.me;
        for (task, fence) in taken {
            if self.leader.holder(*task) != Some((worker, *fence)) {
                continue;
            }
            if own {
                self.unacknowledged.insert(*task, (now() + LAZY_ACK_MS, *fence));
            } else {
                self.next.commands.push(Command::Acknowledge { task: *task, fence: *fence });
            }
        }
        let cause = if unreachable { RequeueCause::WorkerOffline } else { RequeueCause::Refused };
        let back = refused.into_iter().map(|(task, fence)| Command::Requeue { task, fence, cause });
        self.next.commands.extend(back);
    }
}

fn statuses(replies: &[Reply]) -> Result<Vec<Status>, NodeError> {
    replies
        .iter()
        .map(|reply| match reply {
            Reply::Known(status) => Ok(*status),
            Reply::Done => Ok(Status::Pending),
            Reply::Sealed | Reply::Stale => Err(NodeError::Unavailable {
                detail: "this node has just given way to another leader".into(),
                hint: "send the task again".into(),
            }),
        })
        .collect()
}
