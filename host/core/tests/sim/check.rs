//! What must always hold, looked at after every step. The judge sees what was synced, what clients were told and what
//! runs; it keeps books of its own and believes no node. What it finds stops the run.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use akita_core::{
    Change, Command, Effects, EventType, NodeId, Reply, State, Status, TaskId,
    command::{Entry, RequeueCause},
};

use crate::replica::{Digest, Replica};

/// What one log has come to, as the judge reads it.
#[derive(Default)]
struct Log {
    /// Two that apply what the log's owner synced, from its bytes: one at once, one late and with restarts.
    prompt: Replica,
    late: Replica,
    pending: Vec<(u64, Vec<u8>)>,
    holders: BTreeMap<TaskId, (NodeId, u64)>,
    attempts: BTreeMap<TaskId, u32>,
    taken: BTreeSet<(TaskId, u32)>,
    ended: BTreeMap<TaskId, Status>,
    founded: u32,
    time: u64,
    /// What each entry led to, with all before it.
    seen: Vec<Digest>,
}

/// A run of a task that has begun and not ended.
type Run = (usize, TaskId, u64);

#[derive(Default)]
pub struct Judge {
    logs: Vec<Log>,
    /// Who holds the key, by identity.
    members: BTreeMap<NodeId, usize>,
    asked: BTreeSet<TaskId>,
    /// Asked for at more than one node: two leaders that cannot hear each other may both accept it.
    asked_again: BTreeSet<TaskId>,
    /// Sent to a leader that has not answered yet, or never will.
    unanswered: BTreeMap<TaskId, BTreeSet<usize>>,
    accepted: BTreeSet<TaskId>,
    /// The logs in which a task lives or has ended.
    places: BTreeMap<TaskId, BTreeSet<usize>>,
    running: HashMap<Run, usize>,
    undelivered: HashMap<Run, usize>,
    /// Which worker really came to the end of which run.
    ran: BTreeSet<(usize, TaskId, u64, NodeId)>,
    /// A node led again after it had given way: what it had sent may run in two places, and nobody can know.
    led_again: bool,
    violation: Option<String>,
    pub commands: u64,
    pub finished: u64,
}

impl Judge {
    pub fn new(members: BTreeMap<NodeId, usize>) -> Judge {
        let logs = members.iter().map(|_| Log::default()).collect();
        Judge { logs, members, ..Judge::default() }
    }

    pub fn violation(&self) -> Option<&str> {
        self.violation.as_deref()
    }

    pub fn hold(&mut self, holds: bool, rule: &str, detail: impl FnOnce() -> String) {
        if !holds && self.violation.is_none() {
            self.violation = Some(format!("{rule}: {}", detail()));
        }
    }

    pub fn asked(&mut self, task: TaskId) {
        self.asked.insert(task);
    }

    pub fn asked_again(&mut self, task: TaskId) {
        self.asked_again.insert(task);
    }

    /// A node brings a task to a leader. Where another one did not answer for it, both may have it, and nobody can know.
    pub fn sent(&mut self, task: TaskId, to: usize) {
        let unanswered = self.unanswered.entry(task).or_default();
        unanswered.insert(to);
        if unanswered.len() > 1 {
            self.asked_again.insert(task);
        }
    }

    /// The leader that it was brought to last has it.
    pub fn taken(&mut self, task: TaskId) {
        self.unanswered.remove(&task);
    }

    pub fn accepted(&self) -> &BTreeSet<TaskId> {
        &self.accepted
    }

    /// A client was told that these are accepted.
    pub fn told_accepted(&mut self, tasks: &[TaskId]) {
        for task in tasks {
            let durable = self.places.get(task).is_some_and(|logs| !logs.is_empty());
            self.hold(durable, "accepted is durable", || format!("{task} was answered and is in no synced log"));
            self.accepted.insert(*task);
        }
    }

