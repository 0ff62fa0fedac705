//! What can be wrong with a submission, and where. It finds nothing itself.

use std::fmt;

use akita_core::task::SpecError;

use super::MAX_BATCH;

/// A place in the body: a JSON pointer (RFC 6901).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(String);

impl Place {
    /// The whole body.
    pub fn top() -> Self {
        Self(String::new())
    }

    /// An item of the list that the body is.
    pub fn item(at: usize) -> Self {
        Self(format!("/{at}"))
    }

    /// As a JSON pointer.
    pub fn pointer(&self) -> &str {
        &self.0
    }

    /// The member `key` of the object here.
    pub fn key(&self, key: &str) -> Self {
        // Bounded: what was sent comes back in the answer.
        let key: String = key.chars().take(64).collect();
        Self(format!("{}/{}", self.0, key.replace('~', "~0").replace('/', "~1")))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "the body" } else { &self.0 })
    }
}

/// Why a submission was not taken. Nothing of it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// It is not JSON, or an object has a key twice.
    #[error("the body does not parse: {message} at line {line}, column {column}")]
    Syntax {
        /// What the parser says.
        message: String,
        /// From 1.
        line: usize,
        /// From 1, in bytes.
        column: usize,
    },
    /// A key that must be there is not.
    #[error("{place} lacks `{key}`: {what}")]
    Missing {
        /// The object without it.
        place: Place,
        /// The key.
        key: &'static str,
        /// What it says.
        what: &'static str,
    },
    /// A value of another type, or out of range.
    #[error("{place} must be {must}, not {got}")]
    Wrong {
        /// The value.
        place: Place,
        /// What it has to be.
        must: String,
        /// What it is.
        got: String,
    },
    /// A key that must not be there.
    #[error("{place} cannot be taken: {why}")]
    Unexpected {
        /// The key.
        place: Place,
        /// Why not.
        why: &'static str,
        /// The next step.
        hint: &'static str,
    },
    /// Two priorities.
    #[error("{place} is {inner}, and the priority beside `task_data` is {outer}: give one of them")]
    Priorities {
        /// The one in the task.
        place: Place,
        /// Its number.
        inner: u8,
        /// The number of the other.
        outer: u8,
    },
    /// A rule for tasks is broken.
    #[error("{place}: {source}")]
    Spec {
        /// The value.
        place: Place,
        /// The rule.
        source: SpecError,
    },
    /// The input is larger than MAX_INPUT_BYTES.
    #[error("the input at {place} has at least {size} bytes, and MAX_INPUT_BYTES is {limit}")]
    InputTooLarge {
        /// The input.
        place: Place,
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// More than [`MAX_BATCH`].
    #[error("the list has {count} tasks, and a batch has at most {MAX_BATCH}")]
    TooManyTasks {
        /// How many.
        count: usize,
    },
}

impl SubmitError {
    /// The JSON pointer of the fault, where it has one.
    pub fn pointer(&self) -> Option<&str> {
        match self {
            Self::Syntax { .. } | Self::TooManyTasks { .. } => None,
            Self::Missing { place, .. }
            | Self::Wrong { place, .. }
            | Self::Unexpected { place, .. }
            | Self::Priorities { place, .. }
            | Self::Spec { place, .. }
            | Self::InputTooLarge { place, .. } => Some(&place.0),
        }
    }
}

/// A parser's error in `part`, which lies in `body`, told with its place in the body.
pub fn syntax(body: &[u8], part: &[u8], error: &serde_json::Error) -> SubmitError {
    let text = error.to_string();
    let message = match text.rsplit_once(" at line ") {
        Some((message, _)) => message.to_owned(),
        None => text,
    };
    let before = part.as_ptr().addr().checked_sub(body.as_ptr().addr()).and_then(|at| body.get(..at));
    let before = before.unwrap_or_default();
    let lines = before.iter().filter(|byte| **byte == b'\n').count();
    let indent = before.iter().rev().take_while(|byte| **byte != b'\n').count();
    let column = if error.line() <= 1 { error.column() + indent } else { error.column() };
    SubmitError::Syntax { message, line: error.line().max(1) + lines, column: column.max(1) }
}
