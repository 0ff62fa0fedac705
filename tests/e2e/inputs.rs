//! Inputs are held to the schemas of their actions where they are submitted, and a name that two plugins have is not guessed at.

use std::{fs, path::Path};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    guests::Guest,
    harness::{Spec, TestNode, text, wait_until},
    meeting::{leader_first, pair},
};

fn folder(plugins: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::Builder::new().prefix("akita-plugins-").tempdir().expect("a folder");
    plugins.iter().for_each(|(name, schema)| put(dir.path(), name, schema));
    dir
}

fn put(dir: &Path, name: &str, schema: &str) {
    let schema = (!schema.is_empty()).then(|| schema.to_owned());
    install(dir, name, &Guest { name: name.into(), schema, ..Guest::default() });
}

fn install(dir: &Path, name: &str, guest: &Guest) {
    let component = guest.component();
    let part = dir.join(format!("{name}.part"));
    fs::write(&part, component).expect("written");
    fs::rename(&part, dir.join(format!("{name}.wasm"))).expect("moved");
}

fn offers(node: &TestNode, actions: &Value) {
    wait_until("the actions are offered", || &node.get("/status")["actions"] == actions);
}

fn refused(node: &TestNode, body: &Value) -> Value {
    let (status, problem) = node.try_post("/tasks/submit", body).expect("an answer");
    assert_eq!(status, 422, "{problem:#}");
    problem
}

const SMALL: &str = r#"{"type":"object","properties":{"n":{"type":"integer","maximum":9}},"required":["n"]}"#;

#[test]
fn an_input_that_does_not_fit_is_refused_at_submit_with_its_place() {
    let dir = folder(&[("count", SMALL)]);
    let node = Spec::alone("fits").plugins(dir.path()).start();
    offers(&node, &json!(["count/run"]));
    let problem = refused(&node, &json!({"action": "count/run", "input": {"n": 10}}));
    assert_eq!(problem["pointer"], "/input/n", "{problem:#}");
    assert!(text(&problem["detail"]).contains("greater than the maximum of 9"), "{problem:#}");
    let batch = json!([{"action": "run", "n": 1}, {"task_data": {"action": "run", "n": "two"}}]);
    let problem = refused(&node, &batch);
    assert_eq!(problem["pointer"], "/1/task_data/n", "{problem:#}");
    assert!(text(&problem["detail"]).starts_with("task 1 of the batch: "), "{problem:#}");
    // All or none, and what fits goes on.
    assert_eq!(node.get("/tasks")["tasks"], json!([]));
    let id = node.submit(&json!({"action": "run", "n": 9}));
    assert_eq!(node.completed(&id)["result"], json!({"n": 9}));
}

#[test]
fn an_action_that_two_plugins_have_is_refused_with_both_names() {
    let dir = folder(&[("left", ""), ("right", "")]);
    let node = Spec::alone("ambiguous").plugins(dir.path()).start();
    offers(&node, &json!(["left/run", "right/run"]));
    let problem = refused(&node, &json!({"action": "run"}));
    assert!(text(&problem["detail"]).contains("several plugins have the action `run`"), "{problem:#}");
    assert!(text(&problem["hint"]).contains("left/run, right/run"), "{problem:#}");
    let id = node.submit(&json!({"action": "right/run", "n": 1}));
    assert_eq!(node.completed(&id)["result"], json!({"n": 1}));
}

/// Whether the leader knows of that action.
fn knows(leader: &TestNode, action: &str) -> bool {
    let view = leader.get("/cluster/status");
    let nodes = view["nodes"].as_array().expect("nodes");
    nodes.iter().any(|node| node["actions"].as_array().expect("actions").contains(&json!(action)))
}

#[test]
fn the_leader_looks_at_what_another_node_cannot_judge() {
    let dirs = [folder(&[]), folder(&[])];
    // A node that offers nothing counts as not ready.
    let idle = Guest { name: "idle".into(), actions: vec!["wait".into()], ..Guest::default() };
    dirs.iter().for_each(|dir| install(dir.path(), "idle", &idle));
    let (one, other) = pair(Spec::new("one").plugins(dirs[0].path()), Spec::new("other").plugins(dirs[1].path()));
    let (leader, worker) = leader_first(one, other);
    let (of_leader, of_worker) = if leader.name() == "one" { (&dirs[0], &dirs[1]) } else { (&dirs[1], &dirs[0]) };
    put(of_leader.path(), "count", SMALL);
    put(of_worker.path(), "other", "");
    wait_until("both actions are known", || knows(&leader, "count/run") && knows(&leader, "other/run"));
    // The worker has no `count`: it asks the leader, and the leader's words and place come back.
    let batch = json!([{"action": "count/run", "n": 1}, {"action": "count/run", "input": {"n": "two"}}]);
    let problem = refused(&worker, &batch);
    assert_eq!(problem["pointer"], "/1/input/n", "{problem:#}");
    assert!(text(&problem["detail"]).starts_with("task 1 of the batch: "), "{problem:#}");
    // Each node knows one plugin with that action; the cluster knows two.
    for node in [&leader, &worker] {
        let problem = refused(node, &json!({"action": "run", "n": 1}));
        assert!(text(&problem["hint"]).contains("count/run, other/run"), "{problem:#}");
    }
    let id = worker.submit(&json!({"action": "count/run", "n": 3}));
    assert_eq!(worker.completed(&id)["result"], json!({"n": 3}));
}
