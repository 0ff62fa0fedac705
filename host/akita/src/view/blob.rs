//! Blobs.

use serde::{Deserialize, Serialize};

/// Answer to `POST /blobs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobPut {
    /// BLAKE3 of the bytes, hex.
    pub id: String,
    /// Bytes.
    pub size: u64,
}

/// `GET /blobs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobList {
    /// The last used first.
    pub blobs: Vec<BlobView>,
    /// Bytes that all blobs of this node take; each counts 4 KiB at least.
    pub used_bytes: u64,
    /// BLOB_STORE_BYTES.
    pub limit_bytes: u64,
}

/// A blob that lies on this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobView {
    /// BLAKE3 of its bytes, hex.
    pub id: String,
    /// Bytes.
    pub size: u64,
    /// The plugins that put it, and an empty name for the operator; none: a copy that was fetched, which makes room.
    pub owners: Vec<String>,
    /// When it was last used, to within ten minutes. RFC 3339, UTC.
    pub used_at: String,
}
