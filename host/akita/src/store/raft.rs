//! What a voter keeps beside the replicated state: the log that voters share, notes such as its vote, and the copying of
//! the whole state from one database to another. It stores bytes; what they mean is known to `consensus` alone.

use std::{fs, ops::Range, path::Path};

use rusqlite::{Connection, OptionalExtension, Params, params, types::Value};

use crate::killpoint::Point;

use super::{connection, error::StoreError, machine::Machine, sql::unsigned};

/// Names of the notes.
pub(crate) mod note {
    /// The cluster whose log it is.
    pub(crate) const CLUSTER: &str = "cluster";
    /// This voter's number.
    pub(crate) const NUMBER: &str = "number";
    /// The timing that all voters of the log share.
    pub(crate) const PROFILE: &str = "profile";
    /// The vote.
    pub(crate) const VOTE: &str = "vote";
    /// The last entry that was dropped from the log because the state holds it.
    pub(crate) const PURGED: &str = "purged";
    /// The last entry that the state holds.
    pub(crate) const APPLIED: &str = "applied";
    /// Who votes, as of that entry.
    pub(crate) const MEMBERSHIP: &str = "membership";
}

/// The tables of the replicated state: the same on every voter. Counters are among them but for the local outbox.
const REPLICATED: [&str; 9] = [
    "cluster",
    "log_position",
    "tasks",
    "task_inputs",
    "task_results",
    "ledger",
    "ledger_hashes",
    "enlisted",
    "cluster_key",
];
/// The counter that is about this node and not about the log.
const LOCAL_COUNTER: &str = "queued_locally";
/// Notes that belong to the state and not to the voter.
const STATE_NOTES: [&str; 3] = [note::CLUSTER, note::APPLIED, note::MEMBERSHIP];

/// What an exported database is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Export {
    /// Another voter takes it as its own.
    Snapshot,
    /// This node keeps it as it was, with its signatures.
    Archive,
}

impl Machine {
    /// Notes `value` under `key`.
    pub(crate) fn raft_note(&mut self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.conn
            .prepare_cached("INSERT OR REPLACE INTO raft_notes (key, value) VALUES (?1, ?2)")?
            .execute(params![key, value])?;
        Ok(())
    }

    /// A note.
    pub(crate) fn raft_noted(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        noted(&self.conn, key)
    }

    /// Appends entries to the voters' log.
    pub(crate) fn raft_append(&mut self, entries: &[(u64, Vec<u8>)]) -> Result<(), StoreError> {
        let mut insert = self.conn.prepare_cached("INSERT OR REPLACE INTO raft_log (idx, entry) VALUES (?1, ?2)")?;
        for (index, entry) in entries {
            insert.execute(params![index.cast_signed(), entry])?;
        }
        Ok(())
    }

    /// Drops the entries from `from` on: another leader never had them.
    pub(crate) fn raft_truncate(&mut self, from: u64) -> Result<(), StoreError> {
        self.conn.prepare_cached("DELETE FROM raft_log WHERE idx >= ?1")?.execute([from.cast_signed()])?;
        Ok(())
    }

    /// Drops the entries up to `to`, which the state holds.
    pub(crate) fn raft_purge(&mut self, to: u64, purged: &[u8]) -> Result<(), StoreError> {
        self.conn.prepare_cached("DELETE FROM raft_log WHERE idx <= ?1")?.execute([to.cast_signed()])?;
        self.raft_note(note::PURGED, purged)
    }

    /// Takes the whole replicated state from an exported database in place of its own; nothing else of this node's
    /// changes. In memory and on disk, or, as with any error, not at all: the writer stops then.
    pub(crate) fn raft_import(&mut self, from: &Path) -> Result<(), StoreError> {
        let source = connection::reader(from)?;
        connection::check_schema(&source)?;
        self.clear_replicated()?;
        for (at, table) in REPLICATED.iter().enumerate() {
            copy(&source, &self.conn, &format!("SELECT * FROM {table}"), table)?;
            if at == REPLICATED.len() / 2 {
                Point::MidSnapshotInstall.reach();
            }
        }
        copy(&source, &self.conn, "SELECT * FROM counters", "counters")?;
        for key in STATE_NOTES {
            if let Some(value) = noted(&source, key)? {
                self.raft_note(key, &value)?;
            }
        }
        self.reload()
    }

    /// Forgets the replicated state: this node begins anew, with an empty log and an empty ledger.
    pub(crate) fn raft_clear(&mut self) -> Result<(), StoreError> {
        self.clear_replicated()?;
        self.conn.execute_batch("INSERT INTO log_position VALUES (1, 0, 0)")?;
        self.raft_forget()?;
        self.reload()
    }

