//! Nodes that die at named places of their work: between a write and its commit, between a commit and the word of it, in
//! the middle of a snapshot. Whatever was accepted is there afterwards, once, and every store is sound.

use std::{collections::BTreeSet, os::unix::process::ExitStatusExt};

use akita::killpoint::Point;
use serde_json::json;

use crate::{
    harness::{Spec, TestNode, find, text, wait_until},
    meeting::{leader_first, leads, pair, wait_until_met},
    prepare::free_address,
    voters::{accept, each_once, lead_first, three, wait_for_voters},
};

const KILL: &str = "KILLPOINT";

/// Starts the node so that it dies when it comes by `point` for the `nth` time, and does `work` until it has.
fn dies_at(node: &mut TestNode, point: Point, nth: u32, mut work: impl FnMut(&TestNode)) {
    node.spec_mut().set_env(KILL, Some(&format!("{}:{nth}", point.name())));
    node.spawn();
    wait_until(&format!("{} to die {}", node.name(), point.name()), || {
        work(node);
        !node.is_alive()
    });
    died(node, point);
}

/// It died there and left a sound store.
fn died(node: &mut TestNode, point: Point) {
    let status = node.wait_exit();
    assert_eq!(status.signal(), Some(6), "{} ended with {status}:\n{}", node.name(), node.log());
    node.spec_mut().set_env(KILL, None);
    let dir = node.data_dir();
    let checked = node.cli(&["store", "check", "--data-dir", &dir.to_string_lossy()]);
    assert_eq!(checked.code, 0, "{}: {}{}", point.name(), checked.stdout, checked.stderr);
}

/// Everyone has everything, once, and the same ledger.
fn all_is_well(nodes: &mut [TestNode], ids: &[String]) {
    wait_until_met(&nodes.iter().collect::<Vec<_>>());
    for id in ids {
        nodes.iter().for_each(|node| drop(node.completed(id)));
    }
    lead_first(nodes);
    each_once(&nodes[0], ids);
    let root = |node: &TestNode| {
        let verdict = node.get("/ledger/verify?local=true");
        assert_eq!(verdict["ok"], true, "{}: {verdict:#}", node.name());
        text(&verdict["root"])
    };
    wait_until("one ledger", || nodes.iter().map(root).collect::<BTreeSet<_>>().len() == 1);
    for node in nodes {
        node.stop();
        let dir = node.data_dir();
        node.cli(&["store", "check", "--data-dir", &dir.to_string_lossy()]).expect(0);
    }
}

#[test]
fn a_voter_that_dies_between_a_write_and_the_word_of_it_loses_nothing() {
    let mut nodes = three();
    let mut victim = nodes.pop().expect("three");
    let mut ids = Vec::new();
    for (point, nth) in [
        (Point::BeforeAppendFlushed, 2),
        (Point::AfterAppendFlushed, 2),
        (Point::MidLedgerAppend, 5),
        (Point::BeforeApplyCommitted, 2),
        (Point::AfterApplyCommitted, 2),
    ] {
        victim.kill_9();
        dies_at(&mut victim, point, nth, |_| ids.push(accept(&nodes[0], &json!({"action": "echo"}))));
        victim.start();
    }
    // It has voted for another, and nobody heard of it; then nobody can lead before it is back.
    victim.kill_9();
    victim.spec_mut().set_env(KILL, Some(Point::AfterVoteSaved.name()));
    victim.start();
    wait_until("it to follow", || victim.get("/status")["leader_id"] == nodes[0].id().as_str());
    nodes[0].kill_9();
    died(&mut victim, Point::AfterVoteSaved);
    victim.start();
    nodes[0].start();
    ids.push(accept(&victim, &json!({"action": "echo"})));
    nodes.push(victim);
    all_is_well(&mut nodes, &ids);
}

