//! The loop behind the plugins: looks at the folder, reads what has settled, compiles it off the async threads, puts a
//! new shelf in the place of the old one, and tells the cluster and the ledger.

use std::{
    collections::{BTreeMap, VecDeque},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use akita_core::{Command, EventType, NodeId};
use akita_sandbox::{Candidate, Grants, Hosts, Interface, LoadError, MAX_PLUGINS, Plugin, Sandbox};
use anyhow::Context;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{
    Plugins, Request,
    folder::{self, Folder, SETTLE, Step},
    grants::{self, DEFAULT_KV_QUOTA, GrantsFile, Terms},
    hosts::{MachineSensors, PluginKv},
    notes::Notes,
    shelf::{Line, Loaded, Maker, Shelf, Stock, diff, hex},
    wake::Wake,
};
use crate::{cluster::Cluster, config::nearest, driver::Driver, resources::Resources, store::Store, view::NodeError};

/// How often the folder is looked at when nobody says that it changed: network folders and small systems have no such
/// word. A look is one read of the folder.
const TURN: Duration = Duration::from_secs(2);
/// After a word, time for the rest of what belongs together; also between two looks at a file that has to settle.
const SOON: Duration = Duration::from_millis(100);
/// How long the ledger is waited for: the loop must see the node stop.
const LEDGER_WAIT: Duration = Duration::from_secs(30);

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
}

/// Whom the keeper tells, and what the node has beside its plugins.
pub struct Listeners {
    /// Told what is offered.
    pub cluster: Cluster,
    /// Writes the ledger.
    pub driver: Driver,
    /// This node.
    pub me: NodeId,
    /// Tasks at once.
    pub slots: u16,
    /// The operator's capabilities.
    pub capabilities: Vec<String>,
}

/// Puts plugins together for this node.
struct Workshop {
    sandbox: Sandbox,
    store: Store,
    sensors: Arc<MachineSensors>,
}

impl Maker for Workshop {
    fn link(&self, candidate: &Arc<Candidate>, grants: Grants) -> Result<Arc<Plugin>, LoadError> {
        self.sandbox.link(candidate, grants)
    }

    fn hosts(&self, plugin: &str, terms: &Terms) -> Hosts {
        let mut hosts = Hosts::default();
        if terms.granted().has(Interface::Kv) {
            let quota = terms.kv_quota_bytes.unwrap_or(DEFAULT_KV_QUOTA);
            hosts.kv = Some(Arc::new(PluginKv { store: self.store.clone(), plugin: plugin.to_owned(), quota }));
        }
        if terms.granted().has(Interface::Sensors) {
            hosts.sensors = Some(self.sensors.clone());
        }
        hosts
    }
}

/// Keeps the plugins.
pub struct Keeper {
    dir: PathBuf,
    store: Store,
    workshop: Workshop,
    plugins: Plugins,
    requests: mpsc::Receiver<Request>,
    folder: Folder,
    files: BTreeMap<PathBuf, Loaded>,
    grants: GrantsFile,
    problem: Option<String>,
    notes: Notes,
    /// As the store has them.
    kept: Notes,
    /// Rows that the ledger does not have yet.
    rows: Vec<Vec<(String, String)>>,
    queue: VecDeque<PathBuf>,
    loading: Option<(PathBuf, JoinHandle<Loaded>)>,
}

