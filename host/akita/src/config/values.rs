//! The value of each setting: text from the layer that wins, turned into a type within its bounds.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::error::{ConfigError, Side};
use super::source::{Layer, Origin, Raw, Sources};
use super::table::{self, DefaultValue, Kind, Spec};
use super::types::Secret;

/// The text of each setting, and its conversion to types.
pub(super) struct Values<'a> {
    /// What was set, by the layer that wins.
    pub set: Layer,
    /// For the home folder.
    pub sources: &'a Sources,
    /// The working folder, absolute.
    pub cwd: PathBuf,
}

impl Values<'_> {
    /// A file inside the data folder may not move the data folder: it would then be a different node's file.
    pub(super) fn pin_data_dir(&mut self, lower: &mut Layer) -> Result<(), ConfigError> {
        if let Some(raw) = lower.get("DATA_DIR") {
            let reason = "the file inside the data folder cannot move it".to_owned();
            return Err(invalid("DATA_DIR", &raw.text, &raw.origin, reason));
        }
        let text = self.data_dir()?.to_string_lossy().into_owned();
        let raw = Raw { text, origin: Origin::Default, base: self.cwd.clone() };
        self.set.entry("DATA_DIR").or_insert(raw);
        Ok(())
    }

    /// The text of a setting and where it was set; the default where that is plain text.
    pub(super) fn text(&self, name: &'static str) -> Option<(String, Origin)> {
        let spec = table::find(name).expect("every name asked for is in the table, see the test");
        match (self.set.get(name), spec.default) {
            (Some(raw), _) => Some((raw.text.trim().to_owned(), raw.origin.clone())),
            (None, DefaultValue::Text(text)) => Some((text.to_owned(), Origin::Default)),
            (None, _) => None,
        }
    }

    pub(super) fn required(&self, name: &'static str) -> (String, Origin) {
        self.text(name).expect("the table has a default for it, see the test")
    }

    pub(super) fn kind(name: &'static str) -> Kind {
        table::find(name).expect("every name asked for is in the table, see the test").kind
    }

    pub(super) fn count<N: TryFrom<u64>>(&self, name: &'static str) -> Result<N, ConfigError> {
        let (text, origin) = self.required(name);
        self.bounded(name, &text, &origin)
    }

    pub(super) fn bounded<N: TryFrom<u64>>(
        &self,
        name: &'static str,
        text: &str,
        origin: &Origin,
    ) -> Result<N, ConfigError> {
        let Kind::Count { min, max } = Self::kind(name) else { unreachable!("{name} is a count in the table") };
        let number = text.replace('_', "").parse::<u64>().ok().filter(|number| (min..=max).contains(number));
        number
            .and_then(|number| N::try_from(number).ok())
            .ok_or_else(|| invalid(name, text, origin, format!("it must be a whole number from {min} to {max}")))
    }

    pub(super) fn seconds(&self, name: &'static str) -> Result<Duration, ConfigError> {
        let Kind::Seconds { min, max } = Self::kind(name) else { unreachable!("{name} is a time in the table") };
        let (text, origin) = self.required(name);
        let number = text.parse::<f64>().ok().filter(|number| (min..=max).contains(number));
        let reason = || format!("it must be a number of seconds from {min} to {max}");
        number.map(Duration::from_secs_f64).ok_or_else(|| invalid(name, &text, &origin, reason()))
    }

    pub(super) fn switch(&self, name: &'static str) -> Result<bool, ConfigError> {
        let (text, origin) = self.required(name);
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err(invalid(name, &text, &origin, "it must be true or false".into())),
        }
    }

    pub(super) fn path(&self, name: &'static str) -> Option<PathBuf> {
        let raw = self.set.get(name)?;
        let text = raw.text.trim();
        let home = self.sources.env.get("HOME").filter(|home| !home.is_empty());
        Some(match (text.strip_prefix("~/"), home) {
            (Some(rest), Some(home)) => Path::new(home).join(rest),
            _ => raw.base.join(text),
        })
    }

    pub(super) fn path_or(&self, name: &'static str, default: impl FnOnce() -> PathBuf) -> PathBuf {
        self.path(name).unwrap_or_else(default)
    }

    pub(super) fn parsed<T: FromStr<Err = String>>(
        &self,
        name: &'static str,
        text: &str,
        at: &Origin,
    ) -> Result<T, ConfigError> {
        text.parse().map_err(|reason| invalid(name, text, at, reason))
    }

    pub(super) fn items(&self, name: &'static str) -> (Vec<String>, Origin) {
        let (text, origin) = self.text(name).unwrap_or((String::new(), Origin::Default));
        // Akita Genesis also took a JSON array in the environment.
        let array = text.starts_with('[').then(|| serde_json::from_str::<Vec<String>>(&text).ok()).flatten();
        let items = array.unwrap_or_else(|| text.split(',').map(str::to_owned).collect());
        let items = items.iter().map(|item| item.trim().to_owned()).filter(|item| !item.is_empty());
        (items.collect(), origin)
    }

    pub(super) fn name(&self, name: &'static str) -> Result<String, ConfigError> {
        let (text, origin) = self.text(name).unwrap_or_else(|| (host_name(), Origin::Default));
        check_name(&text).map_err(|reason| invalid(name, &text, &origin, reason))?;
        Ok(text)
    }

    pub(super) fn data_dir(&self) -> Result<PathBuf, ConfigError> {
        if let Some(dir) = self.path("DATA_DIR") {
            return Ok(dir);
        }
        let absolute = |name| self.sources.env.get(name).map(PathBuf::from).filter(|path: &PathBuf| path.is_absolute());
        let base = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")));
        Ok(base.ok_or(ConfigError::NoHome)?.join("akita").join(self.name("DEFAULT_NODE_NAME")?))
    }

    pub(super) fn capabilities(&self) -> Result<Vec<String>, ConfigError> {
        let (mut tags, origin) = self.items("CAPABILITIES");
        for tag in &tags {
            check_capability(tag).map_err(|reason| invalid("CAPABILITIES", tag, &origin, reason))?;
        }
        tags.sort();
        tags.dedup();
        Ok(tags)
    }

    pub(super) fn cluster_key(&self) -> Result<Option<Secret>, ConfigError> {
        let (key, name, origin) = match (self.set.get("CLUSTER_KEY"), self.set.get("CLUSTER_KEY_FILE")) {
            (Some(key), Some(file)) => {
                return Err(ConfigError::Both {
                    first: side("CLUSTER_KEY", key),
                    second: side("CLUSTER_KEY_FILE", file),
                });
            }
            (Some(key), None) => (key.text.clone(), "CLUSTER_KEY", &key.origin),
            (None, Some(file)) => {
                let path = self.path("CLUSTER_KEY_FILE").expect("it is set");
                let key = std::fs::read_to_string(&path).map_err(|source| ConfigError::Read { path, source })?;
                (key, "CLUSTER_KEY_FILE", &file.origin)
            }
            (None, None) => return Ok(None),
        };
        let key = key.trim();
        if key.chars().count() < MIN_CLUSTER_KEY {
            let reason = format!("the key must have at least {MIN_CLUSTER_KEY} characters");
            return Err(invalid(name, HIDDEN, origin, reason));
        }
        Ok(Some(Secret::new(key)))
    }

    pub(super) fn api_host(&self) -> Result<IpAddr, ConfigError> {
        let (text, origin) = self.required("DEFAULT_API_HOST");
        let address = if text == "localhost" { "127.0.0.1" } else { text.as_str() };
        let reason = || "it must be an IP address or `localhost`".to_owned();
        address.parse().map_err(|_| invalid("DEFAULT_API_HOST", &text, &origin, reason()))
    }

    pub(super) fn api_key_header(&self) -> Result<String, ConfigError> {
        let (text, origin) = self.required("API_KEY_HEADER_NAME");
        let sane = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        let reason = "an HTTP header has letters, digits, `-` and `_`".to_owned();
        if sane { Ok(text) } else { Err(invalid("API_KEY_HEADER_NAME", &text, &origin, reason)) }
    }

    pub(super) fn choice(&self, name: &'static str) -> Result<String, ConfigError> {
        let Kind::Choice(words) = Self::kind(name) else { unreachable!("{name} is a choice in the table") };
        let (text, origin) = self.required(name);
        // WARNING and CRITICAL are what Akita Genesis called them.
        let word = match text.to_ascii_lowercase().as_str() {
            "warning" => "warn".to_owned(),
            "critical" => "error".to_owned(),
            other => other.to_owned(),
        };
        let reason = || format!("it must be one of: {}", words.join(", "));
        if words.contains(&word.as_str()) { Ok(word) } else { Err(invalid(name, &text, &origin, reason())) }
    }

    pub(super) fn slots(&self) -> Result<usize, ConfigError> {
        match self.text("SLOTS") {
            Some((text, origin)) => self.bounded("SLOTS", &text, &origin),
            None => Ok(std::thread::available_parallelism().map_or(1, usize::from)),
        }
    }
}

