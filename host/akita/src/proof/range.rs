//! Rows that follow each other, and the proof that they are a stretch of a ledger: what lies before them as the roots of
//! its complete subtrees, and how the ledger up to their end goes on to the signed one.

use serde::{Deserialize, Serialize};
use tlog_tiles::check_tree;

use super::{ExactRow, Fault, Head, KeyView, Proven, hashes_of, keys_of};
use crate::store::Edge;

/// `GET /ledger/range`: that rows are a stretch of the ledger. The rows come apart from it, one at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RangeProof {
    /// [`RangeProof::FORMAT`].
    pub format: String,
    /// The first row.
    pub from: u64,
    /// The row after the last one.
    pub to: u64,
    /// Roots of the complete subtrees over the rows before `from`, left to right, hex.
    pub before: Vec<String>,
    /// That the first `to` rows are the beginning of the signed ledger, hex (RFC 6962).
    pub consistency: Vec<String>,
    /// The signed root: a note (C2SP `tlog-checkpoint`).
    pub checkpoint: String,
    /// Keys of those who signed it.
    pub keys: Vec<KeyView>,
}

impl RangeProof {
    /// What it is and how it is to be read.
    pub const FORMAT: &str = "akita-ledger-range-proof/1";

    /// Checks that the signed ledger goes on from the rows under an older checkpoint, whose signature the caller checks.
    pub fn goes_on_from(&self, old: &Head) -> Result<Proven, Fault> {
        let head = Head::read(&self.checkpoint)?;
        let proven = head.check(&keys_of(&self.keys)?)?;
        if self.from != 0 || self.to != old.size || old.size == 0 {
            return Err(Fault::new("the proof that the node gave is of other rows"));
        }
        check_tree(&hashes_of(&self.consistency)?, head.size, head.root, old.size, old.root).map_err(|_| {
            let (last, theirs, ours) = (old.size - 1, &old.origin, &head.origin);
            let other = if theirs == ours {
                String::new()
            } else {
                format!(", which is of {theirs}; this ledger is of {ours}")
            };
            Fault::new(format!("rows 0 to {last} are not those under the checkpoint{other}"))
        })?;
        Ok(proven)
    }
}

/// Takes the rows of a range one by one and says in the end whether they are what was signed.
pub struct RangeCheck {
    edge: Edge,
    from: u64,
    to: u64,
    proof: RangeProof,
    head: Head,
    proven: Proven,
}

impl RangeCheck {
    /// Checks what can be checked before the rows come.
    pub fn new(proof: RangeProof) -> Result<RangeCheck, Fault> {
        if proof.format != RangeProof::FORMAT {
            return Err(Fault::new(format!("it is not of the format {}", RangeProof::FORMAT)));
        }
        let head = Head::read(&proof.checkpoint)?;
        let proven = head.check(&keys_of(&proof.keys)?)?;
        let (from, to) = (proof.from, proof.to);
        if from >= to || to > head.size {
            let text = format!("rows {from} to {to} are no stretch of the {} rows under the checkpoint", head.size);
            return Err(Fault::new(text));
        }
        let edge = Edge::of(from, hashes_of(&proof.before)?).ok_or_else(|| {
            Fault::new(format!("the hashes over the rows before row {from} are not as many as they must be"))
        })?;
        Ok(RangeCheck { edge, from, to, proof, head, proven })
    }

    /// The next row.
    pub fn row(&mut self, row: &ExactRow) -> Result<(), Fault> {
        let due = self.edge.size();
        if due == self.to {
            return Err(Fault::new(format!("row {} is one too many: the stretch ends before row {due}", row.index)));
        }
        in_place(row, due)?;
        let (_, leaf) = row.read()?;
        self.edge.add(leaf);
        Ok(())
    }

    /// After the last row: whether they are those that were signed.
    pub fn finish(self) -> Result<Proven, Fault> {
        let (from, to, due) = (self.from, self.to, self.edge.size());
        if due < to {
            return Err(Fault::new(format!("row {due} is missing: the stretch goes to row {}", to - 1)));
        }
        let root = self.edge.root();
        check_tree(&hashes_of(&self.proof.consistency)?, self.head.size, self.head.root, to, root).map_err(|_| {
            Fault::new(format!("rows {from} to {} are not those that the checkpoint was signed over", to - 1))
        })?;
        Ok(self.proven)
    }
}

/// Whether a row stands where it belongs.
pub fn in_place(row: &ExactRow, due: u64) -> Result<(), Fault> {
    match row.index {
        index if index == due => Ok(()),
        index if index > due => Err(Fault::new(format!("row {due} is missing: row {index} stands in its place"))),
        index => Err(Fault::new(format!("row {index} stands where row {due} belongs"))),
    }
}
