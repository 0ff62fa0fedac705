//! A component that was looked at, and one that is linked and can run. Both are made by `load` and never change.

use std::fmt;
use std::sync::Arc;

use wasmtime::component::{Component, InstancePre};

use crate::bindings::GuestPre;
use crate::check::Checks;
use crate::fixed::{Compiled, Source};
use crate::info::PluginInfo;
use crate::interface::Grants;
use crate::store::RunState;
use crate::typed::{Typed, TypedExport};

/// A component that was compiled and asked what it is. What it needs is known, not yet whether it gets it.
pub struct Candidate {
    pub(crate) hash: [u8; 32],
    pub(crate) size: u64,
    pub(crate) info: PluginInfo,
    pub(crate) imports: Vec<String>,
    pub(crate) needs: Grants,
    /// It imports `task.read-input`.
    pub(crate) reads_input: bool,
    /// Whether it exports the contract's `actions`; if not, its actions are typed exports.
    pub(crate) describes: bool,
    pub(crate) from_cache: bool,
    pub(crate) component: Component,
    pub(crate) checks: Checks,
    pub(crate) typed: Typed,
    pub(crate) source: Source,
    pub(crate) deterministic: Compiled,
}

/// A component that is linked. Its exports of the contract are there unless all its actions are typed exports.
#[derive(Clone)]
pub(crate) enum Program {
    Described(GuestPre<RunState>),
    Typed(InstancePre<RunState>),
}

impl Program {
    /// For a call of a typed export.
    pub(crate) fn instance(&self) -> &InstancePre<RunState> {
        match self {
            Program::Described(guest) => guest.instance_pre(),
            Program::Typed(instance) => instance,
        }
    }
}

/// A candidate that is linked with what it was granted, ready to run.
pub struct Plugin {
    pub(crate) candidate: Arc<Candidate>,
    pub(crate) grants: Grants,
    pub(crate) program: Program,
}

impl std::ops::Deref for Plugin {
    type Target = Candidate;

    fn deref(&self) -> &Candidate {
        &self.candidate
    }
}

impl Plugin {
    /// What it was made of.
    #[must_use]
    pub fn candidate(&self) -> &Arc<Candidate> {
        &self.candidate
    }

    /// The interfaces that it needed and was granted.
    #[must_use]
    pub fn grants(&self) -> Grants {
        self.grants
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("candidate", &self.candidate)
            .field("grants", &self.grants)
            .finish_non_exhaustive()
    }
}

impl Candidate {
    /// BLAKE3 of the `.wasm` file: the plugin's identity.
    #[must_use]
    pub fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// Size of the `.wasm` file in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What it says of itself.
    #[must_use]
    pub fn info(&self) -> &PluginInfo {
        &self.info
    }

    /// Its name, the first part of `plugin/action`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.info.name
    }

    /// Its name and version, as `plugin@version`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}@{}", self.info.name, self.info.version)
    }

    /// The interfaces that it imports, read from the component itself, such as `akita:plugin/log@0.1.0`.
    #[must_use]
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    /// The interfaces that have to be granted before it can run.
    #[must_use]
    pub fn needs(&self) -> Grants {
        self.needs
    }

    /// The functions of its other exported interfaces: those that became actions, and those that did not and why.
    #[must_use]
    pub fn typed_exports(&self) -> &[TypedExport] {
        &self.typed.exports
    }

    /// Whether its compiled code was at hand.
    #[must_use]
    pub fn from_cache(&self) -> bool {
        self.from_cache
    }
}

impl fmt::Debug for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidate")
            .field("name", &self.info.name)
            .field("version", &self.info.version)
            .field("hash", &blake3::Hash::from_bytes(self.hash).to_hex().as_str())
            .finish_non_exhaustive()
    }
}
