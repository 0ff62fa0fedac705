//! The replicated state: what every voter holds alike after applying the same log. It never schedules, sends or stores;
//! it says what changed, and the same commands on the same state say the same.

mod import;
mod keys;

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    command::{Access, Command, MAX_PRUNED, Reply, RequeueCause},
    event::{Details, EventType, LedgerRow},
    id::{ClusterId, Millis, NodeId, TaskId},
    keys::{KeyTurn, MAX_WAITING},
    task::{Assignment, Content, Failure, MAX_CODE_LEN, MAX_REASON_LEN, Outcome, Status, Task, TaskSpec, cut},
};

/// Attempts after which a task fails whatever the cause: stops a task that takes its node down each time.
pub const MAX_ATTEMPTS_EVER: u32 = 100;
/// First wait before another attempt, doubled with each; in milliseconds.
const FIRST_RETRY_MS: u64 = 1_000;
/// Longest wait before another attempt, unless the task asked for more; in milliseconds.
const LONGEST_RETRY_MS: u64 = 60_000;
/// Longest wait that a task may ask for; in milliseconds.
const LONGEST_ASKED_RETRY_MS: u64 = 24 * 3_600_000;

/// The ended tasks, which lie on disk and not in [`State`]. Every voter holds the same.
pub trait Archive {
    /// How the task ended, if it is known here. One that was handed over has not ended, and may come back.
    fn ended(&self, task: TaskId) -> Option<Status>;
}

/// The cluster as this log knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Its id.
    pub id: ClusterId,
    /// Its name.
    pub name: String,
    /// Who founded it.
    pub founder: NodeId,
    /// Times that a leader was elected under this log.
    pub term: u64,
    /// The cluster that it gave way to, and that one's leader.
    pub sealed_into: Option<(ClusterId, NodeId)>,
}

/// A node that voters know, or are not to know again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enlisted {
    /// Its number: the index of the entry that gave it, never used for another node.
    pub number: u64,
    /// What it may do.
    pub access: Access,
}

/// Nodes that are enlisted or banned at most: far more than vote, few enough to be written anew with each change.
const MAX_ENLISTED: usize = 1_024;

/// What one command changed, for the store and for the leader's soft state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The cluster was founded or sealed.
    Cluster(Cluster),
    /// A task was accepted; `input` is to be stored.
    Accepted {
        /// The task.
        task: Task,
        /// Its input.
        input: Vec<u8>,
    },
    /// A task moved on, but not to an end.
    Moved(Task),
    /// A task ended. It leaves [`State`] and belongs to the archive.
    Ended {
        /// The task.
        task: Task,
        /// Its output, when it completed.
        output: Option<Content>,
        /// What went wrong, when it failed.
        failure: Option<Failure>,
    },
    /// A task ended in an island before this log knew of it; as [`Change::Ended`], of a task that was never accepted.
    Imported {
        /// The task.
        task: Task,
        /// Its output, when it completed.
        output: Option<Content>,
        /// What went wrong, when it failed.
        failure: Option<Failure>,
    },
    /// A task belongs to another cluster now.
    HandedOver {
        /// The task.
        task: TaskId,
        /// That cluster.
        to: ClusterId,
    },
    /// Who is enlisted changed; all of them.
    Enlisted(BTreeMap<NodeId, Enlisted>),
    /// What the log says of the newest cluster key.
    Key(KeyTurn),
    /// Ended tasks are to be forgotten: those that ended before `older_than`, and those beyond the newest `keep_max`.
    Pruned {
        /// Time of the end.
        older_than: Millis,
        /// Ended tasks that stay.
        keep_max: u64,
        /// Tasks at most.
        most: u32,
    },
}

/// What applying commands brought about, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// To append to the ledger.
    pub rows: Vec<LedgerRow>,
    /// To store and to act on.
    pub changes: Vec<Change>,
    /// One for each command.
    pub replies: Vec<Reply>,
}

/// Everything that the log decides and that is not on disk alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    cluster: Option<Cluster>,
    tasks: BTreeMap<TaskId, Task>,
    enlisted: BTreeMap<NodeId, Enlisted>,
    key: Option<KeyTurn>,
    next_row: u64,
}

/// Where in the log a command stands.
struct At {
    index: u64,
    time: Millis,
}

