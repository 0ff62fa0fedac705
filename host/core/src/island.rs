//! Tasks that ran in an island, a part of a cluster that reached no leader: what its node wrote down and signed about
//! each, and what the cluster takes of it. It signs nothing and checks no signature: that is for who has keys.

use serde::{Deserialize, Serialize};

use crate::{
    command::IslandResult,
    id::{Millis, NodeId, TaskId},
    task::{
        Content, Extras, Failure, MAX_CODE_LEN, MAX_CONTENT_TYPE_LEN, MAX_REASON_LEN, Outcome, SpecError, Task,
        TaskSpec, cut,
    },
    wire::{pack_type, unpack_type},
};

/// Set in the fence of each assignment within an island: no log of a cluster comes so far, so that an outcome never fits
/// an assignment of the other kind.
pub const ISLAND_FENCE: u64 = 1 << 62;
/// Version of an entry's bytes; another one is refused.
const VERSION: u8 = 1;
/// Before an entry's bytes where they are signed, so that no other signature of the node stands for one.
const SIGNED_AS: &[u8] = b"akita island entry v1\n";
/// Bytes of an entry beside its texts and its output.
const OVERHEAD: usize = 4_096;

/// Whether the assignment under that fence was made in an island.
pub fn is_island(fence: u64) -> bool {
    fence & ISLAND_FENCE != 0
}

/// How a task of an island ended, as the node that took it wrote it down. The entries of a node form a chain: each holds
/// the hash of the one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IslandEntry {
    version: u8,
    /// Which entry of its node this is, from 1.
    pub number: u64,
    /// Hash of the one before; zeros in the first.
    #[serde(with = "serde_bytes")]
    pub previous: [u8; 32],
    /// The task.
    pub task: TaskId,
    /// The node that took it, and signs.
    pub origin: NodeId,
    /// The node that ran its last attempt.
    pub worker: NodeId,
    /// Attempts begun.
    pub attempts: u32,
    /// What ran.
    pub action: String,
    /// Capabilities that were asked for.
    pub required: Vec<String>,
    /// Lower is more urgent.
    pub priority: u8,
    /// Time limit of an attempt, milliseconds.
    pub timeout_ms: Option<u32>,
    /// Media type of the input; empty for JSON.
    pub input_type: String,
    /// Bytes of the input.
    pub input_len: u64,
    /// BLAKE3 of the input.
    #[serde(with = "serde_bytes")]
    pub input_hash: [u8; 32],
    /// When it was taken, by the node's clock; as the following.
    pub submitted_at: Millis,
    /// When its first attempt began.
    pub started_at: Option<Millis>,
    /// When it ended.
    pub finished_at: Millis,
    /// Media type of the output; empty for JSON.
    pub content_type: String,
    /// The output; empty when it failed.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
    /// Why there is none.
    pub failure: Option<Failure>,
    /// What few tasks have.
    pub extras: Extras,
}

/// Why an entry is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryFault {
    /// Bytes that are no entry.
    #[error("the entry cannot be read: {0}")]
    Unreadable(String),
    /// Of a later version.
    #[error("the entry is of version {0}; this node knows {VERSION}: update it")]
    Version(u8),
    /// A task that nobody could have submitted.
    #[error("the entry's task makes no sense: {0}")]
    Spec(#[from] SpecError),
    /// Longer than a task's end can be.
    #[error("the entry is longer than it can be")]
    TooLong,
}

