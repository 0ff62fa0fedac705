//! Being told to stop while there is work.

use rustix::process::Signal;
use serde_json::json;

use crate::{
    cluster::completions,
    harness::{Spec, TestNode, wait_until},
};

fn busy(name: &str, ms: u64) -> (TestNode, Vec<String>) {
    let node = Spec::alone(name).start();
    let ids = node.submit_all(vec![json!({"action": "slow", "ms": ms}); 4]);
    wait_until("two to run", || node.get("/tasks?status=running")["tasks"].as_array().map(Vec::len) == Some(2));
    (node, ids)
}

#[test]
fn sigterm_lets_running_tasks_end_and_keeps_those_that_wait() {
    let (mut node, ids) = busy("drains", 1500);
    node.signal(Signal::TERM);
    wait_until("the node to refuse work", || {
        node.try_post("/tasks/submit", &json!({"action": "echo"})).is_none_or(|(code, _)| code == 503)
    });
    assert_eq!(node.wait_exit().code(), Some(0));
    node.start();
    let first_life = node.ledger("TASK_COMPLETED");
    assert!(first_life.len() >= 2, "those that ran were let end");
    for id in &ids {
        assert_eq!(node.completed(id)["attempts"], 1, "nothing was begun twice");
    }
    let times = completions(&node);
    assert!(ids.iter().all(|id| times.get(id) == Some(&1)), "{ids:?} {times:?}\n{}", node.log());
    assert_eq!((node.ledger("NODE_START").len(), node.ledger("NODE_STOP").len()), (2, 1));
    node.verify_ledger();
}

#[test]
fn sigterm_ends_work_that_outlasts_the_grace_and_it_runs_again_later() {
    let spec = Spec::alone("impatient").env("AKITA_SHUTDOWN_GRACE_S", "0.3");
    let mut node = spec.start();
    let id = node.submit(&json!({"action": "slow", "ms": 2500}));
    wait_until("it to run", || node.task(&id)["status"] == "running");
    node.stop();
    node.start();
    node.completed(&id);
    assert_eq!(completions(&node).get(&id), Some(&1));
}

#[test]
fn a_second_sigterm_ends_the_process_at_once_and_loses_nothing() {
    let (mut node, ids) = busy("hurried", 4000);
    node.signal(Signal::TERM);
    wait_until("the first signal to be heard", || node.log().contains("asked to stop"));
    node.signal(Signal::INT);
    let status = node.wait_exit();
    assert!(status.code().is_some_and(|code| code != 0), "{status}");
    assert!(node.log().contains("stopped at once"));
    node.start();
    for id in &ids {
        node.completed(id);
    }
    let times = completions(&node);
    assert!(ids.iter().all(|id| times.get(id) == Some(&1)));
    node.verify_ledger();
}
