//! The plugins as they stand: each file with what became of it, and what those that are ready may use. A shelf never
//! changes; another takes its place, and a task that runs keeps what it began with.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use akita_core::schedule::Offer;
use akita_sandbox::{Candidate, Catalog, Grants, Hosts, LoadError, MAX_PLUGINS, Plugin, ResolveError};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::{
    callers::Caller,
    grants::{FILE_NAME, GrantsFile, Terms},
    notes::Notes,
};

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Offered.
    Ready,
    /// It needs something that was not granted.
    Blocked,
    /// It is no plugin for this node.
    Rejected,
    /// The operator has set it aside.
    Disabled,
    /// It crashed too often.
    Quarantined,
}

impl Status {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Ready => "ready",
            Status::Blocked => "blocked",
            Status::Rejected => "rejected",
            Status::Disabled => "disabled",
            Status::Quarantined => "quarantined",
        }
    }
}

/// Why a plugin that is one is not ready, and the next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What became of it.
    pub status: Status,
    /// Why, unless it is ready.
    pub reason: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// What becomes of the plugin `name`, whose content has `hash` (hex) and which needs `needs`.
pub fn judge(name: &str, hash: &str, needs: Grants, grants: &GrantsFile, notes: &Notes) -> Verdict {
    let verdict = |status, reason: String, hint: String| Verdict { status, reason: Some(reason), hint: Some(hint) };
    if notes.disabled.contains(name) {
        return verdict(Status::Disabled, "disabled by the operator".into(), format!("akita plugin enable {name}"));
    }
    if let Some(reason) = notes.quarantined.get(hash) {
        let hint = format!("replace the file by a better one, or: akita plugin enable {name}");
        return verdict(Status::Quarantined, reason.clone(), hint);
    }
    let missing = needs.without(grants.of(name).granted());
    if !missing.is_empty() {
        let hint = format!("to grant it, write in {FILE_NAME}:\n{}", grants.lines_for(name, missing));
        return verdict(Status::Blocked, format!("needs {missing}"), hint);
    }
    Verdict { status: Status::Ready, reason: None, hint: None }
}

/// One file.
#[derive(Debug, Clone)]
pub struct Item {
    /// The file's name.
    pub file: String,
    /// What became of it.
    pub verdict: Verdict,
    /// What it is, unless it was rejected.
    pub candidate: Option<Arc<Candidate>>,
    /// What the operator grants and how much of it.
    pub terms: Terms,
}

/// One file as the ledger and the notes know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The file's name.
    pub file: String,
    /// The plugin's name; empty when it was rejected.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// Of its content, hex.
    pub hash: String,
    /// What became of it.
    pub status: Status,
    /// Why, unless it is ready.
    pub reason: Option<String>,
}

/// How a plugin that is ready is run.
#[derive(Debug, Default)]
pub struct Seat {
    /// What bounds it.
    pub terms: Terms,
    /// Its runs at once, where they are bounded.
    pub gate: Option<Arc<Semaphore>>,
    /// What is behind its interfaces.
    pub hosts: Hosts,
}

/// An action that was found.
pub struct Found {
    /// The plugin.
    pub plugin: Arc<Plugin>,
    /// The action's name within it.
    pub action: String,
    /// How it is run.
    pub seat: Arc<Seat>,
}

/// An action that is not for whoever asks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the action `{action}` is not open to {caller}")]
pub struct NotAllowed {
    /// `plugin/action`.
    pub action: String,
    /// Who asks.
    pub caller: Caller,
}

impl NotAllowed {
    /// The next step.
    pub fn hint(&self) -> String {
        let name = self.caller.key.map_or_else(|| format!("node:{}", self.caller.node), |key| key.to_string());
        format!(
            "the operator of the node that runs it decides, by `callers` in {FILE_NAME}; to allow it, add \"{name}\""
        )
    }
}

impl Found {
    /// Whether that caller may call it.
    ///
    /// # Errors
    /// The operator of this node has not named the caller.
    pub fn permit(&self, caller: &Caller) -> Result<(), NotAllowed> {
        if self.seat.terms.callers.permit(&self.action, caller) {
            return Ok(());
        }
        Err(NotAllowed { action: format!("{}/{}", self.plugin.name(), self.action), caller: *caller })
    }
}

