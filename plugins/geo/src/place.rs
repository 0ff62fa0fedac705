//! Places on Earth and areas around them. It computes no way between them.

use akita_plugin::prelude::*;
use serde::{Deserialize, Serialize};

/// Decimals of degrees that are given: 1e-7 degrees are a centimetre.
pub const DEGREES: f64 = 1e7;
/// Decimals of metres that are given: the method is not better.
pub const MILLIMETRES: f64 = 1e3;

/// A place, in degrees.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Schema)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Degrees north.
    #[schema(minimum = -90, maximum = 90)]
    pub lat: f64,
    /// Degrees east.
    #[schema(minimum = -180, maximum = 180)]
    pub lon: f64,
}

impl Place {
    /// The place, if there is one of these numbers; `pointer` is where they were given.
    pub fn checked(self, pointer: &str) -> Result<Self, TaskError> {
        for (name, value, most) in [("lat", self.lat, 90.0), ("lon", self.lon, 180.0)] {
            if !(-most..=most).contains(&value) {
                let error = TaskError::invalid(format!("`{name}` must be from -{most} to {most} degrees"));
                return Err(error.code("out-of-range").pointer(format!("{pointer}/{name}")));
            }
        }
        Ok(self)
    }
}

/// An area that a locator or a hash stands for.
#[derive(Debug, PartialEq, Schema, Serialize)]
pub struct Cell {
    /// Of the middle.
    pub lat: f64,
    /// Of the middle.
    pub lon: f64,
    pub south: f64,
    pub west: f64,
    pub north: f64,
    pub east: f64,
}

impl Cell {
    /// The area from its south-western corner on.
    pub fn new(south: f64, west: f64, height: f64, width: f64) -> Self {
        let degrees = |value| rounded(value, DEGREES);
        Self {
            lat: degrees(south + height / 2.0),
            lon: degrees(west + width / 2.0),
            south: degrees(south),
            west: degrees(west),
            north: degrees(south + height),
            east: degrees(west + width),
        }
    }
}

/// To one part in `scale`.
pub fn rounded(value: f64, scale: f64) -> f64 {
    libm::round(value * scale) / scale
}
