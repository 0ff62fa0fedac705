//! A node of the simulation: the program of a real one around the real core, without its threads. What a real node does
//! between the core's decisions (when it syncs, sends, answers and forgets) is told here once more, step by step as in
//! `host/akita`, so that every order of events can be tried. It takes all time and chance from its world.

mod carry;
mod driver;
mod follow;
mod greet;
mod lead;
mod mesh;
mod serve;
mod work;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
};

use akita_core::{
    ClusterId, Command, Content, EventType, Millis, NodeId, TaskId,
    leader::Leader,
    membership::{Announcement, ClusterKey},
    schedule::Offer,
    wire::Standing,
};

use crate::{
    disk::Disk,
    heap::{MINUTE, MS, Time},
    plan::Planted,
    replica::Replica,
    world::{Cx, Event},
};

pub use mesh::{Packet, throw};

/// Virtual time begins on some day in 2026, in milliseconds since the epoch.
const EPOCH: Millis = 1_785_000_000_000;
/// Silence of the leader after which a node goes on without it, as it is set by default.
pub const ELECTION: Time = 5_000 * MS;
/// Between two announces, whether or not there is news, as it is set by default; on radio as its setting advises.
const ANNOUNCE_EVERY: Time = MINUTE;
const ANNOUNCE_ON_RADIO_EVERY: Time = 15 * MINUTE;

fn announce_every(body: &Body, cx: &Cx) -> Time {
    if cx.net.is_slow(body.at, body.at) { ANNOUNCE_ON_RADIO_EVERY } else { ANNOUNCE_EVERY }
}

/// A clock that runs wrong and may be set.
#[derive(Default)]
pub struct Clock {
    pub drift_ppm: i64,
    pub set_by_ms: i64,
}

impl Clock {
    fn run(&self, time: Time) -> Time {
        let wrong = time as i128 * i128::from(self.drift_ppm) / 1_000_000;
        (time as i128 + wrong).max(0) as Time
    }

    /// World time that passes while this clock shows so much.
    pub fn lasts(&self, shown: Time) -> Time {
        (shown as i128 * 1_000_000 / i128::from(1_000_000 + self.drift_ppm)) as Time + 1
    }
}

/// What outlives a node's process.
pub struct Body {
    pub at: usize,
    pub id: NodeId,
    pub key: Option<ClusterKey>,
    pub offer: Offer,
    pub digest: [u8; 8],
    pub disk: Disk,
    pub clock: Clock,
    pub life: u32,
    booted: Time,
}

impl Body {
    pub fn new(at: usize, id: NodeId, key: Option<ClusterKey>, offer: Offer) -> Body {
        let digest = [offer.capabilities.len() as u8; 8];
        Body { at, id, key, offer, digest, disk: Disk::default(), clock: Clock::default(), life: 0, booted: 0 }
    }

    /// Milliseconds since the process began, which only go on.
    fn ticks(&self, now: Time) -> Millis {
        self.clock.run(now - self.booted) / MS + 1
    }

    /// Milliseconds since the epoch, as this machine believes.
    fn wall(&self, now: Time) -> Millis {
        (EPOCH + self.clock.run(now) / MS).saturating_add_signed(self.clock.set_by_ms)
    }
}

/// What a node is to be woken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// The driver's loop.
    Loop,
    /// The disk has the entry.
    Synced(u64),
    /// A call is to be sent again, or has had its time.
    Call(u64),
    Report(u32),
    Watch(u32),
    Announce,
    /// Meet a node, should it not have come by itself.
    Meet(usize),
    /// A run comes to its end.
    RunEnds(TaskId, u64),
    /// Outcomes for a node are to be sent again.
    Deliver(usize),
    /// A client is told that its tasks are in the outbox.
    Queued(usize),
}

/// A process: everything that dies with it.
pub struct Mind {
    pub machine: Replica,
    inputs: BTreeMap<TaskId, Content>,
    time: Millis,
    pub leader: Leader,
    next: driver::Batch,
    under_way: VecDeque<driver::UnderWay>,
    /// Own tasks that run, and when their start is to be committed.
    unacknowledged: BTreeMap<TaskId, (Millis, u64)>,
    wakes_at: Option<Time>,
    paused: bool,
    pub standing: Standing,
    peers: BTreeMap<usize, lead::Peer>,
    joining: BTreeSet<usize>,
    mesh: mesh::Mesh,
    follow: follow::Follow,
    lead: lead::Lead,
    work: work::Work,
    carry: carry::Carry,
    /// Left out of [`Disk`] by [`crate::plan::Planted::OutboxInMemory`].
    forgotten: Vec<TaskId>,
}

pub struct Node {
    pub body: Body,
    pub mind: Option<Mind>,
}

