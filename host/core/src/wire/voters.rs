//! Between voters and those who are to be: the consensus engine's own bytes, who votes, what is to be recorded.

use serde::{Deserialize, Serialize};

use super::few;
use crate::{
    event::EventType,
    id::{ClusterId, Millis, NodeId},
};

/// From one voter to another: what the consensus engine says, which alone understands it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raft {
    /// The cluster whose log it is about; of another one nothing is looked at.
    pub cluster: ClusterId,
    /// The caller's number among the voters.
    pub from: u64,
    /// The number of who is called.
    pub to: u64,
    /// Which call it is.
    pub what: u8,
    /// Of the engine.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
    /// Which piece this is, where the body of the call is larger than a message should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub piece: Option<Piece>,
}

/// A piece of something that is cut in several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Differs between two things that are cut.
    pub of: u32,
    /// Where the piece begins.
    pub offset: u64,
    /// Bytes of the whole.
    pub total: u64,
}

/// Answer to [`Raft`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rafted {
    /// Of the engine; empty for a piece that is not the last.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
}

/// From the leader to a node that is to vote: begin with an empty log under this number; what was so far is kept apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recruit {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node's number among the voters.
    pub number: u64,
    /// The timing that all voters share, see [`crate::autopilot::Profile`].
    pub profile: u8,
}

/// Answer to [`Recruit`]: the node waits for the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recruited {}

/// From the leader to a node that votes no more: it begins with a log of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The cluster.
    pub cluster: ClusterId,
    /// The number that it had.
    pub number: u64,
}

/// Answer to [`Release`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {}

/// What an operator asks of a cluster's leader about its nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wish {
    /// The node may vote, and does as soon as it is fit to.
    Promote,
    /// It does not vote.
    Demote,
    /// It does not vote until it comes again.
    Leave,
    /// It is not let in again.
    Remove,
    /// One that was removed is let in again.
    Admit,
    /// It leads.
    Lead,
    /// The cluster gets a new key; the present one is accepted for so long.
    RotateKey {
        /// At most.
        grace_ms: Millis,
    },
    /// The cluster gives way to that one, in which several vote too.
    Merge {
        /// The one that goes on.
        into: ClusterId,
    },
}

/// From any node to the leader: an operator's wish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Govern {
    /// What.
    pub wish: Wish,
    /// About which node.
    pub node: NodeId,
}

/// Answer to [`Govern`]: it is done, or under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Governed {
    /// For people.
    pub detail: String,
}

/// From a voter to the leader: something that the ledger should say. A worker writes it into its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remark {
    /// What happened.
    pub event: EventType,
    /// To which node.
    pub node: NodeId,
    /// Details for people.
    #[serde(deserialize_with = "few::<MAX_DETAILS, _, _>")]
    pub details: Vec<(String, String)>,
}

/// Details of a remark at most, and bytes of one.
const MAX_DETAILS: usize = 8;

pub(super) const MAX_DETAIL_LEN: usize = 512;

/// Answer to [`Remark`], after the commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remarked {}

/// From the leader to another voter: its signed checkpoint of the ledger, to be signed by that one too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cosign {
    /// Rows that it covers.
    pub size: u64,
    /// Root of the tree over them.
    #[serde(with = "serde_bytes")]
    pub root: [u8; 32],
    /// The leader's Ed25519 signature over the checkpoint's text, which follows from the leader's id, size and root.
    #[serde(with = "serde_bytes")]
    pub signature: [u8; 64],
}

/// Answer to [`Cosign`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cosigned {
    /// The voter's own signature over the same text; none where it has not so many rows yet, or does not sign.
    #[serde(with = "serde_bytes")]
    pub signature: Option<Vec<u8>>,
    /// It does not sign: its own rows are others, or the leader's signature is false.
    pub differs: bool,
}
