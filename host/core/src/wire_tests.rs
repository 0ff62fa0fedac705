//! Sizes that docs/protocol.md states, and that nonsense is refused.

use proptest::prelude::*;

use super::*;
use crate::task::Parent;
use crate::{
    event::EventType,
    id::{ClusterId, KeyPrint, NodeId, TaskId},
    task::{Content, Extras, Outcome, TaskSpec},
};

const TASK: TaskId = TaskId([7; 16]);
const NODE: NodeId = NodeId([9; 16]);

fn standing() -> Standing {
    Standing { cluster: ClusterId([1; 16]), leader: NODE }
}

fn hello() -> Hello {
    Hello {
        tag: [1; 8],
        standing: standing(),
        name: "alpha".into(),
        incarnation: u32::MAX,
        protected: true,
        nonce: [2; 16],
        established: false,
        program: "0.1.0".into(),
    }
}

fn job(bytes: usize) -> Job {
    Job {
        task: TASK,
        fence: 100_000,
        attempt: 1,
        action: "basics/echo".into(),
        timeout_ms: 60_000,
        content_type: String::new(),
        input: vec![1; bytes],
        extras: JobExtras::default(),
    }
}

/// All that a job can say.
fn family_job(bytes: usize) -> Job {
    let key = Some(KeyPrint([5; 8]));
    let extras = JobExtras { deterministic: true, origin: Some(NODE), key, depth: 1, priority: Some(3) };
    Job { extras, ..job(bytes) }
}

fn family() -> Extras {
    Extras { deterministic: true, key: Some(KeyPrint([5; 8])), parent: Some(Parent { task: TASK, depth: 1 }) }
}

fn raft(bytes: usize) -> Raft {
    Raft { cluster: ClusterId([1; 16]), from: 9_000, to: 9_001, what: 1, body: vec![1; bytes], piece: None }
}

fn catalog(plugins: &[(&str, &str)]) -> Catalog {
    let (actions, one) = (["echo", "log", "wait"], "basics");
    let all: std::collections::BTreeSet<String> = actions.iter().map(|action| format!("{one}/{action}")).collect();
    let versions = plugins.iter().map(|(plugin, version)| (*plugin, *version, actions.into()));
    let versions = crate::versions::Versions::of(versions).pack(&all);
    Catalog {
        digest: [3; 8],
        capabilities: vec![],
        actions: all.into_iter().collect(),
        caps: vec![],
        versions,
        slots: 2,
    }
}