impl State {
    /// The state that the store holds: tasks that have not ended, who is enlisted, and the ledger's length.
    pub fn restore(
        cluster: Option<Cluster>,
        tasks: impl IntoIterator<Item = Task>,
        enlisted: BTreeMap<NodeId, Enlisted>,
        rows: u64,
    ) -> State {
        let tasks = tasks.into_iter().map(|task| (task.id, task)).collect();
        State { cluster, tasks, enlisted, key: None, next_row: rows }
    }

    /// The same with what is known of the cluster key.
    #[must_use]
    pub fn with_key(self, key: Option<KeyTurn>) -> State {
        State { key, ..self }
    }

    /// What the log says of the newest cluster key; nothing before the first rotation.
    pub fn key(&self) -> Option<&KeyTurn> {
        self.key.as_ref()
    }

    /// The cluster, once founded.
    pub fn cluster(&self) -> Option<&Cluster> {
        self.cluster.as_ref()
    }

    /// Tasks that have not ended.
    pub fn tasks(&self) -> &BTreeMap<TaskId, Task> {
        &self.tasks
    }

    /// Nodes that voters know by number, and those that were removed.
    pub fn enlisted(&self) -> &BTreeMap<NodeId, Enlisted> {
        &self.enlisted
    }

    /// Rows in the ledger.
    pub fn rows(&self) -> u64 {
        self.next_row
    }

    /// Applies one command of the entry at `index`, which the leader stamped with `time`.
    pub fn apply(&mut self, index: u64, time: Millis, command: Command, archive: &dyn Archive, out: &mut Effects) {
        let at = At { index, time };
        let reply = match command {
            Command::Found { id, name, founder } => self.found(&at, id, name, founder, out),
            Command::Seal { into, leader } => self.seal(&at, into, leader, out),
            Command::Submit { id, origin, attempts, max_attempts, spec } => {
                let known = self.tasks.get(&id).map(|task| task.status).or_else(|| archive.ended(id));
                match known {
                    Some(status) => Reply::Known(status),
                    None if self.is_sealed() => Reply::Sealed,
                    None => self.accept(&at, id, origin, (attempts, max_attempts), spec, out),
                }
            }
            Command::Assign { task, worker } => self.assign(&at, task, worker, out),
            Command::Acknowledge { task, fence } => self.acknowledge(&at, task, fence, out),
            Command::Finish { task, fence, worker, outcome } => self.finish(&at, task, fence, worker, outcome, out),
            Command::Requeue { task, fence, cause } => self.requeue(&at, task, fence, cause, out),
            Command::HandOver { tasks, to } => self.hand_over(&at, &tasks, to, out),
            Command::Record { event, node, details } => {
                let details = details.into_iter().map(|(key, value)| (key.into(), value)).collect();
                self.row(&at, event, node, None, details, out);
                Reply::Done
            }
            Command::Lead { node } => self.lead(&at, node, out),
            Command::Enlist { node } => self.enlist(&at, node, out),
            Command::Dismiss { node, to } => self.dismiss(&at, node, to, out),
            Command::RotateKey { generation, mark, until, early, waiting } => {
                let waiting = waiting.into_iter().take(MAX_WAITING).collect();
                let held = BTreeSet::new();
                self.rotate_key(&at, KeyTurn { generation, mark, until, early, retired: false, waiting, held }, out)
            }
            Command::HoldKey { generation, nodes } => self.hold_key(generation, &nodes, out),
            Command::RetireKey { generation } => self.retire_key(&at, generation, out),
            Command::Import(result) => match archive.ended(result.id) {
                Some(status) => Reply::Known(status),
                None => self.import(&at, *result, out),
            },
            Command::Prune { older_than, keep_max, most } => {
                out.changes.push(Change::Pruned { older_than, keep_max, most: most.min(MAX_PRUNED) });
                Reply::Done
            }
        };
        out.replies.push(reply);
    }

    fn is_sealed(&self) -> bool {
        self.cluster.as_ref().is_none_or(|cluster| cluster.sealed_into.is_some())
    }

