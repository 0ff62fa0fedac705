//! Content-addressed bytes of this node: files named by their hash, rows that say whose they are, and limits. What was
//! put stays until somebody removes it; copies that were fetched from other nodes make room, those first that were not
//! used for the longest time. It talks to no other node; see [`fetch`].

mod fetch;
mod files;

use std::{
    collections::HashMap,
    fmt, io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, sync::Semaphore};

pub use fetch::{Blobs, DEFAULT_WAIT, Neighbours, Reply};
pub(crate) use files::Files;

use crate::{
    driver::now,
    store::{BlobKey, BlobRow, Store, StoreError, charge},
};

/// Copies that are looked at to make room, in one step.
const EVICT_AT_ONCE: u32 = 256;
/// The last use of a blob is written down at most this often: each is a write to the disk.
const NOTE_USE_EVERY: Duration = Duration::from_secs(600);
/// Large pieces of work on the disk at once: a blob that is hashed or written is in memory.
const AT_ONCE: usize = 4;

/// A blob's name: BLAKE3 of its bytes, as 64 lower-case hexadecimal digits for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobId(pub BlobKey);

impl BlobId {
    /// The name of these bytes.
    pub fn of(bytes: &[u8]) -> BlobId {
        BlobId(*blake3::hash(bytes).as_bytes())
    }

    /// Reads 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<BlobId> {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        blake3::Hash::from_hex(text).ok().map(|hash| BlobId(*hash.as_bytes()))
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

/// Why a blob is not read or kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlobFault {
    /// Nobody who was asked has it.
    #[error("no such blob")]
    NotFound,
    /// More bytes than one blob may have, which are given.
    #[error("a blob has at most {0} bytes (BLOB_MAX_BYTES)")]
    TooLarge(u64),
    /// Over the owner's quota, which is given.
    #[error("over the quota of {0} bytes")]
    OverQuota(u64),
    /// The node's blobs fill what the operator gave them, in bytes.
    #[error("the node keeps at most {0} bytes of blobs (BLOB_STORE_BYTES), and they are taken")]
    NoRoom(u64),
    /// A node that may have it does not answer now.
    #[error("{0}")]
    Silent(String),
    /// It may work later.
    #[error("{0}")]
    Unavailable(String),
}

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobLimits {
    /// BLOB_MAX_BYTES: one blob.
    pub blob_bytes: u64,
    /// BLOB_STORE_BYTES: all together.
    pub store_bytes: u64,
}

/// Who puts a blob, and what may be his.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// A plugin's name; empty for the operator.
    pub name: String,
    /// Bytes of all his blobs together; nothing: no bound but that of the node.
    pub quota: Option<u64>,
}

impl Owner {
    /// The operator.
    pub fn operator() -> Owner {
        Owner { name: String::new(), quota: None }
    }
}

/// This node's blobs. Clones are the same.
#[derive(Clone)]
pub struct BlobShelf(Arc<Inner>);

struct Inner {
    files: Files,
    store: Store,
    limits: BlobLimits,
    /// Whatever takes long runs here, also for guests, whose own threads are for computing.
    runtime: Handle,
    /// One change at a time: what is free is looked up before it is taken.
    changing: tokio::sync::Mutex<()>,
    busy: Arc<Semaphore>,
    /// Blobs that were found whole since the start, with their size, and when their use was noted last.
    whole: Mutex<HashMap<BlobId, (u64, Instant)>>,
}

impl BlobShelf {
    /// Opens the folder, and brings it and the rows into line: a crash may have left a file without a row.
    ///
    /// # Errors
    /// The folder or the database cannot be read or written.
    pub async fn open(dir: PathBuf, store: Store, limits: BlobLimits) -> io::Result<BlobShelf> {
        let keys = store.blob_keys().await.map_err(io::Error::other)?;
        let known = keys.into_iter().map(BlobId).collect();
        let sweep = move || {
            let files = Files::open(dir)?;
            files.sweep(&known).map(|missing| (files, missing))
        };
        let (files, missing) = tokio::task::spawn_blocking(sweep).await.map_err(io::Error::other)??;
        if !missing.is_empty() {
            tracing::warn!(
                blobs = missing.len(),
                "files of blobs are missing; what they held is fetched when it is asked for"
            );
            let keys = missing.into_iter().map(|id| id.0).collect();
            store.blob_forget(keys).await.map_err(io::Error::other)?;
        }
        Ok(BlobShelf(Arc::new(Inner {
            files,
            store,
            limits,
            runtime: Handle::current(),
            changing: tokio::sync::Mutex::default(),
            busy: Arc::new(Semaphore::new(AT_ONCE)),
            whole: Mutex::default(),
        })))
    }

