//! HTTP from a node that has a way to the internet, for those that have none. This file is the component's edge and the
//! whole of it.
#![cfg_attr(target_family = "wasm", no_std)]

use akita_plugin::http::{Error, Request, Response};
use akita_plugin::prelude::*;
use serde::{Deserialize, Serialize};

akita_plugin::no_std_runtime!();

/// Bytes of a body that are taken if nothing else is asked: with base64 around them they still fit into a node's limit
/// of a megabyte of output.
const DEFAULT_MAX_BYTES: u64 = 750_000;

akita_plugin::plugin! {
    name: "web",
    summary: env!("CARGO_PKG_DESCRIPTION"),
    actions: {
        "get" => get { summary: "The body of a page, with its media type; fails if the server says no", idempotent: true },
        "request" => request { summary: "Any request; status, headers and body, whatever the server says" },
    },
}

#[derive(Deserialize, Schema)]
#[serde(deny_unknown_fields)]
struct Get {
    #[schema(pattern = "^https?://")]
    url: String,
    #[schema(default = 750_000)]
    max_bytes: Option<u64>,
}

#[derive(Deserialize, Schema)]
#[serde(deny_unknown_fields)]
struct Ask {
    /// `GET` if it is absent.
    method: Option<String>,
    #[schema(pattern = "^https?://")]
    url: String,
    #[serde(default)]
    headers: Vec<Header>,
    text: Option<String>,
    /// Instead of `text`.
    data_base64: Option<Base64>,
    #[schema(default = 750_000)]
    max_bytes: Option<u64>,
    /// For connecting, for the first byte, and between two.
    #[schema(minimum = 1)]
    timeout_ms: Option<u32>,
}

#[derive(Deserialize, Schema, Serialize)]
struct Header {
    name: String,
    value: String,
}

#[derive(Schema, Serialize)]
struct Answer {
    status: u16,
    headers: Vec<Header>,
    /// The body, where it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// The body, where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<Base64>,
}

fn get(input: Get) -> Result<Content, TaskError> {
    let request = Request::new("GET", &input.url).max_bytes(input.max_bytes.unwrap_or(DEFAULT_MAX_BYTES));
    let response = request.send().map_err(told)?.successful()?;
    let content_type = response.header("content-type").unwrap_or("application/octet-stream").to_owned();
    Ok(Content::new(content_type, response.body))
}

fn request(input: Ask) -> Result<Answer, TaskError> {
    let method = input.method.as_deref().unwrap_or("GET").to_ascii_uppercase();
    let mut request = Request::new(&method, &input.url).max_bytes(input.max_bytes.unwrap_or(DEFAULT_MAX_BYTES));
    request.headers.extend(input.headers.into_iter().map(|Header { name, value }| (name, value)));
    request.timeout_ms = input.timeout_ms;
    request.body = match (input.text, input.data_base64) {
        (None, None) => Vec::new(),
        (Some(text), None) => text.into_bytes(),
        (None, Some(Base64(data))) => data,
        (Some(_), Some(_)) => {
            let error = TaskError::invalid("give `text` or `data_base64`, not both");
            return Err(error.code("unclear-data").pointer(""));
        }
    };
    let Response { status, headers, body } = request.send().map_err(told)?;
    let headers = headers.into_iter().map(|(name, value)| Header { name, value }).collect();
    let (text, data_base64) = match String::from_utf8(body) {
        Ok(text) => (Some(text), None),
        Err(not_text) => (None, Some(Base64(not_text.into_bytes()))),
    };
    Ok(Answer { status, headers, text, data_base64 })
}

/// The request is the submitter's word: what is wrong with it is a fault of the input.
fn told(error: Error) -> TaskError {
    match error {
        Error::Bad(why) => TaskError::invalid(why).code("bad-request").pointer("/url"),
        Error::TooLarge(most) => {
            let message = format!("the body has more than {most} bytes");
            TaskError::invalid(message).code("response-too-large").pointer("/max_bytes")
        }
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use akita_plugin::http::Response;
    use akita_plugin::prelude::*;
    use akita_plugin::testing::Harness;
    use serde_json::{Value, json};

    /// Sends every request back, with a status that its path may say.
    fn web() -> Harness {
        Harness::new(&super::PLUGIN).http(|request| {
            let status = request.url.rsplit('/').next().and_then(|last| last.parse().ok()).unwrap_or(200);
            let headers = vec![
                ("content-type".to_owned(), "text/plain".to_owned()),
                ("asked".to_owned(), format!("{} {:?} {:?}", request.method, request.timeout_ms, request.headers)),
            ];
            Ok(Response { status, headers, body: request.body.clone() })
        })
    }

    #[test]
    fn a_page_comes_with_its_media_type() {
        let page = web().json("get", r#"{"url":"http://a.example/"}"#);
        assert_eq!(page.output(), &Content::new("text/plain", ""));
        assert_eq!(web().describe().actions.len(), 2);
        let missing = web().json("get", r#"{"url":"http://a.example/404"}"#);
        assert!(matches!(missing.error(), TaskError::Permanent(_)), "{:?}", missing.error());
        let busy = web().json("get", r#"{"url":"http://a.example/503"}"#);
        assert!(matches!(busy.error(), TaskError::Retryable(_)), "{:?}", busy.error());
    }

    #[test]
    fn a_request_is_sent_as_it_is_said() {
        let input = json!({
            "method": "post", "url": "https://a.example/404", "text": "hey", "timeout_ms": 9,
            "headers": [{ "name": "x", "value": "y" }],
        });
        let answer = web().json("request", &input.to_string()).value::<Value>();
        assert_eq!((&answer["status"], &answer["text"]), (&json!(404), &json!("hey")));
        assert_eq!(answer["headers"][1]["value"], r#"POST Some(9) [("x", "y")]"#);
        let bytes = web().json("request", r#"{"url":"http://a.example","data_base64":"/9g="}"#).value::<Value>();
        assert_eq!(bytes["data_base64"], "/9g=");
    }

    #[test]
    fn faults_say_where() {
        for (action, input, code, pointer) in [
            ("get", json!({ "url": "a.example" }), "bad-request", Some("/url")),
            ("request", json!({ "url": "http://a.example", "text": "", "data_base64": "" }), "unclear-data", Some("")),
            (
                "request",
                json!({ "url": "http://a.example", "text": "abc", "max_bytes": 2 }),
                "response-too-large",
                Some("/max_bytes"),
            ),
        ] {
            let outcome = web().json(action, &input.to_string());
            let failure = outcome.failure();
            assert_eq!((failure.code.as_deref(), failure.pointer.as_deref()), (Some(code), pointer), "{input}");
        }
        let denied = Harness::new(&super::PLUGIN).json("get", r#"{"url":"http://a.example"}"#);
        assert_eq!(denied.failure().code.as_deref(), Some("host-not-granted"));
        let away = web().unavailable("http").json("get", r#"{"url":"http://a.example"}"#);
        assert!(matches!(away.error(), TaskError::Retryable(_)), "{:?}", away.error());
    }
}