    fn found(&mut self, at: &At, id: ClusterId, name: String, founder: NodeId, out: &mut Effects) -> Reply {
        let term = self.cluster.as_ref().map_or(0, |old| old.term) + 1;
        let details = vec![("cluster_id".into(), id.to_string()), ("term".into(), term.to_string())];
        let cluster = Cluster { id, name, founder, term, sealed_into: None };
        out.changes.push(Change::Cluster(cluster.clone()));
        self.cluster = Some(cluster);
        // A new cluster has no voter but its founder; who was removed from the old one stays so.
        let before = self.enlisted.len();
        self.enlisted.retain(|_, one| one.access == Access::Banned);
        if self.enlisted.len() != before {
            out.changes.push(Change::Enlisted(self.enlisted.clone()));
        }
        self.row(at, EventType::LeaderElected, founder, None, details, out);
        Reply::Done
    }

    fn lead(&mut self, at: &At, node: NodeId, out: &mut Effects) -> Reply {
        let Some(cluster) = self.cluster.as_mut() else {
            return Reply::Sealed;
        };
        cluster.term += 1;
        let details = vec![("cluster_id".into(), cluster.id.to_string()), ("term".into(), cluster.term.to_string())];
        let change = Change::Cluster(cluster.clone());
        out.changes.push(change);
        self.row(at, EventType::LeaderElected, node, None, details, out);
        Reply::Done
    }

    fn enlist(&mut self, at: &At, node: NodeId, out: &mut Effects) -> Reply {
        if let Some(known) = self.enlisted.get(&node).filter(|one| one.access == Access::Voter) {
            return Reply::Enlisted(known.number);
        }
        if self.is_sealed() {
            return Reply::Sealed;
        }
        if self.enlisted.len() >= MAX_ENLISTED && !self.enlisted.contains_key(&node) {
            return Reply::Stale;
        }
        self.enlisted.insert(node, Enlisted { number: at.index, access: Access::Voter });
        out.changes.push(Change::Enlisted(self.enlisted.clone()));
        let details = vec![("enlisted_as".into(), at.index.to_string())];
        self.row(at, EventType::ConfigChange, node, None, details, out);
        Reply::Enlisted(at.index)
    }

    fn dismiss(&mut self, at: &At, node: NodeId, to: Option<Access>, out: &mut Effects) -> Reply {
        let known = self.enlisted.get(&node).copied();
        let to = to.filter(|access| *access != Access::Voter);
        let full = known.is_none() && self.enlisted.len() >= MAX_ENLISTED;
        if known.map(|one| one.access) == to || full {
            return Reply::Stale;
        }
        match to {
            Some(access) => {
                let number = known.map_or(at.index, |one| one.number);
                self.enlisted.insert(node, Enlisted { number, access });
            }
            None => drop(self.enlisted.remove(&node)),
        }
        out.changes.push(Change::Enlisted(self.enlisted.clone()));
        let (event, what) = match to {
            Some(Access::Banned) => (EventType::ClusterLeave, "removed"),
            Some(_) => (EventType::ConfigChange, "votes no more"),
            None => (EventType::ConfigChange, "may vote again"),
        };
        self.row(at, event, node, None, vec![("membership".into(), what.into())], out);
        Reply::Done
    }

    fn seal(&mut self, at: &At, into: ClusterId, leader: NodeId, out: &mut Effects) -> Reply {
        let Some(cluster) = self.cluster.as_mut() else {
            return Reply::Sealed;
        };
        let details = vec![
            ("cluster_id".into(), cluster.id.to_string()),
            ("into".into(), into.to_string()),
            ("leader".into(), leader.to_string()),
        ];
        cluster.sealed_into = Some((into, leader));
        let (founder, change) = (cluster.founder, Change::Cluster(cluster.clone()));
        out.changes.push(change);
        self.row(at, EventType::ClusterLeave, founder, None, details, out);
        Reply::Done
    }

    fn accept(
        &mut self,
        at: &At,
        id: TaskId,
        origin: NodeId,
        (attempts, max_attempts): (u32, u32),
        spec: TaskSpec,
        out: &mut Effects,
    ) -> Reply {
        let (task, input) = new_task(id, origin, (attempts, max_attempts), at.time, spec);
        let mut details: Details =
            vec![("action".into(), task.action.clone()), ("priority".into(), task.priority.to_string())];
        if !task.required.is_empty() {
            details.push(("requires".into(), task.required.join(",")));
        }
        details.extend(task.extras.key.map(|key| ("key".into(), key.to_string())));
        details.extend(task.extras.parent.map(|parent| ("parent".into(), parent.task.to_string())));
        if task.extras.deterministic {
            details.push(("deterministic".into(), "true".into()));
        }
        self.row(at, EventType::TaskSubmitted, origin, Some(id), details, out);
        self.tasks.insert(id, task.clone());
        out.changes.push(Change::Accepted { task, input });
        Reply::Done
    }

