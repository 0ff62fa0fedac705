//! Runs WebAssembly components under limits. This crate owns the engine, the compiled code, the guests' threads and
//! what a guest may call. It takes a component, bytes and limits and gives an outcome; it knows no cluster, no queue and
//! no network, and nothing that a guest does can hang, starve or crash its caller.

mod answers;
mod bindings;
mod cache;
mod catalog;
mod check;
mod config;
mod contract;
mod describe;
mod engine;
mod events;
mod explain;
mod fault;
mod fixed;
mod host;
mod info;
mod inspect;
mod interface;
mod limits;
mod load;
mod memory;
mod mode;
mod outcome;
mod plugin;
mod priority;
mod run;
mod slot;
mod store;
mod typed;

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use wasmtime::component::Linker;

pub use crate::cache::CacheError;
pub use crate::catalog::{Catalog, CatalogError, LoadStep, MAX_PLUGINS, ResolveError, list as list_files};
pub use crate::config::SandboxConfig;
pub use crate::engine::Allocator;
pub use crate::events::{JobEvent, LogLevel};
pub use crate::host::blobs::{BlobError, BlobHost};
pub use crate::host::http::{HttpBody, HttpFailure, HttpHost, HttpTimeouts};
pub use crate::host::kv::{KvEntry, KvError, KvHost};
pub use crate::host::mesh::{MAX_MESSAGE_BYTES, MeshError, MeshHost, MeshMessage, MeshNode, MeshPeer};
pub use crate::host::sensors::{Reading, SensorHost};
pub use crate::host::tasks::{ChildTask, TasksError, TasksHost};
pub use crate::host::{HostFuture, Hosts};
pub use crate::info::{ActionInfo, PluginInfo};
pub use crate::inspect::MAX_FILE_BYTES;
pub use crate::interface::{Grants, Interface};
pub use crate::limits::Limits;
pub use crate::load::LoadError;
pub use crate::mode::{DEFAULT_TIME, FUEL_PER_SECOND, Mode};
pub use crate::outcome::{Content, Failure, FailureKind, Outcome};
pub use crate::plugin::{Candidate, Plugin};
pub use crate::run::Job;
pub use crate::typed::TypedExport;

use crate::answers::Answers;
use crate::cache::Cache;
use crate::engine::Ticker;
use crate::fixed::{Prepared, Second, Source};
use crate::limits::Budget;
use crate::mode::Fixed;
use crate::run::{Surroundings, Values};
use crate::slot::Slot;
use crate::store::RunState;

/// Turns of a guest thread between two looks at timers and at work from elsewhere. A guest that computes takes a turn
/// of 5 ms, so that a waiting guest's time limit is seen within 10 ms while all threads are busy; a short run is one
/// turn, so that looking costs it little.
const TURNS_BETWEEN_LOOKS: u32 = 2;

/// Why a sandbox cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The configuration asks for nothing.
    #[error("a sandbox needs at least one slot and one thread")]
    NoSlots,
    /// The WebAssembly engine does not start.
    #[error("the WebAssembly engine cannot start on this machine: {0}")]
    Engine(String),
    /// The guests' threads do not start.
    #[error("cannot start the threads of the guests: {0}")]
    Threads(#[from] std::io::Error),
    /// The folder of compiled code is not safe.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// Runs plugins. Cheap to clone; the last clone that is dropped ends it.
#[derive(Clone)]
pub struct Sandbox(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) config: SandboxConfig,
    pub(crate) around: Surroundings,
    pub(crate) linker: Linker<RunState>,
    pub(crate) cache: Option<Cache>,
    pub(crate) handle: Handle,
    pub(crate) ticker: Ticker,
    pub(crate) answers: Arc<Answers>,
    pub(crate) compiling: Mutex<()>,
    pub(crate) allocator: Allocator,
    /// Made when the first deterministic run comes.
    pub(crate) second: OnceLock<Second>,
    slots: Arc<Semaphore>,
    runtime: Mutex<Option<Runtime>>,
}

