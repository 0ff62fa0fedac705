//! Two nodes that are killed and come back in turn while tasks keep coming: whatever either has accepted ends.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use rustix::process::Signal;
use serde_json::json;

use crate::{
    harness::{Spec, TestNode, find, text},
    meeting::{pair, wait_until_met},
};

/// Kills of one node or the other.
const ROUNDS: u64 = 5;

/// A node, and where it is reached while somebody else kills it.
struct Victim {
    node: Mutex<TestNode>,
    api: Mutex<String>,
}

impl Victim {
    fn new(node: TestNode) -> Victim {
        Victim { api: Mutex::new(node.api().to_owned()), node: Mutex::new(node) }
    }

    fn kill_and_restart(&self, dead_for: Duration) {
        let mut node = self.node.lock().expect("the node");
        node.signal(Signal::KILL);
        thread::sleep(dead_for);
        node.kill_9();
        node.start();
        node.api().clone_into(&mut self.api.lock().expect("the address"));
    }

    /// Submits until it is all over, although the node is gone now and then; remembers what was accepted.
    fn keep_submitting(&self, over: &AtomicBool, accepted: &Mutex<Vec<String>>) {
        let mut n = 0;
        while !over.load(Ordering::Relaxed) {
            n += 1;
            let api = self.api.lock().expect("the address").clone();
            let task = json!({"action": "slow", "ms": 100, "n": n});
            if let Some((202, body)) = TestNode::post_to(&api, "/tasks/submit", &task) {
                accepted.lock().expect("the list").push(text(&body["task_id"]));
            }
            thread::sleep(Duration::from_millis(60));
        }
    }
}

/// The same moments in every run, unless `AKITA_E2E_SEED` says otherwise.
fn seed() -> u64 {
    std::env::var("AKITA_E2E_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(11)
}

#[test]
fn whatever_two_nodes_have_accepted_ends_although_each_is_killed_at_random() {
    let quick = |name| {
        let spec = Spec::new(name).env("AKITA_NODE_TIMEOUT_S", "3").env("AKITA_LEADER_ELECTION_TIMEOUT_S", "0.5");
        spec.env("AKITA_MAX_TASK_EXECUTION_ATTEMPTS", "50")
    };
    let (one, other) = pair(quick("one"), quick("other"));
    let nodes = [one, other].map(Victim::new);
    let (over, accepted) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let mut dice = StdRng::seed_from_u64(seed());
    thread::scope(|scope| {
        for node in &nodes {
            scope.spawn(|| node.keep_submitting(&over, &accepted));
        }
        for _ in 0..ROUNDS {
            thread::sleep(Duration::from_millis(dice.random_range(50..1500)));
            let dead_for = Duration::from_millis(dice.random_range(50..2500));
            nodes[dice.random_range(0..2)].kill_and_restart(dead_for);
        }
        over.store(true, Ordering::Relaxed);
    });
    let [one, other] = nodes.map(|victim| victim.node.into_inner().expect("the node"));
    wait_until_met(&[&one, &other]);
    let accepted = accepted.into_inner().expect("the list");
    assert!(accepted.len() > 20, "too few to mean anything: {}", accepted.len());
    for id in &accepted {
        one.completed(id);
    }
    for id in &accepted {
        assert_eq!(other.completed(id)["result"]["worked_ms"], 100);
    }
    for node in [&one, &other] {
        assert_eq!(node.get("/ledger/verify?local=true")["ok"], true);
    }
    find("empty books", || {
        let tasks = [&one, &other].map(|node| node.get("/status")["tasks"].clone());
        let left = |state: &str| tasks.iter().map(|tasks| tasks[state].as_u64().unwrap_or(0)).sum::<u64>();
        ["queued_locally", "pending", "assigned", "running"].iter().all(|state| left(state) == 0).then_some(())
    });
}
