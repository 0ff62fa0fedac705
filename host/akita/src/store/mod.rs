//! The node's durable memory: one SQLite database in a locked directory. It owns every SQL statement, the ledger's
//! Merkle tree and the writer's thread; it never decides what is written, nor talks to another node.
//!
//! Reads go through [`Store`] and see what was committed. Proposals go through [`Consensus`](crate::consensus).

use std::{collections::BTreeMap, path::Path, sync::Arc};

use akita_core::{
    NodeId,
    event::LedgerRow,
    id::{Millis, TaskId},
    keys::KeyTurn,
    state::{Cluster, Enlisted, State},
    task::{Content, Status},
    wire::Cosign,
};

mod archive;
mod blobs;
mod check;
mod connection;
mod copy;
mod counters;
mod data_dir;
mod error;
mod inspect;
mod island;
mod kv;
mod ledger;
mod machine;
mod mark;
mod notes;
mod raft;
mod readers;
mod records;
mod rows;
mod sql;
mod tasks;
mod writer;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use blobs::{BlobKey, BlobRow, charge};
pub use check::{CheckReport, Finding, Verdict, check_file};
pub use copy::{CopySummary, Settle, copy_file, settle};
pub use data_dir::{DataDir, DataDirError};
pub use error::StoreError;
pub use kv::Put;
pub(crate) use ledger::tree::Edge;
pub use ledger::{
    checkpoint::{LedgerKey, SignFn, Signer},
    verify::VerifyReport,
};
pub use machine::Position;
pub use records::{
    CheckpointRecord, IslandCounts, IslandJournal, IslandRecord, IslandSigned, IslandStart, LedgerHead, LedgerPage,
    LedgerQuery, LedgerRange, OutboxItem, ProvenRow, TaskMeta, TaskRecord,
};

pub(crate) use machine::Machine;
pub(crate) use raft::note;
pub(crate) use writer::{Job, NotTaken, SMALL, Writer};

/// The database's usual name.
pub const DEFAULT_FILE: &str = "akita.db";
/// Where this node's earlier logs lie, each a database as it was when the node began to vote for another cluster.
pub const ARCHIVE_DIR: &str = "archive";
/// Rows or tasks in one answer at most: some 300 KiB.
pub const MAX_ROWS: usize = 1_000;

/// A handle on the database for reading, and for what is written beside the log. Clones share it.
#[derive(Clone)]
pub struct Store {
    writer: Writer,
    readers: Arc<readers::Readers>,
    archives: Arc<archive::Archives>,
    key: LedgerKey,
}

/// What a voter says to its leader's checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cosigning {
    /// Its rows are the same; its signature over the same text.
    Signed([u8; 64]),
    /// It has not so many rows yet.
    Behind,
    /// Its own rows are others.
    Differs,
    /// The leader's signature is false.
    Forged,
}

/// An opened database.
pub(crate) struct Opened {
    pub(crate) store: Store,
    pub(crate) writer: Writer,
    /// As it was at the start.
    pub(crate) state: State,
    pub(crate) position: Position,
    /// The log is one that several vote on.
    pub(crate) votes: bool,
}

/// Opens the database `file` in `dir`, brings its schema up to date and starts the writer.
pub(crate) fn open(dir: &DataDir, file: &str, signer: Signer) -> Result<Opened, StoreError> {
    let path = dir.file(file);
    let key = signer.key;
    let refused = |source| StoreError::Open { path: path.clone(), source: Box::new(source) };
    inspect::before_open(&path, &key).map_err(refused)?;
    let machine = Machine::load(connection::writer(&path)?, signer).map_err(refused)?;
    let (state, position) = (machine.state().clone(), machine.position());
    let votes = machine.raft_noted(note::NUMBER)?.is_some();
    let writer = Writer::start(machine, dir.clone())?;
    let archives = Arc::new(archive::Archives::find(dir.file(ARCHIVE_DIR)));
    let store = Store { writer: writer.clone(), readers: readers::Readers::new(path), archives, key };
    Ok(Opened { store, writer, state, position, votes })
}

/// Checks the ledger of a database that no node need run on, also one too damaged to start. Blocks.
///
/// # Errors
/// The file cannot be read. What does not agree is in the report.
pub fn verify_file(path: &Path, key: &LedgerKey) -> Result<VerifyReport, StoreError> {
    let verify = || ledger::verify::verify_whole(&connection::reader(path)?, std::slice::from_ref(key));
    verify().map_err(|source| StoreError::Open { path: path.to_owned(), source: Box::new(source) })
}

