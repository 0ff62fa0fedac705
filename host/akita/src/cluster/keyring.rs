//! The keys of the cluster that this node holds, in memory and in a file of its data directory that only its user can
//! read. It decides nothing about them, and shows none.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
    time::SystemTime,
};

use akita_core::{
    ClusterId, KeyMark, Millis,
    keys::{FIRST, KeyRing, MAX_PREVIOUS, Previous},
    membership::ClusterKey,
};
use serde::{Deserialize, Serialize};

/// The file in the data directory, once a key came otherwise than by the settings.
pub const KEY_FILE: &str = "cluster.key";
/// Version of what is in it.
const VERSION: u32 = 1;
/// Bytes of it that are read: five keys with room to spare.
const MOST: u64 = 64 << 10;

/// What is in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    version: u32,
    generation: u64,
    cluster: String,
    key: String,
    previous: Vec<KeptBefore>,
    configured: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptBefore {
    key: String,
    until_ms: Option<Millis>,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the cluster key in `{}` cannot be used: {why}", path.display())]
pub struct KeyFileError {
    path: PathBuf,
    why: String,
}

impl KeyFileError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        "put back a whole copy of it, or remove it and bring the key with: akita cluster key import"
    }
}

/// The ring in that file; none where there is no file.
///
/// # Errors
/// It cannot be read, or makes no sense.
pub fn read(path: &Path) -> Result<Option<KeyRing>, KeyFileError> {
    let fail = |why: String| KeyFileError { path: path.to_owned(), why };
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fail(error.to_string())),
    };
    // Without the reader's own words, which may show a piece of the key.
    let kept: Kept = serde_json::from_reader(io::Read::take(file, MOST))
        .map_err(|error| fail(format!("line {} is not as akita writes it", error.line())))?;
    if kept.version != VERSION {
        return Err(fail(format!("it is of version {}, this program knows {VERSION}", kept.version)));
    }
    let mark = |text: Option<String>| text.map(|text| text.parse::<KeyMark>()).transpose();
    let ring = KeyRing {
        generation: kept.generation.max(FIRST),
        cluster: kept.cluster.parse::<ClusterId>().map_err(|error| fail(error.to_string()))?,
        secret: kept.key,
        previous: kept
            .previous
            .into_iter()
            .take(MAX_PREVIOUS)
            .map(|one| Previous { secret: one.key, until: one.until_ms })
            .collect(),
        configured: mark(kept.configured).map_err(|error| fail(error.to_string()))?,
    };
    if ClusterKey::new(ring.secret.as_bytes()).is_none() {
        return Err(fail("the key in it is shorter than 16 characters".into()));
    }
    Ok(Some(ring))
}

/// Writes the ring; durable and whole when it returns, readable by its user alone.
///
/// # Errors
/// The disk.
pub fn write(path: &Path, ring: &KeyRing) -> io::Result<()> {
    let previous = ring.previous.iter().map(|one| KeptBefore { key: one.secret.clone(), until_ms: one.until });
    let kept = Kept {
        version: VERSION,
        generation: ring.generation,
        cluster: ring.cluster.to_string(),
        key: ring.secret.clone(),
        previous: previous.collect(),
        configured: ring.configured.map(|mark| mark.to_string()),
    };
    let dir = path.parent().unwrap_or(Path::new("."));
    // Made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    serde_json::to_writer_pretty(&mut file, &kept)?;
    file.write_all(b"\n")?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    fs::File::open(dir)?.sync_all()
}

/// A node's ring; none in an open cluster.
pub struct Keyring {
    path: PathBuf,
    inner: RwLock<Inner>,
}

struct Inner {
    ring: Option<KeyRing>,
    /// Of the file when it was last read or written.
    changed: Option<SystemTime>,
}