impl Sandbox {
    /// Starts the engine and its threads. Takes a few milliseconds and touches no memory of the pool.
    ///
    /// # Errors
    /// When the configuration is empty, no allocator fits, threads do not start, or others can write to the cache
    /// folder. A cache folder that cannot be used at all is done without.
    pub fn new(config: SandboxConfig) -> Result<Sandbox, SandboxError> {
        if config.slots == 0 || config.guest_threads == 0 {
            return Err(SandboxError::NoSlots);
        }
        let broken = |error: wasmtime::Error| SandboxError::Engine(format!("{error:#}"));
        let (engine, allocator) =
            engine::build(config.allocator, config.slots.saturating_add(config.parked)).map_err(broken)?;
        let linker = load::linker(&engine).map_err(broken)?;
        let cache = match Cache::open(&config.cache_dir, &engine) {
            Ok(cache) => Some(cache),
            Err(error @ CacheError::Io { .. }) => {
                tracing::warn!("{error}; plugins are compiled at each start");
                None
            }
            Err(error @ CacheError::Unsafe { .. }) => return Err(error.into()),
        };
        let answers = Arc::new(Answers::default());
        let ticker = Ticker::start(&engine, &answers)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(config.guest_threads)
            .max_blocking_threads(1)
            .thread_name("akita-guest")
            .on_thread_start(priority::lower)
            .event_interval(TURNS_BETWEEN_LOOKS)
            .global_queue_interval(TURNS_BETWEEN_LOOKS)
            // No I/O: guests reach no socket, and without it a look at the timers needs no system call.
            .enable_time()
            .build()?;
        let budget = Budget::new(config.memory_budget_bytes);
        Ok(Sandbox(Arc::new(Inner {
            around: Surroundings { engine, budget, shutdown: CancellationToken::new() },
            linker,
            cache,
            handle: runtime.handle().clone(),
            ticker,
            answers,
            compiling: Mutex::new(()),
            allocator,
            second: OnceLock::new(),
            slots: Arc::new(Semaphore::new(config.slots.min(Semaphore::MAX_PERMITS))),
            runtime: Mutex::new(Some(runtime)),
            config,
        })))
    }

    /// Where guests' memory comes from on this machine.
    #[must_use]
    pub fn allocator(&self) -> Allocator {
        self.0.allocator
    }

