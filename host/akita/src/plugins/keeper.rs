//! The loop behind the plugins: looks at the folder, reads what has settled, compiles it off the async threads, puts a
//! new shelf in the place of the old one, and tells the cluster and the ledger.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use akita_core::{EventType, NodeId, wire::Remark};
use akita_sandbox::{LoadError, Sandbox};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

mod asked;
mod granting;
mod opening;

use super::{
    Plugins, Request,
    folder::{self, Folder, SETTLE, Step},
    grants::{self, GrantsFile},
    notes::Notes,
    queue::Queue,
    reading::{Entry, Reading, What, file_name},
    shelf::{Line, Shelf, Stock, diff, hex},
    signature,
    wake::Wake,
    workshop::Workshop,
};
use crate::{blobs::Blobs, cluster::Cluster, resources::Resources, store::Store};

/// How often the folder is looked at when nobody says that it changed: network folders and small systems have no such
/// word. A look is one read of the folder.
const TURN: Duration = Duration::from_secs(2);
/// After a word, time for the rest of what belongs together; also between two looks at a file that has to settle.
const SOON: Duration = Duration::from_millis(100);
/// How long the ledger is waited for: the loop must see the node stop.
const LEDGER_WAIT: Duration = Duration::from_secs(30);
/// Rows that wait while nobody writes the ledger: as many as a folder of plugins that changes twice may bring about.
const MAX_ROWS: usize = 512;
/// What the keeper needs.
pub struct Start {
    /// The folder of plugins.
    pub dir: PathBuf,
    /// Where they are compiled.
    pub sandbox: Sandbox,
    /// Where notes and values are kept.
    pub store: Store,
    /// What the machine measures.
    pub resources: watch::Receiver<Resources>,
    /// The node's blobs.
    pub blobs: Blobs,
}

/// Whom the keeper tells, and what the node has beside its plugins.
pub struct Listeners {
    /// Told what is offered, and what belongs into the ledger.
    pub cluster: Cluster,
    /// This node.
    pub me: NodeId,
    /// Tasks at once.
    pub slots: u16,
    /// The operator's capabilities.
    pub capabilities: Vec<String>,
}

/// Keeps the plugins.
pub struct Keeper {
    dir: PathBuf,
    store: Store,
    workshop: Workshop,
    plugins: Plugins,
    requests: mpsc::Receiver<Request>,
    folder: Folder,
    files: BTreeMap<PathBuf, Entry>,
    grants: GrantsFile,
    /// Since when the file of grants is not there any more, while the grants are still those that it held.
    grants_gone: Option<Instant>,
    problem: Option<String>,
    /// Of the grants that the store has for the next start.
    grants_kept: Option<String>,
    notes: Notes,
    /// As the store has them.
    kept: Notes,
    /// Rows that the ledger does not have yet.
    rows: Vec<Vec<(String, String)>>,
    queue: Queue,
}

impl Keeper {
    /// Keeps them until `stop`.
    pub async fn run(mut self, listeners: Listeners, stop: CancellationToken) {
        let mut wake = Wake::new();
        let mut next = tokio::time::Instant::now();
        self.tell(&listeners).await;
        loop {
            let mut changed = false;
            tokio::select! {
                () = stop.cancelled() => return,
                Some(request) = self.requests.recv() => changed = self.request(request, &listeners).await,
                () = wake.word() => next = next.min(tokio::time::Instant::now() + SOON),
                () = tokio::time::sleep_until(next) => {
                    changed = self.look(&mut wake).await;
                    let restless = self.folder.is_restless() || self.grants_gone.is_some();
                    let pause = if restless { SOON } else { TURN };
                    next = tokio::time::Instant::now() + pause;
                }
                (path, entry) = self.queue.ended() => changed = self.take(path, entry),
            }
            self.begin_next();
            if changed {
                self.arrange().await;
                self.tell(&listeners).await;
            } else if !self.rows.is_empty() {
                self.write_rows(&listeners).await;
            }
        }
    }

