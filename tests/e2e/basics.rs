//! One node and the command line, as the README shows them.

use std::fs;

use serde_json::json;

use crate::{
    harness::{Spec, find, text},
    prepare::plugins,
};

#[test]
fn the_commands_of_the_readme_work_on_one_node() {
    let mut node = Spec::alone("readme").start();
    let first = node.cli(&["task", "submit", r#"{"action":"log","message":"hello from the readme"}"#]).expect(0);
    let id = first.stdout.trim();
    node.completed(id);

    let echo = node.cli(&["task", "submit", r#"{"action":"echo","message":"hello"}"#, "--wait"]).expect(0);
    assert_eq!(echo.json(), json!({"message": "hello"}));
    let echo = node.cli_with(&["task", "submit", "-", "--wait"], r#"{"action":"echo","input":[1, 2.50]}"#).expect(0);
    assert_eq!(echo.json(), json!([1, 2.5]));
    let file = node.dir().join("task.json");
    fs::write(&file, r#"[{"action":"basics/echo","n":1},{"action":"digest/blake3","text":"a"}]"#).expect("written");
    let both = node.cli(&["task", "submit", &format!("@{}", file.display()), "--wait", "-o", "json"]).expect(0);
    assert_eq!(both.json().as_array().map(Vec::len), Some(2));
    // A capability that nobody has: accepted, waits, and says why.
    let train = r#"{"action":"train","csv":"x,y\n1,2\n2,4\n3,6","target":"y"}"#;
    let waits = node.cli(&["task", "submit", train, "--require", "gpu", "--priority", "3"]).expect(0);
    let shown = node.cli(&["task", "status", waits.stdout.trim()]).expect(0).stdout;
    assert!(shown.contains("pending") && shown.contains("gpu"), "{shown}");

    let shown = node.cli(&["task", "status", id]).expect(0).stdout;
    assert!(shown.contains("completed") && shown.contains("basics/log"), "{shown}");
    let list = node.cli(&["task", "list", "--status", "completed", "--limit", "2", "-o", "json"]).expect(0).json();
    assert_eq!(list["tasks"].as_array().map(Vec::len), Some(2));
    assert!(node.cli(&["logs", "--limit", "500"]).expect(0).stdout.contains("hello from the readme"));
    assert!(node.cli(&["status"]).expect(0).stdout.contains("leader"));
    assert!(node.cli(&["cluster", "status"]).expect(0).stdout.contains("readme"));

    let rows = ["ledger", "view", "--event-type", "TASK_COMPLETED", "--task", id, "-o", "json"];
    let rows = node.cli(&rows).expect(0).json();
    assert_eq!(rows["total"], 1, "{rows:#}");
    assert_eq!(rows["rows"][0]["task_id"], id);
    let page = node.cli(&["ledger", "view", "--limit", "2", "--offset", "1", "-o", "json"]).expect(0).json();
    let newest = node.cli(&["ledger", "view", "--limit", "1", "-o", "json"]).expect(0).json();
    assert_eq!(page["rows"][0]["index"].as_u64().map(|index| index + 1), newest["rows"][0]["index"].as_u64());
    node.cli(&["ledger", "verify"]).expect(0);

    node.cli(&["--yes", "shutdown"]).expect(2);
    node.cli(&["shutdown"]).expect(2);
    node.cli(&["shutdown", "--yes"]).expect(0);
    assert_eq!(node.wait_exit().code(), Some(0));
    node.cli(&["status"]).expect(4);
}

#[test]
fn plugins_and_settings_are_shown() {
    let node = Spec::alone("shown").env("AKITA_CAPABILITIES", "camera").start();
    let list = node.cli(&["plugin", "list"]).expect(0).stdout;
    for name in ["basics", "digest", "image", "stats", "echo"] {
        assert!(list.contains(name), "{name} is missing in {list}");
    }
    let file = plugins().join("basics.wasm");
    let inspected = node.cli(&["plugin", "inspect", &file.to_string_lossy(), "-o", "json"]).expect(0).json();
    assert_eq!(inspected["name"], "basics", "{inspected:#}");
    let settings = node.cli(&["config", "show", "--capabilities", "gpu", "--api-port", "8123"]).expect(0).stdout;
    assert!(settings.contains("gpu") && settings.contains("--capabilities") && settings.contains("8123"), "{settings}");
    let status = node.get("/status");
    assert_eq!(status["capabilities"], json!(["camera"]));
    assert!(status["resources"]["memory_total"].as_u64().is_some_and(|bytes| bytes > 1 << 20), "{status:#}");
    let actions = status["actions"].as_array().expect("actions");
    assert!(actions.contains(&json!("basics/echo")), "{actions:?}");
}

#[test]
fn the_exit_code_says_what_went_wrong() {
    let node = Spec::alone("codes").start();
    let unknown = node.cli(&["task", "submit", r#"{"action":"ehco"}"#]).expect(5);
    assert!(unknown.stderr.contains("ehco") && unknown.stderr.contains("basics/echo"), "{}", unknown.stderr);
    let failed = node.cli(&["task", "submit", r#"{"action":"fail-permanent"}"#, "--wait"]).expect(1);
    assert!(failed.stderr.contains("always fails"), "{}", failed.stderr);
    let slow = ["task", "submit", r#"{"action":"slow","ms":60000}"#, "--wait", "--timeout", "0.3"];
    let late = node.cli(&slow).expect(6);
    assert!(late.stderr.contains("akita task status"), "{}", late.stderr);
    for wrong in [r#"{"action":"echo""#, "[]", "7", "@/no/such/file"] {
        node.cli(&["task", "submit", wrong]).expect(2);
    }
    node.cli(&["task", "submit", r#"{"message":"no action"}"#]).expect(5);
    node.cli(&["task", "status", "0199f0e2-55c1-7d3a-9a55-0c3d5b1f8a21"]).expect(5);
    let down = node.cli(&["--target-node-api", "http://127.0.0.1:1", "status"]).expect(4);
    assert!(down.stderr.contains("hint:") && down.stderr.contains("akita start"), "{}", down.stderr);
    assert_eq!(node.cli(&["nonsense"]).code, 2);
}

#[test]
fn the_progress_of_a_running_task_is_shown() {
    let node = Spec::alone("progress").start();
    let id = node.submit(&json!({"action": "slow", "ms": 60_000}));
    let task = find("progress of the task", || {
        let task = node.task(&id);
        let shown = task["progress"]["percent"].is_u64() && task["status"] == "running";
        shown.then_some(task)
    });
    assert_eq!(text(&task["progress"]["note"]), "working");
    assert_eq!(task["worker_id"], node.id().as_str());
}
