//! The leader's mind: which commands to propose when something happened. It joins scheduler and dispatch into one
//! state machine; the driver around it does all waiting, sending and committing.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    command::{Command, Reply, RequeueCause},
    dispatch::Dispatch,
    id::{Millis, NodeId, TaskId},
    schedule::{Load, Offer, Rank, Resolved, Scheduler},
    state::Change,
    task::{Status, Task, TaskSpec},
    tuning::{Tuning, airtime},
};

/// Assignments taken back by one call of [`Leader::tick`] at most: an entry of the log has a bound, and after a machine
/// has slept, everything may be late at once.
const MAX_LATE: usize = 1_024;

/// What the leader remembers of a command that it proposed, to make sense of the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proposed {
    /// A task that it offered to the scheduler before the commit.
    Submit(TaskId),
    /// A placement.
    Assign(TaskId, NodeId),
    /// Anything whose reply changes nothing here.
    Other,
}

impl Proposed {
    /// What to remember of `command`.
    pub fn of(command: &Command) -> Proposed {
        match command {
            Command::Submit { id, .. } => Proposed::Submit(*id),
            Command::Assign { task, worker } => Proposed::Assign(*task, *worker),
            _ => Proposed::Other,
        }
    }
}

/// The leader's soft state. Two clocks come in: `time`, the log's, which may leap as the machine's clock is set, and
/// `now`, which only ever goes on; patience is measured by the latter. A new one is built from [`crate::State`] whenever a node begins to lead.
#[derive(Debug)]
pub struct Leader {
    me: NodeId,
    tuning: Tuning,
    scheduler: Scheduler,
    dispatch: Dispatch,
    run_us: BTreeMap<TaskId, u64>,
    /// Offered before the commit, so that task and assignment share one.
    tentative: BTreeSet<TaskId>,
    /// Committed to a worker that was lost meanwhile.
    orphans: Vec<(TaskId, u64)>,
    leading: bool,
    paused: bool,
}

impl Leader {
    /// A leader on node `me` that knows no task.
    pub fn new(me: NodeId, tuning: Tuning) -> Leader {
        Leader {
            me,
            tuning,
            scheduler: Scheduler::default(),
            dispatch: Dispatch::default(),
            run_us: BTreeMap::new(),
            tentative: BTreeSet::new(),
            orphans: Vec::new(),
            leading: true,
            paused: false,
        }
    }

