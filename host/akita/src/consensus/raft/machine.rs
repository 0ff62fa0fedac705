//! The state that the voters' log leads to: applied by the writer's one thread, entry by entry, alike on every voter. A
//! snapshot is the state itself, copied into a file only when another voter needs it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use futures_util::{Stream, StreamExt};
use openraft::{
    EntryPayload, OptionalSend, RaftSnapshotBuilder,
    alias::SnapshotOf,
    entry::RaftEntry,
    storage::{EntryResponder, RaftStateMachine},
};
use tempfile::TempPath;
use tokio::sync::oneshot;

use super::{
    Shared, packed,
    types::{Entry, LogId, Membership, SnapshotMeta, Types, as_io, cluster_of, pack, unpack},
};
use crate::{
    consensus::{Applied, Committed, Event},
    killpoint::Point,
    store::{Job, Machine, Position, SMALL, Store, StoreError, Writer, note},
};

/// Entries that are applied in one transaction at most.
const APPLIED_AT_ONCE: usize = 256;

/// Makes a file of the state.
#[derive(Clone)]
pub(crate) struct Source {
    store: Store,
    dir: PathBuf,
}

/// A snapshot on its way.
pub(crate) enum SnapshotData {
    /// The state of this voter. It is copied when it is sent, and may have gone on since it was asked for.
    Here(Source),
    /// What came from another voter.
    File(TempPath),
}

/// The file of a snapshot as it travels, and what it holds.
pub(super) struct SnapshotFile {
    pub(super) path: TempPath,
    pub(super) meta: SnapshotMeta,
}

impl Source {
    pub(super) fn new(store: Store, dir: PathBuf) -> Source {
        Source { store, dir }
    }

    /// A file for a snapshot that comes in.
    pub(super) fn new_file(&self) -> io::Result<TempPath> {
        std::fs::create_dir_all(&self.dir)?;
        Ok(tempfile::Builder::new().prefix("snapshot-").suffix(".db").tempfile_in(&self.dir)?.into_temp_path())
    }

    /// Copies the state as it is now, beside the writer and off the async threads.
    async fn copy(&self) -> io::Result<TempPath> {
        let path = self.new_file()?;
        self.store.raft_export(path.to_path_buf()).await.map_err(as_io)?;
        Ok(path)
    }

    /// The same, ready to travel.
    pub(super) async fn pack(&self) -> io::Result<SnapshotFile> {
        let begun = Instant::now();
        let copy = self.copy().await?;
        let meta = self.meta(&copy).await?;
        let (copied, path) = (begun.elapsed(), self.new_file()?);
        let (from, to) = (copy.to_path_buf(), path.to_path_buf());
        let (size, packed) = blocking(move || packed::pack(&from, &to)).await?;
        let (copy_ms, pack_ms) = (copied.as_millis(), (begun.elapsed() - copied).as_millis());
        tracing::info!(copy_ms, pack_ms, bytes = size, packed_bytes = packed, "took a snapshot for another voter");
        Ok(SnapshotFile { path, meta })
    }

    /// The state in a file that came from another voter.
    pub(super) async fn unpack(&self, packed: TempPath) -> io::Result<TempPath> {
        let path = self.new_file()?;
        let to = path.to_path_buf();
        blocking(move || packed::unpack(&packed, &to)).await?;
        Ok(path)
    }

