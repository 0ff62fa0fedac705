//! What one worker offers, how busy it is, and whether it has room. It never chooses between workers.

use std::collections::{BTreeMap, BTreeSet};

use super::Class;
use crate::{
    id::Millis,
    tuning::{MAX_RTT_MS, SLOW_RTT_MS, families},
    versions::{Versions, exact, plugin_of},
};

/// Work that a worker should have at hand so that it never waits for the next assignment, in microseconds: a commit and
/// a hop on a busy small machine take some milliseconds.
const BUFFER_US: u64 = 20_000;
/// Tasks per slot that a worker holds at most, however short they are: bounds what is lost with a worker.
const MAX_PER_SLOT: u64 = 64;
/// A worker with this share of its memory in use gets a task only when it has none.
const FULL_MEMORY_PERCENT: u8 = 95;
/// Weight of a new run time in the moving mean: one in eight.
const MEAN_SHIFT: u64 = 8;
/// A longer run says no more about the next one, in microseconds: the number comes from the worker.
const LONGEST_RUN_US: u64 = 24 * 3_600_000_000;
/// A worker that did not take what it was given gets nothing for so long, doubled with each time, in milliseconds:
/// otherwise the same tasks would go to and fro as fast as the disk commits.
const FIRST_PAUSE_MS: u64 = 500;
/// The longest such pause, in milliseconds.
const LONGEST_PAUSE_MS: u64 = 30_000;

/// What a worker can do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Offer {
    /// Tasks that it runs at once.
    pub slots: u16,
    /// Actions, as `plugin/action`.
    pub actions: BTreeSet<String>,
    /// Capabilities: the operator's and those that plugins bring.
    pub capabilities: BTreeSet<String>,
    /// Tasks of one plugin that it runs at once, where that is fewer than its slots.
    pub caps: BTreeMap<String, u16>,
    /// The versions of each plugin.
    pub versions: Versions,
}

/// How busy a worker is; coarse on purpose, it travels in every report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Of all cores, 0 to 100.
    pub cpu_percent: u8,
    /// 0 to 100.
    pub memory_percent: u8,
    /// Round trip to it; 0 for the leader itself.
    pub rtt_ms: u32,
    /// Tasks that it holds and that take no slot: they wait for their children.
    pub parked: u16,
}

/// One worker, as the scheduler sees it.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) offer: Offer,
    pub(super) load: Load,
    pub(super) in_flight: u64,
    /// Of those, the tasks of plugins that have a cap.
    pub(super) capped: BTreeMap<String, u64>,
    pub(super) mean_run_us: Option<u64>,
    /// Times in a row that it did not take a task.
    pub(super) refusals: u32,
    /// Gets nothing before this time; 0: it may.
    pub(super) paused_until: Millis,
}

pub(super) fn tail(full: &str) -> &str {
    full.rsplit('/').next().unwrap_or_default()
}

/// Whether `name` is a bare action, and `full` is it with its plugin.
pub(super) fn is_short_for(name: &str, full: &str) -> bool {
    !name.contains('/') && tail(full) == name
}

pub(super) fn believed(load: Load) -> Load {
    Load { rtt_ms: load.rtt_ms.min(MAX_RTT_MS), ..load }
}

impl Offer {
    /// A task that was accepted while nobody knew its action keeps the bare name under which it was submitted.
    pub(super) fn has(&self, action: &str) -> bool {
        self.actions.contains(action)
            || exact(action).is_some_and(|(plugin, version, bare)| {
                self.actions.contains(&format!("{plugin}/{bare}")) && self.versions.has(plugin, version, bare)
            })
            || (!action.contains('/') && self.actions.iter().any(|full| is_short_for(action, full)))
    }
}

impl Worker {
    pub(super) fn cap(&self, action: &str) -> Option<u16> {
        self.offer.caps.get(plugin_of(action)).copied()
    }

    /// A task over its plugin's cap would only wait there, in the place of one that could run.
    pub(super) fn is_below_cap(&self, action: &str) -> bool {
        let held = self.capped.get(plugin_of(action)).copied().unwrap_or_default();
        self.cap(action).is_none_or(|cap| held < u64::from(cap))
    }

    pub(super) fn can_run(&self, Class { action, required, .. }: &Class) -> bool {
        self.offer.has(action) && required.iter().all(|one| self.offer.capabilities.contains(one))
    }

    /// It ran a task for so long.
    pub(super) fn ran(&mut self, run_us: u64) {
        let run = run_us.min(LONGEST_RUN_US);
        let mean = self.mean_run_us.unwrap_or(run);
        self.mean_run_us = Some((mean * (MEAN_SHIFT - 1) + run) / MEAN_SHIFT);
        self.refusals = 0;
    }

    /// It did not take a task; those refused together count once.
    pub(super) fn refused(&mut self, now: Millis) {
        if self.paused_until <= now {
            let pause = (FIRST_PAUSE_MS << self.refusals.min(16)).min(LONGEST_PAUSE_MS);
            self.refusals = self.refusals.saturating_add(1);
            self.paused_until = now + pause;
        }
    }

    /// Tasks that it may hold: its slots, and as many more as it finishes while the next assignment travels.
    fn window(&self) -> u64 {
        let slots = u64::from(self.offer.slots).max(1);
        let ahead_us = BUFFER_US + 2_000 * u64::from(self.load.rtt_ms);
        let ahead = self.mean_run_us.map_or(0, |mean| slots * ahead_us / mean.max(1));
        let most = if self.load.rtt_ms >= SLOW_RTT_MS { slots * 2 } else { slots * MAX_PER_SLOT };
        (slots + ahead).min(most)
    }

    /// Whether it may get a task now. While many wait there for their children it begins no further family, but always
    /// has room for a child: else they would wait for ever.
    pub(super) fn has_room(&self, child: bool) -> bool {
        if self.paused_until > 0 {
            return false;
        }
        if self.load.memory_percent >= FULL_MEMORY_PERCENT && self.in_flight > u64::from(self.load.parked) {
            return false;
        }
        if !child && self.load.parked >= families(self.offer.slots, 0) {
            return false;
        }
        self.in_flight.saturating_sub(u64::from(self.load.parked)) < self.window()
    }

    /// How full it is, in 256ths of its slots.
    pub(super) fn fill(&self) -> u64 {
        self.in_flight.saturating_sub(u64::from(self.load.parked)) * 256 / u64::from(self.offer.slots).max(1)
    }
}
