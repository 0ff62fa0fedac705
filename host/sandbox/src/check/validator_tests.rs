//! Which schemas are taken, what they say of an input, and that no check hurts the node that makes it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;

/// Steps that no honest check needs.
const STEPS: u64 = 1_000_000;

fn schema(schema: Value) -> Validator {
    Validator::compile(&schema.to_string()).unwrap_or_else(|error| panic!("{error}: {schema}"))
}

#[track_caller]
fn refused(schema: Value, expect: &str) {
    let error = Validator::compile(&schema.to_string()).err().unwrap_or_else(|| panic!("it is taken: {schema}"));
    assert!(error.contains(expect), "{error}");
}

#[track_caller]
fn wrong(schema: &Validator, input: Value, expect: (&str, &str)) {
    match schema.check(&input, STEPS) {
        Checked::Wrong { pointer, message } => assert_eq!((pointer.as_str(), message.as_str()), expect),
        Checked::Fits => panic!("it fits: {input}"),
        Checked::TakesLonger => panic!("it takes longer: {input}"),
    }
}

#[track_caller]
fn fits(schema: &Validator, input: Value) {
    assert!(matches!(schema.check(&input, STEPS), Checked::Fits), "{input}");
}

#[test]
fn a_fault_is_told_with_its_place() {
    let fit = schema(json!({
        "type": "object",
        "properties": {
            "width": {"type": "integer", "minimum": 1},
            "rows": {"type": "array", "items": {"$ref": "#/$defs/row"}},
            "mode": {"enum": ["fast", "good"]}
        },
        "required": ["width"],
        "additionalProperties": false,
        "$defs": {"row": {"type": "string", "maxLength": 3}}
    }));
    fits(&fit, json!({"width": 3, "rows": ["a", "abc"], "mode": "fast"}));
    wrong(&fit, json!({"width": 0}), ("/width", "0 is less than the minimum of 1"));
    wrong(&fit, json!({}), ("", "`width` is missing"));
    wrong(&fit, json!({"width": 1, "rows": ["a", "abcd"]}), ("/rows/1", "\"abcd\" is longer than 3 characters"));
    wrong(&fit, json!({"width": "x"}), ("/width", "\"x\" is not of type \"integer\""));
    let long = json!({"width": "x".repeat(5_000)});
    let Checked::Wrong { message, .. } = fit.check(&long, STEPS) else { panic!() };
    assert!(message.len() < 200, "a long value is not repeated: {message}");
}

#[test]
fn what_is_no_schema_is_refused_with_the_reason() {
    refused(json!({"type": "colour"}), "is no JSON Schema 2020-12 at /type");
    refused(json!({"minimum": "one"}), "at /minimum");
    refused(json!({"pattern": "("}), "is no JSON Schema");
    refused(json!({"properties": {"a": 3}}), "at /properties/a");
    assert!(Validator::compile("{oops").is_err());
    fits(&schema(json!(true)), json!(1));
    fits(&schema(json!({"$schema": "http://json-schema.org/draft-07/schema#", "$id": "https://x.test/y"})), json!(1));
}

#[test]
fn nothing_is_ever_fetched() {
    for target in
        ["https://example.test/schema.json", "http://127.0.0.1:1/x", "file:///etc/passwd", "other.json", "//x"]
    {
        refused(json!({"properties": {"a": {"$ref": target}}}), "only what lies in the schema itself");
        refused(json!({"$dynamicRef": target}), "only what lies in the schema itself");
    }
    refused(json!({"properties": {"a": {"$id": "https://x.test/"}}}), "`$id`");
    refused(json!({"$ref": "#/unknown/x", "unknown": {"x": {"type": "string"}}}), "no schema");
    refused(json!({"$ref": "#nowhere"}), "no schema");
}

