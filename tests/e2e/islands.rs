//! Voters without a majority: what is to run in an island runs there at once, on whoever of the cluster is in reach, and
//! is the cluster's once a leader is back; once, whatever is killed in between. What is forged is not taken.

use akita_core::{
    NodeId, Outcome, State, TaskId,
    command::Command,
    island::IslandEntry,
    membership::cluster_tag,
    wire::{Hello, Import, Imported, Message, Refusal, Refused, SignedEntry, Standing, Welcome},
};
use akita_mesh::PeerId;
use serde_json::{Value, json};

use crate::{
    cluster::completions,
    harness::{RawPeer, Spec, TestNode, find, text, wait_until},
    meeting::{leads, wait_until_met},
    prepare::free_address,
};

fn steady(name: &str, listen: &str, peers: &[String]) -> Spec {
    let spec = Spec::new(name).env("AKITA_NODE_TIMEOUT_S", "4").env("AKITA_LEADER_ELECTION_TIMEOUT_S", "2");
    let spec = spec.arg("--mesh-listen", listen);
    peers.iter().fold(spec, |spec, peer| spec.arg("--mesh-peer", peer))
}

fn members(node: &TestNode, word: &str) -> usize {
    let Some((200, view)) = node.try_get("/cluster/members") else { return 0 };
    view["members"].as_array().expect("members").iter().filter(|one| one["membership"] == word).count()
}

/// Three voters, the leader last, and a worker that alone has what `lone` asks for; and where the first listens.
fn three_and_a_worker() -> (Vec<TestNode>, TestNode, String) {
    let (mut addresses, mut nodes): (Vec<String>, Vec<TestNode>) = (Vec::new(), Vec::new());
    for at in 0..4 {
        let address = free_address();
        let spec = steady(&format!("node-{at}"), &address, &addresses);
        let spec = spec.arg("--capabilities", if at == 3 { "lone" } else { "voter" });
        nodes.push(spec.start());
        addresses.push(address);
        if at == 2 {
            wait_until_met(&nodes.iter().collect::<Vec<_>>());
            wait_until("three voters", || nodes.iter().all(|node| members(node, "voter") == 3));
        }
    }
    wait_until_met(&nodes.iter().collect::<Vec<_>>());
    wait_until("a worker beside them", || nodes.iter().all(|node| members(node, "worker") == 1));
    let worker = nodes.pop().expect("the fourth");
    let at = find("a leader", || nodes.iter().position(leads));
    nodes.swap(2, at);
    let first = addresses[nodes[0].name().trim_start_matches("node-").parse::<usize>().expect("a number")].clone();
    (nodes, worker, first)
}

fn submit_here(node: &TestNode, task: &Value) -> String {
    let (code, body) = node.try_post("/tasks/submit", task).expect("an answer");
    assert_eq!((code, &body["recorded"]), (202, &json!("island")), "{body:#}");
    text(&body["task_id"])
}

/// Done in the island, and said to be so.
fn done_here(node: &TestNode, id: &str) -> Value {
    find(&format!("{id} to be done in the island"), || {
        let view = node.task(id);
        (view["status"] == "completed" && view["recorded"] == "island").then_some(view)
    })
}

fn imported(node: &TestNode, id: &str) -> Option<Value> {
    let rows = node.ledger("TASK_COMPLETED");
    let mut about = rows.iter().filter(|row| row["task_id"] == *id);
    let row = about.next()?.clone();
    assert!(about.next().is_none(), "{id} ended twice");
    Some(row)
}