/// A task that an archive knows the end of. One that had not ended is another cluster's, or was when this node was away.
fn ended(conn: &rusqlite::Connection, id: TaskId) -> Result<Option<TaskRecord>, StoreError> {
    Ok(tasks::record(conn, id)?.filter(|found| found.meta.task.status.is_end()))
}

/// Reading. Every method fails only if the database cannot be read.
impl Store {
    /// A task with its result.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn task(&self, id: TaskId) -> Result<Option<TaskRecord>, StoreError> {
        let found = self.readers.read(move |conn| tasks::record(conn, id)).await?;
        match found {
            // A task that ended on this node's books before it began to vote for another cluster.
            None if !self.archives.is_empty() => self.archives.find_in(move |conn| ended(conn, id)).await,
            found => Ok(found),
        }
    }

    /// A task without its result.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn task_meta(&self, id: TaskId) -> Result<Option<TaskMeta>, StoreError> {
        self.readers.read(move |conn| tasks::meta(conn, id)).await
    }

    /// A task's input; none once it has ended.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn input(&self, id: TaskId) -> Result<Option<Content>, StoreError> {
        self.readers.read(move |conn| tasks::input(conn, id)).await
    }

    /// The inputs of those tasks that have not ended, in the order asked for.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn inputs(&self, ids: &[TaskId]) -> Result<Vec<(TaskId, Content)>, StoreError> {
        let ids = ids.to_vec();
        let read = move |conn: &rusqlite::Connection| {
            let inputs = ids.into_iter().filter_map(|id| match tasks::input(conn, id) {
                Ok(input) => input.map(|input| Ok((id, input))),
                Err(error) => Some(Err(error)),
            });
            inputs.collect()
        };
        self.readers.read(read).await
    }

    /// The newest accepted tasks, newest first; at most [`MAX_ROWS`].
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn list(&self, status: Option<Status>, limit: usize) -> Result<Vec<TaskMeta>, StoreError> {
        self.readers.read(move |conn| tasks::list(conn, status, limit.min(MAX_ROWS))).await
    }

    /// Tasks per status. For an end: all that ever ended so, also those whose records were deleted since.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn counts(&self) -> Result<BTreeMap<Status, u64>, StoreError> {
        let count = |conn: &rusqlite::Connection| {
            let moment = conn.unchecked_transaction()?;
            Status::ALL.into_iter().map(|status| Ok((status, counters::read(&moment, status.as_str())?))).collect()
        };
        self.readers.read(count).await
    }

    /// Whether ended tasks are to be forgotten: some ended before `older_than`, or there are more than `keep_max`.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn prunable(&self, older_than: Millis, keep_max: u64) -> Result<bool, StoreError> {
        self.readers.read(move |conn| tasks::prunable(conn, older_than, keep_max)).await
    }

    /// The last entry of the log that the database holds.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn log_index(&self) -> Result<u64, StoreError> {
        let read = |conn: &rusqlite::Connection| {
            Ok(conn.query_row("SELECT log_index FROM log_position", [], |row| sql::unsigned(row, 0))?)
        };
        self.readers.read(read).await
    }

    /// Nodes that voters know by number, and those that were removed, as of the state here.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn enlisted(&self) -> Result<BTreeMap<NodeId, Enlisted>, StoreError> {
        self.readers.read(machine::read_enlisted).await
    }

    /// The cluster of this node's log.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn cluster(&self) -> Result<Option<Cluster>, StoreError> {
        self.readers.read(machine::read_cluster).await
    }

    /// What the log says of the newest cluster key; nothing before the first rotation.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn key_turn(&self) -> Result<Option<KeyTurn>, StoreError> {
        self.readers.read(machine::read_key).await
    }

    /// Rows of the ledger, newest first.
    ///
    /// # Errors
    /// The database cannot be read, or a row in it cannot be understood.
    pub async fn ledger(&self, query: LedgerQuery) -> Result<LedgerPage, StoreError> {
        self.readers.read(move |conn| ledger::query(conn, query)).await
    }

    /// The ledger's length and root.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn ledger_head(&self) -> Result<LedgerHead, StoreError> {
        self.readers.read(ledger::head).await
    }

    /// Whose ledger it is, and the key that signs it.
    pub fn ledger_key(&self) -> LedgerKey {
        self.key
    }

    /// The newest signed checkpoints, newest first; at most [`MAX_ROWS`].
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn checkpoints(&self, limit: usize) -> Result<Vec<CheckpointRecord>, StoreError> {
        self.readers.read(move |conn| ledger::checkpoints(conn, limit.min(MAX_ROWS))).await
    }

    /// At most `limit` rows of the ledger in their order from `from` on, and how many there are; at most [`MAX_ROWS`].
    ///
    /// # Errors
    /// The database cannot be read, or a row in it cannot be understood.
    pub async fn ledger_rows(&self, from: u64, limit: usize) -> Result<(Vec<LedgerRow>, u64), StoreError> {
        self.readers.read(move |conn| ledger::prove::rows(conn, from, limit)).await
    }

    /// A checkpoint over `least` rows or more, or over all that there are: the newest one, or a new one where that is
    /// too old. None where the ledger has not as many rows.
    ///
    /// # Errors
    /// The database cannot be read or written.
    pub async fn signed_head(&self, least: Option<u64>) -> Result<Option<CheckpointRecord>, StoreError> {
        if let Some(newest) = self.readers.read(move |conn| ledger::covering(conn, least)).await? {
            return Ok(Some(newest));
        }
        let rows = self.readers.read(ledger::length).await?;
        if least.is_some_and(|least| least > rows) {
            return Ok(None);
        }
        let sign = |machine: &mut Machine| {
            let time = machine.position().time;
            machine.ledger.checkpoint(&machine.conn, time)?;
            ledger::prove::newest(&machine.conn)
        };
        let newest = self.writer.write(SMALL, sign).await?;
        Ok(newest.filter(|newest| least.is_none_or(|least| newest.size >= least)))
    }

    /// A row with its audit path to a signed checkpoint; none if there is no such row.
    ///
    /// # Errors
    /// The database cannot be read or written.
    pub async fn prove_row(&self, index: u64) -> Result<Option<ProvenRow>, StoreError> {
        let Some(head) = self.signed_head(Some(index.saturating_add(1))).await? else { return Ok(None) };
        let size = head.size;
        let found = self.readers.read(move |conn| ledger::prove::row(conn, index, size)).await?;
        Ok(found.map(|(row, path)| ProvenRow { row, path: path.into_iter().map(|hash| hash.0).collect(), head }))
    }

    /// The proof for the rows from `from` to before `to`, of which there must be one; none if there are not as many.
    ///
    /// # Errors
    /// The database cannot be read or written.
    pub async fn prove_range(&self, from: u64, to: u64) -> Result<Option<LedgerRange>, StoreError> {
        let Some(head) = self.signed_head(Some(to)).await? else { return Ok(None) };
        let size = head.size;
        let proof = self.readers.read(move |conn| ledger::prove::range(conn, from, to, size)).await?;
        let plain = |hashes: Vec<tlog_tiles::Hash>| hashes.into_iter().map(|hash| hash.0).collect();
        Ok(Some(LedgerRange { before: plain(proof.0), consistency: plain(proof.1), head }))
    }

    /// Checks the whole ledger, while the node goes on. Some seconds for a million rows.
    ///
    /// # Errors
    /// The database cannot be read. What does not agree is in the report.
    pub async fn verify(&self) -> Result<VerifyReport, StoreError> {
        self.verify_with(Vec::new()).await
    }

    /// The same with the signatures of `others` under its checkpoints.
    ///
    /// # Errors
    /// As above.
    pub async fn verify_with(&self, others: Vec<LedgerKey>) -> Result<VerifyReport, StoreError> {
        let keys: Vec<LedgerKey> = [self.key].into_iter().chain(others).collect();
        self.readers.read_long(move |conn| ledger::verify::verify_whole(conn, &keys)).await
    }

    /// This node's signature under a checkpoint that `leader` has signed, if the rows here are those under it.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn cosign(&self, leader: LedgerKey, asked: Cosign) -> Result<Cosigning, StoreError> {
        let Cosign { size, root, signature } = asked;
        let Ok(note) = leader.signed(size, root, &signature) else { return Ok(Cosigning::Forged) };
        match self.readers.read(move |conn| ledger::root_of(conn, size)).await? {
            None => return Ok(Cosigning::Behind),
            Some(own) if own.0 != root => return Ok(Cosigning::Differs),
            Some(_) => {}
        }
        let signed = self.writer.write(SMALL, move |machine| Ok(machine.ledger.cosign(&note).ok())).await?;
        Ok(signed.map_or(Cosigning::Forged, Cosigning::Signed))
    }

    /// Keeps another node's signature under the checkpoint over `size` rows. False where that has it, or there is none, or
    /// the signature is false.
    ///
    /// # Errors
    /// The writer failed or was closed.
    pub async fn add_signature(&self, size: u64, key: LedgerKey, signature: Vec<u8>) -> Result<bool, StoreError> {
        let add = move |machine: &mut Machine| ledger::add_signature(&machine.conn, size, &key, &signature);
        self.writer.write(SMALL, add).await
    }

    /// All that is in the outbox, oldest first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn outbox_all(&self) -> Result<Vec<OutboxItem>, StoreError> {
        self.readers.read(notes::outbox).await
    }

    /// What was last noted under `key`.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn get_meta(&self, key: &'static str) -> Result<Option<Vec<u8>>, StoreError> {
        self.readers.read(move |conn| notes::meta(conn, key)).await
    }
}

