//! Runs assigned tasks in the sandbox, as many at once as there are slots, and hands each outcome to whoever
//! assigned it. It never decides what to run or whether to run it again.

mod children;
mod partial;
mod place;

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use akita_core::{
    Content, Failure, NodeId, Outcome, TaskId,
    wire::{Job, Since},
};
use akita_sandbox::{
    DEFAULT_TIME, FailureKind, Interface, JobEvent, Limits, LogLevel, Mode, ResolveError, Sandbox, TasksHost,
};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::plugins::{Caller, Found, NotAllowed, Plugins, Seat};
use children::{Bounds, Family};
use partial::Partials;
use place::{Families, Idle, Place};

pub use children::{Ended, Home};
pub use partial::Piece;
pub use place::most_parked;

/// Tasks held at once, running or waiting: the leader sends at most 64 a slot, and nobody else may send.
pub const MAX_HELD: usize = 4_096;
/// Events of one run that wait to be looked at; what is over is dropped by the sandbox.
const EVENT_BACKLOG: usize = 64;

/// What happened to a task here.
#[derive(Debug)]
pub enum Report {
    /// How far it is.
    Progress {
        /// Who assigned it.
        assigner: NodeId,
        /// The task.
        task: TaskId,
        /// Its fence.
        fence: u64,
        /// Units done.
        done: u64,
        /// Of how many.
        total: Option<u64>,
        /// For people.
        note: String,
    },
    /// It ran.
    Ran {
        /// Who assigned it.
        assigner: NodeId,
        /// The task.
        task: TaskId,
        /// Its fence.
        fence: u64,
        /// Time in the sandbox, microseconds.
        run_us: u64,
        /// What it came to.
        outcome: Outcome,
    },
}

/// A handle; clones share the slots.
#[derive(Clone)]
pub struct Executor(Arc<Inner>);

struct Inner {
    sandbox: Sandbox,
    plugins: Plugins,
    limits: Limits,
    slots: Arc<Semaphore>,
    families: Arc<Families>,
    idle: Arc<Idle>,
    /// Where children are submitted. Weak, because it knows this.
    home: OnceLock<Weak<dyn Home>>,
    held: Mutex<HashSet<(TaskId, u64)>>,
    /// Ended, and the outcome is on its way to who assigned: asked for again, such a task is not begun again.
    unsettled: Mutex<HashSet<(TaskId, u64)>>,
    partials: Arc<Partials>,
    /// Gone when drained, so that whoever reads the other end knows that nothing more comes.
    reports: Mutex<Option<mpsc::UnboundedSender<Report>>>,
    runs: TaskTracker,
    draining: AtomicBool,
    drained: CancellationToken,
    stop: CancellationToken,
}

impl Executor {
    /// An executor with `slots` slots. Every outcome goes to `reports`; it is unbounded because what is sent is bounded
    /// by [`MAX_HELD`].
    pub fn new(
        sandbox: Sandbox,
        plugins: Plugins,
        limits: Limits,
        slots: usize,
        reports: mpsc::UnboundedSender<Report>,
    ) -> Executor {
        Executor(Arc::new(Inner {
            sandbox,
            plugins,
            limits,
            slots: Arc::new(Semaphore::new(slots)),
            families: Families::new(slots),
            idle: Arc::default(),
            home: OnceLock::new(),
            held: Mutex::default(),
            unsettled: Mutex::default(),
            partials: Arc::default(),
            reports: Mutex::new(Some(reports)),
            runs: TaskTracker::new(),
            draining: AtomicBool::new(false),
            drained: CancellationToken::new(),
            stop: CancellationToken::new(),
        }))
    }

    /// What it can run.
    pub fn plugins(&self) -> &Plugins {
        &self.0.plugins
    }

    /// Tasks held: running, or waiting for a slot.
    pub fn held(&self) -> usize {
        lock(&self.0.held).len()
    }

    /// Of the tasks held, those that take no slot: they wait for their children, or to be begun until others have theirs.
    pub fn parked(&self) -> usize {
        self.0.idle.count()
    }

    /// Returns when there is one more of [`Executor::parked`].
    pub async fn parks(&self) {
        self.0.idle.grows().await;
    }

    /// Who takes the children of tasks that run here.
    pub fn set_home(&self, home: Weak<dyn Home>) {
        let _ = self.0.home.set(home);
    }

    /// Takes a task; `false` if this node is full or stopping. A task that it holds already is taken and not run twice.
    pub fn take(&self, assigner: NodeId, job: Job) -> bool {
        let key = (job.task, job.fence);
        {
            let mut held = lock(&self.0.held);
            if held.contains(&key) || lock(&self.0.unsettled).contains(&key) {
                return true;
            }
            if held.len() >= MAX_HELD || self.0.draining.load(Ordering::Relaxed) {
                return false;
            }
            held.insert(key);
        }
        let inner = Arc::clone(&self.0);
        self.0.runs.spawn(async move { inner.handle(assigner, job).await });
        true
    }

