//! The few numbers that the vices take. What is missing or of another kind is replaced by a default: this plugin is for
//! tests, and `invalid-input` is an action of its own.

use serde_json::Value;

/// What every action takes; all of it is optional.
pub const SCHEMA: &str = r#"{
"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object",
"properties":{
"ms":{"type":"integer","minimum":0},
"bytes":{"type":"integer","minimum":0},
"lines":{"type":"integer","minimum":0},
"succeed_on":{"type":"integer","minimum":1},
"retry_after_ms":{"type":"integer","minimum":0}}}"#;

/// The numbers, with their defaults filled in.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    /// How long to work, in milliseconds.
    pub ms: u64,
    /// How much to return or emit.
    pub bytes: usize,
    /// How many log lines or progress reports.
    pub lines: u64,
    /// The first attempt that works, if any does.
    pub succeed_on: Option<u64>,
    /// What to ask for between attempts, in milliseconds.
    pub retry_after_ms: Option<u64>,
}

impl Options {
    /// Reads what is there.
    pub fn parse(body: &[u8]) -> Self {
        let value: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let number = |key: &str| value.get(key).and_then(Value::as_u64);
        Self {
            ms: number("ms").unwrap_or(1000),
            bytes: number("bytes").map_or(64 << 20, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
            lines: number("lines").unwrap_or(100_000),
            succeed_on: number("succeed_on"),
            retry_after_ms: number("retry_after_ms"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_has_a_default() {
        assert_eq!(Options::parse(b""), Options::parse(b"{}"));
        assert_eq!(Options::parse(br#"{"ms":"soon"}"#).ms, 1000);
        assert_eq!(
            Options::parse(br#"{"ms":5,"succeed_on":3}"#),
            Options { ms: 5, succeed_on: Some(3), ..Options::parse(b"") }
        );
    }

    #[test]
    fn the_schema_is_json() {
        assert!(serde_json::from_str::<Value>(SCHEMA).unwrap().is_object());
    }
}