    /// The limits.
    pub fn limits(&self) -> BlobLimits {
        self.0.limits
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.0.runtime
    }

    /// Keeps bytes. They are on the disk when this returns; what was begun is done, also if nobody waits any more.
    ///
    /// # Errors
    /// They are too large, over the quota or the store's bound, or the disk does not take them.
    pub async fn put(&self, owner: Owner, bytes: Vec<u8>) -> Result<BlobId, BlobFault> {
        let shelf = self.clone();
        let putting = self.0.runtime.spawn(async move { shelf.put_now(owner, bytes).await });
        putting.await.unwrap_or_else(|error| Err(BlobFault::Unavailable(error.to_string())))
    }

    async fn put_now(&self, owner: Owner, bytes: Vec<u8>) -> Result<BlobId, BlobFault> {
        let size = bytes.len() as u64;
        if size > self.0.limits.blob_bytes {
            return Err(BlobFault::TooLarge(self.0.limits.blob_bytes));
        }
        let bytes = Arc::new(bytes);
        let hashed = Arc::clone(&bytes);
        let id = self.work(move |_| Ok(BlobId::of(&hashed))).await?;
        let _changing = self.0.changing.lock().await;
        let row = self.row(id).await?;
        if row.as_ref().is_some_and(|row| row.owners.contains(&owner.name)) && self.whole(id).await?.is_some() {
            return Ok(id);
        }
        if let Some(quota) = owner.quota {
            let owned = self.0.store.blob_use(owner.name.clone()).await.map_err(database)?.owned;
            if owned + charge(size) > quota {
                return Err(BlobFault::OverQuota(quota));
            }
        }
        let evicted = match row {
            Some(_) => Vec::new(),
            None => self.room_for(size).await?,
        };
        self.work(move |files| files.write(id, &bytes)).await?;
        self.note(id, size, Some(owner.name), evicted).await?;
        Ok(id)
    }

    /// Writes a row whose file is there, and drops the copies that made room.
    async fn note(&self, id: BlobId, size: u64, owner: Option<String>, evicted: Vec<BlobId>) -> Result<(), BlobFault> {
        let keys = evicted.iter().map(|id| id.0).collect();
        self.0.store.blob_add(id.0, size, owner, now(), keys).await.map_err(database)?;
        self.known().insert(id, (size, Instant::now()));
        self.unlink(evicted).await
    }

    async fn unlink(&self, ids: Vec<BlobId>) -> Result<(), BlobFault> {
        if ids.is_empty() {
            return Ok(());
        }
        {
            let mut known = self.known();
            ids.iter().for_each(|id| {
                known.remove(id);
            });
        }
        self.work(move |files| ids.into_iter().try_for_each(|id| files.remove(id))).await
    }

    /// The copies that make room for so many bytes.
    async fn room_for(&self, size: u64) -> Result<Vec<BlobId>, BlobFault> {
        let most = self.0.limits.store_bytes;
        let used = self.0.store.blob_use(String::new()).await.map_err(database)?;
        let (all, needed) = (used.all, charge(size));
        if all - used.copies + needed > most {
            return Err(BlobFault::NoRoom(most));
        }
        let mut over = (all + needed).saturating_sub(most);
        let mut evicted = Vec::new();
        if over > 0 {
            for copy in self.0.store.blob_copies(EVICT_AT_ONCE).await.map_err(database)? {
                if over == 0 {
                    break;
                }
                over = over.saturating_sub(charge(copy.size));
                evicted.push(BlobId(copy.id));
            }
        }
        // So many small ones that one step is not enough: the next try goes on.
        if over > 0 { Err(BlobFault::NoRoom(most)) } else { Ok(evicted) }
    }

    /// Bytes of a blob that lies here.
    ///
    /// # Errors
    /// The disk or the database does not answer.
    pub async fn size(&self, id: BlobId) -> Result<Option<u64>, BlobFault> {
        self.on_runtime(move |shelf| async move { shelf.whole(id).await }).await
    }

