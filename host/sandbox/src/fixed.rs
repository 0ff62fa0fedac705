//! The engine of deterministic mode, made when the first such run comes, and plugins compiled for it. Its code lies in the
//! same cache under another key. It runs nothing itself.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use tokio::sync::OnceCell;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::bindings::GuestPre;
use crate::cache::Cache;
use crate::contract::{mismatch, reason};
use crate::engine::{self, Allocator, Kind, Ticker, TickerGuard};
use crate::host::fixed;
use crate::info::PluginInfo;
use crate::load::{self, LoadError};
use crate::outcome::{Failure, FailureKind};
use crate::plugin::{Candidate, Plugin, Program};
use crate::run::Surroundings;
use crate::store::RunState;
use crate::typed::{self, Typed};
use crate::{Inner, Sandbox};

/// Where a component's bytes are, for when it has to be compiled once more.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// In that file, unless it was replaced.
    File(PathBuf),
    /// Here.
    Memory(Arc<[u8]>),
}

/// The second engine with all that belongs to it.
pub(crate) struct Second {
    engine: Engine,
    allocator: Allocator,
    linker: Linker<RunState>,
    cache: Option<Cache>,
    ticker: Ticker,
}

/// What one deterministic run needs.
pub(crate) struct Prepared {
    pub(crate) around: Surroundings,
    /// What runs in place of the plugin's own code.
    pub(crate) other: Option<Arc<Ready>>,
    pub(crate) ticking: TickerGuard,
}

/// A plugin compiled and linked for the mode. Where its typed exports lie is for each compilation to say.
pub(crate) struct Ready {
    pub(crate) program: Program,
    pub(crate) typed: Typed,
}

/// A plugin compiled for the mode, once it was asked for.
pub(crate) type Compiled = OnceCell<Arc<Ready>>;

impl Second {
    fn start(inner: &Inner) -> wasmtime::Result<Second> {
        // Reserves nothing: few tasks need it, and address space for two pools is more than a small machine has.
        let allocator = match inner.allocator {
            Allocator::Pooling => Allocator::OnDemand,
            other => other,
        };
        let engine = engine::build_deterministic(allocator)?;
        let mut linker = load::linker(&engine)?;
        fixed::add_to_linker(&mut linker)?;
        let cache = inner.cache.as_ref().and_then(|_| Cache::open(&inner.config.cache_dir, &engine).ok());
        let ticker = Ticker::start(&engine, &inner.answers)?;
        Ok(Second { engine, allocator, linker, cache, ticker })
    }

    fn component(&self, inner: &Inner, candidate: &Candidate) -> Result<Component, LoadError> {
        let hash = blake3::Hash::from_bytes(candidate.hash);
        if let Some((component, _)) = self.cache.as_ref().and_then(|cache| cache.load(&self.engine, &hash)) {
            return Ok(component);
        }
        let bytes = match &candidate.source {
            Source::Memory(bytes) => Arc::clone(bytes),
            Source::File(path) => load::read(path)?.into(),
        };
        if blake3::hash(&bytes) != hash {
            return Err(LoadError::Invalid("its file was replaced since it was loaded".to_owned()));
        }
        let invalid = |error: wasmtime::Error| LoadError::Invalid(reason(&error));
        let _one = inner.compiling.lock().unwrap_or_else(PoisonError::into_inner);
        let code = engine::compile(Kind::Deterministic, self.allocator, &bytes).map_err(invalid)?;
        if let Some(cache) = &self.cache {
            match cache.keep_code(&self.engine, &hash, &code) {
                Ok((component, code_hash)) => {
                    cache.keep_info(&hash, code_hash, &candidate.info);
                    return Ok(component);
                }
                Err(error) => tracing::warn!("cannot keep code of deterministic mode: {error:#}"),
            }
        }
        Component::from_binary(&self.engine, &bytes).map_err(invalid)
    }

    fn prepare(&self, inner: &Inner, candidate: &Candidate) -> Result<Ready, LoadError> {
        let component = self.component(inner, candidate)?;
        let (typed, _) = typed::reflect(&self.engine, &component, described(candidate).as_ref());
        let linked = self.linker.instantiate_pre(&component).map_err(|error| mismatch(&error))?;
        let program = if candidate.describes {
            Program::Described(GuestPre::new(linked).map_err(|error| mismatch(&error))?)
        } else {
            Program::Typed(linked)
        };
        Ok(Ready { program, typed })
    }
}

/// What the plugin itself described: the typed exports were named beside it.
fn described(candidate: &Candidate) -> Option<PluginInfo> {
    let mut info = candidate.info.clone();
    info.actions.retain(|action| candidate.typed.function(&action.name).is_none());
    candidate.describes.then_some(info)
}

impl Sandbox {
    /// Makes a plugin ready for deterministic runs: the first time it is compiled for them, for seconds if it is large.
    ///
    /// # Errors
    /// As the failure of the run that needed it.
    pub(crate) async fn prepare(&self, plugin: &Arc<Plugin>) -> Result<Prepared, Failure> {
        if !plugin.needs.is_empty() {
            return Err(refused(plugin));
        }
        let ready = plugin.deterministic.get_or_try_init(|| self.compile_apart(plugin)).await?;
        let second = self.0.second.get().ok_or_else(|| broken("the engine is gone"))?;
        let around = Surroundings { engine: second.engine.clone(), ..self.0.around.clone() };
        Ok(Prepared { around, other: Some(Arc::clone(ready)), ticking: second.ticker.hold() })
    }

    /// On the sandbox's own thread for what blocks: the caller's runtime goes on.
    async fn compile_apart(&self, plugin: &Arc<Plugin>) -> Result<Arc<Ready>, Failure> {
        let (sandbox, candidate) = (self.clone(), Arc::clone(plugin.candidate()));
        let compiled = self.0.handle.spawn_blocking(move || {
            let inner = &*sandbox.0;
            let second = match inner.second.get() {
                Some(second) => second,
                None => {
                    let made = Second::start(inner).map_err(|error| broken(&reason(&error)))?;
                    inner.second.get_or_init(|| made)
                }
            };
            second.prepare(inner, &candidate).map(Arc::new).map_err(|error| broken(&error.to_string()))
        });
        compiled.await.unwrap_or_else(|_| Err(broken("the node is shutting down")))
    }
}

/// The answers of granted interfaces differ from node to node, so a plugin that uses one cannot promise anything.
fn refused(plugin: &Plugin) -> Failure {
    let message = format!(
        "the plugin `{}` uses {}, whose answers differ between nodes: it cannot run in deterministic mode. Submit the task \
         without `deterministic`, or put the work that must agree into a plugin of its own",
        plugin.name(),
        plugin.needs()
    );
    Failure { code: Some("not-deterministic".to_owned()), ..Failure::new(FailureKind::Permanent, message) }
}

fn broken(why: &str) -> Failure {
    let message = format!("this node could not make the plugin ready for deterministic mode: {why}");
    Failure::new(FailureKind::Internal, message)
}
