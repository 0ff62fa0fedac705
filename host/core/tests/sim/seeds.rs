//! What both simulations do with seeds: which ones a test takes, many of them at once, panics as broken rules, and the
//! command by which one is run again. It knows no simulation.

use std::{
    env,
    ops::Range,
    panic::{self, AssertUnwindSafe},
    str::FromStr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Settings of the environment, and the options of `cargo xtask sim` that set them, which shape a plan.
const SHAPES: [(&str, &str); 2] = [("AKITA_SIM_NODES", "--nodes"), ("AKITA_SIM_MINUTES", "--minutes")];

/// A number that `cargo xtask sim` gave.
pub fn setting<T: FromStr>(name: &str) -> Option<T> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is `{text}`, which is no number")))
}

/// AKITA_SIM_SEED is one seed, AKITA_SIM_SEEDS so many from AKITA_SIM_FROM on; else `usual` ones.
pub fn wanted(usual: u64) -> Range<u64> {
    let one: Option<u64> = setting("AKITA_SIM_SEED");
    let from = one.or(setting("AKITA_SIM_FROM")).unwrap_or(1);
    let count = if one.is_some() { 1 } else { setting("AKITA_SIM_SEEDS").unwrap_or(usual) };
    from..from + count
}

/// Whether progress is told.
pub fn is_loud() -> bool {
    env::var_os("AKITA_SIM_LOUD").is_some()
}

/// The command that runs this seed again.
pub fn replay(simulation: &str, seed: u64) -> String {
    let mut replay = format!("cargo xtask sim {simulation} --seed {seed}");
    for (name, option) in SHAPES {
        replay.extend(env::var(name).into_iter().map(|value| format!(" {option} {value}")));
    }
    replay
}

/// The rule that a violation names.
pub fn rule(violation: &str) -> &str {
    violation.split(':').next().unwrap_or(violation)
}

/// Does the work. What panics is a violation like any other.
pub fn caught<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    panic::catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        format!("panic: {}", text.unwrap_or_default())
    })
}

/// What many runs come to together.
pub trait Totals: Default + Send {
    /// What a seed stands for.
    type Plan: Send;

    /// What a run came to.
    type Report;

    /// One run.
    fn run(plan: &Self::Plan) -> Self::Report;

    /// How it broke a rule, if it did.
    fn violation(report: &Self::Report) -> Option<&str>;

    /// Counts it.
    fn add(&mut self, plan: &Self::Plan, report: &Self::Report);

    /// For a person, after that time.
    fn line(&self, took: Duration) -> String;
}

/// Runs the plan of each seed in as many threads as there are processors; of the failed ones the smallest seed counts.
///
/// # Errors
/// The plan that failed, and how.
pub fn many<T: Totals>(
    seeds: impl Iterator<Item = u64> + Send,
    plan: impl Fn(u64) -> T::Plan + Sync,
    loud: bool,
) -> Result<T, Box<(T::Plan, String)>> {
    let (seeds, totals) = (Mutex::new(seeds), Mutex::new(T::default()));
    let failed: Mutex<Option<(u64, T::Plan, String)>> = Mutex::new(None);
    let (stop, begun, said) = (AtomicBool::new(false), Instant::now(), AtomicU64::new(0));
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let Some(seed) = lock(&seeds).next() else { return };
            let plan = plan(seed);
            let report = T::run(&plan);
            let mut totals = lock(&totals);
            totals.add(&plan, &report);
            if let Some(violation) = T::violation(&report) {
                stop.store(true, Ordering::Relaxed);
                let mut failed = lock(&failed);
                if failed.as_ref().is_none_or(|(other, ..)| seed < *other) {
                    *failed = Some((seed, plan, violation.to_owned()));
                }
            }
            let seconds = begun.elapsed().as_secs() / 2;
            if loud && said.swap(seconds, Ordering::Relaxed) != seconds {
                eprintln!("sim: {}", totals.line(begun.elapsed()));
            }
        }
    };
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some((_, plan, violation)) => Err(Box::new((plan, violation))),
        None => Ok(totals.into_inner().unwrap_or_else(PoisonError::into_inner)),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