/// Each message as docs/protocol.md names it.
fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let ran = Ran::new(
        TASK,
        100_000,
        70_000,
        Outcome::Completed(Content { content_type: "application/json".into(), body: vec![1; 100] }),
    );
    let report = Report {
        standing: standing(),
        incarnation: u32::MAX,
        digest: [3; 8],
        slots: 2,
        running: 1,
        cpu: 12,
        memory: 34,
        rtt_ms: 4_000,
        leaving: false,
        parked: 0,
        voters: None,
    };
    let spec = TaskSpec {
        action: "basics/echo".into(),
        required: vec![],
        priority: 10,
        timeout_ms: None,
        input: Content { content_type: "application/json".into(), body: vec![1; 100] },
        extras: Extras::default(),
    };
    let child = TaskSpec { extras: family(), ..spec.clone() };
    vec![
        ("Hello", hello().encode()),
        ("Welcome, open", Welcome { hello: hello(), proof: None }.encode()),
        ("Welcome, with proof", Welcome { hello: hello(), proof: Some(vec![4; 32]) }.encode()),
        ("Prove", Prove { proof: vec![4; 32] }.encode()),
        ("Admitted", Admitted { standing: standing() }.encode()),
        ("Report", report.clone().encode()),
        ("Reported", Reported { standing: standing(), view: 3, voters: None }.encode()),
        ("GetCatalog", GetCatalog {}.encode()),
        ("Catalog, three actions of one plugin", catalog(&[("basics", "0.1.0")]).encode()),
        ("Catalog, the same in two versions", catalog(&[("basics", "0.1.0"), ("basics", "0.2.0")]).encode()),
        ("Assign, one task of 100 B", Assign { jobs: vec![job(100)] }.encode()),
        ("Assign, a child of somebody with a key", Assign { jobs: vec![family_job(100)] }.encode()),
        ("Assigned", Assigned { refused: vec![] }.encode()),
        ("Outcomes, one of 100 B", Outcomes { ran: vec![ran] }.encode()),
        ("Taken", Taken {}.encode()),
        ("Progress", Progress { task: TASK, fence: 100_000, done: 1, total: Some(9), note: "decode".into() }.encode()),
        ("Noted", Noted {}.encode()),
        ("Submit, one task of 100 B", Submit { tasks: vec![Sent::new(TASK, NODE, 0, spec)], imported: false }.encode()),
        (
            "Submit, a child of somebody with a key",
            Submit { tasks: vec![Sent::new(TASK, NODE, 0, child)], imported: false }.encode(),
        ),
        ("Submitted", Submitted { statuses: vec![2], index: 100_000 }.encode()),
        ("GetBlob", GetBlob { id: [5; 32], offset: 100_000, max: 4_096 }.encode()),
        ("BlobPiece, 100 B", BlobPiece { size: Some(1 << 20), bytes: vec![1; 100] }.encode()),
        ("Ask for a task", Ask::Task { task: TASK, here: false, wait_ms: 0 }.encode()),
        (
            "Ask for partial output",
            Ask::Emitted { task: TASK, here: false, since: Since { attempt: 1, offset: 100_000, max: 1_024 } }.encode(),
        ),
        ("Ask for the leader's index", Ask::Index.encode()),
        ("Ask for the proof of a row", Ask::Proof(LedgerAsk::Row { index: 100_000 }).encode()),
        ("Ask for rows of the ledger", Ask::Proof(LedgerAsk::Rows { from: 100_000, limit: 200 }).encode()),
        ("Tell, 100 B", Tell { plugin: "notes".into(), body: vec![1; 100] }.encode()),
        ("Told", Told::new(Took::Full).encode()),
        (
            "Report, of a voter",
            Report { voters: Some(KnownVoters { digest: 40_000, number: 9_000 }), ..report }.encode(),
        ),
        ("Raft, 100 B", raft(100).encode()),
        ("Rafted, 100 B", Rafted { body: vec![1; 100] }.encode()),
        ("Recruit", Recruit { cluster: ClusterId([1; 16]), number: 9_000, profile: 1 }.encode()),
        ("Recruited", Recruited {}.encode()),
        ("Release", Release { cluster: ClusterId([1; 16]), number: 9_000 }.encode()),
        ("Released", Released {}.encode()),
        (
            "Remark, a node that was refused",
            Remark {
                event: EventType::SecurityAlert,
                node: NODE,
                details: vec![("reason".into(), "it came without the cluster key".into())],
            }
            .encode(),
        ),
        ("Remarked", Remarked {}.encode()),
        ("Cosign", Cosign { size: 100_000, root: [200; 32], signature: [200; 64] }.encode()),
        ("Cosigned", Cosigned { signature: Some(vec![200; 64]), differs: false }.encode()),
        ("Govern", Govern { wish: Wish::Promote, node: NODE }.encode()),
        ("Govern, a new key", Govern { wish: Wish::RotateKey { grace_ms: 86_400_000 }, node: NODE }.encode()),
        ("Govern, a merge", Govern { wish: Wish::Merge { into: ClusterId([1; 16]) }, node: NODE }.encode()),
        (
            "TakeKey, of the leader",
            TakeKey { generation: 2, left_ms: Some(86_400_000), secret: Some(vec![6; 64]) }.encode(),
        ),
        ("TakeKey, a question", TakeKey { generation: 2, left_ms: None, secret: None }.encode()),
        ("TookKey", TookKey { generation: 2 }.encode()),
        ("Merge", Merge { from: ClusterId([1; 16]) }.encode()),
        ("Merging", Merging {}.encode()),
        ("Governed, a word", Governed { detail: "it leads".into() }.encode()),
    ]
}

