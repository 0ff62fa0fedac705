//! What one run may use, and the meter that holds a guest to it. It decides nothing about time (see `store`) and
//! never retries.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wasmtime::ResourceLimiter;

use crate::mode::NodeLimit;

/// Core instances in one component: a Python component, the largest kind seen, has about forty.
pub(crate) const MAX_INSTANCES: u32 = 256;
/// Linear memories in one component: one for a compiled plugin, one more for each component composed into it.
pub(crate) const MAX_MEMORIES: u32 = 4;
/// Tables in one component: one or two in every core module that has any.
pub(crate) const MAX_TABLES: u32 = 32;
/// Elements in one table: a debug build of a large program has about ten thousand functions.
pub(crate) const MAX_TABLE_ELEMENTS: usize = 65_536;
/// What a table element costs the host: a pointer.
const TABLE_ELEMENT_BYTES: u64 = size_of::<usize>() as u64;

/// What one run may use. Every number is a ceiling: reaching it ends the run with a reason that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Wall-clock time from instantiation to result. 300 s, as `WORKER_PROCESSING_TIMEOUT_S`.
    pub timeout: Duration,
    /// Linear memory and tables together, in bytes. 128 MiB: a 12-megapixel photo decodes in less.
    pub memory_bytes: u64,
    /// The result, and apart from it all that `emit` sends, in bytes. 8 MiB.
    pub output_bytes: u64,
    /// Lines of log (its own, its standard output and error). 1,000; what is over is dropped and counted.
    pub log_lines: u32,
    /// Bytes of log. 256 KiB; what is over is dropped and counted.
    pub log_bytes: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            timeout: Duration::from_secs(300),
            memory_bytes: 128 << 20,
            output_bytes: 8 << 20,
            log_lines: 1_000,
            log_bytes: 256 << 10,
        }
    }
}

impl Limits {
    /// What a plugin may use to describe itself: enough for an interpreter to start on a slow machine, and no more.
    #[must_use]
    pub fn for_describe() -> Limits {
        Limits {
            timeout: Duration::from_secs(5),
            memory_bytes: 64 << 20,
            output_bytes: 512 << 10,
            log_lines: 20,
            log_bytes: 4 << 10,
        }
    }
}

/// Memory that all running guests share.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: u64,
    used: AtomicU64,
}

impl Budget {
    pub(crate) fn new(limit: u64) -> Arc<Budget> {
        Arc::new(Budget { limit, used: AtomicU64::new(0) })
    }

    fn take(&self, bytes: u64) -> bool {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) <= self.limit {
            return true;
        }
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        false
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

/// Why memory was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Over the run's own limit, in bytes.
    RunLimit(u64),
    /// Over what all guests may use together, in bytes.
    NodeBudget(u64),
    /// The machine has no more, or the allocator's slot is full.
    Machine,
}

/// Counts what one run holds, and remembers the first refusal: whatever the guest does next (abort, trap, unreachable)
/// is then known to come from it.
#[derive(Debug)]
pub(crate) struct Meter {
    limit: u64,
    used: u64,
    last: u64,
    budget: Arc<Budget>,
    refused: Option<Refused>,
    /// In deterministic mode this node's own limit: over it, or over the node's budget, the run ends.
    strict: Option<u64>,
}

impl Meter {
    pub(crate) fn new(limit: u64, budget: Arc<Budget>) -> Meter {
        Meter { limit, used: 0, last: 0, budget, refused: None, strict: None }
    }

    /// For deterministic mode: what only this node refuses ends the run in place of showing the guest a refusal.
    pub(crate) fn strict(mut self, node: u64) -> Meter {
        self.strict = Some(node);
        self
    }

    pub(crate) fn refused(&self) -> Option<Refused> {
        self.refused
    }

    fn grow(&mut self, bytes: u64) -> wasmtime::Result<bool> {
        self.last = 0;
        let wanted = self.used.saturating_add(bytes);
        let why = if wanted > self.limit {
            Refused::RunLimit(self.limit)
        } else if let Some(node) = self.strict.filter(|node| wanted > *node) {
            return Err(NodeLimit::Memory(Refused::RunLimit(node)).into());
        } else if !self.budget.take(bytes) {
            let refused = Refused::NodeBudget(self.budget.limit);
            if self.strict.is_some() {
                return Err(NodeLimit::Memory(refused).into());
            }
            refused
        } else {
            self.used += bytes;
            self.last = bytes;
            return Ok(true);
        };
        self.refused.get_or_insert(why);
        Ok(false)
    }

