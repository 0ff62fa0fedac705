//! What a task emits and how far it is can be followed from any node while it runs, and nobody who does not ask gets it.
//! An input comes in pieces where a plugin asks for them.

use std::{fs, path::Path, thread};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    harness::{Spec, TestNode, text, wait_until},
    lifecycle::{put, wait_for},
    talkers::{adder, talker},
};

/// Puts the guest that waits for the sensor `g` there, and the sensor.
fn install(dir: &Path) {
    fs::write(dir.join("go"), "0").expect("written");
    let grants = "[sensor.g]\nfile = \"go\"\nevery_s = 1\n[plugin.talk]\ninterfaces = [\"sensors\"]\n";
    put(dir, "akita-plugins.toml", grants.as_bytes());
    put(dir, "talk.wasm", &talker("talk").component());
}

fn release(dir: &Path) {
    fs::write(dir.join("go"), "1").expect("written");
}

fn task(words: &str) -> Value {
    json!({"action": "talk/run", "input_base64": BASE64_STANDARD.encode(words), "content_type": "text/plain",
           "timeout_s": 300})
}

fn piece(output: &Value) -> String {
    String::from_utf8(BASE64_STANDARD.decode(text(&output["piece_base64"])).expect("base64")).expect("text")
}

fn emitted(node: &TestNode, id: &str, query: &str) -> Value {
    node.get(&format!("/tasks/{id}/output?{query}"))
}

#[test]
fn partial_output_and_progress_are_followed_from_both_nodes_while_the_task_runs() {
    let address = crate::prepare::free_address();
    let (own, none) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    let works = Spec::new("works").arg("--mesh-listen", &address).plugins(own.path()).start();
    let looks = Spec::new("looks").arg("--mesh-peer", &address).plugins(none.path()).start();
    install(own.path());
    wait_for(&works, "talk.wasm", "ready");
    wait_until("the other can submit it", || {
        looks.try_post("/tasks/submit", &json!({"action": "talk/run", "timeout_s": 1})).is_some_and(|a| a.0 == 202)
    });
    let id = looks.submit(&task("first words\n"));
    for node in [&looks, &works] {
        wait_until("the first piece", || piece(&emitted(node, &id, "")) == "first words\n");
        wait_until("the progress", || emitted(node, &id, "")["progress"]["percent"] == 50);
        // Output comes from the worker at once, and that it runs once the leader has committed it.
        wait_until("it runs for everybody", || emitted(node, &id, "")["status"] == "running");
        let output = emitted(node, &id, "");
        assert_eq!((&output["status"], &output["attempt"]), (&json!("running"), &json!(1)), "{output:#}");
        assert_eq!((&output["offset"], &output["total"]), (&json!(0), &json!(12)), "{output:#}");
        let rest = emitted(node, &id, "attempt=1&offset=6");
        assert_eq!((piece(&rest).as_str(), &rest["offset"]), ("words\n", &json!(6)));
        assert_eq!(node.task(&id)["progress"]["note"], "half");
    }

    // Whoever follows gets the rest as it comes, then the result. Bytes that are asked for with a wait are held back.
    thread::scope(|scope| {
        let watching = scope.spawn(|| looks.cli(&["task", "watch", &id]));
        let waiting = scope.spawn(|| emitted(&works, &id, "attempt=1&offset=12&wait=60"));
        release(own.path());
        assert_eq!(piece(&waiting.join().expect("it answers")), " and more");
        let out = watching.join().expect("it ends").expect(0);
        assert_eq!(out.stdout, "first words\n and more\ndone\n");
    });
    let end = emitted(&looks, &id, "attempt=1&offset=12");
    assert_eq!((piece(&end).as_str(), &end["status"]), (" and more", &json!("completed")), "kept for a while");
    assert_eq!(looks.try_get("/tasks/0199f0e2-55c1-7d3a-9a55-0c3d5b1f8a21/output").expect("an answer").0, 404);
}

#[test]
fn a_task_that_emits_nothing_or_has_not_begun_is_followed_to_its_end() {
    let dir = TempDir::new().expect("a folder");
    let node = Spec::alone("quiet").plugins(dir.path()).start();
    install(dir.path());
    wait_for(&node, "talk.wasm", "ready");
    release(dir.path());
    let id = node.submit(&task(""));
    let saved = node.dir().join("saved");
    node.cli(&["task", "watch", &id, "--save", &saved.to_string_lossy()]).expect(0);
    assert_eq!(fs::read_to_string(&saved).expect("a file"), " and more");
    let wrong = node.cli(&["task", "watch", "0199f0e2-55c1-7d3a-9a55-0c3d5b1f8a21"]).expect(5);
    assert!(wrong.stderr.contains("no task"), "{}", wrong.stderr);
}

#[test]
fn an_input_that_is_larger_than_the_plugins_memory_is_read_in_pieces() {
    let dir = TempDir::new().expect("a folder");
    put(dir.path(), "akita-plugins.toml", b"[plugin.add]\nmemory_mb = 3\n");
    put(dir.path(), "add.wasm", &adder("add").component());
    let node = Spec::alone("pieces").plugins(dir.path()).start();
    // As much as MAX_INPUT_BYTES allows.
    for size in [4 << 20, 0, 1, (1 << 20) + 1] {
        let input: Vec<u8> = (0..size).map(|n: u32| (n % 251) as u8).collect();
        let task = json!({"action": "add/run", "input_base64": BASE64_STANDARD.encode(&input),
                          "content_type": "application/octet-stream"});
        let done = node.completed(&node.submit(&task));
        let told = BASE64_STANDARD.decode(text(&done["result_base64"])).expect("base64");
        let number = |at: usize| u64::from_le_bytes(told[at..at + 8].try_into().expect("eight bytes"));
        let sum = input.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        assert_eq!((number(0), number(8)), (u64::from(size), sum));
    }
}
