//! The form of a backup: a tar archive under zstd. First comes what it is, then the files, last the manifest with the size
//! and the hash of each. It knows which names may be in it, and takes no other.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Component, Path},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// What it is and how it is to be read.
pub const FORMAT: &str = "akita-backup/1";
/// The names of its first and its last file.
const BEGIN: &str = "akita-backup.json";
const END: &str = "manifest.json";
/// The database and the identity in it.
pub const DATABASE: &str = "akita.db";
pub const IDENTITY: &str = "identity";
/// Folders whose files are in it.
pub const BLOBS: &str = "blobs";
pub const LOGS: &str = "archive";
/// The first and the last file are small; more is no manifest: it is some 120 bytes a blob.
const MOST_JSON: u64 = 256 << 20;
/// zstd's own default: blobs are mostly compressed already, and a small computer is to be done soon.
const LEVEL: i32 = 3;
/// How much is hashed and copied at once.
const CHUNK: usize = 128 << 10;

/// A file in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its place in the data directory.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// BLAKE3, hex.
    pub blake3: String,
}

/// What a backup is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    /// The version of Akita that made it.
    pub akita: String,
    /// When, RFC 3339.
    pub created: String,
    /// Whose it is, where its identity was there.
    pub node_id: Option<String>,
    /// The node's name.
    pub node_name: String,
    /// Rows of the ledger.
    pub ledger_rows: u64,
    /// The root over them, hex.
    pub ledger_root: String,
    /// The newest signed checkpoint in it (C2SP).
    pub checkpoint: Option<String>,
    /// Tasks that had not ended.
    pub unfinished_tasks: u64,
    /// Its files.
    pub files: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Begin {
    format: String,
}

/// Writes a backup.
pub struct Packer<W: Write> {
    tar: tar::Builder<zstd::Encoder<'static, W>>,
    files: Vec<Entry>,
}

impl<W: Write> Packer<W> {
    /// Begins.
    pub fn new(out: W) -> io::Result<Packer<W>> {
        let mut zstd = zstd::Encoder::new(out, LEVEL)?;
        zstd.include_checksum(true)?;
        let mut packer = Packer { tar: tar::Builder::new(zstd), files: Vec::new() };
        packer.json(BEGIN, &Begin { format: FORMAT.into() })?;
        Ok(packer)
    }

    /// Adds a file. It may be removed meanwhile, but not changed.
    pub fn file(&mut self, name: &str, file: &mut File) -> io::Result<()> {
        let size = file.metadata()?.len();
        let blake3 = hash(&mut *file)?;
        file.rewind()?;
        self.append(name, size, &mut *file)?;
        self.files.push(Entry { path: name.to_owned(), size, blake3 });
        Ok(())
    }

    /// Files so far.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Ends it with its manifest.
    pub fn finish(mut self, mut manifest: Manifest) -> io::Result<W> {
        manifest.files = std::mem::take(&mut self.files);
        self.json(END, &manifest)?;
        self.tar.into_inner()?.finish()
    }

    fn json(&mut self, name: &str, value: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(value)?;
        self.append(name, text.len() as u64, &text[..])
    }

    fn append(&mut self, name: &str, size: u64, content: impl Read) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_size(size);
        header.set_mode(0o600);
        header.set_mtime(0);
        self.tar.append_data(&mut header, name, content)
    }
}

/// Writes the files of a backup into the empty folder `dir`, and checks them against the manifest, which it gives.
/// An error of the kind `InvalidData` says what is wrong with the backup.
pub fn unpack(input: impl Read, dir: &Path) -> io::Result<Manifest> {
    let mut tar = tar::Archive::new(zstd::Decoder::new(input)?);
    let (mut begun, mut manifest, mut found) = (false, None::<Manifest>, BTreeMap::new());
    for entry in tar.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.to_str().map(str::to_owned).ok_or_else(|| invalid("a name in it is no text"))?;
        if !entry.header().entry_type().is_file() || manifest.is_some() {
            return Err(invalid(format!("`{name}` does not belong in it")));
        }
        if !begun {
            let begin: Option<Begin> = if name == BEGIN { json(&mut entry).ok() } else { None };
            begun = begin.is_some_and(|begin| begin.format == FORMAT);
            if !begun {
                return Err(invalid(format!("it is no backup of Akita in the format {FORMAT}")));
            }
        } else if name == END {
            manifest = Some(json(&mut entry)?);
        } else if belongs(&name) {
            found.insert(name.clone(), put(&mut entry, &dir.join(&name), name)?);
        } else {
            return Err(invalid(format!("`{}` does not belong in it", name.chars().take(80).collect::<String>())));
        }
    }
    // The checksum of the whole comes last.
    io::copy(&mut tar.into_inner(), &mut io::sink())?;
    let manifest = manifest.ok_or_else(|| invalid("it is cut off: its manifest is missing"))?;
    compare(&manifest, &found)?;
    Ok(manifest)
}

