//! The running attempt: who it is, how long it may still take, and what it can say while it runs.

use alloc::string::String;
use alloc::vec::Vec;

use crate::{TaskError, host};

/// Bytes that [`Chunks`] asks for at once: a page of WebAssembly's memory, sixteen calls for a megabyte.
const CHUNK: u32 = 64 << 10;

/// The task's id: the same for each attempt.
///
/// ```
/// assert!(!akita_plugin::task::id().is_empty());
/// ```
#[must_use]
pub fn id() -> String {
    host::task::id()
}

/// 1 for the first attempt.
///
/// ```
/// assert_eq!(akita_plugin::task::attempt(), 1);
/// ```
#[must_use]
pub fn attempt() -> u32 {
    host::task::attempt()
}

/// Milliseconds left before the node stops this attempt.
///
/// ```
/// let enough_for_a_better_answer = akita_plugin::task::remaining_ms() > 10_000;
/// # assert!(enough_for_a_better_answer);
/// ```
#[must_use]
pub fn remaining_ms() -> u64 {
    host::task::remaining_ms()
}

/// Whether somebody has cancelled the task. A run that does not look is stopped soon after.
///
/// ```
/// assert!(!akita_plugin::task::is_cancelled());
/// ```
#[must_use]
pub fn is_cancelled() -> bool {
    host::task::is_cancelled()
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
    host::task::progress(done, total.into(), note);
}

/// How far the run is, in percent.
///
/// ```
/// akita_plugin::task::percent(30, "rows read");
/// ```
pub fn percent(percent: u8, note: &str) {
    host::task::progress(percent.min(100).into(), Some(100), note);
}

/// Appends to a partial output that watchers can read while the attempt runs. Fails over the output limit, with the
/// node's reason.
///
/// ```
/// akita_plugin::task::emit(b"first line\n")?;
/// # Ok::<(), String>(())
/// ```
pub fn emit(chunk: &[u8]) -> Result<(), String> {
    host::task::emit(chunk)
}

/// Bytes of the task's input.
///
/// ```
/// assert_eq!(akita_plugin::task::input_size(), 0);
/// ```
#[must_use]
pub fn input_size() -> u64 {
    host::task::input_size()
}

/// A piece of the input: at most `max` bytes from `offset` on, fewer at its end and after 1 MiB, none behind it.
///
/// ```
/// assert!(akita_plugin::task::read_input(0, 16).is_empty());
/// ```
#[must_use]
pub fn read_input(offset: u64, max: u32) -> Vec<u8> {
    host::task::read_input(offset, max)
}

/// The input piece by piece, for one that is larger than the plugin's memory should be. An action that takes it gets its
/// input this way, whatever it is; it does not have to say `input: chunks` as well.
///
/// ```
/// use akita_plugin::prelude::*;
/// use akita_plugin::testing::Harness;
///
/// fn lines(input: Chunks) -> Result<u64, TaskError> {
///     let mut lines = 0;
///     for chunk in input {
///         task::check()?;
///         lines += chunk.iter().filter(|byte| **byte == b'\n').count() as u64;
///     }
///     Ok(lines)
/// }
///
/// akita_plugin::plugin! {
///     name: "lines",
///     summary: "Counts lines.",
///     actions: { "lines" => lines { summary: "How many lines there are." } },
/// }
///
/// let harness = Harness::new(&PLUGIN);
/// assert_eq!(harness.run("lines", Content::new("text/plain", "a\nb\n")).text(), "2");
/// assert_eq!(harness.describe().actions[0].annotations, [("input".to_string(), "chunks".to_string())]);
/// ```
#[derive(Clone, Debug)]
pub struct Chunks {
    content_type: String,
    offset: u64,
    size: u64,
    chunk: u32,
}

impl Chunks {
    pub(crate) fn new(content_type: String) -> Self {
        Self { content_type, offset: 0, size: input_size(), chunk: CHUNK }
    }

    /// What the input is said to be.
    #[must_use]
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// Bytes of the whole input.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes that were read; with [`size`](Self::size) it is what [`progress`] takes.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.offset
    }

    /// Asks for chunks of another size; the node gives 1 MiB at most.
    #[must_use]
    pub fn of(mut self, bytes: u32) -> Self {
        self.chunk = bytes.max(1);
        self
    }
}

impl Iterator for Chunks {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let chunk = read_input(self.offset, self.chunk);
        self.offset += chunk.len() as u64;
        (!chunk.is_empty()).then_some(chunk)
    }
}