impl Keyring {
    /// What the file holds, or the settings where there is none or they have another key now.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn open(data_dir: &Path, configured: Option<&str>) -> Result<Keyring, KeyFileError> {
        let path = data_dir.join(KEY_FILE);
        let kept = read(&path)?;
        let ring = KeyRing::at_start(kept.clone(), configured);
        if let (Some(kept), Some(ring)) = (&kept, &ring)
            && kept != ring
        {
            // What the settings had is remembered, so that it is seen when they change.
            write(&path, ring).map_err(|error| KeyFileError { path: path.clone(), why: error.to_string() })?;
        }
        let changed = changed(&path);
        Ok(Keyring { path, inner: RwLock::new(Inner { ring, changed }) })
    }

    /// Whether members must hold a key.
    pub fn is_set(&self) -> bool {
        self.read(|ring| ring.is_some())
    }

    /// The keys that count now, the present one first; none in an open cluster.
    pub fn accepted(&self, now: Millis) -> Vec<ClusterKey> {
        self.read(|ring| ring.map(|ring| ring.accepted(now)).unwrap_or_default())
    }

    /// A copy, for what has to be decided about it.
    pub fn ring(&self) -> Option<KeyRing> {
        self.read(|ring| ring.cloned())
    }

    /// Changes the ring, on the disk before anybody sees it. False where `work` changes nothing, or there is none.
    ///
    /// # Errors
    /// The disk; nothing is changed then.
    pub fn change(&self, work: impl FnOnce(&mut KeyRing) -> bool) -> io::Result<bool> {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let Some(mut ring) = inner.ring.clone() else { return Ok(false) };
        if !work(&mut ring) {
            return Ok(false);
        }
        write(&self.path, &ring)?;
        inner.ring = Some(ring);
        inner.changed = changed(&self.path);
        Ok(true)
    }

    /// Looks whether somebody else has written the file: `akita cluster key import` does. True if there is another key.
    pub fn refresh(&self) -> bool {
        let now = changed(&self.path);
        if now.is_none() || now == self.inner.read().unwrap_or_else(PoisonError::into_inner).changed {
            return false;
        }
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        inner.changed = now;
        match read(&self.path) {
            Ok(Some(ring)) => {
                let other = inner.ring.as_ref().is_none_or(|known| known.secret != ring.secret);
                let configured = inner.ring.as_ref().and_then(|known| known.configured);
                inner.ring = Some(KeyRing { configured: ring.configured.or(configured), ..ring });
                other
            }
            Ok(None) => false,
            Err(error) => {
                tracing::error!(%error, hint = error.hint(), "the node goes on with the key that it has");
                false
            }
        }
    }

    fn read<T>(&self, look: impl FnOnce(Option<&KeyRing>) -> T) -> T {
        look(self.inner.read().unwrap_or_else(PoisonError::into_inner).ring.as_ref())
    }
}

fn changed(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|meta| meta.modified()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "correct horse battery staple";

    #[test]
    fn a_changed_ring_is_there_after_a_restart_and_its_users_alone() {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keyring::open(dir.path(), Some(OLD)).unwrap();
        assert!(keys.is_set() && !dir.path().join(KEY_FILE).exists(), "the settings are enough until it changes");
        let cluster = ClusterId([3; 16]);
        assert!(keys.change(|ring| ring.take(2, "another horse battery", cluster)).unwrap());
        assert!(keys.change(|ring| ring.limit(5_000)).unwrap());
        let again = Keyring::open(dir.path(), Some(OLD)).unwrap();
        assert_eq!(again.ring(), keys.ring());
        assert_eq!((again.accepted(4_999).len(), again.accepted(5_000).len()), (2, 1));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = dir.path().join(KEY_FILE).metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert!(!Keyring::open(dir.path(), None).unwrap().accepted(0).is_empty(), "it never opens by itself");
    }

    #[test]
    fn a_damaged_file_is_refused_without_a_word_of_what_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["", "{", "{\"version\":1,\"key\":\"correct horse battery staple\"}", "{\"version\":\"battery\"}"] {
            fs::write(dir.path().join(KEY_FILE), text).unwrap();
            let error = Keyring::open(dir.path(), Some(OLD)).err().unwrap().to_string();
            assert!(error.contains(KEY_FILE) && !error.contains("battery"), "{error}");
        }
    }

    #[test]
    fn a_key_that_was_imported_beside_the_running_node_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keyring::open(dir.path(), Some(OLD)).unwrap();
        assert!(!keys.refresh());
        let mut ring = KeyRing::of(OLD).unwrap();
        ring.import("what the others have now");
        write(&dir.path().join(KEY_FILE), &ring).unwrap();
        assert!(keys.refresh() && !keys.refresh());
        assert_eq!(keys.ring().unwrap().secret, "what the others have now");
    }
}
