//! What the API asks of a node. The node implements it; tests implement it with a fake.

use std::future::Future;
use std::time::Duration;

use akita_core::{ClusterId, EventType, KeyPrint, NodeId, Status, TaskId, wire::Wish};
use tracing::Level;

use crate::blobs::BlobId;
use crate::proof::{HeadView, KeyList, RangeProof, RowProof, RowsPage};
use crate::reading::Reading;
use crate::telemetry::LogLine;
use crate::view::{
    BlobList, BlobPut, ClusterView, GovernedView, JournalView, KeyView, LedgerPage, MembersView, NewTask, NodeError,
    OutputView, PluginList, StatusView, SubmittedView, SwitchedView, TaskList, TaskView, VerifyView,
};

/// Which rows of the ledger are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerFilter {
    /// Rows at most, 1 to 1,000.
    pub limit: u32,
    /// Matching rows to skip, from the newest on.
    pub offset: u64,
    /// Only rows of this type.
    pub event: Option<EventType>,
    /// Only rows about this task.
    pub task: Option<TaskId>,
    /// Whether this node's own copy will do; otherwise the leader's is meant.
    pub local: bool,
}

/// A node, as the API sees it. Clones are handles to the same node. A future may be dropped at any point when its
/// client goes away; what was committed by then stays committed.
pub trait Backend: Clone + Send + Sync + 'static {
    /// Takes all of these tasks or none; the answers are in their order. `key`: which API key they came with.
    fn submit(
        &self,
        tasks: Vec<NewTask>,
        key: Option<KeyPrint>,
    ) -> impl Future<Output = Result<Vec<SubmittedView>, NodeError>> + Send;

    /// The task of that id, wherever in the cluster it is; `None` when nobody knows it. Unless it has ended, the
    /// answer is held back until it has or `wait` is over.
    fn task(
        &self,
        id: TaskId,
        wait: Duration,
        reading: Reading,
    ) -> impl Future<Output = Result<Option<TaskView>, NodeError>> + Send;

    /// What follows in a task's partial output after `offset` bytes of that attempt; `None` when nobody knows the task.
    /// Unless it has ended, the answer is held back until there is more or `wait` is over.
    fn output(
        &self,
        id: TaskId,
        attempt: u32,
        offset: u64,
        wait: Duration,
    ) -> impl Future<Output = Result<Option<OutputView>, NodeError>> + Send;

    /// The newest tasks, of one status if one is given.
    fn tasks(
        &self,
        status: Option<Status>,
        limit: u32,
        reading: Reading,
    ) -> impl Future<Output = Result<TaskList, NodeError>> + Send;

    /// Rows of the ledger, newest first.
    fn ledger(
        &self,
        filter: LedgerFilter,
        reading: Reading,
    ) -> impl Future<Output = Result<LedgerPage, NodeError>> + Send;

    /// Checks the whole ledger: the leader's, or with `local` this node's copy.
    fn verify(&self, local: bool) -> impl Future<Output = Result<VerifyView, NodeError>> + Send;

    /// The newest signed checkpoint of the leader's ledger, or of this node's copy; one over all rows is made if need be.
    fn ledger_head(&self, local: bool) -> impl Future<Output = Result<HeadView, NodeError>> + Send;

    /// Rows in their order.
    fn ledger_rows(
        &self,
        from: u64,
        limit: u32,
        local: bool,
    ) -> impl Future<Output = Result<RowsPage, NodeError>> + Send;

    /// The proof of one row.
    fn prove_row(&self, index: u64, local: bool) -> impl Future<Output = Result<RowProof, NodeError>> + Send;

    /// The proof of the rows from `from` to before `to`.
    fn prove_range(
        &self,
        from: u64,
        to: u64,
        local: bool,
    ) -> impl Future<Output = Result<RangeProof, NodeError>> + Send;

    /// This node's journal of tasks that ran without a leader.
    fn journal(&self, limit: u32) -> impl Future<Output = Result<JournalView, NodeError>> + Send;

    /// The keys of the nodes that this one counts to its cluster, its own first.
    fn ledger_keys(&self) -> KeyList;

    /// The nodes of the cluster.
    fn cluster(&self, reading: Reading) -> impl Future<Output = Result<ClusterView, NodeError>> + Send;

    /// Who holds the log and elects the leader, and who only works.
    fn members(&self, reading: Reading) -> impl Future<Output = Result<MembersView, NodeError>> + Send;

    /// Does what the operator wishes of a node.
    fn govern(&self, wish: Wish, node: NodeId) -> impl Future<Output = Result<GovernedView, NodeError>> + Send;

    /// Gives up this node's vote and stops it.
    fn leave(&self) -> impl Future<Output = Result<GovernedView, NodeError>> + Send;

    /// Founds a new cluster from this voter's copy of the log, when most voters are gone for good.
    fn force_new(&self) -> impl Future<Output = Result<GovernedView, NodeError>> + Send;

    /// Which cluster key counts and who has it; never the key.
    fn cluster_key(&self) -> impl Future<Output = Result<KeyView, NodeError>> + Send;

    /// Has the cluster change its key; the present one is accepted for `grace` at most.
    fn rotate_key(&self, grace: Duration) -> impl Future<Output = Result<GovernedView, NodeError>> + Send;

    /// Has this cluster of several voters give way to that one.
    fn merge(&self, into: ClusterId) -> impl Future<Output = Result<GovernedView, NodeError>> + Send;

    /// This node's plugins.
    fn plugins(&self) -> impl Future<Output = Result<PluginList, NodeError>> + Send;

    /// Offers a plugin, or does not any more, and keeps that over restarts.
    fn switch_plugin(&self, name: String, on: bool) -> impl Future<Output = Result<SwitchedView, NodeError>> + Send;

    /// Keeps bytes as a blob of this node.
    fn put_blob(&self, bytes: Vec<u8>) -> impl Future<Output = Result<BlobPut, NodeError>> + Send;

    /// The size of a blob, which lies on this node then: it is fetched from others within `wait`, if there is any.
    fn blob_size(&self, id: BlobId, wait: Duration) -> impl Future<Output = Result<u64, NodeError>> + Send;

    /// At most `max` bytes of a blob from `offset` on.
    fn blob_piece(
        &self,
        id: BlobId,
        offset: u64,
        max: usize,
    ) -> impl Future<Output = Result<Vec<u8>, NodeError>> + Send;

    /// The blobs of this node, the last used first.
    fn blobs(&self, limit: u32) -> impl Future<Output = Result<BlobList, NodeError>> + Send;

    /// Removes a blob from this node.
    fn remove_blob(&self, id: BlobId) -> impl Future<Output = Result<(), NodeError>> + Send;

    /// This node, now.
    fn status(&self) -> impl Future<Output = Result<StatusView, NodeError>> + Send;

    /// Log lines of at least `min_level`, and the `after` to ask with next; see
    /// [`LogRing::tail`](crate::telemetry::LogRing::tail).
    fn logs(&self, limit: usize, min_level: Level, after: Option<u64>) -> (Vec<LogLine>, u64);

    /// Begins to stop the node and returns at once.
    fn shutdown(&self);

    /// Whether the node serves: false from the moment on in which it begins to stop.
    fn healthy(&self) -> bool;
}
