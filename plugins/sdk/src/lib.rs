//! Write Akita plugins as typed Rust functions.
//!
//! ```
//! use akita_plugin::prelude::*;
//! use serde::{Deserialize, Serialize};
//!
//! /// Whom to greet.
//! #[derive(Deserialize, Schema)]
//! struct Greet {
//!     /// A first name will do.
//!     name: String,
//! }
//!
//! #[derive(Serialize, Schema)]
//! struct Greeting {
//!     greeting: String,
//! }
//!
//! fn greet(input: Greet) -> Result<Greeting, TaskError> {
//!     Ok(Greeting { greeting: format!("Hello, {}!", input.name) })
//! }
//!
//! akita_plugin::plugin! {
//!     name: "hello",
//!     summary: "Greets people.",
//!     actions: {
//!         "greet" => greet { summary: "Greets one person.", idempotent: true, deterministic: true },
//!     },
//! }
//!
//! // In a test, on your own machine, without WebAssembly:
//! use akita_plugin::testing::Harness;
//! let outcome = Harness::new(&PLUGIN).json("greet", r#"{"name":"Ada"}"#);
//! assert_eq!(outcome.text(), r#"{"greeting":"Hello, Ada!"}"#);
//! ```
//!
//! What this crate owns: the contract (`wit/`), translation between JSON and types, dispatch, the schemas that a plugin
//! advertises, and fakes of the host for tests. It never decides what an action does.
//!
//! | module | what it reaches | granted |
//! |---|---|---|
//! | [`log`], [`task`], [`clock`] | the operator's log, the running attempt, the time of day | always |
//! | [`kv`] | small durable values of this plugin on this node | as `kv` |
//! | [`blobs`] | content-addressed bytes, wherever they are | as `blobs` |
//! | [`mesh`] | the other nodes, and small messages to them | as `mesh` |
//! | [`tasks`] | child tasks, fanned out and gathered | as `tasks` |
//! | [`sensors`] | what the machine measures, what the operator exposes | as `sensors` |
//! | `http` (the feature `http`) | HTTP to hosts that the operator allows | as `http` |
//!
//! A plugin imports an interface only if it calls it, and asks its operator for nothing else.
//!
//! Size counts, because a plugin is shipped over radio links and instantiated for every task. The crate is `no_std`, brings
//! its own small JSON reader and writer, and derives schemas at compile time. With [`no_std_runtime!`] a plugin leaves the
//! standard library out as well, and with it every import but the host's own.
#![no_std]

extern crate alloc;
#[cfg(not(target_family = "wasm"))]
extern crate std;
// So that the derive macro's paths hold in this crate's own tests as well.
extern crate self as akita_plugin;

mod action;
mod base64;
pub mod blobs;
pub mod clock;
mod content;
#[doc(hidden)]
pub mod contract;
mod error;
mod host;
#[cfg(feature = "http")]
pub mod http;
pub mod json;
pub mod kv;
pub mod log;
mod macros;
pub mod mesh;
#[doc(hidden)]
#[cfg(target_family = "wasm")]
pub mod runtime;
mod schema;
#[cfg(feature = "schemars")]
mod schemars;
pub mod sensors;
pub mod task;
pub mod tasks;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

#[cfg(feature = "schemars")]
pub use self::schemars::Schemars;
pub use action::{Action, Input, Output, Plugin, call, input_schema, output_schema, reads_chunks};
pub use akita_plugin_macros::Schema;
pub use base64::Base64;
pub use contract::akita::plugin::types::{ActionInfo, Content, Failure, PluginInfo, Request, TaskError};
pub use schema::{Schema, SchemaWriter};
pub use task::Chunks;

/// What most plugins use, with what a `no_std` crate would otherwise have to ask `alloc` for.
pub mod prelude {
    pub use crate::{Base64, Chunks, Content, Schema, TaskError, log, task};
    pub use alloc::borrow::ToOwned;
    pub use alloc::boxed::Box;
    pub use alloc::string::{String, ToString};
    pub use alloc::vec::Vec;
    pub use alloc::{format, vec};
}
