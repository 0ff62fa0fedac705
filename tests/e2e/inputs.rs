//! Inputs are held to the schemas of their actions where they are submitted, and a name that two plugins have is not guessed at.

use std::{fs, path::Path};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    guests::Guest,
    harness::{Spec, TestNode, text, wait_until},
};

fn folder(plugins: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::Builder::new().prefix("akita-plugins-").tempdir().expect("a folder");
    plugins.iter().for_each(|(name, schema)| put(dir.path(), name, schema));
    dir
}

fn put(dir: &Path, name: &str, schema: &str) {
    let schema = (!schema.is_empty()).then(|| schema.to_owned());
    let component = Guest { name: name.into(), schema, ..Guest::default() }.component();
    fs::write(dir.join(format!("{name}.wasm")), component).expect("written");
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
