//! A plugin that is ready to run. It is made by `load` and never changes.

use std::fmt;

use crate::bindings::GuestPre;
use crate::info::PluginInfo;
use crate::store::RunState;

/// A component that was compiled, linked and asked what it is.
pub struct Plugin {
    pub(crate) hash: [u8; 32],
    pub(crate) size: u64,
    pub(crate) info: PluginInfo,
    pub(crate) imports: Vec<String>,
    pub(crate) from_cache: bool,
    pub(crate) guest: GuestPre<RunState>,
}

impl Plugin {
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

    /// The interfaces that it imports, read from the component itself, such as `akita:plugin/log@0.1.0`.
    #[must_use]
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    /// Whether its compiled code was at hand.
    #[must_use]
    pub fn from_cache(&self) -> bool {
        self.from_cache
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.info.name)
            .field("version", &self.info.version)
            .field("hash", &blake3::Hash::from_bytes(self.hash).to_hex().as_str())
            .finish_non_exhaustive()
    }
}