/// The plugins as they stand.
#[derive(Debug, Default)]
pub struct Shelf {
    /// Those that are ready.
    pub catalog: Catalog,
    /// Every file, by name.
    pub items: Vec<Item>,
    /// What is wrong with the file of grants, while an older one is used.
    pub problem: Option<String>,
    seats: BTreeMap<String, Arc<Seat>>,
}

/// What a file turned out to be.
pub type Loaded = Result<Arc<Candidate>, Arc<LoadError>>;

/// What a shelf is made of.
pub struct Stock<'a> {
    /// The files.
    pub files: &'a BTreeMap<PathBuf, Loaded>,
    /// What is granted.
    pub grants: &'a GrantsFile,
    /// What is set aside.
    pub notes: &'a Notes,
    /// What is wrong with the file of grants.
    pub problem: Option<String>,
}

/// What puts a plugin together for this node.
pub trait Maker {
    /// Links it with what it is granted.
    fn link(&self, candidate: &Arc<Candidate>, grants: Grants) -> Result<Arc<Plugin>, LoadError>;
    /// What is behind its interfaces.
    fn hosts(&self, plugin: &str, terms: &Terms) -> Hosts;
}

impl Shelf {
    /// Puts everything in its place. What did not change is taken from the shelf `before`.
    pub fn arrange(stock: Stock<'_>, maker: &impl Maker, before: &Shelf) -> Shelf {
        let mut shelf = Shelf { problem: stock.problem, ..Shelf::default() };
        let mut names: BTreeMap<String, PathBuf> = BTreeMap::new();
        let mut ready = Vec::new();
        for (path, loaded) in stock.files {
            let candidate = match loaded {
                Ok(candidate) => candidate,
                Err(error) => {
                    shelf.items.push(rejected(path, error));
                    continue;
                }
            };
            let name = candidate.name().to_owned();
            if let Some(first) = names.get(&name) {
                shelf.items.push(rejected(path, &LoadError::DuplicateName { name, first: first.clone() }));
                continue;
            }
            if names.len() >= MAX_PLUGINS {
                shelf.items.push(rejected(path, &LoadError::TooMany { max: MAX_PLUGINS }));
                continue;
            }
            names.insert(name.clone(), path.clone());
            let terms = stock.grants.of(&name);
            let verdict = judge(&name, &hex(candidate.hash()), candidate.needs(), stock.grants, stock.notes);
            if verdict.status == Status::Ready {
                match before.linked(candidate).map_or_else(|| maker.link(candidate, terms.granted()), Ok) {
                    Ok(plugin) => {
                        shelf.seats.insert(name.clone(), seat(&name, terms.clone(), maker, before));
                        ready.push((path.clone(), plugin));
                    }
                    Err(error) => {
                        shelf.items.push(rejected(path, &error));
                        continue;
                    }
                }
            }
            let candidate = Some(Arc::clone(candidate));
            shelf.items.push(Item { file: file_name(path), verdict, candidate, terms });
        }
        shelf.catalog = Catalog::of(ready);
        shelf
    }

    fn linked(&self, candidate: &Arc<Candidate>) -> Option<Arc<Plugin>> {
        self.catalog.plugins().iter().find(|plugin| Arc::ptr_eq(plugin.candidate(), candidate)).cloned()
    }

    /// What an action's name means here.
    ///
    /// # Errors
    /// No plugin that is ready has it, or several have.
    pub fn resolve(&self, action: &str) -> Result<Found, ResolveError> {
        let (plugin, action) = self.catalog.resolve(action)?;
        let seat = self.seats.get(plugin.name()).cloned().unwrap_or_default();
        Ok(Found { plugin, action, seat })
    }

    /// What bounds the runs at once of the plugin of `plugin/action`, where something does.
    pub fn gate(&self, action: &str) -> Option<Arc<Semaphore>> {
        let plugin = action.split('/').next().unwrap_or_default();
        self.seats.get(plugin)?.gate.clone()
    }

