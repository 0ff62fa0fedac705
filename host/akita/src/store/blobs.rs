//! Which blobs lie on this node, whose they are and when they were last used. The bytes are files that the module of
//! blobs keeps; it also decides, under one lock, what may be put and what makes room.

use rusqlite::{Connection, OptionalExtension, params};

use super::{Store, error::StoreError, machine::Machine, sql::unsigned, writer};

/// A blob's name: BLAKE3 of its bytes.
pub type BlobKey = [u8; 32];

/// What one blob takes at least: a block of most file systems. Otherwise a quota would allow millions of files.
pub const LEAST_CHARGE: u64 = 4 << 10;

/// What a blob of that size counts.
pub fn charge(size: u64) -> u64 {
    size.max(LEAST_CHARGE)
}

/// A blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobRow {
    /// Its name.
    pub id: BlobKey,
    /// Its bytes.
    pub size: u64,
    /// When it was last used, in milliseconds since 1970.
    pub used_at: u64,
    /// Who put it; empty: it is a copy.
    pub owners: Vec<String>,
}

/// What the blobs take together, as they are charged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BlobUse {
    /// All of them.
    pub all: u64,
    /// Those without an owner.
    pub copies: u64,
    /// Those of the owner that was asked about.
    pub owned: u64,
}

impl Store {
    /// One blob.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn blob(&self, id: BlobKey) -> Result<Option<BlobRow>, StoreError> {
        self.readers.read(move |conn| blob(conn, &id)).await
    }

    /// At most `limit` blobs, the last used first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn blobs(&self, limit: u32) -> Result<Vec<BlobRow>, StoreError> {
        self.readers.read(move |conn| list(conn, "ORDER BY used_at DESC, id LIMIT ?1", limit)).await
    }

    /// The names of all.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn blob_keys(&self) -> Result<Vec<BlobKey>, StoreError> {
        let read = |conn: &Connection| {
            let mut statement = conn.prepare("SELECT id FROM blobs")?;
            Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
        };
        self.readers.read(read).await
    }

    /// What the blobs take, and those of one owner.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn blob_use(&self, owner: String) -> Result<BlobUse, StoreError> {
        self.readers.read(move |conn| usage(conn, &owner)).await
    }

    /// At most `limit` blobs without an owner, those first that were not used for the longest time.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn blob_copies(&self, limit: u32) -> Result<Vec<BlobRow>, StoreError> {
        let copies = "WHERE id NOT IN (SELECT id FROM blob_owners) ORDER BY used_at, id LIMIT ?1";
        self.readers.read(move |conn| list(conn, copies, limit)).await
    }

    /// Notes a blob whose file is there, and forgets others in the same step. Without an owner it is a copy.
    ///
    /// # Errors
    /// The writer failed or was closed.
    pub async fn blob_add(
        &self,
        id: BlobKey,
        size: u64,
        owner: Option<String>,
        now: u64,
        forget: Vec<BlobKey>,
    ) -> Result<(), StoreError> {
        let add = move |machine: &mut Machine| {
            forget.iter().try_for_each(|id| machine.blob_forget(id))?;
            machine.blob_add(&id, size, owner.as_deref(), now)
        };
        self.writer.write(writer::SMALL, add).await
    }

    /// Forgets blobs.
    ///
    /// # Errors
    /// The writer failed or was closed.
    pub async fn blob_forget(&self, ids: Vec<BlobKey>) -> Result<(), StoreError> {
        let forget = move |machine: &mut Machine| ids.iter().try_for_each(|id| machine.blob_forget(id));
        self.writer.write(writer::SMALL, forget).await
    }

    /// Notes that a blob is used.
    ///
    /// # Errors
    /// The writer failed or was closed.
    pub async fn blob_used(&self, id: BlobKey, now: u64) -> Result<(), StoreError> {
        let touch = move |machine: &mut Machine| {
            let mut update = machine.conn.prepare_cached("UPDATE blobs SET used_at = ?2 WHERE id = ?1")?;
            update.execute(params![id, now.cast_signed()])?;
            Ok(())
        };
        self.writer.write(writer::SMALL, touch).await
    }
}

fn blob(conn: &Connection, id: &BlobKey) -> Result<Option<BlobRow>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT size, used_at FROM blobs WHERE id = ?1")?;
    let found = statement.query_row([id], |row| Ok((unsigned(row, 0)?, unsigned(row, 1)?))).optional()?;
    let Some((size, used_at)) = found else { return Ok(None) };
    Ok(Some(BlobRow { id: *id, size, used_at, owners: owners(conn, id)? }))
}

