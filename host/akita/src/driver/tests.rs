//! The loop on a real store: nothing stalls, nothing stops it, and nothing that other nodes say changes what runs.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use akita_core::{
    Content, EventType, Outcome, TaskId,
    schedule::{Load, Offer},
    tuning::Tuning,
    wire::Job,
};
use akita_sandbox::{Limits, Sandbox, SandboxConfig};

use super::*;
use crate::{
    executor::Executor,
    store::{
        LedgerQuery,
        testing::{Log, ME, task},
    },
};

const WORKER: NodeId = NodeId([2; 16]);
/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A worker that remembers what it was sent.
#[derive(Clone, Default)]
struct Worker {
    jobs: Arc<Mutex<Vec<Job>>>,
    refuses: bool,
}

impl Assigner for Worker {
    fn assign(&self, _: NodeId, jobs: Vec<Job>) -> Pin<Box<dyn Future<Output = Delivery> + Send + '_>> {
        let refused = if self.refuses { jobs.iter().map(|job| job.task).collect() } else { Vec::new() };
        self.jobs.lock().unwrap().extend(jobs);
        Box::pin(std::future::ready(Delivery::Taken { refused }))
    }
}

struct World {
    driver: Driver,
    store: crate::store::Store,
    worker: Worker,
    _dir: tempfile::TempDir,
}

impl World {
    async fn new(refuses: bool) -> World {
        // Founded by the test, so that the loop begins where a restarted node does.
        let Log { opened, dir } = Log::new().await.reopen().await;
        let cache_dir = dir.path().join("compiled");
        let sandbox = Sandbox::new(SandboxConfig { slots: 1, cache_dir, guest_threads: 1, ..SandboxConfig::default() });
        let (reports, _) = mpsc::unbounded_channel();
        let executor = Executor::new(sandbox.unwrap(), crate::plugins::Plugins::none(), Limits::default(), 1, reports);
        let worker = Worker { refuses, ..Worker::default() };
        let (driver, inbox) = Driver::new();
        let start = Start {
            me: ME,
            tuning: Tuning::default(),
            state: opened.state,
            consensus: opened.consensus,
            events: opened.events,
            time: opened.time,
            votes: false,
            store: opened.store.clone(),
            executor,
            assigner: Arc::new(worker.clone()),
        };
        tokio::spawn(Service::new(start, driver.clone(), inbox).run());
        World { driver, store: opened.store, worker, _dir: dir }
    }

    async fn worker_up(&self) {
        let offer = Offer { slots: 4, actions: ["p/a".to_owned()].into(), ..Offer::default() };
        self.driver.worker_up(WORKER, offer, Load::default()).await;
    }

    async fn submit(&self, tasks: Vec<Incoming>) -> Vec<Status> {
        let answer = async { self.driver.submit(tasks, true).await.map(|accepted| accepted.statuses) };
        tokio::time::timeout(PATIENCE, answer).await.expect("it is answered").unwrap()
    }

    async fn until<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let looking = async {
            loop {
                if let Some(found) = look().await {
                    return found;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("never: {what}"))
    }

    async fn job(&self, id: TaskId) -> Job {
        let find = async || self.worker.jobs.lock().unwrap().iter().find(|job| job.task == id).cloned();
        self.until("the worker has the task", find).await
    }
}

fn incoming(id: TaskId, body: &[u8]) -> Incoming {
    let input = Content { content_type: "a/b".into(), body: body.to_vec() };
    let spec = TaskSpec {
        action: "p/a".into(),
        required: vec![],
        priority: 10,
        timeout_ms: Some(u32::MAX),
        input,
        extras: akita_core::Extras::default(),
    };
    Incoming { id, origin: ME, attempts: 0, spec }
}

#[tokio::test]
async fn no_tasks_at_all_are_accepted_at_once() {
    let world = World::new(false).await;
    assert_eq!(world.submit(vec![]).await, []);
}

#[tokio::test]
async fn a_log_whose_queue_is_full_is_waited_for() {
    let world = World::new(false).await;
    // Larger together than the writer's queue, so that the loop finds it full.
    let filling = (0..8).map(|n| world.store.outbox_add(task(60_000 + n), vec![0; 4 << 20], 1));
    let submitting = (0..200).map(|n| world.submit(vec![incoming(task(n), b"x")]));
    let (filled, accepted) =
        tokio::join!(futures_util::future::try_join_all(filling), futures_util::future::join_all(submitting),);
    assert!(filled.is_ok());
    assert!(accepted.iter().all(|statuses| statuses == &[Status::Pending]));
    assert_eq!(world.store.counts().await.unwrap()[&Status::Pending], 200);
}

#[tokio::test]
async fn what_was_accepted_runs_and_not_what_is_sent_later_under_its_id() {
    let world = World::new(false).await;
    world.submit(vec![incoming(task(1), b"right"), incoming(task(1), b"wrong, and longer")]).await;
    world.submit(vec![incoming(task(1), b"wrong as well")]).await;
    world.worker_up().await;
    let job = world.job(task(1)).await;
    assert_eq!(job.input, b"right");
    assert_eq!(u64::from(job.timeout_ms), Tuning::default().processing_timeout, "and no longer than it is waited for");
}

#[tokio::test]
async fn progress_and_outcomes_of_who_does_not_hold_a_task_leave_nothing_behind() {
    let world = World::new(false).await;
    world.worker_up().await;
    world.submit(vec![incoming(task(1), b"x")]).await;
    let fence = world.job(task(1)).await.fence;
    let said = |task| wire::Progress { task, fence, done: 1, total: Some(2), note: String::new() };
    let result = || Outcome::Completed(Content { content_type: "a/b".into(), body: vec![1] });
    let ran = || vec![Ran::new(task(1), fence, 1, result())];
    world.driver.progress(ME, said(task(1)));
    world.driver.progress(WORKER, said(task(2)));
    world.driver.outcomes(ME, ran()).await.unwrap();
    assert_eq!(world.driver.watch().progress(task(1), fence), None);
    assert_eq!(world.driver.watch().progress(task(2), fence), None);
    world.driver.progress(WORKER, said(task(1)));
    let seen = async || world.driver.watch().progress(task(1), fence);
    assert_eq!(world.until("progress of the holder", seen).await.percent, Some(50));
    world.driver.outcomes(WORKER, ran()).await.unwrap();
    assert_eq!(
        world.store.task_meta(task(1)).await.unwrap().unwrap().task.status,
        Status::Completed,
        "after the commit"
    );
    world.driver.progress(WORKER, said(task(1)));
    world.driver.explain(task(1)).await;
    assert_eq!(world.driver.watch().progress(task(1), fence), None, "too late");
}

#[tokio::test]
async fn a_worker_that_refuses_everything_fills_no_ledger() {
    let world = World::new(true).await;
    world.worker_up().await;
    world.submit((0..4).map(|n| incoming(task(n), b"x")).collect()).await;
    let refused = async || {
        let query = LedgerQuery { limit: 1, offset: 0, event: Some(EventType::TaskRequeued), task: None };
        (world.store.ledger(query).await.unwrap().total >= 4).then_some(())
    };
    world.until("the tasks come back", refused).await;
    // As many turns of the loop, each with a commit, as would bring them to and fro many times.
    for _ in 0..60 {
        let row = Command::Record { event: EventType::ConfigChange, node: ME, details: vec![] };
        world.driver.commit(vec![row]).await.unwrap();
    }
    let sent = world.worker.jobs.lock().unwrap().len();
    assert!(sent <= 4 * 4, "{sent} assignments");
}
