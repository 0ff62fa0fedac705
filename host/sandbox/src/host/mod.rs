//! What a guest can call, a file for each interface. Nothing here blocks: a host function that waits cannot be
//! interrupted by an epoch, so it waits as a future, which the time limit drops.

pub(crate) mod kv;
mod log;
pub(crate) mod sensors;
pub(crate) mod stdio;
mod task;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use kv::KvHost;
use sensors::SensorHost;

/// What a host takes its time for. It may be dropped at any point: what must not be lost has an owner elsewhere.
pub type HostFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What is behind the granted interfaces of one run. An interface without a host is there and unavailable.
#[derive(Clone, Default)]
pub struct Hosts {
    /// The plugin's durable values.
    pub kv: Option<Arc<dyn KvHost>>,
    /// The machine's sensors.
    pub sensors: Option<Arc<dyn SensorHost>>,
}

impl fmt::Debug for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hosts").field("kv", &self.kv.is_some()).field("sensors", &self.sensors.is_some()).finish()
    }
}
