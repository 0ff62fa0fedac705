//! What a task is and how it lives: pending, assigned, running, ended. It never decides who runs it.

use serde::{Deserialize, Serialize};

use crate::id::{KeyPrint, Millis, NodeId, TaskId};

/// Longest name of an action, `plugin@version/action` with each part as long as it may be: it travels in every assignment.
pub const MAX_ACTION_LEN: usize = 63 + 1 + 64 + 1 + 63;
/// Longest capability: it travels in a node's catalogue.
pub const MAX_CAPABILITY_LEN: usize = 64;
/// Most capabilities that a task may require: each is compared with each worker's.
pub const MAX_REQUIRED: usize = 16;
/// Longest media type.
pub const MAX_CONTENT_TYPE_LEN: usize = 128;
/// Longest reason kept with a task: it is written to the ledger and sent over slow links.
pub const MAX_REASON_LEN: usize = 500;
/// Longest code kept with a failure: a word for programs.
pub const MAX_CODE_LEN: usize = 64;
/// Generations of child tasks at most, whatever a node grants: each keeps the runs of all before it waiting.
pub const MAX_DEPTH: u8 = 8;
/// The priority of a task that names none; a lower number is more urgent.
pub const DEFAULT_PRIORITY: u8 = 10;

/// Where a task is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// In the outbox of a node that knows no leader; not accepted yet.
    QueuedLocally,
    /// Accepted, not to run before its time.
    Scheduled,
    /// Accepted, waits for a worker.
    Pending,
    /// Given to a worker that has not acknowledged it yet.
    Assigned,
    /// Acknowledged by its worker.
    Running,
    /// Ended with a result.
    Completed,
    /// Ended without one; not tried again.
    Failed,
    /// Ended because somebody asked for it.
    Cancelled,
}

impl Status {
    /// Every status, in the order of a task's life.
    pub const ALL: [Status; 8] = [
        Status::QueuedLocally,
        Status::Scheduled,
        Status::Pending,
        Status::Assigned,
        Status::Running,
        Status::Completed,
        Status::Failed,
        Status::Cancelled,
    ];

    /// The word that users see.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::QueuedLocally => "queued_locally",
            Status::Scheduled => "scheduled",
            Status::Pending => "pending",
            Status::Assigned => "assigned",
            Status::Running => "running",
            Status::Completed => "completed",
            Status::Failed => "failed",
            Status::Cancelled => "cancelled",
        }
    }

    /// The status of that word.
    pub fn parse(word: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Whether nothing more will happen to the task.
    pub fn is_end(self) -> bool {
        matches!(self, Status::Completed | Status::Failed | Status::Cancelled)
    }
}

/// Bytes and what they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// A media type, such as `application/json`.
    pub content_type: String,
    /// The bytes.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
}

/// The task that submitted a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// That task.
    pub task: TaskId,
    /// Generations above: 1 where the parent is nobody's child.
    pub depth: u8,
}

/// What few tasks have; it costs an ordinary task no byte on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Extras {
    /// To be run so that the same input gives the same output, bit for bit, on any node.
    pub deterministic: bool,
    /// The API key that it was submitted with, where there was one; a child's is its parent's.
    #[serde(default)]
    pub key: Option<KeyPrint>,
    /// The task that submitted it.
    #[serde(default)]
    pub parent: Option<Parent>,
}

impl Extras {
    /// Whether the task is an ordinary one.
    pub fn is_none(&self) -> bool {
        *self == Extras::default()
    }

    /// Generations above the task: 0 where it is nobody's child.
    pub fn depth(&self) -> u8 {
        self.parent.map_or(0, |parent| parent.depth)
    }
}

/// What a submitter asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// `plugin/action`, `plugin@version/action`, or a bare action where it is unambiguous.
    pub action: String,
    /// Capabilities that the worker must have; sorted, no doubles.
    pub required: Vec<String>,
    /// Lower is more urgent.
    pub priority: u8,
    /// Time limit of one attempt in milliseconds; the node's own limit where none is given.
    pub timeout_ms: Option<u32>,
    /// The action's input.
    pub input: Content,
    /// What few tasks have.
    #[serde(default, skip_serializing_if = "Extras::is_none")]
    pub extras: Extras,
}

/// Why a spec was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// No action, or one that is no name.
    #[error(
        "`{0}` is no name of an action: use `plugin/action`, `plugin@version/action` or `action`, in letters, digits, `-`, `_`, `.` and `+`"
    )]
    BadAction(String),
    /// A capability that is no name.
    #[error("`{0}` is no name of a capability: use up to 64 letters, digits, `-`, `_`, `.`, `:` and `/`")]
    BadCapability(String),
    /// More than [`MAX_REQUIRED`].
    #[error("a task may require at most {MAX_REQUIRED} capabilities, not {0}")]
    TooManyRequired(usize),
    /// No media type.
    #[error("`{0}` is no media type, such as `application/json`")]
    BadContentType(String),
    /// A time limit of nothing.
    #[error("the time limit of a task must be over 0")]
    NoTime,
    /// A child of too many generations.
    #[error("a task may have at most {MAX_DEPTH} generations above it, and a child at least one; not {0}")]
    BadDepth(u8),
}

