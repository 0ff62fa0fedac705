//! The plugins as they stand: each file with what became of it, and what those that are ready may use. A shelf never
//! changes; another takes its place, and a task that runs keeps what it began with.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use akita_core::{schedule::Offer, versions::Versions, wire::MAX_OFFERED};
use akita_sandbox::{Candidate, Catalog, Grants, Hosts, Interface, LoadError, MAX_PLUGINS, Plugin, ResolveError};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::{
    callers::Caller,
    grants::{FILE_NAME, GrantsFile, Terms},
    notes::Notes,
    reading::{Entry, What, file_name},
    trust::Seal,
};

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Offered.
    Ready,
    /// It needs something that was not granted.
    Blocked,
    /// Nobody who is trusted vouches for it.
    Untrusted,
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
            Status::Untrusted => "untrusted",
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
    /// Why it is not ready, or what it still lacks.
    pub reason: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// A plugin that is one, before it is known what becomes of it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The file's name.
    pub file: &'a str,
    /// The plugin's name.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// Of its content.
    pub hash: &'a [u8; 32],
    /// What it cannot do without.
    pub needs: Grants,
    /// What lies beside its file.
    pub seal: &'a Seal,
}

/// What becomes of a plugin.
pub fn judge(subject: Subject<'_>, grants: &GrantsFile, notes: &Notes) -> Verdict {
    let Subject { file, name, version, hash, needs, seal } = subject;
    let verdict = |status, reason: String, hint: String| Verdict { status, reason: Some(reason), hint: Some(hint) };
    let full_name = format!("{name}@{version}");
    if let Some(disabled) = [name, &full_name].into_iter().find(|one| notes.disabled.contains(*one)) {
        return verdict(Status::Disabled, "disabled by the operator".into(), format!("akita plugin enable {disabled}"));
    }
    if let Err(untrusted) = grants.trust().allows(file, seal, name, version) {
        return untrusted;
    }
    if let Some(reason) = notes.quarantined.get(&hex(hash)) {
        let hint = format!("replace the file by a better one, or: akita plugin enable {full_name}");
        return verdict(Status::Quarantined, reason.clone(), hint);
    }
    let missing = needs.without(grants.of(name).granted());
    if !missing.is_empty() {
        let hint = format!("to grant it, write in {FILE_NAME}:\n{}", grants.lines_for(name, missing));
        return verdict(Status::Blocked, format!("needs {missing}"), hint);
    }
    if needs.has(Interface::Http) && grants.of(name).hosts.is_none_or(|hosts| hosts.is_empty()) {
        let reason = "http is granted, and no host that it may reach".to_owned();
        let hint = format!("name them in {FILE_NAME}, in [plugin.{name}]:\nhosts = [\"api.example.org\"]");
        return Verdict { status: Status::Ready, reason: Some(reason), hint: Some(hint) };
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
    /// What it is, if it was asked.
    pub candidate: Option<Arc<Candidate>>,
    /// BLAKE3 of its content, unless that could not be read.
    pub hash: Option<[u8; 32]>,
    /// Bytes.
    pub size: u64,
    /// What lies beside it.
    pub seal: Seal,
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

/// What a shelf is made of.
pub struct Stock<'a> {
    /// The files.
    pub files: &'a BTreeMap<PathBuf, Entry>,
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
        let mut shelf = Shelf { problem: stock.problem.clone(), ..Shelf::default() };
        let mut making = Making { stock: &stock, maker, before, names: BTreeMap::new(), ready: Vec::new() };
        for (path, entry) in stock.files {
            let file = file_name(path);
            let item = match &entry.what {
                What::Rejected(error) => Item::rejected(file, entry, error),
                What::Unasked => match stock.grants.trust().admits(&file, &entry.seal) {
                    Err(verdict) => Item::new(file, entry, verdict),
                    // It is trusted by now, and about to be asked.
                    Ok(()) => continue,
                },
                What::Plugin(candidate) => match making.place(path, candidate, &entry.seal, &mut shelf.seats) {
                    Ok((verdict, terms)) => {
                        Item { candidate: Some(Arc::clone(candidate)), terms, ..Item::new(file, entry, verdict) }
                    }
                    Err(error) => Item::rejected(file, entry, &error),
                },
            };
            shelf.items.push(item);
        }
        shelf.catalog = Catalog::of(making.ready);
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

    /// What bounds the runs at once of the plugin that has an action, where something does, and whether they may have
    /// children.
    pub fn bounds(&self, action: &str) -> (Option<Arc<Semaphore>>, bool) {
        let Ok(Found { seat, .. }) = self.resolve(action) else { return (None, false) };
        (seat.gate.clone(), seat.terms.granted().has(Interface::Tasks))
    }

    /// Whether a plugin is ready and has that interface.
    pub fn is_granted(&self, plugin: &str, interface: Interface) -> bool {
        self.seats.get(plugin).is_some_and(|seat| seat.terms.granted().has(interface))
    }

    /// What a node with these slots and capabilities of its own offers: each action whose needs it meets.
    pub fn offer(&self, slots: u16, own: &[String]) -> Offer {
        let mut capabilities: BTreeSet<String> = own.iter().cloned().collect();
        capabilities.extend(self.catalog.provides());
        let mut offer = Offer { slots, ..Offer::default() };
        let mut versions = Vec::new();
        for plugin in self.catalog.plugins() {
            let most = self.seats.get(plugin.name()).and_then(|seat| seat.terms.concurrency);
            offer.caps.extend(most.map(|most| (plugin.name().to_owned(), most)));
            let mut own = BTreeSet::new();
            for action in &plugin.info().actions {
                let full = format!("{}/{}", plugin.name(), action.name);
                if let Some(missing) = action.requires.iter().find(|one| !capabilities.contains(*one)) {
                    tracing::warn!(action = full, missing, "not offered: the node lacks a capability");
                } else if offer.actions.len() >= MAX_OFFERED && !offer.actions.contains(&full) {
                    tracing::warn!(action = full, "not offered: this node has more than {MAX_OFFERED} actions");
                } else {
                    offer.actions.insert(full);
                    own.insert(action.name.as_str());
                }
            }
            versions.push((plugin.name(), plugin.info().version.as_str(), own));
        }
        offer.versions = Versions::of(versions);
        offer.capabilities = capabilities;
        offer
    }

    /// One line for each file.
    pub fn lines(&self) -> Vec<Line> {
        self.items.iter().map(Item::line).collect()
    }
}

impl<'a> Subject<'a> {
    /// Of a component, with what lies beside its file.
    pub fn of(file: &'a str, candidate: &'a Candidate, seal: &'a Seal) -> Subject<'a> {
        let (name, version) = (candidate.name(), candidate.info().version.as_str());
        Subject { file, name, version, hash: candidate.hash(), needs: candidate.needs(), seal }
    }
}

impl Item {
    fn new(file: String, entry: &Entry, verdict: Verdict) -> Item {
        let (hash, size, seal) = (entry.hash, entry.size, entry.seal.clone());
        Item { file, verdict, candidate: None, hash, size, seal, terms: Terms::default() }
    }

    fn rejected(file: String, entry: &Entry, error: &LoadError) -> Item {
        Item::new(file, entry, Verdict { status: Status::Rejected, reason: Some(error.to_string()), hint: None })
    }

    fn line(&self) -> Line {
        // What was not asked is called what its signature says, if anything is.
        let asked = self.candidate.as_ref().map(|one| (one.name(), one.info().version.as_str()));
        let signed = || self.seal.proved().map(|signature| (signature.plugin.as_str(), signature.version.as_str()));
        let (plugin, version) = match self.verdict.status {
            Status::Rejected => ("", ""),
            _ => asked.or_else(signed).unwrap_or_default(),
        };
        Line {
            file: self.file.clone(),
            plugin: plugin.to_owned(),
            version: version.to_owned(),
            hash: self
                .hash
                .filter(|_| self.verdict.status != Status::Rejected)
                .map(|hash| hex(&hash))
                .unwrap_or_default(),
            status: self.verdict.status,
            reason: self.verdict.reason.clone(),
        }
    }
}

/// A shelf that is being made.
struct Making<'a, M> {
    stock: &'a Stock<'a>,
    maker: &'a M,
    before: &'a Shelf,
    /// Names with versions, and the file of each.
    names: BTreeMap<String, PathBuf>,
    ready: Vec<(PathBuf, Arc<Plugin>)>,
}

impl<M: Maker> Making<'_, M> {
    /// What becomes of a plugin, and what it gets.
    fn place(
        &mut self,
        path: &Path,
        candidate: &Arc<Candidate>,
        seal: &Seal,
        seats: &mut BTreeMap<String, Arc<Seat>>,
    ) -> Result<(Verdict, Terms), LoadError> {
        let (name, terms) = (candidate.name(), self.stock.grants.of(candidate.name()));
        let verdict = judge(Subject::of(&file_name(path), candidate, seal), self.stock.grants, self.stock.notes);
        // Who is not trusted takes no name from anybody.
        if verdict.status != Status::Untrusted {
            self.claim(path, candidate)?;
        }
        if verdict.status == Status::Ready {
            let link = || self.maker.link(candidate, terms.granted());
            let plugin = self.before.linked(candidate).map_or_else(link, Ok)?;
            // Versions of one plugin share a seat, as they share what was granted.
            if !seats.contains_key(name) {
                seats.insert(name.to_owned(), seat(name, terms.clone(), self.maker, self.before));
            }
            self.ready.push((path.to_owned(), plugin));
        }
        Ok((verdict, terms))
    }

    /// Of several files with one name and version the first counts, also while it is set aside.
    fn claim(&mut self, path: &Path, candidate: &Candidate) -> Result<(), LoadError> {
        let name = candidate.full_name();
        if let Some(first) = self.names.get(&name) {
            return Err(LoadError::DuplicateName { name, first: first.clone() });
        }
        if self.names.len() >= MAX_PLUGINS {
            return Err(LoadError::TooMany { max: MAX_PLUGINS });
        }
        self.names.insert(name, path.to_owned());
        Ok(())
    }
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
    // One that is offered as before has not changed, whatever its grant lacks or has gained.
    if was == now || was.status == Status::Ready && now.status == Status::Ready && was.hash == now.hash {
        return None;
    }
    if now.status != Status::Ready {
        return Some(now.status.as_str());
    }
    Some(match was.status {
        Status::Disabled if was.hash == now.hash => "enabled",
        Status::Quarantined if was.hash == now.hash => "released",
        Status::Blocked if was.hash == now.hash => "granted",
        Status::Untrusted if was.hash == now.hash => "trusted",
        _ => "replaced",
    })
}

#[cfg(test)]
#[path = "shelf_tests.rs"]
mod tests;
