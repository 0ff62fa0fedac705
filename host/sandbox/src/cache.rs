//! Compiled code on disk, so that a plugin is compiled once. Loading compiled code means trusting it, so the folder is
//! the host's own: made with mode 0700, refused when others could write to it, never shared, never the plugin folder.
//! An entry that is not what was written is ignored and made again.

use std::fs::{self, DirBuilder, File};
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::catalog::MAX_PLUGINS;
use crate::info::PluginInfo;

/// Entries that are kept: a full folder of plugins, each compiled for both modes, and some of their earlier versions.
const MAX_ENTRIES: usize = 3 * MAX_PLUGINS;
/// Bytes of compiled code that are kept: about what a full folder of large plugins takes. An SD card has more.
const MAX_BYTES: u64 = 1 << 30;
/// An entry that is used is marked as young once a day: often enough to outlive what is not used.
const FRESH: Duration = Duration::from_secs(24 * 3600);
/// The layout of an entry; raised when it changes.
const LAYOUT: u32 = 2;
/// Compiled code.
const CODE: &str = "code";
/// What belongs to it.
const NOTE: &str = "note";
/// Being written.
const NEW: &str = "new";
/// Nobody writes one file for this long.
const STALE: Duration = Duration::from_secs(3600);

/// Why the cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The folder cannot be made or read.
    #[error("cannot use the folder for compiled plugins {}: {source}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else could put code there.
    #[error(
        "the folder for compiled plugins {} {reason}: others could make this node run their code. Remove it, or give \
         this user sole access (chmod 700)", path.display()
    )]
    Unsafe {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// A folder of compiled code.
#[derive(Debug)]
pub(crate) struct Cache {
    dir: PathBuf,
    engine_key: String,
}

/// BLAKE3 of compiled code.
pub(crate) type CodeHash = [u8; 32];

/// What is kept beside the code.
#[derive(Serialize, Deserialize)]
struct Note {
    layout: u32,
    code_hash: CodeHash,
    info: PluginInfo,
}

impl Cache {
    /// Opens the folder, makes it if there is none.
    pub(crate) fn open(dir: &Path, engine: &Engine) -> Result<Cache, CacheError> {
        let failed = |source| CacheError::Io { path: dir.to_owned(), source };
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(dir).map_err(failed)?;
        let found = fs::symlink_metadata(dir).map_err(failed)?;
        if !found.is_dir() {
            return Err(CacheError::Unsafe { path: dir.to_owned(), reason: "is not a folder" });
        }
        if let Err(reason) = owned(&found) {
            return Err(CacheError::Unsafe { path: dir.to_owned(), reason });
        }
        let mut hasher = StableHasher(blake3::Hasher::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let engine_key = hasher.0.finalize().to_hex()[..16].to_owned();
        Ok(Cache { dir: dir.to_owned(), engine_key })
    }

    fn path(&self, hash: &blake3::Hash, kind: &str) -> PathBuf {
        self.dir.join(format!("{}-{}.{kind}", hash.to_hex(), self.engine_key))
    }

    /// The compiled component of that content, if it is here and whole.
    pub(crate) fn load(&self, engine: &Engine, hash: &blake3::Hash) -> Option<(Component, PluginInfo)> {
        let note = match self.read_note(hash) {
            Ok(note) => note,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(plugin = %hash.to_hex(), "compiled code is not used: {error}");
                }
                return None;
            }
        };
        match self.load_code(engine, hash, &note.code_hash) {
            Ok(component) => {
                self.mark(hash);
                Some((component, note.info))
            }
            Err(error) => {
                tracing::warn!(plugin = %hash.to_hex(), "compiled code is not used: {error:#}");
                None
            }
        }
    }

    /// Remembers that an entry is used.
    fn mark(&self, hash: &blake3::Hash) {
        let path = self.path(hash, NOTE);
        let old = fs::metadata(&path).and_then(|found| found.modified());
        if old.is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age > FRESH)) {
            // Failing to only makes it look older than it is.
            File::options().append(true).open(&path).and_then(|file| file.set_modified(SystemTime::now())).ok();
        }
    }

    fn read_note(&self, hash: &blake3::Hash) -> io::Result<Note> {
        let broken = |what| io::Error::new(io::ErrorKind::InvalidData, what);
        let path = self.path(hash, NOTE);
        check_file(&path)?;
        let bytes = fs::read(path)?;
        let (sum, body) = bytes.split_first_chunk::<32>().ok_or_else(|| broken("its note is too short"))?;
        if blake3::hash(body) != *sum {
            return Err(broken("its note was changed"));
        }
        let note: Note = rmp_serde::from_slice(body).map_err(|_| broken("its note is of another version"))?;
        if note.layout != LAYOUT {
            return Err(broken("its note is of another version"));
        }
        Ok(note)
    }

    fn load_code(&self, engine: &Engine, hash: &blake3::Hash, code_hash: &CodeHash) -> wasmtime::Result<Component> {
        let path = self.path(hash, CODE);
        check_file(&path)?;
        let mut hasher = blake3::Hasher::new();
        io::copy(&mut File::open(&path)?, &mut hasher)?;
        if hasher.finalize() != *code_hash {
            return Err(wasmtime::Error::msg("it was changed"));
        }
        load_compiled(engine, &path)
    }

    /// Keeps compiled code and gives the component that it is. It does not count before [`Cache::keep_info`].
    pub(crate) fn keep_code(
        &self,
        engine: &Engine,
        hash: &blake3::Hash,
        code: &[u8],
    ) -> wasmtime::Result<(Component, CodeHash)> {
        let code_hash = *blake3::hash(code).as_bytes();
        self.write(&self.path(hash, CODE), code)?;
        let component = self.load_code(engine, hash, &code_hash)?;
        Ok((component, code_hash))
    }

    /// Keeps what belongs to the code, which makes it count. Failing to is no reason not to run it.
    pub(crate) fn keep_info(&self, hash: &blake3::Hash, code_hash: CodeHash, info: &PluginInfo) {
        let note = Note { layout: LAYOUT, code_hash, info: info.clone() };
        let written = rmp_serde::to_vec(&note).map_err(io::Error::other).and_then(|note| {
            let mut signed = blake3::hash(&note).as_bytes().to_vec();
            signed.extend_from_slice(&note);
            self.write(&self.path(hash, NOTE), &signed)
        });
        if let Err(error) = written.and_then(|()| self.prune()) {
            tracing::warn!(folder = %self.dir.display(), "cannot keep what a plugin said of itself, so the next start asks again: {error}");
        }
    }

    /// Whole or not at all, also for another node that uses the same folder.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let temporary =
            self.dir.join(format!("{}.{}.{NEW}", path.file_name().unwrap_or_default().display(), std::process::id()));
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options.open(&temporary).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        written.and_then(|()| fs::rename(&temporary, path)).inspect_err(|_| {
            fs::remove_file(&temporary).ok();
        })
    }

    /// Removes the oldest entries over the limit, and what never came to count.
    fn prune(&self) -> io::Result<()> {
        let stale = |modified: SystemTime| modified.elapsed().is_ok_and(|age| age > STALE);
        let mut notes = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let modified = fs::metadata(&path)?.modified()?;
            match path.extension().and_then(|kind| kind.to_str()) {
                Some(NOTE) => notes.push((modified, path)),
                Some(NEW) if stale(modified) => fs::remove_file(&path)?,
                // Of a component that turned out to be no plugin.
                Some(CODE) if stale(modified) && !path.with_extension(NOTE).exists() => fs::remove_file(&path)?,
                _ => {}
            }
        }
        notes.sort();
        let (mut entries, mut bytes) = (0, 0);
        for (_, note) in notes.into_iter().rev() {
            let code = note.with_extension(CODE);
            let size = fs::metadata(&code).map_or(0, |found| found.len());
            (entries, bytes) = (entries + 1, bytes + size);
            // The youngest is what was just compiled: it stays, however large it is.
            if entries > 1 && (entries > MAX_ENTRIES || bytes > MAX_BYTES) {
                remove(&note)?;
                remove(&code)?;
            }
        }
        Ok(())
    }
}

