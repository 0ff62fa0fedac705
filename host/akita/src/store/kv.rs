//! Durable values of plugins. They are this node's own and in no ledger. What a plugin may put is decided by whoever
//! calls, but for the quota, which must hold within the write's transaction.

use rusqlite::{Connection, OptionalExtension, params};

use super::{Store, error::StoreError, machine::Machine, sql::unsigned, writer};

/// How a write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is on the disk under this version.
    Done(u64),
    /// The value has another version than expected; 0: there is none.
    Conflict(u64),
    /// It would have taken the plugin over its quota.
    OverQuota,
}

impl Store {
    /// A plugin's value and its version.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn kv_get(&self, plugin: String, key: String) -> Result<Option<(Vec<u8>, u64)>, StoreError> {
        self.readers.read(move |conn| get(conn, &plugin, &key)).await
    }

    /// Writes a plugin's value; durable when it answers.
    ///
    /// # Errors
    /// The writer failed or was closed.
    pub async fn kv_put(
        &self,
        plugin: String,
        key: String,
        value: Vec<u8>,
        expected: Option<u64>,
        quota: u64,
    ) -> Result<Put, StoreError> {
        self.writer
            .write(writer::units(value.len()), move |machine| machine.kv_put(&plugin, &key, &value, expected, quota))
            .await
    }

    /// Removes a plugin's value. False when there was none.
    ///
    /// # Errors
    /// The writer failed or was closed.
    pub async fn kv_delete(&self, plugin: String, key: String) -> Result<bool, StoreError> {
        self.writer.write(writer::SMALL, move |machine| machine.kv_delete(&plugin, &key)).await
    }

    /// At most `limit` of a plugin's keys that begin with `prefix`, in the order of their bytes, after `after`.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn kv_list(
        &self,
        plugin: String,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<String>, StoreError> {
        self.readers.read(move |conn| list(conn, &plugin, &prefix, after.as_deref(), limit)).await
    }
}

fn get(conn: &Connection, plugin: &str, key: &str) -> Result<Option<(Vec<u8>, u64)>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT value, version FROM plugin_kv WHERE plugin = ?1 AND key = ?2")?;
    Ok(statement.query_row(params![plugin, key], |row| Ok((row.get(0)?, unsigned(row, 1)?))).optional()?)
}

