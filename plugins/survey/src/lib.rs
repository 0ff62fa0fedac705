//! Fan out and gather: one action on many inputs, each a child task that any node may run. This file is the component's
//! edge and the whole of it: the cluster does the work.
#![cfg_attr(target_family = "wasm", no_std)]

use akita_plugin::prelude::*;
use akita_plugin::tasks::{self, Child};
use akita_plugin::{Failure, SchemaWriter, json};
use serde::{Deserialize, Serialize};
use serde_json::Value;

akita_plugin::no_std_runtime!();

akita_plugin::plugin! {
    name: "survey",
    summary: env!("CARGO_PKG_DESCRIPTION"),
    actions: {
        "fan-out" => fan_out {
            summary: "Runs an action on each input, as tasks of their own, and gives all results in the same order",
        },
    },
}

/// Any JSON.
#[derive(Deserialize, Serialize)]
#[serde(transparent)]
struct Json(Value);

impl Schema for Json {
    fn write(out: &mut SchemaWriter) {
        out.raw("{}");
    }
}

#[derive(Deserialize, Schema)]
#[serde(deny_unknown_fields)]
struct FanOut {
    /// `plugin/action`, or a bare action where it is unambiguous.
    #[schema(minLength = 1)]
    action: String,
    /// What the action gets, one task for each.
    #[schema(minItems = 1)]
    inputs: Vec<Json>,
    /// Capabilities that the workers must have.
    #[serde(default)]
    requires: Vec<String>,
    /// Time limit of one attempt of one of them; the node's own if it is absent.
    #[schema(minimum = 1)]
    timeout_ms: Option<u32>,
    /// Fail if one of them fails, instead of giving its error in its place.
    #[serde(default)]
    all_or_nothing: bool,
}

#[derive(Schema, Serialize)]
struct Gathered {
    /// One for each input, in the same order.
    results: Vec<Answer>,
    failed: u64,
}

/// What came of one input: `output`, or `output_base64` where it is no JSON, or `error`.
#[derive(Default, Schema, Serialize)]
struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_base64: Option<Base64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Fault>,
}

#[derive(Schema, Serialize)]
struct Fault {
    /// Which of the contract's cases it is.
    case: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<String>,
}

fn fan_out(input: FanOut) -> Result<Gathered, TaskError> {
    if input.action.is_empty() {
        return Err(TaskError::invalid("`action` must not be empty").code("no-action").pointer("/action"));
    }
    if input.inputs.is_empty() {
        return Err(TaskError::invalid("`inputs` must have one at least").code("no-inputs").pointer("/inputs"));
    }
    let children = input.inputs.iter().map(|one| child(&input, one)).collect::<Result<Vec<_>, _>>()?;
    let ids = tasks::submit(&children)?;
    task::progress(0, ids.len() as u64, "submitted");
    let mut results = Vec::with_capacity(ids.len());
    for (place, result) in tasks::gather(&ids)?.into_iter().enumerate() {
        match result {
            Err(error) if input.all_or_nothing => return Err(first_failure(&input.action, place, &error)),
            result => results.push(answer(result)),
        }
    }
    let failed = results.iter().filter(|result| result.error.is_some()).count() as u64;
    Ok(Gathered { results, failed })
}

fn child(input: &FanOut, one: &Json) -> Result<Child, TaskError> {
    let mut child = Child::json(input.action.as_str(), one)?;
    child.requires.clone_from(&input.requires);
    child.timeout_ms = input.timeout_ms;
    Ok(child)
}

fn answer(result: Result<Content, TaskError>) -> Answer {
    let output = match result {
        Ok(output) => output,
        Err(error) => return Answer { error: Some(fault(&error)), ..Answer::default() },
    };
    if output.is_json()
        && let Ok(value) = json::from_slice(&output.body)
    {
        return Answer { output: Some(value), ..Answer::default() };
    }
    let (bytes, content_type) = (Some(Base64(output.body)), Some(output.content_type));
    Answer { output_base64: bytes, content_type, ..Answer::default() }
}

