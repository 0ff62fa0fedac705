//! Somebody drops malicious components into the folder of a running node. They get nothing: no file, no network, none of
//! what other plugins were granted, no moment of the node's attention more than any other file.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{
    guests::{Guest, swapper},
    harness::{Spec, TestNode, find, text, wait_until},
    prepare::plugins,
};

/// What only the plugin `honest` may read.
const SECRET: &str = "c2VjcmV0";

fn put(dir: &Path, file: &str, bytes: &[u8]) {
    let part = dir.join(format!("{file}.part"));
    fs::write(&part, bytes).expect("written");
    fs::rename(&part, dir.join(file)).expect("moved");
}

fn listed(node: &TestNode, file: &str, status: &str) -> Value {
    find(&format!("{file} to be {status}"), || {
        let list = node.get("/plugins");
        let mut all = list["plugins"].as_array().expect("plugins").iter();
        all.find(|plugin| plugin["file"] == file && plugin["status"] == status).cloned()
    })
}

fn honest(node: &TestNode) -> Value {
    let task = json!({"action": "honest/run", "input_base64": SECRET, "content_type": "text/plain"});
    node.completed(&node.submit(&task))["result_base64"].clone()
}

/// Reaches for everything that has to be granted.
fn greedy() -> Guest {
    Guest {
        name: "greedy".into(),
        wit_imports: "import blobs; import kv; import mesh; import sensors; import tasks;",
        wat_imports: r#"
            (import "akita:plugin/blobs@0.1.0" "put" (func $put (param i32 i32 i32)))
            (import "akita:plugin/kv@0.1.0" "get" (func $get (param i32 i32 i32)))
            (import "akita:plugin/mesh@0.1.0" "peers" (func $peers (param i32)))
            (import "akita:plugin/sensors@0.1.0" "names" (func $names (param i32)))
            (import "akita:plugin/tasks@0.1.0" "gather" (func $gather (param i32 i32 i32)))"#,
        ..Guest::default()
    }
}

/// A guest whose `describe` never comes to an end.
fn endless() -> Vec<u8> {
    Guest { name: "endless".into(), describe: "(loop $on (br $on))", ..Guest::default() }.component()
}

#[test]
fn a_malicious_component_dropped_into_the_folder_gets_nothing() {
    let dir = tempfile::Builder::new().prefix("akita-hostile-").tempdir().expect("a folder");
    put(dir.path(), "akita-plugins.toml", b"[plugin.honest]\ninterfaces = [\"kv\"]\n");
    put(dir.path(), "honest.wasm", &swapper("honest").component());
    let node = Spec::alone("hostile").plugins(dir.path()).start();
    listed(&node, "honest.wasm", "ready");
    honest(&node);
    assert_eq!(honest(&node), SECRET, "it keeps what it was given");

    // Whatever needs a grant is not even linked.
    put(dir.path(), "greedy.wasm", &greedy().component());
    let blocked = listed(&node, "greedy.wasm", "blocked");
    assert_eq!(blocked["needs"], json!(["blobs", "kv", "mesh", "sensors", "tasks"]), "{blocked:#}");
    assert_eq!(blocked["granted"], json!([]), "{blocked:#}");
    let refused = node.try_post("/tasks/submit", &json!({"action": "greedy/run"})).expect("an answer");
    assert_eq!(refused.0, 422, "{refused:?}");
    // One that hangs while it is asked for its name is given up.
    put(dir.path(), "endless.wasm", &endless());
    let rejected = listed(&node, "endless.wasm", "rejected");
    assert!(text(&rejected["reason"]).contains("time limit"), "{rejected:#}");
    // Compiled code could do anything, and is never taken from there.
    put(dir.path(), "native.cwasm", b"\x7fELF");
    put(dir.path(), "native.wasm", b"\x7fELF");
    ["native.cwasm", "native.wasm"].iter().for_each(|file| drop(listed(&node, file, "rejected")));
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("passwd.wasm")).expect("linked");
    assert!(text(&listed(&node, "passwd.wasm", "rejected")["reason"]).contains("outside the plugin folder"));

    // What runs reaches no file, no socket and no variable, and a crash is its own.
    fs::copy(plugins().join("faulty.wasm"), dir.path().join("faulty.wasm")).expect("copied");
    wait_until("the plugin is offered", || {
        node.get("/status")["actions"].as_array().is_some_and(|all| all.contains(&json!("faulty/open-file")))
    });
    for action in ["faulty/open-file", "faulty/open-socket"] {
        let result = node.completed(&node.submit(&json!({ "action": action })))["result"].clone();
        for (what, outcome) in result.as_object().expect("an object") {
            assert_eq!(outcome["worked"], false, "{action}: {what} worked: {result:#}");
        }
    }
    let seen = node.completed(&node.submit(&json!({"action": "faulty/read-env"})))["result"].clone();
    assert_eq!((&seen["variables"], &seen["arguments"]), (&json!(0), &json!(0)), "{seen:#}");
    for action in ["faulty/trap", "faulty/handle-flood", "faulty/random-flood", "faulty/exit"] {
        assert_eq!(node.ended(&node.submit(&json!({ "action": action })))["status"], "failed", "{action}");
    }
    assert_eq!(honest(&node), SECRET, "nobody touched what it keeps");
    assert_eq!(node.get("/health"), json!({"status": "ok"}));
    node.verify_ledger();
}
