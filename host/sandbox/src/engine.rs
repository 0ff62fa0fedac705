//! The engine: the only place that configures wasmtime (any other would not share its cache of compiled code), the
//! choice of allocator that suits the machine, and the thread that moves the epoch. It runs nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, Memory, MemoryType, OptLevel, PoolingAllocationConfig, Store,
};

use crate::answers::Answers;
use crate::limits::{MAX_INSTANCES, MAX_MEMORIES, MAX_TABLE_ELEMENTS, MAX_TABLES};
use crate::memory;

/// How often a computing guest is looked at: a quarter of the 20 ms within which a time limit is kept, and rare enough
/// to cost nothing.
const EPOCH_TICK: Duration = Duration::from_millis(5);
/// The ticker sleeps when no run started for this long, so that an idle node does not wake 200 times a second.
const TICKER_LINGER: Duration = Duration::from_secs(1);
/// Stack of a guest: what compiled plugins use, with room for a recursive parser.
const MAX_WASM_STACK: usize = 1 << 20;
/// Stack of a guest and of the host functions that it calls.
const ASYNC_STACK: usize = 2 << 20;
/// Memory that a slot keeps between runs. Clearing a few pages is cheaper than asking the system for fresh ones; with
/// 16 slots this is 8 MiB at most.
const KEEP_RESIDENT: usize = 512 << 10;
/// Tables are small; keep a page.
const TABLE_KEEP_RESIDENT: usize = 4 << 10;
/// Instances over the slots: for plugins that describe themselves while every slot is taken.
const SPARE_INSTANCES: u32 = 2;
/// Components from this size on (an interpreter's) are compiled on all cores, though that takes far more memory: on one
/// they would take ten seconds or more.
const PARALLEL_FROM: usize = 1 << 20;
/// Stack of the compiler: what a main thread has.
const COMPILE_STACK: usize = 8 << 20;
/// Frames in the report of a trap.
const BACKTRACE_FRAMES: usize = 12;

/// What an engine's code is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Ordinary runs.
    Ordinary,
    /// Deterministic ones: counts instructions, and gives every NaN the same bits.
    Deterministic,
}

/// Where guests' memory comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocator {
    /// Reserved once at the start and used again: the fastest.
    Pooling,
    /// Asked from the system for each run: for machines where the reservation fails.
    OnDemand,
    /// The same without guard regions, for machines with little address space: slower code.
    Compact,
}

impl Allocator {
    /// Every allocator, the best first.
    pub const ALL: [Allocator; 3] = [Allocator::Pooling, Allocator::OnDemand, Allocator::Compact];

    /// Its name, for `status` and the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Allocator::Pooling => "pooling",
            Allocator::OnDemand => "on-demand",
            Allocator::Compact => "compact",
        }
    }
}

/// The best engine that this machine can hold, or the one with the allocator that is wanted.
///
/// # Errors
/// When none starts.
pub(crate) fn build(wanted: Option<Allocator>, slots: usize) -> wasmtime::Result<(Engine, Allocator)> {
    let mut last = None;
    for allocator in Allocator::ALL.into_iter().filter(|one| wanted.is_none_or(|wanted| wanted == *one)) {
        match Engine::new(&config(Kind::Ordinary, allocator, slots)).and_then(probe) {
            Ok(engine) => return Ok((engine, allocator)),
            Err(error) => {
                tracing::info!(allocator = allocator.as_str(), "this allocator does not fit the machine: {error:#}");
                last = Some(error);
            }
        }
    }
    Err(last.expect("at least one allocator was tried"))
}

/// The engine of deterministic mode.
///
/// # Errors
/// When it does not start.
pub(crate) fn build_deterministic(allocator: Allocator) -> wasmtime::Result<Engine> {
    Engine::new(&config(Kind::Deterministic, allocator, 1)).and_then(probe)
}

/// Compiles a component in an engine of its own, on a thread of its own, and drops both: the compiler's working memory
/// (tens of megabytes, which an engine would keep) then goes back to the system. The code fits the engine that runs it.
///
/// # Errors
/// When the component is not valid, or the compiler fails.
pub(crate) fn compile(kind: Kind, allocator: Allocator, component: &[u8]) -> wasmtime::Result<Vec<u8>> {
    let mut config = config(kind, allocator, 1);
    config.parallel_compilation(component.len() >= PARALLEL_FROM);
    let compile = || Engine::new(&config)?.precompile_component(component);
    let compiled = thread::scope(|scope| {
        let thread = thread::Builder::new().name("akita-compile".into()).stack_size(COMPILE_STACK);
        let compiled = thread.spawn_scoped(scope, compile)?.join();
        compiled.unwrap_or_else(|_| Err(wasmtime::Error::msg("the compiler panicked on it")))
    });
    memory::give_back();
    compiled
}

