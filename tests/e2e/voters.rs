//! Several voters as processes: what is accepted is never lost, whoever is killed, and a cluster without a majority says
//! so, keeps what it is given, and goes on when the others are back.

use std::{collections::BTreeSet, thread, time::Instant};

use serde_json::{Value, json};

use crate::{
    cluster::completions,
    harness::{Spec, TestNode, find, text, wait_until},
    meeting::{leads, wait_until_met},
    prepare::free_address,
};

/// A node that notices silence soon, and can be reached by the others whoever of them is gone.
pub fn steady(name: &str, listen: &str, peers: &[String]) -> Spec {
    let spec = Spec::new(name).env("AKITA_NODE_TIMEOUT_S", "4").env("AKITA_LEADER_ELECTION_TIMEOUT_S", "2");
    let spec = spec.arg("--mesh-listen", listen);
    peers.iter().fold(spec, |spec, peer| spec.arg("--mesh-peer", peer))
}

/// So many nodes, each connected to each, once they are one cluster.
pub fn mesh_of(count: usize, shape: impl Fn(usize, Spec) -> Spec) -> Vec<TestNode> {
    let mut addresses: Vec<String> = Vec::new();
    let mut nodes = Vec::new();
    for at in 0..count {
        let address = free_address();
        nodes.push(shape(at, steady(&format!("node-{at}"), &address, &addresses)).start());
        addresses.push(address);
    }
    wait_until_met(&nodes.iter().collect::<Vec<_>>());
    nodes
}

pub fn voters(node: &TestNode) -> BTreeSet<String> {
    let Some((200, view)) = node.try_get("/cluster/members") else { return BTreeSet::new() };
    let members = view["members"].as_array().expect("members").iter();
    members.filter(|one| one["membership"] == "voter").map(|one| text(&one["node_id"])).collect()
}

pub fn wait_for_voters(nodes: &[TestNode], count: usize) {
    wait_until(&format!("{count} voters"), || nodes.iter().all(|node| voters(node).len() == count));
}

/// Three voters, the leader first.
pub fn three() -> Vec<TestNode> {
    let mut nodes = mesh_of(3, |_, spec| spec);
    wait_for_voters(&nodes, 3);
    lead_first(&mut nodes);
    nodes
}

pub fn lead_first(nodes: &mut [TestNode]) {
    let at = find("a leader", || nodes.iter().position(leads));
    nodes.swap(0, at);
}

/// Submits until it is accepted by a majority, and not only kept here.
pub fn accept(node: &TestNode, task: &Value) -> String {
    find("a task to be accepted", || match node.try_post("/tasks/submit", task) {
        Some((202, body)) if body["status"] != "queued_locally" => Some(text(&body["task_id"])),
        _ => None,
    })
}

pub fn each_once(node: &TestNode, ids: &[String]) {
    let times = completions(node);
    for id in ids {
        assert_eq!(times.get(id), Some(&1), "{id}");
    }
}

#[test]
fn three_nodes_become_three_voters_and_all_hold_the_ledger() {
    let nodes = three();
    let all: BTreeSet<String> = nodes.iter().map(TestNode::id).collect();
    let ids: Vec<String> = (0..6).map(|n| accept(&nodes[n % 3], &json!({"action": "echo", "n": n}))).collect();
    for node in &nodes {
        assert_eq!(voters(node), all);
        for (n, id) in ids.iter().enumerate() {
            assert_eq!(node.completed(id)["result"], json!({"n": n}));
        }
    }
    each_once(&nodes[0], &ids);
    // Each holds it itself, and each the same.
    let root = |node: &TestNode| {
        let verdict = node.get("/ledger/verify?local=true");
        assert_eq!(verdict["ok"], true, "{verdict:#}");
        text(&verdict["root"])
    };
    wait_until("one ledger", || nodes.iter().map(root).collect::<BTreeSet<_>>().len() == 1);
    let shown = nodes[1].cli(&["cluster", "members"]).expect(0).stdout;
    assert!(shown.contains("3 voters: any 1 may be lost") && shown.contains("voter, leads"), "{shown}");
    assert_eq!(nodes[2].get("/cluster/status")["problems"], json!([]));

    // What happens on a voter that does not lead stands in the ledger of all; two of three go on.
    let mut nodes = nodes;
    let gone = nodes[2].id();
    nodes[2].stop();
    wait_until("its last word", || nodes[0].ledger("NODE_STOP").iter().any(|row| row["node_id"] == *gone));
    let id = accept(&nodes[1], &json!({"action": "echo", "n": "two"}));
    assert_eq!(nodes[0].completed(&id)["result"], json!({"n": "two"}));
}

