//! This node's earlier logs: read-only databases in a folder. Ended tasks are looked up in them; nothing is ever written
//! into one, and none is deleted.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::Connection;

use super::{connection, error::StoreError};

/// Archives that are looked through at most, the newest first: a node changes its cluster now and then, not daily.
const MAX_LOOKED_THROUGH: usize = 16;
/// What an archive's file name ends with, and one that is not whole yet.
const ENDING: &str = "db";
const UNFINISHED: &str = "part";

/// The archives of one node.
pub(super) struct Archives {
    dir: PathBuf,
    /// Newest first.
    files: Mutex<Vec<PathBuf>>,
}

impl Archives {
    /// Those that lie in `dir`, which may not exist.
    pub(super) fn find(dir: PathBuf) -> Archives {
        let listed = fs::read_dir(&dir).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut files: Vec<PathBuf> =
            listed.filter(|path| path.extension().is_some_and(|ending| ending == ENDING)).collect();
        files.sort_by_key(|path| std::cmp::Reverse(path.metadata().and_then(|meta| meta.modified()).ok()));
        files.truncate(MAX_LOOKED_THROUGH);
        Archives { dir, files: Mutex::new(files) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Where an archive of that name is written until it is whole.
    pub(super) fn file(&self, name: &str) -> Result<PathBuf, StoreError> {
        fs::create_dir_all(&self.dir).map_err(failed)?;
        Ok(self.dir.join(name).with_extension(UNFINISHED))
    }

    /// The file at `unfinished` is whole: makes it durable and an archive.
    pub(super) fn settle(&self, unfinished: &Path) -> Result<(), StoreError> {
        let whole = unfinished.with_extension(ENDING);
        fs::File::open(unfinished).and_then(|file| file.sync_all()).map_err(failed)?;
        fs::rename(unfinished, &whole).map_err(failed)?;
        fs::File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(failed)?;
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.retain(|file| *file != whole);
        files.insert(0, whole);
        files.truncate(MAX_LOOKED_THROUGH);
        Ok(())
    }

    /// What the first archive says that knows anything.
    pub(super) async fn find_in<T, F>(self: &Arc<Self>, look: F) -> Result<Option<T>, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<Option<T>, StoreError> + Send + 'static,
    {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let search = move || {
            for file in files {
                if let Some(found) = look(&connection::reader(&file)?)? {
                    return Ok(Some(found));
                }
            }
            Ok(None)
        };
        let searched = tokio::task::spawn_blocking(search).await;
        searched.unwrap_or_else(|error| Err(StoreError::Panicked(error.to_string())))
    }
}

fn failed(error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::DiskFull,
        _ => StoreError::Damaged(format!("an archive of the log cannot be written: {error}")),
    }
}
