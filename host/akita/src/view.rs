//! What the node shows: the JSON of the HTTP API and, packed, of answers between nodes. These fields stay. The types
//! hold next to no behaviour; conversions from the domain sit beside the code that makes them.

mod blob;
mod cluster;
mod error;
mod ledger;
mod node;
mod plugin;
mod task;

pub use blob::{BlobList, BlobPut, BlobView};
pub use cluster::{
    ClusterView, GovernedView, KeyView, LoadView, MemberView, MembersView, NodeStatus, ProblemView, RivalView,
    RotationView,
};
pub use error::NodeError;
pub use ledger::{IslandView, JournalTask, JournalView, LedgerPage, LedgerRowView, VerifyView};
pub use node::{SensorView, StatusView};
pub use plugin::{ActionView, CompilingView, PluginList, PluginView, SwitchedView, TypedExportView};
pub use task::{NewTask, OutputView, ProgressView, SubmittedView, TaskError, TaskList, TaskView};
