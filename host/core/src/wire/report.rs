//! What a worker says of itself, and what its leader answers.

use serde::{Deserialize, Serialize};

use super::{MAX_OFFERED, few, greeting::Standing};
use crate::id::NodeId;

/// From a worker to its leader, now and then: it is alive, and this is how busy it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Where it stands.
    pub standing: Standing,
    /// Of its process.
    pub incarnation: u32,
    /// Of its catalogue: the leader asks for what it does not know.
    #[serde(with = "serde_bytes")]
    pub digest: [u8; 8],
    /// Tasks that it runs at once.
    pub slots: u16,
    /// Tasks that it holds.
    pub running: u16,
    /// CPU in use, percent.
    pub cpu: u8,
    /// Memory in use, percent.
    pub memory: u8,
    /// Round trip to the leader as the worker measured it, milliseconds.
    pub rtt_ms: u32,
    /// It is about to stop and takes nothing more.
    pub leaving: bool,
    /// Of the tasks that it holds, those that take no slot.
    #[serde(default)]
    pub parked: u16,
    /// Where it knows several voters, or is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voters: Option<KnownVoters>,
}

/// What a worker knows of the voters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownVoters {
    /// Stands for all of them, see [`voters_digest`].
    pub digest: u64,
    /// Its own number, where it votes or waits for the log; or 0.
    pub number: u64,
}

/// Answer to [`Report`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    /// Where the leader stands: another leader's name in it means that it gave way.
    pub standing: Standing,
    /// Changes with the leader's view of the cluster.
    pub view: u32,
    /// Who votes, where there are several and the worker knows others: one of them leads when this one is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voters: Option<Vec<NodeId>>,
}

/// Voters that a report's answer names at most.
pub const MAX_VOTERS: usize = 32;

/// Stands for a list of voters in a report; 0 for an empty one.
pub fn voters_digest(voters: &[NodeId]) -> u64 {
    if voters.is_empty() {
        return 0;
    }
    let mut hash = blake3::Hasher::new_derive_key("akita voters v1");
    for node in voters {
        hash.update(&node.0);
    }
    let mut digest = [0; 8];
    hash.finalize_xof().fill(&mut digest);
    // As few bytes as do: it says that something changed, and proves nothing.
    u64::from_be_bytes(digest) >> 48 | 1
}

/// Asks a node what it offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetCatalog {}

/// What a node offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    /// Of what follows.
    #[serde(with = "serde_bytes")]
    pub digest: [u8; 8],
    /// Capabilities.
    #[serde(deserialize_with = "few::<MAX_OFFERED, _, _>")]
    pub capabilities: Vec<String>,
    /// Actions.
    #[serde(deserialize_with = "few::<MAX_OFFERED, _, _>")]
    pub actions: Vec<String>,
    /// Tasks at once, of plugins that are held to fewer than the slots.
    #[serde(default)]
    pub caps: Vec<(String, u16)>,
    /// The versions of each plugin, as [`crate::versions::Versions::pack`] writes them.
    #[serde(default, deserialize_with = "few::<MAX_OFFERED, _, _>")]
    pub versions: Vec<String>,
    /// Tasks at once; 0 from a node that does not say.
    #[serde(default)]
    pub slots: u16,
}

impl Catalog {
    /// Without what is no name: it comes from another node, and is compared and shown.
    #[must_use]
    pub fn cleaned(mut self) -> Catalog {
        self.capabilities.retain(|one| crate::task::is_capability(one));
        self.actions.retain(|one| crate::task::is_action(one));
        self
    }
}
