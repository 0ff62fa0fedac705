//! Why something is not granted.

use serde::{Deserialize, Serialize};

use super::greeting::Standing;

/// Answer to anything that is not granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Why.
    pub why: Refusal,
    /// For people.
    pub detail: String,
    /// Where the refusing node stands, if the caller may know.
    pub standing: Option<Standing>,
    /// Which input does not fit its action, if that is why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub misfit: Option<Misfit>,
}

/// An input that does not fit what its action takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Misfit {
    /// Which of the tasks that came together, from 0.
    pub task: u32,
    /// Where in its input the fault lies (RFC 6901).
    pub pointer: String,
}

/// Why something was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// Say [`Hello`](super::Hello) and prove first.
    NotAdmitted,
    /// Another cluster name.
    OtherCluster,
    /// The proof of the cluster key is wrong or missing.
    BadProof,
    /// Ask the leader named in `standing`.
    NotLeader,
    /// The queue is full.
    QueueFull,
    /// What was asked makes no sense: an unknown action, a bad value.
    Invalid,
    /// Not a message that this node understands.
    Malformed,
    /// Something failed inside.
    Internal,
    /// The operator removed the node from the cluster.
    Removed,
    /// The voter lacks entries of the log that it had: its disk was put back to an earlier time.
    Older,
}
