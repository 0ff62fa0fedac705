//! What happens in a run, drawn from its seed before it begins: the world, and the operations of clients, of chance and
//! of strangers, each with its time. A failing plan is shrunk by leaving operations out.

use std::{collections::BTreeSet, ops::Range};

use crate::{
    dice::Dice,
    heap::{MINUTE, MS, SECOND, Time},
    net::{Profile, Wall},
};

/// How a task behaves where it runs; travels in its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// Gives a result.
    Good,
    /// Fails, and says that another attempt is of no use.
    Bad,
    /// Fails, and asks for another attempt, each time.
    Sick,
    /// Fails every other attempt.
    Flaky,
}

impl Nature {
    pub const ALL: [Nature; 4] = [Nature::Good, Nature::Bad, Nature::Sick, Nature::Flaky];
}

/// What a client asks for.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    pub node: usize,
    pub tasks: u64,
    pub nature: Nature,
    pub run_ms: u32,
    pub bytes: usize,
    /// Only some nodes can run it.
    pub rare: bool,
    pub priority: u8,
}

/// What a stranger, who holds no key of this cluster, tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attack {
    /// Works for the leader as if it had been let in.
    Report,
    /// Submits a task.
    Submit,
    /// Assigns a task.
    Assign,
    /// Claims the result of whatever runs.
    Outcome,
    /// Says again what it has overheard.
    Replay,
    /// Proves with a key of its own.
    Prove,
    /// Bytes that mean nothing.
    Noise,
}

impl Attack {
    pub const ALL: [Attack; 7] =
        [Attack::Report, Attack::Submit, Attack::Assign, Attack::Outcome, Attack::Replay, Attack::Prove, Attack::Noise];
}

/// One operation. Those that break something say for how long, so that each can be left out by itself.
#[derive(Debug, Clone)]
pub enum Op {
    Submit(Asked),
    /// A client sends once more, maybe elsewhere, what operation `of` submitted.
    Again {
        of: usize,
        node: usize,
    },
    /// The power of a node fails.
    Crash {
        node: usize,
        down: Time,
    },
    /// A node stops in order.
    Leave {
        node: usize,
        down: Time,
    },
    Wall {
        wall: Wall,
        lasts: Time,
    },
    /// A node's access link becomes another.
    Degrade {
        node: usize,
        profile: Profile,
        lasts: Time,
    },
    /// Somebody sets a node's clock.
    SetClock {
        node: usize,
        by_ms: i64,
    },
    /// A disk takes long for each sync.
    Stall {
        node: usize,
        by: Time,
        lasts: Time,
    },
    /// A disk fails its next sync; the node stops and is started again.
    BreakDisk {
        node: usize,
    },
    Attack {
        attack: Attack,
        on: usize,
    },
}

/// A mistake that is built into the nodes on purpose: the checks must find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// A leader answers before its disk has the entry.
    AnswersBeforeSync,
    /// A leader takes any outcome of a task as the present holder's.
    IgnoresFence,
    /// A node lets in whoever comes.
    AdmitsAnybody,
    /// A node that gave way forgets its tasks as soon as it has sent them.
    HandsOverBlindly,
    /// A node answers that a task is queued, and keeps it in memory only.
    OutboxInMemory,
    /// A worker begins a task once more when it is sent again.
    RunsTwice,
    /// A node that hands tasks over takes no notice of who has taken them, if it follows another by then.
    ForgetsWhoTook,
    /// A leader that starts again reckons from its machine's clock, which somebody has set back since.
    ResumesByTheWallClock,
}

impl Planted {
    pub const ALL: [Planted; 8] = [
        Planted::AnswersBeforeSync,
        Planted::IgnoresFence,
        Planted::AdmitsAnybody,
        Planted::HandsOverBlindly,
        Planted::OutboxInMemory,
        Planted::RunsTwice,
        Planted::ForgetsWhoTook,
        Planted::ResumesByTheWallClock,
    ];

    /// Seeds of which one finds it. The last two were mistakes of Akita's, and are found by one in some thousands.
    pub fn seeds(self) -> Range<u64> {
        match self {
            Planted::ForgetsWhoTook => 6_793..6_794,
            Planted::ResumesByTheWallClock => 1_226..1_227,
            _ => 1..400,
        }
    }
}

#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub nodes: usize,
    /// Nodes beside these that hold another key.
    pub strangers: usize,
    pub profile: Profile,
    pub keyed: bool,
    /// A disk whose power fails keeps only what was synced.
    pub loses_unsynced: bool,
    /// Clocks run wrong by up to this many millionths.
    pub drift_ppm: u64,
    /// Nodes start within this time.
    pub starts_within: Time,
    pub length: Time,
    pub ops: Vec<(Time, Op)>,
    pub planted: Option<Planted>,
}

impl Plan {
    /// The plan of a seed: a small cluster with everything that can go wrong. `nodes` and `minutes` where they are not to
    /// be drawn.
    pub fn of(seed: u64, nodes: Option<usize>, minutes: Option<u64>) -> Plan {
        let mut dice = Dice::new(seed);
        let profile = [Profile::Lan, Profile::Lan, Profile::Wan, Profile::Slow][dice.place(4)];
        let drawn = match profile {
            Profile::Slow => dice.within(2..6),
            _ => dice.within(2..10),
        };
        let nodes = nodes.unwrap_or(drawn as usize).max(1);
        let keyed = dice.per_mille(600);
        let drawn = dice.within(2..7) * if profile == Profile::Slow { 10 } else { 1 };
        let mut plan = Plan {
            seed,
            nodes,
            strangers: if keyed { dice.place(3) } else { 0 },
            profile,
            keyed,
            loses_unsynced: dice.per_mille(750),
            drift_ppm: [0, 50, 500, 20_000][dice.place(4)],
            starts_within: [1, 5 * SECOND][dice.place(2)],
            length: minutes.unwrap_or(drawn) * MINUTE,
            ops: Vec::new(),
            planted: None,
        };
        plan.draw(&mut dice);
        plan
    }

