//! Deterministic tasks: two nodes that differ in all that a node can differ in give the same output, bit for bit.

use serde_json::{Value, json};

use crate::{
    harness::{Spec, TestNode, text},
    meeting::pair,
};

/// Two nodes of one cluster with other limits, each with a capability of its own.
fn unlike() -> (TestNode, TestNode) {
    // A machine too busy to use up the fuel in time is given another attempt.
    let spec = |name| Spec::new(name).env("AKITA_MAX_TASK_EXECUTION_ATTEMPTS", "20");
    let first = spec("first").arg("--capabilities", "here").env("AKITA_SLOTS", "1");
    let second = spec("second").arg("--capabilities", "there").env("AKITA_SLOTS", "4");
    pair(first, second.env("AKITA_TASK_MEMORY_MB", "512").env("AKITA_TASK_TIMEOUT_S", "300"))
}

/// Runs a task where `capability` is.
fn run_at(node: &TestNode, capability: &str, task: &Value) -> Value {
    let mut task = task.clone();
    task["required_capabilities"] = json!([capability]);
    node.ended(&node.submit(&task))
}

#[test]
fn two_nodes_agree_on_a_deterministic_task_bit_for_bit() {
    let (first, second) = unlike();
    let task = json!({"action": "faulty/witness", "input": {"any": "input"}, "deterministic": true});
    let ends = [run_at(&first, "here", &task), run_at(&first, "there", &task), run_at(&second, "there", &task)];
    for end in &ends {
        assert_eq!((&end["status"], &end["deterministic"]), (&json!("completed"), &json!(true)), "{end:#}");
        assert_eq!(text(&end["output_hash"]).len(), 64, "{end:#}");
        assert_eq!(end["output_hash"], ends[0]["output_hash"], "{:#}\n{end:#}", ends[0]);
        assert_eq!(end["result"], ends[0]["result"]);
    }
    assert_ne!(ends[0]["worker_id"], ends[1]["worker_id"]);
    // Both nodes show the same hash of the same task, and so does the command line.
    let id = text(&ends[0]["task_id"]);
    assert_eq!(second.task(&id)["output_hash"], ends[0]["output_hash"]);
    let shown = second.cli(&["task", "status", &id]).expect(0).stdout;
    assert!(shown.contains(&text(&ends[0]["output_hash"])) && shown.contains("deterministic"), "{shown}");
    // Another input is another world, and the witness does see what differs in ordinary runs.
    let other = json!({"action": "faulty/witness", "input": {"any": "other"}, "deterministic": true});
    assert_ne!(run_at(&first, "here", &other)["output_hash"], ends[0]["output_hash"]);
    let ordinary = json!({"action": "faulty/witness", "input": {"any": "input"}});
    let twice = [run_at(&first, "here", &ordinary), run_at(&first, "here", &ordinary)];
    assert_ne!(twice[0]["output_hash"], twice[1]["output_hash"]);
    assert_ne!(twice[0]["result"]["random"], twice[1]["result"]["random"]);
}

#[test]
fn a_deterministic_task_ends_by_its_fuel_on_every_node_alike() {
    let (first, _second) = unlike();
    let task = json!({"action": "faulty/loop", "timeout_s": 0.5, "deterministic": true});
    let ends = ["here", "there"].map(|capability| run_at(&first, capability, &task));
    for end in ends {
        assert_eq!(end["status"], "failed", "{end:#}");
        assert_eq!(end["error"]["code"], "fuel-limit", "{end:#}");
        assert!(text(&end["error"]["message"]).contains("50000000 units of fuel"), "{end:#}");
    }
}
