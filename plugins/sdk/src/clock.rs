//! The time of day, by WASI's clock. Always granted; in deterministic mode it is the same on every machine.

use crate::host;

/// Milliseconds since 1970, in UTC.
///
/// ```
/// assert!(akita_plugin::clock::now_ms() > 0);
/// ```
#[must_use]
pub fn now_ms() -> u64 {
    host::clock::now_ms()
}
