//! The cluster: its nodes, who votes, its key, what is wrong.

use serde::{Deserialize, Serialize};

use super::ledger::IslandView;

/// `GET /cluster/status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterView {
    /// The cluster's name.
    pub cluster_name: String,
    /// The cluster's id.
    pub cluster_id: Option<String>,
    /// Who leads.
    pub leader_id: Option<String>,
    /// Elections so far.
    pub term: u64,
    /// Whether anybody may join.
    pub open: bool,
    /// Whether this is the leader's present view; `false`: the last one known, or only this node.
    pub fresh: bool,
    /// The nodes, the leader first.
    pub nodes: Vec<NodeStatus>,
    /// Other clusters of this name that have several voters too.
    #[serde(default)]
    pub rivals: Vec<RivalView>,
    /// The cluster that this one is giving way to, as its operator said.
    #[serde(default)]
    pub merging_into: Option<String>,
    /// A change of the cluster key that runs.
    #[serde(default)]
    pub key_rotation: Option<RotationView>,
    /// What is wrong with the cluster, and what to do about it.
    #[serde(default)]
    pub problems: Vec<ProblemView>,
    /// The asked node alone said it, as it was asked to.
    #[serde(default)]
    pub stale: bool,
    /// The log's entry that a stale answer is as of.
    #[serde(default)]
    pub as_of_index: Option<u64>,
    /// What the asked node's journal holds; nothing while it holds nothing that the cluster lacks.
    #[serde(default)]
    pub island: Option<IslandView>,
}

/// Another cluster of the same name in which several nodes vote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RivalView {
    /// Its id.
    pub cluster_id: String,
    /// A node of it that was met.
    pub node_id: String,
    /// That node's name.
    pub node_name: String,
}

/// A change of the cluster key that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationView {
    /// Of the new key.
    pub generation: u64,
    /// Nodes that have confirmed that they have it.
    pub confirmed: u32,
    /// Admitted nodes that have not.
    pub waiting: u32,
    /// Seconds until the old key is refused all the same.
    pub old_key_left_s: u64,
}

/// `GET /cluster/key`: which key counts and who has it; never the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyView {
    /// Whether members must hold a key.
    pub protected: bool,
    /// Counts the cluster's keys, from 1; nothing where it is open.
    pub generation: Option<u64>,
    /// Stands for the key; nothing where it is one that the operator set.
    pub fingerprint: Option<String>,
    /// A change runs.
    pub rotating: bool,
    /// Seconds until the key before is refused at the latest, while a change runs.
    pub old_key_left_s: Option<u64>,
    /// Nodes that have confirmed that they have it.
    pub confirmed: Vec<String>,
    /// Admitted nodes that have not, while a change runs.
    pub waiting: Vec<String>,
}

/// Something that an operator must know of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemView {
    /// What is wrong.
    pub detail: String,
    /// The next step.
    pub hint: String,
}

/// `GET /cluster/members`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembersView {
    /// The cluster's id.
    pub cluster_id: String,
    /// Who leads; nobody where most voters do not answer.
    pub leader_id: Option<String>,
    /// Elections so far.
    pub term: u64,
    /// Nodes that hold the log and elect the leader; 1: the leader alone.
    pub voters: usize,
    /// How patient voters are: `lan`, `wan` or `slow`; nothing beside a single voter.
    pub timing: Option<String>,
    /// What the leader said, and not what this node alone knows.
    pub fresh: bool,
    /// Everyone, voters first.
    pub members: Vec<MemberView>,
    /// What is wrong, and what to do about it.
    pub problems: Vec<ProblemView>,
    /// The asked node alone said it, as it was asked to.
    #[serde(default)]
    pub stale: bool,
    /// The log's entry that a stale answer is as of.
    #[serde(default)]
    pub as_of_index: Option<u64>,
}

/// A node in `/cluster/members`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberView {
    /// Reticulum identity hash.
    pub node_id: String,
    /// For people; empty where this node never met it.
    pub node_name: String,
    /// `voter`, `learner` (receives the log, votes later), `worker` or `removed`.
    pub membership: String,
    /// It leads.
    pub leads: bool,
    /// `online`, `offline`, or `unknown` where the leader was not asked.
    pub status: String,
    /// The operator took its vote.
    pub held_back: bool,
    /// Its number among the voters.
    pub number: Option<u64>,
    /// Entries of the log that it lacks.
    pub lag: Option<u64>,
    /// The version of its program; none where this node has not heard it.
    #[serde(default)]
    pub version: Option<String>,
}

/// Answer to a change of the members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GovernedView {
    /// The node.
    pub node_id: String,
    /// What became of it.
    pub detail: String,
}

/// A node in `/cluster/status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Reticulum identity hash.
    pub node_id: String,
    /// For people.
    pub node_name: String,
    /// `online`, `offline`, or `unknown` where the view is not fresh.
    pub status: String,
    /// `leader` or `worker`.
    pub role: String,
    /// The operator's and the plugins'.
    pub capabilities: Vec<String>,
    /// `plugin/action`.
    pub actions: Vec<String>,
    /// Coarse.
    pub load: LoadView,
    /// Seconds since it was last heard by its leader.
    pub last_seen_s: u64,
    /// Hops from the node that answers, or from the leader.
    pub hops: Option<u8>,
    /// Round trip in milliseconds from the leader.
    pub rtt_ms: Option<u32>,
}

/// How busy a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadView {
    /// Percent of all cores.
    pub cpu_percent: u8,
    /// Percent.
    pub memory_percent: u8,
    /// Tasks held.
    pub running: u16,
    /// Tasks at once.
    pub slots: u16,
}
