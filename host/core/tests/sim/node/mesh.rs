//! Calls as the mesh makes them: a request with a number, sent again until it is answered or its time is over; and the
//! memory of what was answered, so that a repeated request is not run again.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
};

use akita_core::{
    tuning::{SLOW_RTT_MS, Tuning},
    wire::{Message, Refusal, Refused, WireError},
};

use super::{Body, Mind, Timer, carry::Forwarded, greet::After};
use crate::{
    heap::{MS, SECOND, Time},
    world::{Cx, Event},
};

/// Time for an answer on a fast link, when the call waits for nothing but the wire.
const SHORT: Time = 10 * SECOND;
/// Round trips that a call may take.
pub const ROUND_TRIPS: u64 = 20;
/// Answers kept for each caller.
const ANSWERS: usize = 64;
/// Numbers remembered of each caller; older ones count as run.
const WINDOW: u64 = 4_096;

/// A process of a node, and the number of one of its calls.
pub type CallId = (u32, u64);

#[derive(Debug, Clone)]
pub struct Packet {
    pub from: usize,
    pub to: usize,
    pub call: CallId,
    pub is_answer: bool,
    pub bytes: Rc<[u8]>,
}

/// What the answer is for.
#[derive(Debug, Clone)]
pub enum Then {
    Welcome { mine: akita_core::wire::Hello },
    Admitted { proved: bool },
    Reported { mine: akita_core::wire::Standing },
    Catalog,
    Assigned { ids: Vec<(akita_core::TaskId, u64)>, again: bool },
    Taken { keys: Vec<(akita_core::TaskId, u64)> },
    Submitted(Forwarded),
}

#[derive(Debug, Clone)]
pub struct Call {
    pub to: usize,
    bytes: Rc<[u8]>,
    until: Time,
    wait: Time,
    tries: u32,
    greeted: bool,
    then: Then,
}

#[derive(Default)]
struct Caller {
    life: u32,
    seen: BTreeSet<u64>,
    newest: u64,
    answers: VecDeque<(CallId, Rc<[u8]>)>,
}

#[derive(Default)]
pub struct Mesh {
    calls: BTreeMap<u64, Call>,
    last: u64,
    callers: BTreeMap<usize, Caller>,
}

impl Mesh {
    /// Whether a request is new, and the answer where it was given already.
    fn request(&mut self, from: usize, call: CallId) -> (bool, Option<Rc<[u8]>>) {
        let caller = self.callers.entry(from).or_default();
        if call.0 > caller.life {
            *caller = Caller { life: call.0, ..Caller::default() };
        }
        if call.0 < caller.life {
            return (false, None);
        }
        if let Some((_, answer)) = caller.answers.iter().find(|(id, _)| *id == call) {
            return (false, Some(Rc::clone(answer)));
        }
        caller.newest = caller.newest.max(call.1);
        let fresh = call.1 + WINDOW > caller.newest && caller.seen.insert(call.1);
        while caller.seen.first().is_some_and(|number| number + WINDOW <= caller.newest) {
            caller.seen.pop_first();
        }
        (fresh, None)
    }

    fn answered(&mut self, from: usize, call: CallId, bytes: &Rc<[u8]>) {
        let caller = self.callers.entry(from).or_default();
        if call.0 == caller.life {
            caller.answers.truncate(ANSWERS - 1);
            caller.answers.push_front((call, Rc::clone(bytes)));
        }
    }
}

impl Mind {
    pub(super) fn rtt_ms(&self, body: &Body, cx: &Cx, node: usize) -> u32 {
        cx.net.rtt_ms(body.at, node)
    }

    pub(super) fn patience(&self, body: &Body, cx: &Cx, node: usize) -> Time {
        SHORT.max(u64::from(self.rtt_ms(body, cx, node)) * MS * ROUND_TRIPS)
    }

    pub(super) fn patience_for(&self, body: &Body, cx: &Cx, node: usize, bytes: u64) -> Time {
        let rtt = self.rtt_ms(body, cx, node);
        self.patience(body, cx, node) + akita_core::tuning::airtime(bytes, rtt) * MS
    }

    pub(super) fn call(&mut self, body: &Body, cx: &mut Cx, to: usize, request: &impl Message, wait: Time, then: Then) {
        let call = Call {
            to,
            bytes: request.encode().into(),
            until: cx.heap.now() + wait,
            wait,
            tries: 0,
            greeted: false,
            then,
        };
        self.start_call(body, cx, call);
    }

    fn start_call(&mut self, body: &Body, cx: &mut Cx, call: Call) {
        self.mesh.last += 1;
        let number = self.mesh.last;
        self.mesh.calls.insert(number, call);
        self.transmit(body, cx, number);
    }

    /// Once more, after the greeting that the other had asked for.
    pub(super) fn call_again(&mut self, body: &mut Body, cx: &mut Cx, call: Call, greeted: bool) {
        if greeted {
            let until = cx.heap.now() + call.wait;
            self.start_call(body, cx, Call { until, tries: 0, greeted: true, ..call });
        } else {
            self.call_failed(body, cx, call.to, call.then, None);
        }
    }

