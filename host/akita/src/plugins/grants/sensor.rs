//! `[sensor.NAME]` in the file of grants: where the operator's own values are read. It reads text and opens nothing.

use std::{path::PathBuf, time::Duration};

use toml::de::{DeTable, DeValue};

use super::parse::{Fault, number, unknown};

/// Sensors of one operator: each is read by a thread of its own.
pub const MAX_SENSORS: usize = 32;
/// How often a file is read unless the entry says otherwise: a battery or a thermometer changes slowly.
const DEFAULT_EVERY: Duration = Duration::from_secs(10);
/// Longest name and unit: they are shown in tables.
const MAX_WORD_BYTES: usize = 32;
/// The keys of an entry.
const KEYS: [&str; 6] = ["file", "unit", "scale", "offset", "every_s", "max_age_s"];

/// A named value that the operator exposes.
#[derive(Debug, Clone, PartialEq)]
pub struct SensorSpec {
    /// The file that holds it.
    pub file: PathBuf,
    /// What the value counts.
    pub unit: String,
    /// What the number in the file is multiplied with.
    pub scale: f64,
    /// What is added then.
    pub offset: f64,
    /// How often the file is read.
    pub every: Duration,
    /// A file that was last written before this long counts as no reading.
    pub max_age: Option<Duration>,
}

/// Reads a sensor's name.
pub(super) fn parse_name(name: &str) -> Result<String, String> {
    let words = || name.split('-').all(|word| !word.is_empty() && word.bytes().all(is_letter));
    if name.len() <= MAX_WORD_BYTES && words() {
        return Ok(name.to_owned());
    }
    Err(format!("`{name}` is no sensor's name: use lower-case words joined by `-`, {MAX_WORD_BYTES} letters at most"))
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// Reads the entry of the sensor `name`, which begins at `at`.
pub(super) fn entry(at: usize, name: &str, keys: &DeTable<'_>) -> Result<SensorSpec, Fault> {
    let mut file = None;
    let mut spec = SensorSpec {
        file: PathBuf::new(),
        unit: String::new(),
        scale: 1.0,
        offset: 0.0,
        every: DEFAULT_EVERY,
        max_age: None,
    };
    for (key, value) in keys {
        let (at, word, value) = (key.span().start, key.get_ref().as_ref(), value.get_ref());
        let finite =
            || number(value).filter(|number| number.is_finite()).ok_or_else(|| (at, format!("{word} is a number")));
        let within = |min: f64, max: f64| {
            let seconds = number(value).filter(|seconds| (min..=max).contains(seconds));
            seconds.map(Duration::from_secs_f64).ok_or_else(|| (at, format!("{word} is a number from {min} to {max}")))
        };
        match word {
            "file" => {
                file = Some(text(value).filter(|path| !path.is_empty()).ok_or((at, "file is a path".to_owned()))?)
            }
            "unit" => spec.unit = text(value).filter(|unit| is_unit(unit)).ok_or((at, unit_words()))?.to_owned(),
            "scale" => spec.scale = finite()?,
            "offset" => spec.offset = finite()?,
            "every_s" => spec.every = within(1.0, 86_400.0)?,
            "max_age_s" => spec.max_age = Some(within(1.0, 1e9)?),
            other => {
                return Err((at, unknown("key", other, &KEYS, &format!("a sensor has {}", KEYS.join(", ")))));
            }
        }
    }
    let file = file.ok_or_else(|| (at, format!("sensor.{name} says no file: write file = \"/path/of/the/value\"")))?;
    Ok(SensorSpec { file: PathBuf::from(file), ..spec })
}

fn text<'a>(value: &'a DeValue<'_>) -> Option<&'a str> {
    match value {
        DeValue::String(text) => Some(text.as_ref()),
        _ => None,
    }
}

fn is_unit(unit: &str) -> bool {
    unit.len() <= MAX_WORD_BYTES && !unit.chars().any(char::is_control)
}

fn unit_words() -> String {
    format!("unit is a word of at most {MAX_WORD_BYTES} bytes, such as percent, volt or celsius")
}
