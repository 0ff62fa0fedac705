//! The ledger, and the journal of an island.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Tasks that a node has run, or runs, without a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IslandView {
    /// They wait for a worker.
    pub waiting: u64,
    /// A node of the island runs them.
    pub running: u64,
    /// They have ended, and wait for a leader to take them.
    pub to_import: u64,
    /// Of those, the ones that a leader did not take.
    pub refused: u64,
    /// The cluster has them; kept for a week at most.
    pub imported: u64,
}

/// `GET /ledger/journal`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalView {
    /// Whose journal it is, and who signs it.
    pub node_id: String,
    /// Whether each signature holds, and the entries follow each other.
    pub ok: bool,
    /// The first thing that is wrong.
    pub problem: Option<String>,
    /// Ends ever signed.
    pub signed: u64,
    /// How many tasks are where.
    pub counts: IslandView,
    /// The newest tasks, newest first.
    pub tasks: Vec<JournalTask>,
    /// The newest steps, newest first, as rows of a ledger; `index` counts the journal's own.
    pub steps: Vec<LedgerRowView>,
}

/// A task of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalTask {
    /// UUID.
    pub task_id: String,
    /// `plugin/action`.
    pub action: String,
    /// A word of [`akita_core::Status`].
    pub status: String,
    /// The node that runs it, or ran it last.
    pub worker_id: Option<String>,
    /// Which entry it is, once it has ended.
    pub number: Option<u64>,
    /// BLAKE3 of what was signed, hex; the cluster's ledger names it too.
    pub entry: Option<String>,
    /// RFC 3339, UTC.
    pub finished_at: Option<String>,
    /// When the cluster had it.
    pub imported_at: Option<String>,
    /// Why a leader does not take it.
    pub refused: Option<String>,
}

/// A row of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerRowView {
    /// Position, from 0.
    pub index: u64,
    /// RFC 3339, UTC.
    pub time: String,
    /// A word of [`akita_core::EventType`].
    pub event_type: String,
    /// The node that it is about.
    pub node_id: String,
    /// The task that it is about.
    pub task_id: Option<String>,
    /// Key and value.
    pub details: BTreeMap<String, String>,
}

/// `GET /ledger`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LedgerPage {
    /// Newest first.
    pub rows: Vec<LedgerRowView>,
    /// Rows that match, on all pages.
    pub total: u64,
    /// Nobody could be asked who knows the newest: this is what this voter's copy of the log says.
    #[serde(default)]
    pub stale: bool,
    /// The log's entry that a stale answer is as of.
    #[serde(default)]
    pub as_of_index: Option<u64>,
}

/// `GET /ledger/verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyView {
    /// Whether every row is as it was written.
    pub ok: bool,
    /// Rows.
    pub rows: u64,
    /// Root of the Merkle tree over all rows, hex.
    pub root: String,
    /// Signed checkpoints found.
    pub checkpoints: u64,
    /// Rows covered by the newest one.
    pub signed_rows: u64,
    /// The first thing that is wrong.
    pub problem: Option<String>,
    /// Nodes whose signatures under the newest one were checked: the one whose ledger it is, and those that signed it too.
    #[serde(default)]
    pub signers: Vec<String>,
    /// The names of others that signed it, whose keys the node does not know.
    #[serde(default)]
    pub unchecked: Vec<String>,
    /// How many nodes hold the ledger and sign its head.
    #[serde(default)]
    pub voters: usize,
}
