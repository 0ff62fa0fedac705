//! Checks the whole ledger against its hashes and its signed checkpoints. It reads in short steps, so that it never
//! keeps the writer's log from being cut, and holds one step in memory.

use akita_core::NodeId;
use rusqlite::{Connection, OptionalExtension, params};
use tlog_tiles::{Hash, record_hash, split_stored_hash_index, stored_hash_count, stored_hash_index};

use super::{
    checkpoint,
    checkpoint::{LedgerKey, Signers},
    length,
    tree::Edge,
};
use crate::store::{
    error::StoreError,
    sql::{RawRow, ledger_columns, unsigned},
};

/// Rows in one step: some 300 KiB with their hashes.
const STEP: u64 = 1_024;

/// What checking the ledger found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyReport {
    /// Whether everything agrees.
    pub ok: bool,
    /// Rows that were found to agree: all of them, or those before the problem.
    pub rows: u64,
    /// The root of the Merkle tree over those rows, recomputed.
    pub root: [u8; 32],
    /// Checkpoints that were found to agree.
    pub checkpoints: u64,
    /// Rows that the last of these covers. Only they are proven by a signature.
    pub signed_rows: u64,
    /// Who signed the last of these checkpoints: this node, and others whose keys were given.
    pub signers: Vec<NodeId>,
    /// The names of whoever else signed it: nobody gave the keys.
    pub unchecked: Vec<String>,
    /// The first thing that does not agree, naming the row.
    pub problem: Option<String>,
}

/// Stops the check: something does not agree, or the database fails.
enum Stop {
    Problem(String),
    Failed(StoreError),
}

impl<E: Into<StoreError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Stop::Failed(error.into())
    }
}

/// Checks every row that is there now. The first key must have signed each checkpoint; the others' signatures must hold
/// where they are there. Without a key no signature is checked.
///
/// # Errors
/// The database cannot be read. What does not agree is no error but [`VerifyReport::problem`].
pub(in crate::store) fn verify_whole(conn: &Connection, keys: &[LedgerKey]) -> Result<VerifyReport, StoreError> {
    verify_from(conn, keys, Edge::default())
}

/// Checks the last rows, as many as are looked at in one step: what a node goes on from.
///
/// # Errors
/// As above.
pub(in crate::store) fn verify_tail(conn: &Connection, key: &LedgerKey) -> Result<VerifyReport, StoreError> {
    let from = length(conn)?.saturating_sub(STEP);
    verify_from(conn, std::slice::from_ref(key), Edge::load(conn, from)?)
}

fn verify_from(conn: &Connection, keys: &[LedgerKey], edge: Edge) -> Result<VerifyReport, StoreError> {
    let mut check = Check { conn, keys, edge, checkpoints: 0, signed: 0, signers: Signers::default() };
    let problem = match check.run() {
        Ok(()) => None,
        Err(Stop::Problem(problem)) => Some(problem),
        Err(Stop::Failed(error)) => return Err(error),
    };
    let Hash(root) = check.edge.root();
    Ok(VerifyReport {
        ok: problem.is_none(),
        rows: check.edge.size(),
        root,
        checkpoints: check.checkpoints,
        signed_rows: check.signed,
        signers: check.signers.checked,
        unchecked: check.signers.unchecked,
        problem,
    })
}

struct Check<'a> {
    conn: &'a Connection,
    keys: &'a [LedgerKey],
    edge: Edge,
    checkpoints: u64,
    signed: u64,
    signers: Signers,
}

struct Signed {
    size: u64,
    root: Vec<u8>,
    note: String,
}

