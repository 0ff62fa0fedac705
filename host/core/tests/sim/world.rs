//! The world of one run: its nodes, what is between them, its clients, and the hand that lets the next event happen. It
//! knows no rule of Akita: the nodes do, and the judge.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use akita_core::{
    Content, Extras, NodeId, TaskId, TaskSpec,
    membership::{Announcement, ClusterKey, cluster_tag},
    schedule::Offer,
    tuning::Tuning,
    wire::Sent,
};

use crate::{
    check::Judge,
    cx::TRACE,
    dice::Dice,
    heap::{Heap, MINUTE, SECOND, Time},
    net::{Net, Profile},
    node::{Body, Node},
    plan::{Asked, Plan},
};

pub use crate::cx::{Cx, Event, Told};

/// Virtual time after the last fault in which everything must have come to an end. What takes longest: a task is taken
/// back three times after five minutes of silence, each time from a worker that was let rest.
const SETTLES_WITHIN: Time = 40 * MINUTE;
/// The same where a message takes seconds and a lost one is noticed after a minute.
const SETTLES_SLOWLY_WITHIN: Time = 6 * 60 * MINUTE;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asking {
    Waiting,
    Queued,
    Accepted,
    Refused,
}

/// Somebody who wants tasks done, and asks until it is told.
pub struct Client {
    pub node: usize,
    pub tasks: Vec<Sent>,
    pub asking: Asking,
}

/// What a run came to.
#[derive(Debug, Default, Clone)]
pub struct Report {
    pub violation: Option<String>,
    pub steps: u64,
    pub commands: u64,
    pub finished: u64,
    pub packets: u64,
    pub virtual_time: Time,
    /// From the last fault to quiet.
    pub settled_in: Time,
    /// When all nodes first had one leader.
    pub formed_at: Option<Time>,
    pub bytes: Vec<u64>,
    pub trace: Vec<String>,
}

pub struct World {
    pub nodes: Vec<Node>,
    pub cx: Cx,
    pub plan: Plan,
    pub clients: BTreeMap<usize, Client>,
    steps: u64,
}

impl World {
    pub fn new(plan: &Plan, left_out: &BTreeSet<usize>, traced: bool) -> World {
        let mut dice = Dice::new(plan.seed ^ 0x005e_ed0f_7407_1d00);
        let all = plan.nodes + plan.strangers;
        let ids: Vec<NodeId> = (0..all).map(|_| NodeId(dice.bytes())).collect();
        let members = ids.iter().take(plan.nodes).enumerate().map(|(at, id)| (*id, at)).collect();
        let mut net = Net::default();
        let nodes = ids.iter().enumerate().map(|(at, id)| {
            net.add(plan.profile);
            node_of(plan, at, *id, &mut dice)
        });
        let nodes: Vec<Node> = nodes.collect();
        let mut heap = Heap::default();
        (0..all).for_each(|at| heap.at(dice.within(0..plan.starts_within), Event::Start(at)));
        for (at, (time, _)) in plan.ops.iter().enumerate() {
            if !left_out.contains(&at) {
                heap.at(*time, Event::Op(at));
            }
        }
        let cx = Cx {
            heap,
            net,
            dice,
            judge: Judge::new(members),
            places: ids.iter().enumerate().map(|(at, id)| (*id, at)).collect(),
            members: plan.nodes,
            ids,
            tag: cluster_tag("akita"),
            tuning: Tuning::default(),
            loses_unsynced: plan.loses_unsynced,
            planted: plan.planted,
            overheard: VecDeque::new(),
            answers: Vec::new(),
            failed: Vec::new(),
            trace: traced.then(VecDeque::new),
            trace_lines: crate::setting("AKITA_SIM_TRACE").unwrap_or(TRACE),
        };
        World { nodes, cx, plan: plan.clone(), clients: BTreeMap::new(), steps: 0 }
    }

