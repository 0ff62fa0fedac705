//! What keeps a schema from hurting the node that checks with it. Before it is compiled: it refers to nothing outside itself,
//! not to itself in a circle, and is of bounded size. While it checks: a keyword of our own, put into each of its
//! subschemas, counts steps and ends a check that takes too many. It knows no rule of JSON Schema but where schemas lie.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::resume_unwind;

use jsonschema::paths::Location;
use jsonschema::{Keyword, ValidationError};
use serde_json::{Map, Value};

/// The keyword that counts.
pub(super) const KEYWORD: &str = "x-akita-steps";
/// Subschemas in one schema: a schema of 64 KiB that people write has a few hundred.
const MAX_SUBSCHEMAS: usize = 1_000;
/// Schemas that apply to one value by way of each other.
const MAX_CHAIN: usize = 32;
/// Bytes of a text that count as a step.
const BYTES_A_STEP: usize = 64;

/// Keywords whose value is a schema, a list of schemas, or an object of schemas.
const ONE: [&str; 12] = [
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
    "additionalItems",
];
const LIST: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
const MAP: [&str; 6] = ["$defs", "definitions", "dependentSchemas", "dependencies", "patternProperties", "properties"];
/// Of those, the ones whose schemas look at the same value, not at a part of it.
const SAME: [&str; 9] = ["allOf", "anyOf", "dependencies", "dependentSchemas", "else", "if", "not", "oneOf", "then"];
/// Keywords of other drafts, or of OpenAPI, by which a schema could refer past the rules here.
const REFUSED: [&str; 3] = ["$recursiveRef", "$recursiveAnchor", "discriminator"];

/// A check has used up its steps; carried by the unwinding that ends it.
pub(super) struct OutOfSteps;

thread_local! {
    static LEFT: Cell<u64> = const { Cell::new(0) };
}

/// Steps for what this thread checks until the guard is dropped.
pub(super) fn allow(steps: u64) -> Allowed {
    Allowed(LEFT.replace(steps))
}

/// Gives back what was allowed before.
pub(super) struct Allowed(u64);

impl Drop for Allowed {
    fn drop(&mut self) {
        LEFT.set(self.0);
    }
}

/// Counts what one subschema costs each time.
struct Steps(u64);

impl Steps {
    fn take(&self, instance: &Value) {
        let times = match instance {
            Value::Array(items) => items.len(),
            Value::Object(fields) => fields.len(),
            Value::String(text) => text.len() / BYTES_A_STEP,
            _ => 0,
        };
        let cost = self.0.saturating_mul(times as u64 + 1);
        match LEFT.get().checked_sub(cost) {
            Some(left) => LEFT.set(left),
            // No error of validation would do: `not` and `anyOf` would go on.
            None => resume_unwind(Box::new(OutOfSteps)),
        }
    }
}

impl<'i> Keyword<'i> for Steps {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        self.take(instance);
        Ok(())
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        self.take(instance);
        true
    }
}

/// Makes the keyword of one subschema.
pub(super) fn keyword<'a>(
    _parent: &'a Map<String, Value>,
    value: &'a Value,
    _path: Location,
) -> Result<Box<dyn for<'i> Keyword<'i>>, ValidationError<'a>> {
    Ok(Box::new(Steps(value.as_u64().unwrap_or(1))))
}

/// The schema with a counter in each of its subschemas, and how many of these apply to one value, at most, by way of each
/// other.
///
/// # Errors
/// The rule that it breaks.
pub(super) fn guarded(mut schema: Value) -> Result<(Value, usize), String> {
    if let Value::Object(root) = &mut schema {
        // The first is always 2020-12 here; the others are names that nothing may refer to.
        for name in ["$schema", "$id", "$vocabulary"] {
            root.shift_remove(name);
        }
    }
    let mut walk = Walk::default();
    walk.schema(&mut schema, String::new())?;
    let chain = walk.longest_chain()?;
    Ok((schema, chain))
}

/// One subschema.
#[derive(Default)]
struct Node {
    pointer: String,
    /// Subschemas that look at the same value.
    same: Vec<usize>,
    /// What it refers to.
    refers: Vec<String>,
}

#[derive(Default)]
struct Walk {
    nodes: Vec<Node>,
    /// By pointer, and by anchor.
    by_name: BTreeMap<String, usize>,
}

