//! Reads the places that settings come from into plain text values with their origin. It knows names, not meanings.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::table::{self, OTHER_FAMILIES, OTHER_VARIABLES, SETTINGS, Spec, VARIABLE_PREFIX};

/// The name of the settings file where none is given.
pub const FILE_NAME: &str = "akita.toml";

/// How alike (0 to 1, Jaro-Winkler) a known name must be to be offered in place of an unknown one.
const NEAR: f64 = 0.85;

/// Where a value was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// An option of the command line.
    Flag(&'static str),
    /// A variable of the real environment.
    Environment(String),
    /// A line of a file, from 1: `.env` or `akita.toml`.
    Line(PathBuf, usize),
    /// Nobody set it.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "option {flag}"),
            Self::Environment(variable) => write!(f, "environment, {variable}"),
            Self::Line(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value as text, where it was set, and the folder that a relative path in it starts from.
#[derive(Debug, Clone)]
pub struct Raw {
    /// The text; lists are joined by commas.
    pub text: String,
    /// Where it was set.
    pub origin: Origin,
    /// What a relative path is relative to.
    pub base: PathBuf,
}

/// Values by the setting's name.
pub type Layer = BTreeMap<&'static str, Raw>;

/// Everything that settings are read from. Nothing else is looked at, so a test says all of it.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// From the command line.
    pub flags: Overrides,
    /// The file named by `--config`.
    pub file: Option<PathBuf>,
    /// The working folder.
    pub cwd: PathBuf,
    /// The real environment.
    pub env: BTreeMap<String, String>,
}

impl Sources {
    /// The sources of this process.
    pub fn of_process(flags: Overrides, file: Option<PathBuf>) -> Self {
        let env = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self { flags, file, cwd: std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")), env }
    }
}

/// What the options of the command line say: setting, option, value.
#[derive(Debug, Clone, Default)]
pub struct Overrides(Vec<(&'static str, &'static str, String)>);

impl Overrides {
    /// Sets the setting `name`, as told by the option `flag`.
    pub fn set(&mut self, name: &'static str, flag: &'static str, value: impl Into<String>) {
        debug_assert!(table::find(name).is_some(), "no setting {name}");
        self.0.push((name, flag, value.into()));
    }

    pub(super) fn layer(&self, cwd: &Path) -> Layer {
        let raw = |flag, text: &str| Raw { text: text.to_owned(), origin: Origin::Flag(flag), base: cwd.to_owned() };
        self.0.iter().map(|(name, flag, text)| (*name, raw(flag, text))).collect()
    }
}

/// The variables of `.env` and of the real environment, the latter first: a real one is never overridden.
#[derive(Debug, Default)]
pub struct Variables(BTreeMap<String, (String, Origin)>);

impl Variables {
    /// Reads `.env` in `cwd`, if there is one, under `env`. An empty value counts as not set.
    ///
    /// # Errors
    /// When `.env` is there and cannot be read or parsed.
    pub fn read(cwd: &Path, env: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let mut all = BTreeMap::new();
        for (name, value) in env {
            all.insert(name.clone(), (value.clone(), Origin::Environment(name.clone())));
        }
        for (name, value, origin) in read_dotenv(&cwd.join(".env"))? {
            all.entry(name).or_insert((value, origin));
        }
        all.retain(|name, (value, _)| name.starts_with(VARIABLE_PREFIX) && !value.is_empty());
        Ok(Self(all))
    }

    /// The value of a variable, named with its prefix.
    pub fn get(&self, variable: &str) -> Option<&str> {
        self.0.get(variable).map(|(value, _)| value.as_str())
    }

    /// The settings among the variables.
    pub(super) fn layer(&self, cwd: &Path) -> Result<Layer, ConfigError> {
        let mut layer = Layer::new();
        for (variable, (text, origin)) in &self.0 {
            let name = &variable[VARIABLE_PREFIX.len()..];
            if let Some(spec) = table::find(name) {
                let raw = Raw { text: text.clone(), origin: origin.clone(), base: cwd.to_owned() };
                layer.insert(spec.name, raw);
            } else if !OTHER_VARIABLES.contains(&name) && !OTHER_FAMILIES.iter().any(|f| name.starts_with(f)) {
                let known = SETTINGS.iter().map(Spec::variable);
                let known = known.chain(OTHER_VARIABLES.iter().map(|other| format!("{VARIABLE_PREFIX}{other}")));
                let near = nearest(variable, known);
                return Err(ConfigError::Unknown { key: variable.clone(), place: origin.clone(), near });
            }
        }
        Ok(layer)
    }
}

fn read_dotenv(path: &Path) -> Result<Vec<(String, String, Origin)>, ConfigError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(ConfigError::Read { path: path.to_owned(), source }),
    };
    let mut values = Vec::new();
    for item in dotenvy::from_read_iter(text.as_bytes()) {
        let (name, value) = item.map_err(|error| {
            let bad = match &error {
                dotenvy::Error::LineParse(bad, _) => text.lines().position(|line| line.trim() == bad.trim()),
                _ => None,
            };
            let reason = "this is not `NAME=value`".to_owned();
            ConfigError::Syntax { path: path.to_owned(), line: bad.unwrap_or(0) + 1, reason }
        })?;
        let line = text.lines().position(|line| assigns(line, &name)).unwrap_or(0) + 1;
        values.push((name, value, Origin::Line(path.to_owned(), line)));
    }
    Ok(values)
}

/// Whether a line of a `.env` file gives `name` a value.
fn assigns(line: &str, name: &str) -> bool {
    let line = line.trim_start();
    let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
    line.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('='))
}

/// Reads a settings file.
pub(super) fn read_toml(path: &Path) -> Result<Layer, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    let line_of = |offset: usize| text[..offset.min(text.len())].matches('\n').count() + 1;
    let syntax = |offset, reason| ConfigError::Syntax { path: path.to_owned(), line: line_of(offset), reason };
    let table = DeTable::parse(&text)
        .map_err(|error| syntax(error.span().map_or(0, |span| span.start), error.message().to_owned()))?;
    let base = path.parent().unwrap_or(Path::new(".")).to_owned();
    let mut layer = Layer::new();
    for (key, value) in table.get_ref() {
        let offset = key.span().start;
        let origin = Origin::Line(path.to_owned(), line_of(offset));
        let written = key.get_ref().as_ref();
        let Some(spec) = SETTINGS.iter().find(|spec| spec.key() == written) else {
            let near = nearest(&written.to_ascii_lowercase(), SETTINGS.iter().map(Spec::key));
            return Err(ConfigError::Unknown { key: written.to_owned(), place: origin, near });
        };
        let text = toml_text(value.get_ref())
            .ok_or_else(|| syntax(offset, format!("{written} cannot be a {}", value.get_ref().type_str())))?;
        layer.insert(spec.name, Raw { text, origin, base: base.clone() });
    }
    Ok(layer)
}

/// A value as it would be written in the environment; nothing for tables and dates, which no setting takes.
fn toml_text(value: &DeValue<'_>) -> Option<String> {
    Some(match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok()?.to_string(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(switch) => switch.to_string(),
        DeValue::Array(items) => {
            let items: Option<Vec<_>> = items.iter().map(|item| toml_text(item.get_ref())).collect();
            items?.join(",")
        }
        DeValue::Table(_) | DeValue::Datetime(_) => return None,
    })
}

/// The known name most like the unknown one, if one is like it at all.
pub fn nearest(unknown: &str, known: impl Iterator<Item = String>) -> Option<String> {
    known
        .map(|name| (strsim::jaro_winkler(unknown, &name), name))
        .filter(|(likeness, _)| *likeness >= NEAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}
