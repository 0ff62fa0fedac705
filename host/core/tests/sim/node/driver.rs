//! The loop: requests in, entries out, what was applied acted on. As `host/akita/src/driver`.

use std::collections::BTreeMap;

use akita_core::{
    Change, Command, Content, NodeId, Outcome, Reply, Status, Task, TaskId,
    command::RequeueCause,
    leader::Proposed,
    schedule::Resolved,
    wire::{Assign, Assigned, Job, JobExtras, Message, Ran, Refusal, Refused, Sent, pack_type},
};

use super::{
    Body, Mind, Timer, carry,
    mesh::{CallId, Then, ack_patience},
};
use crate::{
    heap::{MS, Time},
    plan::Planted,
    replica::Digest,
    world::Cx,
};

const PIPELINE: usize = 2;
const ENTRY_FULL: usize = 1_024;
const LAZY_ACK_MS: u64 = 25;
const MESSAGE_BYTES: usize = 64 << 10;
const IMPORTED_QUEUES: usize = 4;

/// Who is told when an entry is synced.
pub enum Waiter {
    /// Another node's submission: so many commands from the first.
    Submit { first: usize, ids: Vec<TaskId>, to: carry::Asker },
    /// Another node's call.
    Answer { to: usize, call: CallId, bytes: Vec<u8> },
    /// This node takes another stand.
    Stand(akita_core::wire::Standing),
    /// These may be looked for again.
    HandedOver,
}

#[derive(Default)]
pub struct Batch {
    pub commands: Vec<Command>,
    pub waiters: Vec<Waiter>,
}

pub struct UnderWay {
    index: u64,
    time: u64,
    proposed: Vec<Proposed>,
    waiters: Vec<Waiter>,
    changes: Vec<Change>,
    replies: Vec<Reply>,
    digest: Digest,
}

/// Why tasks were not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotTaken {
    Stopping,
    QueueFull,
    Invalid,
}

pub fn keep_inputs(inputs: &mut BTreeMap<TaskId, Content>, changes: &[Change]) {
    for change in changes {
        match change {
            Change::Accepted { task, input } => {
                inputs.insert(task.id, Content { content_type: task.input_type.clone(), body: input.clone() });
            }
            Change::Ended { task, .. } => drop(inputs.remove(&task.id)),
            Change::HandedOver { task, .. } => drop(inputs.remove(task)),
            _ => {}
        }
    }
}

impl Mind {
    /// One turn of the loop.
    pub(super) fn advance(&mut self, body: &mut Body, cx: &mut Cx) {
        let ticks = body.ticks(cx.heap.now());
        if self.next.commands.len() < ENTRY_FULL {
            self.next.commands.extend(self.leader.tick(ticks));
            let due = self.unacknowledged.extract_if(.., |_, (due, _)| *due <= ticks);
            self.next.commands.extend(due.map(|(task, (_, fence))| Command::Acknowledge { task, fence }));
            self.next.commands.extend(self.leader.place(ticks, ENTRY_FULL));
        }
        if self.next.commands.is_empty() {
            for waiter in std::mem::take(&mut self.next.waiters) {
                self.tell(body, cx, waiter, &[]);
            }
        }
        if !self.next.commands.is_empty() && self.under_way.len() < PIPELINE {
            self.propose(body, cx);
        }
        let due = self.unacknowledged.values().map(|(due, _)| *due).chain(self.leader.next_wake()).min();
        if let Some(due) = due {
            self.wake_loop(body, cx, due.saturating_sub(ticks).max(1) * MS);
        }
    }

    /// One timer of the loop at a time, unless an earlier one is needed.
    fn wake_loop(&mut self, body: &Body, cx: &mut Cx, delay: Time) {
        let now = cx.heap.now();
        let at = now + body.clock.lasts(delay);
        if self.wakes_at.is_none_or(|then| then <= now || at < then) {
            self.wakes_at = Some(at);
            cx.wake(body, delay, Timer::Loop);
        }
    }

