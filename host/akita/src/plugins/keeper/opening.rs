//! The keeper's start: what is compiled already is offered at once, and little that is not is waited for.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;

use super::{Keeper, Start, look};
use crate::plugins::{
    Plugins,
    folder::Folder,
    grants::{self, GrantsFile},
    notes::Notes,
    queue::Queue,
    shelf::Shelf,
    workshop::Workshop,
};

/// How long a start waits for plugins that have to be compiled: small ones are there from the first moment on, and
/// nobody waits long for a node.
const START_PATIENCE: Duration = Duration::from_secs(2);
/// Larger files are not waited for at all: a start would only be delayed, not complete.
const SMALL_FILE: u64 = 1 << 20;

impl Keeper {
    /// Takes all that is compiled already, and waits a little for what is soon: the rest is compiled while the node runs.
    ///
    /// # Errors
    /// The folder is there and cannot be read, or the database cannot.
    pub async fn open(start: Start) -> anyhow::Result<(Plugins, Keeper)> {
        let Start { dir, sandbox, store, resources, blobs } = start;
        let notes = Notes::load(&store).await?;
        let (plugins, requests) = Plugins::new(Shelf::default());
        let sensors = Arc::clone(plugins.sensors());
        let mut keeper = Keeper {
            workshop: Workshop { sandbox, store: store.clone(), resources, sensors, blobs, post: plugins.post() },
            dir,
            store,
            plugins: plugins.clone(),
            requests,
            folder: Folder::default(),
            files: BTreeMap::new(),
            grants: GrantsFile::default(),
            grants_gone: None,
            problem: None,
            grants_kept: None,
            kept: notes.clone(),
            notes,
            rows: Vec::new(),
            queue: Queue::default(),
        };
        keeper.recall_grants().await?;
        let found = look(&keeper.dir).await.with_context(|| format!("cannot read {}", keeper.dir.display()))?;
        let found_sizes = found.iter().map(|(path, stamp)| (path.clone(), stamp.len)).collect();
        for step in keeper.folder.observe(Instant::now(), Duration::ZERO, found) {
            keeper.step(step).await;
        }
        if !keeper.folder.has(&keeper.dir.join(grants::FILE_NAME)) {
            keeper.take_grants(Ok(GrantsFile::default()));
        }
        keeper.keep_grants().await;
        keeper.take_compiled(found_sizes).await;
        keeper.arrange().await;
        Ok((plugins, keeper))
    }

    /// Takes what needs no compiling, then compiles the smallest files while the time for it lasts.
    async fn take_compiled(&mut self, sizes: BTreeMap<PathBuf, u64>) {
        let size = |path: &PathBuf| sizes.get(path).copied().unwrap_or_default();
        let mut files = self.queue.take_waiting();
        files.sort_by_key(|path| (size(path), path.clone()));
        let mut small = 0;
        for path in files {
            let reading = self.reading(path.clone());
            let read = tokio::task::spawn_blocking(move || reading.at_hand()).await.unwrap_or_default();
            match read {
                Some(entry) => drop(self.take(path, entry)),
                None => {
                    small += usize::from(size(&path) <= SMALL_FILE);
                    self.queue.push(path);
                }
            }
        }
        let end = tokio::time::Instant::now() + START_PATIENCE;
        for _ in 0..small {
            self.begin_next();
            let Ok((path, entry)) = tokio::time::timeout_at(end, self.queue.ended()).await else { return };
            self.take(path, entry);
        }
    }
}
