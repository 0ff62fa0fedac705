//! `akita-plugins.toml`: what the operator grants to which plugin, and how much of it. It reads text and answers for a
//! plugin's name; it opens no file and links nothing.
//!
//! For each key the most specific entry that has it counts: the plugin's own name before patterns, and of patterns the
//! one with more letters. So `[plugin."*"]` holds the defaults.

mod sensor;

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use akita_core::task::MAX_DEPTH;
use akita_sandbox::{Grants, Interface, Limits};
use toml::de::{DeTable, DeValue};

pub use sensor::{MAX_SENSORS, SensorSpec};

use super::{
    callers::{Callers, MAX_CALLERS, Who},
    http::HostEntry,
    trust::{self, Rule, Trust},
};
use crate::config::nearest;

/// The file's name, in the folder of plugins.
pub const FILE_NAME: &str = "akita-plugins.toml";
/// Largest file that is read: an entry for each of the plugins that a folder may hold is a tenth of it.
pub const MAX_FILE_BYTES: u64 = 256 << 10;
/// Durable values of a plugin that is granted `kv` without a quota: room for a cache, little enough for an SD card.
pub const DEFAULT_KV_QUOTA: u64 = 1 << 20;
/// Most that a quota can be: values lie in the node's database.
const MAX_KV_QUOTA: i64 = 1 << 30;
/// Blobs of a plugin that is granted `blobs` without a quota: one of the largest.
pub const DEFAULT_BLOB_QUOTA: u64 = 16 << 20;
/// Most that this quota can be: BLOB_STORE_BYTES bounds all together.
const MAX_BLOB_QUOTA: i64 = 1 << 50;
/// Longest pattern, as long as a plugin's name.
const MAX_PATTERN_BYTES: usize = 63;

/// Children that a task of a plugin with `tasks` may have, unless told otherwise: a list of work for a small cluster.
const DEFAULT_MAX_CHILDREN: u32 = 64;
/// Generations of children, unless told otherwise: a task that splits its work, twice more.
const DEFAULT_MAX_DEPTH: u8 = 3;
/// Most children that a task may have: their results are gathered by one run.
const MOST_CHILDREN: i64 = 1_000;

/// The keys of an entry.
const KEYS: [&str; 14] = [
    "interfaces",
    "timeout_s",
    "memory_mb",
    "output_bytes",
    "concurrency",
    "kv_quota_bytes",
    "callers",
    "action",
    "max_children",
    "max_depth",
    "trust",
    "blob_quota_bytes",
    "hosts",
    "sensors",
];
/// The keys of an action's own table.
const ACTION_KEYS: [&str; 1] = ["callers"];
/// Tables of actions in one entry at most: as many as a plugin may have actions.
const MAX_ACTIONS: usize = 256;
/// Hosts or sensors that one entry names.
const MAX_LISTED: usize = 64;
/// What every plugin gets, so that naming it in a grant is no mistake worth a refusal.
const ALWAYS: [&str; 4] = ["log", "task", "clocks", "random"];

/// Why the file is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}: {reason}", file.display())]
pub struct GrantsError {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there, and what would be right.
    pub reason: String,
}

/// What one entry says, or all that apply together. Everything is optional.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Terms {
    /// Interfaces beyond those that every plugin gets.
    pub interfaces: Option<Grants>,
    /// Time of one attempt.
    pub timeout: Option<Duration>,
    /// Memory of one attempt, in bytes.
    pub memory_bytes: Option<u64>,
    /// Output of one attempt, in bytes.
    pub output_bytes: Option<u64>,
    /// Runs at once.
    pub concurrency: Option<u16>,
    /// Keys and values of `kv` together, in bytes.
    pub kv_quota_bytes: Option<u64>,
    /// Who may call its actions.
    pub callers: Callers,
    /// Children of one task.
    pub max_children: Option<u32>,
    /// Generations of children.
    pub max_depth: Option<u8>,
    /// Its blobs together, in bytes.
    pub blob_quota_bytes: Option<u64>,
    /// Where its HTTP requests may go.
    pub hosts: Option<Arc<[HostEntry]>>,
    /// The sensors that it sees, where not all.
    pub sensors: Option<Arc<[String]>>,
}