impl Check<'_> {
    fn run(&mut self) -> Result<(), Stop> {
        let (rows, hashes, last_signed) = self.extent()?;
        let mut next = self.next_checkpoint()?;
        while self.edge.size() < rows {
            let end = rows.min(self.edge.size() + STEP);
            let mut stored = self.stored_hashes(end)?.into_iter();
            for raw in self.raw_rows(end)? {
                self.row(raw, &mut stored)?;
                if let Some(signed) = next.take_if(|signed| signed.size == self.edge.size()) {
                    self.checkpoint(signed)?;
                    next = self.next_checkpoint()?;
                }
            }
            if self.edge.size() < end {
                return Err(missing(self.edge.size()));
            }
        }
        if last_signed > rows {
            let text = format!("row {rows} is missing: a checkpoint was signed over {last_signed} rows");
            return Err(Stop::Problem(text));
        }
        if hashes > stored_hash_count(rows) {
            return Err(Stop::Problem(format!("row {rows} is missing: its hash is still there")));
        }
        Ok(())
    }

    /// Rows, hashes and signed rows, of one moment.
    fn extent(&self) -> Result<(u64, u64, u64), Stop> {
        let moment = self.conn.unchecked_transaction()?;
        let hashes: i64 =
            moment.query_row("SELECT COALESCE(MAX(idx) + 1, 0) FROM ledger_hashes", [], |row| row.get(0))?;
        let signed: i64 = moment.query_row("SELECT COALESCE(MAX(size), 0) FROM checkpoints", [], |row| row.get(0))?;
        Ok((length(&moment)?, hashes.cast_unsigned(), signed.cast_unsigned()))
    }

    fn raw_rows(&self, end: u64) -> Result<Vec<RawRow>, Stop> {
        let mut statement = self.conn.prepare_cached(concat!(
            "SELECT ",
            ledger_columns!(),
            " FROM ledger WHERE idx >= ?1 AND idx < ?2 ORDER BY idx"
        ))?;
        let rows = statement.query_map(params![self.edge.size().cast_signed(), end.cast_signed()], RawRow::read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn stored_hashes(&self, end: u64) -> Result<Vec<(u64, Vec<u8>)>, Stop> {
        let first = stored_hash_index(0, self.edge.size()).cast_signed();
        let last = stored_hash_count(end).cast_signed();
        let mut statement = self
            .conn
            .prepare_cached("SELECT idx, hash FROM ledger_hashes WHERE idx >= ?1 AND idx < ?2 ORDER BY idx")?;
        let hashes = statement.query_map(params![first, last], |row| Ok((unsigned(row, 0)?, row.get(1)?)))?;
        Ok(hashes.collect::<Result<_, _>>()?)
    }

    fn row(&mut self, raw: RawRow, stored: &mut impl Iterator<Item = (u64, Vec<u8>)>) -> Result<(), Stop> {
        let row = self.edge.size();
        if raw.index != row {
            return Err(missing(row));
        }
        let decoded = raw.decode().map_err(|why| Stop::Problem(format!("row {row} was changed: {why}")))?;
        let (first, hashes) = self.edge.next(record_hash(&decoded.leaf()));
        for (at, hash) in (first..).zip(&hashes) {
            let problem = match stored.next() {
                Some((index, found)) if index == at && found == hash.0 => continue,
                Some((index, _)) if index == at && at == first => {
                    format!("row {row} was changed: it does not agree with its hash")
                }
                Some((index, _)) if index == at => {
                    let (level, n) = split_stored_hash_index(at);
                    let (from, to) = (n << level, ((n + 1) << level) - 1);
                    format!("row {row}: the hash over rows {from} to {to} that came with it was changed")
                }
                _ => format!("row {row}: a hash that came with it is missing"),
            };
            return Err(Stop::Problem(problem));
        }
        // Last, so that a report ends before the row that does not agree.
        self.edge.push(first, &hashes);
        Ok(())
    }

    fn next_checkpoint(&self) -> Result<Option<Signed>, Stop> {
        let next = self
            .conn
            .prepare_cached("SELECT size, root, note FROM checkpoints WHERE size > ?1 ORDER BY size LIMIT 1")?
            .query_row([self.edge.size().cast_signed()], |row| {
                Ok(Signed { size: unsigned(row, 0)?, root: row.get(1)?, note: row.get(2)? })
            })
            .optional()?;
        Ok(next)
    }

    fn checkpoint(&mut self, signed: Signed) -> Result<(), Stop> {
        let (size, root) = (signed.size, self.edge.root());
        let (from, to) = (self.signed, size - 1);
        let signers = checkpoint::check(&signed.note, self.keys, size, root)
            .map_err(|why| Stop::Problem(format!("rows {from} to {to}: the checkpoint after row {to} {why}")))?;
        if signed.root != root.0 {
            return Err(Stop::Problem(format!("row {to}: the root in the checkpoint after it was changed")));
        }
        self.checkpoints += 1;
        self.signed = size;
        self.signers = signers;
        Ok(())
    }
}

fn missing(row: u64) -> Stop {
    Stop::Problem(format!("row {row} is missing"))
}
