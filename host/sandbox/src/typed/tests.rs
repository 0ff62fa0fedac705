//! Types are reflected from components that are made of WIT here; their functions are never called.

use serde_json::{Value, json};
use wasmtime::Engine;
use wasmtime::component::{Component, Val};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{ManglingAndAbi, Resolve};

use super::output::{self, Unwritten};
use super::shape::Shape;
use super::*;
use crate::check::Trial;
use crate::info::{ActionInfo, PluginInfo};
use crate::outcome::{Failure, FailureKind};

/// What a component with that WIT offers. The world is called `w`.
fn reflected(wit: &str, described: Option<&PluginInfo>) -> (Typed, Vec<ActionInfo>) {
    let mut resolve = Resolve::default();
    let package = resolve.push_source("test.wit", wit).unwrap_or_else(|error| panic!("{error:?}"));
    let world = resolve.select_world(&[package], Some("w")).expect("a world");
    let mut module = wit_component::dummy_module(&resolve, world, ManglingAndAbi::Standard32);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).expect("metadata");
    let bytes = ComponentEncoder::default().module(&module).and_then(|encoder| encoder.encode()).expect("a component");
    let engine = Engine::default();
    let component = Component::new(&engine, bytes).expect("a component");
    reflect(&engine, &component, described)
}

/// One function that takes and gives that type, among these.
fn function(types: &str, ty: &str) -> (std::sync::Arc<Function>, ActionInfo) {
    let wit = format!("package a:b; interface i {{ {types} f: func(x: {ty}) -> {ty}; }} world w {{ export i; }}");
    let (typed, mut actions) = reflected(&wit, None);
    (typed.functions.first().unwrap_or_else(|| panic!("{:?}", typed.exports)).clone(), actions.remove(0))
}

const TYPES: &str = "
    enum colour { red, dark-green }
    flags mode { read, write, run-it }
    record point { x: s32, y: s32, name: option<string> }
    variant shape { none, circle(u32), line(point), named(option<string>) }";

/// Of each type: what is taken and given back the same.
#[test]
fn every_type_goes_to_and_fro() {
    let cases: [(&str, &[Value]); 26] = [
        ("bool", &[json!(true), json!(false)]),
        ("u8", &[json!(0), json!(255)]),
        ("u16", &[json!(65_535)]),
        ("u32", &[json!(4_294_967_295u32)]),
        ("u64", &[json!(0), json!(u64::MAX), json!(9_007_199_254_740_993u64)]),
        ("s8", &[json!(-128), json!(127)]),
        ("s16", &[json!(-32_768)]),
        ("s32", &[json!(i32::MIN)]),
        ("s64", &[json!(i64::MIN), json!(i64::MAX)]),
        ("f32", &[json!(0.1), json!(-2.5), json!("NaN"), json!("Infinity")]),
        ("f64", &[json!(0.1), json!(1e300), json!(5e-324), json!("NaN"), json!("-Infinity")]),
        ("char", &[json!("a"), json!("é"), json!("🦀")]),
        ("string", &[json!(""), json!("a \"quoted\"\n line \u{1}")]),
        ("list<u8>", &[json!(""), json!("AAEC"), json!("/+8=")]),
        ("list<u16>", &[json!([]), json!([1, 2, 65_535])]),
        ("list<list<string>>", &[json!([["a"], [], ["b", "c"]])]),
        ("tuple<u8, string, bool>", &[json!([1, "x", true])]),
        ("option<u32>", &[json!(null), json!(3)]),
        ("option<option<u32>>", &[json!(null), json!({"some": null}), json!({"some": 3})]),
        ("result<u32, string>", &[json!({"ok": 1}), json!({"err": "no"})]),
        ("result<_, colour>", &[json!({"ok": null}), json!({"err": "dark-green"})]),
        ("tuple<result>", &[json!([{"ok": null}]), json!([{"err": null}])]),
        ("colour", &[json!("red"), json!("dark-green")]),
        ("mode", &[json!([]), json!(["read", "run-it"])]),
        ("point", &[json!({"x": 1, "y": -1, "name": null}), json!({"x": 1, "y": -1, "name": "p"})]),
        (
            "shape",
            &[
                json!("none"),
                json!({"circle": 3}),
                json!({"line": {"x": 0, "y": 0, "name": null}}),
                json!({"named": null}),
            ],
        ),
    ];
    for (ty, samples) in cases {
        let (function, info) = function(TYPES, ty);
        let schema = Trial::compile(info.input_schema.as_deref().expect("a schema"));
        for sample in samples {
            let input = json!({"x": sample});
            let values = read(&function.params, &input).unwrap_or_else(|fault| panic!("{ty}: {input}: {fault:?}"));
            let (_, shape) = &function.params[0];
            let given = output::write(Some(shape), Some(&values[0]), 10_000).expect("it is written");
            let given: Value = serde_json::from_slice(&given).expect("it is JSON");
            assert_eq!(&given, sample, "{ty}");
            assert!(schema.fits(&input), "{ty}: the schema refuses {input}");
        }
    }
}

