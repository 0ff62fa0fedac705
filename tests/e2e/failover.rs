//! Nodes that go: a worker, the leader, with and without a word.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    cluster::completions,
    harness::{Spec, TestNode, find, wait_until},
    lifecycle::{put, versioned},
    meeting::{leader_first, leads, pair, wait_until_met},
    voters::{mesh_of, wait_for_voters},
};

/// A node that notices silence soon.
fn quick(name: &str) -> Spec {
    Spec::new(name).env("AKITA_NODE_TIMEOUT_S", "3").env("AKITA_LEADER_ELECTION_TIMEOUT_S", "1")
}

fn quick_pair() -> (TestNode, TestNode) {
    let (one, other) = pair(quick("one"), quick("other"));
    leader_first(one, other)
}

fn running_on(node: &TestNode, worker: &str) -> usize {
    let tasks = node.get("/tasks?status=running&limit=1000");
    tasks["tasks"].as_array().expect("tasks").iter().filter(|task| task["worker_id"] == worker).count()
}

#[test]
fn the_tasks_of_a_worker_that_is_killed_are_done_by_the_other() {
    let (leader, mut worker) = quick_pair();
    let lost = worker.id();
    let ids = leader.submit_all(vec![json!({"action": "slow", "ms": 1500}); 8]);
    wait_until("the worker to run some", || running_on(&leader, &lost) > 0);
    worker.kill_9();
    let row = find("NODE_OFFLINE", || leader.ledger("NODE_OFFLINE").into_iter().find(|row| row["node_id"] == *lost));
    assert!(row["details"]["reason"].as_str().is_some_and(|reason| reason.contains("silent")), "{row:#}");
    let requeued = leader.ledger("TASK_REQUEUED");
    assert!(!requeued.is_empty());
    let mine = leader.id();
    for id in &ids {
        let task = leader.completed(id);
        if requeued.iter().any(|row| row["task_id"] == **id) {
            assert_eq!(task["worker_id"], mine.as_str());
        }
    }
    let times = completions(&leader);
    assert!(ids.iter().all(|id| times.get(id) == Some(&1)));
    assert_eq!(status_of(&leader, &lost), "offline");
    leader.verify_ledger();

    // And when it is back, it works again.
    worker.start();
    wait_until_met(&[&leader, &worker]);
}

fn status_of(node: &TestNode, id: &str) -> String {
    let view = node.get("/cluster/status");
    let nodes = view["nodes"].as_array().expect("nodes");
    let one = nodes.iter().find(|node| node["node_id"] == id).unwrap_or(&Value::Null);
    one["status"].as_str().unwrap_or("absent").to_owned()
}

#[test]
fn a_worker_that_is_told_to_stop_leaves_at_once_and_loses_nothing() {
    // Nobody would call it lost by silence within the test's patience.
    let patient = |name| Spec::new(name).env("AKITA_NODE_TIMEOUT_S", "600");
    let (one, other) = pair(patient("one"), patient("other"));
    let (leader, mut worker) = leader_first(one, other);
    let gone = worker.id();
    let ids = leader.submit_all(vec![json!({"action": "slow", "ms": 1000}); 12]);
    wait_until("the worker to run some", || running_on(&leader, &gone) > 0);
    worker.stop();
    let row = find("NODE_OFFLINE", || leader.ledger("NODE_OFFLINE").into_iter().find(|row| row["node_id"] == *gone));
    assert!(row["details"]["reason"].as_str().is_some_and(|reason| reason.contains("shut down")), "{row:#}");
    for id in &ids {
        leader.completed(id);
    }
    let times = completions(&leader);
    assert!(ids.iter().all(|id| times.get(id) == Some(&1)));
    // What ran there when it was told to stop was let end, and its outcome taken.
    let done_there = ids.iter().filter(|id| leader.task(id)["worker_id"] == gone.as_str()).count();
    assert!(done_there > 0, "the worker delivered nothing");
}

#[test]
fn a_worker_goes_on_without_its_leader_and_both_become_one_again() {
    let (mut old, worker) = quick_pair();
    let before = old.submit(&json!({"action": "echo", "n": "before"}));
    old.completed(&before);
    let waits = old.submit(&json!({"action": "echo", "n": "waits", "required_capabilities": ["nobody"]}));
    old.kill_9();

    // At once: kept here or accepted by the new leader, never refused.
    let between = worker.submit(&json!({"action": "echo", "n": "between"}));
    worker.completed(&between);
    wait_until("the worker to lead", || leads(&worker));
    let after = worker.submit(&json!({"action": "echo", "n": "after"}));
    worker.completed(&after);
    assert_eq!(worker.ledger("LEADER_ELECTED").len(), 2, "its own first and second");

    old.start();
    wait_until_met(&[&old, &worker]);
    assert!(leads(&old) != leads(&worker));
    for node in [&old, &worker] {
        for (id, word) in [(&before, "before"), (&between, "between"), (&after, "after")] {
            assert_eq!(node.completed(id)["result"], json!({"n": word}), "on {}", node.name());
        }
        wait_until("the waiting task on the one leader", || {
            let found = node.try_get(&format!("/tasks/{waits}"));
            found.is_some_and(|(code, task)| code == 200 && task["status"] == "pending")
        });
        assert_eq!(node.get("/ledger/verify?local=true")["ok"], true);
    }
    let fresh = worker.submit(&json!({"action": "echo"}));
    old.completed(&fresh);
}

