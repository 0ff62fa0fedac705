//! Submitting tasks, waiting for them, and what they leave.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Node, Run, ok};
use crate::exit::ExitCode;

#[test]
fn submitting_prints_the_id_alone_on_standard_output() {
    let node = Node::json(json!({"task_id": "t-1", "status": "pending"}));
    let ran = node.run(&["task", "submit", "{\"action\":\"log\",\"message\":\"hello\"}", "--priority", "5"]);
    assert_eq!((ran.code, ran.out.as_str()), (ExitCode::Ok, "t-1\n"));
    assert_eq!(ran.err, "accepted (pending); look with: akita task status t-1\n");
    let seen = node.first();
    assert_eq!(seen.line, "POST /tasks/submit");
    assert_eq!(seen.body, json!({"task_data": {"action": "log", "message": "hello"}, "priority": 5}));
}

#[test]
fn a_task_comes_from_standard_input_or_a_file_with_what_is_added() {
    let node = Node::json(json!({"task_id": "t-1", "status": "pending"}));
    let mut run = Run::new().target(&node.base).file("photo.jpg", b"\xff\xd8jpeg");
    run.input = "{\"action\":\"image/fit\",\"input\":{\"max_bytes\":2000},\"required_capabilities\":[\"a\"]}";
    run.go(&["task", "submit", "-", "--file", "data=photo.jpg", "--require", "gpu", "--require", "a"]);
    let data = STANDARD.encode(b"\xff\xd8jpeg");
    let task = json!({"action": "image/fit", "input": {"max_bytes": 2000, "data": data}, "required_capabilities": ["a", "gpu"]});
    assert_eq!(node.first().body, json!({"task_data": task}));

    let node = Node::json(json!({"task_id": "t-1", "status": "pending"}));
    let run = Run::new().target(&node.base).file("p", b"x").file("task.json", b"{\"action\":\"a\"}");
    run.go(&["task", "submit", "@task.json", "--file", "data=p"]);
    assert_eq!(node.first().body, json!({"task_data": {"action": "a", "data": "eA=="}}));
}

#[test]
fn a_task_or_a_batch_is_asked_to_run_deterministically() {
    let node = Node::json(json!({"task_id": "t-1", "status": "pending"}));
    node.run(&["task", "submit", "{\"action\":\"a\"}", "--deterministic"]);
    assert_eq!(node.first().body, json!({"task_data": {"action": "a", "deterministic": true}}));
    let node = Node::json(json!([{"task_id": "t-1", "status": "pending"}]));
    node.run(&["task", "submit", "[{\"action\":\"a\"}]", "--deterministic"]);
    assert_eq!(node.first().body, json!([{"task_data": {"action": "a", "deterministic": true}}]));
}

#[test]
fn what_is_no_task_is_told_before_any_node_is_asked() {
    let run = Run::new().target("http://127.0.0.1:1").file("p", b"x");
    let check = |args: &[&str], expect: &str| {
        let ran = run.go(&[&["task", "submit"], args].concat());
        assert_eq!(ran.code, ExitCode::Usage, "{args:?}: {}", ran.err);
        assert!(ran.err.contains(expect), "{args:?}: {}", ran.err);
    };
    check(&["{action:echo}"], "the task is not JSON: key must be a string");
    check(&["3"], "a task is a JSON object, and the task has a number instead");
    check(&["[]"], "the task is an empty list");
    check(&["[1]"], "has a number instead");
    check(&["@none.json"], "cannot read none.json");
    check(&["{}", "--file", "data"], "`data` is not FIELD=PATH");
    check(&["{}", "--file", "data=none"], "cannot read none");
    check(&["{}", "--file", "action=p"], "`action` is no name for an input field");
    check(&["{\"input\":3}", "--file", "data=p"], "needs an `input` that is a JSON object");
    check(&["[{}]", "--file", "data=p"], "--file needs one task");
    check(&["{}", "--timeout", "5"], "--wait");
    check(&["{}", "--wait", "--timeout", "soon"], "not a number of seconds");
}

/// A node whose task `t-1` ends after a number of looks.
fn slow_node(looks: usize, end: Value) -> Node {
    Node::new(move |seen, before| match seen.line.as_str() {
        "POST /tasks/submit" => ok(json!({"task_id": "t-1", "status": "pending"})),
        _ if before <= looks => ok(json!({"task_id": "t-1", "action": "basics/echo", "status": "running",
            "progress": {"done": before, "total": 4, "note": "at it"}})),
        _ => ok(end.clone()),
    })
}