/// For the voters' log alone.
impl Store {
    pub(crate) async fn raft_entries(
        &self,
        range: std::ops::Range<u64>,
        most: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.readers.read(move |conn| raft::entries(conn, range, most)).await
    }

    pub(crate) async fn raft_last(&self) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        self.readers.read(raft::last).await
    }

    pub(crate) async fn raft_noted(&self, key: &'static str) -> Result<Option<Vec<u8>>, StoreError> {
        self.readers.read(move |conn| raft::noted(conn, key)).await
    }

    /// Writes the replicated state, as it is now, into a new file. Says which entry it holds, as noted.
    pub(crate) async fn raft_export(&self, to: std::path::PathBuf) -> Result<(), StoreError> {
        let from = self.readers.path().to_owned();
        self.readers.read_long(move |_| raft::export(&from, &to, raft::Export::Snapshot)).await
    }

    /// A note in an exported file.
    pub(crate) async fn raft_exported(
        &self,
        file: std::path::PathBuf,
        key: &'static str,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.readers.read_long(move |_| raft::exported_note(&file, key)).await
    }

    /// Keeps this node's log as it is now, with its signatures, in the folder of archives; its ended tasks are found
    /// there from then on.
    pub(crate) async fn archive(&self, name: String) -> Result<(), StoreError> {
        let (archives, readers) = (self.archives.clone(), self.readers.clone());
        let file = archives.file(&name)?;
        let to = file.clone();
        let from = readers.path().to_owned();
        readers.read_long(move |_| raft::export(&from, &to, raft::Export::Archive)).await?;
        archives.settle(&file)
    }
}

