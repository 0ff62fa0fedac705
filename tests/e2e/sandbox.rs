//! The sandbox, seen from outside: whatever a plugin does, the task ends with a reason and the node goes on.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::harness::{Spec, TestNode, text};

/// A node with tight limits, so that they are reached soon.
fn tight() -> TestNode {
    let spec = Spec::alone("tight").env("AKITA_SLOTS", "4").env("AKITA_TASK_TIMEOUT_S", "1");
    let spec = spec.env("AKITA_TASK_MEMORY_MB", "16").env("AKITA_TASK_OUTPUT_BYTES", "65536");
    spec.env("AKITA_MAX_TASK_EXECUTION_ATTEMPTS", "2").start()
}

fn failed(node: &TestNode, task: Value, code: &str, words: &str) {
    let id = node.submit(&task);
    let end = node.ended(&id);
    assert_eq!(end["status"], "failed", "{end:#}");
    assert_eq!(end["error"]["code"], code, "{end:#}");
    let message = text(&end["error"]["message"]);
    assert!(message.contains(words), "`{words}` is missing in: {message}");
}

/// Asks for `/health` again and again while `work` goes on; every answer must be good.
fn while_healthy(node: &TestNode, work: impl FnOnce()) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut asked = 0;
            while !over.load(Ordering::Relaxed) {
                assert_eq!(node.get("/health"), json!({"status": "ok"}));
                asked += 1;
                thread::sleep(Duration::from_millis(20));
            }
            asked
        });
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        over.store(true, Ordering::Relaxed);
        assert!(asking.join().expect("the node stays healthy") > 0);
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    });
}

#[test]
fn a_plugin_that_breaks_a_limit_fails_with_the_limits_name_and_the_node_goes_on() {
    let node = tight();
    while_healthy(&node, || {
        for action in ["trap", "panic", "deep-recursion"] {
            failed(&node, json!({"action": action}), "trap", "crashed");
        }
        for action in ["loop", "sleep"] {
            failed(&node, json!({"action": action}), "time-limit", "time limit");
        }
        failed(&node, json!({"action": "memory-bomb"}), "memory-limit", "memory limit of this task");
        failed(&node, json!({"action": "huge-result", "bytes": 100_000}), "output-limit", "limit of 64 KiB");
        failed(&node, json!({"action": "huge-result", "bytes": 8 << 20}), "output-limit", "limit");
        failed(&node, json!({"action": "fail-permanent"}), "on-purpose", "always fails");
        failed(&node, json!({"action": "invalid-input"}), "never-right", "always wrong");
        let id = node.submit(&json!({"action": "echo", "still": "here"}));
        assert_eq!(node.completed(&id)["result"], json!({"still": "here"}));
    });
    node.verify_ledger();
}

#[test]
fn floods_of_a_plugin_are_bounded() {
    let node = tight();
    while_healthy(&node, || {
        for action in ["log-flood", "progress-flood"] {
            let id = node.submit(&json!({"action": action, "lines": 20_000, "timeout_s": 60}));
            let end = node.ended(&id);
            assert!(matches!(end["status"].as_str(), Some("completed" | "failed")), "{end:#}");
        }
        let id = node.submit(&json!({"action": "emit-flood", "bytes": 4 << 20, "timeout_s": 60}));
        let end = node.ended(&id);
        assert!(end["status"] == "failed" || text(&end["result"]["refused"]).contains("limit"), "{end:#}");
    });
    let lines = node.get("/logs?limit=2000");
    assert!(lines["lines"].as_array().expect("lines").len() <= 2_000);
}

#[test]
fn all_slots_full_of_endless_loops_do_not_keep_the_node_from_anything() {
    let node = tight();
    while_healthy(&node, || {
        let ids = node.submit_all(vec![json!({"action": "loop"}); 6]);
        let echo = node.submit(&json!({"action": "echo", "priority": 0}));
        node.completed(&echo);
        for id in ids {
            assert_eq!(node.ended(&id)["error"]["code"], "time-limit");
        }
    });
}

#[test]
fn nothing_outside_the_sandbox_can_be_reached() {
    let node = tight();
    for action in ["open-file", "open-socket"] {
        let result = node.completed(&node.submit(&json!({"action": action})))["result"].clone();
        let attempts = result.as_object().expect("an object");
        assert!(attempts.len() >= 4);
        for (what, outcome) in attempts {
            assert_eq!(outcome["worked"], false, "{action}: {what} worked: {result:#}");
        }
    }
    let seen = node.completed(&node.submit(&json!({"action": "read-env"})))["result"].clone();
    assert_eq!((&seen["variables"], &seen["arguments"]), (&json!(0), &json!(0)), "{seen:#}");
    assert!(seen["stdin"]["worked"] == false || seen["stdin"]["count"] == 0, "{seen:#}");
    assert!(!std::path::Path::new("/tmp/akita-faulty").exists());
}

#[test]
fn attempts_are_counted_and_a_task_that_may_be_tried_again_is() {
    let node = tight();
    let second = node.submit(&json!({"action": "fail-retryable", "succeed_on": 2, "retry_after_ms": 1}));
    let done = node.completed(&second);
    assert_eq!((&done["attempts"], &done["result"]), (&json!(2), &json!({"attempt": 2})), "{done:#}");
    let third = node.submit(&json!({"action": "fail-retryable", "succeed_on": 3, "retry_after_ms": 1}));
    let end = node.ended(&third);
    assert_eq!((&end["status"], &end["attempts"]), (&json!("failed"), &json!(2)), "{end:#}");
    assert_eq!(end["error"]["code"], "busy");
    assert_eq!(node.ledger("TASK_REQUEUED").len(), 2);
    // A permanent failure is not tried again.
    let never = node.ended(&node.submit(&json!({"action": "fail-permanent"})));
    assert_eq!(never["attempts"], 1);
}

#[test]
fn the_time_limit_of_a_task_is_its_own() {
    let node = tight();
    // Longer than the node's default, and shorter.
    let longer = node.submit(&json!({"action": "slow", "ms": 1500, "timeout_s": 30}));
    let shorter = node.submit(&json!({"action": "slow", "input": {"ms": 60_000}, "timeout_s": 0.2}));
    node.completed(&longer);
    let end = node.ended(&shorter);
    assert_eq!(end["error"]["code"], "time-limit", "{end:#}");
    assert!(text(&end["error"]["message"]).contains("200 ms"), "{end:#}");
}

#[test]
fn output_that_is_no_json_is_given_as_bytes() {
    let node = tight();
    let bad = node.ended(&node.submit(&json!({"action": "bad-json"})));
    assert_eq!(bad["result"], Value::Null, "{bad:#}");
    assert_ne!(bad["status"], "pending");
    let bytes = json!({"action": "echo", "input_base64": "AAECAw==", "content_type": "application/octet-stream"});
    let echoed = node.completed(&node.submit(&bytes));
    assert_eq!((&echoed["result_base64"], &echoed["result"]), (&json!("AAECAw=="), &Value::Null));
}
