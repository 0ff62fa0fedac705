//! A look at the database before anything is written into it: a damaged or an older one is refused and left as it is.

use std::path::Path;

use rusqlite::Connection;

use super::{
    connection,
    error::StoreError,
    ledger::{checkpoint::LedgerKey, verify},
    mark,
};

/// Databases up to this size are looked through page by page at every start: it takes less than 100 ms. Larger ones are
/// by `akita store check`.
const SMALL_DATABASE: u64 = 32 << 20;

/// Whether a node may go on with this database, as far as can be told in a moment.
pub(super) fn before_open(path: &Path, key: &LedgerKey) -> Result<(), StoreError> {
    let mark = mark::read(path);
    let size = path.metadata().map_or(0, |found| found.len());
    if size == 0 && connection::log_size(path) == 0 {
        return mark.map_or(Ok(()), |mark| Err(mark.missing(path)));
    }
    let conn = connection::reader(path)?;
    if connection::check_owner(&conn)? == 0 {
        return mark.map_or(Ok(()), |mark| Err(mark.missing(path)));
    }
    if size <= SMALL_DATABASE {
        quick_check(&conn)?;
    }
    if let Some(mark) = mark {
        mark.check(&conn, path)?;
    }
    let report = verify::verify_tail(&conn, key)?;
    report.problem.map_or(Ok(()), |problem| Err(StoreError::Damaged(format!("the ledger does not verify: {problem}"))))
}

fn quick_check(conn: &Connection) -> Result<(), StoreError> {
    let found: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found == "ok" { Ok(()) } else { Err(StoreError::Damaged(found)) }
}
