//! Several nodes that are to become one cluster: how they are started, and how a test sees that they have met.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    harness::{Spec, TestNode, text, wait_until},
    prepare::free_address,
};

/// Two nodes, the second connected to the first over TCP, once they are one cluster.
pub fn pair(first: Spec, second: Spec) -> (TestNode, TestNode) {
    let address = free_address();
    let first = first.arg("--mesh-listen", &address).start();
    let second = second.arg("--mesh-peer", &address).start();
    wait_until_met(&[&first, &second]);
    (first, second)
}

/// Waits until all of them see each other online and ready, and agree on who leads.
pub fn wait_until_met(nodes: &[&TestNode]) {
    let ids: BTreeSet<String> = nodes.iter().map(|node| node.id()).collect();
    let names: Vec<&str> = nodes.iter().map(|node| node.name()).collect();
    wait_until(&format!("{names:?} to be one cluster"), || {
        let views: Vec<Value> = nodes.iter().map(|node| node.get("/cluster/status")).collect();
        let leader = &views[0]["leader_id"];
        views.iter().all(|view| &view["leader_id"] == leader && view["fresh"] == true && ready(view) == ids)
    });
}

/// The nodes of a view that are online and have said what they offer.
pub fn ready(view: &Value) -> BTreeSet<String> {
    let nodes = view["nodes"].as_array().expect("nodes").iter();
    let usable = nodes.filter(|node| node["status"] == "online" && node["actions"] != serde_json::json!([]));
    usable.map(|node| text(&node["node_id"])).collect()
}

/// Whether a node leads.
pub fn leads(node: &TestNode) -> bool {
    node.get("/status")["role"] == "leader"
}

/// The same two, the leader first.
pub fn leader_first(one: TestNode, other: TestNode) -> (TestNode, TestNode) {
    if leads(&one) { (one, other) } else { (other, one) }
}
