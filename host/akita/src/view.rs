//! What the node shows: the JSON of the HTTP API and, packed, of answers between nodes. These fields stay. The types
//! hold next to no behaviour; conversions from the domain sit beside the code that makes them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A task, as `GET /tasks/{id}` answers it. Times are RFC 3339, UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskView {
    /// UUID.
    pub task_id: String,
    /// `plugin/action`.
    pub action: String,
    /// A word of [`akita_core::Status`].
    pub status: String,
    /// Lower is more urgent.
    pub priority: u8,
    /// Attempts begun.
    pub attempts: u32,
    /// The node that ran, or runs, the last attempt.
    pub worker_id: Option<String>,
    /// The output where it is JSON.
    pub result: Option<Value>,
    /// The output where it is not JSON.
    pub result_base64: Option<String>,
    /// Media type of the output.
    pub content_type: Option<String>,
    /// BLAKE3 of the output's media type, a line feed and its bytes.
    #[serde(default)]
    pub output_hash: Option<String>,
    /// Why it failed.
    pub error: Option<TaskError>,
    /// How far it is, while it runs.
    pub progress: Option<ProgressView>,
    /// Capabilities that its worker must have.
    pub required_capabilities: Vec<String>,
    /// When it was accepted.
    pub submitted_at: Option<String>,
    /// When its first attempt began.
    pub started_at: Option<String>,
    /// When it ended.
    pub finished_at: Option<String>,
    /// Why it waits, or why the last attempt gave nothing.
    pub reason: Option<String>,
    /// The task that submitted it, where one did.
    #[serde(default)]
    pub parent_id: Option<String>,
    /// Whether the same input gives the same output on any node.
    #[serde(default)]
    pub deterministic: bool,
    /// The node that took it from its submitter.
    #[serde(default)]
    pub origin_id: String,
    /// Fingerprint of the API key that it was submitted with, such as `key:1a2b3c4d5e6f7081`.
    #[serde(default)]
    pub key: Option<String>,
    /// Nobody could be asked who knows the newest: this is what this voter's copy of the log says.
    #[serde(default)]
    pub stale: bool,
    /// The log's entry that a stale answer is as of.
    #[serde(default)]
    pub as_of_index: Option<u64>,
    /// `island` for a task that stands in the asked node's journal and in no ledger yet: it runs, or has ended, where no
    /// leader is in reach.
    #[serde(default)]
    pub recorded: Option<String>,
}

/// Why a task failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskError {
    /// A sentence.
    pub message: String,
    /// A stable word, such as `time-limit`.
    pub code: Option<String>,
    /// Where in a JSON input the fault lies (RFC 6901).
    pub pointer: Option<String>,
}

/// How far a running task is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressView {
    /// Units done.
    pub done: u64,
    /// Of how many, where known.
    pub total: Option<u64>,
    /// 0 to 100, where known.
    pub percent: Option<u8>,
    /// For people.
    pub note: String,
}

impl ProgressView {
    /// Of that many units, with the share in percent where the total is known.
    pub fn new(done: u64, total: Option<u64>, note: String) -> ProgressView {
        let percent = total
            .filter(|total| *total > 0)
            .map(|total| u8::try_from((u128::from(done.min(total)) * 100) / u128::from(total)).unwrap_or(100));
        ProgressView { done, total, percent, note }
    }
}

/// `GET /tasks/{id}/output`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutputView {
    /// UUID.
    pub task_id: String,
    /// A word of [`akita_core::Status`].
    pub status: String,
    /// The attempt that emitted, from 1; 0 where none has.
    pub attempt: u32,
    /// Where the piece begins in what the attempt emitted.
    pub offset: u64,
    /// Bytes that the attempt emitted so far.
    pub total: u64,
    /// The piece.
    pub piece_base64: String,
    /// How far it is, while it runs.
    pub progress: Option<ProgressView>,
}

/// `GET /tasks`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskList {
    /// Newest first, without results.
    pub tasks: Vec<TaskView>,
    /// Nobody could be asked who knows the newest: this is what this voter's copy of the log says.
    #[serde(default)]
    pub stale: bool,
    /// The log's entry that a stale answer is as of.
    #[serde(default)]
    pub as_of_index: Option<u64>,
}

