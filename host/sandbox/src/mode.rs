//! How a run is made: as usual, or so that the same input gives the same output on any machine. What the second mode is
//! made of is here: its constants, its seed, its clock. It runs nothing.
//!
//! The rule of deterministic mode: what may differ between two nodes is never seen by the guest. It is either the same
//! constant everywhere, or it ends the run with a failure that may be tried again, here or elsewhere.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::limits::{Bytes, Limits, Refused, Time};
use crate::outcome::{Content, Failure, FailureKind};
use crate::run::Job;

/// Units of fuel for each second of a task's time limit: about one WebAssembly instruction each. A slow board of today
/// does several times as many in a second, so a run that is honest about its time ends by its fuel, which is the same
/// everywhere, and not by the clock, which is not.
pub const FUEL_PER_SECOND: u64 = 100_000_000;
/// The time limit that counts where a task names none: that of `WORKER_PROCESSING_TIMEOUT_S` as it comes, whatever this
/// node has set.
pub const DEFAULT_TIME: Duration = Duration::from_secs(300);
/// Memory of one run, in bytes: the default of the ordinary mode, whatever this node or the plugin's grants have set.
const MEMORY_BYTES: u64 = 128 << 20;
/// Output of one run, in bytes: the same.
const OUTPUT_BYTES: u64 = 8 << 20;
/// What the wall clock shows at the start: the first moment of 2025, in seconds since 1970. Some date of our time, so
/// that a guest that checks for a clock that was never set finds nothing wrong.
const WALL_CLOCK_START: Duration = Duration::from_secs(1_735_689_600);
/// What each look at a clock takes, in nanoseconds: time must move for a guest that waits by looking.
const STEP: u64 = 1_000;

/// How a run is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// As fast as it goes, with the machine's clocks and randomness.
    #[default]
    Ordinary,
    /// The same input gives the same output on any machine.
    Deterministic {
        /// The time limit as the task names it, or [`DEFAULT_TIME`]: it decides the fuel. How long the run may really
        /// take is [`Limits::timeout`], which may be this node's own.
        time: Duration,
    },
}

/// What a deterministic run is held to.
#[derive(Debug)]
pub(crate) struct Fixed {
    /// Its time limit in words for the guest.
    pub(crate) time: Duration,
    /// What it may compute.
    pub(crate) fuel: u64,
    /// This node's own limits, which are no part of the mode: over them the run ends.
    pub(crate) node: Limits,
    /// For [`Fixed::task_id`] and randomness.
    seed: [u8; 32],
    pub(crate) clock: Clock,
    pub(crate) random: Stream,
    pub(crate) insecure: Stream,
}

impl Fixed {
    /// What holds for this job of the plugin with that hash.
    pub(crate) fn of(job: &Job, plugin: &[u8; 32]) -> Option<Fixed> {
        let Mode::Deterministic { time } = job.mode else { return None };
        let seed = seed(plugin, job);
        Some(Fixed {
            time,
            fuel: fuel(time),
            node: job.limits.clone(),
            seed,
            clock: Clock::default(),
            random: Stream::new(&seed, "random"),
            insecure: Stream::new(&seed, "insecure"),
        })
    }

    /// The limits that the guest may notice: the same for everybody. Time is this node's.
    pub(crate) fn limits(&self) -> Limits {
        Limits { memory_bytes: MEMORY_BYTES, output_bytes: OUTPUT_BYTES, ..self.node.clone() }
    }

    /// What the guest gets for the task's id: two tasks with one input must not differ.
    pub(crate) fn task_id(&self) -> String {
        let hash = blake3::keyed_hash(&self.seed, b"task id").to_hex();
        format!("{}-{}-{}-{}-{}", &hash[..8], &hash[8..12], &hash[12..16], &hash[16..20], &hash[20..32])
    }