    /// Many workers and few faults: how long does that take?
    pub fn large(seed: u64, nodes: usize, minutes: u64) -> Plan {
        let mut dice = Dice::new(seed);
        let length = minutes * MINUTE;
        let mut plan = Plan {
            seed,
            nodes,
            strangers: 2,
            profile: Profile::Lan,
            keyed: true,
            loses_unsynced: true,
            drift_ppm: 50,
            starts_within: 5 * SECOND,
            length,
            ops: Vec::new(),
            planted: None,
        };
        let mut at = MINUTE;
        while at < length {
            at += dice.within(100 * MS..1_900 * MS);
            let op = match dice.within(0..100) {
                0..=92 => plan.submit(&mut dice),
                93 => Op::Attack { attack: Attack::ALL[dice.place(Attack::ALL.len())], on: dice.place(nodes) },
                94..=97 => Op::Crash { node: dice.place(nodes), down: dice.within(SECOND..MINUTE) },
                _ => Op::Leave { node: dice.place(nodes), down: dice.within(SECOND..MINUTE) },
            };
            plan.ops.push((at, op));
        }
        plan
    }

    /// The time that all work takes where nothing is done at once and every attempt is needed.
    pub fn work(&self) -> Time {
        let work = self.ops.iter().map(|(_, op)| match op {
            Op::Submit(asked) => asked.tasks * Time::from(asked.run_ms) * MS * 3,
            _ => 0,
        });
        work.sum()
    }

    fn draw(&mut self, dice: &mut Dice) {
        let slow = self.profile == Profile::Slow;
        let calls = if slow { 20 } else { 30 + dice.within(0..170) };
        let faults = dice.within(0..if slow { 8 } else { 25 });
        for _ in 0..calls {
            let at = dice.within(0..self.length);
            let earlier = self.ops.iter().rposition(|(_, op)| matches!(op, Op::Submit(_)));
            let op = match earlier {
                Some(of) if dice.per_mille(150) => Op::Again { of, node: dice.place(self.nodes) },
                _ => self.submit(dice),
            };
            self.ops.push((at, op));
        }
        for _ in 0..faults {
            let at = dice.within(0..self.length);
            let op = self.fault(dice);
            self.ops.push((at, op));
        }
        for _ in 0..self.strangers * 10 {
            let attack = Attack::ALL[dice.place(Attack::ALL.len())];
            self.ops.push((dice.within(0..self.length), Op::Attack { attack, on: dice.place(self.nodes) }));
        }
    }

    fn submit(&self, dice: &mut Dice) -> Op {
        let slow = self.profile == Profile::Slow;
        let most = if slow { 3 } else { 25 };
        let tasks = if dice.per_mille(700) { 1 } else { dice.within(1..most) };
        let longest = if tasks == 1 { 5 } else { 3 };
        Op::Submit(Asked {
            node: dice.place(self.nodes),
            tasks,
            nature: if dice.per_mille(700) { Nature::Good } else { Nature::ALL[dice.place(4)] },
            run_ms: [1, 20, 500, 8_000, 100_000][dice.place(longest)],
            bytes: dice.place(if slow { 60 } else { 4_000 }),
            rare: dice.per_mille(150),
            priority: dice.place(20) as u8,
        })
    }

    fn fault(&self, dice: &mut Dice) -> Op {
        let long = if self.profile == Profile::Slow { 10 } else { 1 };
        let lasts = [200 * MS, 3 * SECOND, 20 * SECOND, 90 * SECOND][dice.place(4)] * long;
        let node = dice.place(self.nodes);
        match dice.within(0..14) {
            0..=3 => Op::Crash { node, down: lasts },
            4 => Op::Leave { node, down: lasts },
            5..=8 => Op::Wall { wall: self.wall(dice), lasts },
            9 => {
                let profile = [Profile::Wan, Profile::Slow][dice.place(2)].max(self.profile);
                Op::Degrade { node, profile, lasts: lasts * 3 }
            }
            10 => {
                let by = [1_000, 60_000, 3_600_000][dice.place(3)];
                Op::SetClock { node, by_ms: if dice.per_mille(500) { by } else { -by } }
            }
            11 | 12 => Op::Stall { node, by: dice.within(100 * MS..8 * SECOND), lasts },
            _ => Op::BreakDisk { node },
        }
    }

    /// Whole, in one direction, or between some pairs only.
    fn wall(&self, dice: &mut Dice) -> Wall {
        let from: BTreeSet<usize> = (0..self.nodes).filter(|_| dice.per_mille(500)).collect();
        let all_others: BTreeSet<usize> = (0..self.nodes).filter(|node| !from.contains(node)).collect();
        let partial = dice.per_mille(300);
        let to = all_others.into_iter().filter(|_| !partial || dice.per_mille(500)).collect();
        Wall { from, to, both_ways: dice.per_mille(600) }
    }
}