    /// Lets everything happen, heals the world, and waits until it has come to rest.
    pub fn run(mut self) -> Report {
        let end = self.plan.length;
        let mut report = Report::default();
        self.until(end, &mut report);
        self.heal();
        let slow = self.plan.profile == Profile::Slow;
        let bound = end + self.plan.work() + if slow { SETTLES_SLOWLY_WITHIN } else { SETTLES_WITHIN };
        let mut look_at = end + SECOND;
        while self.cx.judge.violation().is_none() && self.unsettled().is_some() {
            let now = self.cx.heap.now();
            if now >= bound {
                let why = self.unsettled().unwrap_or_default();
                self.cx.judge.hold(false, "everything comes to an end once it works again", || why);
            }
            self.until(look_at, &mut report);
            look_at += SECOND;
        }
        self.cx.judge.at_the_end();
        report.violation = self.cx.judge.violation().map(str::to_owned);
        report.settled_in = self.cx.heap.now().saturating_sub(end);
        report.virtual_time = self.cx.heap.now();
        (report.steps, report.packets) = (self.steps, self.cx.net.packets);
        (report.commands, report.finished) = (self.cx.judge.commands, self.cx.judge.finished);
        report.bytes = std::mem::take(&mut self.cx.net.bytes);
        report.trace = self.cx.trace.take().map(Vec::from).unwrap_or_default();
        report
    }

    fn until(&mut self, end: Time, report: &mut Report) {
        while self.cx.judge.violation().is_none() && self.cx.heap.next_at().is_some_and(|at| at <= end) {
            self.step();
            if report.formed_at.is_none() && self.steps.is_multiple_of(64) && self.has_one_leader() {
                report.formed_at = Some(self.cx.heap.now());
            }
        }
    }

    fn step(&mut self) {
        let Some(event) = self.cx.heap.pop() else { return };
        self.steps += 1;
        let cx = &mut self.cx;
        let touched = match event {
            Event::Packet(packet) => {
                let to = packet.to;
                self.nodes[to].packet(cx, packet);
                to
            }
            Event::Announce { from, bytes } => self.announced(from, &bytes),
            Event::Timer { node, life, timer } => {
                self.nodes[node].timer(cx, life, timer);
                node
            }
            Event::Start(node) => {
                cx.note(|| format!("node {node} starts"));
                self.nodes[node].boot(cx);
                node
            }
            Event::Op(op) => self.operate(op),
            Event::Undo(op) => self.undo(op),
            Event::Client(client) => self.send(client),
            Event::Leaving { node, life, until, down } => self.leaving(node, life, until, down),
        };
        self.after(touched);
    }

    /// An announce reaches everybody, but for those who miss it.
    fn announced(&mut self, from: usize, bytes: &[u8]) -> usize {
        let said = Announcement::decode(bytes).expect("what a node announces is an announcement");
        let now = self.cx.heap.now();
        for to in (0..self.nodes.len()).filter(|to| *to != from) {
            if self.cx.net.reaches(now, from, to, bytes.len(), &mut self.cx.dice) {
                self.nodes[to].heard(&mut self.cx, from, &said);
            }
        }
        from
    }

    fn after(&mut self, touched: usize) {
        for node in std::mem::take(&mut self.cx.failed) {
            self.crash(node, SECOND);
        }
        for (client, told) in std::mem::take(&mut self.cx.answers) {
            self.answered(client, told);
        }
        if !self.cx.is_member(touched) {
            return;
        }
        if let Some(mind) = &self.nodes[touched].mind {
            let small = mind.machine.state().tasks().len() < 8;
            if small || self.steps.is_multiple_of(64) {
                mind.check_books(touched, &mut self.cx.judge);
            }
        }
        if self.steps.is_multiple_of(512) {
            self.cx.judge.catch_up(touched);
        }
    }

