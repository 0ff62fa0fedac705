//! The ledger in the database: rows, their Merkle tree and signed checkpoints. Rows are only ever appended, in the
//! transaction of the state that they describe.

use std::time::{Duration, Instant};

use akita_core::{
    event::LedgerRow,
    id::{Millis, TaskId},
};
use rusqlite::{Connection, OptionalExtension, params};
use tlog_tiles::{Hash, record_hash, stored_hash_count};

use crate::{killpoint::Point, proof::Fault};

use super::{
    MAX_ROWS, counters,
    error::StoreError,
    records::{CheckpointRecord, LedgerHead, LedgerPage, LedgerQuery},
    rows::{append_row, append_row_sql},
    sql::{RawRow, event_code, ledger_columns, unsigned},
};

pub(super) mod checkpoint;
pub(super) mod prove;
#[cfg(test)]
mod tests;
pub(super) mod tree;
pub(super) mod verify;

use checkpoint::{LedgerKey, Signer};
use tree::Edge;

/// Rows after which a checkpoint is signed: at 10,000 rows a second that is 2.5 signatures of some 30 µs.
const CHECKPOINT_ROWS: u64 = 4_096;
/// Time after which a checkpoint is signed if rows came.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(60);

/// The writer's side of the ledger.
pub(super) struct Ledger {
    edge: Edge,
    signer: Signer,
    signed: u64,
    unsigned_since: Option<Instant>,
}

impl Ledger {
    pub(super) fn load(conn: &Connection, signer: Signer) -> Result<Ledger, StoreError> {
        let (edge, signed, unsigned_since) = read_edge(conn)?;
        Ok(Ledger { edge, signer, signed, unsigned_since })
    }

    /// Reads the ledger's edge again, after its tables were replaced.
    pub(super) fn reload(&mut self, conn: &Connection) -> Result<(), StoreError> {
        (self.edge, self.signed, self.unsigned_since) = read_edge(conn)?;
        Ok(())
    }