    /// What a node with these slots and capabilities of its own offers: each action whose needs it meets.
    pub fn offer(&self, slots: u16, own: &[String]) -> Offer {
        let mut capabilities: std::collections::BTreeSet<String> = own.iter().cloned().collect();
        capabilities.extend(self.catalog.provides());
        let mut offer = Offer { slots, ..Offer::default() };
        for plugin in self.catalog.plugins() {
            let most = self.seats.get(plugin.name()).and_then(|seat| seat.terms.concurrency);
            offer.caps.extend(most.map(|most| (plugin.name().to_owned(), most)));
            for action in &plugin.info().actions {
                match action.requires.iter().find(|one| !capabilities.contains(*one)) {
                    None => {
                        offer.actions.insert(format!("{}/{}", plugin.name(), action.name));
                    }
                    Some(missing) => tracing::warn!(
                        plugin = plugin.name(),
                        action = action.name,
                        missing,
                        "not offered: the node lacks a capability"
                    ),
                }
            }
        }
        offer.capabilities = capabilities;
        offer
    }

    /// One line for each file.
    pub fn lines(&self) -> Vec<Line> {
        self.items.iter().map(Item::line).collect()
    }
}

impl Item {
    fn line(&self) -> Line {
        let of = |field: fn(&Candidate) -> String| self.candidate.as_ref().map(|one| field(one)).unwrap_or_default();
        Line {
            file: self.file.clone(),
            plugin: of(|one| one.name().to_owned()),
            version: of(|one| one.info().version.clone()),
            hash: of(|one| hex(one.hash())),
            status: self.verdict.status,
            reason: self.verdict.reason.clone(),
        }
    }
}

fn rejected(path: &Path, error: &LoadError) -> Item {
    let verdict = Verdict { status: Status::Rejected, reason: Some(error.to_string()), hint: None };
    Item { file: file_name(path), verdict, candidate: None, terms: Terms::default() }
}

/// A seat as it was, while nothing about it changed: runs that go on count against its bound.
fn seat(name: &str, terms: Terms, maker: &impl Maker, before: &Shelf) -> Arc<Seat> {
    if let Some(seat) = before.seats.get(name).filter(|seat| seat.terms == terms) {
        return Arc::clone(seat);
    }
    let gate = terms.concurrency.map(|most| Arc::new(Semaphore::new(usize::from(most))));
    let hosts = maker.hosts(name, &terms);
    Arc::new(Seat { terms, gate, hosts })
}

/// A hash as people see it.
pub fn hex(hash: &[u8; 32]) -> String {
    blake3::Hash::from_bytes(*hash).to_hex().to_string()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// What changed between two looks, a word and the line as it is now (as it was, when it is gone).
pub fn diff(before: &[Line], now: &[Line]) -> Vec<(&'static str, Line)> {
    let old: BTreeMap<&str, &Line> = before.iter().map(|line| (line.file.as_str(), line)).collect();
    let new: BTreeMap<&str, &Line> = now.iter().map(|line| (line.file.as_str(), line)).collect();
    let gone = before.iter().filter(|line| !new.contains_key(line.file.as_str())).map(|line| ("removed", line.clone()));
    let here = now.iter().filter_map(|line| {
        let what = match old.get(line.file.as_str()) {
            None if line.status == Status::Ready => "added",
            None => line.status.as_str(),
            Some(was) => change(was, line)?,
        };
        Some((what, line.clone()))
    });
    gone.chain(here).collect()
}

fn change(was: &Line, now: &Line) -> Option<&'static str> {
    if was == now {
        return None;
    }
    if now.status != Status::Ready {
        return Some(now.status.as_str());
    }
    Some(match was.status {
        Status::Disabled if was.hash == now.hash => "enabled",
        Status::Quarantined if was.hash == now.hash => "released",
        Status::Blocked if was.hash == now.hash => "granted",
        _ => "replaced",
    })
}

#[cfg(test)]
#[path = "shelf_tests.rs"]
mod tests;
