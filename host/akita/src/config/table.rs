//! The one table of settings: name, kind, bounds, default, flag and words. Resolution, `akita config show`,
//! `docs/config.md` and the refusal of unknown names all read it. It parses nothing.

/// Where a default comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultValue {
    /// The value itself, as it would be written in the environment.
    Text(&'static str),
    /// Found out on this machine; the words say how.
    Derived(&'static str),
    /// Not set; the words say what happens then.
    Unset(&'static str),
}

/// What a value may be. Bounds are inclusive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// A node's or cluster's name.
    Name,
    /// A name with the characters of an HTTP header.
    Header,
    /// A whole number.
    Count {
        /// The smallest value taken.
        min: u64,
        /// The largest value taken.
        max: u64,
    },
    /// Seconds; decimals are taken.
    Seconds {
        /// The smallest value taken.
        min: f64,
        /// The largest value taken.
        max: f64,
    },
    /// `true` or `false`.
    Switch,
    /// A file or folder; relative to the working folder, or to the file that names it.
    Path,
    /// An IP address, or `localhost`.
    Address,
    /// `HOST:PORT`.
    HostPort,
    /// A comma list of `HOST:PORT`, or an array in the file.
    HostPorts,
    /// A comma list of tags, or an array in the file.
    Tags,
    /// A comma list of keys, or an array in the file. Never shown.
    Keys,
    /// Text that is never shown.
    Secret,
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// The name; the variable is `AKITA_` and the name, the key in `akita.toml` is the name in lower case.
    pub name: &'static str,
    /// The heading it stands under in the documentation.
    pub section: &'static str,
    /// What a value may be.
    pub kind: Kind,
    /// What it is when nobody sets it.
    pub default: DefaultValue,
    /// The option of `akita start`, if it has one.
    pub flag: Option<&'static str>,
    /// A sentence or two for people.
    pub summary: &'static str,
}

impl Spec {
    /// The environment variable.
    pub fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.name)
    }

    /// The key in `akita.toml`.
    pub fn key(&self) -> String {
        self.name.to_ascii_lowercase()
    }

    /// Whether the value must never be printed.
    pub fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Keys | Kind::Secret)
    }
}

/// What every variable of ours begins with.
pub const VARIABLE_PREFIX: &str = "AKITA_";

/// Variables that begin with [`VARIABLE_PREFIX`] and are no settings of a node: read by the command line, by xtask
/// or by tests. Names without the prefix.
pub const OTHER_VARIABLES: [&str; 5] = ["TARGET_NODE_API", "API_KEY", "CONFIG", "WASM_TOOLCHAIN", "BLESS"];

/// Families of variables that only the project's own tests read. Names without the prefix.
pub const OTHER_FAMILIES: [&str; 1] = ["E2E_"];

/// A day, the longest interval that makes sense for anything that repeats.
const DAY_S: f64 = 86_400.0;

const fn setting(
    section: &'static str,
    name: &'static str,
    kind: Kind,
    default: DefaultValue,
    flag: Option<&'static str>,
    summary: &'static str,
) -> Spec {
    Spec { name, section, kind, default, flag, summary }
}

const fn seconds(min: f64) -> Kind {
    Kind::Seconds { min, max: DAY_S }
}

const fn count(min: u64, max: u64) -> Kind {
    Kind::Count { min, max }
}

use DefaultValue::{Derived, Text, Unset};

