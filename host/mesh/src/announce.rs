//! When to announce, and what. Pure: time and dice come in as arguments.
//!
//! Never sends: the engine asks what is due.

use std::time::{Duration, Instant};

/// Shortest time between two announces: their timestamps count whole seconds, and two within one look like one.
pub(crate) const MIN_GAP: Duration = Duration::from_millis(1_100);

/// Part of a slow interface's time that this node's own announces may take.
const AIR_SHARE: f64 = 0.05;

/// Bytes of a typical announce on the air (167 and a payload of up to 100).
const TYPICAL_BYTES: f64 = 267.0;

/// The gap that keeps announces within their share of an interface with this bit rate.
pub(crate) fn gap(bits_per_second: Option<u64>) -> Duration {
    let Some(rate) = bits_per_second else { return MIN_GAP };
    MIN_GAP.max(Duration::from_secs_f64(TYPICAL_BYTES * 8.0 / rate.max(1) as f64 / AIR_SHARE))
}

pub(crate) struct Announcer {
    app_data: Option<Vec<u8>>,
    interval: Duration,
    gap: Duration,
    /// Nobody could hear it.
    held: bool,
    last: Option<Instant>,
    due: Option<Instant>,
}

impl Announcer {
    pub fn new(interval: Duration) -> Self {
        Self { app_data: None, interval, gap: MIN_GAP, held: false, last: None, due: None }
    }

    /// Changes what is announced; it goes out as soon as the gap allows.
    pub fn set(&mut self, app_data: Vec<u8>, now: Instant) {
        self.app_data = Some(app_data);
        self.want(now);
    }

    /// Asks for an announce at `at`, or when the gap allows. Many wishes make one announce.
    pub fn want(&mut self, at: Instant) {
        let allowed = self.last.map_or(at, |last| at.max(last + self.gap));
        self.due = Some(self.due.map_or(allowed, |due| due.min(allowed)));
    }

    /// Sets the shortest time between two announces.
    pub fn set_gap(&mut self, gap: Duration) {
        self.gap = gap;
    }

    /// Holds everything back while there is no interface to send it on.
    pub fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// When to look again.
    pub fn next(&self) -> Option<Instant> {
        self.due.filter(|_| self.app_data.is_some() && !self.held)
    }

    /// What to announce now, if it is time. `dice` in 0.0..1.0 spreads the next one.
    pub fn take(&mut self, now: Instant, dice: f64) -> Option<&[u8]> {
        self.next().filter(|due| *due <= now)?;
        self.last = Some(now);
        self.due = Some(now + self.interval.max(self.gap).mul_f64(0.8 + 0.4 * dice));
        self.app_data.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_gathered_and_spaced() {
        let mut announcer = Announcer::new(Duration::from_secs(30));
        let start = Instant::now();
        announcer.want(start);
        assert_eq!(announcer.next(), None, "nothing to say yet");
        announcer.set(b"one".to_vec(), start);
        assert_eq!(announcer.take(start, 0.5), Some(&b"one"[..]));
        assert_eq!(announcer.take(start, 0.5), None);

        for _ in 0..10 {
            announcer.set(b"two".to_vec(), start);
        }
        assert_eq!(announcer.next(), Some(start + MIN_GAP));
        assert_eq!(announcer.take(start + MIN_GAP, 0.5), Some(&b"two"[..]));
        assert_eq!(announcer.next(), Some(start + MIN_GAP + Duration::from_secs(30)));
    }

    #[test]
    fn what_nobody_could_hear_is_held_back() {
        let mut announcer = Announcer::new(Duration::from_secs(30));
        let start = Instant::now();
        announcer.hold(true);
        announcer.set(b"one".to_vec(), start);
        assert_eq!((announcer.next(), announcer.take(start, 0.5)), (None, None));
        announcer.hold(false);
        assert_eq!(announcer.take(start, 0.5), Some(&b"one"[..]));
    }

    #[test]
    fn the_interval_is_spread_by_a_fifth() {
        let start = Instant::now();
        for (dice, seconds) in [(0.0, 80), (0.5, 100), (1.0, 120)] {
            let mut announcer = Announcer::new(Duration::from_secs(100));
            announcer.set(Vec::new(), start);
            announcer.take(start, dice);
            assert_eq!(announcer.next(), Some(start + Duration::from_secs(seconds)));
        }
    }

    #[test]
    fn slow_interfaces_are_not_filled_with_announces() {
        assert_eq!(gap(None), MIN_GAP);
        assert_eq!(gap(Some(1_000_000_000)), MIN_GAP);
        assert!(gap(Some(1_200)) > Duration::from_secs(30));
    }
}
