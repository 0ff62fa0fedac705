//! `akita-plugins.toml`: what the operator grants to which plugin, and how much of it. It reads text and answers for a
//! plugin's name; it opens no file and links nothing.
//!
//! For each key the most specific entry that has it counts: the plugin's own name before patterns, and of patterns the
//! one with more letters. So `[plugin."*"]` holds the defaults.

mod parse;
mod sensor;
mod terms;

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use akita_sandbox::{Grants, Interface};

pub use parse::Fault;
pub use sensor::{MAX_SENSORS, SensorSpec};
pub use terms::{Pattern, Terms};

use super::trust::Trust;

/// The file's name, in the folder of plugins.
pub const FILE_NAME: &str = "akita-plugins.toml";
/// Largest file that is read: an entry for each of the plugins that a folder may hold is a tenth of it.
pub const MAX_FILE_BYTES: u64 = 256 << 10;
/// Durable values of a plugin that is granted `kv` without a quota: room for a cache, little enough for an SD card.
pub const DEFAULT_KV_QUOTA: u64 = 1 << 20;
/// Blobs of a plugin that is granted `blobs` without a quota: one of the largest.
pub const DEFAULT_BLOB_QUOTA: u64 = 16 << 20;

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
        match parse::parse(text) {
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

#[cfg(test)]
#[path = "grants_tests.rs"]
mod tests;
