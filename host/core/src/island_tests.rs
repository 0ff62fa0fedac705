//! What an island gives to a cluster: an end comes over whole, is taken once whatever its order, and bytes that are none do
//! no harm.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{
    command::{Command, Reply},
    event::EventType,
    id::ClusterId,
    state::{Change, Effects, State},
    task::Status,
    wire::{Import, Imported, Job, JobExtras, Message, RunInIsland, SignedEntry},
};

const ORIGIN: NodeId = NodeId([7; 16]);
const WORKER: NodeId = NodeId([8; 16]);

/// A log with what it led to.
struct Log {
    state: State,
    ended: BTreeMap<TaskId, Status>,
    index: u64,
}

impl Log {
    fn new() -> Log {
        let mut log = Log { state: State::default(), ended: BTreeMap::new(), index: 0 };
        log.apply(Command::Found { id: ClusterId([1; 16]), name: "test".into(), founder: ORIGIN });
        log
    }

    fn apply(&mut self, command: Command) -> Effects {
        self.index += 1;
        let mut out = Effects::default();
        self.state.apply(self.index, 1_000_000 + self.index, command, &self.ended, &mut out);
        for change in &out.changes {
            if let Change::Ended { task, .. } | Change::Imported { task, .. } = change {
                assert!(self.ended.insert(task.id, task.status).is_none(), "a task ends once");
            }
        }
        out
    }
}

fn spec() -> TaskSpec {
    TaskSpec {
        action: "basics/echo".into(),
        required: vec!["arm".into(), "gpu".into()],
        priority: 3,
        timeout_ms: Some(500),
        input: Content { content_type: "text/plain".into(), body: b"in".to_vec() },
        extras: Extras::default(),
    }
}

fn output() -> Outcome {
    Outcome::Completed(Content { content_type: "application/json".into(), body: vec![1; 100] })
}

fn failed(message: &str) -> Outcome {
    Outcome::Failed(Failure { message: message.into(), code: Some("trap".into()), pointer: None, retry_after_ms: None })
}

fn submit(id: TaskId) -> Command {
    Command::Submit { id, origin: ORIGIN, attempts: 0, max_attempts: 3, spec: spec() }
}

fn task(id: TaskId) -> Task {
    let mut log = Log::new();
    let out = log.apply(submit(id));
    let Change::Accepted { task, .. } = &out.changes[0] else { panic!("{out:?}") };
    let finished_at = Some(5_000);
    Task {
        worker: Some(WORKER),
        attempts: 2,
        submitted_at: 1_000,
        started_at: Some(2_000),
        finished_at,
        ..task.clone()
    }
}

fn entry(id: TaskId, outcome: Outcome) -> IslandEntry {
    IslandEntry::new(1, [0; 32], &task(id), [9; 32], outcome)
}

fn import(id: TaskId, outcome: Outcome) -> Command {
    let entry = entry(id, outcome);
    let bytes = entry.encode();
    Command::Import(Box::new(entry.into_result(&bytes)))
}

const ID: TaskId = TaskId([3; 16]);

#[test]
fn an_entry_survives_and_what_is_none_is_refused() {
    let entry = entry(ID, output());
    let bytes = entry.encode();
    assert_eq!(IslandEntry::decode(&bytes), Ok(entry.clone()));
    assert_eq!(entry.outcome(), output());
    assert_ne!(IslandEntry::hash(&bytes), *blake3::hash(&bytes).as_bytes(), "no other hash stands for it");
    let mut later = bytes.clone();
    later[3] = 2;
    assert_eq!(IslandEntry::decode(&later), Err(EntryFault::Version(2)));
    assert!(matches!(IslandEntry::decode(&bytes[..2]), Err(EntryFault::Unreadable(_))));
    assert!(matches!(IslandEntry::decode(&[&bytes[..], &[0]].concat()), Err(EntryFault::Unreadable(_))));
    let nameless = IslandEntry { action: "a b".into(), ..entry.clone() };
    assert!(matches!(IslandEntry::decode(&nameless.encode()), Err(EntryFault::Spec(_))));
    let long = Failure { message: "x".repeat(10_000), code: None, pointer: None, retry_after_ms: None };
    let long = IslandEntry { failure: Some(long), ..entry };
    assert_eq!(IslandEntry::decode(&long.encode()), Err(EntryFault::TooLong));
}

#[test]
fn an_island_s_end_is_taken_once_and_told_in_the_ledger() {
    let mut log = Log::new();
    let out = log.apply(import(ID, output()));
    assert_eq!(out.replies, [Reply::Done]);
    let Change::Imported { task, output: Some(output), failure: None } = &out.changes[0] else { panic!("{out:?}") };
    assert_eq!((task.status, task.worker, task.attempts), (Status::Completed, Some(WORKER), 2));
    assert_eq!((task.origin, task.finished_at, output.body.len()), (ORIGIN, Some(5_000), 100));
    let events: Vec<_> = out.rows.iter().map(|row| (row.event, row.node)).collect();
    assert_eq!(events, [(EventType::TaskSubmitted, ORIGIN), (EventType::TaskCompleted, WORKER)]);
    let told = |key: &str, value: &str| out.rows[1].details.iter().any(|(k, v)| k == key && v == value);
    assert!(told("island", "true") && told("origin", &ORIGIN.to_string()), "{:?}", out.rows);
    let again = log.apply(import(ID, failed("other")));
    assert_eq!((again.replies, again.rows.len()), (vec![Reply::Known(Status::Completed)], 0));
    assert_eq!(log.apply(submit(ID)).replies, [Reply::Known(Status::Completed)], "and never run again");
}

