//! A new cluster key on its way, and a cluster that gives way by hand.

use serde::{Deserialize, Serialize};

use crate::id::{ClusterId, Millis};

/// Between the leader and an admitted node: which cluster key the sender holds, and the key where the other lacks it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakeKey {
    /// Its number.
    pub generation: u64,
    /// Of the leader: for how long those before it still count, milliseconds; nothing: that is not agreed on yet.
    pub left_ms: Option<Millis>,
    /// The key.
    #[serde(default, with = "serde_bytes", skip_serializing_if = "Option::is_none")]
    pub secret: Option<Vec<u8>>,
}

impl std::fmt::Debug for TakeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TakeKey(generation {})", self.generation)
    }
}

/// Answer to [`TakeKey`], once the key is on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TookKey {
    /// Of the newest key that the answering node holds.
    pub generation: u64,
}

/// From the leader of a cluster that is to give way, by its operator's hand, to the leader of the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merge {
    /// The cluster that gives way.
    pub from: ClusterId,
}

/// Answer to [`Merge`]: come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merging {}
