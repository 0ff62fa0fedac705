//! A row to the letter, and the proof that it is in a ledger.

use akita_core::{EventType, LedgerRow};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tlog_tiles::{Hash, check_record, record_hash};

use super::{Fault, Head, KeyView, Proven, hashes_of, hex, keys_of};

/// A row with all that its leaf in the tree is made of, in one form only: whoever has it can compute the leaf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExactRow {
    /// Position, from 0.
    pub index: u64,
    /// RFC 3339, UTC, with milliseconds.
    pub time: String,
    /// A word of [`EventType`].
    pub event_type: String,
    /// The node that it is about.
    pub node_id: String,
    /// The task that it is about.
    pub task_id: Option<String>,
    /// Key and value, in their order.
    pub details: Vec<(String, String)>,
    /// The leaf (RFC 6962), hex.
    pub leaf_hash: String,
}

impl ExactRow {
    /// The row as others are told it.
    pub fn of(row: &LedgerRow) -> ExactRow {
        let time = i64::try_from(row.time).ok().and_then(|millis| Timestamp::from_millisecond(millis).ok());
        ExactRow {
            index: row.index,
            time: time.map_or_else(|| "out of range".into(), |time| format!("{time:.3}")),
            event_type: row.event.as_str().to_owned(),
            node_id: row.node.to_string(),
            task_id: row.task.as_ref().map(ToString::to_string),
            details: row.details.iter().map(|(key, value)| (key.to_string(), value.clone())).collect(),
            leaf_hash: hex(record_hash(&row.leaf())),
        }
    }

    /// The row, and its leaf, if it is one that a node can have written and agrees with its hash.
    pub fn read(&self) -> Result<(LedgerRow, Hash), Fault> {
        let index = self.index;
        let changed = |why: String| Fault::new(format!("row {index} was changed: {why}"));
        let row = self.decode().map_err(|what| changed(format!("its {what} is none")))?;
        let exact = ExactRow::of(&row);
        let leaf = record_hash(&row.leaf());
        if exact.leaf_hash != self.leaf_hash {
            return Err(changed("it does not agree with its hash".into()));
        }
        if exact == *self { Ok((row, leaf)) } else { Err(changed("it is not written as Akita writes it".into())) }
    }

    fn decode(&self) -> Result<LedgerRow, &'static str> {
        let time: Timestamp = self.time.parse().map_err(|_| "time")?;
        let task = self.task_id.as_deref().map(str::parse).transpose();
        Ok(LedgerRow {
            index: self.index,
            time: u64::try_from(time.as_millisecond()).map_err(|_| "time")?,
            event: EventType::parse(&self.event_type).ok_or("event")?,
            node: self.node_id.parse().map_err(|_| "node id")?,
            task: task.map_err(|_| "task id")?,
            details: self.details.iter().map(|(key, value)| (key.clone().into(), value.clone())).collect(),
        })
    }
}

/// `GET /ledger/proof/{index}`: that a row is in the ledger. It needs nothing else to be checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowProof {
    /// [`RowProof::FORMAT`].
    pub format: String,
    /// The row.
    pub row: ExactRow,
    /// From the leaf to the root, hex (RFC 6962).
    pub audit_path: Vec<String>,
    /// The signed root: a note (C2SP `tlog-checkpoint`).
    pub checkpoint: String,
    /// Keys of those who signed it.
    pub keys: Vec<KeyView>,
}

impl RowProof {
    /// What it is and how it is to be read.
    pub const FORMAT: &str = "akita-ledger-row-proof/1";

    /// Checks all of it. Whose signature is enough is for the caller to say.
    pub fn check(&self) -> Result<Proven, Fault> {
        if self.format != Self::FORMAT {
            return Err(Fault::new(format!("it is not of the format {}", Self::FORMAT)));
        }
        let (_, leaf) = self.row.read()?;
        let head = Head::read(&self.checkpoint)?;
        let proven = head.check(&keys_of(&self.keys)?)?;
        let index = self.row.index;
        if index >= head.size {
            return Err(Fault::new(format!(
                "row {index} is not under the checkpoint, which covers {} rows",
                head.size
            )));
        }
        check_record(&hashes_of(&self.audit_path)?, head.size, head.root, index, leaf)
            .map_err(|_| Fault::new(format!("row {index} is not in the ledger that the checkpoint was signed for")))?;
        Ok(proven)
    }
}
