//! The pretended node of one run: answers what a plugin asks and writes down what it says. One for each thread, as tests
//! run in several. What outlives a run is in `world`.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use super::world::World;
use super::{Line, Progress};
use crate::tasks::Child;

#[cfg(feature = "http")]
pub(crate) use super::granted::http;
pub(crate) use super::granted::{blobs, kv, mesh, sensors, tasks};

/// Noon of 1 January 2026: a time that tests can count from.
const NOON: u64 = 1_767_268_800_000;

/// What the node is set to answer.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub attempt: u32,
    pub remaining_ms: u64,
    pub looks_left: Option<usize>,
    pub emit_limit: usize,
    pub now_ms: u64,
    pub kv_quota: u64,
    pub blob_quota: u64,
    pub max_children: u32,
    pub unavailable: Vec<&'static str>,
    /// Which of the world's nodes it is.
    pub here: usize,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            attempt: 1,
            remaining_ms: 3_600_000,
            looks_left: None,
            emit_limit: 1 << 20,
            now_ms: NOON,
            kv_quota: 1 << 20,
            blob_quota: 64 << 20,
            max_children: 64,
            unavailable: Vec::new(),
            here: 0,
        }
    }
}

/// What the plugin said.
#[derive(Default)]
pub(crate) struct Record {
    pub lines: Vec<Line>,
    pub progress: Vec<Progress>,
    pub emitted: Vec<u8>,
    pub sent: Vec<(String, Vec<u8>)>,
    pub children: Vec<Child>,
}

/// A run: the node's answers, the task's input, what was said, and what is there before and after.
#[derive(Default)]
pub(crate) struct Now {
    pub node: Node,
    pub input: Vec<u8>,
    pub record: Record,
    pub world: Rc<RefCell<World>>,
}

std::thread_local! {
    static NOW: RefCell<Now> = RefCell::default();
}

/// Runs with this around, and gives what was said. An answer to a child task may do so within another run.
pub(crate) fn with<T>(now: Now, run: impl FnOnce() -> T) -> (T, Record) {
    let outer = NOW.replace(now);
    let result = run();
    (result, NOW.replace(outer).record)
}

/// The run that is on.
pub(super) fn now<T>(look: impl FnOnce(&mut Now) -> T) -> T {
    NOW.with_borrow_mut(look)
}

pub(crate) mod log {
    use alloc::string::String;

    use super::{Line, now};
    use crate::log::Level;

    pub(crate) fn write(level: Level, message: &str, fields: &[(String, String)]) {
        let line = Line { level, message: message.into(), fields: fields.to_vec() };
        now(|now| now.record.lines.push(line));
    }
}

pub(crate) mod clock {
    pub(crate) fn now_ms() -> u64 {
        super::now(|now| now.node.now_ms)
    }
}

pub(crate) mod task {
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;

    use super::{Progress, now};

    /// The most that a node gives of an input in one call.
    const MAX_PIECE: usize = 1 << 20;

    pub(crate) fn id() -> String {
        "test".to_string()
    }

    pub(crate) fn attempt() -> u32 {
        now(|now| now.node.attempt)
    }

    pub(crate) fn remaining_ms() -> u64 {
        now(|now| now.node.remaining_ms)
    }

    pub(crate) fn is_cancelled() -> bool {
        now(|now| match &mut now.node.looks_left {
            None => false,
            Some(0) => true,
            Some(looks) => {
                *looks -= 1;
                false
            }
        })
    }

    pub(crate) fn progress(done: u64, total: Option<u64>, note: &str) {
        let report = Progress { done, total, note: note.into() };
        now(|now| now.record.progress.push(report));
    }

    pub(crate) fn emit(chunk: &[u8]) -> Result<(), String> {
        now(|now| {
            if now.record.emitted.len() + chunk.len() > now.node.emit_limit {
                return Err("the output limit is reached".into());
            }
            now.record.emitted.extend_from_slice(chunk);
            Ok(())
        })
    }

    pub(crate) fn input_size() -> u64 {
        now(|now| now.input.len() as u64)
    }

    pub(crate) fn read_input(offset: u64, max: u32) -> Vec<u8> {
        now(|now| super::piece(&now.input, offset, max, MAX_PIECE))
    }
}

/// At most `max` bytes from `offset` on, and never more than `most`.
pub(super) fn piece(bytes: &[u8], offset: u64, max: u32, most: usize) -> Vec<u8> {
    let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
    let length = (max as usize).min(most).min(bytes.len() - start);
    bytes[start..start + length].to_vec()
}
