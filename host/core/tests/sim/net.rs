//! The network: each node hangs on an access link, and a path is as bad as the worse of its two. Packets are late, lost,
//! doubled and overtaken; walls block some pairs, in one direction or both. It never looks into a packet.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    dice::Dice,
    heap::{MS, Time},
};

/// What the mesh puts around a message on the air.
const OVERHEAD: usize = 110;

/// How a node hangs on the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    Lan,
    Wan,
    /// A radio: half a second to three, a twentieth lost, 1,200 bit/s shared by both directions.
    Slow,
}

struct Quality {
    latency: (Time, Time),
    lost: u64,
    doubled: u64,
    bytes_per_second: Option<u64>,
}

impl Profile {
    fn quality(self) -> Quality {
        match self {
            Profile::Lan => Quality { latency: (200, 2 * MS), lost: 1, doubled: 2, bytes_per_second: None },
            Profile::Wan => {
                Quality { latency: (20 * MS, 150 * MS), lost: 10, doubled: 3, bytes_per_second: Some(250_000) }
            }
            Profile::Slow => {
                Quality { latency: (500 * MS, 3_000 * MS), lost: 50, doubled: 5, bytes_per_second: Some(150) }
            }
        }
    }
}

/// Blocks what `from` sends to `to`.
#[derive(Debug, Clone)]
pub struct Wall {
    pub from: BTreeSet<usize>,
    pub to: BTreeSet<usize>,
    pub both_ways: bool,
}

impl Wall {
    fn blocks(&self, from: usize, to: usize) -> bool {
        let one = |from, to| self.from.contains(from) && self.to.contains(to);
        one(&from, &to) || (self.both_ways && one(&to, &from))
    }
}

#[derive(Default)]
pub struct Net {
    access: Vec<Profile>,
    /// When what a node's access link carries now has passed.
    free_at: Vec<Time>,
    walls: BTreeMap<usize, Wall>,
    pub packets: u64,
    /// What passed each access link.
    pub bytes: Vec<u64>,
}

impl Net {
    pub fn add(&mut self, profile: Profile) {
        self.access.push(profile);
        self.free_at.push(0);
        self.bytes.push(0);
    }

    /// A node's access link becomes another; what waited to be sent on the old one is gone.
    pub fn set(&mut self, node: usize, profile: Profile) {
        if self.access[node] != profile {
            self.access[node] = profile;
            self.free_at[node] = 0;
        }
    }

    pub fn build(&mut self, name: usize, wall: Wall) {
        self.walls.insert(name, wall);
    }

    pub fn tear_down(&mut self, name: usize) {
        self.walls.remove(&name);
    }

    fn path(&self, from: usize, to: usize) -> Profile {
        self.access[from].max(self.access[to])
    }

    /// The end whose access link decides.
    fn narrow(&self, from: usize, to: usize) -> usize {
        if self.access[from] >= self.access[to] { from } else { to }
    }

    /// Time until what was sent so far has left.
    pub fn in_the_air(&self, now: Time, from: usize, to: usize) -> Time {
        self.free_at[self.narrow(from, to)].saturating_sub(now)
    }

    /// The round trip as the mesh measured it when it made the link, in milliseconds.
    pub fn rtt_ms(&self, from: usize, to: usize) -> u32 {
        let (least, most) = self.path(from, to).quality().latency;
        ((least + most) / MS).max(1) as u32
    }

    pub fn is_slow(&self, from: usize, to: usize) -> bool {
        self.path(from, to) == Profile::Slow
    }

    /// Whether and when an announce reaches one of many: it is lost like a packet, and takes its share of a slow link.
    pub fn reaches(&mut self, now: Time, from: usize, to: usize, bytes: usize, dice: &mut Dice) -> bool {
        let quality = self.path(from, to).quality();
        if let Some(rate) = quality.bytes_per_second {
            let narrow = self.narrow(from, to);
            self.free_at[narrow] = self.free_at[narrow].max(now) + (bytes + OVERHEAD) as u64 * 1_000_000 / rate;
            self.bytes[from] += (bytes + OVERHEAD) as u64;
            self.bytes[to] += (bytes + OVERHEAD) as u64;
        }
        !dice.per_mille(quality.lost) && !self.walls.values().any(|wall| wall.blocks(from, to))
    }

    /// How long an announce is on its way.
    pub fn latency(&self, from: usize, dice: &mut Dice) -> Time {
        let (least, most) = self.access[from].quality().latency;
        dice.within(least..most)
    }

    /// When the copies of a packet arrive: none, one or two.
    pub fn send(&mut self, now: Time, from: usize, to: usize, bytes: usize, dice: &mut Dice) -> [Option<Time>; 2] {
        self.packets += 1;
        let quality = self.path(from, to).quality();
        let sent = (bytes + OVERHEAD) as u64;
        self.bytes[from] += sent;
        self.bytes[to] += sent;
        let mut leaves = now;
        if let Some(rate) = quality.bytes_per_second {
            let narrow = self.narrow(from, to);
            leaves = self.free_at[narrow].max(now) + sent * 1_000_000 / rate;
            self.free_at[narrow] = leaves;
        }
        if dice.per_mille(quality.lost) || self.walls.values().any(|wall| wall.blocks(from, to)) {
            return [None, None];
        }
        let (least, most) = quality.latency;
        let mut arrives = || Some(leaves + dice.within(least..most));
        let first = arrives();
        let second = arrives();
        [first, second.filter(|_| dice.per_mille(quality.doubled))]
    }
}
