//! `wasi:clocks` and `wasi:random` of deterministic mode, put before those of the machine. It decides nothing: time and
//! bytes come from `mode`.

use std::time::Duration;

use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use crate::mode::{Clock, Fixed};
use crate::store::{MAX_RANDOM_BYTES, RunState};

/// What a clock claims to tell apart, in nanoseconds.
const RESOLUTION: u64 = 1_000;

/// Puts them before what the linker has.
pub(crate) fn add_to_linker(linker: &mut Linker<RunState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    monotonic_clock::add_to_linker::<_, FixedHost>(linker, view)?;
    wall_clock::add_to_linker::<_, FixedHost>(linker, view)?;
    random::add_to_linker::<_, FixedHost>(linker, view)?;
    insecure::add_to_linker::<_, FixedHost>(linker, view)?;
    insecure_seed::add_to_linker::<_, FixedHost>(linker, view)?;
    linker.allow_shadowing(false);
    Ok(())
}

struct FixedHost;

impl HasData for FixedHost {
    type Data<'a> = View<'a>;
}

/// One run's own time and randomness.
struct View<'a>(&'a mut RunState);

fn view(state: &mut RunState) -> View<'_> {
    View(state)
}

impl View<'_> {
    fn fixed(&mut self) -> wasmtime::Result<&mut Fixed> {
        let missing = || wasmtime::Error::msg("an ordinary run is linked for deterministic mode");
        self.0.fixed.as_deref_mut().ok_or_else(missing)
    }

    fn clock(&mut self) -> wasmtime::Result<Clock> {
        Ok(self.fixed()?.clock.clone())
    }

    fn timer(&mut self, clock: Clock, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let table: &mut ResourceTable = self.0.ctx().table;
        let timer = table.push(Timer { clock, when })?;
        subscribe(table, timer)
    }
}

struct Timer {
    clock: Clock,
    when: u64,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Timer {
    async fn ready(&mut self) {
        self.clock.until(self.when).await;
    }
}

impl monotonic_clock::Host for View<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.clock()?.now())
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(RESOLUTION)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let clock = self.clock()?;
        self.timer(clock, when)
    }

    fn subscribe_duration(&mut self, duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let clock = self.clock()?;
        let when = clock.now().saturating_add(duration);
        self.timer(clock, when)
    }
}

fn datetime(time: Duration) -> wall_clock::Datetime {
    wall_clock::Datetime { seconds: time.as_secs(), nanoseconds: time.subsec_nanos() }
}

impl wall_clock::Host for View<'_> {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(datetime(self.clock()?.wall()))
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(datetime(Duration::from_nanos(RESOLUTION)))
    }
}

fn bounded(count: u64) -> wasmtime::Result<usize> {
    let too_many =
        || wasmtime::Error::msg(format!("asked for {count} random bytes at once: {MAX_RANDOM_BYTES} at most"));
    usize::try_from(count).ok().filter(|_| count <= MAX_RANDOM_BYTES).ok_or_else(too_many)
}

impl random::Host for View<'_> {
    fn get_random_bytes(&mut self, count: u64) -> wasmtime::Result<Vec<u8>> {
        Ok(self.fixed()?.random.bytes(bounded(count)?))
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.fixed()?.random.number())
    }
}

impl insecure::Host for View<'_> {
    fn get_insecure_random_bytes(&mut self, count: u64) -> wasmtime::Result<Vec<u8>> {
        Ok(self.fixed()?.insecure.bytes(bounded(count)?))
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.fixed()?.insecure.number())
    }
}

impl insecure_seed::Host for View<'_> {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok(self.fixed()?.insecure_seed())
    }
}
