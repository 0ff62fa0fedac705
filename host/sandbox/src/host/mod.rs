//! What a guest can call, a file for each interface. Nothing here blocks: a host function that waits cannot be
//! interrupted by an epoch, so it waits as a future, which the time limit drops.

pub(crate) mod blobs;
pub(crate) mod fixed;
pub(crate) mod http;
pub(crate) mod kv;
mod log;
pub(crate) mod mesh;
pub(crate) mod sensors;
pub(crate) mod stdio;
mod task;
pub(crate) mod tasks;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use blobs::BlobHost;
use http::HttpHost;
use kv::KvHost;
use mesh::MeshHost;
use sensors::SensorHost;
use tasks::TasksHost;

/// What a host takes its time for. It may be dropped at any point: what must not be lost has an owner elsewhere.
pub type HostFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What is behind the granted interfaces of one run. An interface without a host is there and unavailable.
#[derive(Clone, Default)]
pub struct Hosts {
    /// Content-addressed bytes.
    pub blobs: Option<Arc<dyn BlobHost>>,
    /// Where HTTP requests may go.
    pub http: Option<Arc<dyn HttpHost>>,
    /// The plugin's durable values.
    pub kv: Option<Arc<dyn KvHost>>,
    /// Other nodes, and messages to the plugin there.
    pub mesh: Option<Arc<dyn MeshHost>>,
    /// The machine's sensors.
    pub sensors: Option<Arc<dyn SensorHost>>,
    /// The run's children.
    pub tasks: Option<Arc<dyn TasksHost>>,
}

/// What one run has used of the bounded calls.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Calls {
    pub(crate) blob_puts: u32,
    pub(crate) kv_writes: u32,
    pub(crate) mesh_sends: u32,
}

impl fmt::Debug for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let there = [
            ("blobs", self.blobs.is_some()),
            ("http", self.http.is_some()),
            ("kv", self.kv.is_some()),
            ("mesh", self.mesh.is_some()),
            ("sensors", self.sensors.is_some()),
            ("tasks", self.tasks.is_some()),
        ];
        f.debug_set().entries(there.into_iter().filter(|(_, there)| *there).map(|(name, _)| name)).finish()
    }
}
