//! Typed exports called from JSON, beside `actions` and without it, and inputs that are checked before a guest sees them.

use std::time::Duration;

use akita_sandbox::{Failure, FailureKind, Job, Limits, LoadError, Mode};
use serde_json::{Value, json};

use crate::guests::{ECHO, Guest, resizer};
use crate::{config, load, run, shared};

/// One that has that interface alone.
fn alone() -> Guest {
    Guest {
        wit_edits: vec![("export actions; }", "export acme:imaging/resize@1.2.0; }")],
        wat_edits: vec![
            ("(export \"akita:plugin/actions@0.1.0#describe\")", ""),
            ("(export \"akita:plugin/actions@0.1.0#run\")", ""),
        ],
        ..resizer()
    }
}

fn job(action: &str, input: &Value) -> Job {
    Job::new(action, "application/json", input.to_string().into_bytes())
}

/// One call of the plugin that has no `actions`.
async fn call(action: &str, input: Value) -> Result<Value, Failure> {
    let content = run(&load(&alone().component()), job(action, &input)).await?;
    assert_eq!(content.content_type, "application/json");
    Ok(serde_json::from_slice(&content.body).expect("the output is JSON"))
}

#[tokio::test]
async fn functions_of_another_interface_are_called_from_json() {
    assert_eq!(call("twice", json!({"x": 21})).await, Ok(json!(42)));
    let fit = json!({"image": "AAEC", "into": {"width": 640, "height": null}});
    assert_eq!(call("fit", fit).await, Ok(json!("AAEC")));
    assert_eq!(call("fit", json!({"image": "", "into": {"width": 1000}})).await, Ok(json!("")));
}

#[tokio::test]
async fn without_actions_the_package_gives_name_and_version() {
    let component = alone().component();
    for _ in 0..2 {
        // The second comes from the cache.
        let plugin = shared().load_bytes(&component).unwrap();
        assert_eq!((plugin.name(), plugin.info().version.as_str()), ("imaging", "1.2.0"));
        let actions: Vec<_> = plugin.info().actions.iter().map(|action| action.name.as_str()).collect();
        assert_eq!(actions, ["fit", "twice", "spin", "crash"]);
        let schema: Value = serde_json::from_str(plugin.info().actions[0].input_schema.as_deref().unwrap()).unwrap();
        assert_eq!(schema["properties"]["into"]["required"], json!(["width"]));
        let fit = &plugin.typed_exports()[0];
        assert_eq!((fit.interface.as_str(), fit.function.as_str()), ("acme:imaging/resize@1.2.0", "fit"));
        assert_eq!(fit.action.as_deref(), Some("fit"));
    }
}

#[tokio::test]
async fn beside_actions_both_are_there() {
    let component = resizer().component();
    for _ in 0..2 {
        let plugin = load(&component);
        assert_eq!(plugin.name(), "guest");
        let actions: Vec<_> = plugin.info().actions.iter().map(|action| action.name.as_str()).collect();
        assert_eq!(actions, ["run", "fit", "twice", "spin", "crash"]);
        assert_eq!(run(&plugin, job("twice", &json!({"x": 4}))).await.unwrap().body, b"8");
        assert_eq!(run(&plugin, job("run", &json!([1]))).await.unwrap().body, b"[1]");
    }
}

#[tokio::test]
async fn what_does_not_fit_never_reaches_the_guest() {
    let cases = [
        ("twice", json!({}), "", "the parameter `x` is missing"),
        ("twice", json!({"x": -1}), "/x", "0 to 4294967295 (u32)"),
        ("twice", json!({"x": 1, "y": 2}), "/y", "no such parameter"),
        ("fit", json!({"image": "AAEC", "into": {"width": "wide"}}), "/into/width", "a whole number"),
        ("crash", json!([]), "", "an object of the parameters"),
    ];
    for (action, input, pointer, words) in cases {
        let failure = call(action, input).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::InvalidInput, "{failure}");
        assert_eq!(failure.pointer.as_deref(), Some(pointer), "{failure}");
        assert!(failure.message.contains(words), "{failure}");
    }
    let plugin = load(&alone().component());
    let failure = run(&plugin, Job::new("twice", "text/plain", b"x".to_vec())).await.unwrap_err();
    assert!(failure.message.contains("a JSON object of its parameters, not text/plain"), "{failure}");
    let failure = run(&plugin, Job::new("twice", "application/json", b"{\"x\":".to_vec())).await.unwrap_err();
    assert!(failure.message.contains("not JSON"), "{failure}");
}

#[tokio::test]
async fn an_error_of_the_function_is_permanent_with_its_case_as_the_code() {
    let none = call("fit", json!({"image": "", "into": {"width": 0}})).await.unwrap_err();
    assert_eq!((none.kind, none.code.as_deref()), (FailureKind::Permanent, Some("not-an-image")));
    let large = call("fit", json!({"image": "", "into": {"width": 5000}})).await.unwrap_err();
    assert_eq!((large.kind, large.code.as_deref()), (FailureKind::Permanent, Some("too-large")));
    assert_eq!(large.message, "too-large: 5000");
}

#[tokio::test]
async fn limits_hold_for_typed_calls_too() {
    let plugin = load(&alone().component());
    let limits = Limits { timeout: Duration::from_millis(50), ..Limits::default() };
    let failure = run(&plugin, Job { limits, ..job("spin", &json!({})) }).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::TimeLimit, "{failure}");
    let failure = run(&plugin, job("crash", &json!({}))).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Trap, "{failure}");
    let limits = Limits { output_bytes: 100, ..Limits::default() };
    let fit = json!({"image": "AAAA".repeat(40), "into": {"width": 1}});
    let failure = run(&plugin, Job { limits, ..job("fit", &fit) }).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::OutputLimit, "{failure}");
}

