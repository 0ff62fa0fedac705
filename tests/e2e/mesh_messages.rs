//! Small messages from a plugin on one node to the same plugin on another.

use std::path::Path;

use serde_json::{Value, json};

use crate::{
    harness::{Spec, TestNode, find},
    meeting::pair,
    prepare::some_plugins,
};

const GRANTED: &str = "[plugin.notes]\ninterfaces = [\"mesh\"]\n";

fn node(name: &str, dir: &Path) -> Spec {
    Spec::new(name).plugins(dir).arg("--capabilities", &format!("on-{name}"))
}

/// An action of `notes` on the node of that name.
fn on(node: &TestNode, name: &str, action: &str, input: Value) -> Value {
    let task =
        json!({ "action": format!("notes/{action}"), "input": input, "required_capabilities": [format!("on-{name}")] });
    node.ended(&node.submit(&task))
}

#[test]
fn a_note_gets_to_the_other_node_and_is_read_there_once() {
    let dir = some_plugins(&["basics", "notes"], GRANTED);
    let (ridge, lake) = pair(node("ridge", dir.path()), node("lake", dir.path()));
    // Sent while the other waits for it, whichever of the two leads.
    for (from, to, to_node) in [("ridge", "lake", &lake), ("lake", "ridge", &ridge)] {
        let wait = json!({ "action": "notes/read", "input": { "wait_ms": 30_000 }, "required_capabilities": [format!("on-{to}")] });
        let reading = to_node.submit(&wait);
        let sent = on(&ridge, from, "send", json!({ "to": to, "text": "dinner" }));
        assert_eq!(sent["status"], "completed", "{sent:#}");
        let notes = to_node.completed(&reading)["result"]["notes"].clone();
        assert_eq!(notes[0]["text"], "dinner", "{notes:#}");
        let sender = if from == "ridge" { ridge.id() } else { lake.id() };
        assert_eq!(notes[0]["from"], sender.as_str());
        assert_eq!(on(&ridge, to, "read", json!({}))["result"]["notes"], json!([]), "each goes to one");
    }
    // Who follows hears of the others from its leader, now and then.
    find("the lake to see the ridge", || {
        let seen = on(&ridge, "lake", "nodes", json!({}))["result"].clone();
        let peer = &seen["peers"][0];
        let capable = peer["capabilities"].as_array().is_some_and(|all| all.contains(&json!("on-ridge")));
        (seen["here"]["name"] == "lake" && peer["id"] == ridge.id().as_str() && capable).then_some(())
    });
}

#[test]
fn a_box_keeps_what_nobody_reads_yet_and_a_node_without_the_plugin_says_so() {
    let with = some_plugins(&["basics", "notes"], GRANTED);
    let without = some_plugins(&["basics"], "");
    let (ridge, lake) = pair(node("ridge", with.path()), node("lake", without.path()));
    let refused = |to: &str| {
        let ended = on(&ridge, "ridge", "send", json!({ "to": to, "text": "hello" }));
        ended["error"]["code"].clone()
    };
    assert_eq!(refused(&lake.id()), "no-plugin");
    assert_ne!(refused(&"7".repeat(32)), Value::Null);
    // To itself, as many as a box holds.
    let send = json!({ "action": "notes/send", "input": { "to": "ridge", "text": "hello" } });
    let ids = ridge.submit_all(vec![send; 64]);
    ids.iter().for_each(|id| drop(ridge.completed(id)));
    let read = on(&ridge, "ridge", "read", json!({ "max": 1000 }));
    assert_eq!(read["result"]["notes"].as_array().map(Vec::len), Some(64), "{read:#}");
}