impl Terms {
    /// The interfaces that are granted.
    pub fn granted(&self) -> Grants {
        self.interfaces.unwrap_or_default()
    }

    /// Children that one task may have.
    pub fn children(&self) -> u32 {
        self.max_children.unwrap_or(DEFAULT_MAX_CHILDREN)
    }

    /// Generations of children.
    pub fn depth(&self) -> u8 {
        self.max_depth.unwrap_or(DEFAULT_MAX_DEPTH)
    }

    /// Lowers limits to these; none is raised.
    pub fn cap(&self, limits: &mut Limits) {
        limits.timeout = self.timeout.map_or(limits.timeout, |most| most.min(limits.timeout));
        limits.memory_bytes = self.memory_bytes.map_or(limits.memory_bytes, |most| most.min(limits.memory_bytes));
        limits.output_bytes = self.output_bytes.map_or(limits.output_bytes, |most| most.min(limits.output_bytes));
    }

    /// These, completed by what only the other says.
    fn or(self, other: &Terms) -> Terms {
        Terms {
            interfaces: self.interfaces.or(other.interfaces),
            timeout: self.timeout.or(other.timeout),
            memory_bytes: self.memory_bytes.or(other.memory_bytes),
            output_bytes: self.output_bytes.or(other.output_bytes),
            concurrency: self.concurrency.or(other.concurrency),
            kv_quota_bytes: self.kv_quota_bytes.or(other.kv_quota_bytes),
            callers: self.callers.or(&other.callers),
            max_children: self.max_children.or(other.max_children),
            max_depth: self.max_depth.or(other.max_depth),
            blob_quota_bytes: self.blob_quota_bytes.or(other.blob_quota_bytes),
            hosts: self.hosts.or_else(|| other.hosts.clone()),
            sensors: self.sensors.or_else(|| other.sensors.clone()),
        }
    }
}

/// A plugin's name, or a pattern in which `*` stands for any letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    fn is_exact(&self) -> bool {
        !self.0.contains('*')
    }

    /// Which of two comes first.
    fn more_specific(&self, other: &Pattern) -> std::cmp::Ordering {
        let rank = |one: &Pattern| (one.is_exact(), one.letters());
        rank(other).cmp(&rank(self)).then_with(|| self.0.cmp(&other.0))
    }

    fn letters(&self) -> usize {
        self.0.bytes().filter(|byte| *byte != b'*').count()
    }

    /// Whether it stands for that name.
    pub fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        // Of several places the first will do: what follows has the most room then.
        for part in parts {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last)
    }
}

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GrantsFile {
    /// The most specific first.
    entries: Vec<(Pattern, Terms)>,
    trust: Trust,
    /// The operator's own sensors by name.
    sensors: BTreeMap<String, SensorSpec>,
    /// BLAKE3 of the text, hex; empty where there is no file.
    hash: String,
    text: String,
}

impl GrantsFile {
    /// Reads the text of `file`.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line. Nothing of a file with a fault is used.
    pub fn parse(file: impl Into<PathBuf>, text: &str) -> Result<GrantsFile, GrantsError> {
        let file = file.into();
        let line_of = |offset: usize| text.as_bytes()[..offset.min(text.len())].iter().filter(|b| **b == b'\n').count();
        match parse(text) {
            Ok(read) => {
                let hash = blake3::hash(text.as_bytes()).to_hex().to_string();
                Ok(GrantsFile { hash, text: text.to_owned(), ..read })
            }
            Err((offset, reason)) => Err(GrantsError { file, line: line_of(offset) + 1, reason }),
        }
    }