    /// Signs with the node's key.
    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        (self.signer.sign)(message)
    }

    pub(super) fn rows(&self) -> u64 {
        self.edge.size()
    }

    pub(super) fn append(&mut self, conn: &Connection, row: &LedgerRow) -> Result<(), StoreError> {
        if row.index != self.edge.size() {
            let text = format!("row {} of the ledger came where row {} belongs", row.index, self.edge.size());
            return Err(StoreError::Damaged(text));
        }
        append_row(conn, append_row_sql!("ledger"), row)?;
        Point::MidLedgerAppend.reach();
        let (first, hashes) = self.edge.next(record_hash(&row.leaf()));
        let mut insert = conn.prepare_cached("INSERT INTO ledger_hashes (idx, hash) VALUES (?1, ?2)")?;
        for (at, hash) in hashes.iter().enumerate() {
            insert.execute(params![first.cast_signed() + at as i64, hash.0])?;
        }
        self.edge.push(first, &hashes);
        self.unsigned_since.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// This node's signature under another's checkpoint, see [`Signer::cosign`].
    pub(super) fn cosign(&self, note: &str) -> Result<[u8; 64], Fault> {
        self.signer.cosign(note)
    }

    /// How long until a checkpoint is due, if rows have none yet.
    pub(super) fn checkpoint_in(&self) -> Option<Duration> {
        let since = self.unsigned_since?;
        let by_rows = self.rows() - self.signed >= CHECKPOINT_ROWS;
        Some(if by_rows { Duration::ZERO } else { CHECKPOINT_INTERVAL.saturating_sub(since.elapsed()) })
    }

    /// Signs the ledger as it stands, unless the last checkpoint covers it.
    pub(super) fn checkpoint(&mut self, conn: &Connection, time: Millis) -> Result<(), StoreError> {
        if self.unsigned_since.take().is_none() {
            return Ok(());
        }
        let (size, root) = (self.rows(), self.edge.root());
        conn.prepare_cached("INSERT INTO checkpoints (size, root, time_ms, note) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![size.cast_signed(), root.0, time.cast_signed(), self.signer.note(size, root)])?;
        self.signed = size;
        Ok(())
    }
}

/// Adds another node's signature to the checkpoint over `size` rows. False where there is none, or it has it already.
pub(super) fn add_signature(
    conn: &Connection,
    size: u64,
    key: &LedgerKey,
    signature: &[u8],
) -> Result<bool, StoreError> {
    let note: Option<String> = conn
        .prepare_cached("SELECT note FROM checkpoints WHERE size = ?1")?
        .query_row([size.cast_signed()], |row| row.get(0))
        .optional()?;
    let Some(note) = note.and_then(|note| key.sign_too(&note, signature).ok()) else { return Ok(false) };
    conn.prepare_cached("UPDATE checkpoints SET note = ?2 WHERE size = ?1")?
        .execute(params![size.cast_signed(), note])?;
    Ok(true)
}

/// The root of the first `size` rows; none where there are not as many.
pub(super) fn root_of(conn: &Connection, size: u64) -> Result<Option<Hash>, StoreError> {
    let moment = conn.unchecked_transaction()?;
    if length(&moment)? < size {
        return Ok(None);
    }
    Ok(Some(Edge::load(&moment, size)?.root()))
}

/// Where the ledger ends, how much of it is signed, and since when not all is.
fn read_edge(conn: &Connection) -> Result<(Edge, u64, Option<Instant>), StoreError> {
    let rows = length(conn)?;
    let hashes: i64 = conn.query_row("SELECT COALESCE(MAX(idx) + 1, 0) FROM ledger_hashes", [], |row| row.get(0))?;
    if hashes.cast_unsigned() != stored_hash_count(rows) {
        return Err(StoreError::Damaged(format!("the ledger has {rows} rows, and hashes of another number")));
    }
    let signed: i64 = conn.query_row("SELECT COALESCE(MAX(size), 0) FROM checkpoints", [], |row| row.get(0))?;
    let signed = signed.cast_unsigned();
    if signed > rows {
        let text = format!("the ledger has {rows} rows, and a checkpoint was signed for {signed}");
        return Err(StoreError::Damaged(text));
    }
    let unsigned_since = (signed < rows).then(Instant::now);
    Ok((Edge::load(conn, rows)?, signed, unsigned_since))
}

/// Rows in the ledger.
pub(super) fn length(conn: &Connection) -> Result<u64, StoreError> {
    let rows: i64 =
        conn.prepare_cached("SELECT COALESCE(MAX(idx) + 1, 0) FROM ledger")?.query_row([], |row| row.get(0))?;
    Ok(rows.cast_unsigned())
}

/// Length and root, of one moment.
pub(super) fn head(conn: &Connection) -> Result<LedgerHead, StoreError> {
    let moment = conn.unchecked_transaction()?;
    let rows = length(&moment)?;
    let Hash(root) = Edge::load(&moment, rows)?.root();
    Ok(LedgerHead { rows, root })
}

/// The newest checkpoint if it covers `least` rows; all rows when none are named.
pub(super) fn covering(conn: &Connection, least: Option<u64>) -> Result<Option<CheckpointRecord>, StoreError> {
    let least = least.map_or_else(|| length(conn), Ok)?;
    Ok(prove::newest(conn)?.filter(|newest| newest.size >= least))
}

/// The newest checkpoints, newest first.
pub(super) fn checkpoints(conn: &Connection, limit: usize) -> Result<Vec<CheckpointRecord>, StoreError> {
    let mut statement =
        conn.prepare_cached("SELECT size, root, time_ms, note FROM checkpoints ORDER BY size DESC LIMIT ?1")?;
    let rows = statement.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
        Ok(CheckpointRecord { size: unsigned(row, 0)?, root: row.get(1)?, time: unsigned(row, 2)?, note: row.get(3)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Rows that match, newest first, and how many there are; of one moment.
pub(super) fn query(conn: &Connection, query: LedgerQuery) -> Result<LedgerPage, StoreError> {
    let moment = conn.unchecked_transaction()?;
    let limit = i64::try_from(query.limit.min(MAX_ROWS)).unwrap_or(i64::MAX);
    let offset = i64::try_from(query.offset).unwrap_or(i64::MAX);
    let (total, raw) = match (query.task, query.event) {
        (Some(task), event) => of_task(&moment, task, event.map(event_code), limit, offset)?,
        (None, Some(event)) => {
            let sql = concat!(
                "SELECT ",
                ledger_columns!(),
                " FROM ledger WHERE event = ?1 ORDER BY idx DESC LIMIT ?2 OFFSET ?3"
            );
            let rows = collect(&moment, sql, [event_code(event), limit, offset])?;
            (counters::read(&moment, event.as_str())?, rows)
        }
        (None, None) => {
            // Rows have no gaps, so an offset is a place and not a walk.
            let total = length(&moment)?;
            let below = total.cast_signed().saturating_sub(offset);
            let sql = concat!("SELECT ", ledger_columns!(), " FROM ledger WHERE idx < ?1 ORDER BY idx DESC LIMIT ?2");
            (total, collect(&moment, sql, [below, limit])?)
        }
    };
    let decode = |raw: RawRow| {
        let index = raw.index;
        raw.decode().map_err(|why| StoreError::Damaged(format!("row {index} of the ledger: {why}")))
    };
    Ok(LedgerPage { rows: raw.into_iter().map(decode).collect::<Result<_, _>>()?, total })
}

fn of_task(
    conn: &Connection,
    task: TaskId,
    event: Option<i64>,
    limit: i64,
    offset: i64,
) -> Result<(u64, Vec<RawRow>), StoreError> {
    // The unary plus keeps SQLite off the index by event: a task has a handful of rows, an event may have millions.
    let total: i64 = conn
        .prepare_cached("SELECT COUNT(*) FROM ledger WHERE task = ?1 AND (?2 IS NULL OR +event = ?2)")?
        .query_row(params![task.0, event], |row| row.get(0))?;
    let sql = concat!(
        "SELECT ",
        ledger_columns!(),
        " FROM ledger WHERE task = ?1 AND (?2 IS NULL OR +event = ?2) ORDER BY idx DESC LIMIT ?3 OFFSET ?4"
    );
    Ok((total.cast_unsigned(), collect(conn, sql, params![task.0, event, limit, offset])?))
}

fn collect(conn: &Connection, sql: &str, params: impl rusqlite::Params) -> Result<Vec<RawRow>, StoreError> {
    let mut statement = conn.prepare_cached(sql)?;
    let rows = statement.query_map(params, RawRow::read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}