#[test]
fn other_ways_to_write_the_same_are_taken() {
    let cases = [
        ("u8", json!(3.0), json!(3)),
        ("u64", json!("18446744073709551615"), json!(u64::MAX)),
        ("s64", json!("-9223372036854775808"), json!(i64::MIN)),
        ("list<u8>", json!("/+8"), json!("/+8=")),
        ("f64", json!(1), json!(1.0)),
        ("point", json!({"x": 1, "y": 2}), json!({"x": 1, "y": 2, "name": null})),
    ];
    for (ty, input, expect) in cases {
        let (function, info) = function(TYPES, ty);
        let input = json!({"x": input});
        let values = read(&function.params, &input).unwrap_or_else(|fault| panic!("{ty}: {fault:?}"));
        let given = output::write(Some(&function.params[0].1), Some(&values[0]), 1_000).expect("it is written");
        assert_eq!(serde_json::from_slice::<Value>(&given).expect("JSON"), expect);
        assert!(Trial::compile(info.input_schema.as_deref().expect("a schema")).fits(&input), "{ty}: {input}");
    }
}

#[test]
fn what_does_not_fit_is_refused_with_its_place_and_by_the_schema_too() {
    let cases = [
        ("u8", json!(256), "/x", "a whole number from 0 to 255 (u8) is needed, not 256"),
        ("u8", json!(1.5), "/x", "not 1.5"),
        ("u8", json!("3"), "/x", "not \"3\""),
        ("s64", json!("1e3"), "/x", "a whole number"),
        ("u64", json!(-1), "/x", "a whole number"),
        ("f32", json!("big"), "/x", "a number is needed"),
        ("bool", json!(1), "/x", "true or false"),
        ("char", json!("ab"), "/x", "one character"),
        ("char", json!(""), "/x", "one character"),
        ("string", json!(null), "/x", "a text is needed, not null"),
        ("list<u8>", json!([1, 2]), "/x", "base64"),
        ("list<string>", json!(["a", 2]), "/x/1", "a text"),
        ("tuple<u8, string>", json!([1]), "/x", "a list of 2 values"),
        ("tuple<u8, string>", json!([1, 2]), "/x/1", "a text"),
        ("option<u8>", json!(-1), "/x", "a whole number"),
        ("option<option<u8>>", json!(1), "/x", "null or an object of the one key `some`"),
        ("option<option<u8>>", json!({"some": "x"}), "/x/some", "a whole number"),
        ("result<u8, string>", json!({"no": 1}), "/x", "`ok` or `err`"),
        ("result<u8, string>", json!({"err": 1}), "/x/err", "a text"),
        ("colour", json!("blue"), "/x", "one of red, dark-green is needed, not \"blue\""),
        ("mode", json!(["read", "fly"]), "/x/1", "one of read, write, run-it"),
        ("mode", json!(["read", "read"]), "/x/1", "there twice"),
        ("point", json!({"x": 1}), "/x", "the field `y` is missing"),
        ("point", json!({"x": 1, "y": 2, "z/~": 3}), "/x/z~1~0", "there is no such field; there is x, y, name"),
        ("point", json!({"x": 1, "y": "two"}), "/x/y", "a whole number"),
        ("shape", json!("circle"), "/x", "the case `circle` has a value"),
        ("shape", json!({"none": null}), "/x", "the case `none` has no value"),
        ("shape", json!({"square": 1}), "/x", "one of none, circle, line, named"),
        ("shape", json!({"circle": -1}), "/x/circle", "a whole number"),
        ("shape", json!({"circle": 1, "none": 1}), "/x", "one key"),
    ];
    for (ty, input, pointer, message) in cases {
        let (function, info) = function(TYPES, ty);
        let input = json!({"x": input});
        let fault = read(&function.params, &input).expect_err(ty);
        assert_eq!(fault.pointer(), pointer, "{ty}: {fault:?}");
        let failure = fault.into_failure("f");
        assert!(failure.message.contains(message), "{ty}: {failure}");
        let schema = Trial::compile(info.input_schema.as_deref().expect("a schema"));
        assert!(!schema.fits(&input), "{ty}: the schema takes {input}");
    }
    let (function, _) = function(TYPES, "u8");
    for (input, pointer, message) in [
        (json!([1]), "", "an object of the parameters (x) is needed, not a list"),
        (json!({}), "", "the parameter `x` is missing"),
        (json!({"x": 1, "y": 2}), "/y", "there is no such parameter; there is x"),
    ] {
        let fault = read(&function.params, &input).expect_err("it is refused");
        assert_eq!(fault.pointer(), pointer);
        assert!(fault.into_failure("f").message.contains(message));
    }
}