    /// What the plugin of that name gets.
    pub fn of(&self, name: &str) -> Terms {
        let matching = self.entries.iter().filter(|(pattern, _)| pattern.matches(name));
        matching.fold(Terms::default(), |terms, (_, entry)| terms.or(entry))
    }

    /// BLAKE3 of the text, hex; empty where there is no file.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// What it was read from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whose plugins may run.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Nothing is granted and nobody trusted, because the file cannot be used and no earlier one is known.
    pub fn closed(reason: String) -> GrantsFile {
        GrantsFile { trust: Trust::unknown(reason), ..GrantsFile::default() }
    }

    /// The operator's own sensors by name.
    pub fn sensors(&self) -> &BTreeMap<String, SensorSpec> {
        &self.sensors
    }

    /// Entries for plugins.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is granted to anybody.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The lines by which that plugin gets `needs` too.
    pub fn lines_for(&self, name: &str, needs: Grants) -> String {
        let all = self.of(name).granted().or(needs);
        let words: Vec<_> = all.iter().map(|one| format!("\"{}\"", one.as_str())).collect();
        let mut lines = format!("[plugin.{name}]\ninterfaces = [{}]", words.join(", "));
        if needs.has(Interface::Http) && self.of(name).hosts.is_none() {
            lines.push_str("\nhosts = [\"api.example.org\"] # whom it may reach");
        }
        lines
    }
}

impl fmt::Display for GrantsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.entries.iter().map(|(pattern, _)| pattern.0.as_str()).collect();
        f.write_str(&names.join(", "))
    }
}

