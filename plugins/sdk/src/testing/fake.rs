//! The pretended node: answers what a plugin asks and writes down what it says. One for each thread, as tests run in
//! several.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use std::cell::RefCell;

use super::{Line, Progress};
use crate::log::Level;

/// What the node is set to answer.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub attempt: u32,
    pub remaining_ms: u64,
    pub looks_left: Option<usize>,
    pub emit_limit: usize,
}

impl Default for Node {
    fn default() -> Self {
        Self { attempt: 1, remaining_ms: 3_600_000, looks_left: None, emit_limit: 1 << 20 }
    }
}

/// What the plugin said.
#[derive(Default)]
pub(crate) struct Record {
    pub lines: Vec<Line>,
    pub progress: Vec<Progress>,
    pub emitted: Vec<u8>,
}

std::thread_local! {
    static NOW: RefCell<(Node, Record)> = RefCell::default();
}

/// Runs with this node around, and gives what was said.
pub(crate) fn with<T>(node: Node, run: impl FnOnce() -> T) -> (T, Record) {
    NOW.set((node, Record::default()));
    let result = run();
    (result, NOW.take().1)
}

pub(crate) fn log(level: Level, message: &str, fields: &[(String, String)]) {
    let line = Line { level, message: message.into(), fields: fields.to_vec() };
    NOW.with_borrow_mut(|(_, record)| record.lines.push(line));
}

pub(crate) fn id() -> String {
    "test".to_string()
}

pub(crate) fn attempt() -> u32 {
    NOW.with_borrow(|(node, _)| node.attempt)
}

pub(crate) fn remaining_ms() -> u64 {
    NOW.with_borrow(|(node, _)| node.remaining_ms)
}

pub(crate) fn is_cancelled() -> bool {
    NOW.with_borrow_mut(|(node, _)| match &mut node.looks_left {
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
    NOW.with_borrow_mut(|(_, record)| record.progress.push(report));
}

pub(crate) fn emit(chunk: &[u8]) -> Result<(), String> {
    NOW.with_borrow_mut(|(node, record)| {
        if record.emitted.len() + chunk.len() > node.emit_limit {
            return Err("the output limit is reached".into());
        }
        record.emitted.extend_from_slice(chunk);
        Ok(())
    })
}