#[test]
fn base64_and_f32_are_held_to_what_they_can_hold() {
    let (bytes, _) = function("", "list<u8>");
    for text in ["a", "####", "AAE="] {
        let read = read(&bytes.params, &json!({"x": text}));
        assert_eq!(read.is_ok(), text == "AAE=", "{text}");
    }
    let (narrow, _) = function("", "f32");
    let fault = read(&narrow.params, &json!({"x": 1e300})).expect_err("it is too large");
    assert!(fault.into_failure("f").message.contains("range of f32"));
}

#[test]
fn inputs_and_outputs_are_bounded() {
    let (function, _) = function("", "list<u8>");
    let text = "AAAA".repeat(MAX_VALUES / 3 + 2);
    let fault = read(&function.params, &json!({"x": text})).expect_err("it is too large");
    assert_eq!(fault.pointer(), "/x");
    assert!(fault.into_failure("f").message.contains("more than 1048576 values"));

    let long = Val::List(vec![Val::U8(1); 100]);
    assert_eq!(output::write(Some(&Shape::Bytes), Some(&long), 50), Err(Unwritten::TooLong(100)));
    let text = Val::String("x".repeat(100));
    assert!(matches!(output::write(Some(&Shape::String), Some(&text), 50), Err(Unwritten::TooLong(_))));
    assert_eq!(output::write(Some(&Shape::String), Some(&Val::Bool(true)), 50), Err(Unwritten::OtherType));
}

