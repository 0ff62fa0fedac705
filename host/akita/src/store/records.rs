//! What the store answers with. Plain values; nothing here touches the database.

use akita_core::{
    event::{EventType, LedgerRow},
    id::{ClusterId, Millis, TaskId},
    task::{Content, Task},
};

/// A task as the store knows it, without its bodies. `task.reason` says why it failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskMeta {
    /// The task. Its status is `Pending` when it was handed over.
    pub task: Task,
    /// The failure's stable word, when it failed.
    pub code: Option<String>,
    /// Where in a JSON input the fault lies (RFC 6901), when it failed by that.
    pub pointer: Option<String>,
    /// The cluster that it belongs to now, when that is another one.
    pub handed_over_to: Option<ClusterId>,
}

/// A task with its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRecord {
    /// All but the result.
    pub meta: TaskMeta,
    /// The output, when it completed.
    pub result: Option<Content>,
}

/// Which rows of the ledger to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LedgerQuery {
    /// Rows at most; [`MAX_ROWS`](super::MAX_ROWS) in any case.
    pub limit: usize,
    /// Rows to leave out, counted from the newest.
    pub offset: u64,
    /// Only this event.
    pub event: Option<EventType>,
    /// Only this task.
    pub task: Option<TaskId>,
}

/// Rows of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LedgerPage {
    /// Newest first.
    pub rows: Vec<LedgerRow>,
    /// Rows that match, shown or not.
    pub total: u64,
}

/// The ledger's length and the root of its Merkle tree (RFC 6962).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerHead {
    /// Rows.
    pub rows: u64,
    /// Root over all of them.
    pub root: [u8; 32],
}

/// A signed head of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointRecord {
    /// Rows that it covers.
    pub size: u64,
    /// The root over them.
    pub root: [u8; 32],
    /// Time of the last log entry before it was signed.
    pub time: Millis,
    /// The signed note, in the format of C2SP `signed-note` and `tlog-checkpoint`.
    pub note: String,
}

/// A row and the proof that it is under a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenRow {
    /// The row.
    pub row: LedgerRow,
    /// Hashes from its leaf to the root (RFC 6962).
    pub path: Vec<[u8; 32]>,
    /// The checkpoint.
    pub head: CheckpointRecord,
}

/// The proof that rows are a stretch of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerRange {
    /// Roots of the complete subtrees over the rows before the first, left to right.
    pub before: Vec<[u8; 32]>,
    /// That the ledger up to the last row is the beginning of the signed one (RFC 6962).
    pub consistency: Vec<[u8; 32]>,
    /// The checkpoint.
    pub head: CheckpointRecord,
}

/// A task in the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxItem {
    /// The task.
    pub task: TaskId,
    /// Its spec, in the owner's encoding.
    pub spec: Vec<u8>,
    /// When it was taken.
    pub created: Millis,
}

/// What the journal of an island begins with: its tasks that have not ended, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IslandStart {
    /// The tasks, oldest first.
    pub tasks: Vec<Task>,
    /// Steps so far.
    pub index: u64,
    /// Rows so far.
    pub rows: u64,
}

/// A task's end in an island, signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IslandSigned {
    /// Bytes of an [`IslandEntry`](akita_core::island::IslandEntry).
    pub entry: Vec<u8>,
    /// Of the node that took the task.
    pub signature: [u8; 64],
}

/// A task of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IslandRecord {
    /// The task.
    pub meta: TaskMeta,
    /// Which entry it is, once it has ended.
    pub number: Option<u64>,
    /// Its end.
    pub signed: Option<IslandSigned>,
    /// When the cluster had it.
    pub imported_at: Option<Millis>,
    /// Why the leader does not take it.
    pub note: Option<String>,
}

/// How many tasks the journal holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IslandCounts {
    /// They wait for a worker.
    pub waiting: u64,
    /// A worker has them.
    pub running: u64,
    /// They have ended, and the cluster does not have them yet.
    pub to_import: u64,
    /// Of those, the ones that the leader did not take.
    pub refused: u64,
    /// The cluster has them.
    pub imported: u64,
}

/// The journal as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IslandJournal {
    /// The newest steps, newest first.
    pub steps: Vec<LedgerRow>,
    /// Every signed end that it holds, in order, with its number and its task.
    pub entries: Vec<(u64, TaskId, IslandSigned)>,
    /// The newest tasks, newest first.
    pub tasks: Vec<IslandRecord>,
    /// How many there are.
    pub counts: IslandCounts,
    /// Ends ever signed.
    pub numbered: u64,
    /// Hash of the last of them.
    pub last: [u8; 32],
}