impl TaskSpec {
    /// Checks what can be checked without knowing the cluster, and brings `required` into order.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn normalise(mut self) -> Result<TaskSpec, SpecError> {
        let shown = |text: &str| text.chars().take(64).collect::<String>();
        if !is_action(&self.action) {
            return Err(SpecError::BadAction(shown(&self.action)));
        }
        if self.required.len() > MAX_REQUIRED {
            return Err(SpecError::TooManyRequired(self.required.len()));
        }
        if let Some(bad) = self.required.iter().find(|one| !is_capability(one)) {
            return Err(SpecError::BadCapability(shown(bad)));
        }
        let media = &self.input.content_type;
        if media.len() > MAX_CONTENT_TYPE_LEN || !media.contains('/') || media.chars().any(char::is_control) {
            return Err(SpecError::BadContentType(shown(media)));
        }
        if self.timeout_ms == Some(0) {
            return Err(SpecError::NoTime);
        }
        if let Some(parent) = self.extras.parent.filter(|parent| !(1..=MAX_DEPTH).contains(&parent.depth)) {
            return Err(SpecError::BadDepth(parent.depth));
        }
        self.required.sort();
        self.required.dedup();
        Ok(self)
    }
}

/// Whether `text` can name an action: `plugin/action`, `plugin@version/action` or `action`.
pub fn is_action(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || "-_.@+".contains(c);
    text.len() <= MAX_ACTION_LEN && text.splitn(2, '/').all(|part| !part.is_empty() && part.chars().all(letter))
}

/// Whether `text` can name a capability.
pub fn is_capability(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_CAPABILITY_LEN
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:/".contains(c))
}

/// Who runs a task, and under which log index: what an outcome must name to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assignment {
    /// The worker.
    pub worker: NodeId,
    /// Log index of the assignment: fences off outcomes of earlier attempts.
    pub fence: u64,
    /// When it was committed.
    pub assigned_at: Millis,
}

/// A task that has not ended, as every voter holds it. Input and result lie in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// What to run.
    pub action: String,
    /// Capabilities that the worker must have.
    pub required: Vec<String>,
    /// Lower is more urgent.
    pub priority: u8,
    /// Time limit of one attempt in milliseconds.
    pub timeout_ms: Option<u32>,
    /// The node that took it from its submitter.
    pub origin: NodeId,
    /// When it was accepted.
    pub submitted_at: Millis,
    /// Where it is in its life.
    pub status: Status,
    /// Attempts begun so far.
    pub attempts: u32,
    /// Attempts that failed by what may be the task's own fault.
    pub strikes: u32,
    /// Strikes after which it fails.
    pub max_attempts: u32,
    /// Not to be assigned before this time; 0: at once.
    pub not_before: Millis,
    /// Who has it, while `Assigned` or `Running`.
    pub assignment: Option<Assignment>,
    /// The worker of the last attempt.
    pub worker: Option<NodeId>,
    /// When the first attempt was acknowledged.
    pub started_at: Option<Millis>,
    /// When it ended.
    pub finished_at: Option<Millis>,
    /// Why the last attempt gave nothing, or why it failed.
    pub reason: Option<String>,
    /// Media type of the input.
    pub input_type: String,
    /// Size of the input in bytes.
    pub input_len: u64,
    /// What few tasks have.
    pub extras: Extras,
}

/// What a task ended with, or why an attempt gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The output.
    Completed(Content),
    /// No output.
    Failed(Failure),
}

/// Why an attempt gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A sentence for the submitter; at most [`MAX_REASON_LEN`] bytes are kept.
    pub message: String,
    /// A stable word for programs, such as `time-limit`.
    pub code: Option<String>,
    /// Where in a JSON input the fault lies (RFC 6901).
    pub pointer: Option<String>,
    /// Whether another attempt may help, and after how many milliseconds at the earliest.
    pub retry_after_ms: Option<u64>,
}

/// `text`, cut at a character boundary to at most `max` bytes.
pub fn cut(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(action: &str) -> TaskSpec {
        TaskSpec {
            action: action.into(),
            required: vec![],
            priority: 10,
            timeout_ms: None,
            input: Content { content_type: "application/json".into(), body: b"{}".to_vec() },
            extras: Extras::default(),
        }
    }

    #[test]
    fn a_spec_is_checked_and_put_in_order() {
        let mut good = spec("image/fit");
        good.required = vec!["gpu".into(), "arm".into(), "gpu".into()];
        assert_eq!(good.normalise().unwrap().required, ["arm", "gpu"]);
        for bad in ["", "a/", "/a", "a b", "a/b/c", &"x".repeat(200), "é"] {
            assert!(matches!(spec(bad).normalise(), Err(SpecError::BadAction(_))), "{bad}");
        }
        let mut bad = spec("echo");
        bad.required = vec!["".into()];
        assert!(matches!(bad.normalise(), Err(SpecError::BadCapability(_))));
        let mut bad = spec("echo");
        bad.timeout_ms = Some(0);
        assert_eq!(bad.normalise(), Err(SpecError::NoTime));
        for (depth, good) in [(0, false), (1, true), (MAX_DEPTH, true), (MAX_DEPTH + 1, false)] {
            let mut child = spec("echo");
            child.extras.parent = Some(Parent { task: TaskId([1; 16]), depth });
            assert_eq!(child.normalise().is_ok(), good, "{depth}");
        }
    }

    #[test]
    fn every_status_has_a_word_of_its_own() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), Some(status));
        }
    }

    #[test]
    fn cutting_keeps_characters_whole() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
    }
}
