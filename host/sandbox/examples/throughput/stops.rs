//! How long past its limit a guest is still there: one that computes, one that calls the host, one that sleeps, one that
//! recurses, one that takes memory; alone, and while every thread is busy.

use std::time::{Duration, Instant};

use akita_sandbox::{Job, Limits, Sandbox};

use crate::guests::{Guest, running, sleeper};
use crate::{AnyError, Report};

/// The time limit of each.
const LIMIT: Duration = Duration::from_millis(100);
/// Tries of each; the worst counts.
const TRIES: usize = 10;

const LOOP: &str = "(loop $forever (br $forever)) (unreachable)";
const CALLS: &str = "(loop $on (drop (call $attempt)) (br $on)) (unreachable)";
const BOMB: &str = "(loop $more (br_if $more (i32.ne (i32.const -1) (memory.grow (i32.const 16))))) (unreachable)";

/// All of them.
pub async fn measure(report: &Report, sandbox: &Sandbox) -> Result<(), AnyError> {
    let deep = Guest {
        wat_items: "(func $deep (param i32) (result i32) (i32.add (i32.const 1) (call $deep (local.get 0))))".into(),
        run: "(call $deep (i32.const 0))".into(),
        ..Guest::default()
    };
    let over: [(&str, Vec<u8>); 3] =
        [("loop", running(LOOP)), ("host calls", running(CALLS)), ("sleep", sleeper(3_600_000_000_000))];
    for (name, component) in &over {
        let worst = worst(sandbox, component).await?.saturating_sub(LIMIT);
        report.row(&format!("stopped after its limit: {name}"), worst.as_secs_f64() * 1e3, "ms");
    }
    for (name, component) in [("recursion", deep.component()), ("memory at its cap", running(BOMB))] {
        report.row(&format!("ended by itself: {name}"), worst(sandbox, &component).await?.as_secs_f64() * 1e3, "ms");
    }
    let spinning = sandbox.load_bytes(&running(LOOP))?;
    let limits = Limits { timeout: 20 * LIMIT * TRIES as u32, ..Limits::default() };
    let busy: Vec<_> = (1..sandbox.slots())
        .map(|_| {
            let job = Job { limits: limits.clone(), ..Job::new("run", "text/plain", Vec::new()) };
            let (sandbox, plugin) = (sandbox.clone(), spinning.clone());
            tokio::spawn(async move { sandbox.run(plugin, job).await })
        })
        .collect();
    for (name, component) in &over {
        let worst = worst(sandbox, component).await?.saturating_sub(LIMIT);
        report.row(&format!("stopped after its limit, all other slots busy: {name}"), worst.as_secs_f64() * 1e3, "ms");
    }
    busy.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(())
}

async fn worst(sandbox: &Sandbox, component: &[u8]) -> Result<Duration, AnyError> {
    let plugin = sandbox.load_bytes(component)?;
    let mut worst = Duration::ZERO;
    for _ in 0..TRIES {
        let limits = Limits { timeout: LIMIT, ..Limits::default() };
        let job = Job { limits, ..Job::new("run", "text/plain", Vec::new()) };
        let started = Instant::now();
        if sandbox.run(plugin.clone(), job).await.is_ok() {
            return Err("a guest that must fail did not".into());
        }
        worst = worst.max(started.elapsed());
    }
    Ok(worst)
}
