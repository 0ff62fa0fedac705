//! The files of blobs: one for each, named by its hash, whole or not there. It knows no owner and no limit. Every
//! function blocks.

use std::{
    collections::HashSet,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use super::BlobId;

/// What files that are being written begin with.
const UNFINISHED: &str = ".tmp";
/// Half-fetched blobs that are kept for the next try, as many as are fetched at once.
const MAX_PARTIAL: usize = 4;
/// A half-fetched blob that nobody went on with for this long is dropped at the next start.
const PARTIAL_AGE: Duration = Duration::from_secs(24 * 3600);
/// How much is hashed at once.
const CHUNK: usize = 64 << 10;

/// A folder of blobs.
#[derive(Debug, Clone)]
pub struct Files {
    dir: PathBuf,
}

impl Files {
    /// The folder, made if it is missing.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(dir: PathBuf) -> io::Result<Files> {
        let files = Files { dir };
        make(&files.dir)?;
        make(&files.partial_dir())?;
        Ok(files)
    }

    /// The folder as it is, for who only looks.
    pub fn at(dir: PathBuf) -> Files {
        Files { dir }
    }

    /// The bytes of a blob whose file is there and is what its name promises.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn len_if_whole(&self, id: BlobId) -> io::Result<Option<u64>> {
        if self.is_whole(id)? { Ok(Some(fs::metadata(self.path(id))?.len())) } else { Ok(None) }
    }

    /// A blob's file, if it is what its name promises; at its beginning.
    ///
    /// # Errors
    /// It is not there, or cannot be read.
    pub fn open_whole(&self, id: BlobId) -> io::Result<Option<File>> {
        let mut file = File::open(self.path(id))?;
        let whole = hash(&file)? == id;
        file.rewind()?;
        Ok(Some(file).filter(|_| whole))
    }

    fn path(&self, id: BlobId) -> PathBuf {
        let hex = id.to_string();
        self.dir.join(&hex[..2]).join(&hex[2..])
    }

    fn partial_dir(&self) -> PathBuf {
        self.dir.join("partial")
    }

    fn partial(&self, id: BlobId) -> PathBuf {
        self.partial_dir().join(id.to_string())
    }

    /// Writes a blob. It is on the disk, whole, when this returns; a crash leaves nothing of it under its name.
    ///
    /// # Errors
    /// The disk is full or broken.
    pub fn write(&self, id: BlobId, bytes: &[u8]) -> io::Result<()> {
        let path = self.path(id);
        let parent = path.parent().expect("a blob lies in a folder");
        let fresh = make(parent)?;
        // Readable by its owner only, as that library makes its files.
        let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(parent)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(&path)?;
        File::open(parent)?.sync_all()?;
        if fresh { File::open(&self.dir)?.sync_all() } else { Ok(()) }
    }

    /// At most `max` bytes of a blob from `offset` on.
    ///
    /// # Errors
    /// There is no such file, or it cannot be read.
    pub fn read(&self, id: BlobId, offset: u64, max: usize) -> io::Result<Vec<u8>> {
        let file = File::open(self.path(id))?;
        let left = file.metadata()?.len().saturating_sub(offset);
        let mut bytes = vec![0; max.min(usize::try_from(left).unwrap_or(usize::MAX))];
        file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    /// Whether a blob's file is there and has the bytes that its name promises.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn is_whole(&self, id: BlobId) -> io::Result<bool> {
        match File::open(self.path(id)) {
            Ok(file) => Ok(hash(file)? == id),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes a blob's file, if it is there.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove(&self, id: BlobId) -> io::Result<()> {
        gone(fs::remove_file(self.path(id)))
    }

    /// Removes what no row knows, and what was left half-written; answers the known ones whose file is missing.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn sweep(&self, known: &HashSet<BlobId>) -> io::Result<Vec<BlobId>> {
        let mut found = HashSet::new();
        for folder in fs::read_dir(&self.dir)?.flatten().filter(|entry| entry.path().is_dir()) {
            if folder.path() == self.partial_dir() {
                continue;
            }
            for file in fs::read_dir(folder.path())?.flatten() {
                let name = format!("{}{}", folder.file_name().to_string_lossy(), file.file_name().to_string_lossy());
                match BlobId::parse(&name).filter(|id| known.contains(id)) {
                    Some(id) => drop(found.insert(id)),
                    None => gone(fs::remove_file(file.path()))?,
                }
            }
        }
        self.drop_partials(|age, _| age > PARTIAL_AGE)?;
        Ok(known.difference(&found).copied().collect())
    }

    /// Bytes of a blob that were fetched before.
    pub fn partial_len(&self, id: BlobId) -> u64 {
        fs::metadata(self.partial(id)).map_or(0, |found| found.len())
    }

    /// Adds a piece to a blob that is being fetched. Other half-fetched ones make room, the oldest first.
    ///
    /// # Errors
    /// The disk is full or broken.
    pub fn add_partial(&self, id: BlobId, offset: u64, piece: &[u8]) -> io::Result<()> {
        let path = self.partial(id);
        if offset == 0 {
            self.drop_partials(|_, newer| newer + 1 >= MAX_PARTIAL)?;
        }
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(piece)
    }

    /// Puts a fetched blob in its place, if it is what its name promises; drops it otherwise.
    ///
    /// # Errors
    /// The disk is full or broken.
    pub fn finish_partial(&self, id: BlobId) -> io::Result<bool> {
        let (partial, path) = (self.partial(id), self.path(id));
        let file = File::open(&partial)?;
        if hash(&file)? != id {
            self.drop_partial(id)?;
            return Ok(false);
        }
        file.sync_all()?;
        let parent = path.parent().expect("a blob lies in a folder");
        make(parent)?;
        fs::rename(partial, &path)?;
        File::open(parent)?.sync_all()?;
        File::open(&self.dir)?.sync_all()?;
        Ok(true)
    }

    /// Drops what was fetched of a blob.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn drop_partial(&self, id: BlobId) -> io::Result<()> {
        gone(fs::remove_file(self.partial(id)))
    }

    /// Drops half-fetched blobs by their age and the number of newer ones.
    fn drop_partials(&self, too_old: impl Fn(Duration, usize) -> bool) -> io::Result<()> {
        let files = fs::read_dir(self.partial_dir())?.flatten();
        let aged = files.map(|file| {
            let written = file.metadata().and_then(|found| found.modified()).ok();
            (written.and_then(|written| written.elapsed().ok()).unwrap_or_default(), file.path())
        });
        let mut aged: Vec<_> = aged.collect();
        aged.sort();
        for (newer, (age, path)) in aged.into_iter().enumerate() {
            if too_old(age, newer) {
                gone(fs::remove_file(path))?;
            }
        }
        Ok(())
    }
}

