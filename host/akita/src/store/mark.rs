//! How far the ledger has come, noted in a file beside the database. If the database is later found with less, it is not
//! what this node had: an older copy, or one whose write-ahead log was taken away. The note may lag behind, never lead.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use akita_core::ClusterId;
use rusqlite::{Connection, OptionalExtension};
use tlog_tiles::Hash;

use super::{
    error::StoreError,
    ledger::{self, tree::Edge},
    raft,
};

/// A ledger's length and root, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    cluster: ClusterId,
    rows: u64,
    root: [u8; 32],
}

/// The file beside the database.
pub(super) fn path(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".head");
    PathBuf::from(name)
}

/// The mark as the database stands; none before a cluster was founded.
pub(super) fn of(conn: &Connection) -> Result<Option<Mark>, StoreError> {
    within(&*conn.unchecked_transaction()?)
}

/// The same within a transaction.
pub(super) fn within(conn: &Connection) -> Result<Option<Mark>, StoreError> {
    let id = conn.query_row("SELECT id FROM cluster", [], |row| row.get(0)).optional()?;
    let Some(cluster) = id.map(ClusterId) else { return Ok(None) };
    let rows = ledger::length(conn)?;
    let Hash(root) = Edge::load(conn, rows)?.root();
    Ok(Some(Mark { cluster, rows, root }))
}

/// Notes it. Not forced to the disk: after a power cut an older mark, or none, is only weaker.
pub(super) fn write(database: &Path, mark: &Mark) -> io::Result<()> {
    let (target, root) = (path(database), blake3::Hash::from_bytes(mark.root).to_hex());
    let unfinished = target.with_extension("head.tmp");
    fs::write(&unfinished, format!("{}\n{}\n{root}\n", mark.cluster, mark.rows))?;
    fs::rename(unfinished, target)
}

/// The last mark; none if there is none that can be read.
pub(super) fn read(database: &Path) -> Option<Mark> {
    let text = fs::read_to_string(path(database)).ok()?;
    let mut lines = text.lines();
    let cluster = lines.next()?.parse().ok()?;
    let rows = lines.next()?.parse().ok()?;
    let root = *blake3::Hash::from_hex(lines.next()?).ok()?.as_bytes();
    Some(Mark { cluster, rows, root })
}

/// Whether the node has put its own log into the archive and waits for that of the voters.
fn waits_for_voters(conn: &Connection) -> bool {
    // An older schema has no such table, and no such node.
    raft::noted(conn, raft::note::NUMBER).is_ok_and(|number| number.is_some())
}

impl Mark {
    /// Why a database without any row is not the one that was marked.
    pub(super) fn missing(&self, database: &Path) -> StoreError {
        self.older(database, 0)
    }

    /// Whether the database has all that was marked.
    pub(super) fn check(&self, conn: &Connection, database: &Path) -> Result<(), StoreError> {
        let cluster: Option<[u8; 16]> = conn.query_row("SELECT id FROM cluster", [], |row| row.get(0)).optional()?;
        // Another cluster's ledger took its place, and the mark was not renewed yet.
        if cluster.is_some_and(|cluster| cluster != self.cluster.0) {
            return Ok(());
        }
        if cluster.is_none() && waits_for_voters(conn) {
            return Ok(());
        }
        let rows = ledger::length(conn)?;
        if rows < self.rows {
            return Err(self.older(database, rows));
        }
        if Edge::load(conn, self.rows)?.root().0 != self.root {
            let text = format!("the first {} rows of the ledger are not those that it had before", self.rows);
            return Err(StoreError::Damaged(text));
        }
        Ok(())
    }

    fn older(&self, database: &Path, rows: u64) -> StoreError {
        StoreError::Older { rows, before: self.rows, mark: path(database) }
    }
}
