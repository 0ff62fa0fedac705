//! Content-addressed bytes: the hash is the name, so that what is large travels once and only where it is read. To be
//! granted: `interfaces = ["blobs"]`.
//!
//! ```
//! use akita_plugin::blobs;
//!
//! let id = blobs::put(b"a long measurement")?;
//! assert_eq!(blobs::read_all(&id, 1_000)?, b"a long measurement");
//!
//! // Or piece by piece, with no more than a piece in memory:
//! let mut bytes = 0;
//! for piece in blobs::reader(&id) {
//!     bytes += piece?.len();
//! }
//! assert_eq!(bytes, 18);
//! # Ok::<(), blobs::Error>(())
//! ```

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

pub use crate::contract::akita::plugin::blobs::BlobError as Error;
use crate::{TaskError, host};

/// Bytes that a [`Reader`] asks for at once: a page of WebAssembly's memory, sixteen calls for a megabyte.
const PIECE: u32 = 64 << 10;

/// Bytes of a blob. Fetches it from another node where this one does not have it.
pub fn size(id: &str) -> Result<u64, Error> {
    host::blobs::size(id)
}

/// A piece: at most `max` bytes from `offset` on, fewer at the end and after 1 MiB, none behind it.
pub fn read(id: &str, offset: u64, max: u32) -> Result<Vec<u8>, Error> {
    host::blobs::read(id, offset, max)
}

/// Keeps bytes on this node and answers their hash, which is the blob's id. They are on its disk then.
pub fn put(bytes: &[u8]) -> Result<String, Error> {
    host::blobs::put(bytes)
}

/// The whole blob, if it has at most `limit` bytes; [`Error::TooLarge`] otherwise.
pub fn read_all(id: &str, limit: u64) -> Result<Vec<u8>, Error> {
    let size = size(id)?;
    if size > limit {
        return Err(Error::TooLarge(limit));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).map_err(|_| Error::TooLarge(limit))?);
    while (bytes.len() as u64) < size {
        let piece = read(id, bytes.len() as u64, u32::MAX)?;
        if piece.is_empty() {
            return Err(Error::Unavailable("the blob ends before its size".into()));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// Reads a blob from its start, in pieces of 64 KiB.
#[must_use]
pub fn reader(id: &str) -> Reader {
    Reader { id: id.into(), offset: 0, piece: PIECE, ended: false }
}

/// A blob piece by piece; see [`reader`]. It ends after an error.
#[derive(Clone, Debug)]
pub struct Reader {
    id: String,
    offset: u64,
    piece: u32,
    ended: bool,
}

impl Reader {
    /// Starts at another place.
    #[must_use]
    pub fn from(mut self, offset: u64) -> Self {
        self.offset = offset;
        self
    }

    /// Asks for pieces of another size; the node gives 1 MiB at most.
    #[must_use]
    pub fn pieces_of(mut self, bytes: u32) -> Self {
        self.piece = bytes.max(1);
        self
    }
}

impl Iterator for Reader {
    type Item = Result<Vec<u8>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let piece = read(&self.id, self.offset, self.piece);
        self.ended = !matches!(&piece, Ok(bytes) if !bytes.is_empty());
        let bytes = match piece {
            Ok(bytes) => bytes,
            Err(error) => return Some(Err(error)),
        };
        self.offset += bytes.len() as u64;
        (!bytes.is_empty()).then_some(Ok(bytes))
    }
}

/// What is too large stays so; a blob that no node has may be there when one comes back.
impl From<Error> for TaskError {
    fn from(error: Error) -> Self {
        match error {
            Error::BadId => Self::permanent("a blob's id has 64 lower-case hexadecimal digits").code("bad-blob-id"),
            Error::NotFound => Self::retryable("no node that answers has the blob").code("no-such-blob"),
            Error::TooLarge(limit) => {
                Self::permanent(format!("the blob has more than {limit} bytes")).code("blob-too-large")
            }
            Error::OverQuota(quota) => {
                let message = format!("the plugin's blobs would have more than the {quota} bytes that it may keep");
                Self::permanent(message).code("over-quota")
            }
            Error::Unavailable(why) => Self::retryable(format!("no blobs now: {why}")).code("unavailable"),
        }
    }
}
