//! The state that the log leads to: the core's, as it is. In memory, because this runtime has no threads to wait for a
//! disk; what was not synced is lost at a crash all the same, see [`crate::voters::disk`].

use std::{collections::BTreeMap, io, sync::Arc};

use akita_core::{Archive, Change, Effects, Millis, Reply, State, Status, TaskId};
use futures_util::{Stream, StreamExt};
use openraft::{
    EntryPayload, OptionalSend, RaftSnapshotBuilder,
    entry::RaftEntry,
    storage::{EntryResponder, RaftStateMachine},
};

use crate::voters::{
    check::Judge,
    disk::Disk,
    engine::{Entry, LogId, Membership, Snapshot, SnapshotMeta, Types},
};

/// BLAKE3 over all that the log has led to so far.
pub type Digest = [u8; 32];

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Ended(BTreeMap<TaskId, Status>);

impl Archive for Ended {
    fn ended(&self, task: TaskId) -> Option<Status> {
        self.0.get(&task).copied()
    }
}

/// What a voter's database holds beside the log.
#[derive(Debug, Default, Clone)]
pub struct Machine {
    pub applied: Option<LogId>,
    pub membership: Membership,
    pub state: State,
    ended: Ended,
    time: Millis,
    pub digest: Digest,
}

impl Machine {
    pub fn index(&self) -> u64 {
        self.applied.as_ref().map_or(0, |id| id.index)
    }

    /// Whether it knows the task, alive or ended.
    pub fn knows(&self, task: TaskId) -> bool {
        self.state.tasks().contains_key(&task) || self.ended.0.contains_key(&task)
    }

    /// Bytes of a snapshot of it, about.
    pub fn size(&self) -> usize {
        200 + self.state.tasks().len() * 200 + self.ended.0.len() * 40
    }

    fn meta(&self) -> SnapshotMeta {
        SnapshotMeta { last_log_id: self.applied, last_membership: self.membership.clone() }
    }

    pub fn apply(&mut self, entry: &Entry) -> Vec<Reply> {
        let id = entry.log_id();
        let mut hash = blake3::Hasher::new();
        hash.update(&self.digest).update(format!("{id:?}").as_bytes());
        let mut effects = Effects::default();
        match &entry.payload {
            EntryPayload::Normal(proposal) => {
                // Every voter comes to the same time: it never goes back, whatever the leader's clock does.
                self.time = self.time.max(proposal.time);
                for command in &proposal.commands {
                    let changes = effects.changes.len();
                    self.state.apply(id.index, self.time, command.clone(), &self.ended, &mut effects);
                    for change in &effects.changes[changes..] {
                        match change {
                            Change::Ended { task, .. } => drop(self.ended.0.insert(task.id, task.status)),
                            Change::HandedOver { task, .. } => drop(self.ended.0.remove(task)),
                            _ => {}
                        }
                    }
                }
            }
            EntryPayload::Membership(membership) => {
                self.membership = Membership::new(Some(id), membership.clone());
                hash.update(format!("{membership:?}").as_bytes());
            }
            EntryPayload::Blank => {}
        }
        for row in &effects.rows {
            hash.update(&row.leaf());
        }
        hash.update(format!("{:?}{:?}", effects.changes, effects.replies).as_bytes());
        self.digest = *hash.finalize().as_bytes();
        self.applied = Some(id);
        effects.replies
    }
}

/// The state machine as the engine sees it.
pub struct StateMachine {
    disk: Disk,
    judge: Arc<Judge>,
    snapshot: Option<Machine>,
    /// A mistake on purpose: it tells of another state than it has.
    differs: bool,
}

impl StateMachine {
    pub fn new(disk: Disk, judge: Arc<Judge>, differs: bool) -> StateMachine {
        StateMachine { disk, judge, snapshot: None, differs }
    }
}

impl RaftStateMachine<Types> for StateMachine {
    type SnapshotData = Machine;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, Membership)> {
        self.disk.machine(|machine| (machine.applied, machine.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + OptionalSend,
    {
        while let Some(next) = entries.next().await.transpose()? {
            let (entry, responder) = next;
            let (replies, mut digest) = self.disk.apply(&entry)?;
            digest[0] ^= u8::from(self.differs);
            self.judge.applied(self.disk.voter(), &entry, digest, replies);
            responder.into_iter().for_each(|responder| responder.send(()));
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        let machine = self.disk.machine(Machine::clone).unwrap_or_default();
        self.snapshot = Some(machine.clone());
        Builder(machine)
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: Machine) -> io::Result<()> {
        assert_eq!(*meta, snapshot.meta(), "a snapshot holds what it is said to hold");
        self.disk.install(snapshot.clone()).await?;
        self.judge.installed(self.disk.voter(), &snapshot);
        self.snapshot = Some(snapshot);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        Ok(self.snapshot.clone().map(|machine| Snapshot { meta: machine.meta(), snapshot: machine }))
    }
}

/// A copy of the state at one index.
pub struct Builder(Machine);

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = Machine;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        Ok(Snapshot { meta: self.0.meta(), snapshot: self.0.clone() })
    }
}