    fn transmit(&mut self, body: &Body, cx: &mut Cx, number: u64) {
        let Some(call) = self.mesh.calls.get_mut(&number) else { return };
        let (to, bytes, tries) = (call.to, Rc::clone(&call.bytes), call.tries);
        call.tries += 1;
        let until = call.until;
        let rtt = u64::from(cx.net.rtt_ms(body.at, to)) * MS;
        let slow = rtt / MS > u64::from(SLOW_RTT_MS);
        let first = if slow { rtt * 3 / 2 + 2 * SECOND } else { SECOND.max(rtt * 4) };
        let again = first << tries.min(6);
        cx.send(Packet { from: body.at, to, call: (body.life, number), is_answer: false, bytes });
        let leaves = cx.heap.now() + cx.net.in_the_air(cx.heap.now(), body.at, to);
        let due = (leaves + again.min(60 * SECOND)).min(until);
        cx.wake(body, due - cx.heap.now(), Timer::Call(number));
    }

    pub(super) fn call_due(&mut self, body: &mut Body, cx: &mut Cx, number: u64) {
        let Some(call) = self.mesh.calls.get(&number) else { return };
        if cx.heap.now() < call.until {
            return self.transmit(body, cx, number);
        }
        let Call { to, then, .. } = self.mesh.calls.remove(&number).expect("it was there");
        self.call_failed(body, cx, to, then, None);
    }

    pub(super) fn packet(&mut self, body: &mut Body, cx: &mut Cx, packet: Packet) {
        if packet.is_answer {
            if packet.call.0 == body.life
                && let Some(call) = self.mesh.calls.remove(&packet.call.1)
            {
                self.answer(body, cx, call, &packet.bytes);
            }
            return;
        }
        match self.mesh.request(packet.from, packet.call) {
            (true, _) => self.serve(body, cx, packet.from, packet.call, &packet.bytes),
            (false, Some(answer)) => {
                cx.send(Packet { from: body.at, to: packet.from, is_answer: true, bytes: answer, ..packet });
            }
            (false, None) => {}
        }
    }

    pub(super) fn reply(&mut self, body: &Body, cx: &mut Cx, to: usize, call: CallId, bytes: Vec<u8>) {
        let bytes: Rc<[u8]> = bytes.into();
        self.mesh.answered(to, call, &bytes);
        cx.send(Packet { from: body.at, to, call, is_answer: true, bytes });
    }

    fn answer(&mut self, body: &mut Body, cx: &mut Cx, call: Call, bytes: &[u8]) {
        if let Ok(refused) = Refused::decode(bytes) {
            let is_greeting = matches!(call.then, Then::Welcome { .. } | Then::Admitted { .. });
            if refused.why == Refusal::NotAdmitted && !call.greeted && !is_greeting {
                let to = call.to;
                return self.greet(body, cx, to, After::Call(Box::new(call)));
            }
            return self.call_failed(body, cx, call.to, call.then, Some(refused));
        }
        let to = call.to;
        let made_sense: Result<(), WireError> = match call.then {
            Then::Welcome { mine } => Message::decode(bytes).map(|welcome| self.welcomed(body, cx, to, &mine, welcome)),
            Then::Admitted { proved } => {
                Message::decode(bytes).map(|answer| self.admitted(body, cx, to, proved, Some(answer)))
            }
            Then::Reported { mine } => {
                Message::decode(bytes).map(|answer| self.report_answered(body, cx, mine, answer))
            }
            Then::Catalog => Message::decode(bytes).map(|catalog| self.catalog_came(cx, to, catalog)),
            Then::Assigned { ids, again } => {
                Message::decode(bytes).map(|answer| self.delivered(body, cx, to, ids, Ok(answer), again))
            }
            Then::Taken { keys } => {
                Message::decode(bytes).map(|akita_core::wire::Taken {}| self.outcomes_taken(body, cx, to, &keys))
            }
            Then::Submitted(forwarded) => {
                Message::decode(bytes).map(|answer| self.forwarded(body, cx, forwarded, Ok(answer)))
            }
        };
        cx.judge.hold(made_sense.is_ok(), "answers make sense", || format!("{made_sense:?} from node {to}"));
    }

    /// No answer came, or the other does not want it.
    fn call_failed(&mut self, body: &mut Body, cx: &mut Cx, to: usize, then: Then, refused: Option<Refused>) {
        match then {
            Then::Welcome { .. } => self.greeting_failed(body, cx, to, refused),
            Then::Admitted { .. } => self.greeting_failed(body, cx, to, refused),
            Then::Reported { mine } => self.report_failed(body, cx, mine, refused),
            Then::Catalog => self.catalog_missed(to),
            Then::Assigned { ids, again } => self.delivered(body, cx, to, ids, Err(refused), again),
            Then::Taken { keys } => self.outcomes_missed(body, cx, to, keys, refused),
            Then::Submitted(forwarded) => self.forwarded(body, cx, forwarded, Err(refused)),
        }
    }
}

/// Sent by somebody who does not wait for an answer.
pub fn throw(cx: &mut Cx, from: usize, to: usize, bytes: Vec<u8>) {
    let call = (1, cx.dice.next() >> 20);
    let arrivals = cx.carry(from, to, bytes.len());
    let packet = Packet { from, to, call, is_answer: false, bytes: bytes.into() };
    for at in arrivals.into_iter().flatten() {
        cx.heap.at(at, Event::Packet(packet.clone()));
    }
}

/// For the worker's own use.
pub fn ack_patience(tuning: &Tuning, rtt_ms: u32, bytes: u64) -> Time {
    (tuning.ack_patience(rtt_ms) + akita_core::tuning::airtime(bytes, rtt_ms)) * MS
}