    /// Forgets the voters' log and its notes; the state stays.
    pub(crate) fn raft_forget(&mut self) -> Result<(), StoreError> {
        Ok(self.conn.execute_batch("DELETE FROM raft_log; DELETE FROM raft_notes;")?)
    }

    /// The entries after `index` that the log holds.
    pub(crate) fn raft_entries_after(&self, index: u64) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        entries(&self.conn, index + 1..u64::MAX >> 1, usize::MAX)
    }

    fn clear_replicated(&mut self) -> Result<(), StoreError> {
        // What was counted and not yet written of this node's own.
        self.counters.flush(&self.conn)?;
        for table in REPLICATED {
            self.conn.execute_batch(&format!("DELETE FROM {table}"))?;
        }
        // Signatures over other rows.
        self.conn.execute_batch("DELETE FROM checkpoints")?;
        self.conn.execute("DELETE FROM counters WHERE name <> ?1", [LOCAL_COUNTER])?;
        Ok(())
    }
}

/// A note.
pub(super) fn noted(conn: &Connection, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT value FROM raft_notes WHERE key = ?1")?;
    Ok(statement.query_row([key], |row| row.get(0)).optional()?)
}

/// Entries of the range, in order: as many as have `most` bytes, and at least one.
pub(super) fn entries(conn: &Connection, range: Range<u64>, most: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
    let mut statement =
        conn.prepare_cached("SELECT idx, entry FROM raft_log WHERE idx >= ?1 AND idx < ?2 ORDER BY idx")?;
    let mut rows = statement.query([range.start.cast_signed(), range.end.min(u64::MAX >> 1).cast_signed()])?;
    let (mut found, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let entry: Vec<u8> = row.get(1)?;
        bytes += entry.len();
        if bytes > most && !found.is_empty() {
            break;
        }
        found.push((unsigned(row, 0)?, entry));
    }
    Ok(found)
}

/// The last entry.
pub(super) fn last(conn: &Connection) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT idx, entry FROM raft_log ORDER BY idx DESC LIMIT 1")?;
    Ok(statement.query_row([], |row| Ok((unsigned(row, 0)?, row.get(1)?))).optional()?)
}

/// Copies the replicated state, as it was at one moment, into a new database. The writer goes on meanwhile. SQLite moves
/// whole tables and their indexes as they are, which takes a tenth of the time that rows would.
pub(super) fn export(from: &Path, to: &Path, what: Export) -> Result<(), StoreError> {
    let _ = fs::remove_file(to);
    let target = connection::export(to)?;
    target.execute("ATTACH ?1 AS source", [from.to_string_lossy()])?;
    // The first read fixes the moment for all that follow in the transaction.
    target.execute_batch("BEGIN; DELETE FROM log_position;")?;
    let take = |table: &str| target.execute_batch(&format!("INSERT INTO main.{table} SELECT * FROM source.{table}"));
    for table in REPLICATED {
        take(table)?;
    }
    target.execute("INSERT INTO main.counters SELECT * FROM source.counters WHERE name <> ?1", [LOCAL_COUNTER])?;
    match what {
        Export::Snapshot => {
            for key in STATE_NOTES {
                target.execute("INSERT INTO main.raft_notes SELECT * FROM source.raft_notes WHERE key = ?1", [key])?;
            }
        }
        Export::Archive => take("checkpoints")?,
    }
    target.execute_batch("COMMIT; DETACH source;")?;
    Ok(())
}

/// The notes of an exported database.
pub(super) fn exported_note(path: &Path, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let conn = connection::reader(path)?;
    connection::check_schema(&conn)?;
    noted(&conn, key)
}

fn copy(from: &Connection, to: &Connection, select: &str, table: &str) -> Result<(), StoreError> {
    let mut read = from.prepare(select)?;
    let columns = read.column_count();
    let places: Vec<String> = (1..=columns).map(|at| format!("?{at}")).collect();
    let mut write = to.prepare(&format!("INSERT INTO {table} VALUES ({})", places.join(", ")))?;
    let mut rows = read.query([])?;
    while let Some(row) = rows.next()? {
        let values: Vec<Value> = (0..columns).map(|at| row.get(at)).collect::<Result<_, _>>()?;
        run(&mut write, rusqlite::params_from_iter(values))?;
    }
    Ok(())
}

fn run(statement: &mut rusqlite::Statement<'_>, values: impl Params) -> Result<(), StoreError> {
    statement.execute(values)?;
    Ok(())
}
