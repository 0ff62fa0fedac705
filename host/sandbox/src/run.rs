//! One run: a fresh instance, the call, the reason if it ended early. It never waits for a slot (see `lib`) and keeps
//! nothing of a run.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use wasmtime::component::Val;
use wasmtime::{Engine, Store};

use crate::bindings::{GuestPre, types};
use crate::events::{Events, JobEvent};
use crate::explain::{accept, explain, refusal};
use crate::fixed::Ready;
use crate::host::Hosts;
use crate::info::ActionInfo;
use crate::limits::{Budget, Limits, Meter};
use crate::mode::{Fixed, Mode};
use crate::outcome::{Failure, FailureKind, Outcome};
use crate::plugin::{Plugin, Program};
use crate::slot::Slot;
use crate::store::{Attempt, RunState, new_store};
use crate::typed::{self, Function};

/// One run to be made.
#[derive(Debug, Clone)]
pub struct Job {
    /// The task's id, shown to the guest; the same for each attempt.
    pub task_id: String,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// The action's name within the plugin.
    pub action: String,
    /// The input's media type.
    pub content_type: String,
    /// The input.
    pub input: Vec<u8>,
    /// For what a later guest may understand.
    pub annotations: Vec<(String, String)>,
    /// What it may use.
    pub limits: Limits,
    /// Shown to the guest at once; stops it 200 ms later.
    pub cancel: CancellationToken,
    /// Where log, progress and partial output go. Bounded by the caller; a reader that is slow loses log lines, which
    /// are counted, and gets progress and output in fewer, larger pieces.
    pub events: Option<mpsc::Sender<JobEvent>>,
    /// What is behind the interfaces that the plugin was granted.
    pub hosts: Hosts,
    /// As usual, or the same on any machine. A deterministic run sees no annotations, and an id and attempt that are
    /// the same for the same input.
    pub mode: Mode,
}

impl Job {
    /// A first attempt with default limits, no events and nobody to cancel it.
    #[must_use]
    pub fn new(action: impl Into<String>, content_type: impl Into<String>, input: Vec<u8>) -> Job {
        Job {
            task_id: String::new(),
            attempt: 1,
            action: action.into(),
            content_type: content_type.into(),
            input,
            annotations: Vec::new(),
            limits: Limits::default(),
            cancel: CancellationToken::new(),
            events: None,
            hosts: Hosts::default(),
            mode: Mode::Ordinary,
        }
    }
}

/// What a run needs of its sandbox.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) engine: Engine,
    pub(crate) budget: Arc<Budget>,
    pub(crate) shutdown: CancellationToken,
}

/// A run that came to an end, and what is still to be told of it.
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    pub(crate) events: Events,
}

/// The parameters of a typed call.
pub(crate) type Values = Vec<Val>;

/// Runs one job in a fresh instance, of `other` if there is one and of the plugin itself if not, and gives its slot back.
/// `values` are the parameters where the action is a typed export.
pub(crate) async fn execute(
    around: Surroundings,
    plugin: &Plugin,
    other: Option<&Ready>,
    job: Job,
    values: Option<Values>,
    fixed: Option<Box<Fixed>>,
    slot: Slot,
) -> Ended {
    let Job { task_id, attempt, action, content_type, input, annotations, limits, cancel, events, hosts, mode: _ } =
        job;
    let (limits, annotations) = match &fixed {
        Some(fixed) => (fixed.limits(), Vec::new()),
        None => (limits, annotations),
    };
    let events = Events::new(events, &limits);
    let attempt = Attempt::start(task_id, attempt, limits.timeout, cancel, around.shutdown);
    let meter = match &fixed {
        Some(fixed) => Meter::new(limits.memory_bytes, around.budget).strict(fixed.node.memory_bytes),
        None => Meter::new(limits.memory_bytes, around.budget),
    };
    let mut store = new_store(&around.engine, &limits, meter, events.clone(), attempt);
    store.data_mut().hosts = hosts;
    store.data_mut().slot = Some(slot);
    if let Some(fixed) = fixed {
        // Fails only where the engine counts none, and this one does.
        store.set_fuel(fixed.fuel).ok();
        store.data_mut().fixed = Some(fixed);
    }
    let (program, typed) = other.map_or((&plugin.program, &plugin.typed), |other| (&other.program, &other.typed));
    let outcome = match (values, typed.function(&action), program) {
        (Some(values), Some(function), program) => {
            if plugin.reads_input {
                store.data_mut().input = input.into();
            }
            run_typed(&mut store, program, function, &values, &limits).await
        }
        (_, _, Program::Described(guest)) => {
            let (body, kept) = hand_over(plugin, &action, input);
            store.data_mut().input = kept;
            let request = types::Request { action, input: types::Content { content_type, body }, annotations };
            run_bytes(&mut store, guest, &request, &limits).await
        }
        _ => Err(Failure::new(FailureKind::UnknownAction, format!("the plugin has no action `{action}`"))),
    };
    let outcome = match &store.data().fixed {
        Some(fixed) => outcome.and_then(|content| fixed.accept(content)),
        None => outcome,
    };
    Ended { outcome, events }
}

async fn run_bytes(
    store: &mut Store<RunState>,
    guest: &GuestPre<RunState>,
    request: &types::Request,
    limits: &Limits,
) -> Outcome {
    let called = guarded(store, async |store| {
        let guest = guest.instantiate_async(&mut *store).await?;
        guest.akita_plugin_actions().call_run(store, request).await
    })
    .await;
    match called {
        Ok(Ok(content)) => accept(content, limits),
        Ok(Err(error)) => Err(refusal(error, &request.action)),
        Err(error) => Err(explain(&error, store.data(), limits)),
    }
}

async fn run_typed(
    store: &mut Store<RunState>,
    program: &Program,
    function: &Function,
    values: &[Val],
    limits: &Limits,
) -> Outcome {
    let called = guarded(store, async |store| {
        let instance = program.instance().instantiate_async(&mut *store).await?;
        typed::call(store, &instance, function, values, limits).await
    })
    .await;
    match called {
        Ok(result) => typed::outcome(function, result.as_ref(), limits),
        Err(error) => Err(explain(&error, store.data(), limits)),
    }
}

/// What of the input goes with the request, and what is kept for `task.read-input`.
fn hand_over(plugin: &Plugin, action: &str, input: Vec<u8>) -> (Vec<u8>, Bytes) {
    if !plugin.reads_input {
        return (input, Bytes::new());
    }
    if plugin.info().action(action).is_some_and(ActionInfo::reads_in_chunks) {
        return (Vec::new(), input.into());
    }
    (input.clone(), input.into())
}

/// Ends the call when its time is over. A guest that computes is ended by the epoch, one that waits in a host call or
/// sleeps by the timer here: neither is enough alone.
pub(crate) async fn guarded<T>(
    store: &mut Store<RunState>,
    call: impl AsyncFnOnce(&mut Store<RunState>) -> wasmtime::Result<T>,
) -> wasmtime::Result<T> {
    let over = store.data().attempt.over();
    tokio::select! {
        biased;
        result = call(store) => result,
        stop = over => Err(stop.into()),
    }
}
