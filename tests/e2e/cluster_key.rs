//! Who is let in: holders of the key, and nobody else.

use std::{fs, path::PathBuf};

use serde_json::json;
use tempfile::TempDir;

use crate::{
    harness::{Spec, TestNode, find, wait_until},
    meeting::{ready, wait_until_met},
    prepare::free_address,
};

struct Keys(TempDir);

impl Keys {
    fn new() -> Keys {
        Keys(tempfile::tempdir().expect("a folder for keys"))
    }

    fn file(&self, name: &str, secret: &str) -> String {
        let path: PathBuf = self.0.path().join(name);
        fs::write(&path, format!("{secret}\n")).expect("a key file");
        path.to_string_lossy().into_owned()
    }
}

fn alerts(node: &TestNode) -> Vec<serde_json::Value> {
    node.get("/ledger?event_type=SECURITY_ALERT&local=true")["rows"].as_array().expect("rows").clone()
}

fn alert_about(node: &TestNode, id: &str) -> serde_json::Value {
    find(&format!("an alert of {} about {id}", node.name()), || {
        alerts(node).into_iter().find(|row| row["node_id"] == id)
    })
}

#[test]
fn holders_of_the_key_become_one_cluster() {
    let keys = Keys::new();
    let key = keys.file("key", "correct horse battery staple");
    let bridge = free_address();
    let alpha = Spec::new("alpha").arg("--cluster-key-file", &key).arg("--mesh-listen", &bridge).start();
    // From the environment, and without the white space of the file: the same key.
    let beta = Spec::new("beta").env("AKITA_CLUSTER_KEY", "correct horse battery staple");
    let beta = beta.arg("--mesh-peer", &bridge).arg("--capabilities", "gpu").start();
    wait_until_met(&[&alpha, &beta]);
    assert_eq!(alpha.get("/cluster/status")["open"], false);
    let id = alpha.submit(&json!({"action": "echo", "required_capabilities": ["gpu"]}));
    alpha.completed(&id);
    assert!(alerts(&alpha).is_empty() && alerts(&beta).is_empty());
    for node in [&alpha, &beta] {
        let log = node.log();
        assert!(!log.contains("the cluster is open"));
        assert!(!log.contains("battery"), "the key must never be logged");
        assert!(!node.cli(&["config", "show"]).stdout.contains("battery"));
    }
}

#[test]
fn a_node_with_another_key_is_refused_and_both_sides_write_it_down() {
    let keys = Keys::new();
    let bridge = free_address();
    let right = Spec::new("right").arg("--cluster-key-file", &keys.file("right", "correct horse battery staple"));
    let right = right.arg("--mesh-listen", &bridge).arg("--capabilities", "gpu").start();
    let wrong = Spec::new("wrong").arg("--cluster-key-file", &keys.file("wrong", "incorrect horse battery"));
    let wrong = wrong.arg("--mesh-peer", &bridge).start();
    let (right_id, wrong_id) = (right.id(), wrong.id());
    let row = alert_about(&right, &wrong_id);
    assert!(row["details"]["reason"].as_str().is_some_and(|reason| reason.contains("key")), "{row:#}");
    alert_about(&wrong, &right_id);
    // A task that only the other could run stays where it is.
    let id = wrong.submit(&json!({"action": "echo", "required_capabilities": ["gpu"]}));
    assert_eq!(wrong.task(&id)["status"], "pending");
    assert_eq!(right.try_get(&format!("/tasks/{id}")).map(|(code, _)| code), Some(404));
    for node in [&right, &wrong] {
        assert_eq!(ready(&node.get("/cluster/status")).len(), 1, "{} must be alone", node.name());
        assert_eq!(node.get("/status")["role"], "leader");
        node.verify_ledger();
    }
}

#[test]
fn a_node_without_the_key_is_refused() {
    let keys = Keys::new();
    let bridge = free_address();
    let closed = Spec::new("closed").arg("--cluster-key-file", &keys.file("key", "correct horse battery staple"));
    let closed = closed.arg("--mesh-listen", &bridge).arg("--capabilities", "gpu").start();
    let open = Spec::new("open").arg("--mesh-peer", &bridge).start();
    // One of the two calls, and hears why not.
    wait_until("a refusal", || closed.log().contains("refused") || open.log().contains("refused"));
    assert_eq!(open.log().matches("the cluster is open").count(), 1, "said once, in one line");
    let id = open.submit(&json!({"action": "echo", "required_capabilities": ["gpu"]}));
    assert_eq!(open.task(&id)["status"], "pending");
    assert_eq!(closed.try_get(&format!("/tasks/{id}")).map(|(code, _)| code), Some(404));
    for node in [&closed, &open] {
        assert_eq!(ready(&node.get("/cluster/status")).len(), 1, "{} must be alone", node.name());
    }
}

#[test]
fn a_cluster_of_another_name_is_left_alone() {
    let bridge = free_address();
    let named = |name, cluster| Spec::new(name).arg("--cluster-name", cluster);
    let hills = named("hills-1", "hills").arg("--mesh-listen", &bridge).start();
    let coast = named("coast-1", "coast").arg("--mesh-peer", &bridge).start();
    let other_coast = named("coast-2", "coast").arg("--mesh-peer", &bridge).start();
    // The two of the coast know each other only through the hills, which have heard whatever they heard.
    wait_until_met(&[&coast, &other_coast]);
    assert_eq!(ready(&hills.get("/cluster/status")).len(), 1);
    assert!(alerts(&hills).is_empty() && alerts(&coast).is_empty());
}
