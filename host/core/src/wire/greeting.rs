//! First words: who calls, where it stands, and what proves that it may.

use serde::{Deserialize, Serialize};

use crate::id::{ClusterId, NodeId};

/// Where a node stands: enough for another to know who leads on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The cluster that it belongs to.
    pub cluster: ClusterId,
    /// Who leads it; the node itself when it does.
    pub leader: NodeId,
}

/// First words over a new link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Of the cluster's name, see [`crate::membership::cluster_tag`].
    #[serde(with = "serde_bytes")]
    pub tag: [u8; 8],
    /// Where the caller stands.
    pub standing: Standing,
    /// Its name, for people.
    pub name: String,
    /// Differs each time that its process starts.
    pub incarnation: u32,
    /// Whether it asks for proof of a cluster key.
    pub protected: bool,
    /// What the other's proof must cover.
    #[serde(with = "serde_bytes")]
    pub nonce: [u8; 16],
    /// Several nodes vote in its cluster: it does not give way to another.
    #[serde(default)]
    pub established: bool,
    /// The version of its program, for people: who still has to be upgraded. Cut at [`MAX_PROGRAM`] by who reads it.
    #[serde(default)]
    pub program: String,
}

/// Bytes of a program's version that are kept: a semantic version with a short suffix.
pub const MAX_PROGRAM: usize = 32;

/// Answer to [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The same of the node that was called.
    pub hello: Hello,
    /// Its proof over both nonces, when both are protected.
    #[serde(with = "serde_bytes")]
    pub proof: Option<Vec<u8>>,
}

/// The caller's proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prove {
    /// Over both nonces.
    #[serde(with = "serde_bytes")]
    pub proof: Vec<u8>,
}

/// Answer to [`Prove`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admitted {
    /// Where the called node stands.
    pub standing: Standing,
}
