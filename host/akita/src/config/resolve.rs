//! Puts the layers together: finds the settings file, lets the first layer that sets a value win, and fills in
//! [`Settings`].

use akita_core::autopilot::Profile;
use std::path::{Path, PathBuf};

use akita_core::KeyPrint;

use super::error::ConfigError;
use super::source::{FILE_NAME, Origin, Sources, Variables, read_toml};
use super::table::{Kind, SETTINGS, Spec};
use super::types::{HostPort, LogFormat, Secret};
use super::values::{HIDDEN, Values};
use super::{Settings, validate};

/// The settings, and where each came from.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// What the node runs with.
    pub settings: Settings,
    /// Every setting in the order of the table.
    pub entries: Vec<Entry>,
    /// The settings file that was read.
    pub file: Option<PathBuf>,
}

/// One setting as it is in force.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Which one.
    pub spec: &'static Spec,
    /// The value as text; of an API key its fingerprint, of another secret `(set)`; none: not set.
    pub shown: Option<String>,
    /// Where it was set.
    pub origin: Origin,
}

/// Resolves and checks all settings.
///
/// # Errors
/// When a name is unknown, a value is refused, a relation does not hold, or a file cannot be read.
pub fn load(sources: &Sources) -> Result<Resolved, ConfigError> {
    let cwd = std::path::absolute(&sources.cwd).unwrap_or_else(|_| sources.cwd.clone());
    let variables = Variables::read(&cwd, &sources.env)?;
    let mut upper = variables.layer(&cwd)?;
    upper.extend(sources.flags.layer(&cwd));
    let mut values = Values { set: upper, sources, cwd: cwd.clone() };

    let file = find_file(sources, &variables, &cwd, &values)?;
    if let Some((path, in_data_dir)) = &file {
        let mut lower = read_toml(path)?;
        if *in_data_dir {
            values.pin_data_dir(&mut lower)?;
        }
        lower.append(&mut values.set);
        values.set = lower;
    }
    let settings = values.settings()?;
    let entries = values.entries(&settings);
    validate::check(&settings, &entries)?;
    Ok(Resolved { settings, entries, file: file.map(|(path, _)| path) })
}

/// The settings file: the one that was named, else the one of the working folder, else the one of the data folder.
/// The flag says that it is the last.
fn find_file(
    sources: &Sources,
    variables: &Variables,
    cwd: &Path,
    values: &Values<'_>,
) -> Result<Option<(PathBuf, bool)>, ConfigError> {
    let named = sources.file.clone().or_else(|| variables.get("AKITA_CONFIG").map(PathBuf::from));
    if let Some(path) = named {
        return Ok(Some((cwd.join(path), false)));
    }
    let here = cwd.join(FILE_NAME);
    if here.is_file() {
        return Ok(Some((here, false)));
    }
    // Without a home folder there is no data folder to look in; whether that is an error is decided later.
    let there = values.data_dir().ok().map(|dir| dir.join(FILE_NAME));
    Ok(there.filter(|path| path.is_file()).map(|path| (path, true)))
}