#[test]
fn schemas_that_refer_to_themselves_are_told_apart() {
    refused(json!({"$ref": "#"}), "circle");
    refused(
        json!({"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}]}, "b": {"not": {"$ref": "#/$defs/a"}}}}),
        "circle",
    );
    // A tree is fine: each step goes deeper into the input.
    let tree = schema(json!({
        "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}, "name": {"type": "string"}},
        "required": ["name"]
    }));
    fits(&tree, json!({"name": "a", "left": {"name": "b", "right": {"name": "c"}}}));
    wrong(&tree, json!({"name": "a", "left": {"name": "b", "right": {}}}), ("/left/right", "`name` is missing"));
    let named = schema(json!({"$anchor": "top", "items": {"$ref": "#top"}, "type": "array"}));
    wrong(&named, json!([[1]]), ("/0/0", "1 is not of type \"array\""));
}

#[test]
fn schemas_over_their_bounds_are_refused() {
    let many: serde_json::Map<_, _> = (0..2_000).map(|n| (format!("p{n}"), json!({}))).collect();
    refused(json!({"properties": many}), "more than 1000 subschemas");
    let mut chain = json!({});
    for _ in 0..40 {
        chain = json!({"allOf": [chain]});
    }
    refused(chain, "more than 32 schemas to one value");
    refused(json!({"pattern": "^(a{1,1000}b){1,1000}$"}), "is no JSON Schema");
}

/// Runs on the stack that a thread of tokio has.
fn on_a_small_stack(check: impl FnOnce() + Send + 'static) {
    thread::Builder::new().stack_size(2 << 20).spawn(check).unwrap().join().unwrap();
}

#[test]
fn a_check_that_would_take_for_ever_is_ended() {
    on_a_small_stack(|| {
        // Each level of the input is looked at twice as often as the one above.
        let doubling = schema(json!({
            "anyOf": [
                {"properties": {"c": {"$ref": "#"}, "x": {"type": "string"}}, "required": ["x"]},
                {"properties": {"c": {"$ref": "#"}, "x": {"type": "string"}}, "required": ["x"]}
            ]
        }));
        let mut deep = json!({"x": 1});
        for _ in 0..60 {
            deep = json!({"c": deep, "x": "a"});
        }
        let begun = Instant::now();
        assert!(matches!(doubling.check(&deep, STEPS), Checked::TakesLonger));
        assert!(begun.elapsed() < Duration::from_secs(60));
        // And what comes next on this thread has its own steps.
        fits(&doubling, json!({"x": "a"}));

        let words: Vec<_> = (0..5_000).map(|n| json!(format!("word {n}"))).collect();
        let list = schema(json!({"items": {"enum": words}}));
        let many: Vec<_> = (0..100_000).map(|_| json!("word 4999")).collect();
        assert!(matches!(list.check(&json!(many), STEPS), Checked::TakesLonger));
    });
}

#[test]
fn deep_inputs_and_schemas_fit_a_small_stack() {
    on_a_small_stack(|| {
        let mut inner = json!({"properties": {"a": {"$ref": "#"}}});
        for _ in 0..15 {
            inner = json!({"allOf": [inner]});
        }
        let layered = schema(inner);
        let mut deep = json!({});
        for _ in 0..120 {
            deep = json!({"a": deep});
        }
        let Checked::Wrong { message, .. } = layered.check(&deep, STEPS) else { panic!("it is checked") };
        assert!(message.contains("nested more than"), "{message}");
        let mut less = json!({});
        for _ in 0..20 {
            less = json!({"a": less});
        }
        fits(&layered, less);

        let flat = schema(json!({"properties": {"a": {"$ref": "#"}}}));
        fits(&flat, deep);

        let mut long = serde_json::Map::new();
        for n in 0..450 {
            long.insert(format!("d{n}"), json!({"properties": {"a": {"$ref": format!("#/$defs/d{}", n + 1)}}}));
        }
        long.insert("d450".into(), json!({"type": "object"}));
        drop(schema(json!({"$ref": "#/$defs/d0", "$defs": long})));
    });
}
