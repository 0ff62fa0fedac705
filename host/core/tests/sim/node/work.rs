//! This node's slots, and its outcomes on their way to who assigned. As `host/akita/src/executor.rs` and
//! `cluster/results.rs`; a run is a time that passes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use akita_core::{
    Content, Failure, Outcome, TaskId,
    wire::{Job, Outcomes, Ran, Refusal, Refused},
};

use super::{Body, Mind, Timer, mesh::Then};
use crate::{
    heap::{MS, SECOND, Time},
    plan::{Nature, Planted},
    world::Cx,
};

const MAX_HELD: usize = 4_096;
const CHUNK: usize = 256;
const KEEP: Time = 3_600 * SECOND;
const RETRY: Time = SECOND;

type Key = (TaskId, u64);

struct Held {
    of: usize,
    job: Job,
}

#[derive(Default)]
struct Outgoing {
    queue: VecDeque<Ran>,
    under_way: bool,
    begun: Time,
}

#[derive(Default)]
pub struct Work {
    held: BTreeMap<Key, Held>,
    queue: VecDeque<Key>,
    running: u16,
    unsettled: BTreeSet<Key>,
    outgoing: BTreeMap<usize, Outgoing>,
}

impl Work {
    pub fn held(&self) -> usize {
        self.held.len()
    }

    pub fn has(&self, task: TaskId, fence: u64) -> bool {
        self.held.contains_key(&(task, fence)) || self.unsettled.contains(&(task, fence))
    }

    /// Nothing runs and nothing is to be delivered.
    pub fn is_done(&self) -> bool {
        self.held.is_empty() && self.outgoing.values().all(|one| one.queue.is_empty())
    }
}

/// How a task behaves, and how long it runs, as its input says.
pub fn nature_of(input: &[u8]) -> (Nature, Time) {
    let nature = Nature::ALL[usize::from(input[0]) % Nature::ALL.len()];
    let millis = u32::from_be_bytes(input[1..5].try_into().expect("four bytes"));
    (nature, Time::from(millis) * MS)
}

fn outcome_of(job: &Job) -> Outcome {
    let (nature, _) = nature_of(&job.input);
    let fails = |retry_after_ms| {
        Outcome::Failed(Failure { message: "it does not work".into(), code: None, pointer: None, retry_after_ms })
    };
    match nature {
        Nature::Bad => fails(None),
        Nature::Sick => fails(Some(100)),
        Nature::Flaky if !job.attempt.is_multiple_of(2) => fails(Some(0)),
        Nature::Good | Nature::Flaky => {
            Outcome::Completed(Content { content_type: "application/json".into(), body: b"{}".to_vec() })
        }
    }
}

impl Mind {
    /// Takes a task; what is here already is taken and not run twice.
    pub(super) fn take(&mut self, body: &mut Body, cx: &mut Cx, of: usize, job: Job) -> bool {
        let key = (job.task, job.fence);
        let twice = cx.planted == Some(Planted::RunsTwice);
        if self.work.held.contains_key(&key) || (self.work.unsettled.contains(&key) && !twice) {
            return true;
        }
        if self.work.held.len() >= MAX_HELD || self.paused {
            return false;
        }
        self.work.held.insert(key, Held { of, job });
        self.work.queue.push_back(key);
        self.begin_runs(body, cx);
        true
    }

    fn begin_runs(&mut self, body: &Body, cx: &mut Cx) {
        while self.work.running < body.offer.slots && !self.paused {
            let Some(key) = self.work.queue.pop_front() else { return };
            let Some(held) = self.work.held.get(&key) else { continue };
            self.work.running += 1;
            let of_one_kind = cx.is_member(held.of) == cx.is_member(body.at);
            cx.judge.begins(held.of, body.at, key.0, key.1, of_one_kind);
            let (_, takes) = nature_of(&held.job.input);
            cx.wake(body, takes, Timer::RunEnds(key.0, key.1));
        }
    }

    pub(super) fn run_ends(&mut self, body: &mut Body, cx: &mut Cx, task: TaskId, fence: u64) {
        let Some(Held { of, job }) = self.work.held.remove(&(task, fence)) else { return };
        self.work.running -= 1;
        let (_, takes) = nature_of(&job.input);
        cx.judge.ends(of, body.at, body.id, task, fence);
        let ran = Ran::new(task, fence, takes, outcome_of(&job));
        if of == body.at {
            cx.judge.settled(of, task, fence);
            self.outcomes(body, cx, body.id, vec![ran], None);
        } else {
            self.work.unsettled.insert((task, fence));
            let outgoing = self.work.outgoing.entry(of).or_default();
            if outgoing.queue.is_empty() {
                outgoing.begun = cx.heap.now();
            }
            outgoing.queue.push_back(ran);
            self.deliver_to(body, cx, of);
        }
        self.begin_runs(body, cx);
    }

    pub(super) fn deliver_to(&mut self, body: &Body, cx: &mut Cx, node: usize) {
        let outgoing = self.work.outgoing.entry(node).or_default();
        if outgoing.under_way || outgoing.queue.is_empty() {
            return;
        }
        outgoing.under_way = true;
        let ran: Vec<Ran> = outgoing.queue.iter().take(CHUNK).cloned().collect();
        let keys = ran.iter().map(|ran| (ran.task, ran.fence)).collect();
        let bytes = ran.iter().map(|ran| ran.body.len() as u64).sum();
        let wait = self.patience_for(body, cx, node, bytes);
        self.call(body, cx, node, &Outcomes { ran }, wait, Then::Taken { keys });
    }

    pub(super) fn outcomes_taken(&mut self, body: &Body, cx: &mut Cx, node: usize, keys: &[Key]) {
        let outgoing = self.work.outgoing.entry(node).or_default();
        outgoing.under_way = false;
        outgoing.begun = cx.heap.now();
        for (task, fence) in keys {
            outgoing.queue.pop_front();
            self.work.unsettled.remove(&(*task, *fence));
            cx.judge.settled(node, *task, *fence);
        }
        self.deliver_to(body, cx, node);
    }

    pub(super) fn outcomes_missed(
        &mut self,
        body: &Body,
        cx: &mut Cx,
        node: usize,
        keys: Vec<Key>,
        refused: Option<Refused>,
    ) {
        let later = [Refusal::Internal, Refusal::NotAdmitted];
        let outgoing = self.work.outgoing.entry(node).or_default();
        let let_go = refused.is_some_and(|refused| !later.contains(&refused.why));
        if let_go || cx.heap.now() - outgoing.begun > KEEP {
            return self.outcomes_taken(body, cx, node, &keys);
        }
        outgoing.under_way = false;
        cx.wake(body, RETRY, Timer::Deliver(node));
    }

    /// Takes nothing more and begins nothing more; what runs ends.
    pub fn drain(&mut self, body: &Body, cx: &mut Cx) {
        self.paused = true;
        self.leader.pause();
        for key in std::mem::take(&mut self.work.queue) {
            self.work.held.remove(&key);
        }
        if !self.leads(body) {
            self.send_report(body, cx, true);
        }
    }

    pub fn is_drained(&self) -> bool {
        self.work.is_done() && self.under_way.is_empty() && self.next.commands.is_empty()
    }
}