impl Values<'_> {
    fn settings(&self) -> Result<Settings, ConfigError> {
        let data_dir = self.data_dir()?;
        let listen = self.text("MESH_LISTEN");
        let (peers, peers_at) = self.items("MESH_PEER");
        let keys = self.items("VALID_API_KEYS").0;
        Ok(Settings {
            node_name: self.name("DEFAULT_NODE_NAME")?,
            cluster_name: self.name("DEFAULT_CLUSTER_NAME")?,
            sqlite_db_file: self.path_or("SQLITE_DB_FILE", || data_dir.join("akita.db")),
            identity_path: self.path_or("IDENTITY_PATH", || data_dir.join("identity")),
            plugins_dir: self.path_or("PLUGINS_DIR", || data_dir.join("plugins")),
            data_dir,
            capabilities: self.capabilities()?,
            cluster_key: self.cluster_key()?,
            node_timeout: self.seconds("NODE_TIMEOUT_S")?,
            leader_election_timeout: self.seconds("LEADER_ELECTION_TIMEOUT_S")?,
            max_voters: self.count("MAX_VOTERS")?,
            voter_dead_after: self.seconds("VOTER_DEAD_AFTER_S")?,
            voters_timing: {
                let word = self.choice("VOTERS_TIMING")?;
                [Profile::Lan, Profile::Wan, Profile::Slow].into_iter().find(|profile| profile.as_str() == word)
            },
            discovery_interval: self.seconds("DISCOVERY_INTERVAL_S")?,
            announce_interval: self.seconds("ANNOUNCE_INTERVAL_S")?,
            rns_config: self.path("RNS_CONFIG"),
            mesh_listen: listen.map(|(text, at)| self.parsed("MESH_LISTEN", &text, &at)).transpose()?,
            mesh_peers: peers
                .iter()
                .map(|peer| self.parsed::<HostPort>("MESH_PEER", peer, &peers_at))
                .collect::<Result<_, _>>()?,
            api_host: self.api_host()?,
            api_port: self.count("DEFAULT_API_PORT")?,
            api_server: !self.switch("NO_API_SERVER")?,
            valid_api_keys: keys.into_iter().map(Secret::new).collect(),
            api_key_header_name: self.api_key_header()?,
            slots: self.slots()?,
            max_task_queue_size: self.count("MAX_TASK_QUEUE_SIZE")?,
            max_task_execution_attempts: self.count("MAX_TASK_EXECUTION_ATTEMPTS")?,
            worker_ack_timeout: self.seconds("WORKER_ACK_TIMEOUT_S")?,
            worker_processing_timeout: self.seconds("WORKER_PROCESSING_TIMEOUT_S")?,
            task_timeout: self.seconds("TASK_TIMEOUT_S")?,
            task_memory_bytes: self.count::<usize>("TASK_MEMORY_MB")? << 20,
            task_output_bytes: self.count("TASK_OUTPUT_BYTES")?,
            max_input_bytes: self.count("MAX_INPUT_BYTES")?,
            blob_max_bytes: self.count("BLOB_MAX_BYTES")?,
            blob_store_bytes: self.count("BLOB_STORE_BYTES")?,
            result_retention: self.seconds("RESULT_RETENTION_S")?,
            result_retention_max: self.count("RESULT_RETENTION_MAX")?,
            resource_monitor_interval: self.seconds("RESOURCE_MONITOR_INTERVAL_S")?,
            shutdown_grace: self.seconds("SHUTDOWN_GRACE_S")?,
            log_level: self.choice("LOG_LEVEL")?.parse().expect("the table lists tracing's levels"),
            log_format: if self.choice("LOG_FORMAT")? == "json" { LogFormat::Json } else { LogFormat::Text },
        })
    }

    /// What `akita config show` prints. A value that the machine gave is shown as it came out.
    fn entries(&self, settings: &Settings) -> Vec<Entry> {
        let path = |path: &Path| Some(path.display().to_string());
        let entry = |spec: &'static Spec| {
            let text = self.text(spec.name);
            let origin = text.as_ref().map_or(Origin::Default, |(_, origin)| origin.clone());
            let shown = match spec.name {
                "VALID_API_KEYS" => prints(&settings.valid_api_keys),
                _ if spec.is_secret() => text.map(|_| HIDDEN.to_owned()),
                "DEFAULT_NODE_NAME" => Some(settings.node_name.clone()),
                "DATA_DIR" => path(&settings.data_dir),
                "SQLITE_DB_FILE" => path(&settings.sqlite_db_file),
                "IDENTITY_PATH" => path(&settings.identity_path),
                "PLUGINS_DIR" => path(&settings.plugins_dir),
                "SLOTS" => Some(settings.slots.to_string()),
                _ if spec.kind == Kind::Path => self.path(spec.name).and_then(|it| path(&it)),
                _ => text.map(|(text, _)| text),
            };
            Entry { spec, shown, origin }
        };
        SETTINGS.iter().map(entry).collect()
    }
}

/// What stands for the keys: grants and tasks name them so.
fn prints(keys: &[Secret]) -> Option<String> {
    let prints: Vec<_> = keys.iter().map(|key| KeyPrint::of(key.expose()).to_string()).collect();
    (!prints.is_empty()).then(|| prints.join(", "))
}
