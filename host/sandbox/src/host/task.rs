//! `akita:plugin/task`: a guest's view of its own attempt.

use std::time::Instant;

use crate::bindings::{task, types};
use crate::mode::NodeLimit;
use crate::store::RunState;

/// Bytes of input in one answer.
const MAX_READ_BYTES: u32 = 1 << 20;

impl types::Host for RunState {}

impl task::Host for RunState {
    fn id(&mut self) -> wasmtime::Result<String> {
        Ok(match &self.fixed {
            Some(fixed) => fixed.task_id(),
            None => self.attempt.task_id.clone(),
        })
    }

    fn attempt(&mut self) -> wasmtime::Result<u32> {
        Ok(if self.fixed.is_some() { 1 } else { self.attempt.number })
    }

    fn remaining_ms(&mut self) -> wasmtime::Result<u64> {
        let left = match &self.fixed {
            Some(fixed) => fixed.time,
            None => self.attempt.deadline.saturating_duration_since(Instant::now()),
        };
        Ok(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
    }

    fn is_cancelled(&mut self) -> wasmtime::Result<bool> {
        // A deterministic run is stopped without a word: what it would do then depends on when that is.
        Ok(self.fixed.is_none() && self.attempt.cancel.is_cancelled())
    }

    fn progress(&mut self, done: u64, total: Option<u64>, note: String) -> wasmtime::Result<()> {
        self.events.progress(done, total, note);
        Ok(())
    }

    fn emit(&mut self, chunk: Vec<u8>) -> wasmtime::Result<Result<(), String>> {
        let taken = self.events.emit(chunk);
        match self.fixed.as_ref().map(|fixed| fixed.node.output_bytes) {
            Some(limit) if self.events.emitted() > limit => Err(NodeLimit::Output(limit).into()),
            _ => Ok(taken),
        }
    }

    fn input_size(&mut self) -> wasmtime::Result<u64> {
        Ok(self.input.len() as u64)
    }

    fn read_input(&mut self, offset: u64, max: u32) -> wasmtime::Result<Vec<u8>> {
        let begin = usize::try_from(offset).unwrap_or(usize::MAX).min(self.input.len());
        let end = begin.saturating_add(max.min(MAX_READ_BYTES) as usize).min(self.input.len());
        Ok(self.input[begin..end].to_vec())
    }
}
