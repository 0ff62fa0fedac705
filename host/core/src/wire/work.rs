//! Tasks on their way: to the leader, to a worker, and their outcomes back.

use serde::{Deserialize, Serialize};

use super::{COMMON_TYPE, MAX_ITEMS, few};
use crate::{
    id::{KeyPrint, NodeId, TaskId},
    task::{Content, DEFAULT_PRIORITY, Extras, Failure, Outcome, Task, TaskSpec},
};

/// What few jobs say. What is as usual costs no byte: the node that assigns is who submitted, without a key, at the
/// usual priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct JobExtras {
    /// See [`Extras::deterministic`].
    pub deterministic: bool,
    /// The node that took the task from its submitter, unless it is the one that assigns.
    #[serde(default)]
    pub origin: Option<NodeId>,
    /// See [`Extras::key`].
    #[serde(default)]
    pub key: Option<KeyPrint>,
    /// Generations above.
    #[serde(default)]
    pub depth: u8,
    /// Unless it is the usual one.
    #[serde(default)]
    pub priority: Option<u8>,
}

impl JobExtras {
    /// What the node `assigner` says of a task.
    pub fn of(task: &Task, assigner: NodeId) -> JobExtras {
        JobExtras {
            deterministic: task.extras.deterministic,
            origin: Some(task.origin).filter(|origin| *origin != assigner),
            key: task.extras.key,
            depth: task.extras.depth(),
            priority: Some(task.priority).filter(|priority| *priority != DEFAULT_PRIORITY),
        }
    }

    /// Whether everything is as usual.
    pub fn is_none(&self) -> bool {
        *self == JobExtras::default()
    }
}

/// One task for a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The task.
    pub task: TaskId,
    /// Of the assignment.
    pub fence: u64,
    /// From 1.
    pub attempt: u32,
    /// `plugin/action`.
    pub action: String,
    /// Time limit of the attempt, milliseconds; 0: the worker's own.
    pub timeout_ms: u32,
    /// Media type; empty for JSON.
    pub content_type: String,
    /// The input.
    #[serde(with = "serde_bytes")]
    pub input: Vec<u8>,
    /// What few jobs say.
    #[serde(default, skip_serializing_if = "JobExtras::is_none")]
    pub extras: JobExtras,
}

/// From the leader to a worker: run these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assign {
    /// The tasks.
    #[serde(deserialize_with = "few::<MAX_ITEMS, _, _>")]
    pub jobs: Vec<Job>,
}

/// Answer to [`Assign`]: what is not named is acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assigned {
    /// Tasks that the worker does not take.
    #[serde(deserialize_with = "few::<MAX_ITEMS, _, _>")]
    pub refused: Vec<TaskId>,
}

/// What one attempt came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ran {
    /// The task.
    pub task: TaskId,
    /// Of the assignment.
    pub fence: u64,
    /// Time in the sandbox, microseconds.
    pub run_us: u64,
    /// Media type of the output; empty for JSON.
    pub content_type: String,
    /// The output; empty when it failed.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
    /// Why there is none.
    pub failure: Option<Failure>,
}

/// From a worker to the node that assigned: outcomes. Repeated until answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes {
    /// The outcomes.
    #[serde(deserialize_with = "few::<MAX_ITEMS, _, _>")]
    pub ran: Vec<Ran>,
}

/// Answer to [`Outcomes`], after the commit: the worker may forget them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {}

/// How far a task is; may be lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The task.
    pub task: TaskId,
    /// Of the assignment.
    pub fence: u64,
    /// Units done.
    pub done: u64,
    /// Of how many, where known.
    pub total: Option<u64>,
    /// For people.
    pub note: String,
}

/// Answer to [`Progress`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {}

/// A task on its way to the leader: from a submitter's node, from an outbox, or from a cluster that gave way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Minted where it was submitted.
    pub task: TaskId,
    /// There.
    pub origin: NodeId,
    /// Attempts that another cluster has begun.
    pub attempts: u32,
    /// What to run.
    pub action: String,
    /// Capabilities.
    #[serde(deserialize_with = "few::<{ crate::task::MAX_REQUIRED }, _, _>")]
    pub required: Vec<String>,
    /// Lower is more urgent.
    pub priority: u8,
    /// Time limit of an attempt, milliseconds.
    pub timeout_ms: Option<u32>,
    /// Media type; empty for JSON.
    pub content_type: String,
    /// The input.
    #[serde(with = "serde_bytes")]
    pub input: Vec<u8>,
    /// What few tasks have.
    #[serde(default, skip_serializing_if = "Extras::is_none")]
    pub extras: Extras,
}

/// Accept these, all or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submit {
    /// The tasks.
    #[serde(deserialize_with = "few::<MAX_ITEMS, _, _>")]
    pub tasks: Vec<Sent>,
    /// They were accepted already, by a cluster that gave way: an action unknown here is no reason to refuse them.
    pub imported: bool,
}

/// Answer to [`Submit`]: accepted durably. One word of [`crate::Status`] for each task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitted {
    /// In order.
    pub statuses: Vec<u8>,
    /// The log's entry that has them: whoever has applied it shows them. 0: an older leader, which does not say.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub index: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A content type as it travels.
pub fn pack_type(content_type: &str) -> String {
    if content_type == COMMON_TYPE { String::new() } else { content_type.to_owned() }
}

/// A content type as it arrived.
pub fn unpack_type(content_type: String) -> String {
    if content_type.is_empty() { COMMON_TYPE.to_owned() } else { content_type }
}

impl Sent {
    /// From the domain.
    pub fn new(task: TaskId, origin: NodeId, attempts: u32, spec: TaskSpec) -> Sent {
        Sent {
            task,
            origin,
            attempts,
            action: spec.action,
            required: spec.required,
            priority: spec.priority,
            timeout_ms: spec.timeout_ms,
            content_type: pack_type(&spec.input.content_type),
            input: spec.input.body,
            extras: spec.extras,
        }
    }

    /// Into the domain.
    pub fn spec(self) -> TaskSpec {
        TaskSpec {
            action: self.action,
            required: self.required,
            priority: self.priority,
            timeout_ms: self.timeout_ms,
            input: Content { content_type: unpack_type(self.content_type), body: self.input },
            extras: self.extras,
        }
    }
}

impl Ran {
    /// From the domain.
    pub fn new(task: TaskId, fence: u64, run_us: u64, outcome: Outcome) -> Ran {
        let (content_type, body, failure) = match outcome {
            Outcome::Completed(output) => (pack_type(&output.content_type), output.body, None),
            Outcome::Failed(failure) => (String::new(), Vec::new(), Some(failure)),
        };
        Ran { task, fence, run_us, content_type, body, failure }
    }

    /// Into the domain.
    pub fn outcome(self) -> Outcome {
        match self.failure {
            Some(failure) => Outcome::Failed(failure),
            None => Outcome::Completed(Content { content_type: unpack_type(self.content_type), body: self.body }),
        }
    }
}