/// Reads the file. Blocks.
///
/// # Errors
/// Why it is not used, on one line.
pub fn read(path: &Path) -> Result<GrantsFile, String> {
    let failed = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    // Looked at before it is opened: opening a pipe would wait for somebody to write to it.
    let found = std::fs::metadata(path).map_err(failed)?;
    if !found.is_file() || found.len() > MAX_FILE_BYTES {
        return Err(format!("{} is no file of at most {MAX_FILE_BYTES} bytes", path.display()));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    GrantsFile::parse(path, &text).map_err(|error| error.to_string())
}

/// Where in the text, and what is wrong.
pub type Fault = (usize, String);

fn parse(text: &str) -> Result<GrantsFile, Fault> {
    let table = DeTable::parse(text)
        .map_err(|error| (error.span().map_or(0, |span| span.start), error.message().to_owned()))?;
    let mut file = GrantsFile::default();
    for (key, value) in table.get_ref() {
        let (at, word) = (key.span().start, key.get_ref().as_ref());
        match (word, value.get_ref()) {
            ("trust", rule) => file.trust.rule = trust::rule(value.span().start, rule)?,
            ("plugin", DeValue::Table(plugins)) => {
                for (at, name, keys) in tables("plugin", plugins)? {
                    let pattern = pattern(name).map_err(|reason| (at, reason))?;
                    if let Some(value) = keys.get("trust") {
                        file.trust.named.push((pattern.clone(), own_rule(value.span().start, value.get_ref())?));
                    }
                    file.entries.push((pattern, entry(keys)?));
                }
            }
            ("sensor", DeValue::Table(sensors)) => {
                for (at, name, keys) in tables("sensor", sensors)? {
                    sensor::parse_name(name).map_err(|reason| (at, reason))?;
                    file.sensors.insert(name.to_owned(), sensor::entry(at, name, keys)?);
                }
                if file.sensors.len() > MAX_SENSORS {
                    return Err((at, format!("a node has at most {MAX_SENSORS} sensors of its operator")));
                }
            }
            ("plugin" | "sensor", _) => return Err((at, format!("`{word}` is a table: write [{word}.NAME]"))),
            _ => {
                let otherwise = "entries are written as [plugin.NAME] and [sensor.NAME]";
                return Err((at, unknown("key", word, &["plugin", "sensor", "trust"], otherwise)));
            }
        }
    }
    file.entries.sort_by(|(a, _), (b, _)| a.more_specific(b));
    file.trust.named.sort_by(|(a, _), (b, _)| a.more_specific(b));
    Ok(file)
}

/// What a plugin is called is known before it runs only from its signature, so `any` cannot be for some names alone.
fn own_rule(at: usize, value: &DeValue<'_>) -> Result<Rule, Fault> {
    match trust::rule(at, value)? {
        Rule::Any => Err((at, "trust of some plugins alone is \"signed\" or a list of public keys".to_owned())),
        rule => Ok(rule),
    }
}

/// The tables in the table `word`: where each name stands, the name, its keys.
fn tables<'a, 'd>(word: &str, all: &'a DeTable<'d>) -> Result<Vec<(usize, &'a str, &'a DeTable<'d>)>, Fault> {
    let each = all.iter().map(|(name, value)| {
        let (at, name) = (name.span().start, name.get_ref().as_ref());
        let DeValue::Table(keys) = value.get_ref() else {
            return Err((at, format!("`{word}.{name}` is a table: write [{word}.{name}] and its keys below")));
        };
        Ok((at, name, keys))
    });
    each.collect()
}

fn pattern(name: &str) -> Result<Pattern, String> {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'*';
    if name.is_empty() || name.len() > MAX_PATTERN_BYTES || !name.bytes().all(letter) {
        return Err(format!(
            "`{name}` is no plugin's name: use lower-case words joined by `-`, and `*` for any letters"
        ));
    }
    Ok(Pattern(name.to_owned()))
}

fn entry(keys: &DeTable<'_>) -> Result<Terms, Fault> {
    let mut terms = Terms::default();
    for (key, value) in keys {
        let (at, word, value) = (key.span().start, key.get_ref().as_ref(), value.get_ref());
        let whole = |min: i64, max: i64| {
            whole(value, min, max).ok_or_else(|| (at, format!("{word} is a whole number from {min} to {max}")))
        };
        match word {
            "interfaces" => terms.interfaces = Some(interfaces(at, value)?),
            "timeout_s" => {
                let seconds = seconds(value).ok_or_else(|| (at, "timeout_s is a number from 0.001 to 86400".into()))?;
                terms.timeout = Some(seconds);
            }
            "memory_mb" => terms.memory_bytes = Some(whole(1, 4_096)? << 20),
            "output_bytes" => terms.output_bytes = Some(whole(1, 1 << 32)?),
            "concurrency" => terms.concurrency = u16::try_from(whole(1, 4_096)?).ok(),
            "callers" => terms.callers.all = Some(callers(at, value)?),
            "action" => terms.callers.actions = actions(at, value)?,
            "max_children" => terms.max_children = u32::try_from(whole(0, MOST_CHILDREN)?).ok(),
            "max_depth" => terms.max_depth = u8::try_from(whole(0, MAX_DEPTH.into())?).ok(),
            "kv_quota_bytes" => terms.kv_quota_bytes = Some(whole(0, MAX_KV_QUOTA)?),
            // For the names, not for what they get; see `own_rule`.
            "trust" => {}
            "blob_quota_bytes" => terms.blob_quota_bytes = Some(whole(0, MAX_BLOB_QUOTA)?),
            "hosts" => terms.hosts = Some(texts(at, word, value, HostEntry::parse)?),
            "sensors" => terms.sensors = Some(texts(at, word, value, sensor::parse_name)?),
            other => return Err((at, unknown("key", other, &KEYS, &format!("an entry has {}", KEYS.join(", "))))),
        }
    }
    Ok(terms)
}

fn interfaces(at: usize, value: &DeValue<'_>) -> Result<Grants, Fault> {
    let known: Vec<&str> = Interface::ALL.into_iter().map(Interface::as_str).collect();
    let list = format!("interfaces is a list of {}", known.join(", "));
    let DeValue::Array(items) = value else { return Err((at, list)) };
    let mut grants = Grants::NONE;
    for item in items.iter() {
        let DeValue::String(name) = item.get_ref() else { return Err((item.span().start, list)) };
        match Interface::parse(name) {
            Some(one) => grants = grants.with(one),
            None if ALWAYS.contains(&name.as_ref()) => {}
            None => return Err((item.span().start, unknown("interface", name, &known, &list))),
        }
    }
    Ok(grants)
}

fn callers(at: usize, value: &DeValue<'_>) -> Result<Vec<Who>, Fault> {
    let list = "callers is a list of keys and nodes, such as [\"key:1a2b3c4d5e6f7081\", \"node:<32 digits>\"]; \
                `akita config show` tells a key's, `akita status` a node's";
    let DeValue::Array(items) = value else { return Err((at, list.to_owned())) };
    if items.len() > MAX_CALLERS {
        return Err((at, format!("callers has at most {MAX_CALLERS} items")));
    }
    let caller = |item: &toml::Spanned<DeValue<'_>>| {
        let text = if let DeValue::String(text) = item.get_ref() { Some(text) } else { None };
        text.and_then(|text| Who::parse(text)).ok_or_else(|| (item.span().start, list.to_owned()))
    };
    items.iter().map(caller).collect()
}