impl IslandEntry {
    /// How `task` ended, as entry `number` after the one with the hash `previous`.
    pub fn new(number: u64, previous: [u8; 32], task: &Task, input_hash: [u8; 32], outcome: Outcome) -> IslandEntry {
        let (content_type, body, failure) = match outcome {
            Outcome::Completed(output) => (pack_type(&output.content_type), output.body, None),
            Outcome::Failed(mut failure) => {
                failure.message = cut(&failure.message, MAX_REASON_LEN).to_owned();
                (String::new(), Vec::new(), Some(failure))
            }
        };
        IslandEntry {
            version: VERSION,
            number,
            previous,
            task: task.id,
            origin: task.origin,
            worker: task.worker.unwrap_or(task.origin),
            attempts: task.attempts,
            action: task.action.clone(),
            required: task.required.clone(),
            priority: task.priority,
            timeout_ms: task.timeout_ms,
            input_type: pack_type(&task.input_type),
            input_len: task.input_len,
            input_hash,
            submitted_at: task.submitted_at,
            started_at: task.started_at,
            finished_at: task.finished_at.unwrap_or(task.submitted_at),
            content_type,
            body,
            failure,
            extras: task.extras,
        }
    }

    /// The bytes that are kept and sent.
    pub fn encode(&self) -> Vec<u8> {
        rmp_serde::to_vec(self).expect("plain data always encodes into memory")
    }

    /// The entry in `bytes`, if it is one that a node could have written.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn decode(bytes: &[u8]) -> Result<IslandEntry, EntryFault> {
        // An array's header, then the version.
        match bytes.get(3) {
            Some(&VERSION) => {}
            Some(other) => return Err(EntryFault::Version(*other)),
            None => return Err(EntryFault::Unreadable("it is cut short".into())),
        }
        let mut rest = bytes;
        let entry: IslandEntry =
            rmp_serde::decode::from_read(&mut rest).map_err(|error| EntryFault::Unreadable(error.to_string()))?;
        if !rest.is_empty() {
            return Err(EntryFault::Unreadable(format!("{} bytes too many", rest.len())));
        }
        entry.spec().normalise()?;
        let failure = entry.failure.as_ref();
        let too_long = failure.is_some_and(|failure| {
            failure.message.len() > MAX_REASON_LEN
                || failure.code.as_ref().is_some_and(|code| code.len() > MAX_CODE_LEN)
                || failure.pointer.as_ref().is_some_and(|pointer| pointer.len() > MAX_REASON_LEN)
        });
        let texts = bytes.len().saturating_sub(entry.body.len());
        if too_long || entry.content_type.len() > MAX_CONTENT_TYPE_LEN || texts > OVERHEAD * 2 {
            return Err(EntryFault::TooLong);
        }
        Ok(entry)
    }

    /// The bytes that a signature is over.
    pub fn signed(bytes: &[u8]) -> Vec<u8> {
        [SIGNED_AS, bytes].concat()
    }

    /// What the next entry names as the one before.
    pub fn hash(bytes: &[u8]) -> [u8; 32] {
        *blake3::hash(&IslandEntry::signed(bytes)).as_bytes()
    }

    fn spec(&self) -> TaskSpec {
        TaskSpec {
            action: self.action.clone(),
            required: self.required.clone(),
            priority: self.priority,
            timeout_ms: self.timeout_ms,
            input: Content { content_type: unpack_type(self.input_type.clone()), body: Vec::new() },
            extras: self.extras,
        }
    }

    /// What the task came to.
    pub fn outcome(&self) -> Outcome {
        match &self.failure {
            Some(failure) => Outcome::Failed(failure.clone()),
            None => Outcome::Completed(Content {
                content_type: unpack_type(self.content_type.clone()),
                body: self.body.clone(),
            }),
        }
    }

    /// What the cluster is to agree on; `bytes`: the entry's.
    pub fn into_result(self, bytes: &[u8]) -> IslandResult {
        IslandResult {
            id: self.task,
            origin: self.origin,
            worker: self.worker,
            attempts: self.attempts,
            submitted_at: self.submitted_at,
            started_at: self.started_at,
            finished_at: self.finished_at,
            spec: self.spec(),
            input_len: self.input_len,
            outcome: self.outcome(),
            entry: IslandEntry::hash(bytes),
        }
    }
}

#[cfg(test)]
#[path = "island_tests.rs"]
mod tests;