    /// Runs that can go on at once.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.0.config.slots
    }

    /// Loads a plugin from a file. Blocks, for seconds if it has to compile.
    ///
    /// # Errors
    /// Why the file is no plugin for this node, with the next step.
    pub fn load_file(&self, path: &Path) -> Result<Arc<Plugin>, LoadError> {
        self.link(&self.examine_file(path)?, Grants::NONE)
    }

    /// Loads a plugin from a component's bytes. Blocks, for seconds if it has to compile.
    ///
    /// # Errors
    /// Why the bytes are no plugin for this node, with the next step.
    pub fn load_bytes(&self, bytes: &[u8]) -> Result<Arc<Plugin>, LoadError> {
        self.link(&self.examine(bytes)?, Grants::NONE)
    }

    /// Looks at a component and asks it what it is, before it is known what it is granted. Blocks, for seconds if it has
    /// to compile.
    ///
    /// # Errors
    /// Why the bytes are no plugin for any node, with the next step.
    pub fn examine(&self, bytes: &[u8]) -> Result<Arc<Candidate>, LoadError> {
        load::examine(&self.0, bytes, Source::Memory(bytes.into()))
    }

    /// The same for any file.
    ///
    /// # Errors
    /// The same, and files that cannot be read.
    pub fn examine_file(&self, path: &Path) -> Result<Arc<Candidate>, LoadError> {
        load::examine(&self.0, &load::read(path)?, Source::File(path.to_owned()))
    }

    /// The same for a file that lies in the folder `root`, which is canonical.
    ///
    /// # Errors
    /// The same, and links that lead out of the folder.
    pub fn examine_in(&self, root: &Path, path: &Path) -> Result<Arc<Candidate>, LoadError> {
        load::examine(&self.0, &load::read_in(root, path)?, Source::File(path.to_owned()))
    }

    /// The same for bytes that were just read from the file `path`, and are not kept: it is read again if they are needed.
    ///
    /// # Errors
    /// The same.
    pub fn examine_read(&self, bytes: &[u8], path: &Path) -> Result<Arc<Candidate>, LoadError> {
        load::examine(&self.0, bytes, Source::File(path.to_owned()))
    }

    /// The same, where its compiled code is at hand; `None` where it is not. Blocks for milliseconds.
    ///
    /// # Errors
    /// The same.
    pub fn examine_cached(&self, bytes: &[u8], path: &Path) -> Result<Option<Arc<Candidate>>, LoadError> {
        load::examine_cached(&self.0, bytes, Source::File(path.to_owned()))
    }

    /// The bytes of a file that lies in the folder `root`, which is canonical. Nothing is compiled.
    ///
    /// # Errors
    /// The file is too large, is none, cannot be read, or is a link that leads out of the folder.
    pub fn read_in(root: &Path, path: &Path) -> Result<Vec<u8>, LoadError> {
        load::read_in(root, path)
    }

    /// Links a component with what it needs of `grants`. Compiles nothing.
    ///
    /// # Errors
    /// [`LoadError::Blocked`] with what is missing, or types that differ from the contract's.
    pub fn link(&self, candidate: &Arc<Candidate>, grants: Grants) -> Result<Arc<Plugin>, LoadError> {
        load::link(&self.0, candidate, grants)
    }

    /// Runs one job. Waits for a free slot, which does not count as the job's time; a cancelled job stops waiting. The
    /// guest runs on threads of its own, so this never keeps the caller's runtime busy. Dropping the future stops the
    /// guest.
    ///
    /// # Errors
    /// The [`Failure`], whatever went wrong: the guest's own answer, a limit, a trap, a cancellation.
    pub async fn run(&self, plugin: Arc<Plugin>, job: Job) -> Outcome {
        if plugin.info().action(&job.action).is_none() {
            return Err(unknown(&plugin, &job.action));
        }
        let (job, values) = self.accept(&plugin, job).await?;
        let cancelled = || Failure::new(FailureKind::Cancelled, "the task was cancelled before it started");
        let closed = || Failure::new(FailureKind::Internal, "the node is shutting down");
        let prepared = match job.mode {
            Mode::Ordinary => None,
            Mode::Deterministic { .. } => tokio::select! {
                biased;
                () = job.cancel.cancelled() => return Err(cancelled()),
                prepared = self.prepare(&plugin) => Some(prepared?),
            },
        };
        let Prepared { around, other, ticking } = prepared.unwrap_or_else(|| Prepared {
            around: self.0.around.clone(),
            other: None,
            ticking: self.0.ticker.hold(),
        });
        let fixed = Fixed::of(&job, plugin.hash()).map(Box::new);
        let (slots, answers) = (self.0.slots.clone(), Arc::clone(&self.0.answers));
        let program = Arc::clone(&plugin);
        let (to, answer) = oneshot::channel();
        self.0.answers.settle();
        // From now on, and not from when a thread first looks at it: those that are in that queue are more answers to come.
        let waiting = answers.wait();
        // The slot is waited for over there: a run that ends hands it to the next one without waking this thread first.
        let running = self.0.handle.spawn(async move {
            let slot = tokio::select! {
                biased;
                () = job.cancel.cancelled() => return answers.give(to, Err(cancelled())),
                slot = Slot::take(slots) => slot,
            };
            drop(waiting);
            let Ok(slot) = slot else { return answers.give(to, Err(closed())) };
            // On its own: what is spawned is copied several times on its way, and should be small.
            let ended = Box::pin(run::execute(around, &program, other.as_deref(), job, values, fixed, slot)).await;
            ended.events.finish().await;
            answers.give(to, ended.outcome);
            // Not before: what was given and waits goes back with a tick.
            drop(ticking);
        });
        let running = AbortOnDropHandle::new(running);
        if let Ok(outcome) = answer.await {
            return outcome;
        }
        match running.await {
            Err(error) if error.is_panic() => {
                tracing::error!(plugin = plugin.name(), "the host's side of a run panicked: {error}");
                let message = "the host failed while it ran the plugin: see its log";
                Err(Failure { code: Some("host-panic".into()), ..Failure::new(FailureKind::Internal, message) })
            }
            _ => Err(closed()),
        }
    }

    /// Checks a job's input, whoever sent it, and makes the values of a typed call of it. A large one, or one that takes
    /// long, is looked at on the one thread that may block.
    async fn accept(&self, plugin: &Arc<Plugin>, job: Job) -> Result<(Job, Option<Values>), Failure> {
        match plugin.accept_quickly(&job.action, &job.content_type, &job.input) {
            Some(Ok(values)) => return Ok((job, values)),
            Some(Err(failure)) => return Err(failure),
            None => {}
        }
        let plugin = Arc::clone(plugin);
        let look = move || {
            let values = plugin.accept(&job.action, &job.content_type, &job.input)?;
            Ok((job, values))
        };
        let looked = self.0.handle.spawn_blocking(look).await;
        looked.unwrap_or_else(|_| Err(Failure::new(FailureKind::Internal, "the node is shutting down")))
    }

    /// Stops what runs and refuses what comes. Returns at once; may be called twice.
    pub fn shutdown(&self) {
        self.0.shutdown();
    }
}

impl Inner {
    fn shutdown(&self) {
        self.slots.close();
        self.around.shutdown.cancel();
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(runtime) = runtime {
            // Not waited for: this may be called from a runtime, which must not block.
            runtime.shutdown_background();
            self.answers.flush();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shutdown();
    }
}

fn unknown(plugin: &Plugin, action: &str) -> Failure {
    let known: Vec<_> = plugin.info().actions.iter().map(|action| action.name.as_str()).collect();
    let message = format!("the plugin `{}` has no action `{action}`; it has {}", plugin.name(), known.join(", "));
    Failure::new(FailureKind::UnknownAction, message)
}