    fn undo(&mut self) -> wasmtime::Result<()> {
        self.used -= self.last;
        self.budget.give_back(self.last);
        self.last = 0;
        self.refused.get_or_insert(Refused::Machine);
        if self.strict.is_some() {
            return Err(NodeLimit::Memory(Refused::Machine).into());
        }
        Ok(())
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.budget.give_back(self.used);
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        // The guest's own ceiling: it asked for it, so it is no refusal of ours.
        if maximum.is_some_and(|maximum| desired > maximum) && (desired as u64) <= self.limit {
            return Ok(false);
        }
        self.grow((desired - current) as u64)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.undo()
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        // What the pool has room for, also where there is no pool: the same on every machine.
        if desired > MAX_TABLE_ELEMENTS || maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.grow((desired - current) as u64 * TABLE_ELEMENT_BYTES)
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.undo()
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES as usize
    }

    fn tables(&self) -> usize {
        MAX_TABLES as usize
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES as usize
    }
}

/// A size for people: `64 MiB`, `1.5 MiB`, `900 B`.
pub(crate) struct Bytes(pub(crate) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let mut value = self.0 as f64 / 1024.0;
        let mut unit = 0;
        while value >= 1024.0 && unit + 1 < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        let decimals = usize::from(value < 10.0);
        write!(f, "{value:.decimals$} {}", UNITS[unit])
    }
}

/// A time for people: `2 s`, `1.5 s`, `50 ms`.
pub(crate) struct Time(pub(crate) Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        match millis {
            0..1000 => write!(f, "{millis} ms"),
            _ if millis.is_multiple_of(1000) => write!(f, "{} s", millis / 1000),
            _ => write!(f, "{:.1} s", self.0.as_secs_f64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_read_well() {
        let shown = |bytes| Bytes(bytes).to_string();
        assert_eq!(shown(900), "900 B");
        assert_eq!(shown(1 << 20), "1.0 MiB");
        assert_eq!(shown(64 << 20), "64 MiB");
        assert_eq!(shown(3 << 30), "3.0 GiB");
        assert_eq!(Time(Duration::from_secs(2)).to_string(), "2 s");
        assert_eq!(Time(Duration::from_millis(1500)).to_string(), "1.5 s");
        assert_eq!(Time(Duration::from_millis(50)).to_string(), "50 ms");
    }

    #[test]
    fn the_meter_refuses_over_the_limit_and_remembers_it() {
        let budget = Budget::new(1 << 20);
        let mut meter = Meter::new(1000, budget.clone());
        assert!(meter.memory_growing(0, 900, None).unwrap());
        assert_eq!(meter.refused(), None);
        assert!(!meter.memory_growing(900, 1100, None).unwrap());
        assert_eq!(meter.refused(), Some(Refused::RunLimit(1000)));
        assert_eq!(budget.used(), 900);
    }

    #[test]
    fn what_the_guest_forbids_itself_is_no_refusal() {
        let mut meter = Meter::new(1000, Budget::new(1 << 20));
        assert!(!meter.memory_growing(0, 500, Some(100)).unwrap());
        assert_eq!(meter.refused(), None);
    }

    #[test]
    fn the_budget_is_shared_and_given_back() {
        let budget = Budget::new(1000);
        let mut first = Meter::new(800, budget.clone());
        let mut second = Meter::new(800, budget.clone());
        assert!(first.memory_growing(0, 800, None).unwrap());
        assert!(!second.memory_growing(0, 300, None).unwrap());
        assert_eq!(second.refused(), Some(Refused::NodeBudget(1000)));
        drop(first);
        assert!(second.memory_growing(0, 300, None).unwrap());
        drop(second);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_growth_that_fails_is_given_back() {
        let budget = Budget::new(1000);
        let mut meter = Meter::new(800, budget.clone());
        assert!(meter.memory_growing(0, 800, None).unwrap());
        meter.memory_grow_failed(wasmtime::Error::msg("no more")).unwrap();
        assert_eq!(budget.used(), 0);
        assert_eq!(meter.refused(), Some(Refused::Machine));
    }

    #[test]
    fn tables_count_as_memory() {
        let mut meter = Meter::new(1000, Budget::new(1 << 20));
        assert!(!meter.table_growing(0, 1000, None).unwrap());
        assert!(meter.table_growing(0, 10, None).unwrap());
    }
}
