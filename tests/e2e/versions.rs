//! Versions of one plugin live side by side, in a node and in a cluster; and what has to be compiled keeps no node from
//! starting.

use std::fmt::Write as _;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    guests::Guest,
    harness::{Spec, find, text, wait_until},
    lifecycle::{Bench, ask, bytes, put, versioned},
};

#[test]
fn a_version_can_be_named_and_the_newest_is_meant_where_none_is() {
    let bench = Bench::new("versions");
    // As text 1.9.0 would be the greater.
    for (file, version, word) in [("a.wasm", "1.10.0", 'N'), ("b.wasm", "1.9.0", 'M'), ("c.wasm", "1.0.0", 'O')] {
        bench.put(file, &versioned("talk", version, word));
        bench.wait_for(file, "ready");
    }
    let answers = |expect: &[(&str, &str)]| {
        expect.iter().for_each(|(action, word)| assert_eq!(ask(&bench.node, action, ""), bytes(word), "{action}"));
    };
    answers(&[("talk/run", "N"), ("run", "N"), ("talk@1.9.0/run", "M"), ("talk@1.0.0/run", "O")]);
    assert_eq!(bench.node.get("/status")["actions"], json!(["talk/run"]));
    let shown = bench.node.cli(&["plugin", "list"]).expect(0).stdout;
    assert!(["1.10.0", "1.9.0", "1.0.0"].iter().all(|version| shown.contains(version)), "{shown}");

    let refused = bench.node.cli(&["task", "submit", r#"{"action":"talk@2.0.0/run"}"#]).expect(5);
    assert!(refused.stderr.contains("did you mean talk@1.9.0/run"), "{}", refused.stderr);

    // The same version twice, with another content.
    bench.put("d.wasm", &versioned("talk", "1.9.0", 'X'));
    let twice = text(&bench.wait_for("d.wasm", "rejected")["reason"]);
    assert!(twice.contains("`talk@1.9.0` is already loaded from") && twice.contains("b.wasm"), "{twice}");

    // One version is set aside, then all; a name without a version brings all back.
    bench.node.cli(&["plugin", "disable", "talk@1.10.0"]).expect(0);
    answers(&[("talk/run", "M"), ("talk@1.0.0/run", "O")]);
    bench.node.cli(&["plugin", "disable", "talk"]).expect(0);
    assert_eq!(bench.node.get("/status")["actions"], json!([]));
    bench.node.cli(&["plugin", "enable", "talk"]).expect(0);
    answers(&[("talk/run", "N")]);

    std::fs::remove_file(bench.path("a.wasm")).expect("removed");
    wait_until("the next version is meant", || ask(&bench.node, "talk/run", "") == bytes("M"));
    bench.node.verify_ledger();
}

#[test]
fn a_task_that_names_a_version_finds_the_node_that_has_it() {
    let address = crate::prepare::free_address();
    let (own, theirs) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    put(own.path(), "talk.wasm", &versioned("talk", "1.0.0", 'O'));
    put(theirs.path(), "talk.wasm", &versioned("talk", "2.0.0", 'N'));
    let listening = Spec::new("one").arg("--mesh-listen", &address).plugins(own.path()).start();
    let calling = Spec::new("two").arg("--mesh-peer", &address).plugins(theirs.path()).start();
    for node in [&listening, &calling] {
        for (action, word) in [("talk@1.0.0/run", "O"), ("talk@2.0.0/run", "N")] {
            let taken = || node.try_post("/tasks/submit", &json!({"action": action})).is_some_and(|a| a.0 == 202);
            wait_until(action, taken);
            (0..3).for_each(|_| assert_eq!(ask(node, action, ""), bytes(word), "{action}"));
        }
    }
    // A new version in the place of the old one: the digest changes though the actions are the same.
    put(theirs.path(), "talk.wasm", &versioned("talk", "3.0.0", 'L'));
    for node in [&listening, &calling] {
        let gone = || {
            let answer = node.try_post("/tasks/submit", &json!({"action": "talk@2.0.0/run"}));
            answer.filter(|answer| answer.0 == 422)
        };
        let refused = find("the old version is gone", gone).1;
        assert!(text(&refused["hint"]).contains("talk@3.0.0/run"), "{refused:#}");
        assert_eq!(ask(node, "talk@3.0.0/run", ""), bytes("L"));
    }
}

/// A guest that takes the compiler some time: `functions` of them, each with a loop.
fn heavy(name: &str, functions: usize) -> Vec<u8> {
    let mut items = String::new();
    for number in 0..functions {
        write!(items, "(func (param i64) (result i64) (local i64) (loop (local.set 1 (i64.mul (i64.add (local.get 1)")
            .expect("text");
        write!(items, " (i64.const {number})) (i64.xor (local.get 0) (i64.shr_u (local.get 1) (i64.const 7)))))")
            .expect("text");
        items.push_str(
            "(local.set 0 (i64.sub (local.get 0) (i64.const 1)))(br_if 0 (i64.gt_s (local.get 0) (i64.const 0))))",
        );
        items.push_str("(local.get 1))\n");
    }
    let mut component = Guest { name: name.into(), wat_items: items, ..Guest::default() }.component();
    // A custom section of 2 MiB, called `x`: a start waits for no file of that size.
    component.extend_from_slice(&[0, 0x82, 0x80, 0x80, 0x01, 1, b'x']);
    component.resize(component.len() + (2 << 20), 0);
    component
}

#[test]
fn a_plugin_that_has_to_be_compiled_keeps_no_node_from_starting() {
    let mut bench = Bench::new("compiles");
    bench.put("talk.wasm", &versioned("talk", "1.0.0", 'A'));
    bench.wait_for("talk.wasm", "ready");
    let small = bench.node.memory_kib("RssAnon");
    bench.node.stop();
    let large = heavy("large", 20_000);
    bench.put("a-large.wasm", &large);
    // It waits behind the first.
    let mut second = large;
    second.extend_from_slice(&[0, 2, 1, b'x']);
    bench.put("b-large.wasm", &second);
    bench.node.start();
    // What is compiled already is there from the first moment on, and how far the rest is can be seen.
    let status = |file: &str| -> Value { bench.plugin(file).expect("it is listed") };
    let first = find("the large one to be compiled", || {
        Some(status("a-large.wasm"))
            .filter(|plugin| plugin["compiling"]["elapsed_ms"].is_u64() || plugin["status"] == "ready")
    });
    assert_eq!((&first["status"], &first["compiling"]["ahead"]), (&json!("compiling"), &json!(0)), "{first:#}");
    let waiting = status("b-large.wasm");
    assert_eq!(
        (&waiting["status"], &waiting["compiling"]),
        (&json!("compiling"), &json!({"ahead": 1, "elapsed_ms": null}))
    );
    assert!(bench.node.log().lines().any(|line| line.contains("the node is running") && line.contains("compiling=2")));
    let shown = bench.node.cli(&["plugin", "list"]).expect(0).stdout;
    assert!(shown.contains("compiled for") && shown.contains("1 file before it"), "{shown}");
    assert_eq!(ask(&bench.node, "talk/run", ""), bytes("A"));
    let refused = bench.node.cli(&["task", "submit", r#"{"action":"large/run"}"#]).expect(5);
    assert!(refused.stderr.contains("still compiles plugins"), "{}", refused.stderr);

    bench.wait_for("a-large.wasm", "ready");
    assert_eq!(ask(&bench.node, "large/run", "x"), bytes("x"));
    assert!(text(&bench.wait_for("b-large.wasm", "rejected")["reason"]).contains("already loaded"));
    // What the compiler has used does not stay with the node.
    let most = small + (64 << 10);
    wait_until("the compiler's memory to be given back", || bench.node.memory_kib("RssAnon") < most);
    bench.tells(&["added", "added", "rejected"]);
}