#[test]
fn functions_are_actions_by_their_name_or_with_their_interface() {
    let wit = "package acme:imaging@1.2.3;
        interface resize { fit: func(width: u32) -> string; info: func() -> string; crop: func(); }
        interface web { info: func() -> string; resize-it: func(); }
        world w { export resize; export web; export alone: func(x: u8); }";
    let (typed, actions) = reflected(wit, None);
    let names: Vec<_> = actions.iter().map(|action| action.name.as_str()).collect();
    assert_eq!(names, ["fit", "resize-info", "crop", "web-info", "resize-it"]);
    assert_eq!(actions[0].summary, "Calls `fit` of acme:imaging/resize@1.2.3.");
    let input: Value = serde_json::from_str(actions[0].input_schema.as_deref().expect("a schema")).expect("JSON");
    assert_eq!(input["properties"]["width"]["maximum"], json!(u32::MAX));
    assert_eq!(input["required"], json!(["width"]));
    assert_eq!(actions[2].output_schema.as_deref(), Some(r#"{"type":"null"}"#));

    let info = named_by_package(&typed, actions.clone()).expect("it has a package");
    assert_eq!((info.name.as_str(), info.version.as_str()), ("imaging", "1.2.3"));
    assert_eq!(info.summary, "The functions of acme:imaging/resize, acme:imaging/web.");
    info.check().expect("it keeps the rules");

    // What `describe` lists keeps its name.
    let mut described = info;
    described.actions.retain(|action| action.name == "fit");
    let (typed, actions) = reflected(wit, Some(&described));
    assert!(actions.iter().any(|action| action.name == "resize-fit"));
    assert!(typed.function("resize-fit").is_some() && typed.function("fit").is_none());
    described.actions[0].name = "crop".into();
    described.actions.push(ActionInfo { name: "resize-crop".into(), ..described.actions[0].clone() });
    let (typed, _) = reflected(wit, Some(&described));
    let left_out = |function: &str| {
        let export = typed.exports.iter().find(|export| export.function == function).expect("it is exported");
        export.left_out.clone().unwrap_or_default()
    };
    assert_eq!(left_out("crop"), "another action is called `resize-crop`");
    assert_eq!(left_out("alone"), "it belongs to no interface of a package");
}

#[test]
fn what_cannot_be_an_action_is_left_out_with_the_reason() {
    let wit = "package a:b; interface i {
            resource blob { constructor(); size: func() -> u32; }
            open: func(name: string) -> blob;
            plain: func();
        } world w { export i; }";
    let (typed, actions) = reflected(wit, None);
    assert_eq!(actions.iter().map(|action| action.name.as_str()).collect::<Vec<_>>(), ["plain"]);
    let left: Vec<_> = typed.exports.iter().filter(|export| export.action.is_none()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
    for export in left {
        assert!(export.left_out.as_deref().is_some_and(|why| why.contains("resource")), "{export:?}");
    }
}

#[test]
fn types_that_grow_without_bound_are_left_out() {
    let doubling: String = (1..14).map(|n| format!("record r{n} {{ a: r{}, b: r{} }} ", n - 1, n - 1)).collect();
    let wit = format!(
        "package a:b; interface i {{ record r0 {{ x: u8 }} {doubling} f: func(x: r13); g: func(); }} world w {{ export i; }}"
    );
    let (typed, actions) = reflected(&wit, None);
    assert_eq!(actions.len(), 1);
    assert_eq!(typed.exports[0].left_out.as_deref(), Some("it has more than 2000 types"));
    // Each line less would be few enough types, and still a long schema.
    let names: String = (0..900).map(|n| format!("a-field-with-a-long-name-{n}: u64, ")).collect();
    let wit = format!(
        "package a:b; interface i {{ record r {{ {names} }} f: func(x: r); g: func(); }} world w {{ export i; }}"
    );
    let (typed, _) = reflected(&wit, None);
    let why = typed.exports[0].left_out.as_deref().expect("it is left out");
    assert!(why.contains("JSON schema has"), "{why}");
}

fn refused(types: &str, ty: &str, error: &Value) -> Failure {
    let (function, _) = function(types, ty);
    let values = read(&function.params, &json!({"x": error})).unwrap_or_else(|fault| panic!("{fault:?}"));
    call::refusal(Some(&function.params[0].1), Some(&values[0]))
}

#[test]
fn an_error_tells_kind_code_and_message() {
    let types = "
        record failure { message: string, code: option<string>, pointer: option<string> }
        variant task-error { unknown-action, invalid-input(failure), retryable(tuple<failure, option<u64>>), permanent(failure), cancelled }
        variant mine { not-found, too-large(u64), bad-name(string), retryable(string) }
        enum plain { not-found, cancelled }";
    let told = |ty: &str, error: Value| {
        let failure = refused(types, ty, &error);
        (failure.kind, failure.code.clone().unwrap_or_default(), failure.message)
    };
    let permanent = FailureKind::Permanent;
    assert_eq!(told("string", json!("no")), (permanent, String::new(), "no".into()));
    assert_eq!(told("u32", json!(7)), (permanent, String::new(), "7".into()));
    assert_eq!(told("plain", json!("not-found")), (permanent, "not-found".into(), "not-found".into()));
    assert_eq!(told("plain", json!("cancelled")).0, FailureKind::Cancelled);
    assert_eq!(told("mine", json!("not-found")), (permanent, "not-found".into(), "not-found".into()));
    assert_eq!(told("mine", json!({"too-large": 9})), (permanent, "too-large".into(), "too-large: 9".into()));
    assert_eq!(told("mine", json!({"bad-name": "x!"})), (permanent, "bad-name".into(), "x!".into()));
    assert_eq!(told("mine", json!({"retryable": "later"})), (FailureKind::Retryable, String::new(), "later".into()));

    let failure = json!({"message": "the width is 0", "code": "bad-width", "pointer": "/width"});
    let invalid = refused(types, "task-error", &json!({"invalid-input": failure}));
    assert_eq!((invalid.kind, invalid.message.as_str()), (FailureKind::InvalidInput, "the width is 0"));
    assert_eq!((invalid.code.as_deref(), invalid.pointer.as_deref()), (Some("bad-width"), Some("/width")));
    let later = refused(types, "task-error", &json!({"retryable": [{"message": "busy"}, 1500]}));
    assert_eq!((later.kind, later.message.as_str()), (FailureKind::Retryable, "busy"));
    assert_eq!(later.retry_after, Some(std::time::Duration::from_millis(1500)));
    assert_eq!(refused(types, "task-error", &json!("unknown-action")).kind, FailureKind::UnknownAction);
    assert!(call::refusal(None, None).message.contains("says no more"));
}
