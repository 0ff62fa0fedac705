//! The ledger's vocabulary and its rows. It never writes one: the store does, in the transaction of what it describes.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::id::{Millis, NodeId, TaskId};

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident = $word:literal),* $(,)?) => {
        /// What a row of the ledger tells. The words are those of Akita Genesis.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum EventType { $($(#[$doc])* #[serde(rename = $word)] $name),* }

        impl EventType {
            /// Every event type.
            pub const ALL: &'static [EventType] = &[$(EventType::$name),*];

            /// The word in the ledger.
            pub fn as_str(self) -> &'static str {
                match self { $(EventType::$name => $word),* }
            }

            /// The event type of that word, in any case.
            pub fn parse(word: &str) -> Option<EventType> {
                EventType::ALL.iter().copied().find(|event| event.as_str().eq_ignore_ascii_case(word))
            }
        }
    };
}

events! {
    /// A node's process began.
    NodeStart = "NODE_START",
    /// A node's process ended in order.
    NodeStop = "NODE_STOP",
    /// A node can be reached.
    NodeOnline = "NODE_ONLINE",
    /// A node can no longer be reached.
    NodeOffline = "NODE_OFFLINE",
    /// A node was admitted.
    ClusterJoin = "CLUSTER_JOIN",
    /// A node left, or the cluster gave way to another.
    ClusterLeave = "CLUSTER_LEAVE",
    /// A node leads.
    LeaderElected = "LEADER_ELECTED",
    /// A task was accepted.
    TaskSubmitted = "TASK_SUBMITTED",
    /// A worker has acknowledged a task.
    TaskAccepted = "TASK_ACCEPTED",
    /// A task was given to a worker.
    TaskAssigned = "TASK_ASSIGNED",
    /// A task runs.
    TaskStarted = "TASK_STARTED",
    /// A task ended with a result.
    TaskCompleted = "TASK_COMPLETED",
    /// A task ended without one.
    TaskFailed = "TASK_FAILED",
    /// A worker kept silent for too long.
    TaskTimeout = "TASK_TIMEOUT",
    /// A task waits again.
    TaskRequeued = "TASK_REQUEUED",
    /// Tasks moved between clusters.
    StateSync = "STATE_SYNC",
    /// The operator changed something.
    ConfigChange = "CONFIG_CHANGE",
    /// Somebody tried what is not allowed.
    SecurityAlert = "SECURITY_ALERT",
}

/// Details of a row: keys of this code, values for people and programs.
pub type Details = Vec<(Cow<'static, str>, String)>;

/// One row of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerRow {
    /// Position, from 0, without gaps.
    pub index: u64,
    /// The leader's clock when it was committed.
    pub time: Millis,
    /// What happened.
    pub event: EventType,
    /// The node that it is about.
    pub node: NodeId,
    /// The task that it is about.
    pub task: Option<TaskId>,
    /// More.
    pub details: Details,
}

impl LedgerRow {
    /// The bytes whose hash is this row's leaf in the Merkle tree: the MessagePack array
    /// `[1, index, time, event word, node, task or nil, [[key, value], ...]]`.
    pub fn leaf(&self) -> Vec<u8> {
        let task = self.task.as_ref().map(|id| serde_bytes::Bytes::new(&id.0));
        let node = serde_bytes::Bytes::new(&self.node.0);
        let row = (1u8, self.index, self.time, self.event.as_str(), node, task, &self.details);
        rmp_serde::to_vec(&row).expect("a row of numbers and text always encodes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_has_the_word_of_akita_genesis() {
        assert_eq!(EventType::ALL.len(), 18);
        for event in EventType::ALL {
            assert_eq!(EventType::parse(&event.as_str().to_lowercase()), Some(*event));
        }
    }

    #[test]
    fn a_leaf_depends_on_every_field() {
        let row = LedgerRow {
            index: 1,
            time: 2,
            event: EventType::TaskFailed,
            node: NodeId([3; 16]),
            task: Some(TaskId([4; 16])),
            details: vec![("reason".into(), "x".into())],
        };
        let leaf = row.leaf();
        let changed = [
            LedgerRow { index: 9, ..row.clone() },
            LedgerRow { time: 9, ..row.clone() },
            LedgerRow { event: EventType::TaskTimeout, ..row.clone() },
            LedgerRow { node: NodeId([9; 16]), ..row.clone() },
            LedgerRow { task: None, ..row.clone() },
            LedgerRow { details: vec![], ..row.clone() },
        ];
        assert!(changed.iter().all(|other| other.leaf() != leaf));
    }
}
