//! Tasks: what is submitted, and what is shown of it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A task, as `GET /tasks/{id}` answers it. Times are RFC 3339, UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskView {
    /// UUID.
    pub task_id: String,
    /// `plugin/action`.
    pub action: String,
    /// A word of [`akita_core::Status`].
    pub status: String,
    /// Lower is more urgent.
    pub priority: u8,
    /// Attempts begun.
    pub attempts: u32,
    /// The node that ran, or runs, the last attempt.
    pub worker_id: Option<String>,
    /// The output where it is JSON.
    pub result: Option<Value>,
    /// The output where it is not JSON.
    pub result_base64: Option<String>,
    /// Media type of the output.
    pub content_type: Option<String>,
    /// BLAKE3 of the output's media type, a line feed and its bytes.
    #[serde(default)]
    pub output_hash: Option<String>,
    /// Why it failed.
    pub error: Option<TaskError>,
    /// How far it is, while it runs.
    pub progress: Option<ProgressView>,
    /// Capabilities that its worker must have.
    pub required_capabilities: Vec<String>,
    /// When it was accepted.
    pub submitted_at: Option<String>,
    /// When its first attempt began.
    pub started_at: Option<String>,
    /// When it ended.
    pub finished_at: Option<String>,
    /// Why it waits, or why the last attempt gave nothing.
    pub reason: Option<String>,
    /// The task that submitted it, where one did.
    #[serde(default)]
    pub parent_id: Option<String>,
    /// Whether the same input gives the same output on any node.
    #[serde(default)]
    pub deterministic: bool,
    /// The node that took it from its submitter.
    #[serde(default)]
    pub origin_id: String,
    /// Fingerprint of the API key that it was submitted with, such as `key:1a2b3c4d5e6f7081`.
    #[serde(default)]
    pub key: Option<String>,
    /// Nobody could be asked who knows the newest: this is what this voter's copy of the log says.
    #[serde(default)]
    pub stale: bool,
    /// The log's entry that a stale answer is as of.
    #[serde(default)]
    pub as_of_index: Option<u64>,
    /// `island` for a task that stands in the asked node's journal and in no ledger yet: it runs, or has ended, where no
    /// leader is in reach.
    #[serde(default)]
    pub recorded: Option<String>,
}

/// Why a task failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskError {
    /// A sentence.
    pub message: String,
    /// A stable word, such as `time-limit`.
    pub code: Option<String>,
    /// Where in a JSON input the fault lies (RFC 6901).
    pub pointer: Option<String>,
}

/// How far a running task is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressView {
    /// Units done.
    pub done: u64,
    /// Of how many, where known.
    pub total: Option<u64>,
    /// 0 to 100, where known.
    pub percent: Option<u8>,
    /// For people.
    pub note: String,
}

impl ProgressView {
    /// Of that many units, with the share in percent where the total is known.
    pub fn new(done: u64, total: Option<u64>, note: String) -> ProgressView {
        let percent = total
            .filter(|total| *total > 0)
            .map(|total| u8::try_from((u128::from(done.min(total)) * 100) / u128::from(total)).unwrap_or(100));
        ProgressView { done, total, percent, note }
    }
}

/// `GET /tasks/{id}/output`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutputView {
    /// UUID.
    pub task_id: String,
    /// A word of [`akita_core::Status`].
    pub status: String,
    /// The attempt that emitted, from 1; 0 where none has.
    pub attempt: u32,
    /// Where the piece begins in what the attempt emitted.
    pub offset: u64,
    /// Bytes that the attempt emitted so far.
    pub total: u64,
    /// The piece.
    pub piece_base64: String,
    /// How far it is, while it runs.
    pub progress: Option<ProgressView>,
}

/// `GET /tasks`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskList {
    /// Newest first, without results.
    pub tasks: Vec<TaskView>,
    /// Nobody could be asked who knows the newest: this is what this voter's copy of the log says.
    #[serde(default)]
    pub stale: bool,
    /// The log's entry that a stale answer is as of.
    #[serde(default)]
    pub as_of_index: Option<u64>,
}

/// Answer to a submission, one for each task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmittedView {
    /// UUID.
    pub task_id: String,
    /// `pending` when accepted, `queued_locally` when no leader could be reached.
    pub status: String,
    /// The log's entry that has it, where it was accepted: `?after=` with it shows it on any node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// `island` for a task that runs where no leader is in reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<String>,
}

/// A task as a submitter wrote it, after parsing: what `POST /tasks/submit` hands to the node.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTask {
    /// As written: `plugin/action` or bare.
    pub action: String,
    /// As written.
    pub required: Vec<String>,
    /// Lower is more urgent.
    pub priority: u8,
    /// Time limit of one attempt in milliseconds.
    pub timeout_ms: Option<u32>,
    /// Media type of the input.
    pub content_type: String,
    /// The input.
    pub input: Vec<u8>,
    /// To be run so that the same input gives the same output on any node.
    pub deterministic: bool,
    /// Where no leader is in reach: to be run at once by the nodes that are, instead of waiting for one.
    pub island: bool,
}
