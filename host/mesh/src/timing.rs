//! How long things take on a link: when a lost frame is lost, and what counts as slow. Pure.

use std::time::{Duration, Instant};

/// Round trip above which every byte counts.
const SLOW_RTT: Duration = Duration::from_secs(1);
/// Bit rate below which every byte counts; Reticulum, too, treats interfaces below it as radios.
const SLOW_BITRATE: u64 = 62_500;
/// First retry on a fast link. TCP loses nothing, so this only covers a peer that was busy or a link that died.
const FAST_RETRY: Duration = Duration::from_secs(1);
/// Time a peer may take to begin its answer before a slow link counts as lossy.
const SLOW_ALLOWANCE: Duration = Duration::from_secs(2);
/// Longest time between two retries.
const MAX_RETRY: Duration = Duration::from_secs(60);
/// Bytes of an answer that a retry waits for, beyond the time of the request itself.
const EXPECTED_ANSWER: usize = 300;
/// What Reticulum puts around a frame: header, token, request envelope, padding.
const PACKET_OVERHEAD: usize = 110;
/// A peer that has the request is asked again after this long: its answer may have been lost.
const PATIENCE: Duration = Duration::from_secs(15);

/// True for the bit rate of a radio.
pub(crate) fn is_slow(bits_per_second: u64) -> bool {
    bits_per_second < SLOW_BITRATE
}

/// The measured side of a link.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// The shortest that was seen.
    pub rtt: Duration,
    /// Of the interface that leads to the peer, where it is known.
    pub bitrate: Option<u64>,
    /// When the frames sent so far will have left.
    free_at: Instant,
}

impl Pace {
    pub fn new(rtt: Duration, bitrate: Option<u64>, now: Instant) -> Self {
        Self { rtt, bitrate, free_at: now }
    }

    pub fn slow(&self) -> bool {
        self.rtt > SLOW_RTT || self.bitrate.is_some_and(is_slow)
    }

    /// An answer came so long after what it answers was sent. Whether the round trip is shorter than was thought.
    pub fn answered_within(&mut self, taken: Duration) -> bool {
        let shorter = taken < self.rtt;
        self.rtt = self.rtt.min(taken);
        shorter
    }

    /// Time on the air of a frame with `bytes` of ours in it.
    pub fn airtime(&self, bytes: usize) -> Duration {
        match self.bitrate {
            Some(rate) => Duration::from_secs_f64((bytes + PACKET_OVERHEAD) as f64 * 8.0 / rate.max(1) as f64),
            None => Duration::ZERO,
        }
    }

    /// Notes a frame sent now; it leaves when those before it have.
    pub fn sent(&mut self, bytes: usize, now: Instant) {
        self.free_at = self.free_at.max(now) + self.airtime(bytes);
    }

    /// When to send again what was just sent, if it is not answered until then.
    ///
    /// Not before it has left, its answer could have come back, and a little more. Twice as long for each of the
    /// `silent` repeats since the peer was last heard: while it is heard, what is missing was lost on the way, and
    /// waiting longer would not help.
    pub fn retry_at(&self, silent: u32, now: Instant) -> Instant {
        let in_the_air = self.free_at.saturating_duration_since(now);
        let round_trip = if self.slow() {
            self.rtt.mul_f64(1.5) + self.airtime(EXPECTED_ANSWER) + SLOW_ALLOWANCE
        } else {
            FAST_RETRY.max(self.rtt * 4)
        };
        let backoff = round_trip * (1 << silent.min(6));
        now + in_the_air + backoff.min(MAX_RETRY.max(round_trip))
    }

    /// When to ask after a call that the peer has taken.
    pub fn ask_at(&self, silent: u32, now: Instant) -> Instant {
        self.retry_at(silent, now).max(now + PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_not_sent_again_while_it_is_in_the_air() {
        let now = Instant::now();
        let mut pace = Pace::new(Duration::from_secs(5), Some(1_200), now);
        assert!(pace.slow());
        for _ in 0..10 {
            pace.sent(100, now);
        }
        let in_the_air = pace.airtime(100) * 10;
        assert!(pace.retry_at(0, now) >= now + in_the_air + Duration::from_secs(5));
    }

    #[test]
    fn retries_back_off_and_stay_bounded() {
        let now = Instant::now();
        let pace = Pace::new(Duration::from_millis(1), None, now);
        assert!(!pace.slow());
        assert_eq!(pace.retry_at(0, now), now + FAST_RETRY);
        assert_eq!(pace.retry_at(1, now), now + FAST_RETRY * 2);
        assert_eq!(pace.retry_at(100, now), now + MAX_RETRY);
        assert_eq!(pace.ask_at(0, now), now + PATIENCE);
    }

    #[test]
    fn a_round_trip_is_the_shortest_that_was_seen() {
        let mut pace = Pace::new(Duration::from_millis(1_500), None, Instant::now());
        assert!(pace.slow());
        assert!(!pace.answered_within(Duration::from_secs(9)), "the peer had to think about it");
        assert!(pace.answered_within(Duration::from_millis(4)) && !pace.slow());
        assert_eq!(pace.rtt, Duration::from_millis(4));
    }

    #[test]
    fn slow_is_a_matter_of_delay_or_rate() {
        let now = Instant::now();
        let pace = |rtt, rate| Pace::new(Duration::from_millis(rtt), rate, now).slow();
        assert!(!pace(900, None));
        assert!(pace(1_100, None));
        assert!(pace(1, Some(9_600)));
        assert!(!pace(1, Some(10_000_000)));
    }
}