    /// What `wasi:random/insecure-seed` gives.
    pub(crate) fn insecure_seed(&self) -> (u64, u64) {
        let mut stream = Stream::new(&self.seed, "insecure seed");
        (stream.number(), stream.number())
    }

    /// A result that is within the mode's limit and over this node's own is this node's fault.
    pub(crate) fn accept(&self, content: Content) -> Result<Content, Failure> {
        if content.body.len() as u64 > self.node.output_bytes {
            return Err(here(NodeLimit::Output(self.node.output_bytes)));
        }
        Ok(content)
    }
}

/// What this node refuses though the mode allows it. The guest never sees it: another node may allow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NodeLimit {
    /// Memory.
    #[error("no memory for a deterministic run")]
    Memory(Refused),
    /// Output, over so many bytes.
    #[error("no room for the output of a deterministic run")]
    Output(u64),
}

/// A limit of this node alone: may be tried again, elsewhere.
pub(crate) fn here(limit: NodeLimit) -> Failure {
    let (code, what) = match limit {
        NodeLimit::Memory(Refused::RunLimit(limit)) => {
            ("node-memory", format!("this node gives one task at most {} of memory", Bytes(limit)))
        }
        NodeLimit::Memory(Refused::NodeBudget(limit)) => {
            ("node-memory", format!("all plugins on this node together may use {} of memory", Bytes(limit)))
        }
        NodeLimit::Memory(Refused::Machine) => ("node-memory", "this node cannot give more memory".to_owned()),
        NodeLimit::Output(limit) => {
            ("node-output", format!("this node takes at most {} of output from one task", Bytes(limit)))
        }
    };
    let message = format!("stopped: {what}, less than deterministic mode allows; another node may finish it");
    Failure { code: Some(code.to_owned()), ..Failure::new(FailureKind::Retryable, message) }
}

/// The clock of this node ended a deterministic run before its fuel did: a faster one may finish it.
pub(crate) fn out_of_time(timeout: Duration) -> Failure {
    let timeout = Time(timeout);
    let message = format!(
        "stopped after {timeout}: this node's time limit for a deterministic task, before its fuel was used up; a \
         faster node may finish it"
    );
    Failure { code: Some(FailureKind::TimeLimit.as_str().to_owned()), ..Failure::new(FailureKind::Retryable, message) }
}

/// The fuel is used up: the same on every machine, so there is no use in another attempt.
pub(crate) fn out_of_fuel(fixed: &Fixed) -> Failure {
    let message = format!(
        "stopped after {} units of fuel: what a deterministic task may compute within a time limit of {}; give it a \
         longer `timeout_s`",
        fixed.fuel,
        Time(fixed.time)
    );
    Failure::new(FailureKind::FuelLimit, message)
}

fn fuel(time: Duration) -> u64 {
    let units = time.as_millis().saturating_mul(u128::from(FUEL_PER_SECOND / 1_000));
    u64::try_from(units).unwrap_or(u64::MAX)
}

/// Of everything that a deterministic run depends on.
fn seed(plugin: &[u8; 32], job: &Job) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("akita 2026-11 seed of a deterministic run");
    hasher.update(plugin);
    for part in [job.action.as_bytes(), job.content_type.as_bytes(), &job.input] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

/// Bytes without end that look random and follow from a seed.
#[derive(Debug)]
pub(crate) struct Stream(blake3::OutputReader);

impl Stream {
    fn new(seed: &[u8; 32], purpose: &str) -> Stream {
        Stream(blake3::Hasher::new_keyed(seed).update(purpose.as_bytes()).finalize_xof())
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.fill(&mut bytes);
        bytes
    }

