//! The state behind one run: its meter, its events, its deadline, an empty WASI context. It is made for one run and
//! dropped with it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::events::{Events, Stream};
use crate::host::{Calls, Hosts, http::Outgoing, stdio::Capture};
use crate::limits::{Limits, Meter};
use crate::mode::Fixed;
use crate::slot::Slot;

/// A cancelled run may clean up for this long; it sees the cancellation at once.
pub(crate) const CANCEL_GRACE: Duration = Duration::from_millis(200);
/// Longest time limit: one beyond it is as good as none, and an `Instant` must not overflow.
const MAX_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);
/// WASI handles (streams, pollables) that one guest may hold: an interpreter needs about a dozen.
const MAX_HANDLES: usize = 4_096;
/// Random bytes in one call: more is drawn in several.
pub(crate) const MAX_RANDOM_BYTES: u64 = 1 << 20;
/// What crosses from guest to host in one call beside the output: a log line, a failure, a stream write.
const CALL_ROOM_BYTES: u64 = 256 << 10;

/// Why the host ended a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stop {
    #[error("the time limit is over")]
    TimeLimit,
    #[error("the task was cancelled")]
    Cancelled,
    #[error("the node is shutting down")]
    Shutdown,
}

/// One attempt, as the guest may see it, and when it must end.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) task_id: String,
    pub(crate) number: u32,
    pub(crate) deadline: Instant,
    pub(crate) cancel: CancellationToken,
    pub(crate) shutdown: CancellationToken,
    cancelled_at: Option<Instant>,
}

impl Attempt {
    /// An attempt that starts now.
    pub(crate) fn start(
        task_id: String,
        number: u32,
        timeout: Duration,
        cancel: CancellationToken,
        shutdown: CancellationToken,
    ) -> Attempt {
        let deadline = Instant::now() + timeout.min(MAX_TIMEOUT);
        Attempt { task_id, number, deadline, cancel, shutdown, cancelled_at: None }
    }

    /// Whether a guest that computes has to end now.
    fn check(&mut self, now: Instant) -> Result<(), Stop> {
        if self.shutdown.is_cancelled() {
            return Err(Stop::Shutdown);
        }
        if now >= self.deadline {
            return Err(Stop::TimeLimit);
        }
        if self.cancel.is_cancelled() {
            let since = *self.cancelled_at.get_or_insert(now);
            if now.saturating_duration_since(since) >= CANCEL_GRACE {
                return Err(Stop::Cancelled);
            }
        }
        Ok(())
    }

    /// Ends when a guest that waits has to end.
    pub(crate) fn over(&self) -> impl Future<Output = Stop> + Send + 'static {
        let deadline = tokio::time::Instant::from_std(self.deadline);
        let (cancel, shutdown) = (self.cancel.clone(), self.shutdown.clone());
        async move {
            let cancelled = async {
                cancel.cancelled().await;
                tokio::time::sleep(CANCEL_GRACE).await;
            };
            tokio::select! {
                biased;
                () = shutdown.cancelled() => Stop::Shutdown,
                () = tokio::time::sleep_until(deadline) => Stop::TimeLimit,
                () = cancelled => Stop::Cancelled,
            }
        }
    }
}

/// What the host keeps for one run.
pub(crate) struct RunState {
    pub(crate) meter: Meter,
    pub(crate) events: Events,
    pub(crate) attempt: Attempt,
    pub(crate) hosts: Hosts,
    /// Where it runs; none while a plugin describes itself.
    pub(crate) slot: Option<Slot>,
    /// For the bounds of calls.
    pub(crate) calls: Calls,
    /// What `task.read-input` reads: kept only for guests that import it.
    pub(crate) input: Bytes,
    /// What a deterministic run has in place of the machine's clocks and randomness.
    pub(crate) fixed: Option<Box<Fixed>>,
    pub(crate) wasi: Option<Box<Wasi>>,
    pub(crate) outgoing: Option<Box<Outgoing>>,
}

/// Made on first use: most guests link WASI and never call it.
pub(crate) struct Wasi {
    ctx: WasiCtx,
    pub(crate) table: ResourceTable,
}

impl Wasi {
    /// No files, no environment, no arguments, no sockets, empty standard input. Clocks and randomness are there.
    pub(crate) fn empty(events: &Events) -> Box<Wasi> {
        let capture = |stream| Capture { events: events.clone(), stream };
        let ctx = WasiCtx::builder()
            .stdout(capture(Stream::Stdout))
            .stderr(capture(Stream::Stderr))
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(MAX_RANDOM_BYTES)
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        Box::new(Wasi { ctx, table })
    }
}

impl WasiView for RunState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi.get_or_insert_with(|| Wasi::empty(&self.events));
        WasiCtxView { ctx: &mut wasi.ctx, table: &mut wasi.table }
    }
}

impl RunState {
    /// The epoch moved: end the guest, or let others have the thread for a moment.
    fn on_tick(&mut self) -> wasmtime::Result<UpdateDeadline> {
        let now = Instant::now();
        self.attempt.check(now)?;
        self.events.tick(now);
        Ok(UpdateDeadline::Yield(1))
    }
}

/// A fresh store, its limits set before anything of the guest runs.
pub(crate) fn new_store(
    engine: &Engine,
    limits: &Limits,
    meter: Meter,
    events: Events,
    attempt: Attempt,
) -> Store<RunState> {
    let state = RunState {
        meter,
        events,
        attempt,
        hosts: Hosts::default(),
        slot: None,
        calls: Calls::default(),
        input: Bytes::new(),
        fixed: None,
        wasi: None,
        outgoing: None,
    };
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.meter);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|mut context| context.data_mut().on_tick());
    // Twice the limit, so that a result somewhat over it can be named by its size.
    let room = limits.output_bytes.saturating_mul(2).saturating_add(CALL_ROOM_BYTES);
    store.set_hostcall_fuel(usize::try_from(room).unwrap_or(usize::MAX));
    store
}
