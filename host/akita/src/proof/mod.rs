//! Proofs about the ledger, as they stand in files and in answers: that a row is in it, that rows follow each other in
//! it, that a longer ledger goes on from a shorter one. It checks them with nothing but what they hold; it reads no
//! database, asks no node and signs nothing.

mod file;
mod island;
mod note;
mod range;
mod row;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use tlog_tiles::Hash;

pub use file::{Form, Reader, Unreadable, Writer, proof_beside};
pub use island::{check_chain, read_entry};
pub use note::{Head, KeyView, keys_of};
pub use range::{RangeCheck, RangeProof, in_place};
pub use row::{ExactRow, RowProof};

use akita_core::NodeId;

/// Something does not agree; in words for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fault(pub String);

impl Fault {
    pub(crate) fn new(words: impl Into<String>) -> Fault {
        Fault(words.into())
    }
}

/// What a proof has shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Proven {
    /// Rows under the signed checkpoint.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
    /// Whose signature over it was checked.
    pub signers: Vec<NodeId>,
    /// The names of the other signatures: nobody gave the keys.
    pub unchecked: Vec<String>,
}

/// `GET /ledger/head`: the newest signed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadView {
    /// Rows that it covers.
    pub size: u64,
    /// Root of the Merkle tree over them, hex.
    pub root: String,
    /// The signed note (C2SP `tlog-checkpoint`).
    pub checkpoint: String,
    /// Keys of those who signed it, as far as the node knows them.
    pub keys: Vec<KeyView>,
    /// The nodes that it names as those who signed it.
    #[serde(default)]
    pub signers: Vec<String>,
    /// How many nodes hold the ledger and sign its head.
    #[serde(default)]
    pub voters: usize,
}

/// `GET /ledger/rows`: rows in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowsPage {
    /// In the order of the ledger.
    pub rows: Vec<ExactRow>,
    /// Rows in the ledger.
    pub total: u64,
}

/// `GET /ledger/keys`: the keys of the nodes that this one counts to its cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyList {
    /// The node's own first.
    pub keys: Vec<KeyView>,
}

/// A hash as it stands in JSON.
pub(crate) fn hex(hash: Hash) -> String {
    blake3::Hash::from_bytes(hash.0).to_hex().to_string()
}

fn hash_of(text: &str) -> Result<Hash, Fault> {
    let upper = text.bytes().any(|byte| byte.is_ascii_uppercase());
    let hash = blake3::Hash::from_hex(text).ok().filter(|_| !upper);
    let hash = hash.ok_or_else(|| Fault::new("a hash in it is not 64 lower-case hexadecimal digits"))?;
    Ok(Hash(*hash.as_bytes()))
}

fn hashes_of(texts: &[String]) -> Result<Vec<Hash>, Fault> {
    texts.iter().map(|text| hash_of(text)).collect()
}
