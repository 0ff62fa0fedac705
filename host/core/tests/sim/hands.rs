//! What is done to the world: each operation of its plan, the end of what it broke, and the healing of everything.

use crate::{
    cx::{Cx, Event},
    heap::{MS, SECOND, Time},
    node::{Mind, Node},
    plan::Op,
    world::{Asking, Client, World},
};

/// A node that stops in order takes no longer.
const GRACE: Time = 30 * SECOND;

impl World {
    pub fn operate(&mut self, op: usize) -> usize {
        let what = self.plan.ops[op].1.clone();
        self.cx.note(|| format!("operation {op}: {what:?}"));
        let undo = |cx: &mut Cx, lasts: Time, end: Time| {
            let at = (cx.heap.now() + lasts).min(end);
            cx.heap.at(at, Event::Undo(op));
        };
        match what {
            Op::Submit(asked) => {
                let tasks = self.tasks(op, &asked);
                tasks.iter().for_each(|task| self.cx.judge.asked(task.task));
                self.clients.insert(op, Client { node: asked.node, tasks, asking: Asking::Waiting });
                self.send(op)
            }
            Op::Again { of, node } => {
                if let Some(tasks) = self.clients.get(&of).map(|client| client.tasks.clone()) {
                    let origin = self.cx.ids[node];
                    tasks.iter().for_each(|task| self.cx.judge.asked_again(task.task));
                    let tasks = tasks.into_iter().map(|task| akita_core::wire::Sent { origin, ..task }).collect();
                    self.clients.insert(op, Client { node, tasks, asking: Asking::Waiting });
                    self.send(op);
                }
                node
            }
            Op::Crash { node, down } => {
                self.crash(node, down);
                node
            }
            Op::Leave { node, down } => {
                let (until, life) = (self.cx.heap.now() + GRACE, self.nodes[node].body.life);
                let Node { body, mind } = &mut self.nodes[node];
                if let Some(mind) = mind {
                    mind.drain(body, &mut self.cx);
                    self.cx.heap.after(0, Event::Leaving { node, life, until, down });
                }
                node
            }
            Op::Wall { wall, lasts } => {
                self.cx.net.build(op, wall);
                undo(&mut self.cx, lasts, self.plan.length);
                0
            }
            Op::Degrade { node, profile, lasts } => {
                self.cx.net.set(node, profile);
                undo(&mut self.cx, lasts, self.plan.length);
                node
            }
            Op::SetClock { node, by_ms } => {
                self.nodes[node].body.clock.set_by_ms += by_ms;
                node
            }
            Op::Stall { node, by, lasts } => {
                self.nodes[node].body.disk.stalled = by;
                undo(&mut self.cx, lasts, self.plan.length);
                node
            }
            Op::BreakDisk { node } => {
                self.nodes[node].body.disk.broken = true;
                node
            }
            Op::Attack { attack, on } => {
                crate::attack::attack(&mut self.cx, attack, on);
                on
            }
        }
    }

    pub fn undo(&mut self, op: usize) -> usize {
        match &self.plan.ops[op].1 {
            Op::Wall { .. } => {
                self.cx.net.tear_down(op);
                0
            }
            Op::Degrade { node, .. } => {
                self.cx.net.set(*node, self.plan.profile);
                *node
            }
            Op::Stall { node, .. } => {
                self.nodes[*node].body.disk.stalled = 0;
                *node
            }
            _ => 0,
        }
    }

    pub fn crash(&mut self, node: usize, down: Time) {
        self.cx.note(|| format!("node {node} dies"));
        self.nodes[node].dies(&mut self.cx);
        self.cx.heap.after(down, Event::Start(node));
    }

    pub fn leaving(&mut self, node: usize, life: u32, until: Time, down: Time) -> usize {
        let now = self.cx.heap.now();
        if self.nodes[node].body.life == life {
            let done = self.nodes[node].mind.as_ref().is_some_and(Mind::is_drained);
            if done || now >= until {
                self.crash(node, down);
            } else {
                self.cx.heap.after(200 * MS, Event::Leaving { node, life, until, down });
            }
        }
        node
    }

    pub fn heal(&mut self) {
        self.cx.note(|| "everything works again".to_owned());
        for node in 0..self.nodes.len() {
            self.nodes[node].body.disk.stalled = 0;
            self.nodes[node].body.disk.broken = false;
            self.cx.net.set(node, self.plan.profile);
            self.nodes[node].boot(&mut self.cx);
        }
        for op in 0..self.plan.ops.len() {
            self.cx.net.tear_down(op);
        }
    }
}
