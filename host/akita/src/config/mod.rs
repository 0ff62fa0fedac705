//! The settings of a node: options over environment over `.env` over `akita.toml` over defaults. It owns names,
//! bounds and relations, and it is the only module that reads them; the rest of the node gets a finished [`Settings`].

mod docs;
mod error;
mod resolve;
mod source;
mod table;
mod types;
mod validate;
mod values;

#[cfg(test)]
mod tests;

use akita_core::autopilot::Profile;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

pub use docs::markdown;
pub use error::{ConfigError, Side};
pub use resolve::{Entry, Resolved, load};
pub use source::{FILE_NAME, Origin, Overrides, Sources, Variables, nearest};
pub use table::{DefaultValue, Kind, SETTINGS, Spec};
pub use types::{HostPort, LogFormat, Secret};

/// The header that carries an API key unless API_KEY_HEADER_NAME says otherwise.
pub const DEFAULT_API_KEY_HEADER: &str = "X-API-Key";

/// Everything that a node can be told, resolved and checked. Each field names its setting; `docs/config.md` says more.
#[derive(Debug, Clone)]
pub struct Settings {
    /// DEFAULT_NODE_NAME.
    pub node_name: String,
    /// DEFAULT_CLUSTER_NAME.
    pub cluster_name: String,
    /// DATA_DIR, absolute. It need not exist yet.
    pub data_dir: PathBuf,
    /// SQLITE_DB_FILE, absolute.
    pub sqlite_db_file: PathBuf,
    /// IDENTITY_PATH, absolute.
    pub identity_path: PathBuf,
    /// PLUGINS_DIR, absolute. It need not exist.
    pub plugins_dir: PathBuf,
    /// CAPABILITIES, sorted, each once.
    pub capabilities: Vec<String>,
    /// CLUSTER_KEY, or what CLUSTER_KEY_FILE holds. None: the cluster is open.
    pub cluster_key: Option<Secret>,
    /// NODE_TIMEOUT_S.
    pub node_timeout: Duration,
    /// LEADER_ELECTION_TIMEOUT_S.
    pub leader_election_timeout: Duration,
    /// MAX_VOTERS.
    pub max_voters: usize,
    /// VOTER_DEAD_AFTER_S.
    pub voter_dead_after: Duration,
    /// VOTERS_TIMING; nothing: by the round trips.
    pub voters_timing: Option<Profile>,
    /// DISCOVERY_INTERVAL_S: announces of a node that has found no other yet.
    pub discovery_interval: Duration,
    /// ANNOUNCE_INTERVAL_S.
    pub announce_interval: Duration,
    /// RNS_CONFIG, absolute: a Reticulum configuration folder.
    pub rns_config: Option<PathBuf>,
    /// MESH_LISTEN.
    pub mesh_listen: Option<HostPort>,
    /// MESH_PEER.
    pub mesh_peers: Vec<HostPort>,
    /// DEFAULT_API_HOST.
    pub api_host: IpAddr,
    /// DEFAULT_API_PORT; 0 takes a free one.
    pub api_port: u16,
    /// NO_API_SERVER, turned round.
    pub api_server: bool,
    /// VALID_API_KEYS; none: no key is asked for.
    pub valid_api_keys: Vec<Secret>,
    /// API_KEY_HEADER_NAME.
    pub api_key_header_name: String,
    /// SLOTS: tasks at once.
    pub slots: usize,
    /// MAX_TASK_QUEUE_SIZE: unfinished tasks.
    pub max_task_queue_size: usize,
    /// MAX_TASK_EXECUTION_ATTEMPTS.
    pub max_task_execution_attempts: u32,
    /// WORKER_ACK_TIMEOUT_S.
    pub worker_ack_timeout: Duration,
    /// WORKER_PROCESSING_TIMEOUT_S.
    pub worker_processing_timeout: Duration,
    /// TASK_TIMEOUT_S: one attempt in the sandbox.
    pub task_timeout: Duration,
    /// TASK_MEMORY_MB, in bytes.
    pub task_memory_bytes: usize,
    /// TASK_OUTPUT_BYTES.
    pub task_output_bytes: usize,
    /// MAX_INPUT_BYTES.
    pub max_input_bytes: usize,
    /// BLOB_MAX_BYTES.
    pub blob_max_bytes: u64,
    /// BLOB_STORE_BYTES.
    pub blob_store_bytes: u64,
    /// RESULT_RETENTION_S.
    pub result_retention: Duration,
    /// RESULT_RETENTION_MAX: finished tasks.
    pub result_retention_max: u64,
    /// RESOURCE_MONITOR_INTERVAL_S.
    pub resource_monitor_interval: Duration,
    /// SHUTDOWN_GRACE_S.
    pub shutdown_grace: Duration,
    /// LOG_LEVEL.
    pub log_level: tracing::Level,
    /// LOG_FORMAT.
    pub log_format: LogFormat,
}

impl Settings {
    /// Settings for a test: the defaults in `data_dir`, a fixed name, two slots, and any free API port on loopback.
    ///
    /// # Panics
    /// When the table of defaults contradicts itself, which a unit test excludes.
    pub fn for_test(data_dir: impl Into<PathBuf>) -> Self {
        let data_dir = data_dir.into();
        let mut flags = Overrides::default();
        flags.set("DATA_DIR", "--data-dir", data_dir.to_string_lossy());
        flags.set("DEFAULT_NODE_NAME", "--node-name", "test-node");
        flags.set("DEFAULT_API_PORT", "--api-port", "0");
        flags.set("SLOTS", "SLOTS", "2");
        // The folder that holds neither `.env` nor `akita.toml`: a test must not depend on where it runs.
        let sources = Sources { flags, file: None, cwd: data_dir, env: Default::default() };
        let mut settings = load(&sources).expect("the defaults are valid").settings;
        settings.api_host = IpAddr::V4(Ipv4Addr::LOCALHOST);
        settings
    }
}