#[test]
fn an_island_runs_what_it_is_given_and_the_cluster_takes_it_once() {
    let (mut nodes, worker, _) = three_and_a_worker();
    let before = nodes[0].submit(&json!({"action": "echo", "where": "island", "n": "led"}));
    let led = nodes[0].completed(&before);
    assert_eq!(led["recorded"], Value::Null, "with a leader it is a task as any: {led:#}");
    nodes[1].kill_9();
    nodes[2].kill_9();
    wait_until("it to say that most are gone", || {
        nodes[0].get("/cluster/status")["problems"].to_string().contains("voters answer")
    });

    let ordinary = nodes[0].submit(&json!({"action": "echo", "n": "ordinary"}));
    assert_eq!(nodes[0].task(&ordinary)["status"], "queued_locally");
    let own = submit_here(&nodes[0], &json!({"action": "echo", "where": "island", "n": "own"}));
    let lone = json!({"action": "echo", "where": "island", "n": "lone", "required_capabilities": ["lone"]});
    let lone = submit_here(&nodes[0], &lone);
    // Nobody here is able to run it; the cluster will be.
    let none = json!({"action": "echo", "where": "island", "n": "none", "required_capabilities": ["later"]});
    let none = submit_here(&nodes[0], &none);
    let failing = submit_here(&nodes[0], &json!({"action": "fail-permanent", "where": "island"}));
    assert_eq!(done_here(&nodes[0], &own)["result"], json!({"n": "own"}));
    assert_eq!(done_here(&nodes[0], &lone)["worker_id"], *worker.id());
    assert_eq!(nodes[0].ended(&failing)["status"], "failed");
    let waits = nodes[0].task(&none);
    assert_eq!((&waits["status"], &waits["recorded"]), (&json!("pending"), &json!("island")), "{waits:#}");
    assert_eq!(nodes[0].task(&ordinary)["status"], "queued_locally", "what waits for the cluster waits");
    let island = nodes[0].get("/cluster/status")["island"].clone();
    assert_eq!((&island["to_import"], &island["waiting"]), (&json!(3), &json!(1)), "{island:#}");
    let shown = nodes[0].cli(&["ledger", "journal"]).expect(0).stdout;
    assert!(shown.contains("3 signed") && shown.contains(&lone), "{shown}");

    // Between the end and the import, and in the middle of a run: nothing of it is lost with the process.
    let slow = |on: &str| json!({"action": "slow", "ms": 4000, "where": "island", "required_capabilities": [on]});
    let (under_way, away) = (submit_here(&nodes[0], &slow("voter")), submit_here(&nodes[0], &slow("lone")));
    wait_until("both to run", || [&under_way, &away].iter().all(|id| nodes[0].task(id)["status"] == "running"));
    nodes[0].kill_9();
    nodes[0].start();
    assert_eq!(done_here(&nodes[0], &own)["result"], json!({"n": "own"}));
    assert_eq!(nodes[0].get("/ledger/journal")["ok"], true);
    assert_eq!(nodes[0].ended(&under_way)["attempts"], 2, "what ran with the process runs again");
    assert_eq!(nodes[0].ended(&away)["attempts"], 1, "what another ran does not");

    nodes[1].start();
    for id in [&own, &lone, &under_way, &away] {
        let row = find(&format!("{id} in the ledger"), || imported(&nodes[1], id));
        assert_eq!((&row["details"]["island"], &row["details"]["origin"]), (&json!("true"), &json!(nodes[0].id())));
    }
    assert_eq!(nodes[1].completed(&ordinary)["result"], json!({"n": "ordinary"}));
    assert_eq!(nodes[1].ended(&failing)["status"], "failed");
    let view = nodes[1].completed(&lone);
    assert_eq!((&view["result"]["n"], &view["worker_id"]), (&json!("lone"), &json!(worker.id())), "{view:#}");
    wait_until("the one that waited to be the cluster's", || nodes[1].task(&none)["recorded"] == Value::Null);
    wait_until("nothing more to be brought", || nodes[0].get("/cluster/status")["island"] == Value::Null);
    nodes[2].start();
    wait_until_met(&nodes.iter().chain([&worker]).collect::<Vec<_>>());
    let times = completions(&nodes[2]);
    for id in [&own, &lone, &under_way, &away, &ordinary, &before] {
        assert_eq!(times.get(id), Some(&1), "{id}");
        nodes[2].completed(id);
    }
    nodes.iter().for_each(TestNode::verify_ledger);
    let journal = nodes[0].get("/ledger/journal");
    assert_eq!((&journal["ok"], &journal["counts"]["imported"]), (&json!(true), &json!(5)), "{journal:#}");
}

