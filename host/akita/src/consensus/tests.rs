//! What a proposer may rely on: order, durability, restart, and that nothing follows a failure.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    process::{Command as Process, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use akita_core::{
    command::{Command, MAX_COMMANDS, Reply, RequeueCause},
    id::{ClusterId, NodeId, TaskId},
    state::{Change, State},
    task::Status,
};
use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::*;
use crate::store::{
    DEFAULT_FILE,
    testing::{self, Log, ME, clock, done, failed, finish, signer, submit, task},
};

#[tokio::test]
async fn many_proposals_at_once_are_answered_in_order() {
    let mut log = Log::new().await;
    let mut answers = Vec::new();
    for n in 0..2_000 {
        answers.push(log.opened.consensus.submit(vec![submit(task(n))]).unwrap());
    }
    let mut last = 1;
    let mut time = 0;
    for answer in answers {
        let committed = answer.answer.await.unwrap().unwrap();
        assert_eq!(committed.index, last + 1);
        assert_eq!(committed.replies, [Reply::Done]);
        assert!(committed.time >= time);
        (last, time) = (committed.index, committed.time);
    }
    for index in 1..=last {
        let Ok(Event::Applied(applied)) = log.opened.events.try_recv() else { panic!("an entry is missing") };
        assert_eq!(applied.index, index, "every entry is told of before it is answered");
        if index > 1 {
            assert!(matches!(&applied.changes[..], [Change::Accepted { input, .. }] if input == b"{\"a\":1}"));
        }
    }
    assert_eq!(log.opened.store.counts().await.unwrap()[&Status::Pending], 2_000);
}

#[tokio::test]
async fn an_ended_task_is_still_known_after_a_restart() {
    let log = Log::new().await;
    log.finished(task(1)).await;
    let log = log.reopen().await;
    assert!(log.opened.state.tasks().is_empty());
    assert_eq!(log.one(submit(task(1))).await, (5, Reply::Known(Status::Completed)));
}

#[tokio::test]
async fn the_time_of_the_log_never_goes_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut times = Vec::new();
    for now in [5_000, 3_000, 9_000] {
        let data = DataDir::open(dir.path()).unwrap();
        let opened = open(&data, DEFAULT_FILE, signer(), Arc::new(move || now)).unwrap();
        times.push(opened.consensus.propose(vec![]).await.unwrap().time);
        opened.store.close().await.unwrap();
    }
    assert_eq!(times, [5_000, 5_000, 9_000]);
}

#[tokio::test]
async fn an_entry_that_is_too_large_and_a_full_queue_are_refused() {
    let log = Log::new().await;
    let too_many = vec![submit(task(1)); MAX_COMMANDS + 1];
    assert!(matches!(log.opened.consensus.submit(too_many), Err(ConsensusError::TooMany(_))));
    let mut answers = Vec::new();
    let busy = loop {
        match log.opened.consensus.submit(vec![submit(task(1)); MAX_COMMANDS]) {
            Ok(answer) => answers.push(answer),
            Err(error) => break error,
        }
        assert!(answers.len() < 1_000, "the queue has a bound");
    };
    assert!(matches!(busy, ConsensusError::Busy));
    for answer in answers {
        answer.answer.await.unwrap().unwrap();
    }
    log.one(submit(task(2))).await;
}

#[tokio::test]
async fn what_was_queued_before_a_close_is_committed_and_nothing_after_it() {
    let log = Log::new().await;
    let answers: Vec<_> = (0..500).map(|n| log.opened.consensus.submit(vec![submit(task(n))]).unwrap()).collect();
    log.opened.store.close().await.unwrap();
    for answer in answers {
        answer.answer.await.unwrap().unwrap();
    }
    let stopped = log.opened.consensus.propose(vec![submit(task(900))]).await;
    assert!(matches!(stopped, Err(ConsensusError::Store(StoreError::Stopped))));
    assert_eq!(log.opened.store.counts().await.unwrap()[&Status::Pending], 500, "reading goes on");
    log.opened.store.close().await.unwrap();
}

