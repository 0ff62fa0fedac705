//! Tasks on their way to the leader: of this node's clients, from its outbox, and from its books when it gave way. As
//! `host/akita/src/cluster/handover.rs` and the node's submit.

use akita_core::{
    Command, Status, TaskId, TaskSpec,
    wire::{Message, Refusal, Refused, Sent, Standing, Submit, Submitted},
};

use super::{
    Body, Mind, Timer,
    driver::{NotTaken, Waiter},
    mesh::{CallId, Then},
};
use crate::{
    plan::Planted,
    world::{Cx, Told},
};

const CHUNK_TASKS: usize = 256;
const CHUNK_BYTES: usize = 256 << 10;
const SLOW_CHUNK_BYTES: usize = 1_024;

/// Who is told what became of a submission.
#[derive(Debug, Clone, Copy)]
pub enum Asker {
    /// A client of this node, by the operation that it is.
    Client(usize),
    Node {
        to: usize,
        call: CallId,
    },
    /// This node's own outbox.
    Outbox(TaskId),
}

/// What was sent to the leader, to make sense of its answer.
#[derive(Debug, Clone)]
pub enum Forwarded {
    Client { client: usize, tasks: Vec<Sent> },
    HandOver { tasks: Vec<TaskId>, standing: Standing },
    Outbox(TaskId),
}

#[derive(Default)]
pub struct Carry {
    pub handing_over: bool,
    flushing: bool,
}

impl Mind {
    /// A client's tasks.
    pub fn submit(&mut self, body: &mut Body, cx: &mut Cx, client: usize, tasks: Vec<Sent>) {
        if self.leads(body) {
            match self.accept(body, cx, tasks, false, Asker::Client(client)) {
                Ok(()) => {}
                Err(NotTaken::QueueFull | NotTaken::Stopping) => cx.told(client, Told::Later),
                Err(NotTaken::Invalid) => cx.told(client, Told::Refused),
            }
        } else if self.paused {
            cx.told(client, Told::Later);
        } else if self.follow.leader_silent {
            self.keep(body, cx, client, &tasks);
        } else {
            self.forward(body, cx, tasks.clone(), false, Forwarded::Client { client, tasks });
        }
        self.advance(body, cx);
    }

    fn forward(&mut self, body: &Body, cx: &mut Cx, tasks: Vec<Sent>, imported: bool, forwarded: Forwarded) {
        let leader = cx.place_of(self.standing.leader).unwrap_or(body.at);
        let bytes = tasks.iter().map(|task| task.input.len() as u64).sum();
        let wait = self.patience_for(body, cx, leader, bytes);
        tasks.iter().for_each(|task| cx.judge.sent(task.task, leader));
        self.call(body, cx, leader, &Submit { tasks, imported }, wait, Then::Submitted(forwarded));
    }

    /// Keeps tasks for a leader that cannot be reached now.
    fn keep(&mut self, body: &mut Body, cx: &mut Cx, client: usize, tasks: &[Sent]) {
        for task in tasks {
            body.disk.keep(task);
            if cx.planted == Some(Planted::OutboxInMemory) {
                self.forgotten.push(task.task);
            }
        }
        let takes = body.disk.sync_takes(&mut cx.dice);
        cx.wake(body, takes, Timer::Queued(client));
        if !self.leads(body) {
            self.report_soon(body, cx);
        }
    }

    pub(super) fn forwarded(
        &mut self,
        body: &mut Body,
        cx: &mut Cx,
        forwarded: Forwarded,
        answer: Result<Submitted, Option<Refused>>,
    ) {
        if answer.is_ok() {
            match &forwarded {
                Forwarded::Client { tasks, .. } => tasks.iter().for_each(|task| cx.judge.taken(task.task)),
                Forwarded::HandOver { tasks, .. } => tasks.iter().for_each(|task| cx.judge.taken(*task)),
                Forwarded::Outbox(task) => cx.judge.taken(*task),
            }
        }
        match (forwarded, answer) {
            (Forwarded::Client { client, tasks }, Ok(_)) => {
                let ids: Vec<TaskId> = tasks.iter().map(|task| task.task).collect();
                cx.told(client, Told::Accepted(ids));
            }
            (Forwarded::Client { client, tasks }, Err(refused)) => match refused.map(|refused| refused.why) {
                Some(Refusal::QueueFull) => cx.told(client, Told::Later),
                Some(Refusal::Invalid) => cx.told(client, Told::Refused),
                _ => self.keep(body, cx, client, &tasks),
            },
            // Whoever took them has them, even if this node follows another by now; if it leads again, they are here too.
            (Forwarded::HandOver { tasks, standing }, Ok(_))
                if !self.leads(body) && (self.standing == standing || cx.planted != Some(Planted::ForgetsWhoTook)) =>
            {
                self.next.commands.push(Command::HandOver { tasks, to: standing.cluster });
                self.next.waiters.push(Waiter::HandedOver);
            }
            (Forwarded::HandOver { .. }, answer) => {
                self.carry.handing_over = false;
                if answer.is_ok() {
                    self.hand_over(body, cx);
                }
            }
            (Forwarded::Outbox(id), Ok(_)) => {
                body.disk.take_from_outbox(id);
                self.flush_after(body, cx, Some(id));
            }
            (Forwarded::Outbox(id), Err(Some(Refused { why: Refusal::Invalid, .. }))) => {
                self.flush_after(body, cx, Some(id));
            }
            (Forwarded::Outbox(_), Err(_)) => self.carry.flushing = false,
        }
    }