#[test]
fn every_message_has_the_size_that_the_protocol_states() {
    let protocol = include_str!("../../../docs/protocol.md");
    let rows = samples().into_iter().map(|(name, bytes)| format!("| {name} | {} |", bytes.len()));
    let missing: Vec<String> = rows.filter(|row| !protocol.contains(row)).collect();
    assert!(missing.is_empty(), "docs/protocol.md lacks these rows:\n{}", missing.join("\n"));
}

#[test]
fn the_messages_of_a_short_task_fit_one_packet_on_a_slow_link() {
    for (name, bytes) in samples() {
        assert!(bytes.len() <= 300, "{name}: {} B", bytes.len());
    }
}

#[test]
fn a_key_on_its_way_is_never_shown() {
    let take = TakeKey { generation: 2, left_ms: None, secret: Some(b"a secret of the cluster".to_vec()) };
    assert_eq!(TakeKey::decode(&take.encode()), Ok(take.clone()));
    assert!(!format!("{:?}", Request::TakeKey(take)).contains("97"), "not even as numbers");
    let asked = TakeKey { generation: 2, left_ms: None, secret: None };
    assert_eq!(TakeKey::decode(&asked.encode()), Ok(asked));
}

#[test]
fn a_request_survives_the_wire() {
    let assign = Assign { jobs: vec![job(5), job(0)] };
    assert_eq!(Request::decode(&assign.encode()), Ok(Request::Assign(assign)));
    let ask = Ask::Task { task: TASK, here: true, wait_ms: 7 };
    assert_eq!(Request::decode(&ask.encode()), Ok(Request::Ask(ask)));
    assert_eq!(unpack_type(pack_type("application/json")), "application/json");
}

/// As a node wrote them that knew of one voter only.
#[test]
fn words_of_a_node_that_knows_no_voters_are_understood() {
    type OldReport = (Standing, u32, serde_bytes::ByteArray<8>, u16, u16, u8, u8, u32, bool);
    let old: OldReport = (standing(), 7, [3; 8].into(), 2, 1, 12, 34, 4_000, false);
    let old = Report::decode(&[&[VERSION, Report::KIND][..], &rmp_serde::to_vec(&old).unwrap()].concat()).unwrap();
    assert_eq!((old.parked, old.voters), (0, None));
    let new = Report { parked: 3, voters: Some(KnownVoters { digest: 1, number: 2 }), ..old };
    assert_eq!(Report::decode(&new.encode()), Ok(new));
    let established = Hello { established: true, ..hello() };
    assert_eq!(Hello::decode(&established.encode()), Ok(established));
    let piece = Raft { piece: Some(Piece { of: 1, offset: 2, total: 3 }), ..raft(5) };
    assert_eq!(Raft::decode(&piece.encode()), Ok(piece));
}

/// As a node without these fields wrote them: the last element of each array is not there.
#[test]
fn jobs_and_tasks_of_an_older_node_are_understood_and_cost_the_same() {
    type OldJob = (TaskId, u64, u32, String, u32, String, serde_bytes::ByteBuf);
    let old: OldJob = (TASK, 100_000, 1, "basics/echo".into(), 60_000, String::new(), vec![1; 5].into());
    let old = rmp_serde::to_vec(&(vec![old],)).unwrap();
    assert_eq!(old, Assign { jobs: vec![job(5)] }.encode()[2..]);
    let new = Assign { jobs: vec![family_job(5), job(5), family_job(0)] };
    assert_eq!(Assign::decode(&new.encode()), Ok(new));
    let spec = TaskSpec {
        action: "a/b".into(),
        required: vec![],
        priority: 10,
        timeout_ms: None,
        input: Content { content_type: "application/json".into(), body: vec![] },
        extras: Extras::default(),
    };
    type OldSent = (TaskId, NodeId, u32, String, Vec<String>, u8, Option<u32>, String, serde_bytes::ByteBuf);
    let old: OldSent = (TASK, NODE, 0, "a/b".into(), vec![], 10, None, String::new(), serde_bytes::ByteBuf::new());
    let old = rmp_serde::to_vec(&(vec![old], true)).unwrap();
    let ordinary = Sent::new(TASK, NODE, 0, spec.clone());
    assert_eq!(old, Submit { tasks: vec![ordinary.clone()], imported: true }.encode()[2..]);
    let child = Sent::new(TASK, NODE, 0, TaskSpec { extras: family(), ..spec.clone() });
    let new = Submit { tasks: vec![child.clone(), ordinary], imported: true };
    assert_eq!(Submit::decode(&new.encode()), Ok(new));
    assert_eq!(child.spec().extras, family());
    let again: TaskSpec = rmp_serde::from_slice(&rmp_serde::to_vec(&spec).unwrap()).unwrap();
    assert_eq!(again, spec);
}

