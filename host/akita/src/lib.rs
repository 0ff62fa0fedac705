//! The node: everything that does I/O. `akita-core` decides, `akita-mesh` carries, `akita-sandbox` runs; only this
//! crate translates between them.

pub mod api;
pub mod authoring;
pub mod blobs;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod consensus;
pub mod daemon;
pub mod driver;
pub mod executor;
pub mod exit;
pub mod killpoint;
pub mod node;
pub mod plugins;
pub mod program;
pub mod proof;
pub mod reading;
pub mod resources;
pub mod store;
pub mod telemetry;
pub mod upkeep;
pub mod view;
