//! Reading one file: its bytes, its signature, whether it is trusted at all, and only then what it is. It runs off the
//! async threads and remembers nothing.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use akita_sandbox::{Candidate, LoadError, MAX_PLUGINS, Sandbox};

use super::{
    signature,
    trust::{Seal, Trust},
};

/// What a file turned out to be.
#[derive(Debug, Clone)]
pub enum What {
    /// A plugin.
    Plugin(Arc<Candidate>),
    /// None for this node.
    Rejected(Arc<LoadError>),
    /// Nobody who is trusted vouches for it, so it was not asked.
    Unasked,
}

/// One file as it was read last.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What it is.
    pub what: What,
    /// BLAKE3 of its content, unless that could not be read.
    pub hash: Option<[u8; 32]>,
    /// Bytes.
    pub size: u64,
    /// What lies beside it.
    pub seal: Seal,
}

impl Entry {
    /// One whose reading broke off.
    pub fn rejected(error: LoadError) -> Entry {
        Entry { what: What::Rejected(Arc::new(error)), hash: None, size: 0, seal: Seal::Missing }
    }

    /// The plugin, if it is one.
    pub fn plugin(&self) -> Option<&Arc<Candidate>> {
        match &self.what {
            What::Plugin(plugin) => Some(plugin),
            _ => None,
        }
    }
}

/// One file to be read.
pub struct Reading {
    /// Where it is compiled.
    pub sandbox: Sandbox,
    /// The folder.
    pub dir: PathBuf,
    /// The file.
    pub path: PathBuf,
    /// Who may.
    pub trust: Trust,
    /// Plugins that the folder holds beside it.
    pub others: usize,
}

impl Reading {
    /// Reads it, and compiles it if it has to be. Blocks, for seconds then.
    pub fn whole(self) -> Entry {
        let (found, entry) = self.read(Sandbox::examine_read);
        Entry { what: found.map_or_else(|what| what, What::Plugin), ..entry }
    }

    /// Reads it where that takes no compiling. Blocks, for milliseconds.
    pub fn at_hand(self) -> Option<Entry> {
        let (found, entry) = self.read(Sandbox::examine_cached);
        let what = match found {
            Ok(plugin) => What::Plugin(plugin?),
            Err(what) => what,
        };
        Some(Entry { what, ..entry })
    }

    /// What `examine` finds, or what the file is without it; and all else that is known of it.
    fn read<T>(self, examine: impl FnOnce(&Sandbox, &[u8], &Path) -> Result<T, LoadError>) -> (Result<T, What>, Entry) {
        let Reading { sandbox, dir, path, trust, others } = self;
        let mut entry = Entry { what: What::Unasked, hash: None, size: 0, seal: Seal::Missing };
        let rejected = |error| Err(What::Rejected(Arc::new(error)));
        if others >= MAX_PLUGINS {
            return (rejected(LoadError::TooMany { max: MAX_PLUGINS }), entry);
        }
        let root = dir.canonicalize().map_err(|source| LoadError::Io { path: dir, source });
        let bytes = match root.and_then(|root| Sandbox::read_in(&root, &path)) {
            Ok(bytes) => bytes,
            Err(error) => return (rejected(error), entry),
        };
        let hash = *blake3::hash(&bytes).as_bytes();
        (entry.hash, entry.size) = (Some(hash), bytes.len() as u64);
        entry.seal = Seal::of(signature::read(&path), &hash);
        if trust.admits(&file_name(&path), &entry.seal).is_err() {
            return (Err(What::Unasked), entry);
        }
        (examine(&sandbox, &bytes, &path).or_else(rejected), entry)
    }
}

/// A file that waits to be compiled, or is being compiled.
#[derive(Debug, Clone)]
pub struct Work {
    /// The file's name.
    pub file: String,
    /// Since when it is compiled; nothing while it waits.
    pub since: Option<Instant>,
    /// Files before it.
    pub ahead: usize,
}

/// The name of a file in the folder.
pub fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