#[test]
fn waiting_prints_the_result_and_tells_how_it_went() {
    let end = json!({"task_id": "t-1", "status": "completed", "result": {"n": 1}, "worker_id": "aaaaaaaabbbb",
        "attempts": 2, "submitted_at": "2026-03-01T11:59:50Z", "finished_at": "2026-03-01T11:59:51.2Z"});
    let node = slow_node(2, end);
    let ran = node.run(&["task", "submit", "{\"action\":\"echo\"}", "--wait"]);
    assert_eq!((ran.code, ran.out.as_str()), (ExitCode::Ok, "{\n  \"n\": 1\n}\n"));
    assert_eq!(ran.err, "task t-1 completed in 1.2 s on aaaaaaaa, attempt 2\n");
    let poll = "GET /tasks/t-1?wait=60";
    assert_eq!(node.lines(), ["POST /tasks/submit", poll, poll, poll]);

    let node = slow_node(1, json!({"task_id": "t-1", "status": "completed", "result": 1}));
    let mut on_terminal = Run::new().target(&node.base);
    on_terminal.terminal = true;
    let ran = on_terminal.go(&["task", "submit", "{\"action\":\"echo\"}", "--wait"]);
    assert!(ran.err.contains("\rbasics/echo running 25 % at it"), "{:?}", ran.err);
    assert_eq!(ran.out, "1\n");
}

#[test]
fn a_task_that_failed_ends_with_its_own_code_and_words() {
    let node =
        slow_node(0, json!({"task_id": "t-1", "status": "failed", "error": {"message": "no JPEG", "code": "bad"}}));
    let ran = node.run(&["task", "submit", "{\"action\":\"image/fit\"}", "--wait"]);
    assert_eq!((ran.code, ran.out.as_str()), (ExitCode::TaskFailed, ""));
    let hint = "hint: see its steps with: akita ledger view --task t-1";
    assert_eq!(ran.err, format!("error: task t-1 failed: no JPEG (bad)\n{hint}\n"));
}

#[test]
fn waiting_ends_when_the_time_is_over() {
    let node = slow_node(usize::MAX - 1, Value::Null);
    let ran = node.run(&["task", "submit", "{\"action\":\"echo\"}", "--wait", "--timeout", "0"]);
    assert_eq!((ran.code, ran.out.as_str()), (ExitCode::Timeout, ""));
    assert!(ran.err.starts_with("error: task t-1 is still running after 0 s\n"), "{}", ran.err);
    assert!(ran.err.ends_with("hint: it goes on; look again with: akita task status t-1\n"), "{}", ran.err);
}

#[test]
fn bytes_are_saved_into_a_file() {
    let end = json!({"task_id": "t-1", "status": "completed", "content_type": "image/jpeg",
        "result": null, "result_base64": STANDARD.encode(b"\xff\xd8jpeg")});
    let node = slow_node(0, end.clone());
    let run = Run::new().target(&node.base);
    let ran = run.go(&["task", "submit", "{\"action\":\"image/fit\"}", "--wait", "--save", "small.jpg"]);
    assert_eq!((ran.code, ran.out.as_str()), (ExitCode::Ok, ""));
    assert!(ran.err.starts_with("saved 6 bytes to small.jpg\n"), "{}", ran.err);
    let read = |dir: &Path, name: &str| std::fs::read(dir.join(name)).expect("it was written");
    assert_eq!(read(run.dir.path(), "small.jpg"), b"\xff\xd8jpeg");

    let ran = node.run(&["task", "status", "t-1"]);
    assert!(ran.out.contains("6 bytes image/jpeg (use -o json or --save FILE)"), "{}", ran.out);
    let node = Node::json(json!({"task_id": "t-1", "status": "pending"}));
    let ran = node.run(&["task", "status", "t-1", "--save", "x"]);
    assert_eq!(ran.code, ExitCode::TaskFailed);
    assert!(ran.err.contains("the task is pending and has no result to save"), "{}", ran.err);
}

#[test]
fn a_batch_is_one_request_and_ends_in_counts() {
    let node = Node::new(|seen, _| match seen.line.as_str() {
        "POST /tasks/submit" => {
            ok(json!([{"task_id": "a", "status": "pending"}, {"task_id": "b", "status": "pending"}]))
        }
        line if line.starts_with("GET /tasks/a") => ok(json!({"task_id": "a", "status": "completed", "result": 1})),
        _ => ok(json!({"task_id": "b", "status": "failed", "reason": "attempts used up"})),
    });
    let batch = "[{\"action\":\"echo\"},{\"action\":\"log\"}]";
    let ran = node.run(&["task", "submit", batch, "--require", "gpu"]);
    assert_eq!((ran.code, ran.out.as_str()), (ExitCode::Ok, "a\nb\n"));
    let envelope = |action: &str| json!({"task_data": {"action": action, "required_capabilities": ["gpu"]}});
    assert_eq!(node.first().body, json!([envelope("echo"), envelope("log")]));

    let ran = node.run(&["task", "submit", batch, "--wait"]);
    assert_eq!((ran.code, ran.out.as_str()), (ExitCode::TaskFailed, "1 done, 1 failed\n"));
    assert!(ran.err.starts_with("task b failed: attempts used up\nerror: 1 task of the batch failed\n"), "{}", ran.err);
    let ran = node.run(&["task", "submit", batch, "--wait", "-o", "json"]);
    let tasks: Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(tasks.as_array().map(Vec::len), Some(2));
}
