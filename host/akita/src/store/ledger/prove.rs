//! Proofs from the stored tree: audit paths, consistency, and rows in their order. Nothing here signs; what is proved
//! leads to a checkpoint that is signed already.

use akita_core::event::LedgerRow;
use rusqlite::{Connection, OptionalExtension, params};
use tlog_tiles::{Hash, HashReader, prove_record, prove_tree};

use super::{length, tree::Edge};
use crate::store::{
    MAX_ROWS,
    error::StoreError,
    records::CheckpointRecord,
    sql::{RawRow, ledger_columns, unsigned},
};

/// The stored hashes.
struct Stored<'a>(&'a Connection);

impl HashReader for Stored<'_> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        let read = |index: &u64| -> rusqlite::Result<Hash> {
            let mut statement = self.0.prepare_cached("SELECT hash FROM ledger_hashes WHERE idx = ?1")?;
            statement.query_row([index.cast_signed()], |row| row.get(0)).map(Hash)
        };
        // Whatever the reason, the caller says that the hashes are damaged.
        indexes.iter().map(|index| read(index).map_err(|_| tlog_tiles::Error::IndexesNotInTree)).collect()
    }
}

/// A row with the hashes from its leaf to the root of the first `size` rows; none if it is not among them.
pub(in crate::store) fn row(
    conn: &Connection,
    index: u64,
    size: u64,
) -> Result<Option<(LedgerRow, Vec<Hash>)>, StoreError> {
    if index >= size {
        return Ok(None);
    }
    let Some(row) = rows(conn, index, 1)?.0.pop() else { return Ok(None) };
    let path = prove_record(size, index, &Stored(conn)).map_err(|_| damaged(index))?;
    Ok(Some((row, path)))
}

/// For the rows from `from` to before `to` of the first `size`: the roots of the complete subtrees before them, and that
/// the first `to` rows are the beginning of these `size`.
pub(in crate::store) fn range(
    conn: &Connection,
    from: u64,
    to: u64,
    size: u64,
) -> Result<(Vec<Hash>, Vec<Hash>), StoreError> {
    let before = Edge::load(conn, from)?.into_roots();
    let consistency = prove_tree(size, to, &Stored(conn)).map_err(|_| damaged(to))?;
    Ok((before, consistency))
}

fn damaged(index: u64) -> StoreError {
    StoreError::Damaged(format!("hashes of the ledger around row {index} are missing"))
}

/// At most `limit` rows in their order from `from` on, and how many rows there are; of one moment.
pub(in crate::store) fn rows(conn: &Connection, from: u64, limit: usize) -> Result<(Vec<LedgerRow>, u64), StoreError> {
    let moment = conn.unchecked_transaction()?;
    let sql = concat!("SELECT ", ledger_columns!(), " FROM ledger WHERE idx >= ?1 ORDER BY idx LIMIT ?2");
    let limit = i64::try_from(limit.min(MAX_ROWS)).unwrap_or(i64::MAX);
    let mut statement = moment.prepare_cached(sql)?;
    let raw = statement.query_map(params![i64::try_from(from).unwrap_or(i64::MAX), limit], RawRow::read)?;
    let decode = |raw: RawRow| {
        let index = raw.index;
        raw.decode().map_err(|why| StoreError::Damaged(format!("row {index} of the ledger: {why}")))
    };
    let rows = raw.map(|raw| decode(raw?)).collect::<Result<_, _>>()?;
    Ok((rows, length(&moment)?))
}

/// The newest checkpoint.
pub(in crate::store) fn newest(conn: &Connection) -> Result<Option<CheckpointRecord>, StoreError> {
    let mut statement =
        conn.prepare_cached("SELECT size, root, time_ms, note FROM checkpoints ORDER BY size DESC LIMIT 1")?;
    let newest = statement.query_row([], |row| {
        Ok(CheckpointRecord { size: unsigned(row, 0)?, root: row.get(1)?, time: unsigned(row, 2)?, note: row.get(3)? })
    });
    Ok(newest.optional()?)
}
