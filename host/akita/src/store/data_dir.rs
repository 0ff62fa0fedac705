//! The node's directory and its lock, so that two processes never write one database. It never looks into the files.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::{self, ErrorKind, Read, Seek, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

/// The file that is locked, and that says which process holds the lock.
const LOCK_FILE: &str = "lock";
/// The longest process id in digits, with room to spare.
const MAX_PID_LEN: u64 = 20;

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process has it.
    #[error("the data directory `{}` is in use by process {pid}", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The process id, as far as it is known.
        pid: String,
    },
    /// Something else has that name.
    #[error("`{}` is not a directory", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// It cannot be written.
    #[error("the data directory `{}` cannot be written: {source}", path.display())]
    NotWritable {
        /// The directory.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// No room.
    #[error("the disk that holds the data directory `{}` is full", path.display())]
    DiskFull {
        /// The directory.
        path: PathBuf,
    },
    /// Anything else.
    #[error("the data directory `{}` cannot be used: {source}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

impl DataDirError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            DataDirError::InUse { .. } => "stop that process, or give this node another data directory or name",
            DataDirError::NotADirectory { .. } => "move that file away, or choose another data directory",
            DataDirError::NotWritable { .. } => {
                "choose a data directory that you may write, or change the rights of this one"
            }
            DataDirError::DiskFull { .. } => "free some space, or choose a data directory on another disk",
            DataDirError::Io { .. } => "check the path and the disk, or choose another data directory",
        }
    }

    fn new(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            ErrorKind::NotADirectory | ErrorKind::AlreadyExists => DataDirError::NotADirectory { path },
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => DataDirError::NotWritable { path, source },
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => DataDirError::DiskFull { path },
            _ => DataDirError::Io { path, source },
        }
    }
}

/// A directory that this process alone uses, until the last clone is dropped.
#[derive(Debug, Clone)]
pub struct DataDir {
    path: PathBuf,
    _lock: Arc<File>,
}

impl DataDir {
    /// Creates the directory, readable by its owner alone, where there is none, and locks it.
    ///
    /// # Errors
    /// Another process holds it, or it cannot be created or written.
    pub fn open(path: impl AsRef<Path>) -> Result<DataDir, DataDirError> {
        let path = path.as_ref();
        let fail = |source| DataDirError::new(path, source);
        create(path).map_err(fail)?;
        let mut lock = lock_file(path).map_err(fail)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(DataDirError::InUse { path: path.to_owned(), pid: holder(&mut lock) });
            }
            Err(TryLockError::Error(source)) => return Err(fail(source)),
        }
        // Also proves that the directory can be written before anything else starts.
        sign(&mut lock).map_err(fail)?;
        Ok(DataDir { path: path.to_owned(), _lock: Arc::new(lock) })
    }

    /// Looks at a directory that must be there, and holds its lock if there is one. It writes nothing.
    ///
    /// # Errors
    /// It is not there, or a process uses it.
    pub fn look(path: impl AsRef<Path>) -> Result<DataDir, DataDirError> {
        let path = path.as_ref();
        let fail = |source| DataDirError::new(path, source);
        let found = path.metadata().map_err(fail)?;
        if !found.is_dir() {
            return Err(DataDirError::NotADirectory { path: path.to_owned() });
        }
        let mut lock = match File::open(path.join(LOCK_FILE)) {
            Ok(lock) => lock,
            // No node ever ran on it; the directory itself can be locked as well.
            Err(error) if error.kind() == ErrorKind::NotFound => File::open(path).map_err(fail)?,
            Err(error) => return Err(fail(error)),
        };
        match lock.try_lock() {
            Ok(()) => Ok(DataDir { path: path.to_owned(), _lock: Arc::new(lock) }),
            Err(TryLockError::WouldBlock) => Err(DataDirError::InUse { path: path.to_owned(), pid: holder(&mut lock) }),
            Err(TryLockError::Error(source)) => Err(fail(source)),
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it; an absolute `name` stays as it is.
    pub fn file(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }
}

fn create(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn lock_file(dir: &Path) -> io::Result<File> {
    // Not truncated: until the lock is ours, the content is the holder's.
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(dir.join(LOCK_FILE))
}

fn holder(lock: &mut File) -> String {
    let mut pid = String::new();
    let read = lock.take(MAX_PID_LEN).read_to_string(&mut pid);
    let pid = pid.trim();
    if read.is_ok() && !pid.is_empty() { pid.to_owned() } else { "unknown".to_owned() }
}

fn sign(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{}", std::process::id())?;
    lock.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_is_told_who_holds_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let held = DataDir::open(&path).unwrap();
        let clone = held.clone();
        drop(held);
        let error = DataDir::open(&path).unwrap_err();
        let pid = std::process::id();
        assert_eq!(error.to_string(), format!("the data directory `{}` is in use by process {pid}", path.display()));
        drop(clone);
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn a_look_writes_nothing_and_sees_whether_it_is_in_use() {
        let dir = tempfile::tempdir().unwrap();
        drop(DataDir::look(dir.path()).unwrap());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(matches!(DataDir::look(dir.path().join("none")), Err(DataDirError::Io { .. })));
        let held = DataDir::open(dir.path()).unwrap();
        assert!(matches!(DataDir::look(dir.path()), Err(DataDirError::InUse { .. })));
        drop(held);
        let before = std::fs::read(dir.path().join(LOCK_FILE)).unwrap();
        let looked = DataDir::look(dir.path()).unwrap();
        assert!(DataDir::open(dir.path()).is_err());
        drop(looked);
        assert_eq!(std::fs::read(dir.path().join(LOCK_FILE)).unwrap(), before);
    }

    #[cfg(unix)]
    #[test]
    fn a_new_directory_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path().join("new")).unwrap();
        assert_eq!(data.path().metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn what_is_no_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        File::create(&file).unwrap();
        assert!(matches!(DataDir::open(&file), Err(DataDirError::NotADirectory { .. })));
        assert!(matches!(DataDir::open(file.join("below")), Err(DataDirError::NotADirectory { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn a_read_only_directory_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o500)).unwrap();
        // The superuser may write it all the same.
        if File::create(dir.path().join("probe")).is_err() {
            assert!(matches!(DataDir::open(dir.path()), Err(DataDirError::NotWritable { .. })));
        }
        let denied = |kind: ErrorKind| DataDirError::new(dir.path(), kind.into());
        assert!(matches!(denied(ErrorKind::ReadOnlyFilesystem), DataDirError::NotWritable { .. }));
        assert!(matches!(denied(ErrorKind::StorageFull), DataDirError::DiskFull { .. }));
    }
}