fn compare(manifest: &Manifest, found: &BTreeMap<String, Entry>) -> io::Result<()> {
    if manifest.format != FORMAT {
        return Err(invalid("its manifest is of another format"));
    }
    for entry in &manifest.files {
        match found.get(&entry.path) {
            Some(there) if there == entry => {}
            Some(_) => return Err(invalid(format!("`{}` in it was changed", entry.path))),
            None => return Err(invalid(format!("`{}` is missing in it", entry.path))),
        }
    }
    if manifest.files.len() != found.len() {
        return Err(invalid("it has files that its manifest does not name"));
    }
    if !found.contains_key(DATABASE) {
        return Err(invalid("the database is missing in it"));
    }
    Ok(())
}

/// Whether a file of that name may be in a backup: those of a data directory, and none outside it.
fn belongs(name: &str) -> bool {
    let parts: Option<Vec<&str>> = Path::new(name)
        .components()
        .map(|part| match part {
            Component::Normal(part) => part.to_str(),
            _ => None,
        })
        .collect();
    let hex = |text: &str, len| text.len() == len && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    match parts.as_deref() {
        Some([DATABASE | IDENTITY]) => true,
        Some([BLOBS, first, rest]) => hex(first, 2) && hex(rest, 62),
        Some([LOGS, file]) => file.ends_with(".db") && !file.starts_with('.'),
        _ => false,
    }
}

fn put(entry: &mut impl Read, path: &Path, name: String) -> io::Result<Entry> {
    if let Some(parent) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let (mut hasher, mut size, mut buffer) = (blake3::Hasher::new(), 0, vec![0; CHUNK]);
    loop {
        let read = entry.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        file.write_all(&buffer[..read])?;
        size += read as u64;
    }
    file.sync_all()?;
    Ok(Entry { path: name, size, blake3: hasher.finalize().to_hex().to_string() })
}

fn json<T: DeserializeOwned>(entry: &mut impl Read) -> io::Result<T> {
    let mut text = Vec::new();
    entry.take(MOST_JSON).read_to_end(&mut text)?;
    serde_json::from_slice(&text).map_err(|error| invalid(format!("its manifest cannot be read: {error}")))
}

fn hash(mut file: impl Read) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; CHUNK];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finalize().to_hex().to_string()),
            read => drop(hasher.update(&buffer[..read])),
        }
    }
}

fn invalid(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            format: FORMAT.into(),
            akita: "0".into(),
            created: "2026-03-01T12:00:00Z".into(),
            node_id: None,
            node_name: "n".into(),
            ledger_rows: 1,
            ledger_root: String::new(),
            checkpoint: None,
            unfinished_tasks: 0,
            files: vec![],
        }
    }

    fn blob() -> String {
        format!("{BLOBS}/ab/{}", "0".repeat(62))
    }

    fn packed(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut packer = Packer::new(Vec::new()).unwrap();
        for (name, content) in files {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(content).unwrap();
            file.rewind().unwrap();
            packer.file(name, &mut file).unwrap();
        }
        packer.finish(manifest()).unwrap()
    }

    fn unpacked(bytes: &[u8]) -> (tempfile::TempDir, io::Result<Manifest>) {
        let dir = tempfile::tempdir().unwrap();
        let manifest = unpack(Cursor::new(bytes), dir.path());
        (dir, manifest)
    }

    #[test]
    fn what_was_packed_comes_out_again_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let bytes = packed(&[(DATABASE, b"database"), (&blob(), b"blob"), ("archive/1.db", b"log")]);
        let (dir, manifest) = unpacked(&bytes);
        assert_eq!(manifest.unwrap().files.len(), 3);
        assert_eq!(fs::read(dir.path().join(blob())).unwrap(), b"blob");
        assert_eq!(fs::metadata(dir.path().join(DATABASE)).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_backup_that_is_cut_or_changed_is_refused() {
        let bytes = packed(&[(DATABASE, &[7; 5_000]), (&blob(), b"blob")]);
        for cut in [0, 1, 40, bytes.len() / 2, bytes.len() - 1] {
            assert!(unpacked(&bytes[..cut]).1.is_err(), "{cut}");
        }
        let (good, mut refused) = (unpacked(&bytes).1.unwrap(), 0);
        for at in (0..bytes.len()).step_by(3) {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            // A byte of zstd's heading may say how much memory is needed; then nothing of the content is another.
            match unpacked(&bytes).1 {
                Ok(manifest) => assert_eq!(manifest, good, "{at}"),
                Err(_) => refused += 1,
            }
        }
        assert!(refused + 4 > bytes.len() / 3, "{refused} of {}", bytes.len() / 3);
        let missing = unpacked(&packed(&[(&blob(), b"blob")])).1.unwrap_err();
        assert!(missing.to_string().contains("the database is missing"));
        assert!(unpacked(b"not an archive").1.is_err());
    }

    #[test]
    fn nothing_is_written_outside_the_folder_or_under_a_name_of_its_own() {
        for name in ["other", "akita.db/x", "blobs/ab/short", "archive/x.sh", "archive/.db", "lock", "blobs/partial/x"]
        {
            let error = unpacked(&packed(&[(DATABASE, b"x"), (name, b"x")])).1.unwrap_err();
            assert!(error.to_string().contains("does not belong"), "{name}: {error}");
        }
        assert!(["../x", "/akita.db", "blobs/../../x", "./akita.db/.."].iter().all(|name| !belongs(name)));
    }
}
