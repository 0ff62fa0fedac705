//! The signature beside a plugin's file, `FILE.sig`: who vouches for which content under which name and version. It
//! reads and writes text and checks the signature itself; whether its key counts is for `trust` to say.

use std::{fmt, path::Path};

use akita_mesh::ed25519;

/// Added to the plugin's file name.
pub const SUFFIX: &str = "sig";
/// Longest file that is read: a signature has some 400 bytes.
pub const MAX_FILE_BYTES: u64 = 4 << 10;
/// The first line.
const TITLE: &str = "akita plugin signature v1";
/// Before what is signed, so that a signature of this kind is none of another.
const DOMAIN: &[u8] = b"akita plugin signature v1\0";
/// The lines after the first, in their order.
const LINES: [&str; 5] = ["key", "plugin", "version", "blake3", "signature"];

/// An Ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// Of 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<PublicKey> {
        unhex(text).filter(ed25519::is_public_key).map(PublicKey)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What somebody vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Who.
    pub key: PublicKey,
    /// The plugin's name.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// BLAKE3 of its file.
    pub hash: [u8; 32],
    signature: [u8; 64],
}

impl Signature {
    /// Makes one with `sign`, which signs bytes by `key`.
    pub fn make(
        key: PublicKey,
        plugin: &str,
        version: &str,
        hash: [u8; 32],
        sign: impl FnOnce(&[u8]) -> [u8; 64],
    ) -> Signature {
        let signature = sign(&message(plugin, version, &hash));
        Signature { key, plugin: plugin.to_owned(), version: version.to_owned(), hash, signature }
    }

    /// Reads the text of a signature file. It may still be a lie.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Signature, String> {
        let mut lines = text.lines();
        if lines.next().map(str::trim_end) != Some(TITLE) {
            return Err(format!("its first line is not `{TITLE}`"));
        }
        let mut fields = LINES.into_iter().map(|name| {
            let value = lines.next().and_then(|line| line.strip_prefix(name)?.strip_prefix(": "));
            value.map(str::trim_end).ok_or_else(|| format!("it has no line `{name}: ...` where one belongs"))
        });
        let mut next = || fields.next().unwrap_or_else(|| Err("it is cut off".to_owned()));
        let (key, plugin, version, hash, signature) = (next()?, next()?, next()?, next()?, next()?);
        let bad = |name: &str| format!("its {name} is not what it has to be");
        let word =
            |text: &str| !text.is_empty() && text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_graphic());
        let signature = Signature {
            key: PublicKey::parse(key).ok_or_else(|| bad("key"))?,
            plugin: Some(plugin).filter(|text| word(text)).ok_or_else(|| bad("plugin"))?.to_owned(),
            version: Some(version).filter(|text| word(text)).ok_or_else(|| bad("version"))?.to_owned(),
            hash: unhex(hash).ok_or_else(|| bad("blake3"))?,
            signature: unhex(signature).ok_or_else(|| bad("signature"))?,
        };
        if lines.any(|line| !line.trim().is_empty()) {
            return Err("there is something behind its last line".to_owned());
        }
        Ok(signature)
    }

    /// Checks that it is whole and for this content.
    ///
    /// # Errors
    /// Why it is worth nothing.
    pub fn check(&self, hash: &[u8; 32]) -> Result<(), String> {
        if self.hash != *hash {
            return Err("it is for another content: the file was changed after it was signed".to_owned());
        }
        let message = message(&self.plugin, &self.version, &self.hash);
        if !ed25519::verify(&self.key.0, &message, &self.signature) {
            return Err("it does not verify: one of its lines was changed, or the key is another's".to_owned());
        }
        Ok(())
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Signature { key, plugin, version, hash, signature } = self;
        write!(f, "{TITLE}\nkey: {key}\nplugin: {plugin}\nversion: {version}\n")?;
        writeln!(f, "blake3: {}\nsignature: {}", hex(hash), hex(signature))
    }
}

