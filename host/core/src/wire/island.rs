//! What ran without a leader: asking another node to run it, and bringing its end to a leader.

use serde::{Deserialize, Serialize};

use super::{MAX_ITEMS, few, work::Job};
use crate::id::{ClusterId, TaskId};

/// A task's end in an island, and the signature of the node that took it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedEntry {
    /// Of a [`crate::island::IslandEntry`].
    #[serde(with = "serde_bytes")]
    pub entry: Vec<u8>,
    /// Ed25519, over what [`crate::island::IslandEntry::signed`] makes of it.
    #[serde(with = "serde_bytes")]
    pub signature: [u8; 64],
}

/// Entries in one [`Import`] at most: one entry of the log, which others wait behind.
pub const MAX_IMPORTED: usize = 256;

/// To the leader: what ended in an island, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// The caller's public keys as Reticulum writes them; its id is their hash.
    #[serde(with = "serde_bytes")]
    pub key: [u8; 64],
    /// The ends.
    #[serde(deserialize_with = "few::<MAX_IMPORTED, _, _>")]
    pub entries: Vec<SignedEntry>,
}

/// Answer to [`Import`], after the commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Which of the entries are not taken, from 0, and why; all others are in the cluster's books.
    #[serde(deserialize_with = "few::<MAX_IMPORTED, _, _>")]
    pub refused: Vec<(u32, String)>,
}

/// From a node that reaches no leader to another of its cluster: run these for it. Answered with [`Assigned`](super::Assigned).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunInIsland {
    /// The cluster that both belong to; a node of another one refuses.
    pub cluster: ClusterId,
    /// To run.
    #[serde(deserialize_with = "few::<MAX_ITEMS, _, _>")]
    pub jobs: Vec<Job>,
    /// What it was given before, with the fences: it says which of them it does not have any more.
    #[serde(deserialize_with = "few::<MAX_ITEMS, _, _>")]
    pub held: Vec<(TaskId, u64)>,
}
