//! No more room on the disk: the node stops and says so, and nothing that it had accepted is lost.

use serde_json::json;

use crate::{
    cluster::completions,
    harness::{Spec, text},
};

/// A shell that lets no file grow over 3 MiB (in blocks of 512 bytes) and does not die of it.
const SMALL_DISK: [&str; 4] = ["sh", "-c", "trap '' XFSZ; ulimit -f 6144; exec \"$@\"", "sh"];

#[test]
fn a_node_whose_disk_is_full_stops_and_goes_on_when_there_is_room() {
    let mut node = Spec::alone("full-disk").through(&SMALL_DISK).start();
    let filler = "x".repeat(100_000);
    let mut accepted = Vec::new();
    for n in 0..200 {
        let task = json!({"action": "echo", "input": {"n": n, "filler": filler}});
        match node.try_post("/tasks/submit", &task) {
            Some((202, body)) => accepted.push(text(&body["task_id"])),
            _ => break,
        }
    }
    assert!((1..200).contains(&accepted.len()), "the disk never filled: {}", accepted.len());
    let status = node.wait_exit();
    assert!(status.code().is_some_and(|code| code != 0), "{status}");
    let log = node.log();
    assert!(log.contains("the database cannot be written") && log.contains("hint:"), "{log}");

    node.spec_mut().launch_through(&[]);
    node.start();
    for id in &accepted {
        let done = node.completed(id);
        assert!(done["result"]["filler"] == filler.as_str());
    }
    let times = completions(&node);
    assert!(accepted.iter().all(|id| times.get(id) == Some(&1)), "each once");
    node.verify_ledger();
}
