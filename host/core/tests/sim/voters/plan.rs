//! What happens to voters in a run, drawn from its seed before it begins.

use std::{collections::BTreeSet, ops::Range, time::Duration};

use crate::{
    dice::Dice,
    net::{Profile, Wall},
};

/// Most voters that a cluster has here; one that comes gets a number that nobody had.
pub const MOST_VOTERS: u64 = 9;

#[derive(Debug, Clone)]
pub enum Fault {
    /// The power of one fails, or of several at once.
    Crash {
        voters: BTreeSet<u64>,
        down: Duration,
    },
    Wall {
        wall: Wall,
        lasts: Duration,
    },
    /// Each sync takes so much longer.
    Stall {
        voter: u64,
        by: Duration,
        lasts: Duration,
    },
    /// The next sync fails, and the process ends.
    BreakDisk {
        voter: u64,
    },
    /// One more voter.
    Add,
    /// One voter less, if three are left.
    Remove {
        which: u64,
    },
    /// Another leads.
    Transfer {
        to: u64,
    },
    /// The power of whoever leads fails.
    CrashLeader {
        down: Duration,
    },
}

/// A mistake on purpose, which the checks must find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// Disks say that a write is safe before it is.
    DisksLie,
    /// One voter applies an entry otherwise.
    StatesDiffer,
    /// What is sent to a voter that lags has no more time behind a slow link than a sign of life.
    ForgetsAirtime,
}

impl Planted {
    pub const ALL: [Planted; 3] = [Planted::DisksLie, Planted::StatesDiffer, Planted::ForgetsAirtime];

    /// Seeds of which one finds it.
    pub fn seeds(self) -> Range<u64> {
        match self {
            Planted::ForgetsAirtime => 2_000_038..2_000_039,
            _ => 1..200,
        }
    }
}

#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub profile: Profile,
    pub voters: u64,
    pub clients: u64,
    /// Between two operations of a client, on average.
    pub pause: Duration,
    /// Entries after which the log is cut.
    pub kept: u64,
    pub length: Duration,
    pub faults: Vec<(Duration, Fault)>,
    pub planted: Option<Planted>,
}

impl Plan {
    pub fn of(seed: u64, voters: Option<u64>, minutes: Option<u64>) -> Plan {
        let mut dice = Dice::new(seed);
        let profile = [Profile::Lan, Profile::Lan, Profile::Lan, Profile::Wan, Profile::Slow][dice.place(5)];
        let unit = Plan::unit(profile);
        // Behind radio links nobody has more: each sign of life takes a second of the leader's air.
        let drawn = [1, 3, 3, 5, 5, 7, 9][dice.place(if profile == Profile::Slow { 5 } else { 7 })];
        let length = minutes.map_or(unit * dice.within(20..60) as u32, |minutes| Duration::from_secs(minutes * 60));
        let mut plan = Plan {
            seed,
            profile,
            voters: voters.unwrap_or(drawn).clamp(1, MOST_VOTERS),
            clients: dice.within(1..4),
            pause: unit / [40, 10, 3][dice.place(3)],
            kept: [10, 60, 4_096][dice.place(3)],
            length,
            faults: Vec::new(),
            planted: None,
        };
        // As many in each stretch of time, however long the run.
        let stretches = (length.as_millis() / unit.as_millis()).max(1) as u64;
        for _ in 0..dice.within(0..stretches / 3 + 2) {
            let at = length.mul_f64(dice.within(0..1_000) as f64 / 1_000.0);
            let fault = plan.fault(&mut dice);
            plan.faults.push((at, fault));
        }
        plan.faults.sort_by_key(|(at, _)| *at);
        plan
    }

    /// A voter's longest wait for an election: what is long and what is short is measured by it.
    pub fn unit(profile: Profile) -> Duration {
        Duration::from_millis(crate::voters::engine::timing(profile).2)
    }

    fn fault(&self, dice: &mut Dice) -> Fault {
        let unit = Plan::unit(self.profile);
        let lasts = unit.mul_f64([0.1, 1.0, 5.0, 20.0][dice.place(4)]);
        let any = |dice: &mut Dice| dice.within(1..self.voters + 1);
        match dice.within(0..16) {
            0..=2 => Fault::CrashLeader { down: lasts },
            3 | 4 => Fault::Crash { voters: [any(dice)].into(), down: lasts },
            5 => {
                let voters = (1..=self.voters).filter(|_| dice.per_mille(600)).collect();
                Fault::Crash { voters, down: lasts }
            }
            6..=9 => Fault::Wall { wall: self.wall(dice), lasts },
            10 => Fault::Stall { voter: any(dice), by: unit.mul_f64([0.05, 0.5, 2.0][dice.place(3)]), lasts },
            11 => Fault::BreakDisk { voter: any(dice) },
            12 | 13 if self.profile != Profile::Slow => Fault::Add,
            14 => Fault::Remove { which: dice.next() },
            _ => Fault::Transfer { to: any(dice) },
        }
    }

    /// Whole, in one direction, or between some pairs only.
    fn wall(&self, dice: &mut Dice) -> Wall {
        let all = 1..=MOST_VOTERS as usize + 4;
        let from: BTreeSet<usize> = all.clone().filter(|_| dice.per_mille(500)).collect();
        let partial = dice.per_mille(400);
        let to = all.filter(|voter| !from.contains(voter) && (!partial || dice.per_mille(500))).collect();
        Wall { from, to, both_ways: dice.per_mille(600) }
    }
}
