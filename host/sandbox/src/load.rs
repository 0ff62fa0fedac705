//! From a file to a plugin that can run: look at it, compile it or take it from the cache, compare it with the
//! contract, link it, ask what it is. Every way to fail has its own error.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, mpsc};

use wasmtime::component::{Component, HasSelf, Linker};

use crate::Inner;
use crate::bindings::{ACTIONS, Guest, GuestPre, blobs, kv, mesh, sensors, tasks};
use crate::cache::CodeHash;
use crate::check::Checks;
use crate::contract::{Contract, check_contract, denied, invalid, mismatch, nothing_callable};
use crate::describe::{DescribeError, describe};
use crate::engine::{self, Kind};
use crate::fixed::{Compiled, Source};
use crate::info::PluginInfo;
use crate::inspect::{self, MAX_FILE_BYTES};
use crate::interface::{Grants, Interface};
use crate::limits::Bytes;
use crate::plugin::{Candidate, Plugin, Program};
use crate::store::RunState;
use crate::typed::{self, Typed};

/// Why a file is no plugin for this node.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is something else.
    #[error("{0}")]
    NotAComponent(String),
    /// Its end is missing.
    #[error("the file is cut off after {}: copy or download it again", Bytes(*size))]
    Truncated {
        /// Bytes that are there.
        size: u64,
    },
    /// It is compiled code, which cannot be checked.
    #[error("this is compiled code, which this node never takes from a file: install the component's own .wasm")]
    Precompiled,
    /// It is a component that does not hold together.
    #[error("this component is not valid: {0}. Build it again with current tools")]
    Invalid(String),
    /// It was made for another contract.
    #[error("{0}")]
    WrongWorld(String),
    /// It cannot say what it is.
    #[error("it exports {ACTIONS} without `describe`: add `describe`, which names the plugin and its actions")]
    NoDescribe,
    /// It imports what this node does not have.
    #[error("it imports {}", denied(.0))]
    NotGranted(Vec<String>),
    /// It imports what this node gives only to plugins that the operator names.
    #[error("needs {0}")]
    Blocked(Grants),
    /// Its `describe` failed.
    #[error("its `describe` failed: {0}. `describe` must only return constant data")]
    DescribeFailed(String),
    /// What `describe` returned breaks a rule.
    #[error("its `describe` returned a bad description: {0}")]
    BadDescription(String),
    /// The functions that it exports cannot all be its actions.
    #[error("what it exports makes no plugin: {0}")]
    BadExports(String),
    /// It is over the limit of 64 MiB.
    #[error("it has {}, over the limit of {} for a plugin: strip debug information", Bytes(*size), Bytes(MAX_FILE_BYTES))]
    TooLarge {
        /// Its size in bytes.
        size: u64,
    },
    /// Another plugin of that name and version was loaded before.
    #[error("`{name}` is already loaded from {}: remove one of the two, or give this one a version of its own", first.display())]
    DuplicateName {
        /// The name and version.
        name: String,
        /// Where the other one lies.
        first: PathBuf,
    },
    /// A link that leads out of the plugin folder.
    #[error("it is a link to {}, outside the plugin folder: copy the file here", target.display())]
    OutsideFolder {
        /// Where it leads.
        target: PathBuf,
    },
    /// A folder, a device, a pipe.
    #[error("it is not a plain file")]
    NotAFile,
    /// More than a node takes.
    #[error("there are more than {max} plugins in this folder: remove some")]
    TooMany {
        /// The most.
        max: usize,
    },
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What every guest may import.
pub(crate) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<RunState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    Guest::add_to_linker::<_, HasSelf<RunState>>(&mut linker, |state| state)?;
    Ok(linker)
}

