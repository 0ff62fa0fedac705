//! `akita:plugin/blobs`: checks what a guest asks, and passes it to the host's store of blobs. It stores nothing.

use std::sync::Arc;

use super::HostFuture;
use crate::bindings::blobs;
use crate::store::RunState;

/// Digits of a blob's id: BLAKE3 in hexadecimal.
const ID_DIGITS: usize = 64;
/// Bytes in one answer: what a guest takes at once of a blob that may be larger than its memory.
const MAX_READ_BYTES: u32 = 1 << 20;
/// Blobs that one run may put: each is an fsync of the node's disk, which may be an SD card.
const MAX_PUTS: u32 = 1_000;

/// Why nothing was read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// Nobody who answers in time has it.
    #[error("no such blob")]
    NotFound,
    /// More bytes than one blob may have, which are given.
    #[error("over the {0} bytes that a blob may have")]
    TooLarge(u64),
    /// More bytes than the plugin's quota, which is given.
    #[error("over the quota of {0} bytes")]
    OverQuota(u64),
    /// It does not work now.
    #[error("{0}")]
    Unavailable(String),
}

/// The blobs that one plugin reaches. Ids are checked before they come here; what was put is durable when it returns.
pub trait BlobHost: Send + Sync + 'static {
    /// Bytes of a blob.
    fn size(&self, id: String) -> HostFuture<'_, Result<u64, BlobError>>;
    /// At most `max` bytes from `offset` on; none behind its end.
    fn read(&self, id: String, offset: u64, max: u32) -> HostFuture<'_, Result<Vec<u8>, BlobError>>;
    /// Keeps bytes; their id.
    fn put(&self, bytes: Vec<u8>) -> HostFuture<'_, Result<String, BlobError>>;
}

impl From<BlobError> for blobs::BlobError {
    fn from(error: BlobError) -> blobs::BlobError {
        match error {
            BlobError::NotFound => blobs::BlobError::NotFound,
            BlobError::TooLarge(most) => blobs::BlobError::TooLarge(most),
            BlobError::OverQuota(quota) => blobs::BlobError::OverQuota(quota),
            BlobError::Unavailable(why) => blobs::BlobError::Unavailable(why),
        }
    }
}

type Answer<T> = wasmtime::Result<Result<T, blobs::BlobError>>;

impl RunState {
    fn blobs(&self) -> Result<Arc<dyn BlobHost>, blobs::BlobError> {
        let missing = || blobs::BlobError::Unavailable("this host keeps no blobs".to_owned());
        self.hosts.blobs.clone().ok_or_else(missing)
    }

    fn blobs_for(&self, id: &str) -> Result<Arc<dyn BlobHost>, blobs::BlobError> {
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if id.len() == ID_DIGITS && id.bytes().all(digit) { self.blobs() } else { Err(blobs::BlobError::BadId) }
    }
}

// The host is taken before anything is awaited: the state of a run is not shared between threads.
impl blobs::Host for RunState {
    async fn size(&mut self, id: String) -> Answer<u64> {
        let host = self.blobs_for(&id);
        Ok(async { Ok(host?.size(id).await?) }.await)
    }

    async fn read(&mut self, id: String, offset: u64, max: u32) -> Answer<Vec<u8>> {
        let host = self.blobs_for(&id);
        Ok(async { Ok(host?.read(id, offset, max.min(MAX_READ_BYTES)).await?) }.await)
    }

    async fn put(&mut self, bytes: Vec<u8>) -> Answer<String> {
        let host = match self.calls.blob_puts {
            MAX_PUTS.. => Err(blobs::BlobError::Unavailable(format!("one run may put {MAX_PUTS} blobs"))),
            _ => self.blobs(),
        };
        self.calls.blob_puts += 1;
        Ok(async { Ok(host?.put(bytes).await?) }.await)
    }
}
