//! The connections that read. They never wait for the writer (SQLite in WAL mode), and the writer never for them.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::{connection, error::StoreError};

/// Reads at a time: as many as small computers have cores. Each holds up to 2 MiB of pages.
const READERS: usize = 4;

pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    room: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Arc<Readers> {
        Arc::new(Readers { path, idle: Mutex::default(), room: Arc::new(Semaphore::new(READERS)) })
    }

    /// The database.
    pub(super) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Runs `work` with a connection, off the async threads.
    pub(super) async fn read<T, F>(self: &Arc<Self>, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let room = self.room.clone().acquire_owned().await.map_err(|_| StoreError::Stopped)?;
        let readers = self.clone();
        let read = move || {
            let idle = readers.idle().pop();
            let conn = idle.map_or_else(|| connection::reader(&readers.path), Ok)?;
            let answer = work(&conn);
            readers.idle().push(conn);
            drop(room);
            answer
        };
        blocking(read).await
    }

    /// Like [`read`](Self::read) for what takes long: on a connection of its own, so that it holds up no other.
    pub(super) async fn read_long<T, F>(self: &Arc<Self>, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let readers = self.clone();
        blocking(move || work(&connection::reader(&readers.path)?)).await
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(StoreError::Panicked(error.to_string())))
}