/// Makes a folder that only its owner can read. Whether it was missing.
fn make(dir: &Path) -> io::Result<bool> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists && dir.is_dir() => Ok(false),
        Err(error) => Err(error),
    }
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn hash(mut file: impl Read) -> io::Result<BlobId> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; CHUNK];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(BlobId(*hasher.finalize().as_bytes())),
            Ok(read) => drop(hasher.update(&buffer[..read])),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folder() -> (tempfile::TempDir, Files) {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::open(dir.path().join("blobs")).unwrap();
        (dir, files)
    }

    #[test]
    fn a_blob_is_read_in_pieces_and_is_nobody_elses_to_read() {
        let (_dir, files) = folder();
        let id = BlobId::of(b"hello blob");
        files.write(id, b"hello blob").unwrap();
        files.write(id, b"hello blob").unwrap();
        let read = |offset, max| String::from_utf8(files.read(id, offset, max).unwrap()).unwrap();
        assert_eq!(
            (read(0, 5), read(6, 99), read(10, 5), read(99, 5)),
            ("hello".into(), "blob".into(), String::new(), String::new())
        );
        let mode = fs::metadata(files.path(id)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        files.remove(id).unwrap();
        files.remove(id).unwrap();
        assert_eq!(files.read(id, 0, 1).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn what_the_disk_changed_is_noticed() {
        let (_dir, files) = folder();
        let id = BlobId::of(b"precious");
        files.write(id, b"precious").unwrap();
        assert!(files.is_whole(id).unwrap());
        fs::write(files.path(id), b"preciouz").unwrap();
        assert!(!files.is_whole(id).unwrap());
        assert!(!files.is_whole(BlobId::of(b"missing")).unwrap());
    }

    #[test]
    fn a_sweep_leaves_what_is_known_and_names_what_is_missing() {
        let (_dir, files) = folder();
        let (kept, unknown, missing) = (BlobId::of(b"kept"), BlobId::of(b"unknown"), BlobId::of(b"missing"));
        files.write(kept, b"kept").unwrap();
        files.write(unknown, b"unknown").unwrap();
        let torn = files.path(kept).with_file_name(format!("{UNFINISHED}torn"));
        fs::write(&torn, b"half").unwrap();
        files.add_partial(missing, 0, b"mis").unwrap();
        assert_eq!(files.sweep(&[kept, missing].into()).unwrap(), [missing]);
        assert!(files.is_whole(kept).unwrap() && !files.is_whole(unknown).unwrap() && !torn.exists());
        assert_eq!(files.partial_len(missing), 3, "a fetch goes on where it stopped");
    }

    #[test]
    fn a_fetched_blob_appears_only_when_it_is_what_it_should_be() {
        let (_dir, files) = folder();
        let id = BlobId::of(b"from afar");
        files.add_partial(id, 0, b"from").unwrap();
        assert_eq!(files.partial_len(id), 4);
        files.add_partial(id, 4, b" afaR").unwrap();
        assert!(!files.finish_partial(id).unwrap());
        assert_eq!(files.partial_len(id), 0, "a lie is not kept");
        files.add_partial(id, 0, b"from afar").unwrap();
        assert!(files.finish_partial(id).unwrap() && files.is_whole(id).unwrap());
        let some = |n: u8| BlobId([n; 32]);
        (0..9).for_each(|n| files.add_partial(some(n), 0, b"x").unwrap());
        assert_eq!(fs::read_dir(files.partial_dir()).unwrap().count(), MAX_PARTIAL);
    }
}