#[test]
fn what_became_of_a_message_is_understood_and_an_unknown_answer_is_no_answer() {
    for took in [Took::Delivered, Took::NoPlugin, Took::Full] {
        assert_eq!(Told::decode(&Told::new(took).encode()).unwrap().took(), Some(took));
    }
    assert_eq!(Told { took: 99 }.took(), None);
}

#[test]
fn another_version_or_kind_is_named() {
    let mut bytes = GetCatalog {}.encode();
    bytes[0] = 9;
    assert_eq!(Request::decode(&bytes), Err(WireError::Version(9)));
    assert_eq!(Request::decode(&[VERSION, 200]), Err(WireError::Kind(200)));
    assert_eq!(Request::decode(&[]), Err(WireError::Short));
    assert_eq!(Taken::decode(&Noted {}.encode()), Err(WireError::Kind(14)));
    let mut long = GetCatalog {}.encode();
    long.push(0);
    assert!(matches!(Request::decode(&long), Err(WireError::Parse(_))));
}

#[test]
fn only_short_first_words_are_looked_at_before_a_node_is_let_in() {
    let longest = Hello { name: "n".repeat(crate::membership::MAX_NAME_LEN), ..hello() };
    assert!(is_greeting(&longest.encode()) && is_greeting(&Prove { proof: vec![4; 32] }.encode()));
    let endless = Hello { name: "n".repeat(1 << 20), ..hello() };
    assert!(!is_greeting(&endless.encode()) && !is_greeting(&GetCatalog {}.encode()) && !is_greeting(&[]));
}

#[test]
fn lists_that_would_fill_the_memory_are_refused_while_they_are_read() {
    let catalog = Catalog {
        digest: [0; 8],
        capabilities: vec![],
        actions: vec![String::new(); MAX_OFFERED + 1],
        caps: vec![],
        versions: vec![],
        slots: 0,
    };
    assert!(matches!(Catalog::decode(&catalog.encode()), Err(WireError::Parse(_))));
    let names = ["p/a", "a b", "\u{1b}[2J", ""].map(str::to_owned).to_vec();
    let catalog = Catalog {
        digest: [0; 8],
        capabilities: names.clone(),
        actions: names,
        caps: vec![],
        versions: vec![],
        slots: 0,
    };
    let cleaned = Catalog::decode(&catalog.encode()).unwrap().cleaned();
    assert_eq!((cleaned.capabilities, cleaned.actions), (vec!["p/a".to_owned()], vec!["p/a".to_owned()]));
    let versions = Catalog { versions: vec![String::new(); MAX_OFFERED + 1], ..catalog.clone() };
    assert!(Catalog::decode(&versions.encode()).is_err());
    let many = Assigned { refused: vec![TASK; MAX_ITEMS + 1] };
    assert!(Assigned::decode(&many.encode()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn random_bytes_are_refused_or_understood_but_never_fatal(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Request::decode(&bytes);
        let _ = Answer::decode(&bytes);
        let _ = BlobPiece::decode(&bytes);
    }

    #[test]
    fn changed_and_truncated_messages_are_never_fatal(which in 0..samples().len(), at in any::<prop::sample::Index>(), value in any::<u8>(), keep in any::<prop::sample::Index>()) {
        let mut bytes = samples().swap_remove(which).1;
        let position = at.index(bytes.len());
        bytes[position] = value;
        let _ = Request::decode(&bytes);
        bytes.truncate(keep.index(bytes.len() + 1));
        let _ = Request::decode(&bytes);
    }
}