    /// Looks at the folder. `true` if something is known to have changed.
    async fn look(&mut self, wake: &mut Wake) -> bool {
        if self.dir.is_dir() {
            wake.listen(&self.dir);
        } else {
            wake.deafen();
        }
        let found = match look(&self.dir).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(dir = %self.dir.display(), %error, "the plugin folder cannot be read; all stays as it is");
                return false;
            }
        };
        let mut changed = false;
        for step in self.folder.observe(Instant::now(), SETTLE, found) {
            changed |= self.step(step).await;
        }
        // Many programs write a file by removing it first; for that moment nothing is granted or trusted anew.
        if self.grants_gone.is_some_and(|since| since.elapsed() >= SETTLE) {
            self.take_grants(Ok(GrantsFile::default()));
            changed = true;
        }
        if changed {
            self.keep_grants().await;
        }
        changed
    }

    async fn step(&mut self, step: Step) -> bool {
        let is_grants = |path: &Path| path.file_name().is_some_and(|name| name == grants::FILE_NAME);
        match step {
            Step::Read(path) if is_grants(&path) => self.read_grants(path).await,
            Step::Gone(path) if is_grants(&path) => {
                self.grants_gone = Some(Instant::now());
                false
            }
            Step::Read(path) | Step::Gone(path) if signature::signed_by(&path).is_some() => {
                let signed = signature::signed_by(&path).filter(|signed| self.folder.has(signed));
                signed.into_iter().for_each(|signed| self.queue.push(signed));
                false
            }
            Step::Read(path) => {
                self.queue.push(path);
                false
            }
            Step::Gone(path) => self.files.remove(&path).is_some(),
        }
    }

    /// Begins to read the next file, and shows how far that is.
    fn begin_next(&mut self) {
        let mut queue = std::mem::take(&mut self.queue);
        let begun = queue.begin(|path| self.folder.has(path), |path| self.reading(path));
        if let Some(path) = begun {
            tracing::debug!(file = %path.display(), "reading a plugin");
        }
        self.queue = queue;
        self.plugins.show_work(self.queue.work());
    }

    fn reading(&self, path: PathBuf) -> Reading {
        let (sandbox, dir, trust) = (self.workshop.sandbox.clone(), self.dir.clone(), self.grants.trust().clone());
        let plugins = self.files.iter().filter(|(other, entry)| **other != path && entry.plugin().is_some());
        let others = plugins.count();
        Reading { sandbox, dir, path, trust, others }
    }

    /// Takes what a file turned out to be. `true` if that changes anything.
    fn take(&mut self, path: PathBuf, mut entry: Entry) -> bool {
        if !self.folder.has(&path) {
            return false;
        }
        let (file, old) = (file_name(&path), self.files.get(&path));
        match &mut entry.what {
            What::Plugin(plugin) => {
                let (version, compiled) = (plugin.info().version.as_str(), !plugin.from_cache());
                let actions = plugin.info().actions.len();
                tracing::info!(file, plugin = plugin.name(), version, actions, compiled, "a plugin was read");
                // The same content keeps what it is linked with.
                if let Some(same) = old.and_then(Entry::plugin).filter(|old| old.hash() == plugin.hash()) {
                    if old.is_some_and(|old| old.seal == entry.seal) {
                        return false;
                    }
                    *plugin = Arc::clone(same);
                }
            }
            What::Rejected(error) => {
                tracing::warn!(file, %error, "a file is no plugin");
                // Somebody stopped writing half-way: what was there before is better, and what comes will be read.
                if matches!(**error, LoadError::Truncated { .. }) && old.is_some_and(|old| old.plugin().is_some()) {
                    return false;
                }
            }
            What::Unasked => {
                tracing::warn!(file, "a file is not trusted");
                // Unless it is by now: whom to trust may have changed while it was read.
                if self.grants.trust().admits(&file, &entry.seal).is_ok() {
                    self.queue.push(path.clone());
                }
            }
        }
        self.files.insert(path, entry);
        true
    }

    /// Puts a new shelf in the place of the old one, and notes what is different.
    async fn arrange(&mut self) {
        // What is not read yet may be what was set aside.
        if self.queue.is_empty() {
            let present: Vec<String> = self.files.values().filter_map(|entry| entry.hash.as_ref().map(hex)).collect();
            self.notes.quarantined.retain(|hash, _| present.contains(hash));
        }
        let stock =
            Stock { files: &self.files, grants: &self.grants, notes: &self.notes, problem: self.problem.clone() };
        let shelf = Shelf::arrange(stock, &self.workshop, &self.plugins.shelf());
        let mut lines = shelf.lines();
        // One that is still to be read is as it was, until it is known what it is.
        let work = self.queue.work();
        let unread = |line: &&Line| {
            work.iter().any(|one| one.file == line.file) && !lines.iter().any(|known| known.file == line.file)
        };
        let as_before: Vec<Line> = self.notes.lines.iter().filter(unread).cloned().collect();
        lines.extend(as_before);
        self.plugins.replace(shelf);
        self.plugins.show_work(work);
        let changes = diff(&self.notes.lines, &lines);
        for (what, line) in &changes {
            tracing::info!(what, file = line.file, plugin = line.plugin, reason = line.reason, "a plugin has changed");
            self.rows.push(details(what, line));
        }
        self.notes.lines = lines;
        if self.notes != self.kept {
            match self.notes.keep(&self.store).await {
                Ok(()) => self.kept = self.notes.clone(),
                Err(error) => tracing::warn!(%error, "what became of the plugins could not be noted"),
            }
        }
    }

    /// Tells the cluster what is offered now, and writes what changed into the ledger.
    async fn tell(&mut self, listeners: &Listeners) {
        let offer = self.plugins.shelf().offer(listeners.slots, &listeners.capabilities);
        listeners.cluster.set_offer(offer).await;
        self.write_rows(listeners).await;
    }

    /// Writes what changed into the ledger; while nobody leads it waits here, the newest of it.
    async fn write_rows(&mut self, listeners: &Listeners) {
        let over = self.rows.len().saturating_sub(MAX_ROWS);
        self.rows.drain(..over);
        while let Some(details) = self.rows.first().cloned() {
            let row = Remark { event: EventType::ConfigChange, node: listeners.me, details };
            match tokio::time::timeout(LEDGER_WAIT, listeners.cluster.write(row)).await {
                Ok(true) => drop(self.rows.remove(0)),
                _ => return,
            }
        }
    }
}

async fn look(dir: &Path) -> std::io::Result<Vec<(PathBuf, folder::Stamp)>> {
    let dir = dir.to_owned();
    tokio::task::spawn_blocking(move || folder::list(&dir))
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error)))
}

fn details(what: &str, line: &Line) -> Vec<(String, String)> {
    let all = [
        ("what", Some(what.to_owned())),
        ("plugin", Some(line.plugin.clone())),
        ("version", Some(line.version.clone())),
        ("hash", Some(line.hash.clone())),
        ("file", Some(line.file.clone())),
        ("reason", line.reason.clone()),
    ];
    let told = all.into_iter().filter_map(|(key, value)| Some((key, value.filter(|value| !value.is_empty())?)));
    told.map(|(key, value)| (key.to_owned(), value)).collect()
}
