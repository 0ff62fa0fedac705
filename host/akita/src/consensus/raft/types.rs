//! The types that the engine is built from, and their bytes. Nothing here decides anything.

use std::{fmt, io};

use akita_core::{ClusterId, Command, Millis, NodeId};
use openraft::{
    alias::{EntryOf, LogIdOf, SnapshotMetaOf, StoredMembershipOf, VoteOf},
    errors::{RPCError, Unreachable},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::store::StoreError;

openraft::declare_raft_types!(
    /// Voters are numbers; each stands for a node's identity.
    pub(crate) Types:
        D = Proposal,
        R = (),
        NodeId = u64,
        Node = NodeId,
);

pub(super) type Entry = EntryOf<Types>;
pub(super) type LogId = LogIdOf<Types>;
pub(super) type Vote = VoteOf<Types>;
pub(super) type Membership = StoredMembershipOf<Types>;
pub(super) type SnapshotMeta = SnapshotMetaOf<Types>;
pub(super) type Failed = RPCError<Types>;

/// One entry: commands that are committed together, and who proposed them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proposal {
    /// Of the process that proposed it, so that it knows its own.
    pub(super) process: u64,
    /// Its number there.
    pub(super) number: u64,
    /// The leader's clock.
    pub(super) time: Millis,
    /// In order.
    pub(super) commands: Vec<Command>,
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} commands", self.commands.len())
    }
}

/// Bytes of plain data, for the disk and the wire.
pub(super) fn pack(value: &impl Serialize) -> Vec<u8> {
    rmp_serde::to_vec(value).expect("plain data always encodes into memory")
}

/// The other way.
pub(super) fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    rmp_serde::from_slice(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
}

pub(super) fn cluster_of(bytes: &[u8]) -> Option<ClusterId> {
    bytes.try_into().ok().map(ClusterId)
}

pub(super) fn number_of(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

/// The engine knows the errors of files; the store's own words stay in them.
pub(super) fn as_io(error: StoreError) -> io::Error {
    io::Error::other(error)
}

pub(super) fn unreachable(why: impl fmt::Display) -> Failed {
    RPCError::Unreachable(Unreachable::from_string(why.to_string()))
}
