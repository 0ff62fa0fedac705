//! What can be wrong with the settings, in words that name the setting and the place.

use std::path::PathBuf;

use super::source::Origin;

/// One of two settings that do not fit together.
#[derive(Debug)]
pub struct Side {
    /// The setting.
    pub name: &'static str,
    /// Its value, masked if it is secret.
    pub value: String,
    /// Where it was set.
    pub place: Origin,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A name that is no setting.
    #[error("unknown setting {key} in {place}")]
    Unknown {
        /// The name as written.
        key: String,
        /// Where it stands.
        place: Origin,
        /// A known name that looks like it, written as that place writes names.
        near: Option<String>,
    },
    /// A value that the setting does not take.
    #[error("{name} cannot be `{value}` ({place}): {reason}")]
    Invalid {
        /// The setting.
        name: &'static str,
        /// The value, masked if it is secret.
        value: String,
        /// Where it was set.
        place: Origin,
        /// What it must be.
        reason: String,
    },
    /// Two settings that do not fit together.
    #[error("{} ({}) {relation} {} ({}); set in: {}, {}", first.name, first.value, second.name, second.value, first.place, second.place)]
    Relation {
        /// The setting that is off.
        first: Box<Side>,
        /// What must hold, such as `must be less than`.
        relation: &'static str,
        /// The setting it is measured against.
        second: Box<Side>,
    },
    /// The API would be open to the network without a key.
    #[error("DEFAULT_API_HOST is {host} ({place}), which others can reach, and VALID_API_KEYS is empty")]
    OpenApi {
        /// The address.
        host: String,
        /// Where it was set.
        place: Origin,
    },
    /// Two settings of which only one may be set.
    #[error("{} ({}) and {} ({}) are both set; only one may be", first.name, first.place, second.name, second.place)]
    Both {
        /// One setting.
        first: Box<Side>,
        /// The other.
        second: Box<Side>,
    },
    /// A file that does not parse.
    #[error("{}:{line}: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The parser's words.
        reason: String,
    },
    /// A file that cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// No folder for data can be guessed.
    #[error("there is no home folder to keep data in: neither DATA_DIR nor XDG_DATA_HOME nor HOME is set")]
    NoHome,
}

impl ConfigError {
    /// The next step.
    pub fn hint(&self) -> String {
        match self {
            Self::Unknown { near: Some(near), .. } => format!("did you mean {near}?"),
            Self::Unknown { .. } => "see all settings with: akita config show".into(),
            Self::Invalid { name, .. } => format!("{name} is described in docs/config.md"),
            Self::Relation { first, second, .. } => format!("change {} or {}", first.name, second.name),
            Self::OpenApi { .. } => {
                "set AKITA_VALID_API_KEYS to a comma list of keys, or keep the API on 127.0.0.1".into()
            }
            Self::Both { first, .. } => format!("remove {}", first.name),
            Self::Syntax { .. } => "settings are written as `key = value`, one a line".into(),
            Self::Read { .. } => "check that the file exists and that you may read it".into(),
            Self::NoHome => "give a folder with --data-dir".into(),
        }
    }
}
