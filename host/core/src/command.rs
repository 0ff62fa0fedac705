//! What can be agreed on: the entries of the log and what each command answers. It never applies one.

use serde::{Deserialize, Serialize};

use crate::{
    event::EventType,
    id::{ClusterId, KeyMark, Millis, NodeId, TaskId},
    task::{Outcome, Status, TaskSpec},
};

/// Commands in one entry at most: a full batch of submissions, their placements, and a turn of everything else.
pub const MAX_COMMANDS: usize = 32_768;
/// Tasks that one command forgets at most: short, so that submissions do not wait for it.
pub const MAX_PRUNED: u32 = 500;

/// One entry of the log: commands that are committed together, and the time that the leader stamped on them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The leader's clock, milliseconds since the epoch.
    pub time: Millis,
    /// Applied in order.
    pub commands: Vec<Command>,
}

/// One thing to agree on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Founds a cluster, led by `founder`. The first command of a log, and again after the leader was lost.
    Found {
        /// See [`ClusterId::found`].
        id: ClusterId,
        /// The cluster's name.
        name: String,
        /// The founder.
        founder: NodeId,
    },
    /// This cluster gives way to another: nothing is accepted or assigned any more.
    Seal {
        /// The cluster that goes on.
        into: ClusterId,
        /// Its leader.
        leader: NodeId,
    },
    /// Accepts a task. The same id again is answered [`Reply::Known`].
    Submit {
        /// Minted by the node that took it from the submitter.
        id: TaskId,
        /// That node.
        origin: NodeId,
        /// Attempts that another cluster has already begun.
        attempts: u32,
        /// Attempts after which it fails; stamped by the leader so that every voter decides alike.
        max_attempts: u32,
        /// What to do.
        spec: TaskSpec,
    },
    /// Gives a pending task to a worker; this entry's index is the fence.
    Assign {
        /// The task.
        task: TaskId,
        /// The worker.
        worker: NodeId,
    },
    /// The worker has the task and runs it.
    Acknowledge {
        /// The task.
        task: TaskId,
        /// Of the assignment.
        fence: u64,
    },
    /// The worker's outcome.
    Finish {
        /// The task.
        task: TaskId,
        /// Of the assignment.
        fence: u64,
        /// Who says so; must hold the assignment.
        worker: NodeId,
        /// Result or failure.
        outcome: Outcome,
    },
    /// Takes a task back from its worker.
    Requeue {
        /// The task.
        task: TaskId,
        /// Of the assignment.
        fence: u64,
        /// Why.
        cause: RequeueCause,
    },
    /// The tasks now belong to the cluster that this one gave way to.
    HandOver {
        /// The tasks.
        tasks: Vec<TaskId>,
        /// That cluster.
        to: ClusterId,
    },
    /// A row without any other effect.
    Record {
        /// What happened.
        event: EventType,
        /// To which node.
        node: NodeId,
        /// Details for people.
        details: Vec<(String, String)>,
    },
    /// `node` was elected and leads from here on; the first command of each leader among several voters.
    Lead {
        /// The leader.
        node: NodeId,
    },
    /// Gives a node the number by which voters know it: the index of this entry, so that none is ever used twice. One
    /// that was removed is let in again.
    Enlist {
        /// The node.
        node: NodeId,
    },
    /// Takes a voter's number; should it vote again, it gets a new one.
    Dismiss {
        /// The node.
        node: NodeId,
        /// What it may not do from now on; nothing: it may vote again.
        to: Option<Access>,
    },
    /// There is a newer cluster key; most voters have it. The one before is accepted until `until`.
    RotateKey {
        /// Its number.
        generation: u64,
        /// Stands for it: the log never has the key.
        mark: KeyMark,
        /// By the log's time.
        until: Millis,
        /// The one before may be refused as soon as nobody is waited for.
        early: bool,
        /// Admitted nodes that do not have it yet.
        waiting: Vec<NodeId>,
    },
    /// These nodes have the key of that generation.
    HoldKey {
        /// Which.
        generation: u64,
        /// Who.
        nodes: Vec<NodeId>,
    },
    /// The keys before that generation are refused.
    RetireKey {
        /// The one that stays.
        generation: u64,
    },
    /// Forgets ended tasks with their results, oldest first: those that ended before `older_than`, and those beyond the
    /// newest `keep_max`. A command, because whether a task is known decides what the log does next.
    Prune {
        /// Time of the end.
        older_than: Millis,
        /// Ended tasks that stay.
        keep_max: u64,
        /// Tasks at most; at most [`MAX_PRUNED`].
        most: u32,
    },
    /// Takes the end of a task that ran in an island, once by its id. Known as not ended, it ends with that; known as
    /// ended, nothing changes. The leader has checked who signed it.
    Import(Box<IslandResult>),
}

/// How a task ended that ran where no leader was in reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IslandResult {
    /// The task.
    pub id: TaskId,
    /// The node that took it from its submitter, and signed its end.
    pub origin: NodeId,
    /// The node that ran it.
    pub worker: NodeId,
    /// Attempts begun.
    pub attempts: u32,
    /// By the clock of `origin`, as the following: when it was taken.
    pub submitted_at: Millis,
    /// When its first attempt began.
    pub started_at: Option<Millis>,
    /// When it ended.
    pub finished_at: Millis,
    /// What was asked for; without the input, which nobody needs any more.
    pub spec: TaskSpec,
    /// Bytes of the input.
    pub input_len: u64,
    /// What it came to.
    pub outcome: Outcome,
    /// Hash of the signed entry, for who wants to compare.
    pub entry: [u8; 32],
}

/// What a node may do in its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Access {
    /// It may vote.
    Voter,
    /// It works, and does not vote: the operator said so.
    Worker,
    /// It was removed, and is not let in again.
    Banned,
}

/// Why a task was taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RequeueCause {
    /// No acknowledgement in time.
    AckTimeout,
    /// No outcome in time.
    ProcessingTimeout,
    /// The worker went away.
    WorkerOffline,
    /// The worker does not take it (full, or it lost the plugin): not counted as an attempt.
    Refused,
    /// The leader restarted and does not know what became of it.
    LeaderRestart,
}

impl RequeueCause {
    /// Whether the task itself may be at fault, so that the attempt counts against its limit.
    pub fn is_strike(self) -> bool {
        matches!(self, RequeueCause::AckTimeout | RequeueCause::ProcessingTimeout)
    }

    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            RequeueCause::AckTimeout => "the worker did not acknowledge it in time",
            RequeueCause::ProcessingTimeout => "the worker did not finish it in time",
            RequeueCause::WorkerOffline => "the worker went away",
            RequeueCause::Refused => "the worker did not take it",
            RequeueCause::LeaderRestart => "the node restarted while it ran",
        }
    }
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Done.
    Done,
    /// The task was known already; nothing changed.
    Known(Status),
    /// Not this task's present assignment; nothing changed.
    Stale,
    /// The cluster has given way to another; nothing changed.
    Sealed,
    /// The node's number among the voters.
    Enlisted(u64),
}
