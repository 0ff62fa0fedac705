//! What Akita decides. This crate owns the replicated state and its `apply`, the scheduler, the dispatch deadlines,
//! membership and the wire messages. It never awaits, reads a clock, draws randomness, opens a file or a socket:
//! time and random bytes come in as arguments, decisions go out as values.

pub mod autopilot;
pub mod command;
pub mod dispatch;
pub mod event;
pub mod id;
pub mod island;
pub mod keys;
pub mod leader;
pub mod membership;
pub mod schedule;
pub mod state;
pub mod task;
pub mod tuning;
pub mod versions;
pub mod wire;

pub use command::{Command, Entry, Reply};
pub use event::{EventType, LedgerRow};
pub use id::{ClusterId, KeyMark, KeyPrint, Millis, NodeId, TaskId};
pub use state::{Archive, Change, Effects, State};
pub use task::{Content, Extras, Failure, Outcome, Parent, Status, Task, TaskSpec};
