//! What the system says of this process.

use std::fs;
use std::time::Duration;

use crate::AnyError;

/// CPU time of all threads.
pub fn cpu_time() -> Result<Duration, AnyError> {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("no such field")?;
    let ticks: Vec<f64> = fields.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(Duration::from_secs_f64(ticks.iter().sum::<f64>() / TICKS_PER_SECOND))
}

/// Resident memory in bytes.
pub fn resident() -> Result<u64, AnyError> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no such field")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? * 1024)
}

/// Files that are open.
pub fn open_files() -> Result<usize, AnyError> {
    Ok(fs::read_dir("/proc/self/fd")?.count())
}