#[test]
fn a_leader_that_dies_between_a_write_and_the_word_of_it_loses_nothing() {
    let mut nodes = three();
    let mut ids = Vec::new();
    for point in [Point::AfterAppendFlushed, Point::BeforeApplyCommitted, Point::AfterApplyCommitted] {
        let mut victim = nodes.remove(0);
        let path = format!("/cluster/members/{}/lead", victim.id());
        victim.kill_9();
        let mut led = false;
        // It catches up with a few entries, is made to lead, and then comes by so often.
        dies_at(&mut victim, point, 60, |_| {
            led = led || matches!(nodes[0].try_post(&path, &json!({})), Some((200, _)));
            if led && let Some((202, taken)) = nodes[1].try_post("/tasks/submit", &json!({"action": "echo"})) {
                ids.push(text(&taken["task_id"]));
            }
        });
        assert!(led, "{} was to lead before", victim.name());
        victim.start();
        nodes.push(victim);
        wait_until_met(&nodes.iter().collect::<Vec<_>>());
        lead_first(&mut nodes);
    }
    all_is_well(&mut nodes, &ids);
}

#[test]
fn a_node_that_dies_at_each_step_of_becoming_a_voter_becomes_one_in_the_end() {
    let mut nodes = three();
    let mut victim = nodes.pop().expect("three");
    let mut ids: Vec<String> = (0..5).map(|_| accept(&nodes[0], &json!({"action": "echo"}))).collect();
    // It gives up its vote, and begins anew with the whole state.
    let id = victim.id();
    nodes[0].cli(&["cluster", "demote", &id]).expect(0);
    wait_for_voters(&nodes, 2);
    victim.stop();
    nodes[0].cli(&["cluster", "promote", &id]).expect(0);
    for point in [
        Point::AfterArchiveBeforeJoin,
        Point::AfterJoinCommitted,
        Point::MidSnapshotTransfer,
        Point::MidSnapshotInstall,
        Point::AfterSnapshotInstalledBeforeLogPurge,
    ] {
        ids.push(accept(&nodes[0], &json!({"action": "echo"})));
        dies_at(&mut victim, point, 1, |_| {});
    }
    victim.start();
    nodes.push(victim);
    wait_for_voters(&nodes, 3);
    all_is_well(&mut nodes, &ids);
}

#[test]
fn tasks_on_their_way_to_another_leader_end_once_wherever_their_node_dies() {
    // Of two that lead alone, the one with the larger cluster id gives way.
    let bridge = free_address();
    let mut nodes: Vec<TestNode> =
        ["east", "west"].map(|name| Spec::new(name).arg("--mesh-peer", &bridge).start()).into();
    nodes.sort_by_key(|node| text(&node.get("/status")["cluster_id"]));
    let mut victim = nodes.pop().expect("two");
    let task = |n| json!({"action": "echo", "n": n, "required_capabilities": ["rare"]});
    let ids = victim.submit_all((0..20).map(task).collect());
    victim.stop();
    victim.spec_mut().set_arg("--mesh-listen", &bridge);
    dies_at(&mut victim, Point::AfterSealCommitted, 1, |_| {});
    dies_at(&mut victim, Point::AfterHandedOverBeforeNoted, 1, |_| {});
    victim.start();
    let rare = Spec::new("rare").arg("--mesh-peer", &bridge).arg("--capabilities", "rare").start();
    wait_until_met(&[&nodes[0], &victim, &rare]);
    for id in &ids {
        nodes[0].completed(id);
    }
    let leader = find("the leader", || [&nodes[0], &victim, &rare].into_iter().find(|node| leads(node)));
    each_once(leader, &ids);
    victim.verify_ledger();
}

#[test]
fn a_task_of_the_outbox_ends_once_though_its_node_dies_before_it_knows_that_it_was_taken() {
    let patient = |name: &str| Spec::new(name).env("AKITA_LEADER_ELECTION_TIMEOUT_S", "600");
    let (one, other) = pair(patient("first"), patient("second"));
    let (mut leader, mut worker) = leader_first(one, other);
    leader.stop();
    let ids: Vec<String> = (0..3)
        .map(|n| {
            let (code, kept) = worker.try_post("/tasks/submit", &json!({"action": "echo", "n": n})).expect("an answer");
            assert_eq!((code, &kept["status"]), (202, &json!("queued_locally")), "{kept:#}");
            text(&kept["task_id"])
        })
        .collect();
    worker.stop();
    leader.start();
    dies_at(&mut worker, Point::AfterOutboxSent, 1, |_| {});
    worker.start();
    ids.iter().for_each(|id| drop(worker.completed(id)));
    each_once(&leader, &ids);
    worker.stop();
}
