//! Why a backup was not made or not put back, in words for people, with the next step.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{
    exit::{ExitCode, ExitError},
    store::{DataDirError, StoreError},
};

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum UpkeepError {
    /// The data directory cannot be used.
    #[error(transparent)]
    Place(#[from] DataDirError),
    /// A file cannot be read or written.
    #[error("cannot {what} {}: {source}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// The place is taken.
    #[error("{} is there already", .0.display())]
    Taken(PathBuf),
    /// The data directory holds something.
    #[error("the data directory {} is not empty: it has {what}", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
        /// One of the things in it.
        what: String,
    },
    /// A setting puts a file elsewhere.
    #[error("{setting} is {}, which is not in the data directory {}", path.display(), dir.display())]
    Elsewhere {
        /// The setting.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// The data directory.
        dir: PathBuf,
    },
    /// What is to be put back is no backup, or was changed.
    #[error("{} does not verify: {why}", path.display())]
    Unsound {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The identity.
    #[error("{0}")]
    Identity(String),
}

impl UpkeepError {
    pub(super) fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> UpkeepError {
        let path = path.to_owned();
        move |source| UpkeepError::File { what, path, source }
    }

    pub(super) fn unsound(path: &Path, why: impl Into<String>) -> UpkeepError {
        UpkeepError::Unsound { path: path.to_owned(), why: why.into() }
    }

    fn hint(&self) -> &'static str {
        match self {
            UpkeepError::Place(error) => error.hint(),
            UpkeepError::File { .. } => "check the path, its rights, and that there is room on the disk",
            UpkeepError::Taken(_) => "choose another name, or replace it with --force",
            UpkeepError::NotEmpty { .. } => {
                "choose another folder with --data-dir, or use --force: what is replaced is kept in a folder beside it"
            }
            UpkeepError::Elsewhere { .. } => "give the data directory with --data-dir, without a setting for that file",
            UpkeepError::Unsound { .. } => "try another backup; nothing was put back",
            UpkeepError::Store(error) => error.hint(),
            UpkeepError::Identity(_) => "see what is wrong with the identity's file",
        }
    }
}

impl From<UpkeepError> for ExitError {
    fn from(error: UpkeepError) -> ExitError {
        let code = match &error {
            UpkeepError::Unsound { .. } => ExitCode::LedgerInvalid,
            _ => ExitCode::Config,
        };
        ExitError::new(code, error.to_string()).hint(error.hint())
    }
}