/// Reads a file of bounded size.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    let failed = |source| LoadError::Io { path: path.to_owned(), source };
    // Looked at before it is opened: opening a pipe would wait for somebody to write to it.
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(LoadError::NotAFile);
    }
    let file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    if size > MAX_FILE_BYTES {
        return Err(LoadError::TooLarge { size });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    // One more than allowed, in case it grows meanwhile.
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Reads a file that lies in a folder of plugins; a link may not lead out of it.
pub(crate) fn read_in(root: &Path, path: &Path) -> Result<Vec<u8>, LoadError> {
    if path.extension().is_some_and(|kind| kind == "cwasm") {
        return Err(LoadError::Precompiled);
    }
    let target = path.canonicalize().map_err(|source| LoadError::Io { path: path.to_owned(), source })?;
    if !target.starts_with(root) {
        return Err(LoadError::OutsideFolder { target });
    }
    read(&target)
}

/// Looks at a component's bytes and asks it what it is. Blocks: compiling takes up to seconds.
pub(crate) fn examine(inner: &Inner, bytes: &[u8], source: Source) -> Result<Arc<Candidate>, LoadError> {
    inspect::check(bytes)?;
    let hash = blake3::hash(bytes);
    let cached = inner.cache.as_ref().and_then(|cache| cache.load(&inner.around.engine, &hash));
    conclude(inner, bytes, &hash, cached, source)
}

/// The same without compiling: `None` where the code is not at hand.
pub(crate) fn examine_cached(inner: &Inner, bytes: &[u8], source: Source) -> Result<Option<Arc<Candidate>>, LoadError> {
    inspect::check(bytes)?;
    let hash = blake3::hash(bytes);
    let cached = inner.cache.as_ref().and_then(|cache| cache.load(&inner.around.engine, &hash));
    cached.map(|cached| conclude(inner, bytes, &hash, Some(cached), source)).transpose()
}

fn conclude(
    inner: &Inner,
    bytes: &[u8],
    hash: &blake3::Hash,
    cached: Option<(Component, PluginInfo)>,
    source: Source,
) -> Result<Arc<Candidate>, LoadError> {
    let engine = &inner.around.engine;
    let from_cache = cached.is_some();
    let (component, known, kept) = match cached {
        Some((component, info)) => (component, Some(info), None),
        None => {
            let (component, kept) = compile(inner, bytes, hash)?;
            (component, None, kept)
        }
    };
    let Contract { imports, needs, reads_input, describes } = check_contract(engine, &component)?;
    let described = match known {
        Some(info) => describes.then_some(info),
        // What it imports has to be there for it to start; behind it, as nobody has granted anything, there is nothing.
        None => match prepare(inner, &component, needs, describes)? {
            Program::Described(guest) => Some(ask(inner, &guest)?),
            Program::Typed(_) => None,
        },
    };
    let (info, checks, typed) = offered(engine, &component, described.clone(), !from_cache)?;
    if let (Some(cache), Some(code_hash)) = (&inner.cache, kept) {
        cache.keep_info(hash, code_hash, described.as_ref().unwrap_or(&info));
    }
    let (size, deterministic) = (bytes.len() as u64, Compiled::new());
    let hash = *hash.as_bytes();
    Ok(Arc::new(Candidate {
        hash,
        size,
        info,
        imports,
        needs,
        reads_input,
        describes,
        from_cache,
        component,
        checks,
        typed,
        source,
        deterministic,
    }))
}

/// What a component offers: what it described, and its typed exports.
fn offered(
    engine: &wasmtime::Engine,
    component: &Component,
    described: Option<PluginInfo>,
    new: bool,
) -> Result<(PluginInfo, Checks, Typed), LoadError> {
    // Also what was kept: the rules may be newer than it.
    let checks = described
        .as_ref()
        .map_or_else(|| Ok(Checks::default()), |info| info.check().and_then(|()| Checks::compile(info, new)));
    let checks = checks.map_err(LoadError::BadDescription)?;
    let (typed, actions) = typed::reflect(engine, component, described.as_ref());
    let info = match described {
        Some(mut info) => {
            info.actions.extend(actions);
            info
        }
        None if actions.is_empty() => return Err(nothing_callable(engine, component, &typed)),
        None => typed::named_by_package(&typed, actions).map_err(LoadError::WrongWorld)?,
    };
    info.check().map_err(LoadError::BadExports)?;
    Ok((info, checks, typed))
}

/// Compiles, and takes the code from the cache if it can be kept there: mapped from a file it costs no memory.
fn compile(inner: &Inner, bytes: &[u8], hash: &blake3::Hash) -> Result<(Component, Option<CodeHash>), LoadError> {
    let invalid = |error: wasmtime::Error| invalid(&error, bytes);
    // One at a time: the compiler holds many times a component's size while it works.
    let _one = inner.compiling.lock().unwrap_or_else(PoisonError::into_inner);
    let engine = &inner.around.engine;
    if let Some(cache) = &inner.cache {
        let code = engine::compile(Kind::Ordinary, inner.allocator, bytes).map_err(invalid)?;
        match cache.keep_code(engine, hash, &code) {
            Ok((component, code_hash)) => return Ok((component, Some(code_hash))),
            Err(error) => tracing::warn!("cannot keep compiled code, so the next start compiles again: {error:#}"),
        }
    }
    Ok((Component::from_binary(engine, bytes).map_err(invalid)?, None))
}

/// Gives a component what it needs of what it is granted, and nothing else.
pub(crate) fn link(inner: &Inner, candidate: &Arc<Candidate>, grants: Grants) -> Result<Arc<Plugin>, LoadError> {
    let missing = candidate.needs.without(grants);
    if !missing.is_empty() {
        return Err(LoadError::Blocked(missing));
    }
    let program = prepare(inner, &candidate.component, candidate.needs, candidate.describes)?;
    Ok(Arc::new(Plugin { candidate: Arc::clone(candidate), grants: candidate.needs, program }))
}

/// Compares the types and prepares instantiation, with these interfaces beside what everybody gets.
fn prepare(inner: &Inner, component: &Component, interfaces: Grants, describes: bool) -> Result<Program, LoadError> {
    let mut linker = inner.linker.clone();
    for interface in interfaces.iter() {
        let added = match interface {
            Interface::Blobs => blobs::add_to_linker::<_, HasSelf<RunState>>(&mut linker, |state| state),
            Interface::Http => wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker),
            Interface::Kv => kv::add_to_linker::<_, HasSelf<RunState>>(&mut linker, |state| state),
            Interface::Mesh => mesh::add_to_linker::<_, HasSelf<RunState>>(&mut linker, |state| state),
            Interface::Sensors => sensors::add_to_linker::<_, HasSelf<RunState>>(&mut linker, |state| state),
            Interface::Tasks => tasks::add_to_linker::<_, HasSelf<RunState>>(&mut linker, |state| state),
        };
        added.map_err(|error| mismatch(&error))?;
    }
    let linked = linker.instantiate_pre(component).map_err(|error| mismatch(&error))?;
    if !describes {
        return Ok(Program::Typed(linked));
    }
    GuestPre::new(linked).map(Program::Described).map_err(|error| mismatch(&error))
}

/// Runs `describe` on the guests' runtime and waits for it.
fn ask(inner: &Inner, guest: &GuestPre<RunState>) -> Result<PluginInfo, LoadError> {
    // One at a time, so that two spare instances are always enough.
    let _one = inner.compiling.lock().unwrap_or_else(PoisonError::into_inner);
    let (sender, receiver) = mpsc::sync_channel(1);
    let (around, guest, limits) = (inner.around.clone(), guest.clone(), inner.config.describe_limits.clone());
    let ticking = inner.ticker.hold();
    inner.handle.spawn(async move {
        let described = describe(around, guest, limits).await;
        drop(ticking);
        sender.send(described).ok();
    });
    // The sender is dropped without a word when the runtime ends or the host's side panics.
    let described = receiver.recv().map_err(|_| LoadError::DescribeFailed("the node is shutting down".to_owned()))?;
    described.map_err(|error| match error {
        DescribeError::Types(error) => mismatch(&error),
        DescribeError::Failed(failure) => LoadError::DescribeFailed(failure.message),
    })
}