    /// Takes nothing more, lets what runs end, and stops it after `grace`. Tasks that wait for a slot are let go: their
    /// leader gives them to somebody else.
    pub async fn drain(&self, grace: Duration) {
        self.0.draining.store(true, Ordering::Relaxed);
        self.0.slots.close();
        self.0.drained.cancel();
        self.0.runs.close();
        if tokio::time::timeout(grace, self.0.runs.wait()).await.is_err() {
            tracing::warn!(tasks = self.held(), "stopping tasks that did not end within the grace period");
            self.0.stop.cancel();
            self.0.runs.wait().await;
        }
        lock(&self.0.reports).take();
    }

    /// Whether this node runs a task under that fence, or has its outcome.
    pub fn has(&self, task: TaskId, fence: u64) -> bool {
        let held = lock(&self.0.held);
        held.contains(&(task, fence)) || lock(&self.0.unsettled).contains(&(task, fence))
    }

    /// What an attempt has emitted here so far, from some place on; `None` where it has emitted nothing.
    pub fn emitted(&self, task: TaskId, since: Since) -> Option<Piece> {
        self.0.partials.piece(task, since)
    }

    /// Returns when some attempt here emits something after this was called.
    pub fn news(&self) -> impl Future<Output = ()> + '_ {
        self.0.partials.news.notified()
    }

    /// An outcome was taken by who assigned the task, or will never be.
    pub fn settled(&self, task: TaskId, fence: u64) {
        lock(&self.0.unsettled).remove(&(task, fence));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    async fn handle(self: Arc<Self>, assigner: NodeId, job: Job) {
        let key = (job.task, job.fence);
        let (gate, is_family) = self.plugins.shelf().bounds(&job.action);
        let draining = self.drained.clone();
        let _begun = match is_family {
            true => tokio::select! {
                begun = self.families.begin(job.extras.depth, &self.idle) => begun,
                () = draining.cancelled() => None,
            },
            false => None,
        };
        let place = Arc::new(Place::new(gate, Arc::clone(&self.slots), draining, Arc::clone(&self.idle)));
        // Not when draining: then the task was never begun.
        if place.sit().await {
            let begun = Instant::now();
            let outcome = self.run(assigner, job, &place).await;
            let run_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
            if let Some(outcome) = outcome {
                let (task, fence) = key;
                if let Some(reports) = self.reports() {
                    lock(&self.unsettled).insert(key);
                    let _ = reports.send(Report::Ran { assigner, task, fence, run_us, outcome });
                }
            }
        }
        lock(&self.held).remove(&key);
    }

    /// What a run has of children, where its plugin is granted any.
    fn family(
        &self,
        job: &Job,
        origin: NodeId,
        seat: &Seat,
        limits: &Limits,
        place: &Arc<Place>,
        cancel: &CancellationToken,
    ) -> Option<Arc<dyn TasksHost>> {
        let terms = &seat.terms;
        let home = self.home.get().and_then(Weak::upgrade).filter(|_| terms.granted().has(Interface::Tasks))?;
        let bounds = Bounds { children: terms.children(), depth: terms.depth(), bytes: limits.memory_bytes };
        Some(Arc::new(Family {
            home,
            parent: job.task,
            origin,
            extras: job.extras,
            bounds,
            place: Arc::clone(place),
            drained: self.drained.clone(),
            cancel: cancel.clone(),
            children: Mutex::default(),
        }))
    }

    fn reports(&self) -> Option<mpsc::UnboundedSender<Report>> {
        lock(&self.reports).clone()
    }

    /// `None` if this node stopped it: another attempt is somebody else's to begin.
    async fn run(&self, assigner: NodeId, job: Job, place: &Arc<Place>) -> Option<Outcome> {
        // What it is now is what runs, to its end: a plugin that is replaced meanwhile changes nothing.
        let found = match self.plugins.shelf().resolve(&job.action) {
            Ok(found) => found,
            Err(error) => return Some(Outcome::Failed(no_action(&job.action, &error))),
        };
        let caller = Caller { node: job.extras.origin.unwrap_or(assigner), key: job.extras.key };
        if let Err(denied) = found.permit(&caller) {
            tracing::warn!(task = %job.task, "refused: {denied}");
            return Some(Outcome::Failed(not_allowed(&denied)));
        }
        let Found { plugin, action, seat } = found;
        let (events, receiver) = mpsc::channel(EVENT_BACKLOG);
        let (task, fence) = (job.task, job.fence);
        let watched = Watched { assigner, task, fence, attempt: job.attempt };
        let watcher = tokio::spawn(watch(receiver, self.reports(), Arc::clone(&self.partials), watched));
        let mut limits = self.limits.clone();
        if job.timeout_ms > 0 {
            limits.timeout = Duration::from_millis(u64::from(job.timeout_ms));
        }
        seat.terms.cap(&mut limits);
        let mode = mode(&job);
        let cancel = self.stop.child_token();
        let mut hosts = seat.hosts.clone();
        hosts.tasks = self.family(&job, caller.node, &seat, &limits, place, &cancel);
        let left = cancel.clone();
        let outcome = self
            .sandbox
            .run(
                Arc::clone(&plugin),
                akita_sandbox::Job {
                    task_id: job.task.to_string(),
                    attempt: job.attempt,
                    action,
                    content_type: akita_core::wire::unpack_type(job.content_type),
                    input: job.input,
                    annotations: Vec::new(),
                    limits,
                    cancel,
                    events: Some(events),
                    hosts,
                    mode,
                },
            )
            .await;
        // The sandbox has dropped its end: what is left in the channel is read, and the watcher ends.
        let _ = watcher.await;
        self.partials.ended(task, fence);
        self.plugins.ran(&plugin, &outcome);
        match outcome {
            Ok(content) => Some(Outcome::Completed(Content { content_type: content.content_type, body: content.body })),
            Err(failure) if failure.kind == FailureKind::Cancelled && left.is_cancelled() => None,
            Err(failure) => Some(Outcome::Failed(to_core(failure))),
        }
    }
}

