//! Two nodes that work together.

use std::collections::BTreeMap;

use serde_json::json;

use crate::{
    harness::{Spec, TestNode, text, wait_until},
    meeting::{leader_first, leads, pair, wait_until_met},
};

/// How often each task has completed, by the ledger.
pub fn completions(node: &TestNode) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for row in node.ledger("TASK_COMPLETED") {
        *times.entry(text(&row["task_id"])).or_default() += 1;
    }
    times
}

#[test]
fn two_nodes_meet_and_a_task_goes_where_its_capability_is() {
    let (alpha, beta) = pair(Spec::new("alpha"), Spec::new("beta").arg("--capabilities", "gpu"));
    let view = alpha.get("/cluster/status");
    assert_eq!(view["nodes"].as_array().map(Vec::len), Some(2), "{view:#}");
    assert_eq!(view["open"], true);
    assert_eq!(view["cluster_id"], beta.get("/cluster/status")["cluster_id"]);
    assert!(leads(&alpha) != leads(&beta));
    let (gpu, train) = (beta.id(), json!({"action": "stats/train", "csv": "x,y\n1,2\n2,4\n3,6", "target": "y"}));
    for node in [&alpha, &beta] {
        let mut task = train.clone();
        task["required_capabilities"] = json!(["gpu"]);
        let id = node.submit(&task);
        for reader in [&alpha, &beta] {
            let done = reader.completed(&id);
            assert_eq!(done["worker_id"], gpu.as_str(), "{done:#}");
            assert!(!done["result"].is_null());
        }
    }
}

#[test]
fn any_node_answers_for_any_task_and_for_the_ledger() {
    let (leader, worker) = {
        let (one, other) = pair(Spec::new("one"), Spec::new("other"));
        leader_first(one, other)
    };
    for (submitter, reader) in [(&leader, &worker), (&worker, &leader)] {
        let id = submitter.submit(&json!({"action": "echo", "from": submitter.name()}));
        assert_eq!(reader.completed(&id)["result"], json!({"from": submitter.name()}));
        assert_eq!(submitter.task(&id)["status"], "completed");
        let listed = reader.get("/tasks?status=completed");
        assert!(listed["tasks"].as_array().expect("tasks").iter().any(|task| task["task_id"] == id.as_str()));
        let rows = reader.get(&format!("/ledger?task_id={id}&event_type=TASK_COMPLETED"));
        assert_eq!(rows["total"], 1);
    }
    // The worker's own copy holds its own rows, and both verify.
    for path in ["/ledger/verify", "/ledger/verify?local=true"] {
        assert_eq!(worker.get(path)["ok"], true);
    }
    // What one node refuses, the other refuses with the same words.
    let wrong = |node: &TestNode| node.try_post("/tasks/submit", &json!({"action": "ehco"})).expect("an answer");
    let (here, there) = (wrong(&leader), wrong(&worker));
    assert_eq!((here.0, &here.1["detail"], &here.1["hint"]), (there.0, &there.1["detail"], &there.1["hint"]));
    assert_eq!(here.0, 422);
}

#[test]
fn a_batch_of_a_thousand_completes_once_with_work_on_both_nodes() {
    let (alpha, beta) = pair(Spec::new("alpha"), Spec::new("beta"));
    let tasks = (0..1000).map(|n| json!({"action": "digest/sha256", "text": format!("task {n}")}));
    let ids = alpha.submit_all(tasks.collect());
    wait_until("the batch", || {
        let leader = if leads(&alpha) { &alpha } else { &beta };
        leader.get("/status")["tasks"]["completed"].as_u64() >= Some(1000)
    });
    let times = completions(&beta);
    assert_eq!(times.len(), 1000);
    assert!(ids.iter().all(|id| times.get(id) == Some(&1)));
    let mut share: BTreeMap<String, usize> = BTreeMap::new();
    for task in beta.get("/tasks?limit=1000")["tasks"].as_array().expect("tasks") {
        *share.entry(text(&task["worker_id"])).or_default() += 1;
    }
    assert_eq!(share.len(), 2, "work on both: {share:?}");
    assert!(share.values().all(|count| *count >= 100), "neither idles: {share:?}");
    alpha.verify_ledger();
    beta.verify_ledger();
}

#[test]
fn an_input_and_a_result_of_megabytes_cross_the_mesh() {
    let (alpha, beta) = pair(Spec::new("alpha"), Spec::new("beta").arg("--capabilities", "store"));
    let text: String = ('a'..='z').cycle().take(900_000).collect();
    for node in [&alpha, &beta] {
        let task = json!({"action": "echo", "input": {"text": text}, "required_capabilities": ["store"]});
        let id = node.submit(&task);
        for reader in [&alpha, &beta] {
            let done = reader.completed(&id);
            assert!(done["result"]["text"] == text.as_str(), "the text came back changed");
        }
    }
}

#[test]
fn progress_of_a_task_on_another_node_is_shown() {
    let (alpha, beta) = pair(Spec::new("alpha"), Spec::new("beta").arg("--capabilities", "far"));
    let task = json!({"action": "slow", "ms": 60_000, "required_capabilities": ["far"]});
    let id = alpha.submit(&task);
    for node in [&alpha, &beta] {
        wait_until("progress from afar", || node.task(&id)["progress"]["percent"].is_u64());
    }
}

#[test]
fn a_third_node_that_reaches_only_the_second_works_for_the_first() {
    let (near, middle) = (crate::prepare::free_address(), crate::prepare::free_address());
    let first = Spec::new("first").arg("--mesh-listen", &near).start();
    let second = Spec::new("second").arg("--mesh-peer", &near).arg("--mesh-listen", &middle).start();
    let third = Spec::new("third").arg("--mesh-peer", &middle).arg("--capabilities", "far").start();
    wait_until_met(&[&first, &second, &third]);
    for node in [&first, &second, &third] {
        let id = node.submit(&json!({"action": "echo", "n": 1, "required_capabilities": ["far"]}));
        assert_eq!(first.completed(&id)["worker_id"], third.id().as_str());
    }
}
