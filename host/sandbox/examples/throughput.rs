//! How many runs a second one core does, and how long one takes. `cargo run --release --example throughput -- \
//! [PLUGIN.wasm ACTION [INPUT_BYTES [RUNS]]]`; without a plugin it measures a built-in echo.

#[path = "../tests/sandbox/guests.rs"]
#[expect(dead_code, reason = "only the echo of the tests' guests is used here")]
mod guests;

use std::fs;
use std::time::{Duration, Instant};

use akita_sandbox::{Job, Sandbox, SandboxConfig};

/// Runs before the measurement, so that slots and caches are warm.
const WARM_UP: usize = 2_000;

type AnyError = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), AnyError> {
    let mut args = std::env::args().skip(1);
    let (component, action) = match args.next() {
        Some(path) => (fs::read(path)?, args.next().ok_or("name the action after the plugin")?),
        None => (guests::echo(), "run".to_owned()),
    };
    let input = vec![b'x'; args.next().map_or(Ok(100), |text| text.parse())?];
    let runs = args.next().map_or(Ok(200_000), |text| text.parse())?;

    let cache = tempfile::TempDir::new()?;
    let config = SandboxConfig { cache_dir: cache.path().join("compiled"), ..SandboxConfig::default() };
    let threads = config.guest_threads;
    let sandbox = Sandbox::new(config)?;
    let started = Instant::now();
    let plugin = sandbox.load_bytes(&component)?;
    println!("loaded {} in {:.1?}, allocator {}", plugin.name(), started.elapsed(), sandbox.allocator().as_str());
    println!("resident {:.1} MiB", resident()? as f64 / (1 << 20) as f64);

    let job = Job::new(action, "application/octet-stream", input);
    for _ in 0..WARM_UP {
        sandbox.run(plugin.clone(), job.clone()).await?;
    }

    let mut times = Vec::with_capacity(runs / 10);
    for _ in 0..runs / 10 {
        let started = Instant::now();
        sandbox.run(plugin.clone(), job.clone()).await?;
        times.push(started.elapsed());
    }
    times.sort();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    println!("one at a time: p50 {:.1?}, p99 {:.1?}", at(0.5), at(0.99));

    let (cpu, wall) = (cpu_time()?, Instant::now());
    let mut left = runs;
    while left > 0 {
        let batch: Vec<_> = (0..left.min(1_000))
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
    let (cpu, wall) = (cpu_time()?.saturating_sub(cpu), wall.elapsed());
    println!("many at once: {runs} runs, {threads} threads, {wall:.2?} wall, {cpu:.2?} CPU");
    println!("{:.0} runs per second, {:.0} per CPU second", per(runs, wall), per(runs, cpu));
    println!("resident {:.1} MiB", resident()? as f64 / (1 << 20) as f64);
    Ok(())
}

fn per(runs: usize, time: Duration) -> f64 {
    runs as f64 / time.as_secs_f64()
}

/// CPU time of this process, all threads.
fn cpu_time() -> Result<Duration, AnyError> {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("no such field")?;
    let ticks: Vec<f64> = fields.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(Duration::from_secs_f64(ticks.iter().sum::<f64>() / TICKS_PER_SECOND))
}

/// Resident memory of this process in bytes.
fn resident() -> Result<u64, AnyError> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no such field")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? * 1024)
}
