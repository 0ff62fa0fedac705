//! What the node keeps beside the log: the outbox, and notes to itself. Neither is in the ledger.

use akita_core::{
    id::{Millis, TaskId},
    task::Status,
};
use rusqlite::{Connection, OptionalExtension, params};

use super::{error::StoreError, machine::Machine, records::OutboxItem, sql::unsigned};

impl Machine {
    /// False when the task is in it already.
    pub(super) fn outbox_add(&mut self, id: TaskId, spec: &[u8], created: Millis) -> Result<bool, StoreError> {
        let added = self
            .conn
            .prepare_cached("INSERT OR IGNORE INTO outbox (task, spec, created_at) VALUES (?1, ?2, ?3)")?
            .execute(params![id.0, spec, created.cast_signed()])?;
        self.counters.add(Status::QueuedLocally.as_str(), added as i64);
        Ok(added > 0)
    }

    /// False when the task is not in it.
    pub(super) fn outbox_remove(&mut self, id: TaskId) -> Result<bool, StoreError> {
        let removed = self.conn.prepare_cached("DELETE FROM outbox WHERE task = ?1")?.execute([id.0])?;
        self.counters.add(Status::QueuedLocally.as_str(), -(removed as i64));
        Ok(removed > 0)
    }

    pub(super) fn set_meta(&mut self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.conn
            .prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?
            .execute(params![key, value])?;
        Ok(())
    }
}

/// All that is in the outbox, oldest first.
pub(super) fn outbox(conn: &Connection) -> Result<Vec<OutboxItem>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT task, spec, created_at FROM outbox ORDER BY seq")?;
    let items = statement.query_map([], |row| {
        Ok(OutboxItem { task: TaskId(row.get(0)?), spec: row.get(1)?, created: unsigned(row, 2)? })
    })?;
    Ok(items.collect::<Result<_, _>>()?)
}

/// A note.
pub(super) fn meta(conn: &Connection, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
    Ok(statement.query_row([key], |row| row.get(0)).optional()?)
}
