//! Numbers that decide how patient and how eager a node is. Settings fill them in; this module owns their defaults.

use crate::id::Millis;

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

impl Tuning {
    /// How often a worker reports over a link of that round trip: five times in `node_timeout`, but at most a twentieth
    /// of the time on the air, so that a radio link stays free for tasks.
    pub fn report_interval(&self, rtt_ms: u32) -> Millis {
        (self.node_timeout / 5).max(u64::from(rtt_ms) * 20).max(200)
    }

    /// How long a node behind a link of that round trip may be silent: three reports, and never less than
    /// `node_timeout`.
    pub fn patience(&self, rtt_ms: u32) -> Millis {
        self.node_timeout.max(self.report_interval(rtt_ms) * 3 + u64::from(rtt_ms) * 4)
    }

    /// Time for an acknowledgement over a link of that round trip: a lost packet or two, each noticed after some round
    /// trips, must not cost the attempt.
    pub fn ack_patience(&self, rtt_ms: u32) -> Millis {
        self.ack_timeout.max(u64::from(rtt_ms) * 30)
    }
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
}
