//! Running totals, written in the transaction of what they count. A total of an end counts all that ever ended so,
//! also those whose records retention has deleted.

use std::collections::BTreeMap;

use akita_core::{event::EventType, task::Status};
use rusqlite::{Connection, OptionalExtension, params};

use super::error::StoreError;

/// Name of the total of tasks that have left and are still stored: what retention goes by.
pub(super) const KEPT: &str = "kept";

/// The writer's totals, and what of them is not stored yet.
#[derive(Default)]
pub(super) struct Counters {
    values: BTreeMap<&'static str, i64>,
    stored: BTreeMap<&'static str, i64>,
}

impl Counters {
    pub(super) fn load(conn: &Connection) -> Result<Counters, StoreError> {
        let statuses = Status::ALL.into_iter().map(Status::as_str);
        let events = EventType::ALL.iter().map(|event| event.as_str());
        let mut values = BTreeMap::new();
        for name in statuses.chain(events).chain([KEPT]) {
            values.insert(name, read(conn, name)?.cast_signed());
        }
        Ok(Counters { stored: values.clone(), values })
    }

    pub(super) fn add(&mut self, name: &'static str, change: i64) {
        *self.values.entry(name).or_default() += change;
    }

    pub(super) fn get(&self, name: &str) -> u64 {
        self.values.get(name).copied().unwrap_or(0).max(0).cast_unsigned()
    }

    /// Writes those that changed.
    pub(super) fn flush(&mut self, conn: &Connection) -> Result<(), StoreError> {
        for (name, value) in &self.values {
            if self.stored.get(name) != Some(value) {
                conn.prepare_cached("INSERT OR REPLACE INTO counters (name, value) VALUES (?1, ?2)")?
                    .execute(params![name, value])?;
                self.stored.insert(name, *value);
            }
        }
        Ok(())
    }
}

/// One total, as last committed.
pub(super) fn read(conn: &Connection, name: &str) -> Result<u64, StoreError> {
    let value: Option<i64> = conn
        .prepare_cached("SELECT value FROM counters WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    Ok(value.unwrap_or(0).max(0).cast_unsigned())
}