#[test]
fn tasks_are_kept_while_there_is_no_leader_and_delivered_when_it_is_back() {
    // Long enough that the worker does not found a cluster of its own during the test.
    let faithful = |name| Spec::new(name).env("AKITA_LEADER_ELECTION_TIMEOUT_S", "600");
    let (one, other) = pair(faithful("one"), faithful("other"));
    let (mut leader, mut worker) = leader_first(one, other);
    leader.kill_9();
    let (code, kept) = worker.try_post("/tasks/submit", &json!({"action": "echo", "kept": true})).expect("an answer");
    assert_eq!((code, &kept["status"]), (202, &json!("queued_locally")), "{kept:#}");
    let id = crate::harness::text(&kept["task_id"]);
    assert_eq!(worker.task(&id)["status"], "queued_locally");
    let listed = worker.get("/tasks?status=queued_locally");
    assert_eq!(listed["tasks"].as_array().map(Vec::len), Some(1), "{listed:#}");
    // It is as durable there as any other task.
    worker.signal(Signal::KILL);
    worker.kill_9();
    worker.start();
    assert_eq!(worker.task(&id)["status"], "queued_locally");
    leader.start();
    assert_eq!(worker.completed(&id)["result"], json!({"kept": true}));
    assert_eq!(completions(&leader).get(&id), Some(&1));
}

#[test]
fn a_power_cut_of_all_nodes_at_once_delays_their_tasks_by_no_time_limit() {
    let (mut leader, mut worker) = quick_pair();
    let far = worker.id();
    let ids = leader.submit_all(vec![json!({"action": "slow", "ms": 1500}); 6]);
    wait_until("the worker to run some", || running_on(&leader, &far) > 0);
    leader.kill_9();
    worker.kill_9();
    leader.start();
    worker.start();
    wait_until_met(&[&leader, &worker]);
    // Far sooner than WORKER_PROCESSING_TIMEOUT_S, which would give up on the worker that came back empty.
    for id in &ids {
        worker.completed(id);
    }
    assert!(leader.ledger("TASK_TIMEOUT").is_empty());
}

#[test]
fn what_a_former_leader_had_given_to_a_worker_that_lost_it_is_done_again() {
    let (one, other) = pair(quick("one").arg("--capabilities", "one"), quick("other").arg("--capabilities", "other"));
    let (mut leader, mut worker) = leader_first(one, other);
    let far = worker.id();
    let task = json!({"action": "slow", "ms": 3000, "required_capabilities": [worker.name()]});
    let id = leader.submit(&task);
    wait_until("the worker to run it", || running_on(&leader, &far) == 1);
    leader.kill_9();
    wait_until("the worker to lead", || leads(&worker));
    worker.kill_9();
    // Whichever of the two clusters gives way: it knows of a task that the other's node has lost.
    leader.start();
    worker.start();
    let done = worker.completed(&id);
    assert_eq!(done["worker_id"], far.as_str());
    assert_eq!(leader.completed(&id)["result"]["worked_ms"], 3000);
}

#[test]
fn waiting_tasks_outlive_any_number_of_changes_of_the_lead() {
    let (one, other) = quick_pair();
    let mut nodes = [one, other];
    let waits = json!({"action": "echo", "wait": "for it", "required_capabilities": ["late"]});
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(nodes[0].submit(&waits));
        let leader = usize::from(!leads(&nodes[0]));
        nodes[leader].kill_9();
        wait_until("the other to lead", || leads(&nodes[1 - leader]));
        ids.push(nodes[1 - leader].submit(&waits));
        nodes[leader].start();
        // Whichever of the two gives way hands over, also what the other had handed to it before.
        wait_until_met(&[&nodes[0], &nodes[1]]);
    }
    nodes[1].stop();
    nodes[1].spec_mut().set_arg("--capabilities", "late");
    nodes[1].start();
    wait_until_met(&[&nodes[0], &nodes[1]]);
    for id in &ids {
        for node in &nodes {
            assert_eq!(node.completed(id)["result"], json!({"wait": "for it"}));
        }
    }
}

#[test]
fn who_leads_next_knows_what_each_node_offers_before_it_refuses_anything() {
    let few = tempfile::tempdir().expect("a folder");
    put(few.path(), "talk.wasm", &versioned("talk", "1.0.0", 'O'));
    let nodes = mesh_of(3, |at, spec| if at == 2 { spec } else { spec.plugins(few.path()) });
    wait_for_voters(&nodes, 3);
    let mut accepted = Vec::new();
    for next in [0, 1, 0, 1].map(|at: usize| &nodes[at]).into_iter().filter(|next| !leads(next)) {
        nodes[2].cli(&["cluster", "transfer-leadership", next.name()]).expect(0);
        // Only the third node has the action, and none of them waits until the new leader has heard of that.
        accepted.extend(nodes.iter().map(|node| node.submit(&json!({"action": "echo", "next": next.name()}))));
    }
    assert!(accepted.len() >= 9, "at least three moves");
    for id in &accepted {
        assert_eq!(nodes[0].completed(id)["worker_id"], nodes[2].id().as_str());
    }
    let refused = nodes[0].try_post("/tasks/submit", &json!({"action": "no-such"})).expect("an answer");
    assert_eq!(refused.0, 422, "{refused:?}");
}