impl Walk {
    fn schema(&mut self, schema: &mut Value, pointer: String) -> Result<Option<usize>, String> {
        if self.nodes.len() >= MAX_SUBSCHEMAS {
            return Err(format!("has more than {MAX_SUBSCHEMAS} subschemas"));
        }
        let at = self.nodes.len();
        if schema.is_boolean() {
            self.by_name.insert(format!("#{pointer}"), at);
            self.nodes.push(Node { pointer, ..Node::default() });
            return Ok(Some(at));
        }
        let Value::Object(fields) = schema else { return Ok(None) };
        self.by_name.insert(format!("#{pointer}"), at);
        self.nodes.push(Node { pointer: pointer.clone(), ..Node::default() });
        let place = if pointer.is_empty() { "the top".to_owned() } else { pointer.clone() };
        for name in REFUSED.into_iter().chain(["$id", KEYWORD]) {
            if fields.contains_key(name) {
                return Err(format!("has `{name}` at {place}, which is not taken: use `$defs` and `$ref`"));
            }
        }
        self.names(at, fields, &place)?;
        let mut weight = fields.len();
        for (key, value) in fields.iter_mut() {
            let pointer = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
            let children = self.children(key, value, &pointer)?;
            match children {
                Some(children) if SAME.contains(&key.as_str()) => self.nodes[at].same.extend(children),
                Some(_) => {}
                // `enum`, `const`, `required`: what is compared with.
                None => weight += size(value),
            }
        }
        fields.insert(KEYWORD.to_owned(), weight.into());
        Ok(Some(at))
    }

    /// What it is called, and what it refers to.
    fn names(&mut self, at: usize, fields: &Map<String, Value>, place: &str) -> Result<(), String> {
        for key in ["$anchor", "$dynamicAnchor"] {
            if let Some(Value::String(name)) = fields.get(key) {
                self.by_name.insert(format!("#{name}"), at);
            }
        }
        for key in ["$ref", "$dynamicRef"] {
            let Some(Value::String(target)) = fields.get(key) else { continue };
            if !target.starts_with('#') || target.contains('%') {
                return Err(format!(
                    "refers to `{}` at {place}: only what lies in the schema itself can be referred to, as in `#/$defs/name`",
                    crate::outcome::cut(target.clone(), 100)
                ));
            }
            self.nodes[at].refers.push(target.clone());
        }
        Ok(())
    }

    /// The schemas that are the value of that keyword; `None` if it is one that has none.
    fn children(&mut self, key: &str, value: &mut Value, pointer: &str) -> Result<Option<Vec<usize>>, String> {
        let mut found = Vec::new();
        match value {
            value if ONE.contains(&key) => found.extend(self.schema(value, pointer.to_owned())?),
            Value::Array(items) if LIST.contains(&key) => {
                for (number, item) in items.iter_mut().enumerate() {
                    found.extend(self.schema(item, format!("{pointer}/{number}"))?);
                }
            }
            Value::Object(fields) if MAP.contains(&key) => {
                for (name, field) in fields.iter_mut() {
                    let name = name.replace('~', "~0").replace('/', "~1");
                    found.extend(self.schema(field, format!("{pointer}/{name}"))?);
                }
            }
            _ => return Ok(None),
        }
        Ok(Some(found))
    }

    fn longest_chain(&mut self) -> Result<usize, String> {
        for at in 0..self.nodes.len() {
            for target in std::mem::take(&mut self.nodes[at].refers) {
                let to = self.by_name.get(&target).copied().ok_or_else(|| {
                    let target = crate::outcome::cut(target, 100);
                    format!("refers to `{target}`, where it has no schema")
                })?;
                self.nodes[at].same.push(to);
            }
        }
        let mut lengths = vec![None; self.nodes.len()];
        let mut longest = 0;
        for at in 0..self.nodes.len() {
            longest = longest.max(self.chain(at, &mut lengths, &mut Vec::new())?);
        }
        Ok(longest)
    }

    fn chain(&self, at: usize, lengths: &mut [Option<usize>], way: &mut Vec<usize>) -> Result<usize, String> {
        if let Some(length) = lengths[at] {
            return Ok(length);
        }
        let place = || match self.nodes[at].pointer.as_str() {
            "" => "the top",
            pointer => pointer,
        };
        if way.contains(&at) {
            return Err(format!("refers to itself in a circle at {}", place()));
        }
        if way.len() >= MAX_CHAIN {
            return Err(format!("applies more than {MAX_CHAIN} schemas to one value at {}", place()));
        }
        way.push(at);
        let mut longest = 0;
        for next in &self.nodes[at].same {
            longest = longest.max(self.chain(*next, lengths, way)?);
        }
        way.pop();
        lengths[at] = Some(longest + 1);
        if longest + 1 > MAX_CHAIN {
            return Err(format!("applies more than {MAX_CHAIN} schemas to one value at {}", place()));
        }
        Ok(longest + 1)
    }
}

/// Values in it, and letters of texts.
fn size(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Object(fields) => 1 + fields.values().map(size).sum::<usize>(),
        Value::String(text) => 1 + text.len() / BYTES_A_STEP,
        _ => 1,
    }
}
