//! JSON Schema (2020-12) of Rust types. The derive macro writes the text at compile time; at run time it is only put
//! together, which costs a plugin a few hundred bytes where a general schema library costs 30 KB.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// What every document starts with.
const DIALECT: &str = r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","#;
/// How the schema of an unsigned number ends.
const NOT_NEGATIVE: &str = r#","minimum":0}"#;
/// Types nested deeper than this are cut off with a schema that allows anything: a type can contain itself.
const MAX_DEPTH: usize = 32;

/// A type with a JSON Schema.
///
/// Derive it: `#[derive(Schema)]` understands structs with named fields, newtypes and enums, takes descriptions from doc
/// comments, and obeys serde's `rename`, `rename_all`, `default`, `skip`, `skip_serializing_if`, `deny_unknown_fields` and
/// `transparent`. Further keywords go into `#[schema(...)]`, with their names in JSON Schema. They tell
/// submitters what to send; an action still checks what must hold, because nothing else does:
///
/// ```
/// use akita_plugin::{Schema, SchemaWriter};
///
/// /// A picture's size.
/// #[derive(Schema)]
/// struct Size {
///     /// In pixels.
///     #[schema(minimum = 1, maximum = 4096)]
///     width: u32,
///     height: Option<u32>,
/// }
///
/// assert_eq!(
///     SchemaWriter::document::<Size>(),
///     r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","description":"A picture's size.",
/// "properties":{"width":{"type":"integer","minimum":1,"maximum":4096,"description":"In pixels."},
/// "height":{"type":["integer","null"],"minimum":0}},"required":["width"]}"#.replace('\n', "")
/// );
/// ```
pub trait Schema {
    /// Writes the schema: one JSON object.
    fn write(out: &mut SchemaWriter);
}

/// A schema on its way to text.
#[derive(Debug, Default)]
pub struct SchemaWriter {
    text: String,
    depth: usize,
    /// Where the schema that was written last starts.
    last: usize,
}

impl SchemaWriter {
    /// The whole document of a type.
    #[must_use]
    pub fn document<T: Schema>() -> String {
        let mut out = Self::default();
        out.schema::<T>();
        let body = &out.text[1..];
        if body == "}" {
            return [DIALECT.trim_end_matches(','), body].concat();
        }
        [DIALECT, body].concat()
    }

    /// Appends text as it is.
    pub fn raw(&mut self, json: &str) {
        self.text.push_str(json);
    }

    /// Appends the schema of a type.
    pub fn schema<T: Schema>(&mut self) {
        if self.depth == MAX_DEPTH {
            self.raw("{}");
            return;
        }
        self.depth += 1;
        let start = self.text.len();
        T::write(self);
        self.last = start;
        self.depth -= 1;
    }

    /// Adds keywords, each with its value as JSON, to the schema that was written last. Where one is there already, both
    /// hold: the description of a field does not replace that of its type.
    pub fn extend(&mut self, keywords: &[(&str, &str)]) {
        if keywords.iter().any(|(key, _)| *key == "minimum") && self.text.ends_with(NOT_NEGATIVE) {
            self.text.truncate(self.text.len() - NOT_NEGATIVE.len());
            self.raw("}");
        }
        if keywords.iter().any(|(key, _)| has_key(&self.text[self.last..], key)) {
            self.text.insert_str(self.last, r#"{"allOf":["#);
            self.raw("]}");
        }
        self.text.pop();
        for (key, value) in keywords {
            let separator = if self.text.ends_with('{') { "\"" } else { ",\"" };
            for part in [separator, key, "\":", value] {
                self.raw(part);
            }
        }
        self.raw("}");
    }

    /// Appends the schema of a type, or of null.
    fn nullable<T: Schema>(&mut self) {
        const TYPE: &str = r#"{"type":""#;
        let start = self.text.len();
        self.schema::<T>();
        let written = &self.text[start..];
        if let Some(rest) = written.strip_prefix(TYPE) {
            let end = start + TYPE.len() + rest.find('"').unwrap_or(0) + 1;
            self.text.insert_str(end, r#","null"]"#);
            self.text.insert(start + TYPE.len() - 1, '[');
        } else if written != "{}" {
            self.text.insert_str(start, r#"{"anyOf":["#);
            self.raw(r#",{"type":"null"}]}"#);
        }
    }
}

/// Whether a schema has this key itself, not only deeper inside.
fn has_key(schema: &str, key: &str) -> bool {
    let bytes = schema.as_bytes();
    let (mut depth, mut at) = (0, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b'"' => {
                let start = at + 1;
                at = start;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                let is_key = depth == 1 && bytes.get(at + 1) == Some(&b':');
                if is_key && schema.get(start..at) == Some(key) {
                    return true;
                }
            }
            _ => {}
        }
        at += 1;
    }
    false
}

macro_rules! fixed {
    ($($($type:ty),+ => $schema:literal;)+) => {$($(
        impl Schema for $type {
            fn write(out: &mut SchemaWriter) {
                out.raw($schema);
            }
        }
    )+)+};
}

fixed! {
    bool => r#"{"type":"boolean"}"#;
    String, &str, char => r#"{"type":"string"}"#;
    f32, f64 => r#"{"type":"number"}"#;
    i8, i16, i32, i64, isize => r#"{"type":"integer"}"#;
    u8, u16, u32, u64, usize => r#"{"type":"integer","minimum":0}"#;
    () => r#"{"type":"null"}"#;
}

impl<T: Schema> Schema for Option<T> {
    fn write(out: &mut SchemaWriter) {
        out.nullable::<T>();
    }
}

impl<T: Schema> Schema for Vec<T> {
    fn write(out: &mut SchemaWriter) {
        out.raw(r#"{"type":"array","items":"#);
        out.schema::<T>();
        out.raw("}");
    }
}

impl<T: Schema> Schema for Box<T> {
    fn write(out: &mut SchemaWriter) {
        T::write(out);
    }
}

impl<T: Schema> Schema for BTreeMap<String, T> {
    fn write(out: &mut SchemaWriter) {
        out.raw(r#"{"type":"object","additionalProperties":"#);
        out.schema::<T>();
        out.raw("}");
    }
}