    fn propose(&mut self, body: &mut Body, cx: &mut Cx) {
        let Batch { commands, waiters } = std::mem::take(&mut self.next);
        // The log's time never goes back, whatever the clock does.
        self.time = body.wall(cx.heap.now()).max(self.time);
        let index = body.disk.append(self.time, &commands);
        let (effects, digest) = self.machine.apply(index, body.disk.last());
        let proposed = commands.iter().map(Proposed::of).collect();
        let (changes, replies) = (effects.changes, effects.replies);
        self.under_way.push_back(UnderWay { index, time: self.time, proposed, waiters, changes, replies, digest });
        if self.under_way.len() == 1 {
            self.write(body, cx);
        }
    }

    fn write(&mut self, body: &mut Body, cx: &mut Cx) {
        let Some(first) = self.under_way.front_mut() else { return };
        if cx.planted == Some(Planted::AnswersBeforeSync) {
            let (replies, waiters) = (first.replies.clone(), std::mem::take(&mut first.waiters));
            waiters.into_iter().for_each(|waiter| self.tell(body, cx, waiter, &replies));
        }
        let Some(first) = self.under_way.front() else { return };
        let (index, takes) = (first.index, body.disk.sync_takes(&mut cx.dice));
        cx.wake(body, takes, Timer::Synced(index));
    }

    /// The disk has the entry: now it may be told of.
    pub(super) fn synced(&mut self, body: &mut Body, cx: &mut Cx, index: u64) {
        if std::mem::take(&mut body.disk.broken) {
            cx.fail_node(body.at);
            return;
        }
        let Some(entry) = self.under_way.pop_front() else { return };
        assert_eq!(entry.index, index, "entries are written in order");
        let bytes = body.disk.sync(index).to_vec();
        cx.know(body.at, index, &bytes, entry.digest);
        self.applied(body, cx, entry);
        self.write(body, cx);
    }

    fn applied(&mut self, body: &mut Body, cx: &mut Cx, entry: UnderWay) {
        for (proposed, reply) in entry.proposed.iter().zip(&entry.replies) {
            self.leader.replied(*proposed, reply);
        }
        let ticks = body.ticks(cx.heap.now());
        let mut to_send = Vec::new();
        keep_inputs(&mut self.inputs, &entry.changes);
        for change in &entry.changes {
            to_send.extend(self.leader.changed(change, entry.time, ticks));
            match change {
                Change::Ended { task, .. } => drop(self.unacknowledged.remove(&task.id)),
                Change::HandedOver { task, .. } => drop(self.unacknowledged.remove(task)),
                Change::Moved(task) if task.assignment.is_none() => drop(self.unacknowledged.remove(&task.id)),
                _ => {}
            }
        }
        self.send_out(body, cx, to_send);
        for waiter in entry.waiters {
            self.tell(body, cx, waiter, &entry.replies);
        }
    }

    fn tell(&mut self, body: &mut Body, cx: &mut Cx, waiter: Waiter, replies: &[Reply]) {
        match waiter {
            Waiter::Answer { to, call, bytes } => self.reply(body, cx, to, call, bytes),
            Waiter::Stand(standing) => {
                self.moved();
                self.stand(body, cx, standing);
            }
            Waiter::HandedOver => {
                self.carry.handing_over = false;
                self.hand_over(body, cx);
            }
            Waiter::Submit { first, ids, to } => {
                let replies = &replies[first..first + ids.len()];
                let statuses = replies.iter().map(|reply| match reply {
                    Reply::Known(status) => Some(*status),
                    Reply::Done => Some(Status::Pending),
                    _ => None,
                });
                let statuses: Option<Vec<Status>> = statuses.collect();
                self.submitted(body, cx, to, &ids, statuses);
            }
        }
    }