    /// The leader answers: what waits here is brought to it.
    pub(super) fn deliver_all(&mut self, body: &mut Body, cx: &mut Cx) {
        self.hand_over(body, cx);
        self.flush_outbox(body, cx);
    }

    pub(super) fn hand_over(&mut self, body: &mut Body, cx: &mut Cx) {
        if self.carry.handing_over || self.leads(body) {
            return;
        }
        let leader = cx.place_of(self.standing.leader).unwrap_or(body.at);
        let most = if cx.net.is_slow(body.at, leader) { SLOW_CHUNK_BYTES } else { CHUNK_BYTES };
        let (mut sent, mut bytes) = (Vec::new(), 0);
        for id in self.leader.waiting(CHUNK_TASKS) {
            let Some(task) = self.read(id) else { continue };
            bytes += task.input.len() + 64;
            if !sent.is_empty() && bytes > most {
                break;
            }
            sent.push(task);
        }
        if sent.is_empty() {
            return;
        }
        self.carry.handing_over = true;
        let tasks: Vec<TaskId> = sent.iter().map(|task| task.task).collect();
        if cx.planted == Some(Planted::HandsOverBlindly) {
            let to = self.standing.cluster;
            self.next.commands.push(Command::HandOver { tasks: tasks.clone(), to });
        }
        self.forward(body, cx, sent, true, Forwarded::HandOver { tasks, standing: self.standing });
    }

    fn read(&self, id: TaskId) -> Option<Sent> {
        let task = self.machine.state().tasks().get(&id)?.clone();
        let spec = TaskSpec {
            action: task.action,
            required: task.required,
            priority: task.priority,
            timeout_ms: task.timeout_ms,
            input: self.inputs.get(&id)?.clone(),
            extras: task.extras,
        };
        Some(Sent::new(id, task.origin, task.attempts, spec))
    }

    pub(super) fn flush_outbox(&mut self, body: &mut Body, cx: &mut Cx) {
        if !self.carry.flushing {
            self.flush_after(body, cx, None);
        }
    }

    fn flush_after(&mut self, body: &mut Body, cx: &mut Cx, last: Option<TaskId>) {
        let next = body.disk.outbox().find(|(id, _)| last.is_none_or(|last| *id > last));
        self.carry.flushing = next.is_some();
        let Some((id, task)) = next else { return };
        if !self.leads(body) {
            self.forward(body, cx, vec![task], true, Forwarded::Outbox(id));
        } else if self.accept(body, cx, vec![task], true, Asker::Outbox(id)).is_err() {
            self.carry.flushing = false;
        }
    }

    /// What became of a submission, once it is synced. No statuses: this node has given way meanwhile.
    pub(super) fn submitted(
        &mut self,
        body: &mut Body,
        cx: &mut Cx,
        to: Asker,
        ids: &[TaskId],
        statuses: Option<Vec<Status>>,
    ) {
        match (to, statuses) {
            (Asker::Client(client), Some(_)) => cx.told(client, Told::Accepted(ids.to_vec())),
            (Asker::Client(client), None) => cx.told(client, Told::Later),
            (Asker::Node { to, call }, Some(statuses)) => {
                let statuses = statuses.into_iter().map(|status| status as u8).collect();
                self.reply(body, cx, to, call, Submitted { statuses, index: 0 }.encode());
            }
            (Asker::Node { to, call }, None) => {
                let bytes = self.refuse(Refusal::Internal);
                self.reply(body, cx, to, call, bytes);
            }
            (Asker::Outbox(id), Some(_)) => {
                body.disk.take_from_outbox(id);
                self.flush_after(body, cx, Some(id));
            }
            (Asker::Outbox(_), None) => self.carry.flushing = false,
        }
    }
}
