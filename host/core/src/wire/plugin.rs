//! What plugins send: messages to themselves on another node, and blobs.

use serde::{Deserialize, Serialize};

/// A small message of a plugin to the plugin of the same name on another node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tell {
    /// The plugin's name.
    pub plugin: String,
    /// What it says.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
}

/// What became of a [`Tell`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Took {
    /// It is in the plugin's box.
    Delivered = 0,
    /// The plugin is not there, or may not.
    NoPlugin = 1,
    /// The box is full.
    Full = 2,
}

/// Answer to [`Tell`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub(super) took: u8,
}

impl Told {
    /// That answer.
    pub fn new(took: Took) -> Told {
        Told { took: took as u8 }
    }

    /// What it says; nothing where a later version says more.
    pub fn took(self) -> Option<Took> {
        [Took::Delivered, Took::NoPlugin, Took::Full].into_iter().find(|took| *took as u8 == self.took)
    }
}

/// Asks a node for a piece of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetBlob {
    /// BLAKE3 of its bytes.
    #[serde(with = "serde_bytes")]
    pub id: [u8; 32],
    /// Where the piece begins.
    pub offset: u64,
    /// Its bytes at most; 0: only whether the node has it.
    pub max: u32,
}

/// Answer to [`GetBlob`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobPiece {
    /// Bytes of the whole blob; nothing if the node does not have it.
    pub size: Option<u64>,
    /// The piece.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
}
