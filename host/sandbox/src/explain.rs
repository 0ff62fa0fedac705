//! Why a run ended as it did: what the guest answered, which limit it reached, where it crashed. It writes the sentences
//! that people read, and decides nothing.

use std::time::Duration;

use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::bindings::types;
use crate::limits::{Bytes, Limits, Refused, Time};
use crate::mode::{NodeLimit, here, out_of_fuel, out_of_time};
use crate::outcome::{Content, Failure, FailureKind, MAX_CODE_BYTES, MAX_CONTENT_TYPE_BYTES, Outcome, cut};
use crate::store::{RunState, Stop};

/// Longest `retry-after` that a guest may ask for: a day, so that a wrong unit does not park a task for years.
pub(crate) const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);
/// What wasmtime says when more is copied out of a guest than allowed; its error has no public type.
const COPY_LIMIT_WORDS: &str = "fuel allocated for hostcalls has been exhausted";

/// A result that keeps to the contract.
pub(crate) fn accept(content: types::Content, limits: &Limits) -> Outcome {
    let types::Content { content_type, body } = content;
    if body.len() as u64 > limits.output_bytes {
        return Err(output_too_long(body.len() as u64, limits));
    }
    let printable = content_type.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    if content_type.len() > MAX_CONTENT_TYPE_BYTES || !content_type.contains('/') || !printable {
        let shown = cut(content_type, MAX_CONTENT_TYPE_BYTES);
        let message = format!("the plugin's output has `{shown}` for a media type, such as `application/json`");
        return Err(Failure::new(FailureKind::Permanent, message));
    }
    Ok(Content { content_type, body })
}

/// A result over its limit, of at least `size` bytes.
pub(crate) fn output_too_long(size: u64, limits: &Limits) -> Failure {
    let (size, limit) = (Bytes(size), Bytes(limits.output_bytes));
    Failure::new(FailureKind::OutputLimit, format!("output of {size} is over the limit of {limit}"))
}

/// What the guest itself gave as a reason.
pub(crate) fn refusal(error: types::TaskError, action: &str) -> Failure {
    let told = |kind, failure: types::Failure| Failure {
        code: failure.code.map(|code| cut(code, MAX_CODE_BYTES)),
        pointer: failure.pointer.map(|pointer| cut(pointer, MAX_CODE_BYTES)),
        ..Failure::new(kind, failure.message)
    };
    match error {
        types::TaskError::UnknownAction => {
            Failure::new(FailureKind::UnknownAction, format!("the plugin does not know its action `{action}`"))
        }
        types::TaskError::InvalidInput(failure) => told(FailureKind::InvalidInput, failure),
        types::TaskError::Retryable((failure, after)) => Failure {
            retry_after: after.map(|millis| Duration::from_millis(millis).min(MAX_RETRY_AFTER)),
            ..told(FailureKind::Retryable, failure)
        },
        types::TaskError::Permanent(failure) => told(FailureKind::Permanent, failure),
        types::TaskError::Cancelled => {
            Failure::new(FailureKind::Cancelled, "the plugin saw that the task was cancelled and stopped")
        }
    }
}