impl Keeper {
    /// Loads all that is there, and waits for it: a node offers its plugins from the first moment on.
    ///
    /// # Errors
    /// The folder is there and cannot be read, or the database cannot.
    pub async fn open(start: Start) -> anyhow::Result<(Plugins, Keeper)> {
        let Start { dir, sandbox, store, resources } = start;
        let notes = Notes::load(&store).await?;
        let sensors = Arc::new(MachineSensors(resources));
        let (plugins, requests) = Plugins::new(Shelf::default());
        let mut keeper = Keeper {
            workshop: Workshop { sandbox, store: store.clone(), sensors },
            dir,
            store,
            plugins: plugins.clone(),
            requests,
            folder: Folder::default(),
            files: BTreeMap::new(),
            grants: GrantsFile::default(),
            problem: None,
            kept: notes.clone(),
            notes,
            rows: Vec::new(),
            queue: VecDeque::new(),
            loading: None,
        };
        let found = look(&keeper.dir).await.with_context(|| format!("cannot read {}", keeper.dir.display()))?;
        for step in keeper.folder.observe(Instant::now(), Duration::ZERO, found) {
            keeper.step(step).await;
        }
        if !keeper.folder.has(&keeper.dir.join(grants::FILE_NAME)) {
            keeper.take_grants(Ok(GrantsFile::default()));
        }
        while let Some(path) = keeper.queue.pop_front() {
            let loaded = keeper.load(path.clone()).await.unwrap_or_else(|error| Err(broken(&error)));
            keeper.loaded(path, loaded);
        }
        keeper.arrange().await;
        Ok((plugins, keeper))
    }

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
                    let pause = if self.folder.is_restless() { SOON } else { TURN };
                    next = tokio::time::Instant::now() + pause;
                }
                (path, loaded) = ended(&mut self.loading) => changed = self.loaded(path, loaded),
            }
            self.begin_next();
            if changed {
                self.arrange().await;
                self.tell(&listeners).await;
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
        changed
    }

    async fn step(&mut self, step: Step) -> bool {
        let is_grants = |path: &Path| path.file_name().is_some_and(|name| name == grants::FILE_NAME);
        match step {
            Step::Read(path) if is_grants(&path) => self.read_grants(path).await,
            Step::Gone(path) if is_grants(&path) => {
                self.take_grants(Ok(GrantsFile::default()));
                true
            }
            Step::Read(path) => {
                if !self.queue.contains(&path) {
                    self.queue.push_back(path);
                }
                false
            }
            Step::Gone(path) => self.files.remove(&path).is_some(),
        }
    }

    async fn read_grants(&mut self, path: PathBuf) -> bool {
        let read = tokio::task::spawn_blocking(move || grants::read(&path)).await;
        let read = read.unwrap_or_else(|error| Err(error.to_string()));
        self.take_grants(read);
        true
    }

    fn take_grants(&mut self, read: Result<GrantsFile, String>) {
        match read {
            Ok(grants) => {
                self.problem = None;
                if grants.hash() != self.notes.grants {
                    tracing::info!(entries = grants.len(), "the plugins' grants have changed");
                    let what = [("what", "grants".to_owned()), ("file", grants::FILE_NAME.to_owned())];
                    let entries = [("entries", grants.len().to_string()), ("plugins", grants.to_string())];
                    let hash = [("hash", grants.hash().to_owned())];
                    let all = what.into_iter().chain(entries).chain(hash).filter(|(_, value)| !value.is_empty());
                    self.rows.push(all.map(|(key, value)| (key.to_owned(), value)).collect());
                    grants.hash().clone_into(&mut self.notes.grants);
                }
                self.grants = grants;
            }
            Err(problem) => {
                tracing::warn!("the plugins' grants are not used: {problem}; what was granted before stays");
                self.problem = Some(problem);
            }
        }
    }

    /// Begins to load the next file, one at a time: the compiler takes much memory.
    fn begin_next(&mut self) {
        while self.loading.is_none() {
            let Some(path) = self.queue.pop_front() else { return };
            if self.folder.has(&path) {
                let loading = self.load(path.clone());
                self.loading = Some((path, loading));
            }
        }
    }

    fn load(&self, path: PathBuf) -> JoinHandle<Loaded> {
        let (sandbox, dir) = (self.workshop.sandbox.clone(), self.dir.clone());
        let others = self.files.iter().filter(|(other, loaded)| **other != path && loaded.is_ok()).count();
        tokio::task::spawn_blocking(move || {
            if others >= MAX_PLUGINS {
                return Err(Arc::new(LoadError::TooMany { max: MAX_PLUGINS }));
            }
            tracing::debug!(file = %path.display(), "loading a plugin");
            let root = dir.canonicalize().map_err(|source| LoadError::Io { path: dir, source })?;
            sandbox.examine_in(&root, &path).map_err(Arc::new)
        })
    }

    /// Takes what a file turned out to be. `true` if that changes anything.
    fn loaded(&mut self, path: PathBuf, loaded: Loaded) -> bool {
        if !self.folder.has(&path) {
            return false;
        }
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match &loaded {
            Ok(plugin) => {
                let (version, compiled) = (plugin.info().version.as_str(), !plugin.from_cache());
                let actions = plugin.info().actions.len();
                tracing::info!(file, plugin = plugin.name(), version, actions, compiled, "a plugin was read");
                if self.files.get(&path).is_some_and(|old| matches!(old, Ok(old) if old.hash() == plugin.hash())) {
                    return false;
                }
            }
            Err(error) => {
                tracing::warn!(file, %error, "a file is no plugin");
                // Somebody stopped writing half-way: what was there before is better, and what comes will be read.
                if matches!(**error, LoadError::Truncated { .. }) && matches!(self.files.get(&path), Some(Ok(_))) {
                    return false;
                }
            }
        }
        self.files.insert(path, loaded);
        true
    }

    async fn request(&mut self, request: Request, listeners: &Listeners) -> bool {
        match request {
            Request::Quarantine { hash, reason } => {
                tracing::warn!(hash = hex(&hash), reason, "a plugin is quarantined");
                self.notes.quarantined.insert(hex(&hash), reason).is_none()
            }
            Request::Switch { name, on, reply } => {
                let done = self.switch(&name, on).await;
                if done.is_ok() {
                    // Answered when it is so: whoever asked looks at once.
                    self.arrange().await;
                    self.tell(listeners).await;
                }
                let _ = reply.send(done);
                false
            }
        }
    }

    async fn switch(&mut self, name: &str, on: bool) -> Result<(), NodeError> {
        let known = || self.files.values().flatten().map(|plugin| plugin.name());
        // One whose file is gone can still be enabled, so that it is when it comes back.
        let is_known = known().any(|known| known == name) || on && self.notes.disabled.contains(name);
        if !is_known {
            let near = nearest(name, known().map(str::to_owned));
            return Err(NodeError::NoSuchPlugin { name: name.to_owned(), near });
        }
        let before = self.notes.clone();
        if on {
            self.notes.disabled.remove(name);
            for plugin in self.files.values().flatten().filter(|plugin| plugin.name() == name) {
                self.notes.quarantined.remove(&hex(plugin.hash()));
            }
        } else {
            self.notes.disabled.insert(name.to_owned());
        }
        if let Err(error) = self.notes.keep(&self.store).await {
            self.notes = before;
            return Err(NodeError::Internal(format!("the database cannot be written: {error}")));
        }
        Ok(())
    }

    /// Puts a new shelf in the place of the old one, and notes what is different.
    async fn arrange(&mut self) {
        let present: Vec<String> = self.files.values().flatten().map(|plugin| hex(plugin.hash())).collect();
        self.notes.quarantined.retain(|hash, _| present.contains(hash));
        let stock =
            Stock { files: &self.files, grants: &self.grants, notes: &self.notes, problem: self.problem.clone() };
        let shelf = Shelf::arrange(stock, &self.workshop, &self.plugins.shelf());
        let lines = shelf.lines();
        self.plugins.replace(shelf);
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
        let rows = std::mem::take(&mut self.rows).into_iter();
        let commands: Vec<Command> = rows
            .map(|details| Command::Record { event: EventType::ConfigChange, node: listeners.me, details })
            .collect();
        if !commands.is_empty() {
            let _ = tokio::time::timeout(LEDGER_WAIT, listeners.driver.commit(commands)).await;
        }
    }
}

async fn look(dir: &Path) -> std::io::Result<Vec<(PathBuf, folder::Stamp)>> {
    let dir = dir.to_owned();
    tokio::task::spawn_blocking(move || folder::list(&dir))
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error)))
}

/// Waits for the file that is being loaded; for ever if there is none.
async fn ended(loading: &mut Option<(PathBuf, JoinHandle<Loaded>)>) -> (PathBuf, Loaded) {
    let Some((path, handle)) = loading else { return std::future::pending().await };
    let loaded = handle.await.unwrap_or_else(|error| Err(broken(&error)));
    let path = std::mem::take(path);
    *loading = None;
    (path, loaded)
}

/// The loader itself failed.
fn broken(error: &tokio::task::JoinError) -> Arc<LoadError> {
    Arc::new(LoadError::Invalid(format!("the loader broke off: {error}")))
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
