//! The journal of an island: tasks that this node had run without a leader, each step of them, and their ends, signed in
//! the transaction that stores them. It is this node's own: no log knows of it, no snapshot carries it, and no other
//! state replaces it. It decides nothing about a task.

use akita_core::{
    LedgerRow, Outcome,
    id::{Millis, TaskId},
    island::IslandEntry,
    state::Change,
    task::{Content, Failure, Task},
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use super::{
    Store,
    error::StoreError,
    machine::Machine,
    notes,
    records::{IslandCounts, IslandJournal, IslandRecord, IslandSigned, IslandStart},
    rows::{append_row, append_row_sql, insert_task, insert_task_sql, update_task, update_task_sql},
    sql::{RawRow, ledger_columns, task_columns, task_meta, unsigned},
    writer::{SMALL, units},
};

/// Entries that the cluster has and that stay in the journal: enough to look back at the last time in an island.
const MAX_IMPORTED_KEPT: i64 = 1_000;
/// The longest that they stay, in milliseconds: a week.
const IMPORTED_KEPT_MS: Millis = 7 * 24 * 3_600_000;
/// Name of the note about where the journal stands.
const EDGE: &str = "island";

/// Where the journal stands: it outlives the rows that are trimmed.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Edge {
    /// Steps of the island's own log.
    index: u64,
    /// Rows ever written.
    rows: u64,
    /// Entries ever signed.
    number: u64,
    /// Hash of the last one.
    last: [u8; 32],
}

impl Edge {
    fn read(conn: &Connection) -> Result<Edge, StoreError> {
        let Some(bytes) = notes::meta(conn, EDGE)? else { return Ok(Edge::default()) };
        let unreadable = |error| StoreError::Damaged(format!("the note about the journal cannot be read: {error}"));
        rmp_serde::from_slice(&bytes).map_err(unreadable)
    }
}

impl Machine {
    /// Stores what one step of the island brought about.
    fn island_apply(&mut self, index: u64, rows: &[LedgerRow], changes: &[Change]) -> Result<(), StoreError> {
        let mut edge = Edge::read(&self.conn)?;
        edge.index = index;
        for change in changes {
            match change {
                Change::Accepted { task, input } => insert(&self.conn, task, input)?,
                Change::Moved(task) => update(&self.conn, task, None)?,
                Change::Ended { task, output, failure } => self.island_end(&mut edge, task, output, failure)?,
                Change::HandedOver { task, .. } => {
                    self.conn.prepare_cached("DELETE FROM island_tasks WHERE id = ?1")?.execute([task.0])?;
                }
                _ => {}
            }
        }
        for row in rows {
            append_row(&self.conn, append_row_sql!("island_journal"), row)?;
            edge.rows = row.index + 1;
        }
        let bytes = rmp_serde::to_vec(&edge).expect("numbers always encode");
        self.set_meta(EDGE, &bytes)
    }

    /// Signs a task's end and stores it in place of its input.
    fn island_end(
        &mut self,
        edge: &mut Edge,
        task: &Task,
        output: &Option<Content>,
        failure: &Option<Failure>,
    ) -> Result<(), StoreError> {
        let input: Vec<u8> = self
            .conn
            .prepare_cached("SELECT COALESCE(input, x'') FROM island_tasks WHERE id = ?1")?
            .query_row([task.id.0], |row| row.get(0))?;
        let outcome = match (output, failure) {
            (Some(output), _) => Outcome::Completed(output.clone()),
            (None, failure) => Outcome::Failed(failure.clone().unwrap_or_else(|| unknown(task))),
        };
        let input_hash = *blake3::hash(&input).as_bytes();
        let entry = IslandEntry::new(edge.number + 1, edge.last, task, input_hash, outcome).encode();
        let signature = self.ledger.sign(&IslandEntry::signed(&entry));
        (edge.number, edge.last) = (edge.number + 1, IslandEntry::hash(&entry));
        update(&self.conn, task, failure.as_ref())?;
        self.conn
            .prepare_cached(
                "UPDATE island_tasks SET input = NULL, number = ?2, entry = ?3, signature = ?4 WHERE id = ?1",
            )?
            .execute(params![task.id.0, edge.number.cast_signed(), entry, signature])?;
        Ok(())
    }

    fn island_imported(&mut self, ids: &[TaskId], time: Millis) -> Result<(), StoreError> {
        for id in ids {
            self.conn
                .prepare_cached("UPDATE island_tasks SET imported_at = ?2, note = NULL WHERE id = ?1")?
                .execute(params![id.0, time.cast_signed()])?;
        }
        self.conn
            .prepare_cached(
                "DELETE FROM island_tasks WHERE imported_at IS NOT NULL AND (imported_at < ?1 OR number <= \
                 (SELECT number FROM island_tasks WHERE imported_at IS NOT NULL ORDER BY number DESC LIMIT 1 OFFSET ?2))",
            )?
            .execute(params![time.saturating_sub(IMPORTED_KEPT_MS).cast_signed(), MAX_IMPORTED_KEPT])?;
        self.conn
            .prepare_cached("DELETE FROM island_journal WHERE task NOT IN (SELECT id FROM island_tasks)")?
            .execute([])?;
        Ok(())
    }
}