/// A plugin whose one action takes an object with a small whole number in `n`.
fn with_schema(schema: &Value) -> Guest {
    Guest { schema: Some(schema.to_string()), run: ECHO.into(), ..Guest::default() }
}

#[tokio::test]
async fn an_input_is_held_to_the_schema_of_its_action() {
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer", "maximum": 9}}, "required": ["n"]});
    let plugin = load(&with_schema(&schema).component());
    assert_eq!(run(&plugin, job("run", &json!({"n": 9}))).await.unwrap().body, br#"{"n":9}"#);
    let failure = run(&plugin, job("run", &json!({"n": 10}))).await.unwrap_err();
    assert_eq!((failure.kind, failure.pointer.as_deref()), (FailureKind::InvalidInput, Some("/n")));
    assert_eq!(failure.message, "the input does not fit `run`: at /n: 10 is greater than the maximum of 9");
    // The schema is for JSON: other bytes are the plugin's own business.
    assert_eq!(run(&plugin, Job::new("run", "text/plain", b"x".to_vec())).await.unwrap().body, b"x");
    // One that is too large to be looked at on the way is held to it as well.
    let long = json!({"n": 1, "text": "x".repeat(100_000)});
    assert!(run(&plugin, job("run", &long)).await.is_ok());
    let long = json!({"n": "one", "text": "x".repeat(100_000)});
    let failure = run(&plugin, job("run", &long)).await.unwrap_err();
    assert_eq!(failure.pointer.as_deref(), Some("/n"));
}

#[tokio::test]
async fn the_same_answer_is_given_before_a_run() {
    let plugin = load(&alone().component());
    let small = |body: &[u8]| plugin.check_input_quickly("twice", "application/json", body).expect("it is quick");
    assert_eq!(small(br#"{"x":1}"#), Ok(()));
    assert_eq!(small(br#"{"x":"1"}"#).unwrap_err().pointer.as_deref(), Some("/x"));
    let large = json!({"image": "AAAA".repeat(10_000), "into": {"width": 1}}).to_string();
    assert!(plugin.check_input_quickly("fit", "application/json", large.as_bytes()).is_none());
    assert_eq!(plugin.check_input("fit", "application/json", large.as_bytes()), Ok(()));
    // An action that the plugin does not have is somebody else's to refuse.
    assert_eq!(plugin.check_input("none", "application/json", b"{}"), Ok(()));
}

#[test]
fn a_schema_that_is_none_or_looks_elsewhere_is_refused_when_loaded() {
    let cases = [
        (json!({"type": "whatever"}), "input schema is no JSON Schema 2020-12 at /type"),
        (json!({"$ref": "https://example.org/schema.json"}), "only what lies in the schema itself"),
        (json!({"$ref": "file:///etc/passwd"}), "only what lies in the schema itself"),
        (json!({"$ref": "#/$defs/none"}), "where it has no schema"),
        (json!({"$ref": "#"}), "refers to itself in a circle"),
        (json!({"pattern": "("}), "input schema is no JSON Schema"),
    ];
    for (schema, words) in cases {
        let error = shared().load_bytes(&with_schema(&schema).component()).unwrap_err();
        assert!(matches!(error, LoadError::BadDescription(_)), "{error}");
        assert!(error.to_string().contains("action `run`"), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn an_interface_that_has_nothing_to_call_is_refused_with_the_reason() {
    let component = Guest {
        packages: vec![
            "package acme:imaging@1.2.0; interface resize { resource picture { constructor(); } open: func() -> picture; }",
        ],
        wat_items: r#"
          (func (export "acme:imaging/resize@1.2.0#open") (result i32) (unreachable))
          (func (export "acme:imaging/resize@1.2.0#[constructor]picture") (result i32) (unreachable))"#
            .into(),
        ..alone()
    };
    let error = shared().load_bytes(&component.component()).unwrap_err();
    assert!(matches!(error, LoadError::WrongWorld(_)), "{error}");
    assert!(error.to_string().contains("no function in it can be an action"), "{error}");
    assert!(error.to_string().contains("resource"), "{error}");
}

#[tokio::test]
async fn a_start_function_that_loops_costs_a_typed_call_its_time_and_no_more() {
    let mut guest = alone();
    guest.wat_items.push_str("(func $start (loop $forever (br $forever))) (start $start)");
    let dir = tempfile::TempDir::new().unwrap();
    let sandbox = akita_sandbox::Sandbox::new(config(dir.path().join("cache"))).unwrap();
    // Nothing has to be called to know what it offers.
    let plugin = sandbox.load_bytes(&guest.component()).unwrap();
    let limits = Limits { timeout: Duration::from_millis(50), ..Limits::default() };
    let failure = sandbox.run(plugin, Job { limits, ..job("twice", &json!({"x": 1})) }).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::TimeLimit, "{failure}");
}

#[tokio::test]
async fn typed_exports_run_in_deterministic_mode_too() {
    // Compiled anew for the mode, where each function lies elsewhere: alone, and beside `actions`.
    let mode = Mode::Deterministic { time: Duration::from_secs(10) };
    for guest in [alone(), resizer()] {
        let plugin = load(&guest.component());
        let twice = Job { mode, ..job("twice", &json!({"x": 21})) };
        assert_eq!(run(&plugin, twice).await.unwrap().body, b"42");
        let short = Mode::Deterministic { time: Duration::from_millis(20) };
        let endless = Job { mode: short, ..job("spin", &json!({})) };
        assert_eq!(run(&plugin, endless).await.unwrap_err().kind, FailureKind::FuelLimit);
    }
    let plugin = load(&resizer().component());
    assert_eq!(run(&plugin, Job { mode, ..crate::job(b"bytes") }).await.unwrap().body, b"bytes");
}
