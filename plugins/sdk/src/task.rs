//! The running attempt: who it is, how long it may still take, and what it can say while it runs.

use alloc::string::String;

use crate::{TaskError, host};

/// The task's id: the same for each attempt.
///
/// ```
/// assert!(!akita_plugin::task::id().is_empty());
/// ```
#[must_use]
pub fn id() -> String {
    host::id()
}

/// 1 for the first attempt.
///
/// ```
/// assert_eq!(akita_plugin::task::attempt(), 1);
/// ```
#[must_use]
pub fn attempt() -> u32 {
    host::attempt()
}

/// Milliseconds left before the node stops this attempt.
///
/// ```
/// let enough_for_a_better_answer = akita_plugin::task::remaining_ms() > 10_000;
/// # assert!(enough_for_a_better_answer);
/// ```
#[must_use]
pub fn remaining_ms() -> u64 {
    host::remaining_ms()
}

/// Whether somebody has cancelled the task. A run that does not look is stopped soon after.
///
/// ```
/// assert!(!akita_plugin::task::is_cancelled());
/// ```
#[must_use]
pub fn is_cancelled() -> bool {
    host::is_cancelled()
}

/// Ends the run with `?` if somebody has cancelled the task.
///
/// ```
/// use akita_plugin::{TaskError, task};
/// fn sum(rows: &[u64]) -> Result<u64, TaskError> {
///     let mut sum = 0;
///     for row in rows {
///         task::check()?;
///         sum += row;
///     }
///     Ok(sum)
/// }
/// assert_eq!(sum(&[1, 2]), Ok(3));
/// ```
pub fn check() -> Result<(), TaskError> {
    if is_cancelled() { Err(TaskError::Cancelled) } else { Ok(()) }
}

/// Shown to whoever watches the task; the node keeps the latest and limits the rate. `total` may be a number or `None`.
///
/// ```
/// akita_plugin::task::progress(3, 10, "rows read");
/// akita_plugin::task::progress(4711, None, "looking");
/// ```
pub fn progress(done: u64, total: impl Into<Option<u64>>, note: &str) {
    host::progress(done, total.into(), note);
}

/// Appends to a partial output that watchers can read while the attempt runs. Fails over the output limit, with the
/// node's reason.
///
/// ```
/// akita_plugin::task::emit(b"first line\n")?;
/// # Ok::<(), String>(())
/// ```
pub fn emit(chunk: &[u8]) -> Result<(), String> {
    host::emit(chunk)
}