/// A failure of which nothing was said.
fn unknown(task: &Task) -> Failure {
    let message = task.reason.clone().unwrap_or_else(|| "it failed".into());
    Failure { message, code: None, pointer: None, retry_after_ms: None }
}

fn insert(conn: &Connection, task: &Task, input: &[u8]) -> Result<(), StoreError> {
    let seq = insert_task(conn, insert_task_sql!("island_tasks"), task)?;
    conn.prepare_cached("UPDATE island_tasks SET input = ?2 WHERE seq = ?1")?.execute(params![seq, input])?;
    Ok(())
}

fn update(conn: &Connection, task: &Task, failure: Option<&Failure>) -> Result<(), StoreError> {
    update_task(conn, update_task_sql!("island_tasks", ""), task, failure).map(drop)
}

fn record(row: &Row<'_>) -> rusqlite::Result<IslandRecord> {
    let number = row.get::<_, Option<i64>>(27)?.map(i64::cast_unsigned);
    let signed = match (row.get(28)?, row.get::<_, Option<Vec<u8>>>(29)?) {
        (Some(entry), Some(signature)) => {
            Some(IslandSigned { entry, signature: signature.try_into().unwrap_or([0; 64]) })
        }
        _ => None,
    };
    let imported_at = row.get::<_, Option<i64>>(30)?.map(i64::cast_unsigned);
    Ok(IslandRecord { meta: task_meta(row)?, number, signed, imported_at, note: row.get(31)? })
}

macro_rules! record_columns {
    () => {
        concat!(task_columns!(), ", number, entry, signature, imported_at, note")
    };
}

fn start(conn: &Connection) -> Result<IslandStart, StoreError> {
    let edge = Edge::read(conn)?;
    let mut statement =
        conn.prepare(concat!("SELECT ", task_columns!(), " FROM island_tasks WHERE number IS NULL ORDER BY seq"))?;
    let tasks = statement.query_map([], |row| Ok(task_meta(row)?.task))?;
    Ok(IslandStart { tasks: tasks.collect::<Result<_, _>>()?, index: edge.index, rows: edge.rows })
}

fn find(conn: &Connection, id: TaskId) -> Result<Option<IslandRecord>, StoreError> {
    let mut statement =
        conn.prepare_cached(concat!("SELECT ", record_columns!(), " FROM island_tasks WHERE id = ?1"))?;
    Ok(statement.query_row([id.0], record).optional()?)
}

fn list(conn: &Connection, limit: usize, all: bool) -> Result<Vec<IslandRecord>, StoreError> {
    let mut statement = conn.prepare_cached(concat!(
        "SELECT ",
        record_columns!(),
        " FROM island_tasks WHERE ?1 OR imported_at IS NULL ORDER BY seq DESC LIMIT ?2"
    ))?;
    let found = statement.query_map(params![all, i64::try_from(limit).unwrap_or(i64::MAX)], record)?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn input(conn: &Connection, id: TaskId) -> Result<Option<Content>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT input_type, input FROM island_tasks WHERE id = ?1")?;
    let found = statement.query_row([id.0], |row| {
        let body: Option<Vec<u8>> = row.get(1)?;
        let content_type: String = row.get(0)?;
        Ok(body.map(|body| Content { content_type, body }))
    });
    Ok(found.optional()?.flatten())
}

fn waiting_for_import(
    conn: &Connection,
    most: usize,
    bytes: usize,
    passed: u64,
    refused: bool,
) -> Result<Vec<(u64, TaskId, IslandSigned)>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT number, id, entry, signature FROM island_tasks \
         WHERE number > ?1 AND imported_at IS NULL AND (?3 OR note IS NULL) ORDER BY number LIMIT ?2",
    )?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![passed.cast_signed(), most, refused])?;
    let (mut found, mut taken) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let entry: Vec<u8> = row.get(2)?;
        let signature: Vec<u8> = row.get(3)?;
        taken += entry.len() + signature.len();
        if taken > bytes && !found.is_empty() {
            break;
        }
        // A signature that is damaged is one that does not hold: the leader says so.
        let signature = signature.try_into().unwrap_or([0; 64]);
        found.push((unsigned(row, 0)?, TaskId(row.get(1)?), IslandSigned { entry, signature }));
    }
    Ok(found)
}

fn counts(conn: &Connection) -> Result<IslandCounts, StoreError> {
    let sql = "SELECT COUNT(*) FILTER (WHERE number IS NULL AND fence IS NULL), \
               COUNT(*) FILTER (WHERE number IS NULL AND fence IS NOT NULL), \
               COUNT(*) FILTER (WHERE number IS NOT NULL AND imported_at IS NULL), \
               COUNT(*) FILTER (WHERE number IS NOT NULL AND imported_at IS NULL AND note IS NOT NULL), \
               COUNT(*) FILTER (WHERE imported_at IS NOT NULL) FROM island_tasks";
    Ok(conn.prepare_cached(sql)?.query_row([], |row| {
        Ok(IslandCounts {
            waiting: unsigned(row, 0)?,
            running: unsigned(row, 1)?,
            to_import: unsigned(row, 2)?,
            refused: unsigned(row, 3)?,
            imported: unsigned(row, 4)?,
        })
    })?)
}

