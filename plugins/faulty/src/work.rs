//! Work that takes as long as asked, and failures that pass. Well-behaved where the contract asks for it.

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use akita_plugin::prelude::*;

use crate::options::Options;

/// Between two looks at cancellation: short beside any time limit, long beside a host call.
const STEP: Duration = Duration::from_millis(20);

/// Computes until the time is over.
pub fn spin(options: &Options) -> String {
    let end = Instant::now() + Duration::from_millis(options.ms);
    let mut turns = 0_u64;
    while Instant::now() < end {
        turns = black_box(turns + 1);
    }
    format!(r#"{{"turns":{turns}}}"#)
}

/// Sleeps in steps, reports each, stops when cancelled.
pub fn slow(options: &Options) -> Result<String, TaskError> {
    let started = Instant::now();
    let whole = Duration::from_millis(options.ms);
    while started.elapsed() < whole {
        task::check()?;
        let done = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        task::progress(done, options.ms, "working");
        thread::sleep(STEP.min(whole - started.elapsed().min(whole)));
    }
    task::progress(options.ms, options.ms, "done");
    Ok(format!(r#"{{"worked_ms":{},"attempt":{}}}"#, options.ms, task::attempt()))
}

/// Fails as if something outside were busy, until the attempt that was asked for.
pub fn fail_until(options: &Options) -> Result<String, TaskError> {
    let attempt = u64::from(task::attempt());
    if options.succeed_on.is_some_and(|wanted| attempt >= wanted) {
        return Ok(format!(r#"{{"attempt":{attempt}}}"#));
    }
    let error = TaskError::retryable(format!("attempt {attempt} fails on purpose")).code("busy");
    Err(match options.retry_after_ms {
        Some(milliseconds) => error.after_ms(milliseconds),
        None => error,
    })
}
