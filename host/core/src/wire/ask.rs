//! Questions about another node's books.

use serde::{Deserialize, Serialize};

use super::greeting::Standing;
use crate::id::{ClusterId, Millis, NodeId, TaskId};

/// A question whose answer is made for people and programs, not for the protocol: MessagePack of the node's own types.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// One task, as the asked node or, unless `here`, its cluster knows it. `wait_ms`: until it has ended.
    Task {
        /// Which.
        task: TaskId,
        /// Do not ask further.
        here: bool,
        /// At most this long.
        wait_ms: u32,
    },
    /// Tasks, newest first.
    List {
        /// A status's word.
        status: Option<String>,
        /// At most.
        limit: u32,
    },
    /// Rows of the ledger, newest first.
    Ledger {
        /// An event's word.
        event: Option<String>,
        /// About that task.
        task: Option<TaskId>,
        /// Rows to pass over.
        offset: u64,
        /// At most.
        limit: u32,
    },
    /// Verify the ledger.
    Verify,
    /// The cluster as the leader sees it.
    View,
    /// Who holds the log and elects the leader.
    Members,
    /// What a task has emitted so far: the body of the answer is an [`Emitted`].
    Emitted {
        /// Which.
        task: TaskId,
        /// Do not ask further: the asked node runs it.
        here: bool,
        /// What was seen before.
        since: Since,
    },
    /// A piece of the ledger that can be checked against a signed head.
    Proof(LedgerAsk),
    /// Which cluster key counts, and who has it; never the key.
    Key,
    /// How far the leader's state has come: all that was accepted before the question is in it.
    Index,
}

/// Which piece of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LedgerAsk {
    /// The newest signed head.
    Head,
    /// Rows in their order.
    Rows {
        /// The first.
        from: u64,
        /// At most.
        limit: u32,
    },
    /// The proof of a row.
    Row {
        /// Its place.
        index: u64,
    },
    /// The proof of a stretch of rows.
    Range {
        /// The first.
        from: u64,
        /// The one after the last.
        to: u64,
    },
}

/// From where on partial output is asked for. The other end of the output is kept where the task runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Since {
    /// The attempt that was seen, from 1; 0: none. Of another one all is asked for.
    pub attempt: u32,
    /// Bytes of it that were seen.
    pub offset: u64,
    /// Bytes of the answer at most.
    pub max: u32,
}

/// Partial output of a task, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Emitted {
    /// A word of [`crate::Status`]; empty where the node that answers only runs it.
    pub status: String,
    /// The attempt that emitted, from 1; 0 where none has.
    pub attempt: u32,
    /// Where the piece begins.
    pub offset: u64,
    /// Bytes that the attempt emitted so far.
    pub total: u64,
    /// The piece.
    #[serde(with = "serde_bytes")]
    pub piece: Vec<u8>,
    /// Units done, of how many, and words for people, where the task has told.
    pub progress: Option<(u64, Option<u64>, String)>,
}

/// Answer to [`Ask`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// MessagePack; nothing if there is no such thing.
    #[serde(with = "serde_bytes")]
    pub body: Option<Vec<u8>>,
}

/// A node as the leader sees it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeView {
    /// Its id.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Whether it answers.
    pub online: bool,
    /// Whether it leads.
    pub leads: bool,
    /// Capabilities.
    pub capabilities: Vec<String>,
    /// Actions.
    pub actions: Vec<String>,
    /// Tasks at once.
    pub slots: u16,
    /// Tasks held.
    pub running: u16,
    /// CPU, percent.
    pub cpu: u8,
    /// Memory, percent.
    pub memory: u8,
    /// Since it was last heard.
    pub silent_ms: Millis,
    /// Hops from the leader.
    pub hops: Option<u8>,
    /// Round trip from the leader.
    pub rtt_ms: Option<u32>,
}

/// The cluster as its leader sees it: the body of an [`Answer`] to [`Ask::View`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// The leader's standing.
    pub standing: Standing,
    /// Elections under this log.
    pub term: u64,
    /// Whether anybody may join.
    pub open: bool,
    /// Every node that was ever admitted and not forgotten.
    pub nodes: Vec<NodeView>,
    /// Other clusters of this name in which several vote, with a node of each.
    #[serde(default)]
    pub rivals: Vec<(ClusterId, NodeId, String)>,
    /// A rotation of the cluster key that runs.
    #[serde(default)]
    pub turn: Option<TurnView>,
    /// The cluster that this one is giving way to.
    #[serde(default)]
    pub merging_into: Option<ClusterId>,
}

/// A rotation of the cluster key that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnView {
    /// Of the new key.
    pub generation: u64,
    /// Nodes that have it.
    pub held: u32,
    /// Nodes that it waits for.
    pub waiting: u32,
    /// Until the old one is refused, milliseconds.
    pub left_ms: Millis,
}
