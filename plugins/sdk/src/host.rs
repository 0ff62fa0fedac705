//! The host's functions: those of the node when compiled for WebAssembly, recording fakes in a native build. Nothing else
//! of this crate knows which it is.

#[cfg(all(target_family = "wasm", feature = "http"))]
pub(crate) mod http;

#[cfg(target_family = "wasm")]
mod real {
    pub(crate) use crate::contract::akita::plugin::{blobs, kv, log, mesh, sensors, task, tasks};

    pub(crate) mod clock {
        use crate::contract::wall::wasi::clocks::wall_clock;

        pub(crate) fn now_ms() -> u64 {
            let now = wall_clock::now();
            now.seconds * 1000 + u64::from(now.nanoseconds / 1_000_000)
        }
    }
}

#[cfg(all(not(target_family = "wasm"), feature = "http"))]
pub(crate) use crate::testing::fake::http;
#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::testing::fake::{blobs, clock, kv, log, mesh, sensors, task, tasks};
#[cfg(target_family = "wasm")]
pub(crate) use real::{blobs, clock, kv, log, mesh, sensors, task, tasks};
