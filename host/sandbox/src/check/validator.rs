//! One JSON schema, compiled, and a check of an input against it under a bound of steps.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, PatternOptions, ValidationError};
use serde_json::Value;

use super::guard::{self, OutOfSteps};
use crate::fault::excerpt;
use crate::outcome::cut;

/// Stack of the thread that compiles: a chain of as many subschemas as there may be needs a tenth of it.
const COMPILE_STACK: usize = 32 << 20;
/// Compiled size of one pattern: thousands of states, and a text of megabytes is still matched in seconds.
const MAX_PATTERN_BYTES: usize = 256 << 10;
/// Schemas that apply to one value, times the depth of the value: a check recurses so deep, and a thread of tokio has
/// 2 MiB of stack.
const MAX_RECURSION: usize = 400;
/// Longest sentence about a fault.
const MAX_MESSAGE_BYTES: usize = 400;

/// A compiled schema.
pub(super) struct Validator {
    compiled: jsonschema::Validator,
    /// Most schemas that apply to one value, one by way of the other.
    chain: usize,
}

/// What a check came to.
pub(super) enum Checked {
    Fits,
    Wrong { pointer: String, message: String },
    TakesLonger,
}

impl Validator {
    /// Compiles a schema.
    ///
    /// # Errors
    /// Why it is none that this node takes, for the plugin's author.
    pub(super) fn compile(text: &str) -> Result<Validator, String> {
        let schema = serde_json::from_str(text).map_err(|error| format!("is not JSON ({error})"))?;
        let (schema, chain) = guard::guarded(schema)?;
        let thread = thread::Builder::new().name("akita-schema".into()).stack_size(COMPILE_STACK);
        let compiled = thread::scope(|scope| {
            let build = || build(&schema);
            let built = thread.spawn_scoped(scope, build).map(thread::ScopedJoinHandle::join);
            match built {
                Ok(Ok(built)) => built,
                Ok(Err(_)) => Err("cannot be read: the schema compiler panicked on it".to_owned()),
                Err(error) => Err(format!("cannot be compiled: no thread for it ({error})")),
            }
        })?;
        Ok(Validator { compiled, chain })
    }

    /// Checks an input in so many steps.
    pub(super) fn check(&self, input: &Value, steps: u64) -> Checked {
        let most = MAX_RECURSION / self.chain.max(1);
        if is_deeper(input, most) {
            let message = format!("it is nested more than {most} deep");
            return Checked::Wrong { pointer: String::new(), message };
        }
        let _steps = guard::allow(steps);
        // A validator keeps nothing from one check to the next that a half-done one could spoil.
        match catch_unwind(AssertUnwindSafe(|| self.compiled.validate(input).map_err(|error| told(&error)))) {
            Ok(Ok(())) => Checked::Fits,
            Ok(Err((pointer, message))) => Checked::Wrong { pointer, message },
            Err(panic) if panic.is::<OutOfSteps>() => Checked::TakesLonger,
            Err(panic) => resume_unwind(panic),
        }
    }
}

fn build(schema: &Value) -> Result<jsonschema::Validator, String> {
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .with_pattern_options(PatternOptions::regex().size_limit(MAX_PATTERN_BYTES))
        .with_keyword(guard::KEYWORD, guard::keyword)
        .offline()
        .build(schema)
        .map_err(|error| {
            let at = error.instance_path().as_str();
            let place = if at.is_empty() { String::new() } else { format!(" at {at}") };
            let shown = excerpt(error.instance());
            cut(format!("is no JSON Schema 2020-12{place}: {}", error.masked_with(shown)), MAX_MESSAGE_BYTES)
        })
}

/// Where a fault lies, and a sentence about it.
fn told(error: &ValidationError<'_>) -> (String, String) {
    let message = match error.kind() {
        ValidationErrorKind::Required { property } => format!("`{}` is missing", property.as_str().unwrap_or_default()),
        _ => error.masked_with(excerpt(error.instance())).to_string(),
    };
    (error.instance_path().as_str().to_owned(), cut(message.replace('\n', " "), MAX_MESSAGE_BYTES))
}

/// Whether lists and objects are nested in it more than `most` deep. What was parsed is at most 128 deep.
fn is_deeper(value: &Value, most: usize) -> bool {
    match value {
        Value::Array(items) => most == 0 || items.iter().any(|item| is_deeper(item, most - 1)),
        Value::Object(fields) => most == 0 || fields.values().any(|field| is_deeper(field, most - 1)),
        _ => false,
    }
}

#[cfg(test)]
#[path = "validator_tests.rs"]
mod tests;
