//! What lies in the folder and since when it lies there unchanged: a file that is still being written is left alone, and
//! so is one whose signature is. It reads no file's content.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use super::{grants, signature};

/// A file that did not change for so long is read. Copying writes in far shorter steps, also over a slow network.
pub const SETTLE: Duration = Duration::from_millis(400);

/// Tells one content of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Bytes.
    pub len: u64,
    /// When it was written.
    pub modified: Option<SystemTime>,
    /// What it is on its disk: another file that was moved here, and when that was. 0 where the system does not tell.
    pub place: (u64, i64, i64),
}

impl Stamp {
    fn of(found: &fs::Metadata) -> Stamp {
        #[cfg(unix)]
        let place = {
            use std::os::unix::fs::MetadataExt;
            (found.ino(), found.ctime(), found.ctime_nsec())
        };
        #[cfg(not(unix))]
        let place = (0, 0, 0);
        Stamp { len: found.len(), modified: found.modified().ok(), place }
    }
}

/// What is there now: plugins, their signatures, and the file of grants.
///
/// # Errors
/// The folder cannot be read. No folder is an empty one.
pub fn list(dir: &Path) -> io::Result<Vec<(PathBuf, Stamp)>> {
    let mut paths = match akita_sandbox::list_files(dir) {
        Ok(paths) => paths,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let signatures: Vec<PathBuf> = paths.iter().map(|path| signature::path_of(path)).collect();
    paths.extend(signatures);
    paths.push(dir.join(grants::FILE_NAME));
    // A file that went between two looks is not there. A link counts as what it leads to; one that leads nowhere as
    // itself, so that it is listed with a reason.
    let found = paths.into_iter().filter_map(|path| {
        let found = fs::metadata(&path).or_else(|_| fs::symlink_metadata(&path)).ok()?;
        Some((path, Stamp::of(&found)))
    });
    Ok(found.collect())
}

#[derive(Debug)]
struct Seen {
    stamp: Stamp,
    since: Instant,
    /// What was given out last.
    taken: Option<Stamp>,
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// New or changed, and settled: read it.
    Read(PathBuf),
    /// Not there any more.
    Gone(PathBuf),
}

/// The folder as it was seen so far.
#[derive(Debug, Default)]
pub struct Folder(BTreeMap<PathBuf, Seen>);

impl Folder {
    /// Takes what is there now. With no `settle`, everything new is read at once.
    pub fn observe(&mut self, now: Instant, settle: Duration, found: Vec<(PathBuf, Stamp)>) -> Vec<Step> {
        let found: BTreeMap<PathBuf, Stamp> = found.into_iter().collect();
        let gone: Vec<PathBuf> = self.0.keys().filter(|path| !found.contains_key(*path)).cloned().collect();
        let mut steps = Vec::new();
        for path in gone {
            self.0.remove(&path);
            steps.push(Step::Gone(path));
        }
        for (path, stamp) in found {
            let seen = self.0.entry(path).or_insert(Seen { stamp, since: now, taken: None });
            if seen.stamp != stamp {
                (seen.stamp, seen.since) = (stamp, now);
            }
        }
        let moving = |seen: &Seen| now.saturating_duration_since(seen.since) < settle;
        let restless: BTreeSet<PathBuf> =
            self.0.iter().filter(|(_, seen)| moving(seen)).map(|(path, _)| path.clone()).collect();
        for (path, seen) in &mut self.0 {
            // The two belong together: one of them by itself would be taken for a fault.
            let other = signature::signed_by(path).unwrap_or_else(|| signature::path_of(path));
            if seen.taken != Some(seen.stamp) && !restless.contains(path) && !restless.contains(&other) {
                seen.taken = Some(seen.stamp);
                steps.push(Step::Read(path.clone()));
            }
        }
        steps
    }

    /// Whether something is still to settle.
    pub fn is_restless(&self) -> bool {
        self.0.values().any(|seen| seen.taken != Some(seen.stamp))
    }

    /// Whether it was there at the last look.
    pub fn has(&self, path: &Path) -> bool {
        self.0.contains_key(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(len: u64) -> Stamp {
        Stamp { len, modified: None, place: (0, 0, 0) }
    }

    fn at(path: &str, len: u64) -> (PathBuf, Stamp) {
        (PathBuf::from(path), stamp(len))
    }

    fn read(path: &str) -> Step {
        Step::Read(PathBuf::from(path))
    }

    #[test]
    fn a_file_is_read_once_when_it_has_settled() {
        let mut folder = Folder::default();
        let begin = Instant::now();
        let after = |steps: u32| begin + SETTLE / 2 * steps;
        assert_eq!(folder.observe(after(0), SETTLE, vec![at("a", 1)]), []);
        assert!(folder.is_restless());
        assert_eq!(folder.observe(after(1), SETTLE, vec![at("a", 2)]), [], "it grows");
        assert_eq!(folder.observe(after(2), SETTLE, vec![at("a", 2)]), [], "not for long enough");
        assert_eq!(folder.observe(after(3), SETTLE, vec![at("a", 2)]), [read("a")]);
        assert_eq!(folder.observe(after(9), SETTLE, vec![at("a", 2)]), [], "once");
        assert!(!folder.is_restless());
        assert_eq!(folder.observe(after(10), SETTLE, vec![at("a", 3)]), []);
        assert_eq!(folder.observe(after(12), SETTLE, vec![at("a", 3)]), [read("a")], "it changed");
    }

    #[test]
    fn a_plugin_and_its_signature_are_read_together() {
        let mut folder = Folder::default();
        let begin = Instant::now();
        assert_eq!(folder.observe(begin, SETTLE, vec![at("a.wasm", 1)]), []);
        let both = || vec![at("a.wasm", 1), at("a.wasm.sig", 1)];
        assert_eq!(folder.observe(begin + SETTLE, SETTLE, both()), [], "the signature is still being written");
        let steps = folder.observe(begin + SETTLE * 2, SETTLE, both());
        assert_eq!(steps, [read("a.wasm"), read("a.wasm.sig")]);
        let gone = folder.observe(begin + SETTLE * 2, SETTLE, vec![at("a.wasm", 1)]);
        assert_eq!(gone, [Step::Gone("a.wasm.sig".into())]);
    }

    #[test]
    fn at_the_start_everything_is_read() {
        let mut folder = Folder::default();
        let steps = folder.observe(Instant::now(), Duration::ZERO, vec![at("b", 1), at("a", 1)]);
        assert_eq!(steps, [read("a"), read("b")]);
    }

    #[test]
    fn what_went_is_told_and_what_came_back_is_read_again() {
        let mut folder = Folder::default();
        let now = Instant::now();
        folder.observe(now, Duration::ZERO, vec![at("a", 1)]);
        assert_eq!(folder.observe(now, SETTLE, vec![]), [Step::Gone("a".into())]);
        assert!(!folder.has(Path::new("a")));
        assert_eq!(folder.observe(now, SETTLE, vec![at("a", 1)]), []);
        assert_eq!(folder.observe(now + SETTLE, SETTLE, vec![at("a", 1)]), [read("a")]);
    }

    #[test]
    fn another_file_of_the_same_length_moved_into_its_place_is_seen() {
        let dir = tempfile::tempdir().expect("a folder");
        let (path, other) = (dir.path().join("a.wasm"), dir.path().join("b"));
        fs::write(&path, b"one").expect("written");
        let before = list(dir.path()).expect("listed");
        fs::write(&other, b"two").expect("written");
        fs::rename(&other, &path).expect("moved");
        assert_ne!(list(dir.path()).expect("listed"), before);
        assert_eq!(list(&dir.path().join("none")).expect("no folder is an empty one"), []);
    }
}