    fn job(&self, body: &Body, task: &Task, input: Content) -> Job {
        Job {
            extras: JobExtras::of(task, body.id),
            task: task.id,
            fence: task.assignment.map_or(0, |held| held.fence),
            attempt: task.attempts,
            action: task.action.clone(),
            timeout_ms: task.timeout_ms.unwrap_or(0),
            content_type: pack_type(&input.content_type),
            input: input.body,
        }
    }

    /// Sends committed assignments to their workers.
    fn send_out(&mut self, body: &mut Body, cx: &mut Cx, tasks: Vec<Task>) {
        let mut others: BTreeMap<NodeId, Vec<Job>> = BTreeMap::new();
        let due = body.ticks(cx.heap.now()) + LAZY_ACK_MS;
        for task in tasks {
            let (Some(held), Some(input)) = (task.assignment, self.inputs.get(&task.id)) else { continue };
            let job = self.job(body, &task, input.clone());
            if held.worker != body.id {
                others.entry(held.worker).or_default().push(job);
            } else if self.take(body, cx, body.at, job) {
                self.unacknowledged.insert(task.id, (due, held.fence));
            } else {
                self.leader.refused(body.id, due);
                let cause = RequeueCause::Refused;
                self.next.commands.push(Command::Requeue { task: task.id, fence: held.fence, cause });
            }
        }
        for (worker, jobs) in others {
            self.assign(body, cx, worker, jobs, false);
        }
    }

    fn assign(&mut self, body: &Body, cx: &mut Cx, worker: NodeId, mut jobs: Vec<Job>, again: bool) {
        let Some(to) = cx.place_of(worker) else { return };
        while !jobs.is_empty() {
            let mut bytes = 0;
            let fits = |job: &&Job| {
                bytes += job.input.len() + job.action.len() + 64;
                bytes <= MESSAGE_BYTES
            };
            let count = jobs.iter().take_while(fits).count().max(1);
            let rest = jobs.split_off(count);
            let sent = std::mem::replace(&mut jobs, rest);
            let bytes = sent.iter().map(|job| job.input.len() as u64).sum();
            let ids = sent.iter().map(|job| (job.task, job.fence)).collect();
            let wait = ack_patience(&cx.tuning, self.rtt_ms(body, cx, to), bytes);
            self.call(body, cx, to, &Assign { jobs: sent }, wait, Then::Assigned { ids, again });
        }
    }

    /// Asks other workers whether they still have what they acknowledged.
    pub(super) fn recall(&mut self, body: &Body, cx: &mut Cx, only: Option<NodeId>) {
        for (worker, held) in self.leader.running_elsewhere() {
            if only.is_some_and(|only| only != worker) {
                continue;
            }
            let job = |(id, fence): &(TaskId, u64)| {
                let task = self.machine.state().tasks().get(id)?;
                task.assignment.filter(|held| held.fence == *fence)?;
                Some(self.job(body, task, self.inputs.get(id)?.clone()))
            };
            let jobs: Vec<Job> = held.iter().filter_map(job).collect();
            self.assign(body, cx, worker, jobs, true);
        }
    }

    /// What a worker said to an assignment.
    pub(super) fn delivered(
        &mut self,
        body: &mut Body,
        cx: &mut Cx,
        from: usize,
        ids: Vec<(TaskId, u64)>,
        answer: Result<Assigned, Option<Refused>>,
        again: bool,
    ) {
        let (refused, unreachable): (Vec<TaskId>, bool) = match answer {
            Ok(Assigned { refused }) => (refused, again),
            Err(Some(_)) => (ids.iter().map(|(task, _)| *task).collect(), again),
            Err(None) => (ids.iter().map(|(task, _)| *task).collect(), true),
        };
        let worker = cx.ids[from];
        let (refused, taken): (Vec<_>, Vec<_>) = ids.into_iter().partition(|(task, _)| refused.contains(task));
        for (task, fence) in taken {
            if self.leader.holder(task) == Some((worker, fence)) {
                self.next.commands.push(Command::Acknowledge { task, fence });
            }
        }
        if !refused.is_empty() {
            self.leader.refused(worker, body.ticks(cx.heap.now()));
        }
        let cause = if unreachable { RequeueCause::WorkerOffline } else { RequeueCause::Refused };
        let back = refused.into_iter().map(|(task, fence)| Command::Requeue { task, fence, cause });
        self.next.commands.extend(back);
    }

