//! Plugins, and what they offer.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `GET /plugins`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PluginList {
    /// By file.
    pub plugins: Vec<PluginView>,
    /// What is wrong with the file of grants, while an older one is used.
    pub problem: Option<String>,
}

/// One plugin file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PluginView {
    /// Its own word; the file's name when it was rejected.
    pub name: String,
    /// Semantic version.
    pub version: String,
    /// One line.
    pub summary: String,
    /// BLAKE3 of the file, hex.
    pub hash: String,
    /// Bytes.
    pub size: u64,
    /// File name.
    pub file: String,
    /// `ready`, `compiling`, `blocked`, `untrusted`, `rejected`, `disabled` or `quarantined`.
    pub status: String,
    /// Why it is not ready.
    pub reason: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// What it can do.
    pub actions: Vec<ActionView>,
    /// Capabilities that it brings.
    pub provides: Vec<String>,
    /// Interfaces that it imports.
    pub imports: Vec<String>,
    /// Those of them that have to be granted.
    pub needs: Vec<String>,
    /// What the operator grants to it, whether or not it needs it.
    pub granted: Vec<String>,
    /// Functions of its other exported interfaces.
    #[serde(default)]
    pub typed_exports: Vec<TypedExportView>,
    /// The public key by which this very content is signed, whether or not it is trusted.
    pub signed_by: Option<String>,
    /// While its content, or the one that is to take its place, is compiled or waits for it.
    pub compiling: Option<CompilingView>,
}

/// How far a file is on its way to be compiled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompilingView {
    /// Files before it.
    pub ahead: u64,
    /// Milliseconds that it has been compiled for; nothing while it waits.
    pub elapsed_ms: Option<u64>,
}

/// Answer to `POST /plugins/{name}/disable` and `enable`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchedView {
    /// The plugin.
    pub name: String,
    /// What it is now; `absent` when no file has it.
    pub status: String,
    /// Why it is not ready.
    pub reason: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// A function of an exported interface that is not the contract's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypedExportView {
    /// The interface; empty for a function of the world itself.
    pub interface: String,
    /// Its name in WIT.
    pub function: String,
    /// The action that it is.
    pub action: Option<String>,
    /// Why it is none.
    pub left_out: Option<String>,
}

/// One action of a plugin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionView {
    /// Within the plugin.
    pub name: String,
    /// One line.
    pub summary: String,
    /// Running it twice does no more than once.
    pub idempotent: bool,
    /// How long it usually takes.
    pub typical_ms: Option<u32>,
    /// Capabilities that a node needs for it.
    pub requires: Vec<String>,
    /// JSON Schema.
    pub input_schema: Option<Value>,
    /// JSON Schema.
    pub output_schema: Option<Value>,
}
