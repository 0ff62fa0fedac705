//! A peer of the mesh that is no node: it speaks to a real one, sends garbage and what it may not send, and gets
//! refusals and nothing else.

use akita_core::{
    Content, NodeId, Outcome, TaskId,
    membership::{ClusterKey, Exchange, Side, cluster_tag},
    wire::{
        Admitted, Ask, Assign, Assigned, GetBlob, GetCatalog, Hello, Job, Message, Outcomes, Prove, Ran, Refusal,
        Refused, Report, Sent, Since, Standing, Submit, Taken, Welcome,
    },
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::json;

use crate::{
    harness::{RawPeer, Spec, TestNode, wait_until},
    prepare::free_address,
};

const KEY: &str = "correct horse battery staple";

/// Memory that a node may have taken for messages that it refused, in KiB.
const MAX_GROWTH_KIB: u64 = 32 << 10;

impl RawPeer {
    fn ask<A: Message>(&self, request: &impl Message) -> A {
        let answer = self.call(request.encode());
        A::decode(&answer).unwrap_or_else(|error| panic!("{error}: {answer:02x?}"))
    }

    #[track_caller]
    fn refused(&self, request: &impl Message, why: Refusal) {
        let refused: Refused = self.ask(request);
        assert_eq!(refused.why, why, "{refused:?}");
        if why == Refusal::NotAdmitted {
            assert_eq!(refused.standing, None, "a stranger learns nothing");
        }
    }

    fn hello(&self, nonce: u8) -> Hello {
        // It says that it leads a cluster that gives way to any other.
        let standing = Standing { cluster: akita_core::ClusterId([0xff; 16]), leader: self.id() };
        Hello {
            tag: cluster_tag("akita"),
            standing,
            name: "stranger".into(),
            incarnation: 1,
            protected: true,
            nonce: [nonce; 16],
            established: false,
            program: "0.1.0".into(),
        }
    }

    /// The proof that a holder of the key gives for this exchange.
    fn proof(&self, hello: &Hello, welcome: &Welcome) -> Prove {
        let key = ClusterKey::new(KEY.as_bytes()).expect("a key");
        let called = NodeId(self.node.0);
        let exchange = Exchange { caller: self.id(), hello, called, called_nonce: welcome.hello.nonce };
        Prove { proof: key.prove(Side::Caller, exchange).to_vec() }
    }

    fn is_admitted(&self) {
        let hello = self.hello(1);
        let welcome: Welcome = self.ask(&hello);
        let _: Admitted = self.ask(&self.proof(&hello, &welcome));
    }
}

fn closed_node() -> (TestNode, RawPeer) {
    let address = free_address();
    let node = Spec::new("watched").arg("--mesh-listen", &address).env("AKITA_CLUSTER_KEY", KEY).start();
    let stranger = RawPeer::meets(&node, &address);
    (node, stranger)
}

fn job(task: TaskId) -> Job {
    Job {
        task,
        fence: 1,
        attempt: 1,
        action: "basics/echo".into(),
        timeout_ms: 0,
        content_type: String::new(),
        input: b"{}".to_vec(),
        extras: Default::default(),
    }
}

fn sent(task: TaskId, origin: NodeId) -> Sent {
    Sent {
        task,
        origin,
        attempts: 0,
        action: "basics/echo".into(),
        required: Vec::new(),
        priority: 10,
        timeout_ms: None,
        content_type: String::new(),
        input: b"{}".to_vec(),
        extras: Default::default(),
    }
}

fn ran(task: TaskId, fence: u64) -> Ran {
    let lie = Content { content_type: "application/json".into(), body: b"\"a lie\"".to_vec() };
    Ran::new(task, fence, 1, Outcome::Completed(lie))
}

fn goes_on(node: &TestNode) {
    let id = node.submit(&json!({"action": "echo", "still": "here"}));
    assert_eq!(node.completed(&id)["result"], json!({"still": "here"}));
    node.verify_ledger();
}

#[test]
fn garbage_and_cut_messages_are_refused_and_the_node_goes_on() {
    let (node, stranger) = closed_node();
    let mut dice = StdRng::seed_from_u64(7);
    let mut messages: Vec<Vec<u8>> = vec![Vec::new(), vec![1], vec![2, 1], vec![1, 255], vec![1, 19, 0x90]];
    for _ in 0..60 {
        let length = dice.random_range(0..400);
        messages.push((0..length).map(|_| dice.random()).collect());
    }
    // Of every kind of request: nonsense behind a right head, and cut short.
    for kind in 0..=20 {
        messages.push([1, kind].into_iter().chain((0..40).map(|_| dice.random())).collect());
        // An array that says it has four thousand million items.
        messages.push(vec![1, kind, 0x91, 0xdd, 0xff, 0xff, 0xff, 0xff]);
    }
    let whole = Submit { tasks: vec![sent(TaskId([1; 16]), stranger.id())], imported: false }.encode();
    messages.extend((0..whole.len()).step_by(3).map(|at| whole[..at].to_vec()));
    messages.extend(vec![vec![1; 2 << 20]; 25]);
    let before = node.memory_kib("VmRSS");
    for message in messages {
        let shown: Vec<u8> = message.iter().copied().take(12).collect();
        let answer = stranger.call(message);
        let refused = Refused::decode(&answer).unwrap_or_else(|error| panic!("{shown:02x?} was answered: {error}"));
        assert!(matches!(refused.why, Refusal::Malformed | Refusal::NotAdmitted | Refusal::BadProof), "{refused:?}");
    }
    goes_on(&node);
    let after = node.memory_kib("VmRSS");
    assert!(after < before + MAX_GROWTH_KIB, "50 MiB of nonsense left something behind: {before} to {after} KiB");
    assert_eq!(node.get("/cluster/status")["nodes"].as_array().map(Vec::len), Some(1));
}

#[test]
fn who_is_not_admitted_can_neither_read_nor_take_nor_answer_a_task() {
    let (node, stranger) = closed_node();
    let waits = node.submit(&json!({"action": "echo", "secret": 1, "required_capabilities": ["nobody"]}));
    let task: TaskId = waits.parse().expect("an id");
    let me = stranger.id();
    stranger.refused(&Ask::Task { task, here: true, wait_ms: 0 }, Refusal::NotAdmitted);
    stranger.refused(&Ask::List { status: None, limit: 10 }, Refusal::NotAdmitted);
    stranger.refused(&Ask::View, Refusal::NotAdmitted);
    stranger.refused(&GetCatalog {}, Refusal::NotAdmitted);
    stranger.refused(&GetBlob { id: [0; 32], offset: 0, max: 0 }, Refusal::NotAdmitted);
    let since = Since { attempt: 0, offset: 0, max: 0 };
    stranger.refused(&Ask::Emitted { task, here: true, since }, Refusal::NotAdmitted);
    stranger.refused(&Assign { jobs: vec![job(TaskId([2; 16]))] }, Refusal::NotAdmitted);
    stranger.refused(&Submit { tasks: vec![sent(TaskId([3; 16]), me)], imported: true }, Refusal::NotAdmitted);
    stranger.refused(&Outcomes { ran: vec![ran(task, 1)] }, Refusal::NotAdmitted);
    let standing = stranger.hello(1).standing;
    let report = Report {
        parked: 0,
        standing,
        incarnation: 1,
        digest: [0; 8],
        slots: 200,
        running: 0,
        cpu: 0,
        memory: 0,
        rtt_ms: 0,
        leaving: false,
        voters: None,
    };
    stranger.refused(&report, Refusal::NotAdmitted);
    assert_eq!(node.task(&waits)["status"], "pending");
    assert_eq!(node.get("/status")["tasks"]["completed"].as_u64().unwrap_or(0), 0, "nothing of the stranger's ran");
    goes_on(&node);
}

#[test]
fn a_proof_is_worth_nothing_again_and_a_wrong_one_is_written_down() {
    let (node, stranger) = closed_node();
    let hello = stranger.hello(1);
    let welcome: Welcome = stranger.ask(&hello);
    let proof = stranger.proof(&hello, &welcome);
    let _: Admitted = stranger.ask(&proof);
    // The same bytes again, without and with a new hello before them.
    stranger.refused(&proof, Refusal::NotAdmitted);
    let again: Welcome = stranger.ask(&hello);
    assert_ne!(again.hello.nonce, welcome.hello.nonce);
    stranger.refused(&proof, Refusal::BadProof);
    let id = stranger.id().to_string();
    wait_until("the alert", || {
        let rows = node.ledger("SECURITY_ALERT");
        rows.iter().any(|row| row["node_id"] == id.as_str() && row["details"]["name"] == "stranger")
    });
    goes_on(&node);
}

#[test]
fn who_is_admitted_may_still_do_only_what_its_part_is() {
    let (node, stranger) = closed_node();
    let running = node.submit(&json!({"action": "slow", "ms": 1500}));
    wait_until("the task to run", || node.task(&running)["status"] == "running");
    let task: TaskId = running.parse().expect("an id");
    stranger.is_admitted();
    // Only the leader assigns.
    stranger.refused(&Assign { jobs: vec![job(TaskId([2; 16]))] }, Refusal::NotLeader);
    // Outcomes of a task that somebody else holds are taken from nobody else, under whatever fence.
    for fence in 0..60 {
        let _: Taken = stranger.ask(&Outcomes { ran: vec![ran(task, fence)] });
    }
    let _: Taken = stranger.ask(&Outcomes { ran: vec![ran(TaskId([9; 16]), 1)] });
    assert_eq!(node.completed(&running)["result"]["worked_ms"], 1500);
    // A task under an id that is taken changes nothing.
    let again = Submit { tasks: vec![sent(task, stranger.id())], imported: true };
    let _ = stranger.call(again.encode());
    assert_eq!(node.task(&running)["action"], "faulty/slow");
    // Nonsense within a well-formed message.
    let mut nonsense = sent(TaskId([4; 16]), stranger.id());
    nonsense.action = "\u{1b}[31m no action".into();
    stranger.refused(&Submit { tasks: vec![nonsense], imported: true }, Refusal::Invalid);
    let answer = stranger.call(Assign { jobs: Vec::new() }.encode());
    assert!(Assigned::decode(&answer).is_err());
    goes_on(&node);
}