    pub(crate) fn number(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

/// Time that passes only when it is looked at or waited for. Clones show the same time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock(Arc<Mutex<Moment>>);

#[derive(Debug, Default)]
struct Moment {
    now: u64,
    next: u64,
    waiting: BTreeSet<(u64, u64)>,
}

impl Clock {
    fn lock(&self) -> MutexGuard<'_, Moment> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nanoseconds since the run began.
    pub(crate) fn now(&self) -> u64 {
        let mut time = self.lock();
        time.now = time.now.saturating_add(STEP);
        time.now
    }

    /// Time since 1970.
    pub(crate) fn wall(&self) -> Duration {
        WALL_CLOCK_START + Duration::from_nanos(self.now())
    }

    /// Ends at that moment. Nobody really waits: once everything that the guest waits for is such a moment, the clock
    /// is put forward to the first of them.
    pub(crate) async fn until(&self, when: u64) {
        let mut place = Place { clock: self, at: None };
        std::future::poll_fn(|context| {
            let mut time = self.lock();
            if when <= time.now {
                return std::task::Poll::Ready(());
            }
            let Some(at) = place.at else {
                // Asked for the first time: something else that the guest waits for may be ready before.
                time.now = time.now.saturating_add(STEP);
                let at = (when, time.next);
                time.next += 1;
                time.waiting.insert(at);
                place.at = Some(at);
                context.waker().wake_by_ref();
                return std::task::Poll::Pending;
            };
            if time.waiting.first() != Some(&at) {
                return std::task::Poll::Pending;
            }
            time.now = when;
            std::task::Poll::Ready(())
        })
        .await;
        drop(place);
    }
}

/// A place among those that wait, given up when it is dropped.
struct Place<'a> {
    clock: &'a Clock,
    at: Option<(u64, u64)>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(at) = self.at {
            self.clock.lock().waiting.remove(&at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_follows_from_all_that_a_run_depends_on() {
        let job = Job::new("run", "text/plain", b"input".to_vec());
        let base = seed(&[1; 32], &job);
        assert_eq!(base, seed(&[1; 32], &Job { task_id: "other".into(), attempt: 3, ..job.clone() }));
        let others = [
            seed(&[2; 32], &job),
            seed(&[1; 32], &Job { action: "runt".into(), content_type: "ext/plain".into(), ..job.clone() }),
            seed(&[1; 32], &Job { content_type: "text/html".into(), ..job.clone() }),
            seed(&[1; 32], &Job { input: b"inpuT".to_vec(), ..job.clone() }),
        ];
        assert!(others.iter().all(|other| *other != base));
    }

    #[test]
    fn fuel_follows_from_the_time_limit_alone() {
        assert_eq!(fuel(Duration::from_secs(1)), FUEL_PER_SECOND);
        assert_eq!(fuel(Duration::from_millis(1)), FUEL_PER_SECOND / 1000);
        assert_eq!(fuel(Duration::MAX), u64::MAX);
    }

    #[tokio::test]
    async fn time_passes_when_it_is_looked_at_or_waited_for() {
        let clock = Clock::default();
        assert_eq!((clock.now(), clock.now()), (STEP, 2 * STEP));
        let hour = 3_600_000_000_000;
        clock.until(hour).await;
        assert_eq!(clock.now(), hour + STEP);
        clock.until(5).await;
        assert_eq!(clock.now(), hour + 2 * STEP, "what is past is not waited for");
        clock.until(u64::MAX).await;
        assert_eq!(clock.now(), u64::MAX);
        assert_eq!(clock.wall(), WALL_CLOCK_START + Duration::from_nanos(u64::MAX));
    }

    #[tokio::test]
    async fn the_first_of_several_moments_comes_first() {
        let clock = Clock::default();
        tokio::select! {
            biased;
            () = clock.until(2_000_000) => panic!("the later one came first"),
            () = clock.until(1_000_000) => {}
        }
        assert_eq!(clock.now(), 1_000_000 + STEP);
        tokio::select! {
            biased;
            () = clock.until(9_000_000) => panic!("what was ready lost"),
            () = std::future::ready(()) => {}
        }
        assert_eq!(clock.now(), 1_000_000 + 3 * STEP);
        assert!(clock.lock().waiting.is_empty());
    }
}