fn list(
    conn: &Connection,
    plugin: &str,
    prefix: &str,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<String>, StoreError> {
    // A key is never empty, so that all of them come after the empty text.
    let mut statement = conn.prepare_cached(
        "SELECT key FROM plugin_kv WHERE plugin = ?1 AND key >= ?2 AND key > ?3 \
         AND substr(key, 1, length(?2)) = ?2 ORDER BY key LIMIT ?4",
    )?;
    let keys = statement.query_map(params![plugin, prefix, after.unwrap_or_default(), limit], |row| row.get(0))?;
    Ok(keys.collect::<Result<_, _>>()?)
}

fn size(key: &str, value: usize) -> i64 {
    i64::try_from(key.len() + value).unwrap_or(i64::MAX)
}

impl Machine {
    fn kv_put(
        &mut self,
        plugin: &str,
        key: &str,
        value: &[u8],
        expected: Option<u64>,
        quota: u64,
    ) -> Result<Put, StoreError> {
        let old = self.kv_size(plugin, key)?;
        let present = old.map_or(0, |(_, version)| version);
        if expected.is_some_and(|expected| expected != present) {
            return Ok(Put::Conflict(present));
        }
        let mut usage =
            self.conn.prepare_cached("SELECT bytes, last_version FROM plugin_kv_usage WHERE plugin = ?1")?;
        let usage: Option<(i64, i64)> = usage.query_row([plugin], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let (bytes, last) = usage.unwrap_or_default();
        let bytes = bytes - old.map_or(0, |(size, _)| size) + size(key, value.len());
        // What shrinks is always taken, also over a quota that was lowered.
        let grows = size(key, value.len()) > old.map_or(0, |(size, _)| size);
        if grows && bytes.unsigned_abs() > quota {
            return Ok(Put::OverQuota);
        }
        let version = last + 1;
        self.conn
            .prepare_cached("INSERT OR REPLACE INTO plugin_kv (plugin, key, version, value) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![plugin, key, version, value])?;
        self.conn
            .prepare_cached("INSERT OR REPLACE INTO plugin_kv_usage (plugin, bytes, last_version) VALUES (?1, ?2, ?3)")?
            .execute(params![plugin, bytes, version])?;
        Ok(Put::Done(version.cast_unsigned()))
    }

    fn kv_delete(&mut self, plugin: &str, key: &str) -> Result<bool, StoreError> {
        let Some((size, _)) = self.kv_size(plugin, key)? else { return Ok(false) };
        self.conn.prepare_cached("DELETE FROM plugin_kv WHERE plugin = ?1 AND key = ?2")?.execute([plugin, key])?;
        self.conn
            .prepare_cached("UPDATE plugin_kv_usage SET bytes = bytes - ?2 WHERE plugin = ?1")?
            .execute(params![plugin, size])?;
        Ok(true)
    }

    /// What a key and its value take, and its version.
    fn kv_size(&self, plugin: &str, key: &str) -> Result<Option<(i64, u64)>, StoreError> {
        let mut statement =
            self.conn.prepare_cached("SELECT length(value), version FROM plugin_kv WHERE plugin = ?1 AND key = ?2")?;
        let found = statement.query_row([plugin, key], |row| Ok((row.get::<_, i64>(0)?, unsigned(row, 1)?)));
        Ok(found.optional()?.map(|(value, version)| (size(key, 0) + value, version)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Log;
    use super::*;

    async fn put(store: &Store, key: &str, value: &[u8], expected: Option<u64>) -> Put {
        store.kv_put("cache".into(), key.into(), value.to_vec(), expected, 100).await.unwrap()
    }

    async fn get(store: &Store, plugin: &str, key: &str) -> Option<(Vec<u8>, u64)> {
        store.kv_get(plugin.into(), key.into()).await.unwrap()
    }

    #[tokio::test]
    async fn a_value_stays_over_a_restart_in_its_plugins_space() {
        let log = Log::new().await;
        assert_eq!(put(&log.opened.store, "a", b"one", None).await, Put::Done(1));
        let log = log.reopen().await;
        let store = &log.opened.store;
        assert_eq!(get(store, "cache", "a").await, Some((b"one".to_vec(), 1)));
        assert_eq!(get(store, "other", "a").await, None);
        assert!(store.kv_delete("cache".into(), "a".into()).await.unwrap());
        assert!(!store.kv_delete("cache".into(), "a".into()).await.unwrap());
        assert_eq!(put(store, "a", b"one", Some(0)).await, Put::Done(2), "a version is given once");
    }

    #[tokio::test]
    async fn a_write_may_ask_for_the_version_that_it_replaces() {
        let log = Log::new().await;
        let store = &log.opened.store;
        assert_eq!(put(store, "a", b"x", Some(1)).await, Put::Conflict(0));
        assert_eq!(put(store, "a", b"x", Some(0)).await, Put::Done(1));
        assert_eq!(put(store, "a", b"y", Some(0)).await, Put::Conflict(1));
        assert_eq!(put(store, "a", b"y", Some(1)).await, Put::Done(2));
    }

    #[tokio::test]
    async fn the_quota_counts_keys_and_values_and_what_shrinks_is_taken() {
        let log = Log::new().await;
        let store = &log.opened.store;
        assert_eq!(put(store, "a", &[0; 100], None).await, Put::OverQuota);
        assert_eq!(put(store, "a", &[0; 99], None).await, Put::Done(1));
        assert_eq!(put(store, "b", b"", None).await, Put::OverQuota);
        assert_eq!(put(store, "a", &[0; 50], None).await, Put::Done(2));
        assert_eq!(put(store, "b", &[0; 48], None).await, Put::Done(3));
        let shrinks = store.kv_put("cache".into(), "a".into(), vec![], None, 0).await.unwrap();
        assert_eq!(shrinks, Put::Done(4));
        store.kv_delete("cache".into(), "b".into()).await.unwrap();
        assert_eq!(put(store, "c", &[0; 98], None).await, Put::Done(5));
    }

    #[tokio::test]
    async fn keys_are_listed_by_prefix_in_pages() {
        let log = Log::new().await;
        let store = &log.opened.store;
        for key in ["b/1", "a", "b/3", "b/2", "c"] {
            put(store, key, b"", None).await;
        }
        let list = async |prefix: &str, after: Option<&str>, limit| {
            store.kv_list("cache".into(), prefix.into(), after.map(str::to_owned), limit).await.unwrap()
        };
        assert_eq!(list("", None, 10).await, ["a", "b/1", "b/2", "b/3", "c"]);
        assert_eq!(list("b/", None, 2).await, ["b/1", "b/2"]);
        assert_eq!(list("b/", Some("b/2"), 2).await, ["b/3"]);
        assert!(list("d", None, 2).await.is_empty());
    }
}