/// The only configuration of wasmtime.
fn config(kind: Kind, allocator: Allocator, slots: usize) -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(MAX_WASM_STACK)
        .async_stack_size(ASYNC_STACK)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(BACKTRACE_FRAMES))
        .cranelift_opt_level(OptLevel::Speed)
        // The same bits on every node, whatever its processor.
        .relaxed_simd_deterministic(true)
        .wasm_memory64(false);
    if kind == Kind::Deterministic {
        // Processors disagree about the bits of a NaN, and about how far they come in a second.
        config.cranelift_nan_canonicalization(true).consume_fuel(true);
    }
    match allocator {
        Allocator::Pooling => {
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(slots)));
        }
        Allocator::OnDemand => {}
        Allocator::Compact => {
            config.memory_reservation(0).memory_guard_size(0).memory_reservation_for_growth(1 << 20);
        }
    }
    config
}

/// Address space, not memory: 4 GiB for each linear memory, so that bounds need no checks. Four slots reserve 96 GiB,
/// which fits the 512 GiB of the smallest 64-bit systems in use.
fn pool(slots: usize) -> PoolingAllocationConfig {
    let slots = u32::try_from(slots).unwrap_or(u32::MAX).saturating_add(SPARE_INSTANCES);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_stacks(slots)
        .total_core_instances(slots.saturating_mul(MAX_INSTANCES))
        .total_memories(slots.saturating_mul(MAX_MEMORIES))
        .total_tables(slots.saturating_mul(MAX_TABLES))
        .max_core_instances_per_component(MAX_INSTANCES)
        .max_memories_per_component(MAX_MEMORIES)
        .max_tables_per_component(MAX_TABLES)
        .max_tables_per_module(MAX_TABLES)
        .max_memories_per_module(MAX_MEMORIES)
        .table_elements(MAX_TABLE_ELEMENTS)
        .max_unused_warm_slots(slots)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(TABLE_KEEP_RESIDENT)
        // Asks the kernel which pages a run touched, where it can tell (Linux 6.7), instead of clearing all of them.
        .pagemap_scan(Enabled::Auto);
    pool
}

/// An engine may start and yet not find room for a single memory: then it is of no use.
fn probe(engine: Engine) -> wasmtime::Result<Engine> {
    let mut store = Store::new(&engine, ());
    Memory::new(&mut store, MemoryType::new(1, None))?;
    drop(store);
    Ok(engine)
}

/// Moves the epoch while guests run, and sends outcomes that are ready, on a plain thread: guests cannot delay it.
pub(crate) struct Ticker {
    shared: Arc<TickerShared>,
    thread: Option<JoinHandle<()>>,
}

struct TickerShared {
    running: AtomicU64,
    parked: AtomicBool,
    ended: AtomicBool,
}

impl Ticker {
    pub(crate) fn start(engine: &Engine, answers: &Arc<Answers>) -> std::io::Result<Ticker> {
        let shared = Arc::new(TickerShared {
            running: AtomicU64::new(0),
            parked: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        });
        let (engine, answers, seen) = (engine.clone(), Arc::clone(answers), shared.clone());
        let thread = thread::Builder::new().name("akita-epoch".into()).spawn(move || tick(&engine, &answers, &seen))?;
        Ok(Ticker { shared, thread: Some(thread) })
    }

    /// Keeps the epoch moving until the guard is dropped.
    pub(crate) fn hold(&self) -> TickerGuard {
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        if self.shared.parked.load(Ordering::SeqCst)
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
        TickerGuard(self.shared.clone())
    }
}

impl Drop for Ticker {
    /// The thread goes on until the last guest has stopped; nobody waits for it.
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
        }
    }
}

/// One run that needs the epoch.
pub(crate) struct TickerGuard(Arc<TickerShared>);

impl Drop for TickerGuard {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

fn tick(engine: &Engine, answers: &Answers, shared: &TickerShared) {
    let mut last_run = Instant::now();
    loop {
        if shared.running.load(Ordering::SeqCst) > 0 {
            last_run = Instant::now();
        } else if shared.ended.load(Ordering::SeqCst) {
            answers.flush();
            return;
        } else if last_run.elapsed() >= TICKER_LINGER {
            // A run that starts after `parked` is set unparks; one that started before is seen by the second look.
            shared.parked.store(true, Ordering::SeqCst);
            if shared.running.load(Ordering::SeqCst) == 0 && !shared.ended.load(Ordering::SeqCst) {
                thread::park();
            }
            shared.parked.store(false, Ordering::SeqCst);
            last_run = Instant::now();
            continue;
        }
        thread::sleep(EPOCH_TICK);
        engine.increment_epoch();
        answers.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_allocator_works_here() {
        for allocator in Allocator::ALL {
            build(Some(allocator), 4).unwrap_or_else(|error| panic!("{allocator:?}: {error:#}"));
            build_deterministic(allocator).unwrap_or_else(|error| panic!("{allocator:?}: {error:#}"));
        }
    }

    #[test]
    fn a_pool_that_does_not_fit_falls_back() {
        let (_, allocator) = build(None, usize::MAX).unwrap();
        assert_eq!(allocator, Allocator::OnDemand);
    }
}