    /// Accepts tasks durably, all or none; the asker is told after the sync.
    pub(super) fn accept(
        &mut self,
        body: &Body,
        cx: &Cx,
        tasks: Vec<Sent>,
        imported: bool,
        to: carry::Asker,
    ) -> Result<(), NotTaken> {
        if self.paused {
            return Err(NotTaken::Stopping);
        }
        let limit = cx.tuning.max_queue * if imported { 1 + IMPORTED_QUEUES } else { 1 };
        if self.leader.queue_len() + tasks.len() > limit {
            return Err(NotTaken::QueueFull);
        }
        let mut specs = Vec::new();
        for task in tasks {
            let (id, origin, attempts) = (task.task, task.origin, task.attempts);
            let mut spec = task.spec();
            match self.leader.resolve(&spec.action) {
                Resolved::One(full) => spec.action = full,
                _ if imported => {}
                _ => return Err(NotTaken::Invalid),
            }
            specs.push((id, origin, attempts, spec));
        }
        let first = self.next.commands.len();
        let ids = specs.iter().map(|(id, ..)| *id).collect();
        let wall = body.wall(cx.heap.now());
        for (id, origin, attempts, spec) in specs {
            self.leader.offer(id, &spec, wall);
            let max_attempts = cx.tuning.max_attempts;
            self.next.commands.push(Command::Submit { id, origin, attempts, max_attempts, spec });
        }
        self.next.waiters.push(Waiter::Submit { first, ids, to });
        Ok(())
    }

    /// Outcomes of one worker. `answer`: who is told once they are synced, or known to be stale.
    pub(super) fn outcomes(&mut self, body: &Body, cx: &Cx, worker: NodeId, ran: Vec<Ran>, answer: Option<Waiter>) {
        for one in ran {
            let (task, mut fence, mut from) = (one.task, one.fence, worker);
            if cx.planted == Some(Planted::IgnoresFence)
                && let Some((holder, present)) = self.leader.holder(task)
            {
                (fence, from) = (present, holder);
            }
            if self.leader.holder(task) == Some((from, fence)) {
                self.unacknowledged.remove(&task);
                self.leader.ran(task, one.run_us, body.ticks(cx.heap.now()));
                let outcome: Outcome = one.outcome();
                self.next.commands.push(Command::Finish { task, fence, worker: from, outcome });
            }
        }
        self.next.waiters.extend(answer);
    }

    pub(super) fn refuse(&self, why: Refusal) -> Vec<u8> {
        Refused { why, detail: String::new(), standing: Some(self.standing), misfit: None }.encode()
    }

    /// The leader's soft books agree with the log whenever nothing is under way.
    pub fn check_books(&self, at: usize, judge: &mut crate::check::Judge) {
        if !self.under_way.is_empty() || !self.next.commands.is_empty() {
            return;
        }
        let tasks = self.machine.state().tasks();
        for task in tasks.values() {
            let held = task.assignment.map(|held| (held.worker, held.fence));
            let known = self.leader.holder(task.id);
            judge.hold(known == held, "the leader knows who has it", || {
                format!("{} of log {at}: {known:?} against {held:?}", task.id)
            });
        }
        let queue = self.leader.queue_len();
        judge.hold(queue == tasks.len(), "no task is forgotten and none known twice", || {
            format!("log {at} has {}, its leader {queue}", tasks.len())
        });
    }
}
