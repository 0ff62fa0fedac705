//! The host's functions: those of the node when compiled for WebAssembly, recording fakes in a native build. Nothing else
//! of this crate knows which it is.

#[cfg(target_family = "wasm")]
mod real {
    use alloc::string::String;

    use crate::contract::akita::plugin::{log, task};
    pub(crate) use task::{attempt, emit, id, is_cancelled, progress, remaining_ms};

    pub(crate) fn log(level: log::Level, message: &str, fields: &[(String, String)]) {
        log::write(level, message, fields);
    }
}

#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::testing::fake::{attempt, emit, id, is_cancelled, log, progress, remaining_ms};
#[cfg(target_family = "wasm")]
pub(crate) use real::{attempt, emit, id, is_cancelled, log, progress, remaining_ms};