    /// What a file of the state holds.
    pub(super) async fn meta(&self, path: &Path) -> io::Result<SnapshotMeta> {
        let noted = |key| self.store.raft_exported(path.to_path_buf(), key);
        let applied = noted(note::APPLIED).await.map_err(as_io)?;
        let membership = noted(note::MEMBERSHIP).await.map_err(as_io)?;
        Ok(SnapshotMeta {
            last_log_id: applied.map(|bytes| unpack(&bytes)).transpose()?,
            last_membership: membership.map(|bytes| unpack(&bytes)).transpose()?.unwrap_or_default(),
        })
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// The state machine as the engine sees it.
pub(crate) struct StateMachine {
    source: Source,
    writer: Writer,
    shared: Arc<Shared>,
    applied: Option<LogId>,
    membership: Membership,
    /// What the engine was last given as a snapshot.
    snapshot: Option<SnapshotMeta>,
}

impl StateMachine {
    /// As the database holds it.
    pub(super) async fn load(source: Source, writer: Writer, shared: Arc<Shared>) -> io::Result<StateMachine> {
        let noted = |key| source.store.raft_noted(key);
        let applied = noted(note::APPLIED).await.map_err(as_io)?.map(|bytes| unpack(&bytes)).transpose()?;
        let membership = noted(note::MEMBERSHIP).await.map_err(as_io)?.map(|bytes| unpack(&bytes)).transpose()?;
        let membership: Membership = membership.unwrap_or_default();
        Ok(StateMachine { source, writer, shared, applied, membership, snapshot: None })
    }

    /// The voter that decides alone, if one does.
    pub(super) fn only_voter(&self) -> Option<u64> {
        let voters: Vec<u64> = self.membership.voter_ids().collect();
        if let [only] = voters[..] { Some(only) } else { None }
    }

    async fn apply_some(&mut self, entries: Vec<Entry>) -> io::Result<()> {
        let Some(last) = entries.last().map(RaftEntry::log_id) else { return Ok(()) };
        let mut changed = false;
        for entry in &entries {
            if let EntryPayload::Membership(membership) = &entry.payload {
                self.membership = Membership::new(Some(entry.log_id()), membership.clone());
                changed = true;
            }
        }
        let (answer, answered) = oneshot::channel();
        let job = Apply {
            entries,
            applied: pack(&last),
            membership: changed.then(|| pack(&self.membership)),
            shared: self.shared.clone(),
            done: Vec::new(),
            answer,
        };
        self.writer.send_when_free(SMALL, job).await.map_err(|_| as_io(self.writer.reason()))?;
        answered.await.unwrap_or_else(|_| Err(self.writer.reason())).map_err(as_io)?;
        self.applied = Some(last);
        Ok(())
    }
}

impl RaftStateMachine<Types> for StateMachine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, Membership)> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + OptionalSend,
    {
        let (mut batch, mut responders) = (Vec::new(), Vec::new());
        loop {
            let next = entries.next().await.transpose()?;
            let ended = next.is_none();
            if let Some((entry, responder)) = next {
                batch.push(entry);
                responders.extend(responder);
            }
            if ended || batch.len() >= APPLIED_AT_ONCE {
                self.apply_some(std::mem::take(&mut batch)).await?;
                responders.drain(..).for_each(|responder| responder.send(()));
            }
            if ended {
                return Ok(());
            }
        }
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        let meta = SnapshotMeta { last_log_id: self.applied, last_membership: self.membership.clone() };
        self.snapshot = Some(meta.clone());
        Builder { meta, source: self.source.clone() }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: SnapshotData) -> io::Result<()> {
        let path = match snapshot {
            SnapshotData::Here(source) => source.copy().await?,
            SnapshotData::File(path) => path,
        };
        let file = path.to_path_buf();
        let cluster = self.source.store.raft_exported(file.clone(), note::CLUSTER).await.map_err(as_io)?;
        if cluster.as_deref().and_then(cluster_of) != Some(self.shared.cluster) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a snapshot of another cluster"));
        }
        let import = move |machine: &mut Machine| machine.raft_import(&file);
        self.writer.write(SMALL, import).await.map_err(as_io)?;
        Point::AfterSnapshotInstalledBeforeLogPurge.reach();
        self.shared.send(Event::Replaced);
        self.applied.clone_from(&meta.last_log_id);
        self.membership.clone_from(&meta.last_membership);
        self.snapshot = Some(meta.clone());
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<SnapshotOf<Types, SnapshotData>>> {
        let source = self.source.clone();
        Ok(self
            .snapshot
            .clone()
            .map(|meta| SnapshotOf::<Types, SnapshotData> { meta, snapshot: SnapshotData::Here(source) }))
    }
}

/// Says what a snapshot taken now holds; copies nothing.
pub(crate) struct Builder {
    meta: SnapshotMeta,
    source: Source,
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<Types, SnapshotData>> {
        Ok(SnapshotOf::<Types, SnapshotData> {
            meta: self.meta.clone(),
            snapshot: SnapshotData::Here(self.source.clone()),
        })
    }
}

/// Applies committed entries, within one transaction.
struct Apply {
    entries: Vec<Entry>,
    applied: Vec<u8>,
    membership: Option<Vec<u8>>,
    shared: Arc<Shared>,
    done: Vec<Event>,
    answer: oneshot::Sender<Result<(), StoreError>>,
}

impl Job for Apply {
    /// What is applied is in the logs of most voters' disks: after a power cut it is applied again.
    fn must_last(&self) -> bool {
        false
    }

    fn run(&mut self, machine: &mut Machine) -> Result<(), StoreError> {
        for entry in std::mem::take(&mut self.entries) {
            let (id, last) = (entry.log_id(), machine.position());
            let EntryPayload::Normal(proposal) = entry.payload else {
                machine.skip(Position { index: id.index, time: last.time });
                continue;
            };
            // Every voter comes to the same time: it never goes back, whatever the leader's clock does.
            let at = Position { index: id.index, time: proposal.time.max(last.time) };
            let leads = self.shared.is_own_lead(&proposal, id.leader_id.term);
            let own = (proposal.process == self.shared.process).then_some(proposal.number);
            let effects = machine.apply(at, proposal.commands)?;
            let (changes, replies) = (effects.changes, effects.replies);
            self.done.push(Event::Applied(Applied { index: at.index, time: at.time, changes, replies, own }));
            if leads {
                let state = Box::new(machine.state().clone());
                self.done.push(Event::Leads { term: id.leader_id.term, state, time: at.time });
            }
        }
        if let Some(membership) = &self.membership {
            machine.raft_note(note::MEMBERSHIP, membership)?;
        }
        machine.raft_note(note::APPLIED, &self.applied)?;
        Point::BeforeApplyCommitted.reach();
        Ok(())
    }

    fn finish(self: Box<Self>, outcome: Result<(), StoreError>) {
        if outcome.is_ok() {
            Point::AfterApplyCommitted.reach();
            for event in self.done {
                if let Event::Applied(Applied { index, time, replies, own: Some(own), .. }) = &event
                    && let Some(waiter) = self.shared.take_waiter(*own)
                {
                    let _ = waiter.send(Ok(Committed { index: *index, time: *time, replies: replies.clone() }));
                }
                self.shared.send(event);
            }
        }
        // Who no longer listens misses nothing that is not in the store.
        let _ = self.answer.send(outcome);
    }
}