#[tokio::test]
async fn a_write_that_fails_stops_the_log_for_good() {
    let mut log = Log::new().await;
    log.opened.events.recv().await.unwrap();
    // Another program breaks the database: from here on, storing a task fails.
    let sabotage = "CREATE TRIGGER no BEFORE INSERT ON tasks BEGIN SELECT RAISE(ABORT, 'sabotage'); END";
    testing::execute(&log.database(), sabotage);
    let answers: Vec<_> = (0..50).filter_map(|n| log.opened.consensus.submit(vec![submit(task(n))]).ok()).collect();
    for answer in answers {
        let answer = answer.answer.await;
        assert!(!matches!(answer, Ok(Ok(_))), "{answer:?}");
    }
    let failure = log.opened.store.failed().await;
    assert!(failure.to_string().contains("sabotage"), "{failure}");
    let later = log.opened.consensus.propose(vec![]).await.unwrap_err();
    assert!(later.to_string().contains("sabotage"), "{later}");
    assert!(log.opened.store.close().await.is_err());
    assert!(log.opened.events.try_recv().is_err(), "nobody is told of what is not durable");
    assert!(log.opened.store.list(None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_full_disk_is_fatal_and_says_so() {
    let log = Log::new().await;
    let mut large = submit(task(1));
    if let Command::Submit { spec, .. } = &mut large {
        spec.input.body = vec![7; 1024 * 1024];
    }
    log.opened.store.limit_pages(100).await;
    let error = log.opened.consensus.propose(vec![large]).await.unwrap_err();
    assert!(matches!(error, ConsensusError::Store(StoreError::DiskFull)), "{error}");
    assert!(error.hint().contains("free some space"));
}

#[tokio::test]
async fn dropping_every_handle_ends_the_writer_and_frees_the_directory() {
    let log = Log::new().await;
    let _answer = log.opened.consensus.submit(vec![submit(task(1))]).unwrap();
    let Log { opened, dir } = log;
    drop(opened);
    let deadline = Instant::now() + Duration::from_secs(30);
    let data = loop {
        match DataDir::open(dir.path()) {
            Ok(data) => break data,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::task::yield_now().await;
    };
    let opened = open(&data, DEFAULT_FILE, signer(), clock()).unwrap();
    assert_eq!(opened.state.tasks().len(), 1);
}

/// Set in the process that is killed: its data directory.
const VICTIM: &str = "AKITA_TEST_KILLED_IN";

/// Runs in a process of its own: accepts and finishes tasks until it is killed, telling of each when it is committed.
fn victim(dir: &str) {
    Runtime::new().unwrap().block_on(async {
        let opened = open(&DataDir::open(dir).unwrap(), DEFAULT_FILE, signer(), clock()).unwrap();
        let founded = Command::Found { id: ClusterId([9; 16]), name: "akita".into(), founder: ME };
        opened.consensus.propose(vec![founded]).await.unwrap();
        for n in 0.. {
            let assign = Command::Assign { task: task(n), worker: ME };
            let fence = opened.consensus.propose(vec![submit(task(n)), assign]).await.unwrap().index;
            opened.consensus.propose(vec![finish(task(n), fence, done())]).await.unwrap();
            println!("committed {n}");
        }
    });
}

#[test]
fn what_was_answered_survives_a_kill() {
    if let Ok(dir) = std::env::var(VICTIM) {
        return victim(&dir);
    }
    let dir = tempfile::tempdir().unwrap();
    let name = std::thread::current().name().unwrap().to_owned();
    let mut child = Process::new(std::env::current_exe().unwrap())
        .args(["--exact", &name, "--nocapture"])
        .env(VICTIM, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let told = lines.filter(|line| line.contains("committed")).take(100).count() as u64;
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(told, 100, "the other process did not come that far");

    Runtime::new().unwrap().block_on(async {
        let opened = open(&DataDir::open(dir.path()).unwrap(), DEFAULT_FILE, signer(), clock()).unwrap();
        for n in 0..told {
            let record = opened.store.task(task(n)).await.unwrap().unwrap();
            assert_eq!(record.meta.task.status, Status::Completed);
            assert!(record.result.is_some());
        }
        let report = opened.store.verify().await.unwrap();
        assert!(report.ok, "{report:?}");
        opened.consensus.propose(vec![submit(task(1 << 40))]).await.unwrap();
        opened.store.close().await.unwrap();
    });
}

fn any_command() -> impl Strategy<Value = Command> {
    let id = (0u64..5).prop_map(task);
    let node = (1u8..3).prop_map(|n| NodeId([n; 16]));
    let outcome = prop_oneof![Just(done()), Just(failed(None)), Just(failed(Some(5)))];
    let cause =
        prop_oneof![Just(RequeueCause::AckTimeout), Just(RequeueCause::WorkerOffline), Just(RequeueCause::Refused)];
    let other = NodeId([5; 16]);
    prop_oneof![
        3 => id.clone().prop_map(submit),
        5 => (id.clone(), node.clone()).prop_map(|(task, worker)| Command::Assign { task, worker }),
        3 => (id.clone(), 0u64..40).prop_map(|(task, fence)| Command::Acknowledge { task, fence }),
        5 => (id.clone(), 0u64..40, node, outcome)
            .prop_map(|(task, fence, worker, outcome)| Command::Finish { task, fence, worker, outcome }),
        3 => (id.clone(), 0u64..40, cause).prop_map(|(task, fence, cause)| Command::Requeue { task, fence, cause }),
        1 => id.prop_map(|id| Command::HandOver { tasks: vec![id], to: ClusterId([4; 16]) }),
        1 => Just(Command::Seal { into: ClusterId([4; 16]), leader: other }),
        1 => Just(Command::Found { id: ClusterId([8; 16]), name: "é".into(), founder: other }),
    ]
}

/// The ended tasks, as the database should know them.
#[derive(Default)]
struct Ended(BTreeMap<TaskId, Status>);

impl akita_core::Archive for Ended {
    fn ended(&self, task: TaskId) -> Option<Status> {
        self.0.get(&task).copied()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn a_restart_restores_the_state_and_the_log_goes_on_alike(
        before in prop::collection::vec(prop::collection::vec(any_command(), 1..5), 0..20),
        after in prop::collection::vec(prop::collection::vec(any_command(), 1..5), 0..10),
    ) {
        Runtime::new().unwrap().block_on(async {
            let mut log = Log::new().await;
            let mut model = (State::default(), Ended::default());
            let founded = Command::Found { id: ClusterId([9; 16]), name: "akita".into(), founder: ME };
            let (mut index, mut time) = (1, 0);
            let Some(Event::Applied(first)) = log.opened.events.recv().await else { panic!("nothing was founded") };
            step(&mut model, 1, first.time, vec![founded]);
            for (at, entries) in [before, after].into_iter().enumerate() {
                for commands in entries {
                    index += 1;
                    let committed = log.propose(commands.clone()).await;
                    assert_eq!(committed.index, index);
                    time = committed.time;
                    let replies = step(&mut model, index, committed.time, commands);
                    assert_eq!(committed.replies, replies, "as if nothing had been on disk");
                }
                if at == 0 {
                    log = log.reopen().await;
                    assert_eq!(log.opened.index, index);
                    assert!(log.opened.time >= time, "what was due then is due now, whatever the clock says");
                    assert_eq!(log.opened.state, model.0);
                }
            }
            let log = log.reopen().await;
            assert_eq!(log.opened.state, model.0);
            let report = log.opened.store.verify().await.unwrap();
            assert!(report.ok && report.rows == model.0.rows(), "{report:?}");
            let counts = log.opened.store.counts().await.unwrap();
            for status in [Status::Pending, Status::Assigned, Status::Running] {
                let live = model.0.tasks().values().filter(|task| task.status == status).count();
                assert_eq!(counts[&status], live as u64);
            }
        });
    }
}

fn step(model: &mut (State, Ended), index: u64, time: Millis, commands: Vec<Command>) -> Vec<Reply> {
    let (state, ended) = model;
    let mut all = akita_core::Effects::default();
    for command in commands {
        let mut out = akita_core::Effects::default();
        state.apply(index, time, command, ended, &mut out);
        for change in &out.changes {
            match change {
                Change::Ended { task, .. } => drop(ended.0.insert(task.id, task.status)),
                Change::HandedOver { task, .. } => drop(ended.0.remove(task)),
                _ => {}
            }
        }
        all.replies.extend(out.replies);
    }
    all.replies
}