/// Answer to a submission, one for each task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmittedView {
    /// UUID.
    pub task_id: String,
    /// `pending` when accepted, `queued_locally` when no leader could be reached.
    pub status: String,
    /// The log's entry that has it, where it was accepted: `?after=` with it shows it on any node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// `island` for a task that runs where no leader is in reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<String>,
}

/// `GET /status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusView {
    /// Reticulum identity hash.
    pub node_id: String,
    /// For people.
    pub node_name: String,
    /// The cluster's name.
    pub cluster_name: String,
    /// The cluster's id.
    pub cluster_id: Option<String>,
    /// `leader` or `worker`.
    pub role: String,
    /// Who leads.
    pub leader_id: Option<String>,
    /// Of the program.
    pub version: String,
    /// Seconds since start.
    pub uptime_s: u64,
    /// The operator's and the plugins'.
    pub capabilities: Vec<String>,
    /// `plugin/action`.
    pub actions: Vec<String>,
    /// Tasks at once.
    pub slots: u16,
    /// CPU, memory, disk, network, temperature.
    pub resources: crate::resources::Resources,
    /// The operator's own, as plugins see them.
    pub sensors: Vec<SensorView>,
    /// How the node is connected to the mesh, for people.
    pub mesh: String,
    /// Tasks on this node's books by status.
    pub tasks: BTreeMap<String, u64>,
}

/// A named value that the operator exposes to plugins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SensorView {
    /// Its name.
    pub name: String,
    /// In `unit`; nothing while it cannot be read.
    pub value: Option<f64>,
    /// What the value counts.
    pub unit: String,
    /// Milliseconds since it was read.
    pub age_ms: u64,
    /// Why there is no value.
    pub problem: Option<String>,
}

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
    /// `online` or `offline`.
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

/// Answer to `POST /blobs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobPut {
    /// BLAKE3 of the bytes, hex.
    pub id: String,
    /// Bytes.
    pub size: u64,
}

/// `GET /blobs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobList {
    /// The last used first.
    pub blobs: Vec<BlobView>,
    /// Bytes that all blobs of this node take; each counts 4 KiB at least.
    pub used_bytes: u64,
    /// BLOB_STORE_BYTES.
    pub limit_bytes: u64,
}

/// A blob that lies on this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobView {
    /// BLAKE3 of its bytes, hex.
    pub id: String,
    /// Bytes.
    pub size: u64,
    /// The plugins that put it, and an empty name for the operator; none: a copy that was fetched, which makes room.
    pub owners: Vec<String>,
    /// When it was last used, to within ten minutes. RFC 3339, UTC.
    pub used_at: String,
}

/// `GET /plugins`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PluginList {
    /// By file.
    pub plugins: Vec<PluginView>,
    /// What is wrong with the file of grants, while an older one is used.
    pub problem: Option<String>,
}

/// One plugin file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PluginView {
    /// Its own word; the file's name when it was rejected.
    pub name: String,
    /// Semantic version.
    pub version: String,
    /// One line.
    pub summary: String,
    /// BLAKE3 of the file, hex.
    pub hash: String,
    /// Bytes.
    pub size: u64,
    /// File name.
    pub file: String,
    /// `ready`, `compiling`, `blocked`, `untrusted`, `rejected`, `disabled` or `quarantined`.
    pub status: String,
    /// Why it is not ready.
    pub reason: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// What it can do.
    pub actions: Vec<ActionView>,
    /// Capabilities that it brings.
    pub provides: Vec<String>,
    /// Interfaces that it imports.
    pub imports: Vec<String>,
    /// Those of them that have to be granted.
    pub needs: Vec<String>,
    /// What the operator grants to it, whether or not it needs it.
    pub granted: Vec<String>,
    /// Functions of its other exported interfaces.
    #[serde(default)]
    pub typed_exports: Vec<TypedExportView>,
    /// The public key by which this very content is signed, whether or not it is trusted.
    pub signed_by: Option<String>,
    /// While its content, or the one that is to take its place, is compiled or waits for it.
    pub compiling: Option<CompilingView>,
}

/// How far a file is on its way to be compiled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompilingView {
    /// Files before it.
    pub ahead: u64,
    /// Milliseconds that it has been compiled for; nothing while it waits.
    pub elapsed_ms: Option<u64>,
}