#[test]
fn a_word_that_is_no_place_is_refused_by_name() {
    let node = Spec::alone("places").start();
    let out = node.cli(&["task", "submit", r#"{"action":"echo","where":"moon"}"#]).expect(5);
    assert!(out.stderr.contains("`cluster` or `island`") && out.stderr.contains("where"), "{}", out.stderr);
    let done = node.cli(&["task", "submit", r#"{"action":"echo","n":1}"#, "--where", "island", "--wait"]).expect(0);
    assert!(done.stdout.contains("\"n\": 1"), "{}", done.stdout);
}

/// A peer of the mesh that is let in, and lies.
impl RawPeer {
    fn is_let_in(&self, name: &str) {
        let standing = Standing { cluster: akita_core::ClusterId([255; 16]), leader: self.id() };
        let hello = Hello {
            tag: cluster_tag(name),
            standing,
            name: "liar".into(),
            incarnation: 1,
            protected: false,
            nonce: [1; 16],
            established: false,
            program: "0.1.0".into(),
        };
        Welcome::decode(&self.call(hello.encode())).expect("it is let in");
    }

    fn import(&self, key: [u8; 64], entry: &IslandEntry, sign: impl Fn(&[u8]) -> [u8; 64]) -> Vec<u8> {
        let entry = entry.encode();
        let signature = sign(&IslandEntry::signed(&entry));
        self.call(Import { key, entries: vec![SignedEntry { entry, signature }] }.encode())
    }
}

/// An entry of a task that never ran.
fn invented(origin: NodeId, id: TaskId) -> IslandEntry {
    struct Nothing;
    impl akita_core::Archive for Nothing {
        fn ended(&self, _: TaskId) -> Option<akita_core::Status> {
            None
        }
    }
    let (mut state, mut out) = (State::default(), akita_core::Effects::default());
    let found = Command::Found { id: akita_core::ClusterId([1; 16]), name: "x".into(), founder: origin };
    state.apply(1, 1, found, &Nothing, &mut out);
    let content = akita_core::Content { content_type: "application/json".into(), body: b"{}".to_vec() };
    let spec = akita_core::TaskSpec {
        action: "basics/echo".into(),
        required: vec![],
        priority: 10,
        timeout_ms: None,
        input: content.clone(),
        extras: akita_core::Extras::default(),
    };
    state.apply(2, 2, Command::Submit { id, origin, attempts: 0, max_attempts: 3, spec }, &Nothing, &mut out);
    IslandEntry::new(1, [0; 32], &state.tasks()[&id], [0; 32], Outcome::Completed(content))
}

#[test]
fn a_forged_end_is_refused_and_named_and_a_removed_node_brings_nothing() {
    let address = free_address();
    let node = Spec::new("honest").arg("--mesh-listen", &address).arg("--cluster-name", "forged").start();
    let liar = RawPeer::meets(&node, &address);
    let stranger =
        liar.import(liar.identity.public_key(), &invented(liar.id(), TaskId([1; 16])), |text| liar.identity.sign(text));
    assert_eq!(Refused::decode(&stranger).expect("a refusal").why, Refusal::NotAdmitted);

    liar.is_let_in("forged");
    let why = |answer: Vec<u8>| {
        let refused = Imported::decode(&answer).expect("an answer").refused;
        assert_eq!(refused.len(), 1, "{refused:?}");
        refused[0].1.clone()
    };
    let theirs = NodeId(node.id().parse::<PeerId>().expect("an id").0);
    let (key, own) = (liar.identity.public_key(), invented(liar.id(), TaskId([2; 16])));
    let changed = why(liar.import(key, &own, |text| liar.identity.sign(&text[1..])));
    assert!(changed.contains("signature") && changed.contains(&liar.id().to_string()), "{changed}");
    let other = why(liar.import(key, &invented(theirs, TaskId([3; 16])), |text| liar.identity.sign(text)));
    assert!(other.contains("about a task of") && other.contains(&theirs.to_string()), "{other}");
    let foreign = why(liar.import([7; 64], &own, |text| liar.identity.sign(text)));
    assert!(foreign.contains("is not that of"), "{foreign}");
    for n in [1, 2, 3] {
        let (code, _) = node.try_get(&format!("/tasks/{}", TaskId([n; 16]))).expect("an answer");
        assert_eq!(code, 404, "nothing of it is in the books");
    }
    let alerts = node.ledger("SECURITY_ALERT");
    let named = alerts.iter().any(|row| {
        row["node_id"] == json!(liar.id().to_string()) && text(&row["details"]["reason"]).contains("not taken")
    });
    assert!(named, "{alerts:#?}");

    // What it signs about itself is taken from a member, and from nobody whom the operator removed.
    let taken = liar.import(key, &own, |text| liar.identity.sign(text));
    assert_eq!(Imported::decode(&taken).expect("an answer").refused, []);
    assert_eq!(node.completed(&TaskId([2; 16]).to_string())["status"], "completed");
    node.cli(&["cluster", "remove", &liar.id().to_string(), "--yes"]).expect(0);
    let late = liar.import(key, &invented(liar.id(), TaskId([4; 16])), |text| liar.identity.sign(text));
    let refused = Refused::decode(&late).expect("a refusal").why;
    assert!(matches!(refused, Refusal::NotAdmitted | Refusal::Removed), "{refused:?}");
    assert_eq!(node.try_get(&format!("/tasks/{}", TaskId([4; 16]))).expect("an answer").0, 404);
    node.verify_ledger();
}