/// Writing beside the log. Each answers after its commit, which it shares with whatever else waits.
impl Store {
    /// Puts a task into the outbox. False when it is in it already.
    ///
    /// # Errors
    /// The writer failed or was closed.
    pub async fn outbox_add(&self, id: TaskId, spec: Vec<u8>, created: Millis) -> Result<bool, StoreError> {
        self.writer.write(writer::units(spec.len()), move |machine| machine.outbox_add(id, &spec, created)).await
    }

    /// Takes a task out of the outbox. False when it is not in it.
    ///
    /// # Errors
    /// The writer failed or was closed.
    pub async fn outbox_remove(&self, id: TaskId) -> Result<bool, StoreError> {
        self.writer.write(SMALL, move |machine| machine.outbox_remove(id)).await
    }

    /// Notes `value` under `key`.
    ///
    /// # Errors
    /// The writer failed or was closed.
    pub async fn set_meta(&self, key: &'static str, value: Vec<u8>) -> Result<(), StoreError> {
        self.writer.write(SMALL, move |machine| machine.set_meta(key, &value)).await
    }

    /// Waits until the writer has failed, and says why. The node must stop then; see invariant 2 of the architecture.
    pub async fn failed(&self) -> StoreError {
        let mut fatal = self.writer.fatal();
        let failure = fatal.wait_for(Option::is_some).await.ok().and_then(|failure| failure.clone());
        match failure {
            Some(failure) => failure,
            // Closed in order: it will not fail any more.
            None => std::future::pending().await,
        }
    }

    /// Notes beside the database how far its ledger has come, so that an older copy of it is known as one.
    ///
    /// # Errors
    /// The database cannot be read. That the note cannot be written is only logged: it guards, and holds nothing.
    pub async fn mark(&self) -> Result<(), StoreError> {
        let path = self.readers.path().to_owned();
        let mark = move |conn: &rusqlite::Connection| {
            let now = mark::of(conn)?;
            if let Some(mark) = now.filter(|now| mark::read(&path).as_ref() != Some(now)) {
                let written = mark::write(&path, &mark);
                let _ = written.inspect_err(|error| tracing::debug!(%error, "the ledger's length could not be noted"));
            }
            Ok(())
        };
        self.readers.read(mark).await
    }

    /// Commits what is queued, signs the ledger's end and ends the writer. Reading still works.
    ///
    /// # Errors
    /// The writer failed, now or before.
    pub async fn close(&self) -> Result<(), StoreError> {
        let writer = self.writer.clone();
        let closed = tokio::task::spawn_blocking(move || writer.close()).await;
        closed.unwrap_or_else(|error| Err(StoreError::Panicked(error.to_string())))
    }
}
