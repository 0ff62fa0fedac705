//! The router against a fake node, and the server over real connections.

mod access;
mod docs;
mod fake;
mod reading;
mod serving;
mod submitting;

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use super::{ApiConfig, router};
use crate::config::Secret;
use fake::Fake;

const ID: &str = "30313233-3435-3637-3839-616263646566";

/// Small limits, so that tests reach them.
fn config() -> ApiConfig {
    ApiConfig {
        keys: Vec::new(),
        key_header: "x-api-key".parse().expect("a header's name"),
        max_input_bytes: 1_000,
        max_body_bytes: 4_000,
        blob_max_bytes: 3_000,
        max_timeout: Duration::from_secs(300),
    }
}

fn with_keys(keys: &[&str]) -> ApiConfig {
    ApiConfig { keys: keys.iter().copied().map(Secret::new).collect(), ..config() }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// Checks the form of a problem, and gives its detail and hint.
    fn problem(&self, status: u16, kind: &str) -> (String, String) {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let json = self.json();
        assert_eq!(json["type"], format!("urn:akita:problem:{kind}"), "{json}");
        assert_eq!(json["status"], status);
        assert_eq!(json["request_id"], self.header("x-request-id"));
        assert!(!json["title"].as_str().expect("a title").is_empty());
        let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        assert!(!text("hint").is_empty(), "no hint: {json}");
        (text("detail"), text("hint"))
    }
}

async fn ask(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.expect("the router is infallible");
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("the body is in memory").to_bytes();
    Answer { status: parts.status, headers: parts.headers, body: String::from_utf8(body.into()).expect("UTF-8") }
}

fn request(method: &str, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(path).header("host", "127.0.0.1:8000")
}

async fn get(fake: &Fake, path: &str) -> Answer {
    let request = request("GET", path).body(Body::empty()).expect("a request");
    ask(&router(fake.clone(), config()), request).await
}

async fn submit(fake: &Fake, body: impl Into<Body>) -> Answer {
    let request = request("POST", "/tasks/submit").header("content-type", "application/json");
    ask(&router(fake.clone(), config()), request.body(body.into()).expect("a request")).await
}