    /// Takes up the tasks that the log holds: after a restart, or from the leader before. What this node itself should
    /// have and does not, as `holds` says, was lost with its process and comes back as commands; what others run may
    /// still be reported until patience ends.
    pub fn resume<'a>(
        &mut self,
        tasks: impl IntoIterator<Item = &'a Task>,
        holds: &dyn Fn(TaskId, u64) -> bool,
        time: Millis,
        now: Millis,
    ) -> Vec<Command> {
        let mut commands = Vec::new();
        for task in tasks {
            match task.assignment {
                Some(held) if held.worker == self.me && !holds(task.id, held.fence) => {
                    self.dispatch.assigned(task.id, held.worker, held.fence, now + self.tuning.ack_timeout);
                    let cause = RequeueCause::LeaderRestart;
                    commands.push(Command::Requeue { task: task.id, fence: held.fence, cause });
                }
                Some(held) => {
                    let patience = now + self.tuning.processing_timeout;
                    self.dispatch.acknowledged(task.id, held.worker, held.fence, patience);
                }
                None => self.wait(task, time, now),
            }
        }
        commands
    }

    /// Whether this node gives out work.
    pub fn is_leading(&self) -> bool {
        self.leading
    }

    /// Stops or resumes giving out work; what is under way goes on.
    pub fn set_leading(&mut self, leading: bool) {
        self.leading = leading;
    }

    /// Gives out no more work, whatever becomes of the cluster: the node is stopping.
    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// Tasks that have not ended, with those whose commit is under way.
    pub fn queue_len(&self) -> usize {
        self.scheduler.waiting() + self.scheduler.placed() + self.dispatch.len()
    }

    /// Tasks that wait, at most `limit`.
    pub fn waiting(&self, limit: usize) -> Vec<TaskId> {
        self.scheduler.waiting_ids().filter(|id| !self.tentative.contains(id)).take(limit).collect()
    }

    /// Assignments under way.
    pub fn in_flight(&self) -> usize {
        self.dispatch.len()
    }

    /// Whether the queue takes `more` tasks.
    pub fn has_room(&self, more: usize) -> bool {
        self.queue_len() + more <= self.tuning.max_queue
    }

    /// What an action's name means in this cluster.
    pub fn resolve(&self, action: &str) -> Resolved {
        self.scheduler.resolve(action)
    }

    /// Why a task waits.
    pub fn explain(&self, task: TaskId, now: Millis) -> Option<String> {
        if !self.leading {
            return Some("this node gave way to another leader and hands the task over".into());
        }
        self.scheduler.explain(task, now)
    }

    /// Who holds a task now, and under which fence.
    pub fn holder(&self, task: TaskId) -> Option<(NodeId, u64)> {
        self.dispatch.get(task).map(|one| (one.worker, one.fence))
    }

    /// A task whose `Submit` is about to be proposed: it may be placed in the same entry.
    pub fn offer(&mut self, id: TaskId, spec: &TaskSpec, time: Millis) {
        if self.dispatch.get(id).is_none()
            && !self.scheduler.is_placed(id)
            && self.scheduler.add(
                id,
                &spec.action,
                &spec.required,
                Rank::new(spec.priority, spec.extras.depth()),
                time,
                0,
            )
        {
            self.tentative.insert(id);
        }
    }

    /// Placements to propose now.
    pub fn place(&mut self, now: Millis, most: usize) -> Vec<Command> {
        if !self.leading || self.paused {
            return Vec::new();
        }
        self.scheduler.place(now, most).into_iter().map(|(task, worker)| Command::Assign { task, worker }).collect()
    }

    /// What became of a command that this leader proposed. To be called before [`Leader::changed`] for that entry.
    pub fn replied(&mut self, proposed: Proposed, reply: &Reply) {
        match proposed {
            Proposed::Submit(id) if *reply != Reply::Done && self.tentative.remove(&id) => {
                self.scheduler.remove(id);
                self.scheduler.unplace(id);
            }
            Proposed::Assign(task, _) => match reply {
                Reply::Done => self.scheduler.settle(task),
                // Sealed while it was under way: the task is still this log's, and is to be handed over.
                Reply::Sealed => self.scheduler.put_back(task),
                _ => self.scheduler.unplace(task),
            },
            _ => {}
        }
    }

    /// A committed change of an entry of that `time`. Answers a task whose assignment is now to be sent to its worker.
    pub fn changed(&mut self, change: &Change, time: Millis, now: Millis) -> Option<Task> {
        match change {
            // One that was offered before its commit is with the scheduler already, or placed by the same entry.
            Change::Accepted { task, .. } => {
                if !self.tentative.remove(&task.id) {
                    self.wait(task, time, now);
                }
            }
            Change::Moved(task) => return self.moved(task, time, now),
            Change::Ended { task, .. } => {
                // One that ended in an island meanwhile may wait here, or be on its way to a worker.
                self.scheduler.remove(task.id);
                self.scheduler.unplace(task.id);
                self.gone(task.id);
            }
            Change::HandedOver { task, .. } => {
                self.scheduler.remove(*task);
                self.scheduler.unplace(*task);
                self.gone(*task);
            }
            Change::Cluster(cluster) => self.leading = cluster.sealed_into.is_none(),
            Change::Imported { .. } | Change::Enlisted(_) | Change::Key(_) | Change::Pruned { .. } => {}
        }
        None
    }

    fn moved(&mut self, task: &Task, time: Millis, now: Millis) -> Option<Task> {
        match (task.status, task.assignment) {
            (Status::Assigned, Some(held)) => {
                let rtt = self.scheduler.rtt(held.worker);
                // A few tasks may share a slow link.
                let patience = self.tuning.ack_patience(rtt) + airtime(task.input_len, rtt) * 4;
                self.scheduler.remove(task.id);
                self.dispatch.assigned(task.id, held.worker, held.fence, now + patience);
                if !self.scheduler.has_worker(held.worker) {
                    self.orphans.push((task.id, held.fence));
                    return None;
                }
                return Some(task.clone());
            }
            (Status::Running, Some(held)) => {
                let rtt = self.scheduler.rtt(held.worker);
                let limit = u64::from(task.timeout_ms.unwrap_or(0));
                let patience = self.tuning.processing_timeout.max(limit) + self.tuning.ack_patience(rtt);
                self.dispatch.acknowledged(task.id, held.worker, held.fence, now + patience);
            }
            _ => {
                self.gone(task.id);
                self.wait(task, time, now);
            }
        }
        None
    }

    /// A worker said how long a task ran; used once the outcome is committed.
    pub fn ran(&mut self, task: TaskId, micros: u64, now: Millis) {
        if let Some(one) = self.dispatch.get(task).copied() {
            self.dispatch.outcome(one.worker, one.fence, now);
            self.run_us.insert(task, micros);
        }
    }

    /// A worker did not take what it was given, or nobody could tell: it gets nothing for a while.
    pub fn refused(&mut self, worker: NodeId, now: Millis) {
        self.scheduler.refused(worker, now);
    }

    fn gone(&mut self, task: TaskId) {
        let run = self.run_us.remove(&task);
        self.scheduler.uncap(task);
        if let Some(worker) = self.dispatch.ended(task) {
            self.scheduler.release(worker, run);
        }
    }

    fn wait(&mut self, task: &Task, time: Millis, now: Millis) {
        let wait = task.not_before.saturating_sub(time);
        let not_before = if wait == 0 { 0 } else { now + wait };
        let rank = Rank::new(task.priority, task.extras.depth());
        self.scheduler.add(task.id, &task.action, &task.required, rank, task.submitted_at, not_before);
    }

    /// A worker is there, or offers something else now.
    pub fn worker_up(&mut self, node: NodeId, offer: Offer, load: Load) {
        let known = self.scheduler.has_worker(node);
        self.scheduler.worker_up(node, offer, load);
        if !known {
            self.dispatch.held_by(node).iter().for_each(|_| self.scheduler.hold(node));
        }
    }

    /// How busy a worker is.
    pub fn worker_load(&mut self, node: NodeId, load: Load) {
        self.scheduler.worker_load(node, load);
    }

    /// A worker takes nothing more but finishes what it has.
    pub fn worker_leaving(&mut self, node: NodeId) {
        self.scheduler.worker_down(node);
    }

    /// A worker went away, or came back as a new process that knows nothing of its tasks: takes them back.
    pub fn worker_lost(&mut self, node: NodeId) -> Vec<Command> {
        self.scheduler.worker_down(node);
        self.dispatch.forget(node);
        let cause = RequeueCause::WorkerOffline;
        let held = self.dispatch.held_by(node);
        held.into_iter().map(|(task, fence)| Command::Requeue { task, fence, cause }).collect()
    }

    /// What time alone brings about.
    pub fn tick(&mut self, now: Millis) -> Vec<Command> {
        let cause = RequeueCause::Refused;
        let orphans = std::mem::take(&mut self.orphans);
        let orphans = orphans.into_iter().map(|(task, fence)| Command::Requeue { task, fence, cause });
        let late = self.dispatch.overdue(now, self.tuning.processing_timeout, MAX_LATE);
        let late = late.into_iter().map(|one| Command::Requeue { task: one.task, fence: one.fence, cause: one.cause });
        orphans.chain(late).collect()
    }

    /// When [`Leader::tick`] or [`Leader::place`] next has something to do by time alone.
    pub fn next_wake(&self) -> Option<Millis> {
        // Nobody places what is due while this node gives out no work.
        let due = self.scheduler.next_due().filter(|_| self.leading && !self.paused);
        [self.dispatch.next_deadline(), due].into_iter().flatten().min()
    }

    /// Tasks that a worker was given, with those whose commit is under way; `None` if it is not there.
    pub fn given_to(&self, worker: NodeId) -> Option<u64> {
        self.scheduler.in_flight(worker)
    }

    /// Tasks that other nodes have acknowledged and not ended, by node. One may have lost them with its process while
    /// this node did not look: it restarted itself, or it follows another and hears of its former workers no more.
    pub fn running_elsewhere(&self) -> Vec<(NodeId, Vec<(TaskId, u64)>)> {
        let others = self.dispatch.workers().into_iter().filter(|worker| *worker != self.me);
        others.map(|worker| (worker, self.dispatch.running_on(worker))).filter(|(_, tasks)| !tasks.is_empty()).collect()
    }

    /// Workers that hold tasks but have not come back since this leader began.
    pub fn absent_holders(&self) -> Vec<NodeId> {
        self.dispatch.workers().into_iter().filter(|node| !self.scheduler.has_worker(*node)).collect()
    }
}

#[cfg(test)]
#[path = "leader_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "merge_tests.rs"]
mod merge_tests;