/// What stands in place of a secret.
pub(super) const HIDDEN: &str = "(set)";

/// Shorter keys can be found by trying (16 random letters are about 75 bits).
const MIN_CLUSTER_KEY: usize = 16;

/// Names travel in announces, where every byte counts.
const MAX_NAME: usize = 32;

/// As long as those that a plugin may ask for.
const MAX_CAPABILITY: usize = 64;

fn check_capability(text: &str) -> Result<(), String> {
    let sane = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '/');
    if text.len() <= MAX_CAPABILITY && text.chars().all(sane) {
        return Ok(());
    }
    Err(format!("a capability has up to {MAX_CAPABILITY} letters, digits, `-`, `_`, `.`, `:` and `/`"))
}

fn check_name(text: &str) -> Result<(), String> {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if starts && text.len() <= MAX_NAME && text.chars().all(inner) {
        return Ok(());
    }
    Err(format!("it must have 1 to {MAX_NAME} letters, digits, `-`, `_` or `.`, and begin with a letter or digit"))
}

/// The first part of the host name, made to fit; `node` where there is none.
fn host_name() -> String {
    let host = sysinfo::System::host_name().unwrap_or_default();
    let first = host.split('.').next().unwrap_or_default();
    let kept: String = first.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(MAX_NAME).collect();
    let kept = kept.trim_start_matches('-');
    if kept.is_empty() { "node".to_owned() } else { kept.to_owned() }
}

fn invalid(name: &'static str, value: &str, place: &Origin, reason: String) -> ConfigError {
    let secret = table::find(name).is_some_and(Spec::is_secret);
    let value = if secret { HIDDEN.to_owned() } else { value.to_owned() };
    ConfigError::Invalid { name, value, place: place.clone(), reason }
}

/// For an error about two settings of which at least one is secret.
fn side(name: &'static str, raw: &Raw) -> Box<Side> {
    Box::new(Side { name, value: HIDDEN.to_owned(), place: raw.origin.clone() })
}