/// Why a call ended without the guest's own answer.
pub(crate) fn explain(error: &wasmtime::Error, state: &RunState, limits: &Limits) -> Failure {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return match (stop, &state.fixed) {
            (Stop::TimeLimit, Some(_)) => out_of_time(limits.timeout),
            _ => stopped(*stop, limits),
        };
    }
    if let Some(limit) = error.downcast_ref::<NodeLimit>() {
        return here(*limit);
    }
    if let (Some(Trap::OutOfFuel), Some(fixed)) = (error.downcast_ref::<Trap>(), &state.fixed) {
        return out_of_fuel(fixed);
    }
    if let Some(refused) = state.meter.refused() {
        return out_of_memory(refused, error);
    }
    if error.chain().any(|cause| cause.to_string().contains(COPY_LIMIT_WORDS)) {
        let limit = Bytes(limits.output_bytes);
        let message = format!("the plugin handed over far more than its output limit of {limit} at once");
        return Failure::new(FailureKind::OutputLimit, message);
    }
    if let Some(I32Exit(status)) = error.downcast_ref::<I32Exit>() {
        let message = format!("the plugin ended its own process (exit status {status}) instead of returning");
        return Failure::new(FailureKind::Trap, message);
    }
    if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
        return Failure::new(FailureKind::Internal, format!("no room for another instance: {error}"));
    }
    if let Some(cause) = error.chain().find(|cause| is_the_systems(*cause)) {
        return Failure::new(FailureKind::Internal, format!("this node could not run the plugin: {cause}"));
    }
    Failure::new(FailureKind::Trap, crash(error, state))
}

/// Whether the operating system refused something: memory for an instance, a stack. A guest cannot make such an error.
fn is_the_systems(cause: &(dyn std::error::Error + 'static)) -> bool {
    #[cfg(unix)]
    if cause.is::<rustix::io::Errno>() {
        return true;
    }
    cause.is::<std::io::Error>()
}

fn stopped(stop: Stop, limits: &Limits) -> Failure {
    match stop {
        Stop::TimeLimit => {
            let timeout = Time(limits.timeout);
            let message = format!("stopped after {timeout}: the time limit of this task (timeout {timeout})");
            Failure::new(FailureKind::TimeLimit, message)
        }
        Stop::Cancelled => {
            Failure::new(FailureKind::Cancelled, "stopped: the task was cancelled and the plugin went on working")
        }
        Stop::Shutdown => Failure::new(FailureKind::Internal, "stopped: the node is shutting down"),
    }
}

fn out_of_memory(refused: Refused, error: &wasmtime::Error) -> Failure {
    let then =
        error.downcast_ref::<Trap>().map(|trap| format!("; the plugin then stopped: {trap}")).unwrap_or_default();
    match refused {
        Refused::RunLimit(limit) => {
            let message = format!("refused memory beyond {}: the memory limit of this task{then}", Bytes(limit));
            Failure::new(FailureKind::MemoryLimit, message)
        }
        Refused::NodeBudget(limit) => {
            let limit = Bytes(limit);
            let message = format!("refused memory: all plugins on this node together may use {limit}{then}");
            Failure { code: Some("node-memory".to_owned()), ..Failure::new(FailureKind::Retryable, message) }
        }
        Refused::Machine => {
            let message = format!("refused memory: this node cannot give more{then}");
            Failure::new(FailureKind::MemoryLimit, message)
        }
    }
}

/// The reason of a trap, the guest's last words, the functions that it was in.
fn crash(error: &wasmtime::Error, state: &RunState) -> String {
    let reason = match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string(),
        None => error.root_cause().to_string(),
    };
    let mut message = format!("the plugin crashed: {reason}");
    if let Some(words) = state.events.last_words() {
        message.push_str("; its last words: ");
        message.push_str(&words);
    }
    let frames: Vec<_> = error.downcast_ref::<WasmBacktrace>().map(frames).unwrap_or_default();
    if !frames.is_empty() {
        message.push_str("; in ");
        message.push_str(&frames.join(" < "));
    }
    message
}

/// The functions on the stack that have names, innermost first; one that calls itself is named once. A plugin that was
/// stripped has none, and numbers would help nobody.
fn frames(trace: &WasmBacktrace) -> Vec<String> {
    /// Longest name of one function: demangled generics run to hundreds of characters.
    const MAX_NAME_BYTES: usize = 120;
    let mut names: Vec<String> = trace
        .frames()
        .iter()
        .filter_map(|frame| frame.symbols().first().and_then(|symbol| symbol.name()).or(frame.func_name()))
        .map(|name| cut(name.to_owned(), MAX_NAME_BYTES))
        .collect();
    names.dedup();
    names
}
