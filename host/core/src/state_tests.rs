//! What every voter must agree on: the life of a task, fencing, retries, and that the same log gives the same state.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::task::Extras;

/// What has ended, in tests of this crate.
impl Archive for BTreeMap<TaskId, Status> {
    fn ended(&self, task: TaskId) -> Option<Status> {
        self.get(&task).copied()
    }
}

struct Log {
    state: State,
    ended: BTreeMap<TaskId, Status>,
    rows: Vec<LedgerRow>,
    index: u64,
}

const ME: NodeId = NodeId([1; 16]);
const OTHER: NodeId = NodeId([2; 16]);
const TASK: TaskId = TaskId([7; 16]);

impl Log {
    fn new() -> Log {
        let mut log = Log { state: State::default(), ended: BTreeMap::new(), rows: vec![], index: 0 };
        log.apply(Command::Found { id: ClusterId([9; 16]), name: "akita".into(), founder: ME });
        log
    }

    fn apply(&mut self, command: Command) -> Reply {
        self.index += 1;
        let mut out = Effects::default();
        self.state.apply(self.index, self.index * 1000, command, &self.ended, &mut out);
        for change in &out.changes {
            if let Change::Ended { task, .. } = change {
                assert_eq!(self.ended.insert(task.id, task.status), None, "a task ends once");
            }
        }
        self.rows.extend(out.rows);
        out.replies.remove(0)
    }

    fn submit(&mut self, id: TaskId) -> Reply {
        let input = Content { content_type: "application/json".into(), body: b"{}".to_vec() };
        let spec = TaskSpec {
            action: "basics/echo".into(),
            required: vec![],
            priority: 10,
            timeout_ms: None,
            input,
            extras: Extras::default(),
        };
        self.apply(Command::Submit { id, origin: ME, attempts: 0, max_attempts: 3, spec })
    }

    fn assign(&mut self, worker: NodeId) -> u64 {
        assert_eq!(self.apply(Command::Assign { task: TASK, worker }), Reply::Done);
        self.index
    }

    fn finish(&mut self, fence: u64, worker: NodeId, outcome: Outcome) -> Reply {
        self.apply(Command::Finish { task: TASK, fence, worker, outcome })
    }

    fn events(&self) -> Vec<&'static str> {
        self.rows.iter().map(|row| row.event.as_str()).collect()
    }
}

fn done() -> Outcome {
    Outcome::Completed(Content { content_type: "text/plain".into(), body: b"ok".to_vec() })
}

fn failed(retry_after_ms: Option<u64>) -> Outcome {
    Outcome::Failed(Failure { message: "no".into(), code: None, pointer: None, retry_after_ms })
}

#[test]
fn a_task_runs_once_and_leaves_its_trail() {
    let mut log = Log::new();
    assert_eq!(log.submit(TASK), Reply::Done);
    let fence = log.assign(OTHER);
    assert_eq!(log.apply(Command::Acknowledge { task: TASK, fence }), Reply::Done);
    assert_eq!(log.finish(fence, OTHER, done()), Reply::Done);
    assert_eq!(log.ended.ended(TASK), Some(Status::Completed));
    let events = ["LEADER_ELECTED", "TASK_SUBMITTED", "TASK_ASSIGNED", "TASK_STARTED", "TASK_COMPLETED"];
    assert_eq!(log.events(), events);
    assert!(log.rows.iter().enumerate().all(|(at, row)| row.index == at as u64));
}

#[test]
fn a_voters_number_is_the_index_that_gave_it_and_is_never_given_again() {
    let mut log = Log::new();
    let first = log.apply(Command::Enlist { node: OTHER });
    assert_eq!(first, Reply::Enlisted(log.index));
    assert_eq!(log.apply(Command::Enlist { node: OTHER }), first, "asked again, it keeps it");
    assert_eq!(log.apply(Command::Dismiss { node: OTHER, to: None }), Reply::Done);
    assert_eq!(log.apply(Command::Dismiss { node: OTHER, to: None }), Reply::Stale);
    assert_eq!(log.apply(Command::Enlist { node: OTHER }), Reply::Enlisted(log.index), "another one");
    assert_ne!(first, Reply::Enlisted(log.index));
    assert_eq!(log.apply(Command::Dismiss { node: ME, to: Some(Access::Banned) }), Reply::Done, "also one without");
    assert_eq!(log.state.enlisted()[&ME].access, Access::Banned);
    // Who was removed stays so in a cluster that is founded from this one; numbers are a new cluster's own.
    log.apply(Command::Found { id: ClusterId([8; 16]), name: "akita".into(), founder: OTHER });
    assert_eq!(log.state.enlisted().keys().collect::<Vec<_>>(), [&ME]);
    log.apply(Command::Seal { into: ClusterId([4; 16]), leader: OTHER });
    assert_eq!(log.apply(Command::Enlist { node: OTHER }), Reply::Sealed);
}