/// What is signed: each text with its length, so that no two of them read alike.
fn message(plugin: &str, version: &str, hash: &[u8; 32]) -> Vec<u8> {
    let mut bytes = DOMAIN.to_vec();
    bytes.extend_from_slice(hash);
    for text in [plugin, version] {
        bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

/// The signature file of a plugin's file.
pub fn path_of(plugin: &Path) -> std::path::PathBuf {
    let mut name = plugin.as_os_str().to_owned();
    name.push(".");
    name.push(SUFFIX);
    name.into()
}

/// The plugin's file of a signature file.
pub fn signed_by(path: &Path) -> Option<std::path::PathBuf> {
    path.extension().is_some_and(|kind| kind == SUFFIX).then(|| path.with_extension(""))
}

/// Reads the signature file of a plugin's file. Blocks. `None` if there is none.
///
/// # Errors
/// Why it is no signature.
pub fn read(plugin: &Path) -> Result<Option<Signature>, String> {
    let path = path_of(plugin);
    // Looked at before it is opened: opening a pipe would wait for somebody to write to it.
    let found = match std::fs::metadata(&path) {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("it cannot be read: {error}")),
    };
    if !found.is_file() || found.len() > MAX_FILE_BYTES {
        return Err(format!("it is no file of at most {MAX_FILE_BYTES} bytes"));
    }
    let text = std::fs::read(&path).map_err(|error| format!("it cannot be read: {error}"))?;
    let text = String::from_utf8(text).map_err(|_| "it is no text".to_owned())?;
    Signature::parse(&text).map(Some)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `N` bytes of twice as many hexadecimal digits.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A signature by a key that is made of one byte.
    pub fn signed(seed: u8, plugin: &str, version: &str, hash: [u8; 32]) -> Signature {
        let key = PublicKey(ed25519::public_key(&[seed; 32]));
        Signature::make(key, plugin, version, hash, |message| ed25519::sign(&[seed; 32], message))
    }

    #[test]
    fn a_signature_survives_its_file_and_nothing_of_it_can_be_changed() {
        let made = signed(1, "image", "1.0.0", [9; 32]);
        let text = made.to_string();
        assert!(text.len() < 512, "{text}");
        let read = Signature::parse(&text).expect("it parses");
        assert_eq!(read, made);
        read.check(&[9; 32]).expect("it holds");
        assert!(read.check(&[8; 32]).unwrap_err().contains("another content"));
        let other = PublicKey(ed25519::public_key(&[2; 32]));
        let lies = [
            Signature { plugin: "photo".into(), ..made.clone() },
            Signature { version: "1.0.1".into(), ..made.clone() },
            Signature { key: other, ..made.clone() },
            Signature { plugin: "image1".into(), version: ".0.0".into(), ..made.clone() },
        ];
        for lie in lies {
            assert!(lie.check(&[9; 32]).unwrap_err().contains("does not verify"), "{lie}");
        }
        let forged = Signature { hash: [8; 32], ..made };
        assert!(forged.check(&[8; 32]).unwrap_err().contains("does not verify"));
    }

    #[test]
    fn what_is_no_signature_is_named() {
        let good = signed(1, "image", "1.0.0", [9; 32]).to_string();
        let cut = good.lines().take(3).collect::<Vec<_>>().join("\n");
        for (text, expect) in [
            ("", "first line"),
            ("hello", "first line"),
            (cut.as_str(), "`version: ...`"),
            (good.replace("key: ", "key: 0").as_str(), "its key"),
            (good.replace("plugin: image", "plugin: a b").as_str(), "its plugin"),
            (good.replace("signature: ", "signature: zz").as_str(), "its signature"),
            ((good.clone() + "more").as_str(), "behind"),
        ] {
            let error = Signature::parse(text).unwrap_err();
            assert!(error.contains(expect), "{text}: {error}");
        }
        Signature::parse(&good.replace('\n', "\r\n")).expect("line ends do not matter");
    }

    #[test]
    fn a_signature_file_is_bounded_and_found_by_its_name() {
        let dir = tempfile::tempdir().expect("a folder");
        let plugin = dir.path().join("image.wasm");
        assert_eq!(read(&plugin), Ok(None));
        let path = path_of(&plugin);
        assert_eq!(signed_by(&path), Some(plugin.clone()));
        assert_eq!(signed_by(&plugin), None);
        std::fs::write(&path, vec![b'x'; 5_000]).expect("written");
        assert!(read(&plugin).unwrap_err().contains("at most 4096 bytes"));
        std::fs::write(&path, [0xff, 0xfe]).expect("written");
        assert!(read(&plugin).unwrap_err().contains("no text"));
    }
}
