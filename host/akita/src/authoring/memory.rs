//! `kv` for a run without a node: values in memory, with the versions and the quota that a node would keep. They are gone
//! with the run.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use akita_sandbox::{HostFuture, KvEntry, KvError, KvHost};

/// What a node gives a plugin unless its operator says otherwise.
const QUOTA_BYTES: u64 = 1 << 20;

/// Values in memory.
#[derive(Debug, Default)]
pub struct MemoryKv(Mutex<Values>);

#[derive(Debug, Default)]
struct Values {
    entries: BTreeMap<String, KvEntry>,
    last: u64,
}

impl MemoryKv {
    /// Values that are there before the run.
    pub fn with(entries: impl IntoIterator<Item = (String, Vec<u8>)>) -> MemoryKv {
        let mut values = Values::default();
        for (key, value) in entries {
            values.last += 1;
            values.entries.insert(key, KvEntry { value, version: values.last });
        }
        MemoryKv(Mutex::new(values))
    }

    fn lock(&self) -> MutexGuard<'_, Values> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Values {
    fn put(&mut self, key: String, value: Vec<u8>, expected: Option<u64>) -> Result<u64, KvError> {
        let present = self.entries.get(&key).map_or(0, |entry| entry.version);
        if expected.is_some_and(|expected| expected != present) {
            return Err(KvError::Conflict(present));
        }
        let others = self.entries.iter().filter(|(other, _)| **other != key);
        let others: usize = others.map(|(key, entry)| key.len() + entry.value.len()).sum();
        if (others + key.len() + value.len()) as u64 > QUOTA_BYTES {
            return Err(KvError::OverQuota(QUOTA_BYTES));
        }
        self.last += 1;
        self.entries.insert(key, KvEntry { value, version: self.last });
        Ok(self.last)
    }
}

impl KvHost for MemoryKv {
    fn get(&self, key: String) -> HostFuture<'_, Result<Option<KvEntry>, KvError>> {
        Box::pin(async move { Ok(self.lock().entries.get(&key).cloned()) })
    }

    fn put(&self, key: String, value: Vec<u8>, expected: Option<u64>) -> HostFuture<'_, Result<u64, KvError>> {
        Box::pin(async move { self.lock().put(key, value, expected) })
    }

    fn delete(&self, key: String) -> HostFuture<'_, Result<bool, KvError>> {
        Box::pin(async move { Ok(self.lock().entries.remove(&key).is_some()) })
    }

    fn list(&self, prefix: String, after: Option<String>, limit: u32) -> HostFuture<'_, Result<Vec<String>, KvError>> {
        Box::pin(async move {
            let values = self.lock();
            let keys = values.entries.keys().filter(|key| key.starts_with(&prefix));
            let keys = keys.filter(|key| after.as_ref().is_none_or(|after| *key > after));
            Ok(keys.take(limit as usize).cloned().collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn values_have_versions_and_an_order() {
        let kv = MemoryKv::with([("b/2".to_owned(), b"x".to_vec())]);
        assert_eq!(kv.put("b/1".into(), b"y".to_vec(), Some(0)).await, Ok(2));
        assert_eq!(kv.put("b/1".into(), b"z".to_vec(), Some(7)).await, Err(KvError::Conflict(2)));
        assert_eq!(kv.list("b/".into(), None, 9).await, Ok(vec!["b/1".into(), "b/2".into()]));
        assert_eq!(kv.list("b/".into(), Some("b/1".into()), 9).await, Ok(vec!["b/2".into()]));
        assert_eq!(kv.delete("b/1".into()).await, Ok(true));
        assert_eq!(kv.get("b/1".into()).await, Ok(None));
    }

    #[tokio::test]
    async fn the_quota_is_that_of_a_node() {
        let kv = MemoryKv::default();
        let half = vec![0; 600 << 10];
        assert_eq!(kv.put("a".into(), half.clone(), None).await, Ok(1));
        assert_eq!(kv.put("b".into(), half.clone(), None).await, Err(KvError::OverQuota(QUOTA_BYTES)));
        assert_eq!(kv.put("a".into(), half, None).await, Ok(2), "what is replaced does not count");
    }
}