fn owners(conn: &Connection, id: &BlobKey) -> Result<Vec<String>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT owner FROM blob_owners WHERE id = ?1 ORDER BY owner")?;
    Ok(statement.query_map([id], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

fn list(conn: &Connection, which: &str, limit: u32) -> Result<Vec<BlobRow>, StoreError> {
    let mut statement = conn.prepare_cached(&format!("SELECT id, size, used_at FROM blobs {which}"))?;
    let rows = statement.query_map([limit], |row| {
        Ok(BlobRow { id: row.get(0)?, size: unsigned(row, 1)?, used_at: unsigned(row, 2)?, owners: Vec::new() })
    })?;
    let mut rows: Vec<BlobRow> = rows.collect::<Result<_, _>>()?;
    for row in &mut rows {
        row.owners = owners(conn, &row.id)?;
    }
    Ok(rows)
}

fn usage(conn: &Connection, owner: &str) -> Result<BlobUse, StoreError> {
    let sum = |which: &str, owner: &[&dyn rusqlite::ToSql]| -> Result<u64, StoreError> {
        let sql = format!("SELECT COALESCE(SUM(MAX(size, {LEAST_CHARGE})), 0) FROM blobs {which}");
        Ok(conn.prepare_cached(&sql)?.query_row(owner, |row| unsigned(row, 0))?)
    };
    Ok(BlobUse {
        all: sum("", &[])?,
        copies: sum("WHERE id NOT IN (SELECT id FROM blob_owners)", &[])?,
        owned: sum("WHERE id IN (SELECT id FROM blob_owners WHERE owner = ?1)", &[&owner])?,
    })
}

impl Machine {
    fn blob_add(&mut self, id: &BlobKey, size: u64, owner: Option<&str>, now: u64) -> Result<(), StoreError> {
        let add = "INSERT INTO blobs (id, size, used_at) VALUES (?1, ?2, ?3) \
                   ON CONFLICT (id) DO UPDATE SET used_at = excluded.used_at";
        self.conn.prepare_cached(add)?.execute(params![id, size.cast_signed(), now.cast_signed()])?;
        if let Some(owner) = owner {
            let own = "INSERT OR IGNORE INTO blob_owners (owner, id) VALUES (?1, ?2)";
            self.conn.prepare_cached(own)?.execute(params![owner, id])?;
        }
        Ok(())
    }

    fn blob_forget(&mut self, id: &BlobKey) -> Result<(), StoreError> {
        self.conn.prepare_cached("DELETE FROM blob_owners WHERE id = ?1")?.execute([id])?;
        self.conn.prepare_cached("DELETE FROM blobs WHERE id = ?1")?.execute([id])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Log;
    use super::*;

    const MIB: u64 = 1 << 20;

    fn key(byte: u8) -> BlobKey {
        [byte; 32]
    }

    async fn add(store: &Store, byte: u8, size: u64, owner: Option<&str>, now: u64) {
        store.blob_add(key(byte), size, owner.map(str::to_owned), now, vec![]).await.unwrap();
    }

    #[tokio::test]
    async fn a_blob_has_owners_or_is_a_copy_and_each_owner_counts_what_is_its_own() {
        let log = Log::new().await;
        let store = &log.opened.store;
        add(store, 1, 2 * MIB, Some("cache"), 10).await;
        add(store, 1, 2 * MIB, Some(""), 11).await;
        add(store, 2, MIB, None, 12).await;
        add(store, 3, 1, Some("cache"), 13).await;
        let row = store.blob(key(1)).await.unwrap().unwrap();
        assert_eq!((row.size, row.used_at, row.owners), (2 * MIB, 11, vec![String::new(), "cache".into()]));
        let used = store.blob_use("cache".into()).await.unwrap();
        assert_eq!(used, BlobUse { all: 3 * MIB + LEAST_CHARGE, copies: MIB, owned: 2 * MIB + LEAST_CHARGE });
        assert_eq!(store.blob_use("none".into()).await.unwrap().owned, 0);
        let order: Vec<_> = store.blobs(2).await.unwrap().into_iter().map(|row| row.id).collect();
        assert_eq!(order, [key(3), key(2)]);
    }

    #[tokio::test]
    async fn copies_make_room_in_the_order_of_their_last_use_and_a_change_is_one_step() {
        let log = Log::new().await;
        let store = &log.opened.store;
        for (byte, now) in [(1, 30), (2, 10), (3, 20)] {
            add(store, byte, MIB, None, now).await;
        }
        add(store, 4, MIB, Some("x"), 1).await;
        store.blob_used(key(2), 40).await.unwrap();
        let copies: Vec<_> = store.blob_copies(9).await.unwrap().into_iter().map(|row| row.id).collect();
        assert_eq!(copies, [key(3), key(1), key(2)]);
        store.blob_add(key(5), MIB, None, 50, vec![key(3), key(1)]).await.unwrap();
        store.blob_forget(vec![key(4)]).await.unwrap();
        let log = log.reopen().await;
        let mut keys = log.opened.store.blob_keys().await.unwrap();
        keys.sort_unstable();
        assert_eq!(keys, [key(2), key(5)]);
    }
}
