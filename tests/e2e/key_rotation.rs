//! A new cluster key while the cluster works: everybody who belongs to it gets it, also one that was away, and nobody else.

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::{Value, json};

use crate::{
    harness::{Spec, TestNode, text, wait_until},
    meeting::{leads, wait_until_met},
    prepare::free_address,
    voters::{accept, each_once, lead_first, mesh_of, steady, voters, wait_for_voters},
};

const OLD: &str = "correct horse battery staple";

fn keyed(spec: Spec) -> Spec {
    spec.env("AKITA_CLUSTER_KEY", OLD)
}

/// The key that a node of this machine would print.
fn secret(node: &TestNode) -> String {
    let dir = node.data_dir();
    let shown = node.cli(&["cluster", "key", "show", "--secret", "--data-dir", &dir.to_string_lossy()]).expect(0);
    shown.stdout.trim().to_owned()
}

fn key(node: &TestNode) -> Value {
    node.get("/cluster/key")
}

fn count(key: &Value, list: &str) -> usize {
    key[list].as_array().expect("a list").len()
}

/// Nothing that the node writes or tells has the key in it, but the one file.
fn is_told_nowhere(node: &TestNode, secret: &str) {
    assert!(!node.log().contains(secret), "in the log of {}", node.name());
    for file in ["akita.db", "akita.db-wal"] {
        let bytes = fs::read(node.data_dir().join(file)).unwrap_or_default();
        let found = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(!found, "in {file} of {}", node.name());
    }
    for path in ["/cluster/key", "/cluster/status", "/status", "/ledger?limit=1000"] {
        assert!(!node.get(path).to_string().contains(secret), "in {path} of {}", node.name());
    }
    let mode = node.data_dir().join("cluster.key").metadata().expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn the_key_changes_under_load_and_a_worker_that_was_away_gets_it() {
    let mut nodes = mesh_of(4, |_, spec| keyed(spec));
    wait_for_voters(&nodes, 3);
    let held = voters(&nodes[0]);
    let at = nodes.iter().position(|node| !held.contains(&node.id())).expect("one that only works");
    let mut away = nodes.remove(at);
    lead_first(&mut nodes);
    away.kill_9();
    let mut ids: Vec<String> = (0..20).map(|n| accept(&nodes[n % 3], &json!({"action": "echo", "n": n}))).collect();
    ids.extend(nodes[1].submit_all(vec![json!({"action": "slow", "ms": 500}); 8]));

    let refused = nodes[1].cli(&["cluster", "key", "rotate"]);
    assert!(refused.code == 2 && refused.stderr.contains("--yes"), "{refused:?}");
    let begun = nodes[1].cli(&["cluster", "key", "rotate", "--yes", "--grace", "1h"]).expect(0);
    assert!(begun.stderr.contains("generation 2"), "{}", begun.stderr);
    let again = nodes[2].cli(&["cluster", "key", "rotate", "--yes"]);
    assert!(again.code != 0 && again.stderr.contains("a rotation runs already"), "{again:?}");
    ids.extend((20..40).map(|n| accept(&nodes[n % 3], &json!({"action": "echo", "n": n}))));
    wait_until("the voters to confirm", || count(&key(&nodes[2]), "confirmed") == 3);
    wait_until("the status to tell of it", || {
        let shown = nodes[2].cli(&["cluster", "status"]).expect(0).stdout;
        shown.contains("key: generation 2 is being spread, 3 of 4 nodes have it")
    });
    let new = secret(&nodes[0]);
    assert!(new != OLD && nodes.iter().all(|node| secret(node) == new));

    // It has the old key alone, and a new leader, which brings it the new one.
    nodes[0].kill_9();
    away.start();
    wait_until("a leader", || nodes[1..].iter().any(leads));
    nodes[0].start();
    let mut nodes: Vec<TestNode> = nodes.into_iter().chain([away]).collect();
    wait_until_met(&nodes.iter().collect::<Vec<_>>());
    wait_until("the rotation to end", || {
        let key = key(&nodes[3]);
        key["rotating"] == false && count(&key, "confirmed") == 4
    });
    lead_first(&mut nodes);
    for node in &nodes {
        assert_eq!(secret(node), new);
        is_told_nowhere(node, &new);
    }
    for id in &ids {
        nodes[1].completed(id);
    }
    each_once(&nodes[0], &ids);
    nodes.iter().for_each(TestNode::verify_ledger);
    let rows = nodes[0].ledger("CONFIG_CHANGE");
    let about = |word: &str| rows.iter().filter(|row| row["details"]["cluster_key"] == word).count();
    assert_eq!((about("rotated"), about("the one before is refused")), (1, 1), "{rows:#?}");
    late_comers(&nodes, &new);
}

/// Who comes with the old key afterwards is told what to do, and does it.
fn late_comers(nodes: &[TestNode], new: &str) {
    let late = nodes.iter().fold(keyed(steady("late", &free_address(), &[])), |spec, node| {
        spec.arg("--mesh-peer", node.mesh_listen().expect("it listens"))
    });
    let late = late.start();
    let problems = || late.get("/cluster/status")["problems"].to_string();
    wait_until("it to be refused", || problems().contains("akita cluster key import"));
    assert!(late.log().contains("akita cluster key import"));
    let dir = late.data_dir();
    late.cli_with(&["cluster", "key", "import", "--data-dir", &dir.to_string_lossy()], new).expect(0);
    let all: Vec<&TestNode> = nodes.iter().chain([&late]).collect();
    wait_until_met(&all);
    wait_until("nothing to be wrong with it", || late.get("/cluster/status")["problems"] == json!([]));
}

#[test]
fn a_node_that_was_removed_gets_no_new_key_and_is_refused_with_the_old_one() {
    let mut nodes = mesh_of(3, |_, spec| keyed(spec).env("AKITA_MAX_VOTERS", "1"));
    lead_first(&mut nodes);
    let open = nodes[0].cli(&["cluster", "key", "show"]).expect(0).stdout;
    assert!(open.contains("generation   1") && !open.contains(OLD), "{open}");
    let removed = nodes[2].id();
    nodes[0].cli(&["cluster", "remove", &removed, "--yes"]).expect(0);
    nodes[1].cli(&["cluster", "key", "rotate", "--yes"]).expect(0);
    wait_until("the rotation to end", || {
        let key = key(&nodes[1]);
        key["generation"] == 2 && key["rotating"] == false
    });
    let new = secret(&nodes[1]);
    assert_ne!(new, OLD);
    assert!(!nodes[2].data_dir().join("cluster.key").exists());
    assert!(!key(&nodes[0])["confirmed"].to_string().contains(&removed));
    // Let in again, it is the key alone that keeps it out.
    nodes[0].cli(&["cluster", "admit", &removed]).expect(0);
    nodes[2].stop();
    nodes[2].start();
    wait_until("it to be refused", || nodes[2].log().contains("akita cluster key import"));
    let alert = |node: &TestNode| {
        let rows = node.ledger("SECURITY_ALERT");
        rows.iter().any(|row| row["node_id"] == *removed && row["details"].to_string().contains("key"))
    };
    wait_until("an alert", || alert(&nodes[0]) || alert(&nodes[1]));
    wait_until("it to go on alone", || leads(&nodes[2]));
    let id = nodes[1].submit(&json!({"action": "echo", "n": 1}));
    assert_eq!(text(&nodes[0].completed(&id)["status"]), "completed");
    assert_eq!(nodes[2].try_get(&format!("/tasks/{id}")).map(|(code, _)| code), Some(404));
}

#[test]
fn an_open_cluster_has_no_key_to_rotate() {
    let node = Spec::alone("open").start();
    let refused = node.cli(&["cluster", "key", "rotate", "--yes"]);
    assert!(refused.code != 0 && refused.stderr.contains("no key to rotate"), "{refused:?}");
    assert!(refused.stderr.contains("--cluster-key-file"), "{refused:?}");
    assert!(node.cli(&["cluster", "key", "show"]).expect(0).stdout.contains("open"));
    let merged = node.cli(&["cluster", "merge", "--into", &"a".repeat(32), "--yes"]);
    assert!(merged.code != 0 && merged.stderr.contains("single voter"), "{merged:?}");
    assert!(node.cli(&["cluster", "merge", "--into", "coast", "--yes"]).expect(2).stderr.contains("no cluster like"));
}
