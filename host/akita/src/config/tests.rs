//! Precedence, refusals and masking, each from a complete set of sources.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use super::table::{self, DefaultValue};
use super::*;

/// A working folder with files, options and an environment that has a home and nothing else.
struct Bench {
    dir: tempfile::TempDir,
    sources: Sources,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let cwd = dir.path().to_owned();
        let env = [("HOME".to_owned(), cwd.join("home").to_string_lossy().into_owned())].into();
        Self { sources: Sources { cwd, env, ..Sources::default() }, dir }
    }

    fn file(self, name: &str, text: &str) -> Self {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("it is inside a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.sources.env.insert(name.into(), value.into());
        self
    }

    fn flag(mut self, name: &'static str, flag: &'static str, value: &str) -> Self {
        self.sources.flags.set(name, flag, value);
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn load(&self) -> Resolved {
        load(&self.sources).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The refusal, with the temporary folder written as `DIR`.
    fn refusal(&self) -> String {
        let error = load(&self.sources).expect_err("it must be refused");
        let dir = self.dir.path().to_string_lossy().into_owned();
        format!("{error}\n{}", error.hint()).replace(&dir, "DIR")
    }

    fn origin(&self, name: &str) -> String {
        let entries = self.load().entries;
        let entry = entries.iter().find(|entry| entry.spec.name == name).expect("it is in the table");
        entry.origin.to_string().replace(&*self.dir.path().to_string_lossy(), "DIR")
    }
}

#[test]
fn without_anything_the_defaults_hold() {
    let bench = Bench::new().flag("DEFAULT_NODE_NAME", "--node-name", "ridge-1");
    let Resolved { settings, entries, file } = bench.load();
    assert_eq!(settings.data_dir, bench.path("home/.local/share/akita/ridge-1"));
    assert_eq!(settings.sqlite_db_file, settings.data_dir.join("akita.db"));
    assert_eq!(settings.cluster_name, "akita");
    assert_eq!((settings.api_host.to_string().as_str(), settings.api_port), ("127.0.0.1", 8000));
    assert_eq!(settings.worker_processing_timeout, Duration::from_secs(300));
    assert_eq!(settings.result_retention, Duration::from_secs(7 * 24 * 3600));
    assert_eq!(settings.task_memory_bytes, 128 << 20);
    assert!(settings.api_server && settings.slots > 0 && settings.cluster_key.is_none() && file.is_none());
    assert_eq!(entries.len(), SETTINGS.len());
}

#[test]
fn a_data_home_is_used_where_there_is_one() {
    let bench = Bench::new().flag("DEFAULT_NODE_NAME", "--node-name", "n").env("XDG_DATA_HOME", "/var/xdg");
    assert_eq!(bench.load().settings.data_dir, Path::new("/var/xdg/akita/n"));
}

#[test]
fn options_beat_environment_beats_dotenv_beats_file_beats_default() {
    let bench = Bench::new()
        .file("akita.toml", "# first\nworker_ack_timeout_s = 1\nslots = 5\nnode_timeout_s = 6\ndefault_api_port = 7\n")
        .file(".env", "OTHER=x\nAKITA_WORKER_ACK_TIMEOUT_S=2\nexport AKITA_SLOTS=\"15\"\nAKITA_NODE_TIMEOUT_S=16\n")
        .env("AKITA_WORKER_ACK_TIMEOUT_S", "3")
        .env("AKITA_SLOTS", "25")
        .flag("SLOTS", "--slots", "35");
    let settings = bench.load().settings;
    assert_eq!(settings.slots, 35);
    assert_eq!(settings.worker_ack_timeout, Duration::from_secs(3));
    assert_eq!(settings.node_timeout, Duration::from_secs(16));
    assert_eq!(settings.api_port, 7);
    assert_eq!(bench.origin("SLOTS"), "option --slots");
    assert_eq!(bench.origin("WORKER_ACK_TIMEOUT_S"), "environment, AKITA_WORKER_ACK_TIMEOUT_S");
    assert_eq!(bench.origin("NODE_TIMEOUT_S"), "DIR/.env:4");
    assert_eq!(bench.origin("DEFAULT_API_PORT"), "DIR/akita.toml:5");
    assert_eq!(bench.origin("LOG_LEVEL"), "default");
}

#[test]
fn the_settings_file_is_the_named_one_then_here_then_in_the_data_folder() {
    let bench = Bench::new()
        .file("named.toml", "slots = 1")
        .file("akita.toml", "slots = 2")
        .file("data/akita.toml", "slots = 3")
        .env("AKITA_DATA_DIR", "data");
    assert_eq!(bench.load().settings.slots, 2);

    std::fs::remove_file(bench.path("akita.toml")).expect("it is there");
    let there = bench.load();
    assert_eq!((there.settings.slots, there.file), (3, Some(bench.path("data/akita.toml"))));
    assert_eq!(there.settings.data_dir, bench.path("data"));

    let bench = bench.env("AKITA_CONFIG", "named.toml");
    assert_eq!(bench.load().settings.slots, 1);

    let missing = Bench::new().env("AKITA_CONFIG", "none.toml").refusal();
    assert!(missing.starts_with("cannot read DIR/none.toml: "), "{missing}");
}

#[test]
fn the_file_in_the_data_folder_cannot_move_it_nor_can_its_node_name() {
    let bench = Bench::new().file("data/akita.toml", "data_dir = \"x\"").env("AKITA_DATA_DIR", "data");
    assert!(bench.refusal().starts_with("DATA_DIR cannot be `x` (DIR/data/akita.toml:1): the file inside"));

    let bench = Bench::new()
        .flag("DEFAULT_NODE_NAME", "--node-name", "a")
        .file("home/.local/share/akita/a/akita.toml", "default_node_name = \"b\"\nslots = 9");
    let settings = bench.load().settings;
    assert_eq!(settings.node_name, "a");
    assert_eq!((settings.slots, settings.data_dir), (9, bench.path("home/.local/share/akita/a")));
}

#[test]
fn paths_are_relative_to_where_they_are_written() {
    let bench = Bench::new()
        .file("etc/n.toml", "plugins_dir = \"plugins\"\nidentity_path = \"~/id\"\nrns_config = \"/etc/rns\"")
        .env("AKITA_CONFIG", "etc/n.toml")
        .env("AKITA_DATA_DIR", "data");
    let settings = bench.load().settings;
    assert_eq!(settings.plugins_dir, bench.path("etc/plugins"));
    assert_eq!(settings.data_dir, bench.path("data"));
    assert_eq!(settings.identity_path, bench.path("home/id"));
    assert_eq!(settings.rns_config.as_deref(), Some(Path::new("/etc/rns")));
}

#[test]
fn lists_come_as_commas_or_arrays() {
    let bench = Bench::new()
        .file("akita.toml", "mesh_peer = [\"10.0.0.7:4242\", \"[fe80::1]:4242\"]\ncapabilities = [\"gpu\", \"camera\"]")
        .env("AKITA_VALID_API_KEYS", "[\"one\", \"two\"]");
    let settings = bench.load().settings;
    assert_eq!(settings.capabilities, ["camera", "gpu"]);
    let peers: Vec<_> = settings.mesh_peers.iter().map(ToString::to_string).collect();
    assert_eq!(peers, ["10.0.0.7:4242", "[fe80::1]:4242"]);
    assert_eq!(settings.valid_api_keys, [Secret::new("one"), Secret::new("two")]);

    let bench = Bench::new().env("AKITA_CAPABILITIES", "gpu, camera,,gpu");
    assert_eq!(bench.load().settings.capabilities, ["camera", "gpu"]);
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let bench = Bench::new().env("AKITA_SLOTS", "").file("akita.toml", "slots = 4");
    assert_eq!(bench.load().settings.slots, 4);
}

#[test]
fn unknown_names_are_refused_with_place_and_near_name() {
    let check = |bench: Bench, expect: &str| assert_eq!(bench.refusal(), expect);
    check(
        Bench::new().file("akita.toml", "slots = 1\n\nworker_ack_timout_s = 3\n"),
        "unknown setting worker_ack_timout_s in DIR/akita.toml:3\ndid you mean worker_ack_timeout_s?",
    );
    check(
        Bench::new().file(".env", "AKITA_SLOTS=1\nAKITA_DATADIR=x\n"),
        "unknown setting AKITA_DATADIR in DIR/.env:2\ndid you mean AKITA_DATA_DIR?",
    );
    check(
        Bench::new().env("AKITA_VALID_KEYS", "secret"),
        "unknown setting AKITA_VALID_KEYS in environment, AKITA_VALID_KEYS\ndid you mean AKITA_VALID_API_KEYS?",
    );
    check(
        Bench::new().file("akita.toml", "zzz = 1"),
        "unknown setting zzz in DIR/akita.toml:1\nsee all settings with: akita config show",
    );
}

#[test]
fn variables_of_the_command_line_and_of_tests_are_let_pass() {
    let bench = Bench::new().env("AKITA_TARGET_NODE_API", "http://x").env("AKITA_API_KEY", "k").env("AKITA_E2E_X", "1");
    bench.load();
}

#[test]
fn values_out_of_bounds_are_refused() {
    let check = |name: &str, value: &str, expect: &str| {
        let refusal = Bench::new().env(&format!("AKITA_{name}"), value).refusal();
        let expect = format!("{name} cannot be `{value}` (environment, AKITA_{name}): {expect}");
        assert_eq!(refusal.lines().next(), Some(expect.as_str()));
    };
    check("DEFAULT_API_PORT", "65536", "it must be a whole number from 0 to 65535");
    check("MAX_TASK_QUEUE_SIZE", "0", "it must be a whole number from 1 to 10000000");
    check("SLOTS", "-1", "it must be a whole number from 1 to 4096");
    check("NODE_TIMEOUT_S", "2.9", "it must be a number of seconds from 3 to 86400");
    check("NODE_TIMEOUT_S", "NaN", "it must be a number of seconds from 3 to 86400");
    check("NO_API_SERVER", "maybe", "it must be true or false");
    check("LOG_FORMAT", "xml", "it must be one of: text, json");
    check("DEFAULT_API_HOST", "example.org", "it must be an IP address or `localhost`");
    check("MESH_LISTEN", "4242", "`4242` is not HOST:PORT, such as 192.168.1.5:4242");
    check("MESH_PEER", "::1:4242", "`::1:4242` is not HOST:PORT, such as 192.168.1.5:4242");
    check("MESH_PEER", "host:0", "the port of `host:0` is not a number from 1 to 65535");
    check("API_KEY_HEADER_NAME", "X Key", "an HTTP header has letters, digits, `-` and `_`");
    let name = "it must have 1 to 32 letters, digits, `-`, `_` or `.`, and begin with a letter or digit";
    check("DEFAULT_NODE_NAME", "a b", name);
    check("DEFAULT_CLUSTER_NAME", "a123456789a123456789a123456789a123", name);
    check("CAPABILITIES", "two words", "a capability has up to 64 letters, digits, `-`, `_`, `.`, `:` and `/`");
}

#[test]
fn log_levels_of_akita_genesis_are_understood() {
    let level = |text| Bench::new().env("AKITA_LOG_LEVEL", text).load().settings.log_level;
    assert_eq!(level("WARNING"), tracing::Level::WARN);
    assert_eq!(level("CRITICAL"), tracing::Level::ERROR);
    assert_eq!(level("Debug"), tracing::Level::DEBUG);
}

#[test]
fn relations_name_both_settings() {
    let refusal = Bench::new().env("AKITA_WORKER_ACK_TIMEOUT_S", "300").refusal();
    assert_eq!(
        refusal,
        "WORKER_ACK_TIMEOUT_S (300) must be less than WORKER_PROCESSING_TIMEOUT_S (300); set in: environment, \
         AKITA_WORKER_ACK_TIMEOUT_S, default\nchange WORKER_ACK_TIMEOUT_S or WORKER_PROCESSING_TIMEOUT_S"
    );
    let names = |bench: Bench, first: &str, second: &str| {
        let refusal = bench.refusal();
        assert!(refusal.starts_with(first) && refusal.contains(second), "{refusal}");
    };
    names(Bench::new().env("AKITA_TASK_TIMEOUT_S", "301"), "TASK_TIMEOUT_S (301)", "WORKER_PROCESSING_TIMEOUT_S (300)");
    names(Bench::new().env("AKITA_ANNOUNCE_INTERVAL_S", "5"), "DISCOVERY_INTERVAL_S (10)", "ANNOUNCE_INTERVAL_S (5)");
    names(Bench::new().env("AKITA_TASK_MEMORY_MB", "2"), "MAX_INPUT_BYTES (4194304)", "TASK_MEMORY_MB (2)");
}

#[test]
fn an_api_for_others_needs_keys() {
    let open = Bench::new().env("AKITA_DEFAULT_API_HOST", "0.0.0.0");
    assert_eq!(
        open.refusal(),
        "DEFAULT_API_HOST is 0.0.0.0 (environment, AKITA_DEFAULT_API_HOST), which others can reach, and \
         VALID_API_KEYS is empty\nset AKITA_VALID_API_KEYS to a comma list of keys, or keep the API on 127.0.0.1"
    );
    open.env("AKITA_VALID_API_KEYS", "k1").load();
    Bench::new().env("AKITA_DEFAULT_API_HOST", "0.0.0.0").env("AKITA_NO_API_SERVER", "true").load();
    let local = Bench::new().env("AKITA_DEFAULT_API_HOST", "localhost").load();
    assert!(local.settings.api_host.is_loopback());
}

#[test]
fn the_cluster_key_is_read_checked_and_never_shown() {
    let key = "correct-horse-battery";
    let bench = Bench::new().file("key", &format!("{key}\n")).env("AKITA_CLUSTER_KEY_FILE", "key");
    let resolved = bench.load();
    assert_eq!(resolved.settings.cluster_key.as_ref().map(Secret::expose), Some(key));
    assert!(!format!("{resolved:?}").contains(key));

    let bench = Bench::new().env("AKITA_CLUSTER_KEY", key).env("AKITA_VALID_API_KEYS", "secret-1");
    let resolved = bench.load();
    let shown: Vec<_> = resolved.entries.iter().filter(|e| e.spec.is_secret()).map(|e| e.shown.as_deref()).collect();
    let print = akita_core::KeyPrint::of("secret-1").to_string();
    assert_eq!(shown, [Some("(set)"), Some(print.as_str())]);
    assert!(!format!("{:?}", resolved.settings).contains("secret-1"));

    let short = Bench::new().env("AKITA_CLUSTER_KEY", "hunter2").refusal();
    assert!(short.contains("at least 16 characters") && !short.contains("hunter2"), "{short}");
    let both = Bench::new().file("key", key).env("AKITA_CLUSTER_KEY_FILE", "key").env("AKITA_CLUSTER_KEY", key);
    assert!(both.refusal().starts_with("CLUSTER_KEY (environment, AKITA_CLUSTER_KEY) and CLUSTER_KEY_FILE"));
}

#[test]
fn files_that_do_not_parse_are_named_with_the_line() {
    let refusal = Bench::new().file("akita.toml", "slots = 1\nslots = 2\n").refusal();
    assert!(refusal.starts_with("DIR/akita.toml:2: "), "{refusal}");
    let refusal = Bench::new().file("akita.toml", "slots = 1\n[mesh]\npeer = 2\n").refusal();
    assert!(refusal.starts_with("unknown setting mesh in DIR/akita.toml:2"), "{refusal}");
    let refusal = Bench::new().file("akita.toml", "slots = { a = 1 }\n").refusal();
    assert!(refusal.starts_with("DIR/akita.toml:1: slots cannot be a table"), "{refusal}");
    let refusal = Bench::new().file(".env", "A=1\nthis is no assignment\n").refusal();
    assert!(refusal.starts_with("DIR/.env:2: this is not `NAME=value`"), "{refusal}");
}

#[test]
fn nowhere_to_keep_data_is_an_error_with_a_way_out() {
    let mut bench = Bench::new();
    bench.sources.env.clear();
    assert!(bench.refusal().ends_with("give a folder with --data-dir"));
    bench.flag("DATA_DIR", "--data-dir", "/srv/akita").load();
}

#[test]
fn the_table_is_consistent() {
    let names: HashSet<_> = SETTINGS.iter().map(|spec| spec.name).collect();
    assert_eq!(names.len(), SETTINGS.len(), "each name once");
    for spec in SETTINGS {
        assert!(table::find(spec.name).is_some());
        assert!(!spec.is_secret() || !matches!(spec.default, DefaultValue::Text(_)), "no secret has a default");
    }
}

#[test]
fn test_settings_do_not_depend_on_the_machine() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let settings = Settings::for_test(dir.path());
    assert_eq!((settings.data_dir.as_path(), settings.slots, settings.api_port), (dir.path(), 2, 0));
    assert!(settings.api_host.is_loopback());
}