fn journal(conn: &Connection, limit: usize) -> Result<IslandJournal, StoreError> {
    let moment = conn.unchecked_transaction()?;
    let mut statement = moment.prepare_cached(concat!(
        "SELECT ",
        ledger_columns!(),
        " FROM island_journal ORDER BY idx DESC LIMIT ?1"
    ))?;
    let raw = statement.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], RawRow::read)?;
    let raw: Vec<RawRow> = raw.collect::<Result<_, _>>()?;
    let damaged = |why| StoreError::Damaged(format!("a row of the journal: {why}"));
    let steps = raw.into_iter().map(|row| row.decode().map_err(damaged)).collect::<Result<_, _>>()?;
    let mut statement = moment.prepare_cached(
        "SELECT number, id, entry, signature FROM island_tasks WHERE number IS NOT NULL ORDER BY number",
    )?;
    let entries = statement.query_map([], |row| {
        let signature: Vec<u8> = row.get(3)?;
        let signed = IslandSigned { entry: row.get(2)?, signature: signature.try_into().unwrap_or([0; 64]) };
        Ok((unsigned(row, 0)?, TaskId(row.get(1)?), signed))
    })?;
    let edge = Edge::read(&moment)?;
    Ok(IslandJournal {
        steps,
        entries: entries.collect::<Result<_, _>>()?,
        tasks: list(&moment, limit, true)?,
        counts: counts(&moment)?,
        numbered: edge.number,
        last: edge.last,
    })
}

/// Reading. Every method fails only if the database cannot be read.
impl Store {
    /// What the journal holds that has not ended, and where it stands.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn island_start(&self) -> Result<IslandStart, StoreError> {
        self.readers.read(start).await
    }

    /// A task of the journal.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn island_task(&self, id: TaskId) -> Result<Option<IslandRecord>, StoreError> {
        self.readers.read(move |conn| find(conn, id)).await
    }

    /// Tasks of the journal that the cluster does not have yet, newest first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn island_list(&self, limit: usize) -> Result<Vec<IslandRecord>, StoreError> {
        self.readers.read(move |conn| list(conn, limit, false)).await
    }

    /// A task's input; none once it has ended.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn island_input(&self, id: TaskId) -> Result<Option<Content>, StoreError> {
        self.readers.read(move |conn| input(conn, id)).await
    }

    /// Ends that the cluster does not have yet, in order, after entry `passed`: at most `most`, and as many as have
    /// `bytes`, but at least one. `refused`: with those that a leader has refused.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn island_to_import(
        &self,
        most: usize,
        bytes: usize,
        passed: u64,
        refused: bool,
    ) -> Result<Vec<(u64, TaskId, IslandSigned)>, StoreError> {
        self.readers.read(move |conn| waiting_for_import(conn, most, bytes, passed, refused)).await
    }

    /// How many tasks the journal holds.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn island_counts(&self) -> Result<IslandCounts, StoreError> {
        self.readers.read(counts).await
    }

    /// The journal: its newest steps, its tasks, and every signed end that it holds.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn island_journal(&self, limit: usize) -> Result<IslandJournal, StoreError> {
        self.readers.read_long(move |conn| journal(conn, limit)).await
    }
}

/// Writing. Each answers after its commit.
impl Store {
    /// Stores what one step of the island brought about; ends are signed.
    ///
    /// # Errors
    /// The writer failed or was closed.
    pub async fn island_apply(
        &self,
        index: u64,
        rows: Vec<LedgerRow>,
        changes: Vec<Change>,
    ) -> Result<Vec<Change>, StoreError> {
        let bytes: usize = changes.iter().map(bytes_of).sum();
        let write = move |machine: &mut Machine| {
            machine.island_apply(index, &rows, &changes)?;
            Ok(changes)
        };
        self.writer.write(units(bytes), write).await
    }

    /// The cluster has these. What it has had for long is trimmed.
    ///
    /// # Errors
    /// The writer failed or was closed.
    pub async fn island_imported(&self, ids: Vec<TaskId>, time: Millis) -> Result<(), StoreError> {
        self.writer.write(SMALL, move |machine| machine.island_imported(&ids, time)).await
    }

    /// The leader does not take this one, and why.
    ///
    /// # Errors
    /// The writer failed or was closed.
    pub async fn island_refused(&self, id: TaskId, why: String) -> Result<(), StoreError> {
        let write = move |machine: &mut Machine| {
            let sql = "UPDATE island_tasks SET note = ?2 WHERE id = ?1 AND imported_at IS NULL";
            machine.conn.prepare_cached(sql)?.execute(params![id.0, why])?;
            Ok(())
        };
        self.writer.write(SMALL, write).await
    }
}

fn bytes_of(change: &Change) -> usize {
    match change {
        Change::Accepted { input, .. } => input.len(),
        Change::Ended { output: Some(output), .. } => output.body.len(),
        _ => 0,
    }
}

#[cfg(test)]
#[path = "island_tests.rs"]
mod tests;
