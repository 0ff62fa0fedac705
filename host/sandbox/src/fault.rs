//! What does not fit in an input, and where: a sentence and a JSON pointer (RFC 6901).

use std::fmt::Display;

use serde_json::Value;

use crate::outcome::{Failure, FailureKind, MAX_CODE_BYTES, cut};

/// Characters of a value that are shown.
const SHOWN: usize = 40;

/// One thing that does not fit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The way to it, the last step first.
    steps: Vec<String>,
    message: String,
}

impl Fault {
    /// A fault of the value that is looked at.
    pub(crate) fn here(message: impl Into<String>) -> Fault {
        Fault { steps: Vec::new(), message: message.into() }
    }

    /// The same, seen from what holds the value under that key or number.
    pub(crate) fn under(mut self, step: impl Display) -> Fault {
        self.steps.push(step.to_string());
        self
    }

    /// Where it is.
    pub(crate) fn pointer(&self) -> String {
        self.steps.iter().rev().map(|step| format!("/{}", step.replace('~', "~0").replace('/', "~1"))).collect()
    }

    /// As a task's end.
    pub(crate) fn into_failure(self, action: &str) -> Failure {
        let pointer = self.pointer();
        bad_input(action, &pointer, &self.message)
    }
}

/// An input that does not fit what the action takes.
pub(crate) fn bad_input(action: &str, pointer: &str, message: &str) -> Failure {
    let pointer = cut(pointer.to_owned(), MAX_CODE_BYTES);
    let place = if pointer.is_empty() { String::new() } else { format!("at {pointer}: ") };
    let message = format!("the input does not fit `{action}`: {place}{message}");
    Failure { pointer: Some(pointer), ..Failure::new(FailureKind::InvalidInput, message) }
}

/// As much of a value as fits into a sentence.
pub(crate) fn excerpt(value: &Value) -> String {
    match value {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::String(text) if text.chars().nth(SHOWN).is_some() => {
            format!("{}…", Value::String(text.chars().take(SHOWN).collect()))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_names_the_way_from_the_top() {
        let fault = Fault::here("wrong").under("a/b~c").under(3).under("rows");
        assert_eq!(fault.pointer(), "/rows/3/a~1b~0c");
        let failure = fault.into_failure("fit");
        assert_eq!(failure.pointer.as_deref(), Some("/rows/3/a~1b~0c"));
        assert_eq!(failure.message, "the input does not fit `fit`: at /rows/3/a~1b~0c: wrong");
        assert_eq!(Fault::here("x").into_failure("fit").pointer.as_deref(), Some(""));
    }
}
