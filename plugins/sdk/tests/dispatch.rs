//! The way from a request to an answer, with the fakes of the node.

use akita_plugin::prelude::*;
use akita_plugin::testing::Harness;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Deserialize, Schema)]
struct Add {
    a: i64,
    b: i64,
}

#[derive(Schema, Serialize)]
struct Sum {
    sum: i64,
}

fn add(input: Add) -> Result<Sum, TaskError> {
    let sum = input.a.checked_add(input.b);
    sum.map(|sum| Sum { sum }).ok_or_else(|| TaskError::permanent("the sum is too large").code("overflow"))
}

fn length(input: Content) -> Result<u64, TaskError> {
    Ok(input.body.len() as u64)
}

fn upper(mut input: Content) -> Result<Content, TaskError> {
    input.body.make_ascii_uppercase();
    Ok(input)
}

fn patient(_: Content) -> Result<Content, TaskError> {
    for step in 0..3 {
        task::check()?;
        log::debug("step", &[("number", &step)]);
        task::progress(step, 3, "working");
        task::emit(b"chunk").map_err(TaskError::permanent)?;
    }
    match task::attempt() {
        1 => Err(TaskError::retryable("not yet").after_ms(task::remaining_ms())),
        _ => Ok(Content::new("text/plain", task::id())),
    }
}

akita_plugin::plugin! {
    name: "sample",
    summary: "For tests.",
    actions: {
        "add" => add { summary: "Adds.", idempotent: true, deterministic: true, typical_ms: 1 },
        "length" => length { summary: "Counts bytes." },
        "upper" => upper { summary: "Shouts.", requires: ["voice"], output_schema: r#"{"type":"string"}"# },
        "patient" => patient { summary: "Takes its time.", },
    },
    provides: ["sampling"],
}

#[test]
fn a_plugin_describes_itself() {
    let info = Harness::new(&PLUGIN).describe();
    assert_eq!((info.name.as_str(), info.version.as_str()), ("sample", env!("CARGO_PKG_VERSION")));
    assert_eq!(info.provides, ["sampling"]);
    let [add, length, upper, patient] = &info.actions[..] else { panic!("four actions") };
    assert!(add.idempotent && add.deterministic && add.typical_ms == Some(1));
    let schema: Value = serde_json::from_str(add.input_schema.as_deref().unwrap()).unwrap();
    assert_eq!(schema["required"], json!(["a", "b"]));
    assert_eq!((length.input_schema.as_deref(), length.idempotent), (None, false));
    assert!(length.output_schema.as_deref().unwrap().contains("integer"));
    assert_eq!(
        (upper.requires.as_slice(), upper.output_schema.as_deref()),
        (&["voice".into()][..], Some(r#"{"type":"string"}"#))
    );
    assert_eq!((&patient.input_schema, &patient.output_schema), (&None, &None));
}

#[test]
fn types_and_bytes_are_dispatched() {
    let harness = Harness::new(&PLUGIN);
    let sum: Value = harness.json("add", r#"{"a":1,"b":2}"#).value();
    assert_eq!(sum, json!({ "sum": 3 }));
    assert_eq!(harness.json("length", "[]").text(), "2");
    let shouted = harness.run("upper", Content::new("text/plain", "hey"));
    assert_eq!(shouted.output(), &Content::new("text/plain", "HEY"));
}

#[test]
fn errors_reach_the_submitter_as_they_are() {
    let harness = Harness::new(&PLUGIN);
    let wrong = harness.json("add", r#"{"a":1,"b":"2"}"#);
    let failure = wrong.failure();
    assert_eq!(
        (failure.message.as_str(), failure.code.as_deref(), failure.pointer.as_deref()),
        ("`b` must be a whole number", Some("bad-input"), Some("/b"))
    );
    assert_eq!(
        harness.run("add", Content::new("text/plain", "1+2")).failure().code.as_deref(),
        Some("bad-content-type")
    );
    assert!(matches!(harness.json("add", &format!(r#"{{"a":{},"b":1}}"#, i64::MAX)).error(), TaskError::Permanent(_)));
    assert_eq!(harness.json("ad", "{}").error(), &TaskError::UnknownAction);
}

#[test]
fn what_a_plugin_says_is_recorded() {
    let harness = Harness::new(&PLUGIN).remaining_ms(40);
    let first = harness.json("patient", "");
    assert!(matches!(first.error(), TaskError::Retryable((_, Some(40)))), "{:?}", first.error());
    assert_eq!((first.lines.len(), first.progress[2].done, first.emitted.len()), (3, 2, 15));
    assert_eq!(first.lines[1].fields, [("number".to_owned(), "1".to_owned())]);
    assert_eq!(harness.clone().attempt(2).json("patient", "").text(), "test");
    let cancelled = harness.clone().cancel_after(1).json("patient", "");
    assert_eq!((cancelled.error(), cancelled.lines.len()), (&TaskError::Cancelled, 1));
    assert!(harness.emit_limit(7).json("patient", "").failure().message.contains("limit"));
}