    /// At most `max` bytes of a blob that lies here, and its size; nothing where it does not.
    ///
    /// # Errors
    /// The disk or the database does not answer.
    pub async fn read(&self, id: BlobId, offset: u64, max: usize) -> Result<Option<(u64, Vec<u8>)>, BlobFault> {
        self.on_runtime(move |shelf| async move {
            let Some(size) = shelf.whole(id).await? else { return Ok(None) };
            if max == 0 {
                return Ok(Some((size, Vec::new())));
            }
            let piece = shelf.work(move |files| {
                match files.read(id, offset, max) {
                    // It was removed or made room in this very moment.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    other => other.map(Some),
                }
            });
            Ok(piece.await?.map(|piece| (size, piece)))
        })
        .await
    }

    /// Blobs of this node, the last used first, and what all of them take.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn list(&self, limit: u32) -> Result<(Vec<BlobRow>, u64), BlobFault> {
        let rows = self.0.store.blobs(limit).await.map_err(database)?;
        Ok((rows, self.0.store.blob_use(String::new()).await.map_err(database)?.all))
    }

    /// Removes a blob from this node, whoever put it. `false` if it is not here.
    ///
    /// # Errors
    /// The disk or the database does not answer.
    pub async fn remove(&self, id: BlobId) -> Result<bool, BlobFault> {
        self.on_runtime(move |shelf| async move {
            let _changing = shelf.0.changing.lock().await;
            let found = shelf.row(id).await?.is_some();
            if found {
                shelf.forget(id).await?;
            }
            Ok(found)
        })
        .await
    }

    async fn forget(&self, id: BlobId) -> Result<(), BlobFault> {
        // The row first: a file without a row is swept, a row without a file would be a lie.
        self.0.store.blob_forget(vec![id.0]).await.map_err(database)?;
        self.unlink(vec![id]).await
    }

    async fn row(&self, id: BlobId) -> Result<Option<BlobRow>, BlobFault> {
        self.0.store.blob(id.0).await.map_err(database)
    }

    /// The size of a blob that is here and is what its name promises, which is checked once after a start. One that the
    /// disk has changed is dropped.
    async fn whole(&self, id: BlobId) -> Result<Option<u64>, BlobFault> {
        let known = self.known().get(&id).copied();
        if let Some((size, noted)) = known {
            if noted.elapsed() >= NOTE_USE_EVERY {
                self.known().insert(id, (size, Instant::now()));
                self.0.store.blob_used(id.0, now()).await.map_err(database)?;
            }
            return Ok(Some(size));
        }
        let Some(row) = self.row(id).await? else { return Ok(None) };
        if !self.work(move |files| files.is_whole(id)).await? {
            tracing::error!(blob = %id, "a blob's file is missing or was changed; it is dropped");
            self.forget(id).await?;
            return Ok(None);
        }
        self.0.store.blob_used(id.0, now()).await.map_err(database)?;
        self.known().insert(id, (row.size, Instant::now()));
        Ok(Some(row.size))
    }

    fn known(&self) -> MutexGuard<'_, HashMap<BlobId, (u64, Instant)>> {
        self.0.whole.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works on the files, off the async threads.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Files) -> io::Result<T> + Send + 'static,
    ) -> Result<T, BlobFault> {
        let turn = Arc::clone(&self.0.busy).acquire_owned().await.expect("it is never closed");
        let files = self.0.files.clone();
        let working = self.0.runtime.spawn_blocking(move || {
            let done = work(&files);
            drop(turn);
            done
        });
        let done = working.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        done.map_err(|error| {
            tracing::warn!(%error, "a blob cannot be read or written");
            BlobFault::Unavailable(format!("the node's disk: {error}"))
        })
    }

    async fn on_runtime<T, F>(&self, work: impl FnOnce(BlobShelf) -> F) -> Result<T, BlobFault>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, BlobFault>> + Send + 'static,
    {
        let working = self.0.runtime.spawn(work(self.clone()));
        working.await.unwrap_or_else(|error| Err(BlobFault::Unavailable(error.to_string())))
    }
}

fn database(error: StoreError) -> BlobFault {
    tracing::warn!(%error, "the rows of blobs cannot be reached");
    BlobFault::Unavailable("the node's database does not answer".to_owned())
}

#[cfg(test)]
mod tests;
