//! What a node has of the world while it is at work: the heap, the network, chance, and the judge. It decides nothing.

use std::{
    collections::{BTreeMap, VecDeque},
    rc::Rc,
};

use akita_core::{
    NodeId, State, TaskId,
    tuning::Tuning,
    wire::{self, Message},
};

use crate::{
    check::Judge,
    dice::Dice,
    heap::{Heap, SECOND, Time},
    net::Net,
    node::{Body, Packet, Timer},
    plan::Planted,
    replica::Digest,
};

/// Lines of a trace that are kept, unless AKITA_SIM_TRACE says otherwise.
pub const TRACE: usize = 400;
/// Messages that strangers may say again.
const OVERHEARD: usize = 64;

pub enum Event {
    Packet(Packet),
    Announce {
        from: usize,
        bytes: Rc<[u8]>,
    },
    Timer {
        node: usize,
        life: u32,
        timer: Timer,
    },
    Start(usize),
    Op(usize),
    /// The end of what an operation broke.
    Undo(usize),
    /// A client sends, or sends again.
    Client(usize),
    /// A node that stops in order: is it done?
    Leaving {
        node: usize,
        life: u32,
        until: Time,
        down: Time,
    },
}

/// What a client hears.
#[derive(Debug)]
pub enum Told {
    Accepted(Vec<TaskId>),
    Queued,
    Later,
    Refused,
}

/// Everything but the nodes, so that one of them can be at work with it.
pub struct Cx {
    pub heap: Heap<Event>,
    pub net: Net,
    pub dice: Dice,
    pub judge: Judge,
    pub ids: Vec<NodeId>,
    pub places: BTreeMap<NodeId, usize>,
    pub members: usize,
    pub tag: [u8; 8],
    pub tuning: Tuning,
    pub loses_unsynced: bool,
    pub planted: Option<Planted>,
    pub overheard: VecDeque<Rc<[u8]>>,
    pub answers: Vec<(usize, Told)>,
    pub failed: Vec<usize>,
    pub trace: Option<VecDeque<String>>,
    pub trace_lines: usize,
}

impl Cx {
    pub fn nodes(&self) -> usize {
        self.ids.len()
    }

    pub fn is_member(&self, node: usize) -> bool {
        node < self.members
    }

    pub fn place_of(&self, id: NodeId) -> Option<usize> {
        self.places.get(&id).copied()
    }

    pub fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            if trace.len() == self.trace_lines {
                trace.pop_front();
            }
            trace.push_back(format!("{:>12.6} s  {}", self.heap.now() as f64 / SECOND as f64, line()));
        }
    }

    pub fn wake(&mut self, body: &Body, delay: Time, timer: Timer) {
        let delay = body.clock.lasts(delay);
        self.heap.after(delay, Event::Timer { node: body.at, life: body.life, timer });
    }

    pub fn carry(&mut self, from: usize, to: usize, bytes: usize) -> [Option<Time>; 2] {
        self.net.send(self.heap.now(), from, to, bytes, &mut self.dice)
    }

    pub fn send(&mut self, packet: Packet) {
        if self.ids.len() > self.members && self.dice.per_mille(20) {
            self.overheard.truncate(OVERHEARD - 1);
            self.overheard.push_front(Rc::clone(&packet.bytes));
        }
        let is_report = matches!(packet.bytes[1], wire::Report::KIND | wire::Reported::KIND);
        let line = || {
            let Packet { from, to, call, is_answer, bytes } = &packet;
            let word = if *is_answer { "answers" } else { "asks" };
            format!("{from} {word} {to}: kind {} of {} bytes, call {call:?}", bytes[1], bytes.len())
        };
        if !is_report {
            self.note(line);
        }
        for at in self.carry(packet.from, packet.to, packet.bytes.len()).into_iter().flatten() {
            self.heap.at(at, Event::Packet(packet.clone()));
        }
    }

    pub fn told(&mut self, client: usize, told: Told) {
        self.answers.push((client, told));
    }

    /// A node cannot go on: its disk failed.
    pub fn fail_node(&mut self, node: usize) {
        self.failed.push(node);
    }

    /// An entry of a node's log is safe. Strangers keep what books they like.
    pub fn know(&mut self, at: usize, index: u64, bytes: &[u8], digest: Digest) {
        if self.is_member(at) {
            self.judge.synced(at, index, bytes, digest);
        }
    }

    pub fn restarted(&mut self, at: usize, state: &State) {
        if self.is_member(at) {
            self.judge.restarted(at, state);
        }
    }
}