    pub fn tasks(&self, op: usize, asked: &Asked) -> Vec<Sent> {
        let mut dice = Dice::new(self.plan.seed ^ (op as u64).wrapping_mul(0x9e37_79b9));
        let one = |number: u64| {
            let mut id: [u8; 16] = dice.bytes();
            id[..4].copy_from_slice(&(op as u32).to_be_bytes());
            id[4..6].copy_from_slice(&(number as u16).to_be_bytes());
            let mut input = vec![asked.nature as u8];
            input.extend_from_slice(&asked.run_ms.to_be_bytes());
            input.resize(5 + asked.bytes, 7);
            let spec = TaskSpec {
                action: "p/work".into(),
                required: asked.rare.then(|| "rare".to_owned()).into_iter().collect(),
                priority: asked.priority,
                timeout_ms: None,
                input: Content { content_type: "application/json".into(), body: input },
                extras: Extras::default(),
            };
            Sent::new(TaskId(id), self.cx.ids[asked.node], 0, spec)
        };
        (0..asked.tasks).map(one).collect()
    }

    pub fn send(&mut self, at: usize) -> usize {
        let Some(client) = self.clients.get(&at) else { return 0 };
        let node = client.node;
        if client.asking == Asking::Waiting {
            let tasks = client.tasks.clone();
            let again = if self.plan.profile == Profile::Slow { 300 * SECOND } else { 15 * SECOND };
            self.cx.heap.after(again, Event::Client(at));
            let Node { body, mind } = &mut self.nodes[node];
            if let Some(mind) = mind {
                mind.submit(body, &mut self.cx, at, tasks);
            }
        }
        node
    }

    fn answered(&mut self, at: usize, told: Told) {
        self.cx.note(|| format!("client {at} is told {told:?}"));
        let Some(client) = self.clients.get_mut(&at) else { return };
        match told {
            Told::Accepted(ids) => {
                client.asking = Asking::Accepted;
                self.cx.judge.told_accepted(&ids);
            }
            Told::Queued if client.asking == Asking::Waiting => client.asking = Asking::Queued,
            Told::Refused if client.asking == Asking::Waiting => client.asking = Asking::Refused,
            _ => {}
        }
    }

    fn has_one_leader(&self) -> bool {
        let minds = || self.nodes[..self.plan.nodes].iter().map(|node| node.mind.as_ref());
        let first = minds().next().flatten().map(|mind| mind.standing);
        minds().all(|mind| mind.is_some_and(|mind| Some(mind.standing) == first))
    }

    /// What is not at rest yet.
    fn unsettled(&self) -> Option<String> {
        for (at, client) in &self.clients {
            let open = client.asking == Asking::Waiting;
            let left = client.tasks.iter().find(|task| !self.cx.judge.has_ended(task.task));
            if open || (client.asking != Asking::Refused && left.is_some()) {
                let left = left.map(|task| task.task);
                return Some(format!("client {at} is {:?}, and of its tasks {left:?} has not ended", client.asking));
            }
        }
        if !self.has_one_leader() {
            return Some("the nodes have more than one leader".into());
        }
        let busy = self.nodes[..self.plan.nodes].iter().position(|node| !node.is_idle())?;
        Some(format!("node {busy} has something left to do"))
    }
}

fn node_of(plan: &Plan, at: usize, id: NodeId, dice: &mut Dice) -> Node {
    let member = at < plan.nodes;
    let secret = if member { "the key of this cluster".to_owned() } else { format!("the key of stranger {at}") };
    let key = plan.keyed.then(|| ClusterKey::new(secret.as_bytes()).expect("long enough"));
    // The first has everything, so that every task can be run by somebody.
    let rare = at == 0 || dice.per_mille(300);
    let offer = Offer {
        slots: dice.within(1..5) as u16,
        actions: ["p/work".to_owned()].into(),
        capabilities: rare.then(|| "rare".to_owned()).into_iter().collect(),
        ..Offer::default()
    };
    let mut body = Body::new(at, id, key, offer);
    if plan.drift_ppm > 0 {
        body.clock.drift_ppm = dice.within(0..2 * plan.drift_ppm) as i64 - plan.drift_ppm as i64;
        body.clock.set_by_ms = dice.within(0..20_000) as i64 - 10_000;
    }
    Node { body, mind: None }
}