    fn assign(&mut self, at: &At, id: TaskId, worker: NodeId, out: &mut Effects) -> Reply {
        if self.is_sealed() {
            return Reply::Sealed;
        }
        let Some(task) = self.tasks.get_mut(&id).filter(|task| task.status == Status::Pending) else {
            return Reply::Stale;
        };
        task.status = Status::Assigned;
        task.attempts += 1;
        task.worker = Some(worker);
        task.assignment = Some(Assignment { worker, fence: at.index, assigned_at: at.time });
        let details = vec![("attempt".into(), task.attempts.to_string())];
        out.changes.push(Change::Moved(task.clone()));
        self.row(at, EventType::TaskAssigned, worker, Some(id), details, out);
        Reply::Done
    }

    fn acknowledge(&mut self, at: &At, id: TaskId, fence: u64, out: &mut Effects) -> Reply {
        let Some(task) = self.held(id, fence).filter(|task| task.status == Status::Assigned) else {
            return Reply::Stale;
        };
        task.status = Status::Running;
        task.started_at.get_or_insert(at.time);
        let worker = task.worker.unwrap_or_default();
        let details = vec![("attempt".into(), task.attempts.to_string())];
        out.changes.push(Change::Moved(task.clone()));
        self.row(at, EventType::TaskStarted, worker, Some(id), details, out);
        Reply::Done
    }

    fn finish(
        &mut self,
        at: &At,
        id: TaskId,
        fence: u64,
        worker: NodeId,
        outcome: Outcome,
        out: &mut Effects,
    ) -> Reply {
        let Some(task) = self.held(id, fence).filter(|task| task.worker == Some(worker)) else {
            return Reply::Stale;
        };
        task.started_at.get_or_insert(at.time);
        // A short task ends before its acknowledgement is worth a commit of its own; the trail shows it all the same.
        if task.status == Status::Assigned {
            let details = vec![("attempt".into(), task.attempts.to_string())];
            self.row(at, EventType::TaskStarted, worker, Some(id), details, out);
        }
        let Some(task) = self.tasks.get_mut(&id) else { return Reply::Stale };
        match outcome {
            Outcome::Completed(output) => {
                task.reason = None;
                let details = vec![
                    ("attempt".into(), task.attempts.to_string()),
                    ("bytes".into(), output.body.len().to_string()),
                ];
                self.end(at, id, Status::Completed, Some(output), None, details, out);
            }
            Outcome::Failed(mut failure) => {
                // They come from a worker, and the ledger keeps them for ever.
                failure.code = failure.code.map(|code| cut(&code, MAX_CODE_LEN).to_owned());
                failure.pointer = failure.pointer.map(|pointer| cut(&pointer, MAX_REASON_LEN).to_owned());
                task.strikes += 1;
                let reason = cut(&failure.message, MAX_REASON_LEN).to_owned();
                task.reason = Some(reason.clone());
                let again = failure.retry_after_ms.filter(|_| task.may_try_again());
                if let Some(asked) = again {
                    let wait = asked.max(backoff(task.strikes)).min(LONGEST_ASKED_RETRY_MS);
                    self.put_back(at, id, at.time + wait, reason, out);
                } else {
                    let mut details = vec![("attempt".into(), task.attempts.to_string()), ("reason".into(), reason)];
                    details.extend(failure.code.clone().map(|code| ("code".into(), code)));
                    self.end(at, id, Status::Failed, None, Some(failure), details, out);
                }
            }
        }
        Reply::Done
    }

    fn requeue(&mut self, at: &At, id: TaskId, fence: u64, cause: RequeueCause, out: &mut Effects) -> Reply {
        let Some(task) = self.held(id, fence) else {
            return Reply::Stale;
        };
        if cause.is_strike() {
            task.strikes += 1;
        } else if cause == RequeueCause::Refused {
            task.attempts = task.attempts.saturating_sub(1);
        }
        task.reason = Some(cause.as_str().into());
        let (worker, may_try_again) = (task.worker.unwrap_or_default(), task.may_try_again());
        let wait = if cause.is_strike() { backoff(task.strikes) } else { 0 };
        if cause.is_strike() {
            let details = vec![("reason".into(), cause.as_str().into())];
            self.row(at, EventType::TaskTimeout, worker, Some(id), details, out);
        }
        if may_try_again {
            let not_before = if wait == 0 { 0 } else { at.time + wait };
            self.put_back(at, id, not_before, cause.as_str().into(), out);
        } else {
            let reason = format!("{}; no attempts are left", cause.as_str());
            let failure = Failure {
                message: reason.clone(),
                code: Some("attempts-exhausted".into()),
                pointer: None,
                retry_after_ms: None,
            };
            let details = vec![("reason".into(), reason)];
            self.end(at, id, Status::Failed, None, Some(failure), details, out);
        }
        Reply::Done
    }