/// Every setting, in the order of the documentation.
#[rustfmt::skip]
pub const SETTINGS: &[Spec] = &[
    setting("Node", "DEFAULT_NODE_NAME", Kind::Name, Derived("the host name"), Some("--node-name"),
        "The node's name. For people; the cluster knows a node by its identity."),
    setting("Node", "DATA_DIR", Kind::Path, Derived("`$XDG_DATA_HOME/akita/NODE_NAME`, else `~/.local/share/akita/NODE_NAME`"), Some("--data-dir"),
        "The folder that holds the database, the identity and the cache of compiled plugins. One running node per folder."),
    setting("Node", "SQLITE_DB_FILE", Kind::Path, Derived("`akita.db` in DATA_DIR"), None,
        "The database file with the queue and the ledger."),
    setting("Node", "IDENTITY_PATH", Kind::Path, Derived("`identity` in DATA_DIR"), Some("--identity-path"),
        "The file with the node's Reticulum identity; made at the first start, readable by its owner only."),
    setting("Node", "CAPABILITIES", Kind::Tags, Unset("none"), Some("--capabilities"),
        "Tags that tasks may require of a node, such as `gpu` or `camera`."),
    setting("Node", "RESOURCE_MONITOR_INTERVAL_S", seconds(0.1), Text("10"), None,
        "How often CPU, memory, disk, network and temperature are measured."),
    setting("Node", "SHUTDOWN_GRACE_S", seconds(0.0), Text("30"), None,
        "How long a node that was told to stop lets running tasks finish."),

    setting("Cluster", "DEFAULT_CLUSTER_NAME", Kind::Name, Text("akita"), Some("--cluster-name"),
        "The cluster to found or to join. Nodes of another name are left alone."),
    setting("Cluster", "CLUSTER_KEY", Kind::Secret, Unset("the cluster is open to anybody who can reach it"), None,
        "The secret that a node must hold to be admitted; at least 16 characters. Never sent over the mesh."),
    setting("Cluster", "CLUSTER_KEY_FILE", Kind::Path, Unset("see CLUSTER_KEY"), Some("--cluster-key-file"),
        "A file with the secret, instead of CLUSTER_KEY. White space around it is ignored."),
    setting("Cluster", "NODE_TIMEOUT_S", seconds(3.0), Text("30"), None,
        "A node that is not heard for this long counts as offline, and its tasks are queued again."),
    setting("Cluster", "LEADER_ELECTION_TIMEOUT_S", seconds(0.1), Text("5"), None,
        "How long nodes wait for a leader before they choose another."),
    setting("Cluster", "MAX_VOTERS", count(1, 5), Text("5"), None,
        "How many nodes at most hold the log and elect the leader: 1, 3 or 5. Of three, any one may be lost, of five any two."),
    setting("Cluster", "VOTER_DEAD_AFTER_S", seconds(10.0), Text("600"), None,
        "Silence after which another node takes the place of a voter, if one is there and has the log. Five changes of the leader at least."),
    setting("Cluster", "VOTERS_TIMING", Kind::Choice(&["auto", "lan", "wan", "slow"]), Text("auto"), None,
        "How patient voters are with their leader when this node opens its log to others: auto goes by the round trips."),
    setting("Cluster", "DISCOVERY_INTERVAL_S", seconds(1.0), Text("10"), None,
        "How often a node that has found no other yet announces itself. Not longer than ANNOUNCE_INTERVAL_S."),
    setting("Cluster", "ANNOUNCE_INTERVAL_S", seconds(1.0), Text("60"), None,
        "How often a node announces itself on the mesh. 900 and more suits slow radio links."),

    setting("Mesh", "RNS_CONFIG", Kind::Path, Unset("a running shared instance, or the usual places"), Some("--rns-config"),
        "A Reticulum configuration folder."),
    setting("Mesh", "MESH_LISTEN", Kind::HostPort, Unset("no listener of our own"), Some("--mesh-listen"),
        "Listen here for other nodes, over TCP, without any Reticulum configuration."),
    setting("Mesh", "MESH_PEER", Kind::HostPorts, Unset("none"), Some("--mesh-peer"),
        "Connect to these nodes over TCP, without any Reticulum configuration."),

    setting("API", "DEFAULT_API_HOST", Kind::Address, Text("127.0.0.1"), Some("--api-host"),
        "The address that the HTTP API listens on. Another one than loopback needs VALID_API_KEYS."),
    setting("API", "DEFAULT_API_PORT", count(0, 65_535), Text("8000"), Some("--api-port"),
        "The port of the HTTP API; 0 takes any free one."),
    setting("API", "NO_API_SERVER", Kind::Switch, Text("false"), Some("--no-api-server"),
        "Run without the HTTP API."),
    setting("API", "VALID_API_KEYS", Kind::Keys, Unset("no key is asked for, and only loopback is served"), None,
        "The keys that the API takes."),
    setting("API", "API_KEY_HEADER_NAME", Kind::Header, Text("X-API-Key"), None,
        "The HTTP header that carries the key."),

    setting("Tasks", "SLOTS", count(1, 4_096), Derived("the number of cores"), None,
        "How many tasks the node runs at once."),
    setting("Tasks", "MAX_TASK_QUEUE_SIZE", count(1, 10_000_000), Text("10000"), None,
        "How many tasks may wait or run in the cluster; more are refused until some are done."),
    setting("Tasks", "MAX_TASK_EXECUTION_ATTEMPTS", count(1, 100), Text("3"), None,
        "How often a task is tried before it counts as failed."),
    setting("Tasks", "WORKER_ACK_TIMEOUT_S", seconds(0.1), Text("30"), None,
        "How long a worker may take to acknowledge a task. Shorter than WORKER_PROCESSING_TIMEOUT_S."),
    setting("Tasks", "WORKER_PROCESSING_TIMEOUT_S", seconds(0.1), Text("300"), None,
        "How long a worker may take to answer before the task is given to another."),
    setting("Tasks", "MAX_INPUT_BYTES", count(1, MESSAGE_ROOM), Text("4194304"), None,
        "The largest input that is taken. Fits into TASK_MEMORY_MB."),
    setting("Tasks", "RESULT_RETENTION_S", Kind::Seconds { min: 1.0, max: 3_650.0 * DAY_S }, Text("604800"), None,
        "How long finished tasks and their results are kept (the ledger keeps its rows). A week unless set."),
    setting("Tasks", "RESULT_RETENTION_MAX", count(1, 1_000_000_000), Text("2000000"), None,
        "How many finished tasks are kept at most; the oldest go first."),

    setting("Plugins", "PLUGINS_DIR", Kind::Path, Derived("`plugins` in DATA_DIR"), Some("--plugins"),
        "The folder with the plugins, `*.wasm`."),
    setting("Plugins", "TASK_TIMEOUT_S", seconds(0.01), Text("60"), None,
        "How long one attempt may run in the sandbox. Not longer than WORKER_PROCESSING_TIMEOUT_S."),
    setting("Plugins", "TASK_MEMORY_MB", count(1, 4_096), Text("128"), None,
        "How much memory one attempt may use, in MiB."),
    setting("Plugins", "TASK_OUTPUT_BYTES", count(1, MESSAGE_ROOM), Text("1048576"), None,
        "The largest result that is taken. Fits into TASK_MEMORY_MB."),

    setting("Blobs", "BLOB_MAX_BYTES", count(1, 1 << 30), Text("16777216"), None,
        "The largest blob that is kept or fetched. Fits into BLOB_STORE_BYTES."),
    setting("Blobs", "BLOB_STORE_BYTES", count(0, 1 << 50), Text("1073741824"), None,
        "How much all blobs of the node may take on its disk. Copies of other nodes' blobs make room, the last used stay longest; what was put here stays."),

    setting("Log", "LOG_LEVEL", Kind::Choice(&["error", "warn", "info", "debug", "trace"]), Text("info"), Some("--log-level"),
        "How much the node says. Akita's own lines at this level; those of libraries from `warn` up."),
    setting("Log", "LOG_FORMAT", Kind::Choice(&["text", "json"]), Text("text"), Some("--log-format"),
        "Lines for people, or one JSON object a line."),
];

/// What a task may carry in either direction: one message of the mesh, less what names it.
const MESSAGE_ROOM: u64 = akita_mesh::MAX_BODY as u64 - (64 << 10);

/// The setting of that name, if there is one.
pub fn find(name: &str) -> Option<&'static Spec> {
    SETTINGS.iter().find(|spec| spec.name == name)
}
