//! `akita:plugin/sensors`: the machine's latest readings. It measures nothing: the host does, whether or not anybody asks.

use crate::bindings::sensors;
use crate::store::RunState;

/// One measurement.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The sensor's name.
    pub name: String,
    /// In `unit`; why there is none while there is nothing to tell.
    pub value: Result<f64, String>,
    /// What the value counts.
    pub unit: String,
    /// Milliseconds since it was measured.
    pub age_ms: u64,
}

/// The sensors of a machine. It answers at once, from what was measured before.
pub trait SensorHost: Send + Sync + 'static {
    /// All that there are, sorted by name; a few dozen at most.
    fn readings(&self) -> Vec<Reading>;
}

impl RunState {
    fn readings(&self) -> Vec<Reading> {
        self.hosts.sensors.as_ref().map(|host| host.readings()).unwrap_or_default()
    }
}

impl sensors::Host for RunState {
    fn names(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(self.readings().into_iter().map(|reading| reading.name).collect())
    }

    fn read(&mut self, name: String) -> wasmtime::Result<Result<sensors::Reading, sensors::SensorError>> {
        let Some(found) = self.readings().into_iter().find(|reading| reading.name == name) else {
            return Ok(Err(sensors::SensorError::UnknownSensor));
        };
        let Reading { name, value, unit, age_ms } = found;
        Ok(match value {
            Ok(value) => Ok(sensors::Reading { name, value, unit, age_ms }),
            Err(why) => Err(sensors::SensorError::Unavailable(why)),
        })
    }
}
