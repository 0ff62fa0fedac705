//! One line for the log, out of a JSON input. It writes nothing itself.

use akita_plugin::prelude::*;
use serde_json::{Map, Value};

/// What `log` takes.
pub const INPUT_SCHEMA: &str = r#"{
"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","required":["message"],"additionalProperties":false,
"properties":{
"message":{"type":"string"},
"level":{"enum":["trace","debug","info","warn","error"],"default":"info"},
"fields":{"type":"object","description":"Values for programs; what is no text is written as JSON"}}}"#;

/// What `log` gives.
pub const OUTPUT_SCHEMA: &str = r#"{
"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","required":["logged","level","bytes"],
"properties":{"logged":{"const":true},"level":{"type":"string"},"bytes":{"type":"integer","minimum":0}}}"#;

/// How much the line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    const NAMES: [(&str, Self); 5] = [
        ("trace", Self::Trace),
        ("debug", Self::Debug),
        ("info", Self::Info),
        ("warn", Self::Warn),
        ("error", Self::Error),
    ];

    fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, level)| *level)
    }

    fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, level)| *level == self).map_or("info", |(name, _)| name)
    }
}

impl From<Level> for log::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::Trace,
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error => Self::Error,
        }
    }
}

/// A line to be written.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    pub message: String,
    pub level: Level,
    pub fields: Vec<(String, String)>,
}

impl Line {
    /// Reads `{"message": "...", "level": "...", "fields": {...}}`.
    pub fn parse(body: &[u8]) -> Result<Self, TaskError> {
        let value: Value = serde_json::from_slice(body)
            .map_err(|error| TaskError::invalid(format!("the input is not JSON: {error}")).code("not-json"))?;
        let Value::Object(mut input) = value else {
            return Err(TaskError::invalid("the input must be a JSON object such as {\"message\": \"hello\"}")
                .code("not-an-object"));
        };
        let Some(Value::String(message)) = input.remove("message") else {
            return Err(TaskError::invalid("`message` must be there and be text")
                .code("no-message")
                .pointer("/message"));
        };
        let level = level_of(input.remove("level"))?;
        let fields = match input.remove("fields") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(fields)) => fields,
            Some(_) => {
                return Err(TaskError::invalid("`fields` must be an object").code("bad-fields").pointer("/fields"));
            }
        };
        let fields = fields.into_iter().map(|(key, value)| (key, text_of(value))).collect();
        Ok(Self { message, level, fields })
    }

    /// What the submitter gets back.
    pub fn receipt(&self) -> String {
        format!(r#"{{"logged":true,"level":"{}","bytes":{}}}"#, self.level.name(), self.message.len())
    }
}

fn level_of(value: Option<Value>) -> Result<Level, TaskError> {
    let known = match &value {
        None | Some(Value::Null) => Some(Level::Info),
        Some(Value::String(name)) => Level::from_name(name),
        Some(_) => None,
    };
    known.ok_or_else(|| {
        TaskError::invalid("`level` must be trace, debug, info, warn or error").code("bad-level").pointer("/level")
    })
}

fn text_of(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_alone_is_an_info_line() {
        let line = Line::parse(br#"{"message":"hello"}"#).unwrap();
        assert_eq!((line.message.as_str(), line.level), ("hello", Level::Info));
        assert_eq!(line.receipt(), r#"{"logged":true,"level":"info","bytes":5}"#);
    }

    #[test]
    fn every_level_is_read_and_given_back() {
        for (name, level) in Level::NAMES {
            let line = Line::parse(format!(r#"{{"message":"x","level":"{name}"}}"#).as_bytes()).unwrap();
            assert_eq!(line.level, level);
            assert!(line.receipt().contains(name));
        }
    }

    #[test]
    fn fields_become_text() {
        let line = Line::parse(br#"{"message":"x","fields":{"a":"b","n":1}}"#).unwrap();
        assert_eq!(line.fields, [("a".into(), "b".into()), ("n".into(), "1".into())]);
    }

    #[test]
    fn faults_say_where() {
        for (input, code, pointer) in [
            (&b"nonsense"[..], "not-json", None),
            (b"[]", "not-an-object", None),
            (b"{}", "no-message", Some("/message")),
            (br#"{"message":7}"#, "no-message", Some("/message")),
            (br#"{"message":"x","level":"loud"}"#, "bad-level", Some("/level")),
            (br#"{"message":"x","fields":[]}"#, "bad-fields", Some("/fields")),
        ] {
            let error = Line::parse(input).unwrap_err();
            let failure = error.failure().unwrap();
            assert_eq!((failure.code.as_deref(), failure.pointer.as_deref()), (Some(code), pointer), "{error:?}");
        }
    }

    #[test]
    fn schemas_are_json() {
        for schema in [INPUT_SCHEMA, OUTPUT_SCHEMA] {
            assert!(serde_json::from_str::<Value>(schema).unwrap().is_object());
        }
    }
}
