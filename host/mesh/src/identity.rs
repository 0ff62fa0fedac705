//! The node's Reticulum identity: its keys, their file, signatures.
//!
//! Never logs, prints or announces a private key.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rns_crypto::OsRng;
use rns_crypto::identity::Identity as Keys;

use crate::PeerId;

/// Bytes of an identity file, as Reticulum writes it: X25519 private key, then Ed25519 seed.
const FILE_LEN: usize = 64;

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Reading or writing failed.
    #[error("cannot {what} the identity file {}: {source}; check the folder and its permissions", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is something else.
    #[error(
        "{} is no Reticulum identity: it has {found} bytes where {FILE_LEN} are needed; restore it from a backup, \
         or move it away and the node makes a new identity (and is a new node to others)",
        path.display()
    )]
    WrongLength {
        /// The file.
        path: PathBuf,
        /// Its length in bytes; of a longer file only as much as was read.
        found: usize,
    },
}

/// The private keys that make this node who it is. Cheap to clone.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    keys: Keys,
    private: [u8; 64],
    public: [u8; 64],
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.id())
    }
}

impl Identity {
    /// Reads the identity at `path`, or makes one and writes it there (mode 0600, complete or not at all).
    ///
    /// A file that others may read is made private again, with a warning.
    ///
    /// # Errors
    /// The file cannot be read or written, or is not 64 bytes long.
    pub fn load_or_create(path: &Path) -> Result<Self, IdentityError> {
        match File::open(path) {
            Ok(file) => Self::load(file, path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(path),
            Err(error) => Err(failed("open", path)(error)),
        }
    }

    fn load(mut file: File, path: &Path) -> Result<Self, IdentityError> {
        let mut bytes = Vec::with_capacity(FILE_LEN + 1);
        (&mut file).take(FILE_LEN as u64 + 1).read_to_end(&mut bytes).map_err(failed("read", path))?;
        let private = <[u8; FILE_LEN]>::try_from(bytes.as_slice())
            .map_err(|_| IdentityError::WrongLength { path: path.into(), found: bytes.len() })?;
        let mode = file.metadata().map_err(failed("look at", path))?.permissions().mode();
        if mode & 0o077 != 0 {
            tracing::warn!(path = %path.display(), "others could read the identity file; it is private again (mode 0600)");
            file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(failed("protect", path))?;
        }
        Ok(Self::from_private_key(&private))
    }

    fn create(path: &Path) -> Result<Self, IdentityError> {
        let identity = Self::generate();
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(failed("make the folder of", path))?;
        // Beside the target, so that the rename stays within one file system; the random part keeps two starts apart.
        let temporary = path.with_extension(format!("{:016x}.tmp", rand::random::<u64>()));
        let written =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary).and_then(|mut file| {
                file.write_all(&identity.0.private)?;
                file.sync_all()?;
                // A link, not a rename: it fails if another process has just written its identity there.
                fs::hard_link(&temporary, path)?;
                File::open(folder)?.sync_all()
            });
        let _ = fs::remove_file(&temporary);
        match written {
            Ok(()) => Ok(identity),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Self::load(File::open(path).map_err(failed("open", path))?, path)
            }
            Err(error) => Err(failed("write", path)(error)),
        }
    }

    /// A new identity that exists in memory only.
    pub fn generate() -> Self {
        Self::from_keys(Keys::new(&mut OsRng))
    }

    fn from_private_key(private: &[u8; 64]) -> Self {
        Self::from_keys(Keys::from_private_key(private))
    }

    fn from_keys(keys: Keys) -> Self {
        let private = keys.get_private_key().expect("made from private keys");
        let public = keys.get_public_key().expect("private keys give public ones");
        Self(Arc::new(Inner { keys, private, public }))
    }

    /// The name this identity has on the mesh.
    pub fn id(&self) -> PeerId {
        PeerId(*self.0.keys.hash())
    }

    /// Ed25519 signature of `message`.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.keys.sign(message).expect("an identity of ours has its private keys")
    }

    /// The public keys as Reticulum writes them: X25519, then Ed25519.
    pub fn public_key(&self) -> [u8; 64] {
        self.0.public
    }

    /// The half of the public keys by which [`Identity::sign`] is checked.
    pub fn signing_key(&self) -> [u8; 32] {
        *self.0.public.last_chunk().expect("64 bytes end with 32")
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.0.keys
    }

    pub(crate) fn private_key(&self) -> [u8; 64] {
        self.0.private
    }
}

/// True if `signature` over `message` was made by the holder of `public_key` (X25519, then Ed25519).
pub fn verify(public_key: &[u8; 64], message: &[u8], signature: &[u8; 64]) -> bool {
    Keys::from_public_key(public_key).is_ok_and(|keys| keys.verify(signature, message))
}

/// The peer whose public keys these are.
pub fn peer_of(public_key: &[u8; 64]) -> Option<PeerId> {
    Keys::from_public_key(public_key).ok().map(|keys| PeerId(*keys.hash()))
}

fn failed(what: &'static str, path: &Path) -> impl Fn(io::Error) -> IdentityError {
    let path = path.to_owned();
    move |source| IdentityError::Io { what, path: path.clone(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_file_gives_the_same_node() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/identity");
        let first = Identity::load_or_create(&path).unwrap();
        let again = Identity::load_or_create(&path).unwrap();
        assert_eq!(first.id(), again.id());
        assert_eq!(first.public_key(), again.public_key());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing temporary stays");
    }

    #[test]
    fn a_file_that_others_may_read_is_made_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity");
        Identity::load_or_create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        Identity::load_or_create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_of_another_length_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity");
        for content in [&b""[..], &[7; 63], &[7; 65], &[7; 4096]] {
            fs::write(&path, content).unwrap();
            let error = Identity::load_or_create(&path).unwrap_err().to_string();
            assert!(error.contains("no Reticulum identity"), "{error}");
            assert_eq!(fs::read(&path).unwrap(), content);
        }
    }

    #[test]
    fn signatures_hold_for_the_signer_only() {
        let (one, other) = (Identity::generate(), Identity::generate());
        let signature = one.sign(b"message");
        assert!(verify(&one.public_key(), b"message", &signature));
        assert!(!verify(&one.public_key(), b"massage", &signature));
        assert!(!verify(&other.public_key(), b"message", &signature));
        assert_eq!(peer_of(&one.public_key()), Some(one.id()));
        assert!(!format!("{one:?}").contains("private"));
    }
}
