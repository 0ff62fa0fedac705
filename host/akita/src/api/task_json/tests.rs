//! Forms, faults with their places, and anything at all as input.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;

use super::{Limits, MAX_BATCH, Submission, SubmitError, parse};
use crate::view::NewTask;

const LIMITS: Limits = Limits { max_input_bytes: 64, max_timeout: Duration::from_secs(300) };

fn one(body: &str) -> NewTask {
    let Submission { mut tasks, batch, .. } =
        parse(body.as_bytes(), &LIMITS).unwrap_or_else(|error| panic!("{body}: {error}"));
    assert!(!batch && tasks.len() == 1);
    tasks.pop().expect("one")
}

/// Checks the message and the pointer of the fault.
fn fails(body: &str, message: &str, pointer: &str) {
    let error = parse(body.as_bytes(), &LIMITS).expect_err(body);
    assert_eq!((error.to_string().as_str(), error.pointer()), (message, Some(pointer)), "{body}");
}

fn syntax(body: &str, message: &str) {
    let error = parse(body.as_bytes(), &LIMITS).expect_err(body);
    assert!(matches!(error, SubmitError::Syntax { .. }));
    assert_eq!(error.to_string(), format!("the body does not parse: {message}"), "{body}");
}

#[test]
fn where_a_task_may_run_is_said_in_one_of_two_words() {
    assert!(one(r#"{"action":"log","where":"island","message":"x"}"#).island);
    assert!(!one(r#"{"action":"log","where":"cluster"}"#).island);
    let island = one(r#"{"task_data":{"action":"log","where":"island","message":"x"}}"#);
    assert!(island.island && island.input == br#"{"message":"x"}"#);
    for bad in [r#""nowhere""#, "1", "null", r#"["island"]"#] {
        let error = parse(format!(r#"{{"action":"log","where":{bad}}}"#).as_bytes(), &LIMITS).unwrap_err();
        assert!(error.to_string().contains("`cluster` or `island`"), "{error}");
    }
}

#[test]
fn both_forms_give_the_same_task() {
    let task = NewTask {
        action: "log".into(),
        required: vec!["gpu".into(), "net".into()],
        priority: 3,
        timeout_ms: Some(1_500),
        content_type: "application/json".into(),
        input: br#"{"message":"hello","level":"info"}"#.into(),
        deterministic: false,
        island: false,
    };
    let keys = r#""action":"log","required_capabilities":["net","gpu","net"],"timeout_s":1.5"#;
    for body in [
        format!(r#"{{{keys},"message":"hello","level":"info","priority":3}}"#),
        format!(r#"{{"task_data":{{{keys},"message":"hello","level":"info"}},"priority":3}}"#),
        format!(r#"{{"priority":3,"task_data":{{{keys},"message":"hello","priority":3,"level":"info"}}}}"#),
        format!(r#"{{"task_data":{{"input":{{"message":"hello","level":"info"}},{keys},"priority":3}}}}"#),
    ] {
        assert_eq!(one(&body), task, "{body}");
    }
}

#[test]
fn a_task_may_be_deterministic() {
    let task = one(r#"{"action":"echo","deterministic":true,"x":1}"#);
    assert!(task.deterministic && task.input == br#"{"x":1}"#);
    assert!(!one(r#"{"action":"echo","deterministic":false}"#).deterministic);
    let message = "/deterministic must be true or false, not \"yes\"";
    fails(r#"{"action":"echo","deterministic":"yes"}"#, message, "/deterministic");
}

#[test]
fn a_task_needs_no_more_than_an_action() {
    let task = one(r#" {"action":"echo"} "#);
    assert_eq!((task.priority, task.timeout_ms, task.input.as_slice()), (10, None, &b"{}"[..]));
    assert!(task.required.is_empty());
}

#[test]
fn any_json_may_be_the_input_and_keeps_its_digits() {
    for (written, kept) in [
        ("null", "null"),
        ("\"text\"", "\"text\""),
        ("[1, 2]", "[1,2]"),
        ("1.10000000000000000001", "1.10000000000000000001"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        (r#"{ "a b" : "c \" d\\" , "e" : 1e400 }"#, r#"{"a b":"c \" d\\","e":1e400}"#),
    ] {
        assert_eq!(one(&format!(r#"{{"action":"echo","input":{written}}}"#)).input, kept.as_bytes());
        let gathered = format!(r#"{{"x":{kept}}}"#);
        assert_eq!(one(&format!(r#"{{"x" : {written}, "action":"echo"}}"#)).input, gathered.as_bytes());
    }
}

#[test]
fn bytes_come_as_base64_with_their_type() {
    let task = one(r#"{"action":"image/fit","input_base64":"/+8AAQ==","content_type":"image/jpeg"}"#);
    assert_eq!((task.content_type.as_str(), task.input.as_slice()), ("image/jpeg", &[0xff, 0xef, 0, 1][..]));
    assert_eq!(one(r#"{"action":"a","input_base64":"/+8AAQ","content_type":"a/b"}"#).input, [0xff, 0xef, 0, 1]);
    fails(
        r#"{"action":"a","input_base64":"AAAA"}"#,
        "the body lacks `content_type`: the media type of `input_base64`, such as `image/jpeg`",
        "",
    );
    fails(
        r#"{"action":"a","input_base64":"A*","content_type":"a/b"}"#,
        "/input_base64 must be a text in base64, not one with a fault (invalid symbol 42, offset 1.)",
        "/input_base64",
    );
    fails(
        r#"{"action":"a","input_base64":"AAAA","content_type":"jpeg"}"#,
        "/content_type: `jpeg` is no media type, such as `application/json`",
        "/content_type",
    );
}

#[test]
fn what_does_not_fit_together_is_refused_by_name() {
    fails(
        r#"{"action":"a","input":{},"messages":1}"#,
        "/messages cannot be taken: it is no key of a task, and the input is given as a whole",
        "/messages",
    );
    fails(
        r#"{"action":"a","input":1,"input_base64":"","content_type":"a/b"}"#,
        "/input_base64 cannot be taken: `input` is given too",
        "/input_base64",
    );
    fails(
        r#"[{"task_data":{"action":"a","content_type":"text/csv"}}]"#,
        "/0/task_data/content_type cannot be taken: it says what `input_base64` holds, and there is none",
        "/0/task_data/content_type",
    );
    fails(
        r#"{"task_data":{"action":"a"},"a/b~":1}"#,
        "/a~1b~0 cannot be taken: `task_data` is given, and only `priority` may stand beside it",
        "/a~1b~0",
    );
    fails(
        r#"{"task_data":{"action":"a","priority":1},"priority":2}"#,
        "/task_data/priority is 1, and the priority beside `task_data` is 2: give one of them",
        "/task_data/priority",
    );
}

#[test]
fn values_of_the_wrong_kind_are_told_with_their_place() {
    let priority = "must be a whole number from 0 to 255, not";
    for value in ["256", "-1", "1.5", "10.0", "\"5\"", "null", "[]"] {
        let message = format!("/priority {priority} {value}");
        fails(&format!(r#"{{"action":"a","priority":{value}}}"#), &message, "/priority");
    }
    let timeout = "must be a number of seconds over 0 and up to 300, the node's WORKER_PROCESSING_TIMEOUT_S, not";
    for value in ["0", "-1", "300.001", "1e400", "\"5\"", "null"] {
        let message = format!("/timeout_s {timeout} {value}");
        fails(&format!(r#"{{"action":"a","timeout_s":{value}}}"#), &message, "/timeout_s");
    }
    let cases = [
        ("{}", "the body lacks `action`: the action to run", ""),
        (r#"[{"action":"a"},{}]"#, "/1 lacks `action`: the action to run", "/1"),
        (r#"{"action":7}"#, "/action must be a text, not 7", "/action"),
        ("7", "the body must be a task: a JSON object, not 7", ""),
        ("[[]]", "/0 must be a task: a JSON object, not []", "/0"),
        ("[]", "the body must be a list of 1 to 10000 tasks, not an empty one", ""),
        (r#"{"task_data":"a"}"#, r#"/task_data must be a task: a JSON object, not "a""#, "/task_data"),
        (
            r#"{"action":"a","required_capabilities":"gpu"}"#,
            r#"/required_capabilities must be a list of texts, not "gpu""#,
            "/required_capabilities",
        ),
        (
            r#"{"action":"a","required_capabilities":[1]}"#,
            "/required_capabilities must be a list of texts, not [1]",
            "/required_capabilities",
        ),
    ];
    for (body, message, pointer) in cases {
        fails(body, message, pointer);
    }
}

#[test]
fn the_rules_of_the_core_hold_with_their_place() {
    for (body, pointer) in [
        (r#"{"action":""}"#, "/action"),
        (r#"[{"action":"a b"}]"#, "/0/action"),
        (r#"{"action":"a","required_capabilities":["g pu"]}"#, "/required_capabilities"),
    ] {
        let error = parse(body.as_bytes(), &LIMITS).expect_err(body);
        assert!(matches!(error, SubmitError::Spec { .. }), "{error}");
        assert_eq!(error.pointer(), Some(pointer));
    }
    let many: Vec<String> = (0..17).map(|n| format!("\"c{n}\"")).collect();
    let body = format!(r#"{{"action":"a","required_capabilities":[{}]}}"#, many.join(","));
    fails(
        &body,
        "/required_capabilities: a task may require at most 16 capabilities, not 17",
        "/required_capabilities",
    );
}

#[test]
fn time_limits_are_milliseconds_rounded_up() {
    for (seconds, milliseconds) in [("300", 300_000), ("0.0001", 1), ("1e-300", 1), ("0.0015", 2), ("2.5", 2_500)] {
        let task = one(&format!(r#"{{"action":"a","timeout_s":{seconds}}}"#));
        assert_eq!(task.timeout_ms, Some(milliseconds), "{seconds}");
    }
}

#[test]
fn an_input_is_measured_as_it_is_kept() {
    let text = |size: usize| format!("\"{}\"", "x".repeat(size - 2));
    assert_eq!(one(&format!(r#"{{"action":"a","input":   {}    }}"#, text(64))).input.len(), 64);
    let message =
        |place: &str, size: usize| format!("the input at {place} has at least {size} bytes, and MAX_INPUT_BYTES is 64");
    fails(&format!(r#"{{"action":"a","input":{}}}"#, text(65)), &message("/input", 65), "/input");
    fails(&format!(r#"[{{"action":"a","k":{}}}]"#, text(60)), &message("/0", 66), "/0");
    let bytes = |size: usize| format!(r#"{{"action":"a","content_type":"a/b","input_base64":"{}"}}"#, "A".repeat(size));
    assert_eq!(one(&bytes(86)).input.len(), 64);
    fails(&bytes(87), &message("/input_base64", 65), "/input_base64");
    fails(&bytes(4_000), &message("/input_base64", 3_000), "/input_base64");
}

#[test]
fn faults_of_the_json_have_line_and_column() {
    syntax("", "EOF while parsing a value at line 1, column 1");
    syntax("{\"action\":\"a\"} x", "trailing characters at line 1, column 16");
    syntax("{\"action\":\n\"a\",}", "key must be a string at line 2, column 5");
    syntax("{\"action\":\"a\",\"action\":\"b\"}", "the key `action` is there twice at line 1, column 22");
    syntax("[\n {\"action\":\"a\",\n  \"x\":1,\"x\":2}]", "the key `x` is there twice at line 3, column 11");
    syntax("[ {\"action\":\"a\"},{\"x\":1,\"\\u0078\":2}]", "the key `x` is there twice at line 1, column 32");
    syntax("{\"action\":NaN}", "expected value at line 1, column 11");
    let error = parse(b"{\"action\":\"\xff\"}", &LIMITS).expect_err("no UTF-8");
    assert!(error.to_string().contains("unicode"), "{error}");
}

#[test]
fn numbers_of_tasks_and_keys_are_bounded() {
    let list = |count: usize| format!("[{}]", vec![r#"{"action":"a"}"#; count].join(","));
    let taken = parse(list(MAX_BATCH).as_bytes(), &LIMITS).expect("as many as may be");
    assert!(taken.batch && taken.tasks.len() == MAX_BATCH);
    let error = parse(list(MAX_BATCH + 2).as_bytes(), &LIMITS).expect_err("too many");
    assert_eq!(error, SubmitError::TooManyTasks { count: MAX_BATCH + 2 });

    let keys: Vec<String> = (0..128).map(|n| format!("\"k{n}\":{n}")).collect();
    let error = parse(format!(r#"{{"action":"a",{}}}"#, keys.join(",")).as_bytes(), &LIMITS).expect_err("too many");
    assert!(error.to_string().contains("more than 128 keys; put them into `input`"), "{error}");
}

#[test]
fn depth_does_not_hurt() {
    let deep = format!(r#"{{"action":"a","x":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let limits = Limits { max_input_bytes: 1 << 20, ..LIMITS };
    assert!(parse(deep.as_bytes(), &limits).is_ok());
    assert!(parse("[".repeat(1_000_000).as_bytes(), &limits).is_err());
}

/// JSON with the keys that mean something, in places where they do and do not.
fn task_like() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0..300_u32).prop_map(Value::from),
        "[ -~\u{e4}\u{1f30d}\"\\\\\n\t]{0,20}".prop_map(Value::from),
        "[a-z/]{1,8}".prop_map(Value::from),
    ];
    let key = prop_oneof![
        Just("action".to_owned()),
        Just("task_data".to_owned()),
        Just("priority".to_owned()),
        Just("required_capabilities".to_owned()),
        Just("timeout_s".to_owned()),
        Just("input".to_owned()),
        Just("input_base64".to_owned()),
        Just("content_type".to_owned()),
        "[ -~]{0,6}",
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_bytes_hurt(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&body, &LIMITS);
    }

    #[test]
    fn no_text_of_json_signs_hurts(body in "[\\[\\]{}\",:a\\\\u0-9 \n]{0,80}") {
        let _ = parse(body.as_bytes(), &LIMITS);
    }

    #[test]
    fn what_is_taken_is_within_the_limits(body in task_like(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&body) } else { serde_json::to_string(&body) };
        if let Ok(Submission { tasks, batch, .. }) = parse(text.expect("JSON").as_bytes(), &LIMITS) {
            prop_assert_eq!(batch, body.is_array());
            prop_assert_eq!(tasks.len(), body.as_array().map_or(1, Vec::len));
            for task in tasks {
                prop_assert!(task.input.len() <= LIMITS.max_input_bytes);
                prop_assert!(!task.action.is_empty() && task.timeout_ms != Some(0));
                let json = task.content_type == "application/json";
                prop_assert!(!json || serde_json::from_slice::<Value>(&task.input).is_ok());
            }
        }
    }

    #[test]
    fn an_input_means_the_same_without_its_white_space(input in task_like()) {
        let pretty = serde_json::to_string_pretty(&input).expect("JSON");
        let body = format!(r#"{{"action":"a","input":{pretty}}}"#);
        let limits = Limits { max_input_bytes: usize::MAX, ..LIMITS };
        let taken = parse(body.as_bytes(), &limits).expect("a task");
        prop_assert_eq!(&taken.tasks[0].input, &serde_json::to_vec(&input).expect("JSON"));
    }
}