/// Another node on the same folder may have been faster.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The one place where compiled code is trusted.
#[expect(
    unsafe_code,
    reason = "compiled code cannot be checked; this file is the host's own, its hash was just compared"
)]
fn load_compiled(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: `path` lies in a folder that only this user can write to (`Cache::open`), the file is this user's own
    // and not writable by others (`check_file`), and its bytes hash to what was noted when this host compiled it.
    unsafe { Component::deserialize_file(engine, path) }
}

fn check_file(path: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    if !found.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a plain file"));
    }
    owned(&found).map_err(|reason| io::Error::new(io::ErrorKind::PermissionDenied, format!("it {reason}")))
}

/// Whether only this user can have written it.
#[cfg(unix)]
fn owned(found: &fs::Metadata) -> Result<(), &'static str> {
    use std::os::unix::fs::MetadataExt;
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err("belongs to another user");
    }
    if found.mode() & 0o022 != 0 {
        return Err("can be written to by others");
    }
    Ok(())
}

/// Elsewhere the user's profile is private by the system's default.
#[cfg(not(unix))]
fn owned(_found: &fs::Metadata) -> Result<(), &'static str> {
    Ok(())
}

/// The standard hasher may change with Rust; a key on disk must not.
struct StableHasher(blake3::Hasher);

impl Hasher for StableHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let hash = self.0.finalize();
        u64::from_le_bytes(*hash.as_bytes().first_chunk().expect("a hash has 32 bytes"))
    }
}