#[test]
fn a_task_that_the_cluster_knows_too_ends_with_what_the_island_gave() {
    let mut log = Log::new();
    log.apply(submit(ID));
    log.apply(Command::Assign { task: ID, worker: NodeId([9; 16]) });
    let fence = log.index;
    let out = log.apply(import(ID, failed("it broke")));
    let Change::Ended { task, failure: Some(failure), .. } = &out.changes[0] else { panic!("{out:?}") };
    assert_eq!((task.status, task.worker, failure.message.as_str()), (Status::Failed, Some(WORKER), "it broke"));
    let late = Command::Finish { task: ID, fence, worker: NodeId([9; 16]), outcome: output() };
    assert_eq!(log.apply(late).replies, [Reply::Stale]);
}

#[test]
fn a_cluster_that_gave_way_takes_nothing() {
    let mut log = Log::new();
    log.apply(Command::Seal { into: ClusterId([2; 16]), leader: WORKER });
    let out = log.apply(import(ID, output()));
    assert_eq!((out.replies, out.changes.len()), (vec![Reply::Sealed], 0));
}

#[test]
fn messages_of_islands_have_the_size_that_the_protocol_states() {
    let job = Job {
        task: ID,
        fence: ISLAND_FENCE | 9_000,
        attempt: 1,
        action: "basics/echo".into(),
        timeout_ms: 60_000,
        content_type: String::new(),
        input: vec![1; 100],
        extras: JobExtras::default(),
    };
    let run = RunInIsland { cluster: ClusterId([1; 16]), jobs: vec![job], held: vec![] };
    let held = RunInIsland { cluster: ClusterId([1; 16]), jobs: vec![], held: vec![(ID, ISLAND_FENCE | 9_000)] };
    let entry = IslandEntry { required: vec![], timeout_ms: None, ..entry(ID, output()) };
    let entries = vec![SignedEntry { entry: entry.encode(), signature: [200; 64] }];
    let import = Import { key: [200; 64], entries };
    assert_eq!(Import::decode(&import.encode()), Ok(import.clone()));
    assert_eq!(RunInIsland::decode(&run.encode()), Ok(run.clone()));
    let rows = [
        ("RunInIsland, one task of 100 B", run.encode()),
        ("RunInIsland, whether it has one task", held.encode()),
        ("Import, one result of 100 B", import.encode()),
        ("Imported", Imported { refused: vec![] }.encode()),
    ];
    let protocol = include_str!("../../../docs/protocol.md");
    let rows = rows.map(|(name, bytes)| format!("| {name} | {} |", bytes.len()));
    let missing: Vec<String> = rows.into_iter().filter(|row| !protocol.contains(row)).collect();
    assert!(missing.is_empty(), "docs/protocol.md lacks these rows:\n{}", missing.join("\n"));
}

proptest! {
    /// Whatever a log makes of a task beside its import, in whatever order: it ends once, nothing is lost, and two that
    /// apply the same agree.
    #[test]
    fn imports_in_any_order_end_each_task_once(steps in prop::collection::vec((0u8..6, 0u8..3, any::<bool>()), 1..60)) {
        let (mut one, mut two) = (Log::new(), Log::new());
        for (step, which, good) in steps {
            let id = TaskId([which; 16]);
            let outcome = if good { output() } else { failed("x") };
            let held = one.state.tasks().get(&id).and_then(|task| task.assignment);
            let fence = held.map_or(0, |held| held.fence);
            let command = match step {
                0 => submit(id),
                1 => Command::Assign { task: id, worker: WORKER },
                2 => Command::Acknowledge { task: id, fence },
                3 => Command::Finish { task: id, fence, worker: WORKER, outcome },
                4 => import(id, outcome),
                // A replica that starts anew from what is stored.
                _ => {
                    let rows = two.state.rows();
                    let tasks: Vec<_> = two.state.tasks().values().cloned().collect();
                    two.state = State::restore(two.state.cluster().cloned(), tasks, BTreeMap::new(), rows);
                    continue;
                }
            };
            let imported = step == 4;
            let (a, b) = (one.apply(command.clone()), two.apply(command));
            prop_assert_eq!(a, b);
            if imported {
                prop_assert!(one.ended.contains_key(&id) && !one.state.tasks().contains_key(&id));
            }
        }
    }

    #[test]
    fn random_bytes_are_no_entry_and_never_fatal(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = IslandEntry::decode(&bytes);
    }
}
