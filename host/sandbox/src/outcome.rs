//! What comes back from a run: content, or a failure of one kind with a message for people. It never decides what the
//! cluster does with it.

use std::fmt;
use std::time::Duration;

/// What a run gives.
pub type Outcome = Result<Content, Failure>;

/// Longest message of a failure, in bytes: it goes to the ledger and over slow links.
pub(crate) const MAX_MESSAGE_BYTES: usize = 2_000;
/// Longest code or pointer of a failure, in bytes.
pub(crate) const MAX_CODE_BYTES: usize = 200;
/// Longest media type, in bytes.
pub(crate) const MAX_CONTENT_TYPE_BYTES: usize = 128;

/// Bytes and what they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// A media type, such as `application/json`.
    pub content_type: String,
    /// The bytes.
    pub body: Vec<u8>,
}

/// Why a run gave no content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What kind of failure it is.
    pub kind: FailureKind,
    /// A sentence for people; it names the limit where one was reached.
    pub message: String,
    /// The plugin's stable word for programs, such as `bad-jpeg`.
    pub code: Option<String>,
    /// Where in a JSON input the fault lies (RFC 6901).
    pub pointer: Option<String>,
    /// Not to be tried again before this has passed.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure with a message and nothing else; a long message is cut.
    #[must_use]
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Failure {
        let message = cut(message.into(), MAX_MESSAGE_BYTES);
        Failure { kind, message, code: None, pointer: None, retry_after: None }
    }
}

/// The kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The plugin has no such action.
    UnknownAction,
    /// The plugin says that the input is wrong.
    InvalidInput,
    /// The plugin, or a lack of memory on this node, says that it may work later.
    Retryable,
    /// The plugin says that it will not work.
    Permanent,
    /// Somebody cancelled it.
    Cancelled,
    /// The plugin crashed.
    Trap,
    /// It reached its time limit.
    TimeLimit,
    /// It reached its memory limit.
    MemoryLimit,
    /// It produced more than its output limit.
    OutputLimit,
    /// It computed more than a deterministic run may; the same on every machine.
    FuelLimit,
    /// The fault is the host's.
    Internal,
}

impl FailureKind {
    /// Every kind.
    pub const ALL: [FailureKind; 11] = [
        FailureKind::UnknownAction,
        FailureKind::InvalidInput,
        FailureKind::Retryable,
        FailureKind::Permanent,
        FailureKind::Cancelled,
        FailureKind::Trap,
        FailureKind::TimeLimit,
        FailureKind::MemoryLimit,
        FailureKind::OutputLimit,
        FailureKind::FuelLimit,
        FailureKind::Internal,
    ];

    /// The word that programs see.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            FailureKind::UnknownAction => "unknown-action",
            FailureKind::InvalidInput => "invalid-input",
            FailureKind::Retryable => "retryable",
            FailureKind::Permanent => "permanent",
            FailureKind::Cancelled => "cancelled",
            FailureKind::Trap => "trap",
            FailureKind::TimeLimit => "time-limit",
            FailureKind::MemoryLimit => "memory-limit",
            FailureKind::OutputLimit => "output-limit",
            FailureKind::FuelLimit => "fuel-limit",
            FailureKind::Internal => "internal",
        }
    }

    /// The kind of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<FailureKind> {
        FailureKind::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whether another attempt, perhaps on another node, may end differently. The host's faults pass; a trap, a full
    /// memory or a time limit comes back with the same input, and a task that loops must not take a slot three times.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(self, FailureKind::Retryable | FailureKind::Internal)
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Cuts text to at most `max` bytes, at a character's edge, and shows that it did.
pub(crate) fn cut(mut text: String, max: usize) -> String {
    const MARK: &str = "…";
    if text.len() > max {
        let mut end = max.saturating_sub(MARK.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(MARK);
        text.shrink_to_fit();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_word() {
        for kind in FailureKind::ALL {
            assert_eq!(FailureKind::parse(kind.as_str()), Some(kind));
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(cut("short".into(), 5), "short");
        let cut = cut("ééééé".into(), 8);
        assert_eq!(cut, "éé…");
        assert!(cut.len() <= 8);
    }
}