    /// A node's log has an entry on its disk. `seen` is what the node made of it.
    pub fn synced(&mut self, at: usize, index: u64, bytes: &[u8], seen: Digest) {
        let log = &mut self.logs[at];
        if let Some(known) = log.seen.get(index as usize - 1) {
            let same = *known == seen;
            return self.hold(same, "what was synced never changes", || format!("entry {index} of log {at}"));
        }
        let entry: Entry = rmp_serde::from_slice(bytes).expect("an entry decodes");
        let (gap, back) = (index != log.seen.len() as u64 + 1, entry.time < log.time);
        log.time = entry.time;
        log.seen.push(seen);
        let (effects, digest) = log.prompt.apply(index, bytes);
        log.pending.push((index, bytes.to_vec()));
        self.hold(!gap, "a log has no gaps", || format!("entry {index} of log {at}"));
        self.hold(!back, "the log's time never goes back", || format!("entry {index} of log {at}"));
        self.hold(seen == digest, "every replica makes the same of an entry", || format!("entry {index} of log {at}"));
        self.rows(at, &effects);
        for (command, reply) in entry.commands.iter().zip(&effects.replies) {
            self.commands += 1;
            self.command(at, index, command, reply);
        }
        for change in &effects.changes {
            self.change(at, change);
        }
    }

    /// The late replica catches up, and is made anew from what a disk would hold.
    pub fn catch_up(&mut self, at: usize) {
        let log = &mut self.logs[at];
        for (index, bytes) in std::mem::take(&mut log.pending) {
            log.late.apply(index, &bytes);
        }
        log.late.restart();
        let same = log.late == log.prompt;
        self.hold(same, "replicas are equal at an equal index", || format!("log {at}"));
    }

    /// A node read its log at a start and came to this state.
    pub fn restarted(&mut self, at: usize, state: &State) {
        let same = self.logs[at].prompt.state() == state;
        self.hold(same, "a restart restores the state", || format!("log {at}"));
    }

    fn rows(&mut self, at: usize, effects: &Effects) {
        let stranger = effects
            .rows
            .iter()
            .find(|row| row.event == EventType::TaskSubmitted && !self.members.contains_key(&row.node));
        let stranger = stranger.map(|row| format!("row {} of log {at} names {}", row.index, row.node));
        self.hold(stranger.is_none(), "only members submit", || stranger.unwrap_or_default());
    }

    fn command(&mut self, at: usize, index: u64, command: &Command, reply: &Reply) {
        let done = *reply == Reply::Done;
        match command {
            Command::Found { .. } => {
                self.logs[at].founded += 1;
                self.led_again |= self.logs[at].founded > 1;
            }
            Command::Submit { id, attempts, .. } if done => {
                let known = self.asked.contains(id);
                self.hold(known, "only what a client asked for is accepted", || format!("{id} in log {at}"));
                self.logs[at].attempts.insert(*id, *attempts);
            }
            Command::Assign { task, worker } if done => self.assigned(at, index, *task, *worker),
            Command::Finish { task, fence, worker, .. } if done => self.finish(at, *task, *fence, *worker),
            Command::Requeue { task, fence, cause } if done => {
                let held = self.logs[at].holders.remove(task).is_some_and(|(_, held)| held == *fence);
                self.hold(held, "only the present assignment is taken back", || format!("{task} in log {at}"));
                if *cause == RequeueCause::Refused {
                    self.logs[at].attempts.entry(*task).and_modify(|attempts| *attempts = attempts.saturating_sub(1));
                }
            }
            _ => {}
        }
    }

    fn assigned(&mut self, at: usize, index: u64, task: TaskId, worker: NodeId) {
        let member = self.members.contains_key(&worker);
        self.hold(member, "only members get work", || format!("{task} went to {worker}"));
        let log = &mut self.logs[at];
        let before = log.holders.insert(task, (worker, index));
        *log.attempts.entry(task).or_default() += 1;
        self.hold(before.is_none(), "an assignment has one holder", || {
            format!("{task} of log {at} went to {worker} while {before:?} had it")
        });
    }

