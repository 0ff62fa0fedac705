//! `akita plugin keygen`, and the files of secret keys: made for their owner alone, read, never shown.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use akita_mesh::ed25519;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use clap::Args;
use serde_json::json;

use crate::cli::session::Session;
use crate::cli::{Globals, Output};
use crate::exit::ExitError;
use crate::plugins::signature::{PublicKey, unhex};

/// Longest key file that is read: one in PEM has 119 bytes.
const MAX_FILE_BYTES: u64 = 4 << 10;
/// What an Ed25519 key in PKCS#8 begins with (RFC 8410); the secret follows.
const PKCS8: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// Make a key for signing plugins
#[derive(Debug, Args)]
#[command(
    after_help = "The file holds the secret key, for its owner alone. What is printed is the public one, for `trust` in
akita-plugins.toml of those who are to trust it.

Examples:
  akita plugin keygen release.key
  akita plugin sign image.wasm --key release.key"
)]
pub struct Keygen {
    /// The file to make; one that is there is left alone
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub fn run(session: &mut Session<'_>, globals: &Globals, args: &Keygen) -> Result<(), ExitError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| ExitError::internal(format!("no random numbers: {error}")))?;
    let path = session.cwd.join(&args.file);
    let written = create(&path).and_then(|mut file| {
        let text: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(file, "{text}")?;
        file.sync_all()
    });
    written.map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AlreadyExists => "give another name: a key that was lost is never made again",
            _ => "give a file in a folder that you can write to",
        };
        ExitError::config(format!("cannot make {}: {error}", args.file.display())).hint(hint)
    })?;
    let key = PublicKey(ed25519::public_key(&seed)).to_string();
    if globals.output == Output::Json {
        return session.show_json(&json!({"file": args.file, "public_key": key}).to_string());
    }
    session.note(&format!("{} holds the secret key: keep it safe. The public key:", args.file.display()));
    session.print(&key)
}

fn create(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// The secret in a key file: 64 hexadecimal digits, or PEM as `openssl genpkey -algorithm ed25519` writes it.
///
/// # Errors
/// The file cannot be read, others can read it, or it holds no such key.
pub fn secret(path: &Path) -> Result<[u8; 32], ExitError> {
    let wrong = |what: String| ExitError::config(format!("{} {what}", path.display()));
    let failed = |error: std::io::Error| wrong(format!("cannot be read: {error}"));
    // Looked at before it is opened: opening a pipe would wait for somebody to write to it.
    let found = fs::metadata(path).map_err(|error| failed(error).hint("make one with: akita plugin keygen FILE"))?;
    if !found.is_file() || found.len() > MAX_FILE_BYTES {
        return Err(wrong(format!("is no key file, which has at most {MAX_FILE_BYTES} bytes")));
    }
    #[cfg(unix)]
    if std::os::unix::fs::MetadataExt::mode(&found) & 0o077 != 0 {
        let hint = format!("chmod 600 {}, and make a new one if somebody may have read it", path.display());
        return Err(wrong("can be read by others".to_owned()).hint(hint));
    }
    let mut text = String::new();
    File::open(path).and_then(|file| file.take(MAX_FILE_BYTES).read_to_string(&mut text)).map_err(failed)?;
    of_text(&text).ok_or_else(|| {
        wrong("holds no Ed25519 key".to_owned()).hint(
            "64 hexadecimal digits as `akita plugin keygen` writes them, or PEM as `openssl genpkey -algorithm ed25519` does",
        )
    })
}

fn of_text(text: &str) -> Option<[u8; 32]> {
    if let Some(seed) = unhex(text.trim()) {
        return Some(seed);
    }
    let (_, body) = text.split_once("-----BEGIN PRIVATE KEY-----")?;
    let (body, _) = body.split_once("-----END PRIVATE KEY-----")?;
    let body: String = body.split_whitespace().collect();
    BASE64_STANDARD.decode(body).ok()?.strip_prefix(&PKCS8)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_in_both_forms() {
        // RFC 8410, 10.3.
        let pem = "-----BEGIN PRIVATE KEY-----\n\
                   MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
        let hex = "d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842\n";
        assert_eq!(of_text(pem), of_text(hex));
        let seed = of_text(hex).expect("a key");
        // The public key of the same example.
        assert_eq!(
            PublicKey(ed25519::public_key(&seed)).to_string(),
            "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1"
        );
        for text in ["", "abc", "-----BEGIN PRIVATE KEY-----", &hex[1..]] {
            assert_eq!(of_text(text), None, "{text}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_key_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("key");
        create(&path).and_then(|mut file| file.write_all(&[b'1'; 64])).expect("written");
        assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
        assert!(create(&path).is_err(), "one that is there is left alone");
        assert_eq!(secret(&path).expect("a key"), [0x11; 32]);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("opened up");
        assert!(secret(&path).expect_err("refused").to_string().contains("read by others"));
    }
}