#[test]
fn each_election_counts_and_leaves_a_row_and_the_tasks_alone() {
    let mut log = Log::new();
    log.submit(TASK);
    let fence = log.assign(OTHER);
    assert_eq!(log.apply(Command::Lead { node: OTHER }), Reply::Done);
    assert_eq!(log.state.cluster().map(|cluster| cluster.term), Some(2));
    assert_eq!(log.finish(fence, OTHER, done()), Reply::Done, "the assignment holds under the next leader");
    assert_eq!(log.events().iter().filter(|event| **event == "LEADER_ELECTED").count(), 2);
    let mut empty = State::default();
    let mut out = Effects::default();
    empty.apply(1, 1, Command::Lead { node: ME }, &log.ended, &mut out);
    assert_eq!(out.replies, [Reply::Sealed], "nobody leads what was never founded");
}

#[test]
fn what_is_to_be_forgotten_is_bounded_by_the_command() {
    let mut log = Log::new();
    let mut out = Effects::default();
    log.state.apply(9, 9, Command::Prune { older_than: 5, keep_max: 1, most: u32::MAX }, &log.ended, &mut out);
    let expected = Change::Pruned { older_than: 5, keep_max: 1, most: MAX_PRUNED };
    assert_eq!((out.changes, out.rows.len()), (vec![expected], 0));
}

#[test]
fn the_same_id_is_accepted_once_even_after_its_end() {
    let mut log = Log::new();
    log.submit(TASK);
    assert_eq!(log.submit(TASK), Reply::Known(Status::Pending));
    let fence = log.assign(ME);
    log.finish(fence, ME, done());
    assert_eq!(log.submit(TASK), Reply::Known(Status::Completed));
}

#[test]
fn an_outcome_counts_only_from_the_worker_that_holds_the_assignment() {
    let mut log = Log::new();
    log.submit(TASK);
    let first = log.assign(ME);
    assert_eq!(log.finish(first, OTHER, done()), Reply::Stale, "not its worker");
    log.apply(Command::Requeue { task: TASK, fence: first, cause: RequeueCause::WorkerOffline });
    let second = log.assign(OTHER);
    assert_eq!(log.finish(first, ME, done()), Reply::Stale, "an earlier attempt");
    assert_eq!(log.finish(second, OTHER, done()), Reply::Done);
    assert_eq!(log.finish(second, OTHER, done()), Reply::Stale, "said twice");
}

#[test]
fn a_retryable_failure_is_tried_again_until_attempts_are_used_up() {
    let mut log = Log::new();
    log.submit(TASK);
    for attempt in 1..=3 {
        let fence = log.assign(ME);
        log.finish(fence, ME, failed(Some(0)));
        let left = log.state.tasks().get(&TASK);
        assert_eq!(left.is_some(), attempt < 3);
        assert!(left.is_none_or(|task| task.not_before > log.index * 1000), "waits before the next attempt");
    }
    assert_eq!(log.ended.ended(TASK), Some(Status::Failed));
}

#[test]
fn a_permanent_failure_ends_the_task_at_once() {
    let mut log = Log::new();
    log.submit(TASK);
    let fence = log.assign(ME);
    log.finish(fence, ME, failed(None));
    assert_eq!(log.ended.ended(TASK), Some(Status::Failed));
}

#[test]
fn a_lost_worker_or_a_restart_costs_the_task_none_of_its_attempts() {
    let mut log = Log::new();
    log.submit(TASK);
    for _ in 0..10 {
        let fence = log.assign(ME);
        log.apply(Command::Requeue { task: TASK, fence, cause: RequeueCause::LeaderRestart });
        assert_eq!(log.state.tasks()[&TASK].status, Status::Pending);
    }
    for left in [true, true, false] {
        let fence = log.assign(ME);
        log.apply(Command::Requeue { task: TASK, fence, cause: RequeueCause::ProcessingTimeout });
        assert_eq!(log.state.tasks().contains_key(&TASK), left);
    }
}

#[test]
fn a_task_that_takes_its_node_down_each_time_stops_in_the_end() {
    let mut log = Log::new();
    log.submit(TASK);
    for _ in 0..MAX_ATTEMPTS_EVER {
        let fence = log.assign(ME);
        log.apply(Command::Requeue { task: TASK, fence, cause: RequeueCause::LeaderRestart });
    }
    assert_eq!(log.ended.ended(TASK), Some(Status::Failed));
}

#[test]
fn a_sealed_cluster_takes_and_assigns_nothing_but_lets_work_end() {
    let mut log = Log::new();
    log.submit(TASK);
    let fence = log.assign(ME);
    log.submit(TaskId([8; 16]));
    log.apply(Command::Seal { into: ClusterId([3; 16]), leader: OTHER });
    assert_eq!(log.submit(TaskId([9; 16])), Reply::Sealed);
    assert_eq!(log.apply(Command::Assign { task: TaskId([8; 16]), worker: ME }), Reply::Sealed);
    assert_eq!(log.finish(fence, ME, done()), Reply::Done);
    log.apply(Command::HandOver { tasks: vec![TaskId([8; 16])], to: ClusterId([3; 16]) });
    assert!(log.state.tasks().is_empty());
}

