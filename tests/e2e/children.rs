//! Tasks that have children: they are run wherever there is room, their parent waits without a slot, and an attempt that
//! begins again finds the children of the one before.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    cluster::completions,
    harness::{Spec, TestNode, wait_until},
    meeting::{leader_first, pair},
    prepare::{free_address, some_plugins},
};

/// The usual plugins and `survey`, with what is granted to it.
fn folder(granted: &str) -> TempDir {
    some_plugins(&["basics", "faulty", "survey"], granted)
}

const GRANTED: &str = "[plugin.survey]\ninterfaces = [\"tasks\"]\n";

fn node(name: &str, dir: &Path, slots: u16) -> Spec {
    Spec::new(name).plugins(dir).env("AKITA_SLOTS", &slots.to_string())
}

fn lone(name: &str, dir: &Path, slots: u16) -> TestNode {
    node(name, dir, slots).arg("--mesh-listen", &free_address()).start()
}

fn fan_out(action: &str, inputs: &[Value]) -> Value {
    json!({ "action": "survey/fan-out", "input": { "action": action, "inputs": inputs } })
}

fn children_of(node: &TestNode, parent: &str) -> Vec<Value> {
    let tasks = node.get("/tasks?limit=1000");
    let tasks = tasks["tasks"].as_array().expect("tasks").iter();
    tasks.filter(|task| task["parent_id"] == parent).cloned().collect()
}

#[test]
fn on_a_node_of_one_slot_a_parent_waits_for_its_children_without_it() {
    let dir = folder(GRANTED);
    let node = lone("one-slot", dir.path(), 1);
    let inputs: Vec<Value> = (0..10).map(|n| json!({ "n": n })).collect();
    let mut task = fan_out("basics/echo", &inputs);
    task["priority"] = json!(7);
    let id = node.submit(&task);
    let parent = node.completed(&id);
    let results = parent["result"]["results"].as_array().expect("results");
    let outputs: Vec<Value> = results.iter().map(|result| result["output"].clone()).collect();
    assert_eq!(outputs, inputs, "all of them, in their order");
    let children = children_of(&node, &id);
    assert_eq!(children.len(), 10);
    for child in &children {
        assert_eq!((&child["priority"], &child["action"]), (&json!(7), &json!("basics/echo")), "{child:#}");
        assert_eq!(child["origin_id"], parent["origin_id"]);
    }
    // Families of families, more than the node has slots; and one slot for each run of the plugin.
    let inner = json!({ "action": "basics/echo", "inputs": [1, 2] });
    let ids = node.submit_all(vec![fan_out("survey/fan-out", &[inner.clone(), inner]); 12]);
    for id in &ids {
        let whole = node.completed(id);
        assert_eq!(whole["result"]["results"][1]["output"]["results"][0]["output"], 1, "{whole:#}");
    }
    // Its slot is there again.
    node.completed(&node.submit(&json!({ "action": "basics/echo", "input": 1 })));
    node.verify_ledger();
}

#[test]
fn a_plugin_that_runs_once_at_a_time_can_still_have_children_of_its_own() {
    let dir = folder("[plugin.survey]\ninterfaces = [\"tasks\"]\nconcurrency = 1\n");
    let node = lone("in-turn", dir.path(), 2);
    let inner = json!({ "action": "basics/echo", "inputs": [1] });
    let whole = node.completed(&node.submit(&fan_out("survey/fan-out", &[inner.clone(), inner])));
    assert_eq!(whole["result"]["failed"], 0, "{whole:#}");
}

#[test]
fn what_a_child_fails_with_reaches_the_parent_and_limits_hold() {
    let dir = folder("[plugin.survey]\ninterfaces = [\"tasks\"]\nmax_children = 2\nmax_depth = 1\n");
    let node = lone("bounded", dir.path(), 1);
    let task = node.completed(&node.submit(&fan_out("faulty/invalid-input", &[json!({}), json!({})])));
    let error = &task["result"]["results"][0]["error"];
    assert_eq!((&error["code"], &error["pointer"]), (&json!("never-right"), &json!("/on/purpose")), "{task:#}");
    let refused = |task: &Value| {
        let ended = node.ended(&node.submit(task));
        assert_eq!(ended["status"], "failed", "{ended:#}");
        ended["error"]["code"].clone()
    };
    assert_eq!(refused(&fan_out("basics/echo", &[json!(1), json!(2), json!(3)])), "too-many-children");
    assert_eq!(refused(&fan_out("nobody/has-it", &[json!(1)])), "bad-child");
    let inner = json!({ "action": "basics/echo", "inputs": [1] });
    let nested = node.completed(&node.submit(&fan_out("survey/fan-out", &[inner])));
    assert_eq!(nested["result"]["results"][0]["error"]["code"], "too-deep", "{nested:#}");
}

#[test]
fn the_time_limit_of_a_parent_goes_on_while_it_waits() {
    let dir = folder(GRANTED);
    let node = lone("late", dir.path(), 1);
    let mut task = fan_out("faulty/slow", &[json!({ "ms": 20_000 })]);
    task["timeout_s"] = json!(1);
    let ended = node.ended(&node.submit(&task));
    assert_eq!((&ended["status"], &ended["error"]["code"]), (&json!("failed"), &json!("time-limit")), "{ended:#}");
}

#[test]
fn two_nodes_share_the_children_and_a_parent_that_begins_again_finds_them() {
    let dir = folder(GRANTED);
    let quick =
        |name| node(name, dir.path(), 1).env("AKITA_NODE_TIMEOUT_S", "3").env("AKITA_LEADER_ELECTION_TIMEOUT_S", "30");
    let (one, other) = pair(quick("one"), quick("other"));
    let (leader, mut worker) = leader_first(one, other);
    let mine = leader.id();
    // Parents on both: those on the worker hand in their children over the mesh.
    let inputs: Vec<Value> = (0..6).map(|n| json!({ "ms": 300, "n": n })).collect();
    let ids = leader.submit_all(vec![fan_out("faulty/slow", &inputs); 4]);
    wait_until("a parent to wait on the worker, and a child to have ended", || {
        let waits = |id: &&String| {
            let parent = leader.task(id);
            let of_worker = parent["status"] == "running" && parent["worker_id"] != *mine;
            of_worker && children_of(&leader, id).iter().any(|child| child["status"] == "completed")
        };
        ids.iter().any(|id| waits(&id))
    });
    worker.kill_9();
    for id in &ids {
        let parent = leader.completed(id);
        assert_eq!(parent["result"]["failed"], 0, "{parent:#}");
        assert_eq!(children_of(&leader, id).len(), inputs.len(), "no child twice");
    }
    let again = leader.ledger("TASK_REQUEUED");
    assert!(again.iter().any(|row| ids.iter().any(|id| row["task_id"] == **id)), "a parent began again");
    let times = completions(&leader);
    let all = ids.iter().flat_map(|id| children_of(&leader, id));
    for child in all {
        let id = child["task_id"].as_str().expect("an id").to_owned();
        assert_eq!(times.get(&id), Some(&1), "{child:#}");
    }
    leader.verify_ledger();
}
