//! The asked node itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `GET /status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusView {
    /// Reticulum identity hash.
    pub node_id: String,
    /// For people.
    pub node_name: String,
    /// The cluster's name.
    pub cluster_name: String,
    /// The cluster's id.
    pub cluster_id: Option<String>,
    /// `leader` or `worker`.
    pub role: String,
    /// Who leads.
    pub leader_id: Option<String>,
    /// Of the program.
    pub version: String,
    /// Seconds since start.
    pub uptime_s: u64,
    /// The operator's and the plugins'.
    pub capabilities: Vec<String>,
    /// `plugin/action`.
    pub actions: Vec<String>,
    /// Tasks at once.
    pub slots: u16,
    /// CPU, memory, disk, network, temperature.
    pub resources: crate::resources::Resources,
    /// The operator's own, as plugins see them.
    pub sensors: Vec<SensorView>,
    /// How the node is connected to the mesh, for people.
    pub mesh: String,
    /// Tasks on this node's books by status.
    pub tasks: BTreeMap<String, u64>,
}

/// A named value that the operator exposes to plugins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SensorView {
    /// Its name.
    pub name: String,
    /// In `unit`; nothing while it cannot be read.
    pub value: Option<f64>,
    /// What the value counts.
    pub unit: String,
    /// Milliseconds since it was read.
    pub age_ms: u64,
    /// Why there is no value.
    pub problem: Option<String>,
}
