//! What outlives the process: identity, tasks, results, the ledger.

use serde_json::json;

use crate::harness::{Spec, wait_until};

#[test]
fn a_node_comes_back_as_itself_with_its_tasks_results_and_ledger() {
    let mut node = Spec::alone("returns").start();
    let id = node.id();
    let done = node.submit(&json!({"action": "echo", "keep": [1, 2, 3]}));
    node.completed(&done);
    let waits = node.submit(&json!({"action": "echo", "required_capabilities": ["later"], "priority": 7}));
    let before = node.get("/ledger/verify");

    node.stop();
    node.spec_mut().set_arg("--capabilities", "later");
    node.start();
    assert_eq!(node.id(), id);
    let task = node.task(&done);
    assert_eq!(task["result"], json!({"keep": [1, 2, 3]}), "{task:#}");
    assert_eq!(task["status"], "completed");
    // What waited goes on, and now there is a node for it.
    assert_eq!(node.completed(&waits)["priority"], 7);

    assert_eq!(node.ledger("NODE_START").len(), 2);
    assert_eq!(node.ledger("NODE_STOP").len(), 1);
    node.verify_ledger();
    let after = node.get("/ledger/verify");
    assert!(after["rows"].as_u64() > before["rows"].as_u64(), "{before:#} {after:#}");
    assert!(after["checkpoints"].as_u64() >= Some(1), "a clean stop signs the ledger: {after:#}");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &node.data_dir().join("identity").metadata().expect("the identity is kept").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_plugin_folder_may_change_between_two_starts() {
    let empty = tempfile::tempdir().expect("a folder");
    let mut node = Spec::alone("changes").start();
    let waits = node.submit(&json!({"action": "echo", "required_capabilities": ["later"]}));
    node.stop();
    let full = node.spec_mut().swap_plugins(empty.path());
    node.spec_mut().set_arg("--capabilities", "later");
    node.start();
    wait_until("the reason that the task waits", || {
        let task = node.task(&waits);
        task["status"] == "pending" && task["reason"].as_str().is_some_and(|reason| reason.contains("basics/echo"))
    });
    node.stop();
    node.spec_mut().swap_plugins(&full);
    node.start();
    node.completed(&waits);
}