/// What the submitter named decides how far a deterministic run may come; this node's own limits may only end it early.
fn mode(job: &Job) -> Mode {
    match job.timeout_ms {
        _ if !job.extras.deterministic => Mode::Ordinary,
        0 => Mode::Deterministic { time: DEFAULT_TIME },
        millis => Mode::Deterministic { time: Duration::from_millis(u64::from(millis)) },
    }
}

/// Whose events are looked at.
struct Watched {
    assigner: NodeId,
    task: TaskId,
    fence: u64,
    attempt: u32,
}

async fn watch(
    mut events: mpsc::Receiver<JobEvent>,
    reports: Option<mpsc::UnboundedSender<Report>>,
    partials: Arc<Partials>,
    of: Watched,
) {
    let Watched { assigner, task, fence, attempt } = of;
    while let Some(event) = events.recv().await {
        match event {
            JobEvent::Progress { done, total, note } => {
                if let Some(reports) = &reports {
                    let _ = reports.send(Report::Progress { assigner, task, fence, done, total, note });
                }
            }
            JobEvent::Log { level, message, fields } => log(task, level, &message, &fields),
            JobEvent::Chunk(bytes) => partials.append(task, fence, attempt, &bytes),
        }
    }
}

/// A plugin's line, with its fields behind it.
fn log(task: TaskId, level: LogLevel, message: &str, fields: &[(String, String)]) {
    let mut line = message.to_owned();
    for (key, value) in fields {
        line.push_str(&format!(" {key}={value}"));
    }
    match level {
        LogLevel::Error => tracing::error!(target: "akita::plugin", %task, "{line}"),
        LogLevel::Warn => tracing::warn!(target: "akita::plugin", %task, "{line}"),
        LogLevel::Info => tracing::info!(target: "akita::plugin", %task, "{line}"),
        LogLevel::Debug => tracing::debug!(target: "akita::plugin", %task, "{line}"),
        LogLevel::Trace => tracing::trace!(target: "akita::plugin", %task, "{line}"),
    }
}

fn not_allowed(denied: &NotAllowed) -> Failure {
    Failure {
        message: format!("{denied}: {}", denied.hint()),
        code: Some("not-allowed".into()),
        pointer: None,
        retry_after_ms: None,
    }
}

fn no_action(action: &str, error: &ResolveError) -> Failure {
    Failure {
        message: format!("this worker cannot run `{action}`: {error}"),
        code: Some("unknown-action".into()),
        pointer: None,
        // The plugin may have been removed since the leader heard of it: another worker may still have it.
        retry_after_ms: Some(0),
    }
}

fn to_core(failure: akita_sandbox::Failure) -> Failure {
    let asked = failure.retry_after.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
    Failure {
        retry_after_ms: failure.kind.is_retryable().then(|| asked.unwrap_or(0)),
        code: Some(failure.code.unwrap_or_else(|| failure.kind.as_str().to_owned())),
        message: failure.message,
        pointer: failure.pointer,
    }
}