/// Answer to `POST /plugins/{name}/disable` and `enable`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchedView {
    /// The plugin.
    pub name: String,
    /// What it is now; `absent` when no file has it.
    pub status: String,
    /// Why it is not ready.
    pub reason: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// A function of an exported interface that is not the contract's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypedExportView {
    /// The interface; empty for a function of the world itself.
    pub interface: String,
    /// Its name in WIT.
    pub function: String,
    /// The action that it is.
    pub action: Option<String>,
    /// Why it is none.
    pub left_out: Option<String>,
}

/// One action of a plugin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionView {
    /// Within the plugin.
    pub name: String,
    /// One line.
    pub summary: String,
    /// Running it twice does no more than once.
    pub idempotent: bool,
    /// How long it usually takes.
    pub typical_ms: Option<u32>,
    /// Capabilities that a node needs for it.
    pub requires: Vec<String>,
    /// JSON Schema.
    pub input_schema: Option<Value>,
    /// JSON Schema.
    pub output_schema: Option<Value>,
}

/// A task as a submitter wrote it, after parsing: what `POST /tasks/submit` hands to the node.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTask {
    /// As written: `plugin/action` or bare.
    pub action: String,
    /// As written.
    pub required: Vec<String>,
    /// Lower is more urgent.
    pub priority: u8,
    /// Time limit of one attempt in milliseconds.
    pub timeout_ms: Option<u32>,
    /// Media type of the input.
    pub content_type: String,
    /// The input.
    pub input: Vec<u8>,
    /// To be run so that the same input gives the same output on any node.
    pub deterministic: bool,
    /// Where no leader is in reach: to be run at once by the nodes that are, instead of waiting for one.
    pub island: bool,
}

/// Why the node did not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// What was asked makes no sense.
    #[error("{detail}")]
    Invalid {
        /// What is wrong.
        detail: String,
        /// The next step.
        hint: String,
    },
    /// The operator does not allow it to whoever asks.
    #[error("{detail}")]
    Forbidden {
        /// What is not allowed.
        detail: String,
        /// The next step.
        hint: String,
    },
    /// An input does not fit what its action takes.
    #[error("{detail}")]
    Misfit {
        /// What is wrong.
        detail: String,
        /// Which task of those that came together, from 0.
        task: usize,
        /// Where in its input (RFC 6901).
        pointer: String,
    },
    /// The queue holds as many tasks as it may.
    #[error("the queue is full: it holds {limit} tasks that have not ended")]
    QueueFull {
        /// MAX_TASK_QUEUE_SIZE.
        limit: usize,
        /// Seconds after which to try again.
        retry_after_s: u64,
    },
    /// No plugin is called so.
    #[error("this node has no plugin `{name}`")]
    NoSuchPlugin {
        /// The name.
        name: String,
        /// One that is like it.
        near: Option<String>,
    },
    /// The ledger has not as many rows.
    #[error("the ledger has no row {index} that is durable")]
    NoSuchRow {
        /// The row that was asked for.
        index: u64,
    },
    /// No node that was asked has the blob.
    #[error("no blob {id} on this node, nor on another that answers")]
    NoSuchBlob {
        /// Its id.
        id: String,
    },
    /// A blob is larger than the node keeps.
    #[error("a blob has at most {limit} bytes")]
    BlobTooLarge {
        /// BLOB_MAX_BYTES.
        limit: u64,
    },
    /// There is no room for a blob.
    #[error("the node's blobs take all of the {limit} bytes that they may take")]
    NoRoom {
        /// BLOB_STORE_BYTES.
        limit: u64,
    },
    /// Another node has to be asked and does not answer.
    #[error("{detail}")]
    Unavailable {
        /// What is wrong.
        detail: String,
        /// The next step.
        hint: String,
    },
    /// An answer as new as was asked for cannot be given in time.
    #[error("the log has been applied up to entry {applied} here, and not to entry {after} within {waited_s} s")]
    Behind {
        /// The entry that was asked for.
        after: u64,
        /// The last one that the node has applied.
        applied: u64,
        /// How long it was waited for, in seconds.
        waited_s: u64,
    },
    /// The node is shutting down.
    #[error("the node is shutting down and takes no new tasks")]
    Stopping,
    /// Something failed inside.
    #[error("{0}")]
    Internal(String),
}
