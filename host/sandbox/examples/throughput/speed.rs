//! How many runs one core does in a second, and how long one takes: a fresh instance each, 100 bytes in and out.

use std::time::{Duration, Instant};

use akita_sandbox::{Job, Mode, Sandbox};

use crate::process::cpu_time;
use crate::{AnyError, Report};

/// Runs before the measurement, so that slots and caches are warm.
const WARM_UP: usize = 2_000;
/// Tasks that are handed over at once: a leader sends them so.
const BATCH: usize = 1_000;

/// What any hand-over to another runtime costs on this machine, without a guest: what the rest is compared with.
pub async fn baseline(report: &Report, runs: usize) -> Result<(), AnyError> {
    let other = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    let handle = other.handle().clone();
    let before = cpu_time()?;
    for _ in 0..runs.div_ceil(BATCH) {
        let batch: Vec<_> = (0..BATCH)
            .map(|_| {
                let handle = handle.clone();
                tokio::spawn(async move { handle.spawn(tokio::task::yield_now()).await })
            })
            .collect();
        for one in batch {
            one.await??;
        }
    }
    let rate = runs as f64 / cpu_time()?.saturating_sub(before).as_secs_f64();
    report.row("nothing, on another runtime, per CPU second", rate, "/s");
    other.shutdown_background();
    Ok(())
}

/// All numbers of one guest.
pub async fn measure(
    report: &Report,
    sandbox: &Sandbox,
    name: &str,
    component: &[u8],
    action: &str,
    runs: usize,
) -> Result<(), AnyError> {
    let started = Instant::now();
    let plugin = sandbox.load_bytes(component)?;
    report.row(&format!("{name}: load, compiled anew"), started.elapsed().as_secs_f64() * 1e3, "ms");
    let job = Job::new(action, "application/octet-stream", vec![b'x'; 100]);
    let mut times = one_by_one(sandbox, &plugin, &job, WARM_UP + runs / 10).await?.split_off(WARM_UP);
    times.sort();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e6;
    report.row(&format!("{name}: instantiate and run, p50"), at(0.5), "us");
    report.row(&format!("{name}: instantiate and run, p99"), at(0.99), "us");
    report.row(&format!("{name}: invocations per CPU second"), at_once(sandbox, &plugin, &job, runs).await?, "/s");
    let job = Job { mode: Mode::Deterministic { time: Duration::from_secs(300) }, ..job };
    one_by_one(sandbox, &plugin, &job, 100).await?;
    let rate = at_once(sandbox, &plugin, &job, runs / 10).await?;
    report.row(&format!("{name}: deterministic, invocations per CPU second"), rate, "/s");
    Ok(())
}

/// What a call by way of JSON costs beside one of bytes: the same 100 bytes, to the same component.
pub async fn typed(report: &Report, sandbox: &Sandbox, component: &[u8], runs: usize) -> Result<(), AnyError> {
    let plugin = sandbox.load_bytes(component)?;
    let input = format!(r#"{{"image":"{}","into":{{"width":640,"height":480}}}}"#, "QUJD".repeat(14));
    let typed = Job::new("fit", "application/json", input.into_bytes());
    let bytes = Job::new("run", "application/octet-stream", typed.input.clone());
    let mut costs = Vec::new();
    for (name, job) in [("bytes", bytes), ("typed", typed)] {
        one_by_one(sandbox, &plugin, &job, WARM_UP).await?;
        let rate = at_once(sandbox, &plugin, &job, runs).await?;
        report.row(&format!("{name} call: invocations per CPU second"), rate, "/s");
        costs.push(1.0 / rate);
    }
    report.row("typed call, times a bytes call", costs[1] / costs[0], "x");
    Ok(())
}

type Plugin = std::sync::Arc<akita_sandbox::Plugin>;

async fn one_by_one(sandbox: &Sandbox, plugin: &Plugin, job: &Job, runs: usize) -> Result<Vec<Duration>, AnyError> {
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        let started = Instant::now();
        sandbox.run(plugin.clone(), job.clone()).await?;
        times.push(started.elapsed());
    }
    Ok(times)
}

async fn at_once(sandbox: &Sandbox, plugin: &Plugin, job: &Job, runs: usize) -> Result<f64, AnyError> {
    let before = cpu_time()?;
    let mut left = runs;
    while left > 0 {
        let batch: Vec<_> = (0..left.min(BATCH))
            .map(|_| {
                let (sandbox, plugin, job) = (sandbox.clone(), plugin.clone(), job.clone());
                tokio::spawn(async move { sandbox.run(plugin, job).await })
            })
            .collect();
        left -= batch.len();
        for one in batch {
            one.await??;
        }
    }
    Ok(runs as f64 / cpu_time()?.saturating_sub(before).as_secs_f64())
}
