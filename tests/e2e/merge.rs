//! Two clusters that meet and become one.

use serde_json::{Value, json};

use crate::{
    cluster::completions,
    harness::{Spec, TestNode, text, wait_until},
    meeting::{leads, wait_until_met},
    prepare::free_address,
    voters::{accept, lead_first, mesh_of, voters, wait_for_voters},
};

#[test]
fn two_leaders_that_meet_keep_every_task_under_its_id_and_every_result() {
    let bridge = free_address();
    // Both lead alone as long as nobody listens on the bridge.
    let east = Spec::new("east").arg("--mesh-peer", &bridge).start();
    let west = Spec::new("west").arg("--mesh-peer", &bridge).start();
    let waiting = |side: &str| -> Vec<Value> {
        let task = |n| json!({"action": "echo", "side": side, "n": n, "required_capabilities": ["rare"]});
        (0..20).map(task).collect()
    };
    let (in_east, in_west) = (east.submit_all(waiting("east")), west.submit_all(waiting("west")));
    let done_in_east = east.submit(&json!({"action": "echo", "done": "east"}));
    let done_in_west = west.submit(&json!({"action": "echo", "done": "west"}));
    east.completed(&done_in_east);
    west.completed(&done_in_west);

    let middle = Spec::new("middle").arg("--mesh-listen", &bridge).start();
    let all = [&east, &west, &middle];
    wait_until_met(&all);
    for node in all {
        for id in in_east.iter().chain(&in_west) {
            wait_until("a waiting task on its new leader", || {
                node.try_get(&format!("/tasks/{id}"))
                    .is_some_and(|(code, task)| code == 200 && task["status"] == "pending")
            });
        }
        assert_eq!(node.completed(&done_in_east)["result"], json!({"done": "east"}));
        assert_eq!(node.completed(&done_in_west)["result"], json!({"done": "west"}));
    }

    let rare = Spec::new("rare").arg("--mesh-peer", &bridge).arg("--capabilities", "rare").start();
    wait_until_met(&[&east, &west, &middle, &rare]);
    for (side, ids) in [("east", &in_east), ("west", &in_west)] {
        for (n, id) in ids.iter().enumerate() {
            let task = middle.completed(id);
            assert_eq!(task["result"], json!({"side": side, "n": n}));
            assert_eq!(task["worker_id"], rare.id().as_str());
        }
    }
    let times = completions(&rare);
    assert!(in_east.iter().chain(&in_west).all(|id| times.get(id) == Some(&1)), "each once");
    for node in [&east, &west, &middle, &rare] {
        assert_eq!(node.get("/ledger/verify?local=true")["ok"], true);
    }
}

/// Three voters that would reach a bridge which is not there yet, the leader first.
fn trio(bridge: &str, shape: impl Fn(usize, Spec) -> Spec) -> Vec<TestNode> {
    let mut nodes = mesh_of(3, |at, spec| shape(at, spec.arg("--mesh-peer", bridge)));
    wait_for_voters(&nodes, 3);
    lead_first(&mut nodes);
    nodes
}

fn problems(node: &TestNode) -> String {
    node.get("/cluster/status")["problems"].to_string()
}

fn cluster_id(node: &TestNode) -> String {
    text(&node.get("/cluster/status")["cluster_id"])
}

fn alarms_about(node: &TestNode, cluster: &str) -> usize {
    node.ledger("SECURITY_ALERT").iter().filter(|row| row["details"]["cluster_id"] == cluster).count()
}

#[test]
fn two_clusters_of_three_voters_stay_apart_until_the_operator_merges_them() {
    let bridge = free_address();
    let mut east = trio(&bridge, |_, spec| spec);
    let west = trio(&bridge, |at, spec| if at == 0 { spec.arg("--capabilities", "rare") } else { spec });
    let (east_id, west_id) = (cluster_id(&east[0]), cluster_id(&west[0]));
    let done: Vec<String> = (0..4).map(|n| accept(&east[1], &json!({"action": "echo", "east": n}))).collect();
    done.iter().for_each(|id| drop(east[2].completed(id)));
    let rare = |n: usize| json!({"action": "echo", "waits": n, "required_capabilities": ["rare"]});
    let waits: Vec<String> = (0..12).map(|n| accept(&east[n % 3], &rare(n))).collect();

    // Only a node between them, of another cluster.
    let _middle = Spec::new("middle").arg("--cluster-name", "between").arg("--mesh-listen", &bridge).start();
    for (nodes, other) in [(&east, &west_id), (&west, &east_id)] {
        for node in nodes {
            wait_until("each node to tell of it", || problems(node).contains(&format!("merge --into {other}")));
        }
        assert_eq!(alarms_about(&nodes[0], other), 1);
        assert!(nodes[1].cli(&["cluster", "status"]).expect(0).stdout.contains("stay apart"));
    }
    let apart: Vec<String> = [&east, &west].map(|nodes| accept(&nodes[2], &json!({"action": "echo", "n": 1}))).into();
    east[0].completed(&apart[0]);
    west[0].completed(&apart[1]);
    assert_ne!(cluster_id(&east[0]), cluster_id(&west[0]));

    let slow = east[1].submit_all(vec![json!({"action": "slow", "ms": 1500}); 6]);
    let refused = east[1].cli(&["cluster", "merge", "--into", &west_id]);
    assert!(refused.code == 2 && refused.stderr.contains("--yes"), "{refused:?}");
    east[1].cli(&["cluster", "merge", "--into", &west_id[..8], "--yes"]).expect(0);
    // It has agreed with the others, and is gone before all is handed over.
    east[0].kill_9();
    for node in &east[1..] {
        wait_until("a node to go over", || cluster_id(node) == west_id);
    }
    east[0].start();
    let all: Vec<&TestNode> = east.iter().chain(&west).collect();
    wait_until_met(&all);
    assert!(all.iter().all(|node| cluster_id(node) == west_id));
    let leader = *all.iter().find(|node| leads(node)).expect("a leader");
    for id in done.iter().chain(&waits).chain(&apart).chain(&slow) {
        west[1].completed(id);
        east[2].completed(id);
    }
    let times = completions(leader);
    assert!(waits.iter().all(|id| times.get(id) == Some(&1)), "each once, in the cluster that goes on: {times:?}");
    assert!(done.iter().all(|id| !times.contains_key(id)), "what was done is not done again");
    assert!(slow.iter().all(|id| times.get(id).is_none_or(|count| *count == 1)));
    for node in all {
        node.verify_ledger();
        assert!(!problems(node).contains("gives way"), "{}", problems(node));
    }
    for node in &east {
        let archived = std::fs::read_dir(node.data_dir().join("archive")).expect("an archive");
        let names: Vec<String> =
            archived.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        assert!(names.iter().any(|name| name.starts_with(&east_id) && name.ends_with("-merged.db")), "{names:?}");
    }
    let joined = leader.ledger("STATE_SYNC");
    assert!(joined.iter().any(|row| row["details"]["cluster_id"] == *east_id), "{joined:#?}");

    // What ended in the cluster that gave way lies in archives only, and two of its nodes vote in the other one: it is found
    // with them when nobody else is left who has it.
    wait_for_voters(&west, 5);
    let held = voters(&west[0]);
    let worker = east.iter_mut().find(|node| !held.contains(&node.id())).expect("the sixth");
    worker.stop();
    for node in &west {
        done.iter().for_each(|id| drop(node.completed(id)));
    }
}