    fn finish(&mut self, at: usize, task: TaskId, fence: u64, worker: NodeId) {
        self.finished += 1;
        let log = &mut self.logs[at];
        let held = log.holders.remove(&task) == Some((worker, fence));
        let attempt = log.attempts.get(&task).copied().unwrap_or_default();
        let first = log.taken.insert((task, attempt));
        self.hold(held, "a result is taken from the holder", || format!("{task} of log {at} from {worker}"));
        self.hold(first, "one result for each task and attempt", || format!("{task} attempt {attempt} in log {at}"));
        let ran = self.ran.contains(&(at, task, fence, worker));
        self.hold(ran, "a result is one that its worker gave", || format!("{task} under {fence} from {worker}"));
    }

    fn change(&mut self, at: usize, change: &Change) {
        match change {
            Change::Accepted { task, .. } => {
                self.places.entry(task.id).or_default().insert(at);
            }
            Change::Ended { task, .. } => {
                let once = self.logs[at].ended.insert(task.id, task.status).is_none();
                self.hold(once, "a task ends once", || format!("{} in log {at}", task.id));
            }
            Change::HandedOver { task, .. } => {
                let places = self.places.entry(*task).or_default();
                places.remove(&at);
                let lost = places.is_empty() && self.accepted.contains(task);
                let log = &mut self.logs[at];
                log.holders.remove(task);
                // Should a client bring it back here, its attempts are counted anew: nobody here knows of the others.
                log.taken.retain(|(id, _)| id != task);
                self.hold(!lost, "accepted is never lost", || format!("{task} left log {at} and is nowhere"));
            }
            _ => {}
        }
    }

    /// A worker begins a run for the log of node `of`.
    pub fn begins(&mut self, of: usize, worker: usize, task: TaskId, fence: u64, of_one_kind: bool) {
        self.hold(of_one_kind, "nothing is run by who was not admitted", || format!("{task} on node {worker}"));
        let other = self.running.insert((of, task, fence), worker);
        self.hold(other.is_none(), "a run has one holder", || format!("{task} on node {worker} and {other:?}"));
        let undelivered = self.undelivered.contains_key(&(of, task, fence));
        self.hold(!undelivered, "what ran and is not told yet is not begun again", || {
            format!("{task} under {fence} on node {worker}")
        });
    }

    pub fn ends(&mut self, of: usize, worker: usize, id: NodeId, task: TaskId, fence: u64) {
        self.running.remove(&(of, task, fence));
        self.undelivered.insert((of, task, fence), worker);
        self.ran.insert((of, task, fence, id));
    }

    /// A worker need not keep an outcome any more.
    pub fn settled(&mut self, of: usize, task: TaskId, fence: u64) {
        self.undelivered.remove(&(of, task, fence));
    }

    /// A worker's process died: what ran there, and what it had not told yet, may be begun again.
    pub fn died(&mut self, worker: usize) {
        self.running.retain(|_, on| *on != worker);
        self.undelivered.retain(|_, on| *on != worker);
    }

    /// Where a task has ended, if it has.
    pub fn has_ended(&self, task: TaskId) -> bool {
        self.places.get(&task).is_some_and(|logs| logs.iter().any(|at| self.logs[*at].ended.contains_key(&task)))
    }

    /// When everything works again: every accepted task has ended, in one log unless a node led again.
    pub fn at_the_end(&mut self) {
        for task in std::mem::take(&mut self.accepted) {
            let ends = self.logs.iter().filter(|log| log.ended.contains_key(&task)).count();
            self.hold(ends >= 1, "every accepted task ends", || format!("{task}"));
            let in_two_halves = self.led_again || self.asked_again.contains(&task);
            self.hold(ends == 1 || in_two_halves, "a task ends in one log", || format!("{task} ended in {ends}"));
        }
        (0..self.logs.len()).for_each(|at| self.catch_up(at));
    }
}
