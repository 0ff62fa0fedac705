//! Reads a node's JSON leniently: a field that is missing, null or of another type is simply not shown. A command
//! line must work with a node that is a version older or newer.

use jiff::Timestamp;
use serde_json::Value;

/// A look at a JSON value.
#[derive(Clone, Copy)]
pub struct View<'a>(pub &'a Value);

static NULL: Value = Value::Null;

impl<'a> View<'a> {
    /// A field; null where there is none.
    pub fn get(self, name: &str) -> Self {
        Self(self.0.get(name).unwrap_or(&NULL))
    }

    /// Whether there is nothing to show.
    pub fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// A field's text; empty where there is none.
    pub fn text(self, name: &str) -> &'a str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// A field's text, if there is any.
    pub fn some_text(self, name: &str) -> Option<&'a str> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    /// A field's number.
    pub fn number(self, name: &str) -> Option<f64> {
        self.0.get(name).and_then(Value::as_f64)
    }

    /// A field's number, where it is a whole one.
    pub fn count(self, name: &str) -> Option<u64> {
        self.0.get(name).and_then(Value::as_u64)
    }

    /// A field that is true.
    pub fn is(self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// A field's elements.
    pub fn list(self, name: &str) -> Vec<Self> {
        let items = self.0.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        items.iter().map(View).collect()
    }

    /// A field's elements that are texts, or that have a name.
    pub fn words(self, name: &str) -> Vec<&'a str> {
        let word = |item: Self| item.0.as_str().or_else(|| item.0.get("name").and_then(Value::as_str));
        self.list(name).into_iter().filter_map(word).collect()
    }

    /// A field's time, written as RFC 3339.
    pub fn time(self, name: &str) -> Option<Timestamp> {
        self.text(name).parse().ok()
    }

    /// A value on one line: text as it is, a message's words, pairs as `name=value`, all else as JSON.
    pub fn line(self) -> String {
        match self.0 {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            Value::Object(fields) if fields.get("message").is_some_and(Value::is_string) => {
                let code = self.some_text("code").map(|code| format!(" ({code})")).unwrap_or_default();
                format!("{}{code}", self.text("message"))
            }
            Value::Object(fields) => {
                let pairs = fields.iter().map(|(name, value)| format!("{name}={}", View(value).line()));
                pairs.collect::<Vec<_>>().join(" ")
            }
            Value::Array(items) => items.iter().map(|item| View(item).line()).collect::<Vec<_>>().join(" "),
            other => other.to_string(),
        }
    }
}
