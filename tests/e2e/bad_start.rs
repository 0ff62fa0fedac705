//! What can be wrong before a node runs: said in words that help, with exit code 3, and nothing is harmed.

use std::{fs, net::TcpListener, path::Path};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::{
    harness::{Out, Spec, text},
    prepare::{free_address, plugins},
};

/// It must not have started, and must say why and what to do.
#[track_caller]
fn refused(out: Out, words: &[&str]) {
    let out = out.expect(3);
    for word in words.iter().chain(&["error:", "hint:"]) {
        assert!(out.stderr.contains(word), "`{word}` is missing in:\n{}", out.stderr);
    }
    assert!(!out.stderr.contains("the node is running"));
}

#[test]
fn files_that_are_no_plugins_are_listed_with_the_reason_and_the_others_work() {
    let folder = tempfile::tempdir().expect("a folder");
    let put = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).expect("written");
    let good = fs::read(plugins().join("basics.wasm")).expect("a plugin");
    put("basics.wasm", &good);
    put("text.wasm", b"this is no component");
    put("empty.wasm", b"");
    put("cut.wasm", &good[..good.len() / 2]);
    put("core-module.wasm", b"\0asm\x01\0\0\0");
    // A component that exports nothing: of no world of ours.
    put("empty-component.wasm", b"\0asm\x0d\0\x01\0");
    put("notes.txt", b"not looked at");
    let node = Spec::alone("chooses").plugins(folder.path()).start();
    let list = node.get("/plugins");
    let plugins = list["plugins"].as_array().expect("plugins");
    assert_eq!(plugins.len(), 6, "{list:#}");
    for plugin in plugins {
        let file = text(&plugin["file"]);
        if file == "basics.wasm" {
            assert_eq!(plugin["status"], "ready");
        } else {
            assert_eq!(plugin["status"], "rejected", "{plugin:#}");
            assert!(text(&plugin["reason"]).len() > 20, "{plugin:#}");
        }
    }
    let shown = node.cli(&["plugin", "list"]).expect(0).stdout;
    assert!(shown.contains("rejected") && shown.contains("core-module"), "{shown}");
    node.cli(&["plugin", "inspect", &folder.path().join("text.wasm").to_string_lossy()]).expect(3);
    let id = node.submit(&json!({"action": "echo"}));
    node.completed(&id);
}

#[test]
fn a_busy_api_port_is_said_and_nothing_is_touched() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port();
    refused(Spec::alone("busy").api_port(port).start_in_vain(), &[&port.to_string(), "taken", "--api-port"]);
}

#[test]
fn a_busy_mesh_port_is_said() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    refused(Spec::new("busy").arg("--mesh-listen", &address).start_in_vain(), &[&address]);
}

#[test]
fn two_nodes_on_one_data_directory_do_not_start() {
    let node = Spec::alone("first").start();
    let pid = node.pid().to_string();
    refused(Spec::alone("second").data_dir(&node.data_dir()).start_in_vain(), &["in use", &pid]);
    let id = node.submit(&json!({"action": "echo"}));
    node.completed(&id);
}

#[test]
fn a_data_directory_of_a_newer_version_is_left_as_it_is() {
    let mut node = Spec::alone("newer").start();
    node.stop();
    let file = node.data_dir().join("akita.db");
    let database = Connection::open(&file).expect("the database");
    database.pragma_update(None, "user_version", 9_999).expect("a newer version");
    drop(database);
    let before = fs::read(&file).expect("the database");
    refused(node.start_in_vain(), &["9999", "newer version"]);
    assert!(fs::read(&file).expect("the database") == before, "it was changed");
}

#[test]
fn a_damaged_database_is_said() {
    let mut node = Spec::alone("damaged").start();
    node.stop();
    let file = node.data_dir().join("akita.db");
    fs::write(&file, vec![0x55; 64 << 10]).expect("written over");
    refused(node.start_in_vain(), &["akita.db"]);
}

#[test]
fn a_data_directory_that_cannot_be_written_is_said() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let below = file.path().join("data");
    refused(Spec::alone("file").data_dir(&below).start_in_vain(), &["not a directory"]);
    // Nobody may write there, not even the superuser.
    let odd = Path::new("/proc/akita-e2e");
    refused(Spec::alone("proc").data_dir(odd).start_in_vain(), &["/proc/akita-e2e"]);
}

#[test]
fn a_reticulum_configuration_that_does_not_parse_is_said_with_its_place() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("config"), "[reticulum]\nenable_transport = perhaps [[\n").expect("written");
    let spec = |path: &Path| Spec::new("parses").arg("--rns-config", &path.to_string_lossy());
    refused(spec(dir.path()).start_in_vain(), &["config"]);
    refused(spec(&dir.path().join("nowhere")).start_in_vain(), &["nowhere"]);
}

#[test]
fn settings_that_make_no_sense_are_said_with_their_place() {
    let spec = || Spec::alone("settings");
    let in_file = |text: &str| {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), text).expect("written");
        let out = spec().arg("--config", &file.path().to_string_lossy()).start_in_vain();
        (out, file.path().to_string_lossy().into_owned())
    };
    let (out, path) = in_file("node_timeout_s = 20\nnode_timeout = 3\n");
    refused(out, &["node_timeout", &path, "2"]);
    let (out, path) = in_file("task_memory_mb = \"much\"\n");
    refused(out, &["TASK_MEMORY_MB", "much", &path]);
    refused(spec().env("AKITA_SLOTZ", "3").start_in_vain(), &["AKITA_SLOTZ", "AKITA_SLOTS"]);
    refused(spec().env("AKITA_WORKER_ACK_TIMEOUT_S", "400").start_in_vain(), &["AKITA_WORKER_ACK_TIMEOUT_S", "300"]);
    refused(spec().env("AKITA_CLUSTER_KEY", "short").start_in_vain(), &["16"]);
    let wrong = spec().arg("--mesh-peer", "nonsense").start_in_vain();
    assert!(matches!(wrong.code, 2 | 3), "{wrong:?}");
}

#[test]
fn an_api_for_others_needs_keys_and_takes_only_those() {
    let open = Spec::alone("open").arg("--api-host", "0.0.0.0");
    refused(open.start_in_vain(), &["0.0.0.0", "AKITA_VALID_API_KEYS"]);
    let keys = "a-key-that-is-long-enough,another-key-that-is-long";
    let node = Spec::alone("closed").arg("--api-host", "0.0.0.0").env("AKITA_VALID_API_KEYS", keys);
    let node = node.start();
    let (code, problem): (u16, Value) = node.try_get("/status").expect("an answer");
    assert_eq!((code, &problem["type"]), (401, &json!("urn:akita:problem:key-required")));
    assert_eq!(node.try_get("/health").map(|(code, _)| code), Some(200));
    node.cli(&["status"]).expect(5);
    node.cli(&["status", "--api-key", "a-key-that-is-long-enougH"]).expect(5);
    node.cli(&["status", "--api-key", "another-key-that-is-long"]).expect(0);
    assert!(!node.log().contains("long-enough"), "keys must never be logged");
}

#[test]
fn an_identity_that_is_none_is_said_and_kept() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("identity");
    fs::write(&file, b"not 64 bytes").expect("written");
    let spec =
        Spec::new("nobody").arg("--mesh-listen", &free_address()).arg("--identity-path", &file.to_string_lossy());
    refused(spec.start_in_vain(), &["identity"]);
    assert_eq!(fs::read(&file).expect("still there"), b"not 64 bytes");
}