#[test]
fn a_leader_that_is_killed_under_load_is_replaced_and_loses_nothing() {
    let mut nodes = three();
    let mut ids: Vec<String> = (0..40).map(|n| accept(&nodes[1], &json!({"action": "echo", "n": n}))).collect();
    // Under way on all three while the leader goes.
    ids.extend(nodes[1].submit_all(vec![json!({"action": "slow", "ms": 700}); 12]));
    let old = nodes[0].id();
    nodes[0].kill_9();
    let killed = Instant::now();
    ids.push(accept(&nodes[1], &json!({"action": "echo", "n": "next"})));
    println!("accepted again {} ms after the leader was killed", killed.elapsed().as_millis());
    let leader = find("another leader", || nodes[1..].iter().find(|node| leads(node)));
    assert_ne!(leader.id(), old);
    for id in &ids {
        nodes[2].completed(id);
    }
    each_once(leader, &ids);
    leader.verify_ledger();
    nodes[0].start();
    wait_until_met(&nodes.iter().collect::<Vec<_>>());
    wait_for_voters(&nodes, 3);
    for id in &ids {
        nodes[0].completed(id);
    }
    each_once(&nodes[0], &ids);
}

#[test]
fn without_a_majority_tasks_are_kept_and_reads_say_that_they_may_be_old() {
    let mut nodes = three();
    let before = accept(&nodes[0], &json!({"action": "echo", "n": "before"}));
    nodes[0].completed(&before);
    let waits = accept(&nodes[0], &json!({"action": "echo", "required_capabilities": ["nobody"]}));
    wait_until("the others to have it", || nodes.iter().all(|node| node.task(&waits)["status"] == "pending"));
    nodes[1].kill_9();
    nodes[2].kill_9();
    wait_until("it to say that most are gone", || {
        let problems = nodes[0].get("/cluster/status")["problems"].to_string();
        problems.contains("voters answer")
    });
    let (code, kept) = nodes[0].try_post("/tasks/submit", &json!({"action": "echo", "n": "kept"})).expect("an answer");
    assert_eq!((code, &kept["status"]), (202, &json!("queued_locally")), "{kept:#}");
    let stale = nodes[0].task(&waits);
    assert_eq!((&stale["stale"], &stale["status"]), (&json!(true), &json!("pending")), "{stale:#}");
    assert!(stale["as_of_index"].as_u64().is_some_and(|index| index > 0), "{stale:#}");
    assert_eq!(nodes[0].get("/tasks?limit=5")["stale"], true);
    let shown = nodes[0].cli(&["cluster", "members"]).expect(0).stdout;
    assert!(shown.contains("problem:") && shown.contains("force-new"), "{shown}");
    nodes[1].start();
    let kept = text(&kept["task_id"]);
    assert_eq!(nodes[0].completed(&kept)["result"], json!({"n": "kept"}));
    assert_eq!(nodes[1].completed(&before)["result"], json!({"n": "before"}));
    nodes[2].start();
    wait_until_met(&nodes.iter().collect::<Vec<_>>());
    let fresh = nodes[2].task(&waits);
    assert_eq!((&fresh["stale"], &fresh["status"]), (&json!(false), &json!("pending")), "{fresh:#}");
    each_once(&nodes[0], &[before, kept]);
}

