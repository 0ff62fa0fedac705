//! Lines for the operator's log. They are bounded in number and size by the node; what is over is dropped and counted.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Display;

pub use crate::contract::akita::plugin::log::Level;
use crate::host;

/// Values for programs, beside the message.
pub type Fields<'a> = &'a [(&'a str, &'a dyn Display)];

/// Writes a line.
///
/// ```
/// use akita_plugin::log::{self, Level};
/// log::write(Level::Info, "picture fitted", &[("width", &320), ("format", &"jpeg")]);
/// ```
pub fn write(level: Level, message: &str, fields: Fields<'_>) {
    let fields: Vec<(String, String)> = fields.iter().map(|(key, value)| ((*key).into(), value.to_string())).collect();
    write_owned(level, message, &fields);
}

/// Writes a line with fields that are text already.
///
/// ```
/// use akita_plugin::log::{self, Level};
/// log::write_owned(Level::Warn, "battery low", &[("percent".into(), "12".into())]);
/// ```
pub fn write_owned(level: Level, message: &str, fields: &[(String, String)]) {
    host::log::write(level, message, fields);
}

/// Step by step.
///
/// ```
/// akita_plugin::log::trace("row read", &[("row", &7)]);
/// ```
pub fn trace(message: &str, fields: Fields<'_>) {
    write(Level::Trace, message, fields);
}

/// For the plugin's author.
///
/// ```
/// akita_plugin::log::debug("cache is cold", &[]);
/// ```
pub fn debug(message: &str, fields: Fields<'_>) {
    write(Level::Debug, message, fields);
}

/// For the operator.
///
/// ```
/// akita_plugin::log::info("model trained", &[("rows", &1200)]);
/// ```
pub fn info(message: &str, fields: Fields<'_>) {
    write(Level::Info, message, fields);
}

/// Something is off; the run goes on.
///
/// ```
/// akita_plugin::log::warn("3 rows skipped", &[]);
/// ```
pub fn warn(message: &str, fields: Fields<'_>) {
    write(Level::Warn, message, fields);
}

/// The run is about to fail.
///
/// ```
/// akita_plugin::log::error("no such column", &[("column", &"t")]);
/// ```
pub fn error(message: &str, fields: Fields<'_>) {
    write(Level::Error, message, fields);
}
