//! Power cuts: the process is killed at any moment, and everything that was accepted ends exactly once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::harness::{Spec, TestNode, find, text};

/// From the first submission to the kill, in milliseconds: among submissions, among runs, near the end.
const DELAYS: [u64; 7] = [5, 20, 60, 120, 250, 450, 800];
const BATCHES: usize = 12;
const BATCH: usize = 15;

/// Submits batches until they are all accepted or the node is gone; the ids of what it has accepted.
fn submit_until_gone(node: &TestNode, killed: &mpsc::Receiver<()>) -> Vec<String> {
    let mut accepted = Vec::new();
    for batch in 0..BATCHES {
        let tasks = (0..BATCH).map(|n| json!({"action": "echo", "batch": batch, "n": n}));
        let Some((202, Value::Array(ids))) = node.try_post("/tasks/submit", &tasks.collect()) else { break };
        accepted.extend(ids.iter().map(|one| text(&one["task_id"])));
    }
    let _ = killed.recv();
    accepted
}

#[test]
fn whatever_was_accepted_survives_kill_9_at_any_moment_and_ends_once() {
    let mut node = Spec::alone("crashes").start();
    let mut accepted = BTreeSet::new();
    for delay in DELAYS {
        let (done, killed) = mpsc::channel();
        let ids = thread::scope(|scope| {
            let shared = &node;
            let submitting = scope.spawn(move || submit_until_gone(shared, &killed));
            thread::sleep(Duration::from_millis(delay));
            shared.signal(rustix::process::Signal::KILL);
            drop(done);
            submitting.join().expect("submissions end")
        });
        node.kill_9();
        accepted.extend(ids);
        node.start();
    }
    assert!(!accepted.is_empty(), "nothing was accepted before any kill");

    // Also those that were accepted but whose answer was cut off.
    find("every task to end", || {
        let tasks = &node.get("/status")["tasks"];
        ["pending", "assigned", "running"].iter().all(|state| tasks[state].as_u64().unwrap_or(0) == 0).then_some(())
    });
    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    for row in node.ledger("TASK_COMPLETED") {
        *ends.entry(text(&row["task_id"])).or_default() += 1;
    }
    for id in &accepted {
        assert_eq!(ends.get(id), Some(&1), "task {id} must end exactly once: {:#}", node.task(id));
    }
    assert!(ends.values().all(|times| *times == 1), "a task ended twice");
    let submitted = node.ledger("TASK_SUBMITTED").len();
    assert_eq!(submitted, ends.len(), "every accepted task completes");
    let some = accepted.first().expect("looked at above");
    assert!(node.task(some)["result"]["batch"].is_u64());
    node.verify_ledger();
}
