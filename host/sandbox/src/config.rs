//! How a sandbox is sized. The defaults come from the machine.

use std::fs;
use std::path::PathBuf;
use std::thread;

use crate::engine::Allocator;
use crate::limits::Limits;

/// What is assumed of a machine that does not tell: a small board.
const UNKNOWN_MEMORY: u64 = 1 << 30;
/// Guests may use this part of the machine's memory together; the rest is the node's, the system's and its caches'.
const BUDGET_DIVISOR: u64 = 2;

/// How a sandbox is sized.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// Runs at once; more wait. A slot for each core.
    pub slots: usize,
    /// Runs that may wait for their children on top of those, with their memory and without a slot. None.
    pub parked: usize,
    /// A folder of this user alone, for compiled code. Made if it is missing.
    pub cache_dir: PathBuf,
    /// What a plugin may use to describe itself.
    pub describe_limits: Limits,
    /// Threads that guests run on. One for each core, no more than slots.
    pub guest_threads: usize,
    /// Linear memory of all guests together, in bytes. Half of what the machine, or its control group, has.
    pub memory_budget_bytes: u64,
    /// Where guests' memory comes from. The best that fits the machine, unless it is named here.
    pub allocator: Option<Allocator>,
}

impl Default for SandboxConfig {
    fn default() -> SandboxConfig {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        SandboxConfig {
            slots: cores,
            parked: 0,
            cache_dir: std::env::temp_dir().join("akita-compiled"),
            describe_limits: Limits::for_describe(),
            guest_threads: cores,
            memory_budget_bytes: machine_memory() / BUDGET_DIVISOR,
            allocator: None,
        }
    }
}

/// Memory that this process can hope for, in bytes.
fn machine_memory() -> u64 {
    let total = fs::read_to_string("/proc/meminfo").ok().and_then(|text| parse_meminfo(&text));
    let group = fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    total.unwrap_or(UNKNOWN_MEMORY).min(group.unwrap_or(u64::MAX))
}

fn parse_meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_measured() {
        assert_eq!(parse_meminfo("MemTotal:       16303932 kB\nMemFree: 1 kB\n"), Some(16_303_932 * 1024));
        assert_eq!(parse_meminfo("nothing"), None);
        assert!(SandboxConfig::default().memory_budget_bytes >= 64 << 20);
    }
}
