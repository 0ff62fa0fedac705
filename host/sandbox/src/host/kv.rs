//! `akita:plugin/kv`: checks what a guest asks, and passes it to the host's store. It stores nothing.

use super::HostFuture;
use crate::bindings::kv;
use crate::store::RunState;

/// Longest key in bytes: a path of a few words.
const MAX_KEY_BYTES: usize = 256;
/// Keys in one answer: with the longest keys a quarter of a megabyte.
const MAX_KEYS: u32 = 1_000;
/// Largest value in bytes: a value is for a cursor or a cached answer; more belongs into a task's output.
const MAX_VALUE_BYTES: usize = 1 << 20;
/// Writes of one run: each is an fsync of the node's disk, which may be an SD card.
const MAX_WRITES: u32 = 1_000;

/// A value as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvEntry {
    /// The bytes.
    pub value: Vec<u8>,
    /// Given by the write.
    pub version: u64,
}

/// Why nothing was read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KvError {
    /// More bytes than the quota, which is given.
    #[error("over the quota of {0} bytes")]
    OverQuota(u64),
    /// Not the expected version; the present one, 0 for none.
    #[error("the value has version {0}")]
    Conflict(u64),
    /// The store does not answer now.
    #[error("{0}")]
    Unavailable(String),
}

/// The durable values of one plugin. Keys are checked before they come here; a write is durable when it returns.
pub trait KvHost: Send + Sync + 'static {
    /// The value of a key.
    fn get(&self, key: String) -> HostFuture<'_, Result<Option<KvEntry>, KvError>>;
    /// Writes, if the version is the expected one (0: none there); the new version.
    fn put(&self, key: String, value: Vec<u8>, expected: Option<u64>) -> HostFuture<'_, Result<u64, KvError>>;
    /// Removes; whether there was one.
    fn delete(&self, key: String) -> HostFuture<'_, Result<bool, KvError>>;
    /// At most `limit` keys that begin with `prefix`, in order, after `after`.
    fn list(&self, prefix: String, after: Option<String>, limit: u32) -> HostFuture<'_, Result<Vec<String>, KvError>>;
}

impl From<KvError> for kv::KvError {
    fn from(error: KvError) -> kv::KvError {
        match error {
            KvError::OverQuota(quota) => kv::KvError::OverQuota(quota),
            KvError::Conflict(version) => kv::KvError::Conflict(version),
            KvError::Unavailable(why) => kv::KvError::Unavailable(why),
        }
    }
}

type Answer<T> = wasmtime::Result<Result<T, kv::KvError>>;

impl RunState {
    fn kv(&self) -> Result<std::sync::Arc<dyn KvHost>, kv::KvError> {
        let missing = || kv::KvError::Unavailable("this host keeps no values".to_owned());
        self.hosts.kv.clone().ok_or_else(missing)
    }

    fn kv_for_writing(&mut self) -> Result<std::sync::Arc<dyn KvHost>, kv::KvError> {
        if self.calls.kv_writes >= MAX_WRITES {
            return Err(kv::KvError::Unavailable(format!("one run may write {MAX_WRITES} times")));
        }
        self.calls.kv_writes += 1;
        self.kv()
    }
}

fn check_key(key: &str) -> Result<(), kv::KvError> {
    let bad = |why: String| Err(kv::KvError::BadKey(why));
    match key.len() {
        0 => bad("the key is empty".to_owned()),
        length if length > MAX_KEY_BYTES => bad(format!("the key has {length} bytes; {MAX_KEY_BYTES} is the most")),
        _ if key.chars().any(char::is_control) => bad("the key has a control character".to_owned()),
        _ => Ok(()),
    }
}

// The host is taken before anything is awaited: the state of a run is not shared between threads.
impl kv::Host for RunState {
    async fn get(&mut self, key: String) -> Answer<Option<kv::Entry>> {
        let host = check_key(&key).and_then(|()| self.kv());
        let found = async { Ok::<_, kv::KvError>(host?.get(key).await?) }.await;
        Ok(found.map(|entry| entry.map(|KvEntry { value, version }| kv::Entry { value, version })))
    }

    async fn put(&mut self, key: String, value: Vec<u8>, expected: Option<u64>) -> Answer<u64> {
        let fits = match value.len() {
            size if size > MAX_VALUE_BYTES => Err(kv::KvError::OverQuota(MAX_VALUE_BYTES as u64)),
            _ => check_key(&key),
        };
        let host = fits.and_then(|()| self.kv_for_writing());
        Ok(async { Ok(host?.put(key, value, expected).await?) }.await)
    }

    async fn delete(&mut self, key: String) -> Answer<bool> {
        let host = check_key(&key).and_then(|()| self.kv_for_writing());
        Ok(async { Ok(host?.delete(key).await?) }.await)
    }

    async fn list_keys(&mut self, prefix: String, after: Option<String>, limit: u32) -> Answer<Vec<String>> {
        let host = self.kv();
        Ok(async { Ok(host?.list(prefix, after, limit.min(MAX_KEYS)).await?) }.await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_short_and_printable() {
        for good in ["a", "forecast/2026-03-01", "größe", &"k".repeat(MAX_KEY_BYTES)] {
            assert!(check_key(good).is_ok(), "{good}");
        }
        for bad in ["", "a\nb", "\0", &"k".repeat(MAX_KEY_BYTES + 1)] {
            assert!(matches!(check_key(bad), Err(kv::KvError::BadKey(_))), "{bad}");
        }
    }
}
