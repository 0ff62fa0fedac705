//! What the node's machine measures, and the values that its operator exposes. To be granted: `interfaces =
//! ["sensors"]`.
//!
//! ```
//! use akita_plugin::sensors;
//!
//! match sensors::read("temperature") {
//!     Ok(reading) => println!("{} {}", reading.value, reading.unit),
//!     Err(_) => println!("there are {:?}", sensors::names()),
//! }
//! ```

use alloc::string::String;
use alloc::vec::Vec;

pub use crate::contract::akita::plugin::sensors::{Reading, SensorError as Error};
use crate::{TaskError, host};

/// The sensors of this node, sorted. One that is there on one node may be missing on another.
#[must_use]
pub fn names() -> Vec<String> {
    host::sensors::names()
}

/// The latest reading of a sensor.
pub fn read(name: &str) -> Result<Reading, Error> {
    host::sensors::read(name)
}

/// The latest readings of all sensors that have one now.
#[must_use]
pub fn all() -> Vec<Reading> {
    names().iter().filter_map(|name| read(name).ok()).collect()
}

/// A sensor that is not there will not come; one that gives nothing now may later.
impl From<Error> for TaskError {
    fn from(error: Error) -> Self {
        match error {
            Error::UnknownSensor => Self::permanent("this node has no such sensor").code("unknown-sensor"),
            Error::Unavailable(why) => Self::retryable(why).code("unavailable"),
        }
    }
}