impl Node {
    /// Starts the process: reads the log, founds a cluster if there is none, goes on where it was.
    pub fn boot(&mut self, cx: &mut Cx) {
        if self.mind.is_some() {
            return;
        }
        let body = &mut self.body;
        body.life += 1;
        body.booted = cx.heap.now();
        let (mut machine, mut inputs, mut time) = (Replica::default(), BTreeMap::new(), 0);
        for (index, bytes, entry) in body.disk.read() {
            let (effects, digest) = machine.apply(index, bytes);
            driver::keep_inputs(&mut inputs, &effects.changes);
            time = entry.time;
            // What was written and not told of before the power failed counts now.
            cx.know(body.at, index, bytes, digest);
        }
        cx.restarted(body.at, machine.state());
        let cluster = machine.state().cluster();
        let standing = cluster.map(|cluster| match cluster.sealed_into {
            Some((cluster, leader)) => Standing { cluster, leader },
            None => Standing { cluster: cluster.id, leader: body.id },
        });
        let mut first = vec![Command::Record { event: EventType::NodeStart, node: body.id, details: vec![] }];
        let standing = standing.unwrap_or_else(|| {
            let id = ClusterId::found("akita", body.id, cx.dice.bytes());
            first.push(Command::Found { id, name: "akita".into(), founder: body.id });
            Standing { cluster: id, leader: body.id }
        });
        let mut mind = Mind {
            leader: Leader::new(body.id, cx.tuning),
            machine,
            inputs,
            time,
            next: driver::Batch::default(),
            under_way: VecDeque::new(),
            unacknowledged: BTreeMap::new(),
            wakes_at: None,
            paused: false,
            standing,
            peers: BTreeMap::new(),
            joining: BTreeSet::new(),
            mesh: mesh::Mesh::default(),
            follow: follow::Follow::default(),
            lead: lead::Lead::default(),
            work: work::Work::default(),
            carry: carry::Carry::default(),
            forgotten: Vec::new(),
        };
        mind.begin(body, cx, first);
        self.mind = Some(mind);
    }

    /// The process is gone, in order or not.
    pub fn dies(&mut self, cx: &mut Cx) {
        if let Some(mind) = self.mind.take() {
            mind.forgotten.iter().for_each(|id| self.body.disk.take_from_outbox(*id));
            self.body.disk.power_loss(cx.loses_unsynced, &mut cx.dice);
            cx.judge.died(self.body.at);
        }
    }

    pub fn timer(&mut self, cx: &mut Cx, life: u32, timer: Timer) {
        if life != self.body.life {
            return;
        }
        if let (Some(mind), body) = (self.mind.as_mut(), &mut self.body) {
            mind.timer(body, cx, timer);
            mind.advance(body, cx);
        }
    }

    pub fn packet(&mut self, cx: &mut Cx, packet: Packet) {
        if let (Some(mind), body) = (self.mind.as_mut(), &mut self.body) {
            mind.packet(body, cx, packet);
            mind.advance(body, cx);
        }
    }

    pub fn heard(&mut self, cx: &mut Cx, from: usize, said: &Announcement) {
        if let (Some(mind), body) = (self.mind.as_mut(), &mut self.body) {
            mind.heard(body, cx, from, said);
        }
    }

    /// Whether nothing is left to do here.
    pub fn is_idle(&self) -> bool {
        let live = |mind: &Mind| {
            mind.machine.state().tasks().is_empty() && mind.under_way.is_empty() && mind.next.commands.is_empty()
        };
        self.mind.as_ref().is_some_and(live) && self.body.disk.outbox_is_empty()
    }
}

impl Mind {
    fn begin(&mut self, body: &mut Body, cx: &mut Cx, first: Vec<Command>) {
        self.leader.set_leading(self.leads(body));
        // The log's time, and not the machine's: somebody may have set that back since.
        let (wall, ticks) = (body.wall(cx.heap.now()), body.ticks(cx.heap.now()));
        let time = if cx.planted == Some(Planted::ResumesByTheWallClock) { wall } else { wall.max(self.time) };
        let resumed = self.leader.resume(self.machine.state().tasks().values(), &|_, _| false, time, ticks);
        self.next.commands = [first, resumed].concat();
        self.offer_own_slots(body);
        self.stand(body, cx, self.standing);
        self.lead.started = cx.heap.now();
        let late = cx.dice.within(0..announce_every(body, cx));
        cx.wake(body, late, Timer::Announce);
        self.advance(body, cx);
    }

    pub fn leads(&self, body: &Body) -> bool {
        self.standing.leader == body.id
    }

    fn timer(&mut self, body: &mut Body, cx: &mut Cx, timer: Timer) {
        match timer {
            Timer::Loop => {}
            Timer::Synced(index) => self.synced(body, cx, index),
            Timer::Call(number) => self.call_due(body, cx, number),
            Timer::Report(turn) => self.report_due(body, cx, turn),
            Timer::Watch(turn) => self.watch(body, cx, turn),
            Timer::Announce => {
                self.announce(body, cx);
                cx.wake(body, announce_every(body, cx), Timer::Announce);
            }
            Timer::Meet(node) => self.meet_now(body, cx, node),
            Timer::RunEnds(task, fence) => self.run_ends(body, cx, task, fence),
            Timer::Deliver(node) => self.deliver_to(body, cx, node),
            Timer::Queued(client) => cx.told(client, crate::world::Told::Queued),
        }
    }

    fn announce(&self, body: &Body, cx: &mut Cx) {
        let tag = cx.tag;
        let name = format!("n{}", body.at);
        let bytes: Rc<[u8]> =
            Announcement { tag, standing: self.standing, established: false, digest: body.digest, name }
                .encode()
                .into();
        let late = cx.net.latency(body.at, &mut cx.dice);
        cx.heap.after(late, Event::Announce { from: body.at, bytes });
    }

    /// Takes a stand and tells everybody.
    fn stand(&mut self, body: &mut Body, cx: &mut Cx, standing: Standing) {
        self.standing = standing;
        self.announce(body, cx);
        cx.note(|| format!("node {} stands with cluster {} led by {}", body.at, standing.cluster, standing.leader));
        self.follow.silent_since = None;
        self.follow.leader_silent = false;
        if self.leads(body) {
            self.begin_to_lead(body, cx);
        } else {
            self.report_soon(body, cx);
        }
    }
}