fn fault(error: &TaskError) -> Fault {
    let (case, failure) = match error {
        TaskError::UnknownAction => ("unknown-action", None),
        TaskError::InvalidInput(failure) => ("invalid-input", Some(failure)),
        TaskError::Retryable((failure, _)) => ("retryable", Some(failure)),
        TaskError::Permanent(failure) => ("permanent", Some(failure)),
        TaskError::Cancelled => ("cancelled", None),
    };
    let Failure { message, code, pointer } = failure.cloned().unwrap_or_else(|| Failure {
        message: if case == "cancelled" { "it was cancelled" } else { "there is no such action" }.into(),
        code: None,
        pointer: None,
    });
    Fault { case, message, code, pointer }
}

/// The children have had their attempts: trying the parent again finds the same results.
fn first_failure(action: &str, place: usize, error: &TaskError) -> TaskError {
    let Fault { message, .. } = fault(error);
    let error = TaskError::permanent(format!("`{action}` failed on input {place}: {message}"));
    error.code("child-failed").pointer(format!("/inputs/{place}"))
}

#[cfg(test)]
mod tests {
    use akita_plugin::prelude::*;
    use akita_plugin::testing::Harness;
    use serde_json::{Value, json};

    fn survey() -> Harness {
        Harness::new(&super::PLUGIN)
            .child("double", |input| match str::from_utf8(&input.body).unwrap_or_default().parse::<u32>() {
                Ok(number) => Ok(Content::json((number * 2).to_string())),
                Err(_) => Err(TaskError::invalid("no number").code("bad-number").pointer("")),
            })
            .child("shoot", |_| Ok(Content::new("image/jpeg", [0xff, 0xd8])))
    }

    #[test]
    fn results_come_in_the_order_of_the_inputs() {
        let outcome = survey().json("fan-out", r#"{"action":"double","inputs":[1,"x",3],"requires":["gps"]}"#);
        assert_eq!(
            outcome.value::<Value>(),
            json!({
                "results": [
                    { "output": 2 },
                    { "error": { "case": "invalid-input", "message": "no number", "code": "bad-number", "pointer": "" } },
                    { "output": 6 },
                ],
                "failed": 1,
            })
        );
        assert!(outcome.children.iter().all(|child| child.requires == ["gps"]));
        let picture = survey().json("fan-out", r#"{"action":"shoot","inputs":[null]}"#).value::<Value>();
        assert_eq!(picture["results"][0], json!({ "output_base64": "/9g=", "content_type": "image/jpeg" }));
        let none = survey().json("fan-out", r#"{"action":"dance","inputs":[{}]}"#).value::<Value>();
        assert_eq!(none["results"][0]["error"]["case"], "unknown-action");
    }

    #[test]
    fn one_failure_may_fail_all() {
        let outcome = survey().json("fan-out", r#"{"action":"double","inputs":[1,"x"],"all_or_nothing":true}"#);
        let failure = outcome.failure();
        assert_eq!((failure.code.as_deref(), failure.pointer.as_deref()), (Some("child-failed"), Some("/inputs/1")));
    }

    #[test]
    fn a_second_attempt_finds_the_children_of_the_first() {
        let first = survey();
        let input = r#"{"action":"double","inputs":[1,2]}"#;
        assert_eq!(first.json("fan-out", input).children.len(), 2);
        let second = first.attempt(2).json("fan-out", input);
        assert_eq!((second.children.len(), second.value::<Value>()["failed"].clone()), (0, json!(0)));
    }

    #[test]
    fn faults_of_the_input_and_limits_of_the_node_are_told() {
        for (input, code, pointer) in [
            (r#"{"action":"","inputs":[1]}"#, "no-action", "/action"),
            (r#"{"action":"double","inputs":[]}"#, "no-inputs", "/inputs"),
            (r#"{"action":"double","inputs":[1],"input":1}"#, "bad-input", "/input"),
        ] {
            let outcome = survey().json("fan-out", input);
            let failure = outcome.failure();
            assert_eq!((failure.code.as_deref(), failure.pointer.as_deref()), (Some(code), Some(pointer)), "{input}");
        }
        let input = r#"{"action":"double","inputs":[1,2]}"#;
        assert_eq!(
            survey().max_children(1).json("fan-out", input).failure().code.as_deref(),
            Some("too-many-children")
        );
        let later = survey().unavailable("tasks").json("fan-out", input);
        assert!(matches!(later.error(), TaskError::Retryable(_)), "{:?}", later.error());
        assert_eq!(survey().describe().actions.len(), 1);
    }
}