#[test]
fn a_power_cut_of_all_voters_loses_nothing() {
    let mut nodes = three();
    let mut ids: Vec<String> = (0..20).map(|n| accept(&nodes[n % 3], &json!({"action": "echo", "n": n}))).collect();
    ids.extend(nodes[0].submit_all(vec![json!({"action": "slow", "ms": 1200}); 6]));
    nodes.iter_mut().for_each(TestNode::kill_9);
    nodes.iter_mut().for_each(TestNode::start);
    wait_until_met(&nodes.iter().collect::<Vec<_>>());
    ids.push(accept(&nodes[1], &json!({"action": "echo", "n": "after"})));
    for id in &ids {
        nodes[2].completed(id);
    }
    lead_first(&mut nodes);
    each_once(&nodes[0], &ids);
    nodes.iter().for_each(TestNode::verify_ledger);
}

#[test]
fn what_a_worker_runs_goes_on_under_the_next_leader() {
    let capable = |at: usize, spec: Spec| if at == 3 { spec.arg("--capabilities", "far") } else { spec };
    let mut nodes = mesh_of(4, capable);
    wait_for_voters(&nodes, 3);
    let held = voters(&nodes[0]);
    let at = nodes.iter().position(|node| !held.contains(&node.id())).expect("one that only works");
    let worker = nodes.remove(at);
    lead_first(&mut nodes);
    let here = worker.get("/status")["capabilities"].to_string().contains("far");
    let far = if here { json!(["far"]) } else { json!([]) };
    let task = json!({"action": "slow", "ms": 6000, "required_capabilities": far});
    let ids: Vec<String> = (0..2).map(|_| accept(&nodes[1], &task)).collect();
    let runs = |id: &String| nodes[1].task(id)["status"] == "running";
    wait_until("the tasks to run", || ids.iter().all(runs));
    nodes[0].kill_9();
    for id in &ids {
        assert_eq!(nodes[1].completed(id)["result"]["worked_ms"], 6000);
    }
    let leader = find("another leader", || nodes[1..].iter().find(|node| leads(node)));
    wait_until("the worker to follow it", || worker.get("/status")["leader_id"] == leader.id().as_str());
    let again = accept(&worker, &json!({"action": "echo", "n": 1}));
    leader.completed(&again);
    each_once(leader, &ids);
    if here {
        let attempts: Vec<Value> = ids.iter().map(|id| leader.task(id)["attempts"].clone()).collect();
        assert_eq!(attempts, [json!(1), json!(1)], "nothing was run twice");
    }
}

#[test]
fn the_operator_moves_the_lead_takes_votes_and_puts_nodes_out() {
    let mut nodes = mesh_of(4, |_, spec| spec);
    wait_for_voters(&nodes, 3);
    lead_first(&mut nodes);
    let held = voters(&nodes[0]);
    let other = nodes.iter().skip(1).position(|node| held.contains(&node.id())).expect("another voter") + 1;
    let moved = nodes[3].cli(&["cluster", "transfer-leadership", nodes[other].name()]).expect(0);
    assert!(moved.stderr.contains("it leads"), "{}", moved.stderr);
    wait_until("the other to lead", || leads(&nodes[other]));
    lead_first(&mut nodes);

    // Whoever is asked first leads first, and hands on.
    let held = voters(&nodes[0]);
    thread::scope(|scope| {
        for wanted in nodes.iter().skip(1).filter(|node| held.contains(&node.id())) {
            scope.spawn(|| wanted.cli(&["cluster", "transfer-leadership", wanted.name()]).expect(0));
        }
    });
    wait_until("one of them to lead", || nodes.iter().skip(1).any(leads));
    lead_first(&mut nodes);

    // A vote that is taken goes to the fourth.
    let held = voters(&nodes[0]);
    let demoted = nodes.iter().skip(1).position(|node| held.contains(&node.id())).expect("another voter") + 1;
    let lost = nodes[demoted].id();
    nodes[0].cli(&["cluster", "demote", &lost]).expect(0);
    wait_until("three other voters", || {
        let now = voters(&nodes[0]);
        now.len() == 3 && !now.contains(&lost)
    });
    let id = accept(&nodes[demoted], &json!({"action": "echo", "n": "demoted"}));
    nodes[demoted].completed(&id);

    let refused = nodes[0].cli(&["cluster", "remove", &lost]);
    assert!(refused.code == 2 && refused.stderr.contains("--yes"), "{refused:?}");
    nodes[0].cli(&["cluster", "remove", &lost, "--yes"]).expect(0);
    assert!(nodes[0].cli(&["cluster", "members"]).expect(0).stdout.contains("removed"));
    let told = |node: &TestNode| node.log().contains("was removed from the cluster");
    wait_until("it to be refused", || told(&nodes[demoted]));
    nodes[0].cli(&["cluster", "admit", &lost]).expect(0);
    nodes[demoted].stop();
    nodes[demoted].start();
    wait_until_met(&nodes.iter().collect::<Vec<_>>());
    let id = accept(&nodes[demoted], &json!({"action": "echo", "n": "back"}));
    nodes[0].completed(&id);
    nodes[0].cli(&["cluster", "promote", "nobody-of-that-name"]).expect(2);
}