/// The tables `[plugin.NAME.action.ACTION]`.
fn actions(at: usize, value: &DeValue<'_>) -> Result<BTreeMap<String, Vec<Who>>, Fault> {
    let written = "`action` is a table: write [plugin.NAME.action.ACTION] and `callers` below";
    let DeValue::Table(tables) = value else { return Err((at, written.to_owned())) };
    if tables.len() > MAX_ACTIONS {
        return Err((at, format!("a plugin has at most {MAX_ACTIONS} actions")));
    }
    let mut actions = BTreeMap::new();
    for (name, value) in tables {
        let at = name.span().start;
        let DeValue::Table(keys) = value.get_ref() else { return Err((at, written.to_owned())) };
        for (key, value) in keys {
            let (at, word) = (key.span().start, key.get_ref().as_ref());
            if word != "callers" {
                return Err((at, unknown("key", word, &ACTION_KEYS, "an action has `callers`")));
            }
            actions.insert(name.get_ref().to_string(), callers(at, value.get_ref())?);
        }
    }
    Ok(actions)
}

/// A list of texts, each of which means something.
fn texts<T>(
    at: usize,
    word: &str,
    value: &DeValue<'_>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Arc<[T]>, Fault> {
    let list = || format!("{word} is a list of texts: {word} = [\"...\"]");
    let DeValue::Array(items) = value else { return Err((at, list())) };
    if items.len() > MAX_LISTED {
        return Err((at, format!("{word} lists at most {MAX_LISTED}")));
    }
    let each = items.iter().map(|item| {
        let DeValue::String(name) = item.get_ref() else { return Err((item.span().start, list())) };
        parse(name).map_err(|reason| (item.span().start, reason))
    });
    each.collect()
}

fn whole(value: &DeValue<'_>, min: i64, max: i64) -> Option<u64> {
    let DeValue::Integer(number) = value else { return None };
    let number = i64::from_str_radix(number.as_str(), number.radix()).ok()?;
    (min..=max).contains(&number).then_some(number.unsigned_abs())
}

fn number(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Integer(number) => Some(i64::from_str_radix(number.as_str(), number.radix()).ok()? as f64),
        DeValue::Float(number) => number.as_str().parse().ok(),
        _ => None,
    }
}

fn seconds(value: &DeValue<'_>) -> Option<Duration> {
    number(value).filter(|seconds| (0.001..=86_400.0).contains(seconds)).map(Duration::from_secs_f64)
}

fn unknown(what: &str, word: &str, known: &[&str], otherwise: &str) -> String {
    let hint = match nearest(word, known.iter().map(|name| (*name).to_owned())) {
        Some(near) => format!("did you mean {near}?"),
        None => otherwise.to_owned(),
    };
    format!("unknown {what} `{word}`: {hint}")
}

#[cfg(test)]
#[path = "grants_tests.rs"]
mod tests;
