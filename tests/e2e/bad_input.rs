//! What a user can get wrong in a request: refused with words that help, and the node goes on.

use serde_json::{Value, json};

use crate::harness::{Spec, text};

fn problem(answer: Option<(u16, Value)>, status: u16, kind: &str) -> Value {
    let (code, body) = answer.expect("the node answers");
    assert_eq!(code, status, "{body:#}");
    assert_eq!(body["type"], format!("urn:akita:problem:{kind}"), "{body:#}");
    assert!(!text(&body["detail"]).is_empty());
    body
}

#[test]
fn a_wrong_request_is_refused_with_its_fault() {
    let node = Spec::alone("refuses").env("AKITA_MAX_INPUT_BYTES", "1000").start();
    let post = |body: Value| node.try_post("/tasks/submit", &body);
    let unknown = problem(post(json!({"action": "basic/echo"})), 422, "invalid");
    assert!(text(&unknown["hint"]).contains("basics/echo"), "{unknown:#}");
    let priority = problem(post(json!({"task_data": {"action": "echo"}, "priority": 300})), 422, "invalid");
    assert_eq!(priority["pointer"], "/priority");
    let second = problem(post(json!([{"action": "echo"}, {"action": 7}])), 422, "invalid");
    assert_eq!(second["pointer"], "/1/action");
    problem(post(json!({"action": "echo", "input": "x".repeat(2_000)})), 413, "too-large");
    problem(post(json!({"action": "echo", "timeout_s": 1_000_000})), 422, "invalid");
    problem(node.try_get("/tasks/0199f0e2-55c1-7d3a-9a55-0c3d5b1f8a21"), 404, "no-such-task");
    problem(node.try_get("/tasks/xyz"), 400, "bad-request");
    problem(node.try_get("/nowhere"), 404, "not-found");
    // All or none: the good one of a batch with a bad one was not accepted.
    assert_eq!(node.get("/tasks")["tasks"], json!([]));
    let id = node.submit(&json!({"action": "echo", "still": "here"}));
    assert_eq!(node.completed(&id)["result"], json!({"still": "here"}));
}

#[test]
fn a_full_queue_refuses_and_takes_again_when_there_is_room() {
    let node = Spec::alone("full").env("AKITA_MAX_TASK_QUEUE_SIZE", "4").start();
    let waits = json!({"action": "echo", "required_capabilities": ["nobody-has-it"]});
    node.submit_all(vec![waits.clone(); 3]);
    problem(node.try_post("/tasks/submit", &json!([waits, waits])), 429, "queue-full");
    // One still fits, runs although others that came first cannot, and gives its place back.
    for _ in 0..3 {
        let id = node.submit(&json!({"action": "echo"}));
        node.completed(&id);
    }
    node.submit(&waits);
    problem(node.try_post("/tasks/submit", &json!({"action": "echo"})), 429, "queue-full");
}