#[test]
fn a_voter_that_is_left_alone_for_good_goes_on_when_it_is_told_to() {
    let mut nodes = three();
    let done = accept(&nodes[0], &json!({"action": "echo", "n": 1}));
    nodes[2].completed(&done);
    let waits = accept(&nodes[0], &json!({"action": "echo", "n": 2, "required_capabilities": ["late"]}));
    wait_until("all to have it", || nodes.iter().all(|node| node.task(&waits)["status"] == "pending"));
    let refused = nodes[2].cli(&["cluster", "force-new", "--yes"]);
    assert!(refused.code != 0 && refused.stderr.contains("have a leader"), "{refused:?}");
    nodes[0].kill_9();
    nodes[1].kill_9();
    let last = &mut nodes[2];
    wait_until("it to miss them", || last.get("/cluster/status")["problems"] != json!([]));
    last.cli(&["cluster", "force-new", "--yes"]).expect(0);
    wait_until("it to lead", || leads(last));
    assert_eq!(last.task(&done)["result"], json!({"n": 1}));
    let id = accept(last, &json!({"action": "echo", "n": 3}));
    last.completed(&id);
    last.stop();
    last.spec_mut().set_arg("--capabilities", "late");
    last.start();
    assert_eq!(last.completed(&waits)["result"], json!({"n": 2}));
    last.verify_ledger();
}

#[test]
fn a_node_that_worked_alone_brings_its_tasks_to_the_voters() {
    let mut addresses: Vec<String> = Vec::new();
    let mut nodes = Vec::new();
    for at in 0..3 {
        let address = free_address();
        nodes.push(steady(&format!("node-{at}"), &address, &addresses).start());
        addresses.push(address);
    }
    wait_for_voters(&nodes, 3);
    let own = free_address();
    let mut alone = steady("alone", &own, &[]).start();
    let finished = alone.submit(&json!({"action": "echo", "n": "finished"}));
    alone.completed(&finished);
    let waits = alone.submit(&json!({"action": "echo", "n": "waits", "required_capabilities": ["nobody"]}));
    alone.stop();
    for address in &addresses {
        let spec = alone.spec_mut();
        *spec = spec.clone().arg("--mesh-peer", address);
    }
    alone.start();
    let all: Vec<&TestNode> = nodes.iter().chain([&alone]).collect();
    wait_until_met(&all);
    assert!(!leads(&alone), "one alone gives way to several, whatever the ids");
    wait_until("its waiting task on the voters' books", || {
        let found = nodes[1].try_get(&format!("/tasks/{waits}"));
        found.is_some_and(|(code, task)| code == 200 && task["status"] == "pending")
    });
    assert_eq!(alone.task(&finished)["result"], json!({"n": "finished"}));
}

#[test]
fn a_dead_voter_is_named_by_voters_that_have_never_met_it() {
    let mut nodes = three();
    let (name, id) = (nodes[2].name().to_owned(), nodes[2].id());
    nodes.iter_mut().for_each(TestNode::kill_9);
    nodes[..2].iter_mut().for_each(TestNode::start);
    for node in &nodes[..2] {
        wait_until("the dead voter to be named", || {
            let shown = node.cli(&["cluster", "status"]).stdout;
            shown.contains(&format!("the voter {name} ({id}) does not answer")) && shown.contains("start it again")
        });
    }
}
