//! What the real engine is built from here: the types that it is given, on a clock that a test turns, and its settings.
//! They are those of `src/consensus/raft` but for the runtime; to exchange one for the other, this file is changed.

use std::{fmt, io};

use akita_core::{Command, Millis, NodeId, autopilot};
use openraft::{
    Config, SnapshotPolicy,
    alias::{EntryOf, LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf, VoteOf},
    errors::{RPCError, Unreachable},
};
use openraft_rt_sim::SimRuntime;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{net::Profile, voters::machine::Machine};

openraft::declare_raft_types!(
    pub Types:
        D = Proposal,
        R = (),
        NodeId = u64,
        Node = NodeId,
        AsyncRuntime = SimRuntime,
);

pub type Entry = EntryOf<Types>;
pub type LogId = LogIdOf<Types>;
pub type Vote = VoteOf<Types>;
pub type Membership = StoredMembershipOf<Types>;
pub type SnapshotMeta = SnapshotMetaOf<Types>;
pub type Snapshot = SnapshotOf<Types, Machine>;
pub type Failed = RPCError<Types>;
pub type Engine = openraft::Raft<Types, crate::voters::machine::StateMachine>;

/// One entry: commands that are committed together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    pub time: Millis,
    pub commands: Vec<Command>,
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} commands", self.commands.len())
    }
}

/// Between two signs of life of the leader, and the silence after which a voter stands for election, in milliseconds.
pub fn timing(profile: Profile) -> (u64, u64, u64) {
    let timing = match profile {
        Profile::Lan => autopilot::Profile::Lan,
        Profile::Wan => autopilot::Profile::Wan,
        Profile::Slow => autopilot::Profile::Slow,
    };
    let (least, most) = timing.election_ms();
    (timing.heartbeat_ms(), least, most)
}

/// `kept`: entries after which the log is cut.
pub fn config(profile: Profile, kept: u64) -> Config {
    let (heartbeat, least, most) = timing(profile);
    Config {
        cluster_name: "akita".into(),
        heartbeat_interval: heartbeat,
        heartbeat_min_interval: Some(heartbeat),
        election_timeout_min: least,
        election_timeout_max: most,
        quorum_loss_probe_interval: Some(most * 3),
        enable_pre_vote: Some(true),
        enable_leader_restore: Some(false),
        max_payload_entries: 256,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(kept),
        max_in_snapshot_log_to_keep: kept,
        replication_lag_threshold: kept * 2,
        install_snapshot_timeout: 3_600_000,
        ..Config::default()
    }
}

pub fn pack(value: &impl Serialize) -> Vec<u8> {
    rmp_serde::to_vec(value).expect("plain data always encodes into memory")
}

pub fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    rmp_serde::from_slice(bytes).ok()
}

pub fn unreachable() -> Failed {
    RPCError::Unreachable(Unreachable::from_string("no answer came".to_owned()))
}

/// What a process hears of a disk once its power is gone.
pub fn no_power() -> io::Error {
    io::Error::other("the power is gone")
}
