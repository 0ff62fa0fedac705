//! Numbers that decide how patient and how eager a node is. Settings fill them in; this module owns their defaults.

use crate::{id::Millis, task::MAX_DEPTH};

/// What the operator can set of the leader's decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// WORKER_ACK_TIMEOUT_S: silence after an assignment before it is taken back.
    pub ack_timeout: Millis,
    /// WORKER_PROCESSING_TIMEOUT_S: silence after an acknowledgement before the task is taken back.
    pub processing_timeout: Millis,
    /// MAX_TASK_EXECUTION_ATTEMPTS.
    pub max_attempts: u32,
    /// MAX_TASK_QUEUE_SIZE: tasks that have not ended.
    pub max_queue: usize,
    /// NODE_TIMEOUT_S: silence before a node counts as offline.
    pub node_timeout: Millis,
}

impl Default for Tuning {
    fn default() -> Self {
        Tuning {
            ack_timeout: 30_000,
            processing_timeout: 300_000,
            max_attempts: 3,
            max_queue: 10_000,
            node_timeout: 15_000,
        }
    }
}

/// A link slower than this round trip is spared: fewer reports, no tasks sent ahead; in milliseconds.
pub const SLOW_RTT_MS: u32 = 1_000;
/// The longest round trip that is believed, in milliseconds: it is measured or claimed elsewhere, and all patience
/// grows with it. Longer than any radio path of a few hops needs.
pub const MAX_RTT_MS: u32 = 120_000;

/// Tasks with children that a worker begins at once, however few slots it has: one that waits for its children takes no
/// slot, but memory.
const MIN_FAMILIES: u16 = 9;

/// Tasks of generation `depth` that may have children and are begun at once on a worker of so many slots. A later
/// generation has more room than the one that waits for it, so that it can always begin.
pub fn families(slots: u16, depth: u8) -> u16 {
    slots.max(MIN_FAMILIES).saturating_add(u16::from(depth.min(MAX_DEPTH)))
}

impl Tuning {
    /// How often a worker reports over a link of that round trip: five times in `node_timeout`, but at most a twentieth
    /// of the time on the air, so that a radio link stays free for tasks.
    pub fn report_interval(&self, rtt_ms: u32) -> Millis {
        (self.node_timeout / 5).max(believed(rtt_ms) * 20).max(200)
    }

    /// How long a node behind a link of that round trip may be silent: three reports, and never less than
    /// `node_timeout`.
    pub fn patience(&self, rtt_ms: u32) -> Millis {
        self.node_timeout.max(self.report_interval(rtt_ms) * 3 + believed(rtt_ms) * 4)
    }

    /// Time for an acknowledgement over a link of that round trip: a lost packet or two, each noticed after some round
    /// trips, must not cost the attempt.
    pub fn ack_patience(&self, rtt_ms: u32) -> Millis {
        self.ack_timeout.max(believed(rtt_ms) * 30)
    }
}

fn believed(rtt_ms: u32) -> Millis {
    u64::from(rtt_ms.min(MAX_RTT_MS))
}

/// Time that so many bytes may need on the way, in milliseconds: 800 bit/s behind a slow link, else 1 Mbit/s.
pub fn airtime(bytes: u64, rtt_ms: u32) -> Millis {
    let per_byte_us = if rtt_ms >= SLOW_RTT_MS { 10_000 } else { 8 };
    bytes.saturating_mul(per_byte_us) / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_link_is_watched_closely_and_a_slow_one_is_spared() {
        let tuning = Tuning::default();
        assert_eq!(tuning.report_interval(1), 3_000);
        assert_eq!(tuning.report_interval(5_000), 100_000);
        assert!(tuning.patience(5_000) >= 3 * tuning.report_interval(5_000));
        assert_eq!(tuning.patience(1), 15_000);
    }

    #[test]
    fn a_claimed_round_trip_does_not_make_a_leader_wait_for_ever() {
        let tuning = Tuning::default();
        assert!(tuning.patience(u32::MAX) <= 3 * 3_600_000 && tuning.ack_patience(u32::MAX) <= 3_600_000);
    }

    #[test]
    fn children_can_begin_while_all_their_parents_wait() {
        for slots in [0, 1, 4, 64, u16::MAX - 8] {
            assert!(families(slots, 0) >= slots.max(1));
            assert!((0..MAX_DEPTH).all(|depth| families(slots, depth) < families(slots, depth + 1)));
        }
    }

    #[test]
    fn what_is_large_may_take_long_on_a_slow_link() {
        assert_eq!(airtime(100_000, 5_000), 1_000_000);
        assert!(airtime(100_000, 1) < 1_000);
    }
}
