//! What the file of grants gives to one plugin, and the names and patterns under which it says so. It reads no text.

use std::{sync::Arc, time::Duration};

use akita_sandbox::{Grants, Limits};

use crate::plugins::{callers::Callers, http::HostEntry};

/// Children that a task of a plugin with `tasks` may have, unless told otherwise: a list of work for a small cluster.
const DEFAULT_MAX_CHILDREN: u32 = 64;
/// Generations of children, unless told otherwise: a task that splits its work, twice more.
const DEFAULT_MAX_DEPTH: u8 = 3;

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
    pub(super) fn or(self, other: &Terms) -> Terms {
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
pub struct Pattern(pub(super) String);

impl Pattern {
    fn is_exact(&self) -> bool {
        !self.0.contains('*')
    }

    /// Which of two comes first.
    pub(super) fn more_specific(&self, other: &Pattern) -> std::cmp::Ordering {
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
