//! Schemas as the derive macro writes them.
#![expect(dead_code, reason = "the types are only described")]

use std::collections::BTreeMap;

use akita_plugin::{Base64, Schema, SchemaWriter};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

fn schema<T: Schema>() -> Value {
    let mut value: Value = serde_json::from_str(&SchemaWriter::document::<T>()).unwrap();
    let dialect = value.as_object_mut().unwrap().remove("$schema");
    assert_eq!(dialect, Some(json!("https://json-schema.org/draft/2020-12/schema")));
    value
}

/// A parcel.
///
/// With "quotes".
#[derive(Deserialize, Schema, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Parcel {
    /// In grams.
    #[schema(minimum = 1, maximum = 31_500, examples = [250, 1000])]
    gross_weight: u32,
    #[serde(default)]
    #[schema(default = "-", pattern = r"^\d*$")]
    label: String,
    #[serde(skip)]
    cache: u8,
    #[serde(rename = "type")]
    kind: Kind,
    #[schema(exclusiveMinimum = -1.5)]
    sizes: Option<Vec<f64>>,
    state: Option<State>,
    extra: BTreeMap<String, Label>,
    r#in: Base64,
    /// Stuck on top.
    top: Label,
}

#[derive(Deserialize, Schema, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Letter,
    SmallBox,
}

#[derive(Deserialize, Schema, Serialize)]
enum State {
    Lost,
    Sent { to: String },
    Held(bool),
}

/// What is printed on it.
#[derive(Deserialize, Schema, Serialize)]
#[serde(transparent)]
struct Label(#[schema(maxLength = 9)] String);

#[derive(Deserialize, Schema, Serialize)]
struct Tree {
    branches: Vec<Tree>,
}

#[test]
fn a_schema_says_what_serde_does() {
    let expected = json!({
        "type": "object",
        "description": "A parcel. With \"quotes\".",
        "properties": {
            "grossWeight": { "type": "integer", "minimum": 1, "maximum": 31500, "examples": [250, 1000], "description": "In grams." },
            "label": { "type": "string", "default": "-", "pattern": "^\\d*$" },
            "type": { "type": "string", "enum": ["letter", "small-box"] },
            "sizes": { "type": ["array", "null"], "items": { "type": "number" }, "exclusiveMinimum": -1.5 },
            "state": { "anyOf": [
                { "oneOf": [
                    { "const": "Lost" },
                    { "type": "object", "required": ["Sent"], "additionalProperties": false, "properties": { "Sent": {
                        "type": "object", "properties": { "to": { "type": "string" } }, "required": ["to"] } } },
                    { "type": "object", "required": ["Held"], "additionalProperties": false, "properties": { "Held": { "type": "boolean" } } },
                ] },
                { "type": "null" },
            ] },
            "extra": { "type": "object", "additionalProperties": { "type": "string", "maxLength": 9, "description": "What is printed on it." } },
            "in": { "type": "string", "contentEncoding": "base64" },
            "top": {
                "allOf": [{ "type": "string", "maxLength": 9, "description": "What is printed on it." }],
                "description": "Stuck on top.",
            },
        },
        "required": ["grossWeight", "type", "extra", "in", "top"],
        "additionalProperties": false,
    });
    assert_eq!(schema::<Parcel>(), expected);
}

#[test]
fn a_type_that_contains_itself_ends() {
    let text = SchemaWriter::document::<Tree>();
    assert!(text.contains(r#""items":{}"#) && text.len() < 5_000, "{text}");
    assert!(serde_json::from_str::<Value>(&text).is_ok());
}

#[test]
fn simple_types_have_simple_schemas() {
    assert_eq!(schema::<Vec<bool>>(), json!({ "type": "array", "items": { "type": "boolean" } }));
    assert_eq!(schema::<Option<i8>>(), json!({ "type": ["integer", "null"] }));
    assert_eq!(schema::<u64>(), json!({ "type": "integer", "minimum": 0 }));
}
