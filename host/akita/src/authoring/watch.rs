//! Waits until a source of a project has changed and nothing changes any more. It never says what changed: a build looks at
//! everything anyway.

use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio_util::sync::CancellationToken;

use super::Project;
use crate::exit::ExitError;

/// Nothing changed for this long: an editor that saves several files, or one through a temporary name, is done.
const QUIET: Duration = Duration::from_millis(150);
/// Between two looks at whether to stop.
const LOOK: Duration = Duration::from_millis(100);

/// The system's word of changes, as long as this lives.
pub struct Watch {
    watcher: RecommendedWatcher,
    changes: Receiver<()>,
    project: Project,
}

impl Watch {
    /// Begins to watch a project's sources. Folders that builds fill are left out: they may hold thousands.
    ///
    /// # Errors
    /// When the system does not tell of changes.
    pub fn start(project: &Project) -> Result<Watch, ExitError> {
        let (sender, changes) = mpsc::channel();
        let sources = project.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // An error may hide anything, so it counts as a change.
            let matters = event.map_or(true, |event| {
                let read = matches!(event.kind, EventKind::Access(_));
                !read && event.paths.iter().any(|path| sources.is_source(path))
            });
            if matters {
                let _ = sender.send(());
            }
        });
        let mut watch =
            Watch { watcher: watcher.map_err(|error| cannot(project, &error))?, changes, project: project.clone() };
        watch.watcher.watch(&project.root, RecursiveMode::NonRecursive).map_err(|error| cannot(project, &error))?;
        watch.look_at_folders();
        Ok(watch)
    }

    /// Listens in the folders of sources that are there now.
    fn look_at_folders(&mut self) {
        let Ok(entries) = self.project.root.read_dir() else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() && self.project.is_source(&path) {
                // One that went in this moment is of no interest any more.
                let _ = self.watcher.watch(&path, RecursiveMode::Recursive);
            }
        }
    }

    /// Waits for a change, and then until nothing changes. False if `stop` came first.
    pub fn changed(&mut self, stop: &CancellationToken) -> bool {
        let mut waiting_for = LOOK;
        let mut seen = false;
        loop {
            match self.changes.recv_timeout(waiting_for) {
                Ok(()) => (seen, waiting_for) = (true, QUIET),
                Err(RecvTimeoutError::Timeout) if stop.is_cancelled() => return false,
                Err(RecvTimeoutError::Timeout) if seen => {
                    self.look_at_folders();
                    return true;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }
}

fn cannot(project: &Project, error: &dyn std::fmt::Display) -> ExitError {
    let shown: &Path = &project.root;
    ExitError::config(format!("cannot watch {}: {error}", shown.display()))
        .hint("on Linux, see /proc/sys/fs/inotify/max_user_watches and max_user_instances")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authoring::Language;
    use std::fs;

    #[test]
    fn a_changed_source_is_noticed_in_a_folder_that_came_later_too() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let root = dir.path().canonicalize().expect("a folder");
        fs::create_dir(root.join("src")).expect("a folder");
        let project = Project { root: root.clone(), language: Language::Rust, name: "p".into() };
        let mut watch = Watch::start(&project).expect("it watches");
        let stop = CancellationToken::new();
        for file in ["src/lib.rs", "cases.toml", "new/deep.rs"] {
            let path = root.join(file);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(&path, "x").expect("a file");
            assert!(watch.changed(&stop), "{file}");
        }
        fs::write(root.join("new/deep.rs"), "y").expect("a file in a folder that came later");
        assert!(watch.changed(&stop));
        stop.cancel();
        assert!(!watch.changed(&stop), "who stops it does not wait for a change");
    }
}
