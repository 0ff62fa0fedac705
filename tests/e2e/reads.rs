//! How new an answer is, on whichever node it is asked for: confirmed, or marked as stale, or none at all; and that who
//! has submitted sees it.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    harness::{TestNode, find, text, wait_until},
    meeting::leads,
    voters::{accept, lead_first, mesh_of, three, voters, wait_for_voters},
};

/// Answers with that status, and what it says.
#[track_caller]
fn asked(node: &TestNode, path: &str, status: u16) -> Value {
    let (code, body) = node.try_get(path).expect("an answer");
    assert_eq!(code, status, "{path} on {}: {body:#}", node.name());
    body
}

fn lists(list: &Value, id: &str) -> bool {
    list["tasks"].as_array().is_some_and(|tasks| tasks.iter().any(|task| task["task_id"] == id))
}

#[test]
fn who_has_submitted_sees_it_on_any_node_as_new_as_it_is_asked_for() {
    let mut nodes = mesh_of(4, |_, spec| spec);
    wait_for_voters(&nodes, 3);
    let held = voters(&nodes[0]);
    let at = nodes.iter().position(|node| !held.contains(&node.id())).expect("one that only works");
    let worker = nodes.remove(at);
    lead_first(&mut nodes);

    for from in [&nodes[0], &nodes[1], &worker] {
        let task = json!({"action": "echo", "required_capabilities": ["nobody"]});
        let (id, index) = find("it to be accepted", || {
            let (_, taken) = from.try_post("/tasks/submit", &task)?;
            Some((text(&taken["task_id"]), taken["index"].as_u64()?))
        });
        // Each voter's own copy has it once it has applied that entry, and the others ask.
        for node in &nodes {
            let seen = asked(node, &format!("/tasks/{id}?consistency=stale&after={index}"), 200);
            assert_eq!((&seen["status"], &seen["stale"]), (&json!("pending"), &json!(true)), "{seen:#}");
            assert!(seen["as_of_index"].as_u64() >= Some(index), "{seen:#}");
        }
        for node in nodes.iter().chain([&worker]) {
            let seen = asked(node, &format!("/tasks/{id}?after={index}"), 200);
            assert_eq!((&seen["status"], &seen["stale"]), (&json!("pending"), &json!(false)), "{seen:#}");
            let list = asked(node, "/tasks?consistency=linearizable", 200);
            assert!(lists(&list, &id) && list["stale"] == false, "{list:#}");
            let rows = asked(node, &format!("/ledger?consistency=linearizable&task_id={id}"), 200);
            assert_eq!((&rows["rows"][0]["event_type"], &rows["stale"]), (&json!("TASK_SUBMITTED"), &json!(false)));
            for path in ["/cluster/status", "/cluster/members"] {
                let view = asked(node, &format!("{path}?consistency=linearizable"), 200);
                assert_eq!((&view["fresh"], &view["stale"]), (&json!(true), &json!(false)), "{view:#}");
            }
        }
    }

    // A node without a copy says so, and does not show an empty one.
    let refused = asked(&worker, "/tasks?consistency=stale", 503);
    assert!(text(&refused["detail"]).contains("only works") && text(&refused["hint"]).contains("--stale"));
    let known = worker.cli(&["cluster", "status", "--stale"]).expect(0);
    assert!(known.stdout.contains("(last known)") && known.stderr.contains("stale:"), "{known:?}");

    // The same by the command line.
    let task = r#"{"action":"echo","n":1,"required_capabilities":["nobody"]}"#;
    let out = nodes[1].cli(&["task", "submit", "--wait-visible", task]).expect(0);
    let stale = nodes[1].cli(&["task", "status", out.stdout.trim(), "--stale"]).expect(0);
    assert!(stale.stdout.contains("pending") && stale.stderr.contains("as of entry"), "{stale:?}");
    let fresh = worker.cli(&["task", "list", "--consistent"]).expect(0);
    assert!(fresh.stdout.contains(out.stdout.trim()) && fresh.stderr.is_empty(), "{fresh:?}");

    // What is not there in time is told as that.
    let late = asked(&nodes[1], "/tasks?after=100000000", 503);
    assert_eq!(late["type"], "urn:akita:problem:behind", "{late:#}");
    assert!(text(&late["detail"]).contains("and not to entry 100000000 within 10 s"), "{late:#}");
}

#[test]
fn a_leader_that_was_frozen_and_one_without_a_majority_answer_nothing_old_as_new() {
    let mut nodes = three();
    // Frozen while another is elected and goes on: it wakes up believing that it leads.
    nodes[0].signal(Signal::STOP);
    let old = nodes.remove(0);
    let id = accept(&nodes[0], &json!({"action": "echo", "required_capabilities": ["nobody"]}));
    old.signal(Signal::CONT);
    let woke = Instant::now();
    let mut asked_often = 0;
    while woke.elapsed() < Duration::from_secs(2) {
        for path in [format!("/tasks/{id}"), format!("/tasks/{id}?consistency=linearizable")] {
            match old.try_get(&path).expect("an answer") {
                (200, seen) => assert!(seen["task_id"] == id.as_str(), "{seen:#}"),
                (code, body) => assert_eq!(code, 503, "{path}: {body:#}"),
            }
        }
        // All of them: while nobody led, each attempt to submit left one in the outbox, which came to the log after this one.
        let (code, list) = old.try_get("/tasks?limit=1000").expect("an answer");
        assert!(code == 503 || list["stale"] == true || lists(&list, &id), "{list:#}");
        asked_often += 1;
    }
    assert!(asked_often > 0);
    let seen = asked(&old, &format!("/tasks/{id}?consistency=linearizable"), 200);
    assert_eq!(seen["stale"], false, "{seen:#}");

    nodes.push(old);
    lead_first(&mut nodes);
    nodes[1].signal(Signal::STOP);
    nodes[2].signal(Signal::STOP);
    wait_until("it to know that it leads nobody", || !leads(&nodes[0]));
    let begun = Instant::now();
    let refused = asked(&nodes[0], &format!("/tasks/{id}?consistency=linearizable"), 503);
    assert!(begun.elapsed() < Duration::from_secs(30), "it takes a bounded time");
    assert!(text(&refused["detail"]).contains("no leader confirmed"), "{refused:#}");
    assert!(text(&refused["hint"]).contains("consistency=stale"), "{refused:#}");
    let out = nodes[0].cli(&["task", "list", "--consistent"]);
    assert!(out.code == 4 && out.stderr.contains("no leader confirmed"), "{out:?}");
    for reading in ["", "?consistency=stale"] {
        let seen = asked(&nodes[0], &format!("/tasks/{id}{reading}"), 200);
        assert_eq!((&seen["stale"], &seen["status"]), (&json!(true), &json!("pending")), "{seen:#}");
        assert!(seen["as_of_index"].as_u64() > Some(0), "{seen:#}");
    }
    let refused = nodes[0].cli(&["task", "submit", "--wait-visible", r#"{"action":"echo"}"#]);
    assert!(refused.code == 4 && refused.stderr.contains("queued_locally, and not accepted yet"), "{refused:?}");
    nodes[1..].iter().for_each(|node| node.signal(Signal::CONT));
    let seen = find("a majority again", || {
        let (code, seen) = nodes[0].try_get(&format!("/tasks/{id}?consistency=linearizable"))?;
        (code == 200).then_some(seen)
    });
    assert_eq!((&seen["stale"], &seen["status"]), (&json!(false), &json!("pending")), "{seen:#}");
}
