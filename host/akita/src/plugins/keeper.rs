//! The loop behind the plugins: looks at the folder, reads what has settled, compiles it off the async threads, puts a
//! new shelf in the place of the old one, and tells the cluster and the ledger.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use akita_core::{Command, EventType, NodeId};
use akita_sandbox::{Candidate, Grants, Hosts, Interface, LoadError, Plugin, Sandbox};
use anyhow::Context;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    Plugins, Request,
    folder::{self, Folder, SETTLE, Step},
    grants::{self, DEFAULT_BLOB_QUOTA, DEFAULT_KV_QUOTA, GrantsFile, Terms},
    hosts::{PluginBlobs, PluginKv, PluginSensors},
    http::{DEFAULT_RESPONSE_BYTES, PluginHttp},
    notes::{self, Notes},
    post::{PluginMesh, Post},
    queue::Queue,
    reading::{Entry, Reading, What, file_name},
    sensors::OperatorSensors,
    shelf::{Line, Maker, Shelf, Stock, diff, hex},
    signature,
    wake::Wake,
};
use crate::{
    blobs::{Blobs, Owner},
    cluster::Cluster,
    config::nearest,
    driver::Driver,
    resources::Resources,
    store::Store,
    view::NodeError,
};

/// How often the folder is looked at when nobody says that it changed: network folders and small systems have no such
/// word. A look is one read of the folder.
const TURN: Duration = Duration::from_secs(2);
/// After a word, time for the rest of what belongs together; also between two looks at a file that has to settle.
const SOON: Duration = Duration::from_millis(100);
/// How long the ledger is waited for: the loop must see the node stop.
const LEDGER_WAIT: Duration = Duration::from_secs(30);
/// How long a start waits for plugins that have to be compiled: small ones are there from the first moment on, and
/// nobody waits long for a node.
const START_PATIENCE: Duration = Duration::from_secs(2);
/// Larger files are not waited for at all: a start would only be delayed, not complete.
const SMALL_FILE: u64 = 1 << 20;

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
    resources: watch::Receiver<Resources>,
    sensors: Arc<OperatorSensors>,
    blobs: Blobs,
    post: Arc<Post>,
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
        if terms.granted().has(Interface::Blobs) {
            let quota = Some(terms.blob_quota_bytes.unwrap_or(DEFAULT_BLOB_QUOTA));
            let owner = Owner { name: plugin.to_owned(), quota };
            hosts.blobs = Some(Arc::new(PluginBlobs { blobs: self.blobs.clone(), owner }));
        }
        if terms.granted().has(Interface::Http) {
            let named = terms.hosts.clone().unwrap_or_else(|| Arc::new([]));
            hosts.http = Some(Arc::new(PluginHttp::new(plugin.to_owned(), named, DEFAULT_RESPONSE_BYTES)));
        }
        if terms.granted().has(Interface::Sensors) {
            let (machine, operator) = (self.resources.clone(), Arc::clone(&self.sensors));
            hosts.sensors = Some(Arc::new(PluginSensors { machine, operator, only: terms.sensors.clone() }));
        }
        if terms.granted().has(Interface::Mesh) {
            hosts.mesh = Some(Arc::new(PluginMesh { post: Arc::clone(&self.post), plugin: plugin.to_owned() }));
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

    /// Until the file of grants is read, those of the last run hold.
    async fn recall_grants(&mut self) -> anyhow::Result<()> {
        let Some(text) = notes::last_grants(&self.store).await? else {
            // Should the file be broken, nobody may be trusted for want of knowing whom.
            self.grants = GrantsFile::closed(format!("{} was never read", grants::FILE_NAME));
            return Ok(());
        };
        self.grants = GrantsFile::parse(self.dir.join(grants::FILE_NAME), &text).unwrap_or_else(|error| {
            tracing::warn!(%error, "the grants of the last run are not understood");
            GrantsFile::closed(format!("{} was never read", grants::FILE_NAME))
        });
        self.workshop.sensors.set(&self.dir, self.grants.sensors());
        Ok(())
    }

    /// Keeps what is granted now for a start at which the file is broken.
    async fn keep_grants(&mut self) {
        if self.problem.is_some() || self.grants_kept.as_deref() == Some(self.grants.hash()) {
            return;
        }
        match notes::keep_grants(&self.store, self.grants.text()).await {
            Ok(()) => self.grants_kept = Some(self.grants.hash().to_owned()),
            Err(error) => tracing::warn!(%error, "the plugins' grants could not be kept for the next start"),
        }
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

    async fn read_grants(&mut self, path: PathBuf) -> bool {
        let read = tokio::task::spawn_blocking(move || grants::read(&path)).await;
        let read = read.unwrap_or_else(|error| Err(error.to_string()));
        self.take_grants(read);
        true
    }

    fn take_grants(&mut self, read: Result<GrantsFile, String>) {
        self.grants_gone = None;
        match read {
            Ok(grants) => {
                self.problem = None;
                if grants.hash() != self.notes.grants {
                    tracing::info!(entries = grants.len(), "the plugins' grants have changed");
                    let what = [("what", "grants".to_owned()), ("file", grants::FILE_NAME.to_owned())];
                    let entries = [("entries", grants.len().to_string()), ("plugins", grants.to_string())];
                    let hash = [("hash", grants.hash().to_owned()), ("trust", grants.trust().rule.to_string())];
                    let all = what.into_iter().chain(entries).chain(hash).filter(|(_, value)| !value.is_empty());
                    self.rows.push(all.map(|(key, value)| (key.to_owned(), value)).collect());
                    grants.hash().clone_into(&mut self.notes.grants);
                }
                self.workshop.sensors.set(&self.dir, grants.sensors());
                self.grants = grants;
                // Who is trusted now may be asked now.
                let trust = self.grants.trust();
                let unasked = self.files.iter().filter(|(_, entry)| matches!(entry.what, What::Unasked));
                let trusted = unasked.filter(|(path, entry)| trust.admits(&file_name(path), &entry.seal).is_ok());
                trusted.for_each(|(path, _)| self.queue.push(path.clone()));
            }
            Err(problem) => {
                tracing::warn!("the plugins' grants are not used: {problem}; what was granted before stays");
                self.problem = Some(problem);
            }
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
        let plugins: Vec<&Arc<Candidate>> = self.files.values().filter_map(Entry::plugin).collect();
        let meant = |plugin: &Candidate| plugin.name() == name || plugin.full_name() == name;
        // One whose file is gone can still be enabled, so that it is when it comes back.
        let is_known = plugins.iter().any(|plugin| meant(plugin)) || on && self.notes.disabled.contains(name);
        if !is_known {
            let names = plugins.iter().flat_map(|plugin| [plugin.name().to_owned(), plugin.full_name()]);
            return Err(NodeError::NoSuchPlugin { name: name.to_owned(), near: nearest(name, names) });
        }
        let before = self.notes.clone();
        if on {
            // A name without a version stands for all of them.
            let of_it = |one: &String| one == name || one.split('@').next() == Some(name);
            self.notes.disabled.retain(|one| !of_it(one));
            for plugin in plugins.iter().filter(|plugin| meant(plugin)) {
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