#[test]
fn numbers_and_words_from_other_nodes_are_bounded() {
    let mut log = Log::new();
    let input = Content { content_type: "application/json".into(), body: vec![] };
    let spec = TaskSpec {
        action: "a/b".into(),
        required: vec![],
        priority: 255,
        timeout_ms: Some(u32::MAX),
        input,
        extras: Extras::default(),
    };
    log.apply(Command::Submit { id: TASK, origin: ME, attempts: u32::MAX, max_attempts: u32::MAX, spec });
    let fence = log.assign(OTHER);
    let long = || "x".repeat(1 << 20);
    let failure =
        Failure { message: long(), code: Some(long()), pointer: Some(long()), retry_after_ms: Some(u64::MAX) };
    log.finish(fence, OTHER, Outcome::Failed(failure));
    assert_eq!(log.ended.ended(TASK), Some(Status::Failed));
    assert!(log.rows.iter().all(|row| row.leaf().len() < 1_000));
}

fn any_command() -> impl Strategy<Value = Command> {
    let id = (0u8..4).prop_map(|n| TaskId([n; 16]));
    let node = (1u8..3).prop_map(|n| NodeId([n; 16]));
    let spec = TaskSpec {
        action: "a".into(),
        required: vec![],
        priority: 1,
        timeout_ms: None,
        input: Content { content_type: "a/b".into(), body: vec![1] },
        extras: Extras::default(),
    };
    let outcome = prop_oneof![Just(done()), Just(failed(None)), Just(failed(Some(5)))];
    let cause =
        prop_oneof![Just(RequeueCause::AckTimeout), Just(RequeueCause::WorkerOffline), Just(RequeueCause::Refused)];
    prop_oneof![
        (id.clone(), node.clone()).prop_map(move |(id, origin)| Command::Submit {
            id,
            origin,
            attempts: 0,
            max_attempts: 2,
            spec: spec.clone()
        }),
        (id.clone(), node.clone()).prop_map(|(task, worker)| Command::Assign { task, worker }),
        (id.clone(), 0u64..60).prop_map(|(task, fence)| Command::Acknowledge { task, fence }),
        (id.clone(), 0u64..60, node, outcome)
            .prop_map(|(task, fence, worker, outcome)| { Command::Finish { task, fence, worker, outcome } }),
        (id, 0u64..60, cause).prop_map(|(task, fence, cause)| Command::Requeue { task, fence, cause }),
    ]
}

proptest! {
    #[test]
    fn the_same_log_gives_the_same_state_and_rows(commands in prop::collection::vec(any_command(), 0..60)) {
        let run = || {
            let mut log = Log::new();
            for command in commands.clone() {
                log.apply(command);
            }
            (log.state, log.rows)
        };
        let (state, rows) = run();
        prop_assert_eq!((&state, &rows), (&run().0, &run().1));
        for task in state.tasks().values() {
            let held = matches!(task.status, Status::Assigned | Status::Running);
            prop_assert_eq!(held, task.assignment.is_some());
            prop_assert!(!task.status.is_end() && task.strikes < task.max_attempts);
        }
        prop_assert!(rows.windows(2).all(|two| two[0].index + 1 == two[1].index));
    }
}

#[test]
fn a_rotation_of_the_key_is_agreed_on_by_its_fingerprint_and_ends_once() {
    let mut log = Log::new();
    let mark = crate::KeyMark([5; 16]);
    let rotate = |generation, waiting: &[NodeId]| Command::RotateKey {
        generation,
        mark,
        until: 9_000,
        early: true,
        waiting: waiting.to_vec(),
    };
    assert_eq!(log.apply(Command::HoldKey { generation: 2, nodes: vec![OTHER] }), Reply::Stale);
    assert_eq!(log.apply(rotate(2, &[ME, OTHER])), Reply::Done);
    assert_eq!(log.apply(rotate(2, &[])), Reply::Stale, "of that number there is one");
    assert_eq!(log.apply(Command::HoldKey { generation: 2, nodes: vec![ME] }), Reply::Done);
    let turn = log.state.key().unwrap();
    assert!(turn.waiting.contains(&OTHER) && turn.held.contains(&ME) && !turn.waiting.contains(&ME));
    assert_eq!(log.apply(Command::RetireKey { generation: 3 }), Reply::Stale);
    assert_eq!(log.apply(Command::RetireKey { generation: 2 }), Reply::Done);
    assert_eq!(log.apply(Command::RetireKey { generation: 2 }), Reply::Stale);
    assert!(log.state.key().unwrap().retired);
    let rows: Vec<_> = log.rows.iter().filter(|row| row.event == EventType::ConfigChange).collect();
    assert_eq!(rows.len(), 2, "begun and ended: {rows:?}");
    assert!(rows[0].details.iter().any(|(_, value)| *value == mark.to_string()));
    log.apply(Command::Seal { into: ClusterId([1; 16]), leader: OTHER });
    assert_eq!(log.apply(rotate(3, &[])), Reply::Sealed);
}
