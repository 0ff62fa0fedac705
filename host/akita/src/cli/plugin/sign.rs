//! `akita plugin sign`: vouches for a component file, with a key file or as a node. It never shows a secret.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use akita_mesh::{Identity, ed25519};
use clap::Args;
use serde_json::json;

use super::{inspect, keygen};
use crate::cli::render::tame;
use crate::cli::session::Session;
use crate::cli::{Globals, Output};
use crate::config::{self, Overrides, Sources};
use crate::exit::ExitError;
use crate::plugins::signature::{PublicKey, Signature, path_of};

/// Sign a component file, so that nodes can tell whose it is
#[derive(Debug, Args)]
#[command(
    after_help = "Writes FILE.sig beside the file: the public key, and the signature over the file's BLAKE3 hash and the name
and version that it says of itself. Copy both into a node's folder of plugins.

Examples:
  akita plugin sign plugins/image.wasm
  akita plugin sign image.wasm --key release.key"
)]
pub struct Sign {
    /// The component, a .wasm file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The file with the secret key [default: the identity of the node]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The data folder of the node that signs, where no key is given
    #[arg(long, value_name = "DIR", conflicts_with = "key")]
    data_dir: Option<PathBuf>,
}

pub fn run(session: &mut Session<'_>, globals: &Globals, args: &Sign) -> Result<(), ExitError> {
    let signer = signer(session, globals, args)?;
    let path = session.cwd.join(&args.file);
    let plugin = inspect::load(&path).map_err(|reason| {
        ExitError::config(format!("{} is no plugin: {}", args.file.display(), tame(&reason)))
            .hint("only what a node would load can be signed; how to build one: docs/plugins.md")
    })?;
    let (name, version) = (plugin.name(), plugin.info().version.as_str());
    let signature = Signature::make(signer.key(), name, version, *plugin.hash(), |message| signer.sign(message));
    write(&path_of(&path), signature.to_string().as_bytes())?;
    let (key, file) = (signature.key.to_string(), path_of(&args.file));
    if globals.output == Output::Json {
        let reply = json!({"file": file, "plugin": name, "version": version, "public_key": key});
        return session.show_json(&reply.to_string());
    }
    session.note(&format!("{name} {version} is signed: {}", file.display()));
    session.note(&format!("nodes trust it with this line in akita-plugins.toml: trust = [\"{key}\"]"));
    Ok(())
}

/// Whole or not at all: a node may be watching.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), ExitError> {
    let failed = |error: &dyn std::fmt::Display| ExitError::config(format!("cannot write {}: {error}", path.display()));
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(|error| failed(&error))?;
    file.write_all(bytes).map_err(|error| failed(&error))?;
    // Public, as plugins and signatures are.
    #[cfg(unix)]
    fs::set_permissions(file.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .map_err(|error| failed(&error))?;
    file.persist(path).map(drop).map_err(|error| failed(&error))
}

enum Signer {
    Key([u8; 32]),
    Node(Identity),
}

impl Signer {
    fn key(&self) -> PublicKey {
        match self {
            Signer::Key(seed) => PublicKey(ed25519::public_key(seed)),
            Signer::Node(identity) => PublicKey(identity.signing_key()),
        }
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        match self {
            Signer::Key(seed) => ed25519::sign(seed, message),
            Signer::Node(identity) => identity.sign(message),
        }
    }
}

fn signer(session: &Session<'_>, globals: &Globals, args: &Sign) -> Result<Signer, ExitError> {
    if let Some(key) = &args.key {
        return keygen::secret(&session.cwd.join(key)).map(Signer::Key);
    }
    let mut flags = Overrides::default();
    if let Some(dir) = &args.data_dir {
        flags.set("DATA_DIR", "--data-dir", dir.to_string_lossy().into_owned());
    }
    let (file, cwd, env) = (globals.config.clone(), session.cwd.clone(), session.env.clone());
    let resolved = config::load(&Sources { flags, file, cwd, env })
        .map_err(|error| ExitError::config(error.to_string()).hint(error.hint()))?;
    let path = resolved.settings.identity_path;
    // Reading an identity makes one where there is none, and nobody would trust that.
    if !fs::exists(&path).unwrap_or(false) {
        let hint = "start the node once, name its data folder with --data-dir, or sign with --key FILE (`akita plugin keygen`)";
        return Err(ExitError::config(format!("there is no node's identity at {}", path.display())).hint(hint));
    }
    let identity = Identity::load_or_create(&path).map_err(|error| ExitError::config(error.to_string()))?;
    Ok(Signer::Node(identity))
}
