//! What can go wrong with the database, in words for people. It decides nothing; the writer makes each of these final.

use std::{path::PathBuf, sync::Arc};

use rusqlite::ErrorCode;

/// Why the store failed. From the writer every one is fatal: see [`Store::failed`](super::Store::failed).
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be opened.
    #[error("cannot open the database `{}`: {source}", path.display())]
    Open {
        /// The database.
        path: PathBuf,
        /// Why.
        source: Box<StoreError>,
    },
    /// A later version of Akita wrote the database.
    #[error("it has schema version {found} and this version of Akita knows none above {known}")]
    TooNew {
        /// The database's version.
        found: i64,
        /// The newest that this program can read.
        known: i64,
    },
    /// Another program's database.
    #[error("it is no database of Akita")]
    NotOurs,
    /// No room.
    #[error("the disk is full")]
    DiskFull,
    /// The disk or its rights.
    #[error("the disk does not read or write as it should: {0}")]
    Disk(Arc<rusqlite::Error>),
    /// It has less than it had.
    #[error(
        "the ledger has {rows} rows, and had {before} before: this is an older copy of the database, or its \
         write-ahead log (`-wal`) is gone"
    )]
    Older {
        /// Rows now.
        rows: u64,
        /// Rows that were there.
        before: u64,
        /// The file that says so.
        mark: PathBuf,
    },
    /// What is in it contradicts itself.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// Any other answer of SQLite.
    #[error("the database refused a statement: {0}")]
    Sqlite(Arc<rusqlite::Error>),
    /// The writer's thread could not be started.
    #[error("the database's thread cannot be started: {0}")]
    Thread(Arc<std::io::Error>),
    /// A fault of the program.
    #[error("the database's thread broke off: {0}")]
    Panicked(String),
    /// The store was closed, or failed before.
    #[error("the database is closed")]
    Stopped,
}

impl StoreError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            StoreError::Older { .. } => {
                "put the files of the database back as they were, or a backup with `akita restore`; to go on with what \
                 is there, and lose the rest, remove the file beside it that ends in `.head`"
            }
            StoreError::Open { source, .. } => source.hint(),
            StoreError::TooNew { .. } => "install the newer version of Akita again, or use another data directory",
            StoreError::NotOurs => "choose another file name for the database, or another data directory",
            StoreError::DiskFull => "free some space on the disk of the data directory, then start the node again",
            StoreError::Disk(_) => {
                "check that the data directory belongs to you and can be written, and that its disk is healthy"
            }
            StoreError::Damaged(_) => {
                "keep a copy of the data directory and see all that is wrong with `akita store check`; then put a \
                 backup back with `akita restore`, or start with an empty data directory"
            }
            StoreError::Thread(_) => "allow the node's user more threads (`ulimit -u`), then start it again",
            StoreError::Sqlite(_) | StoreError::Panicked(_) => {
                "start the node again; if it comes back, report it with the node's log"
            }
            StoreError::Stopped => "start the node again; its log says why it stopped",
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => StoreError::DiskFull,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Damaged(error.to_string()),
            Some(
                ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::PermissionDenied
                | ErrorCode::NoLargeFileSupport,
            ) => StoreError::Disk(Arc::new(error)),
            Some(_) => StoreError::Sqlite(Arc::new(error)),
            // Not SQLite's own words but a value that is not what this code wrote there.
            None => StoreError::Damaged(error.to_string()),
        }
    }
}