    fn hand_over(&mut self, at: &At, tasks: &[TaskId], to: ClusterId, out: &mut Effects) -> Reply {
        let moved: Vec<TaskId> = tasks.iter().copied().filter(|id| self.tasks.remove(id).is_some()).collect();
        let node = self.cluster.as_ref().map(|cluster| cluster.founder).unwrap_or_default();
        let details = vec![("handed_over".into(), moved.len().to_string()), ("to".into(), to.to_string())];
        out.changes.extend(moved.into_iter().map(|task| Change::HandedOver { task, to }));
        self.row(at, EventType::StateSync, node, None, details, out);
        Reply::Done
    }

    /// The task, if `fence` is its present assignment's.
    fn held(&mut self, id: TaskId, fence: u64) -> Option<&mut Task> {
        self.tasks.get_mut(&id).filter(|task| task.assignment.is_some_and(|held| held.fence == fence))
    }

    fn put_back(&mut self, at: &At, id: TaskId, not_before: Millis, reason: String, out: &mut Effects) {
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        let worker = task.worker.unwrap_or_default();
        task.status = Status::Pending;
        task.assignment = None;
        task.not_before = not_before;
        out.changes.push(Change::Moved(task.clone()));
        self.row(at, EventType::TaskRequeued, worker, Some(id), vec![("reason".into(), reason)], out);
    }

    #[expect(clippy::too_many_arguments, reason = "the one place where a task ends; a struct would be made once")]
    fn end(
        &mut self,
        at: &At,
        id: TaskId,
        status: Status,
        output: Option<Content>,
        failure: Option<Failure>,
        details: Details,
        out: &mut Effects,
    ) {
        let Some(mut task) = self.tasks.remove(&id) else {
            return;
        };
        let worker = task.worker.unwrap_or_default();
        task.status = status;
        task.assignment = None;
        task.finished_at = Some(at.time);
        let event = if status == Status::Completed { EventType::TaskCompleted } else { EventType::TaskFailed };
        self.row(at, event, worker, Some(id), details, out);
        out.changes.push(Change::Ended { task, output, failure });
    }

    fn row(
        &mut self,
        at: &At,
        event: EventType,
        node: NodeId,
        task: Option<TaskId>,
        details: Details,
        out: &mut Effects,
    ) {
        out.rows.push(LedgerRow { index: self.next_row, time: at.time, event, node, task, details });
        self.next_row += 1;
    }
}

/// A task that waits, and its input.
fn new_task(
    id: TaskId,
    origin: NodeId,
    (attempts, max_attempts): (u32, u32),
    submitted_at: Millis,
    spec: TaskSpec,
) -> (Task, Vec<u8>) {
    let task = Task {
        id,
        action: spec.action,
        required: spec.required,
        priority: spec.priority,
        timeout_ms: spec.timeout_ms,
        origin,
        submitted_at,
        status: Status::Pending,
        // From the wire: it is counted on from here.
        attempts: attempts.min(MAX_ATTEMPTS_EVER),
        strikes: 0,
        max_attempts: max_attempts.max(1),
        not_before: 0,
        assignment: None,
        worker: None,
        started_at: None,
        finished_at: None,
        reason: None,
        input_type: spec.input.content_type,
        input_len: spec.input.body.len() as u64,
        extras: spec.extras,
    };
    (task, spec.input.body)
}

impl Task {
    fn may_try_again(&self) -> bool {
        self.strikes < self.max_attempts && self.attempts < MAX_ATTEMPTS_EVER
    }
}

fn backoff(strikes: u32) -> u64 {
    (FIRST_RETRY_MS << strikes.saturating_sub(1).min(16)).min(LONGEST_RETRY_MS)
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
