//! One call of a typed export, and what its result means for the task: the value of an `ok`, or the end that an `err`
//! asks for. Time and memory are held by `run`.

use std::time::Duration;

use wasmtime::Store;
use wasmtime::component::{Instance, Val};

use super::MAX_VALUES;
use super::output::{self, Unwritten};
use super::reflect::Function;
use super::shape::Shape;
use crate::explain::{MAX_RETRY_AFTER, output_too_long};
use crate::limits::Limits;
use crate::outcome::{Content, Failure, FailureKind, MAX_CODE_BYTES, Outcome, cut};
use crate::store::RunState;

/// What a call costs beside its values: names of fields and cases, which the host copies for each.
const NAME_ROOM_BYTES: u64 = 4 << 20;

/// Calls a function of a fresh instance with values that `read` made.
///
/// # Errors
/// The guest trapped, or was stopped.
pub(crate) async fn call(
    store: &mut Store<RunState>,
    instance: &Instance,
    function: &Function,
    values: &[Val],
    limits: &Limits,
) -> wasmtime::Result<Option<Val>> {
    // A value in the host is larger than its JSON: forty bytes for a byte.
    let most = limits.output_bytes.min(MAX_VALUES as u64).saturating_mul(size_of::<Val>() as u64);
    let room = most.saturating_add(limits.output_bytes).saturating_add(NAME_ROOM_BYTES);
    store.set_hostcall_fuel(usize::try_from(room).unwrap_or(usize::MAX));
    let called = instance.get_func(&mut *store, function.index);
    let called = called.ok_or_else(|| wasmtime::Error::msg("the function is gone from the component"))?;
    let mut results = vec![Val::Bool(false); usize::from(function.result.is_some())];
    called.call_async(&mut *store, values, &mut results).await?;
    Ok(results.pop())
}

/// What a call came to.
pub(crate) fn outcome(function: &Function, result: Option<&Val>, limits: &Limits) -> Outcome {
    let (shape, value) = match (&function.result, result) {
        (Some(Shape::Result(_, err)), Some(Val::Result(Err(value)))) => {
            return Err(refusal(err.as_deref(), value.as_deref()));
        }
        (Some(Shape::Result(ok, _)), Some(Val::Result(Ok(value)))) => (ok.as_deref(), value.as_deref()),
        (shape, value) => (shape.as_ref(), value),
    };
    match output::write(shape, value, limits.output_bytes) {
        Ok(body) => Ok(Content { content_type: "application/json".to_owned(), body }),
        Err(Unwritten::TooLong(size)) => Err(output_too_long(size, limits)),
        Err(Unwritten::OtherType) => {
            Err(Failure::new(FailureKind::Internal, "the engine gave a value of another type than the function has"))
        }
    }
}

/// The end that an `err` asks for. The cases of our own `task-error` mean what they mean there; everything else is final.
pub(crate) fn refusal(shape: Option<&Shape>, value: Option<&Val>) -> Failure {
    let Some((shape, value)) = shape.zip(value) else {
        return Failure::new(FailureKind::Permanent, "the function failed and says no more");
    };
    let (case, payload, inner) = match (shape, value) {
        (Shape::Variant(cases), Val::Variant(case, payload)) => {
            let inner = cases.iter().find(|(name, _)| name == case).and_then(|(_, shape)| shape.as_ref());
            (case, payload.as_deref(), inner)
        }
        (Shape::Enum(_), Val::Enum(case)) => (case, None, None),
        (shape, value) => return told(FailureKind::Permanent, None, Some(shape), Some(value)),
    };
    let (kind, code) = match case.as_str() {
        "unknown-action" => (FailureKind::UnknownAction, None),
        "invalid-input" => (FailureKind::InvalidInput, None),
        "retryable" => (FailureKind::Retryable, None),
        "permanent" => (FailureKind::Permanent, None),
        "cancelled" => (FailureKind::Cancelled, None),
        other => (FailureKind::Permanent, Some(other)),
    };
    if payload.is_none() {
        let code = code.map(|code| cut(code.to_owned(), MAX_CODE_BYTES));
        return Failure { code, ..Failure::new(kind, case.clone()) };
    }
    told(kind, code, inner, payload)
}

/// A failure with what the guest says of it: text, a record like our `failure`, or anything as JSON.
fn told(kind: FailureKind, case: Option<&str>, shape: Option<&Shape>, value: Option<&Val>) -> Failure {
    /// Longer ones are cut anyway.
    const MOST: u64 = 64 << 10;
    let mut failure = match value {
        Some(Val::String(text)) => Failure::new(kind, text.clone()),
        Some(Val::Record(fields)) if text_of(fields, "message").is_some() => Failure {
            code: text_of(fields, "code").map(|code| cut(code.to_owned(), MAX_CODE_BYTES)),
            pointer: text_of(fields, "pointer").map(|pointer| cut(pointer.to_owned(), MAX_CODE_BYTES)),
            ..Failure::new(kind, text_of(fields, "message").unwrap_or_default())
        },
        // `retryable(tuple<failure, option<u64>>)`.
        Some(Val::Tuple(parts)) if kind == FailureKind::Retryable && parts.len() == 2 => {
            let first = if let Some(Shape::Tuple(shapes)) = shape { shapes.first() } else { None };
            Failure { retry_after: millis(&parts[1]), ..told(kind, case, first, parts.first()) }
        }
        _ => {
            let json = match output::write(shape, value, MOST) {
                Ok(json) => String::from_utf8(json).unwrap_or_default(),
                Err(_) => "an error that is too long to show".to_owned(),
            };
            Failure::new(kind, case.map_or_else(|| json.clone(), |case| format!("{case}: {json}")))
        }
    };
    if failure.code.is_none() {
        failure.code = case.map(|case| cut(case.to_owned(), MAX_CODE_BYTES));
    }
    failure
}

/// A text, or one that may be absent.
fn text_of<'a>(fields: &'a [(String, Val)], name: &str) -> Option<&'a str> {
    match &fields.iter().find(|(field, _)| field == name)?.1 {
        Val::String(text) => Some(text),
        Val::Option(Some(value)) => match &**value {
            Val::String(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

fn millis(value: &Val) -> Option<Duration> {
    let number = match value {
        Val::Option(Some(value)) => &**value,
        other => other,
    };
    match number {
        Val::U64(millis) => Some(Duration::from_millis(*millis).min(MAX_RETRY_AFTER)),
        Val::U32(millis) => Some(Duration::from_millis(u64::from(*millis)).min(MAX_RETRY_AFTER)),
        _ => None,
    }
}
