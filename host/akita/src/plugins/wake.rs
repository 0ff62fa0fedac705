//! Says that something may have changed in the folder, so that a look follows at once and not only at the next turn.
//! Where the system cannot tell, turns alone will do. It never says what changed.

use std::{path::Path, sync::Arc};

use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};
use tokio::sync::Notify;

use super::signature::SUFFIX;

/// The system's word, as long as this lives.
pub struct Wake {
    watcher: Option<RecommendedWatcher>,
    /// Not tried again and again where it does not work.
    tried: bool,
    word: Arc<Notify>,
}

impl Wake {
    /// No word yet.
    pub fn new() -> Wake {
        Wake { watcher: None, tried: false, word: Arc::new(Notify::new()) }
    }

    /// Begins to listen, if that is possible and not done yet.
    pub fn listen(&mut self, dir: &Path) {
        if self.tried {
            return;
        }
        self.tried = true;
        let word = Arc::clone(&self.word);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // An error may hide anything, so it counts as a change.
            if event.map_or(true, |event| matters(&event)) {
                word.notify_one();
            }
        });
        let listening = watcher.and_then(|mut watcher| {
            watcher.watch(dir, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        match listening {
            Ok(watcher) => self.watcher = Some(watcher),
            Err(error) => tracing::debug!(%error, "the plugin folder is looked at in turns only"),
        }
    }

    /// Stops listening: the folder went, and one that comes in its place is another.
    pub fn deafen(&mut self) {
        (self.watcher, self.tried) = (None, false);
    }

    /// Waits for a word.
    pub async fn word(&self) {
        self.word.notified().await;
    }
}

/// Not when a file is only read: this node does so itself.
fn matters(event: &notify::Event) -> bool {
    let looked_at =
        matches!(event.kind, EventKind::Access(kind) if !matches!(kind, AccessKind::Close(AccessMode::Write)));
    let ours = |path: &std::path::PathBuf| {
        path.extension().is_some_and(|kind| ["wasm", "toml", SUFFIX].iter().any(|one| kind == *one))
    };
    !looked_at && (event.paths.is_empty() || event.paths.iter().any(ours))
}
