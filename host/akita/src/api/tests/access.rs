//! Who may ask: with keys, and without.

use axum::body::Body;

use super::fake::Fake;
use super::{ask, config, request, with_keys};
use crate::api::{ApiConfig, router};

#[tokio::test]
async fn with_keys_only_holders_of_one_are_served() {
    let router = router(Fake::default(), with_keys(&["first-secret", "second"]));
    let send = |path: &str, key: Option<&str>| {
        let request = request("GET", path);
        let request = key.into_iter().fold(request, |request, key| request.header("X-API-Key", key));
        let request = request.body(Body::empty()).expect("a request");
        async { ask(&router, request).await }
    };
    for key in ["first-secret", "second"] {
        assert_eq!(send("/status", Some(key)).await.status, 200);
    }
    for path in ["/", "/status", "/tasks", "/nowhere"] {
        let answer = send(path, None).await;
        let (detail, hint) = answer.problem(401, "key-required");
        assert_eq!(detail, "this node asks for a key");
        assert!(hint.contains("x-api-key") && hint.contains("AKITA_API_KEY"), "{hint}");
        assert_eq!(answer.header("www-authenticate"), "ApiKey");
    }
    for key in ["", "first", "first-secret ", "FIRST-SECRET", "second,first-secret", "thirds"] {
        let answer = send("/status", Some(key)).await;
        // White space around a header's value is no part of it, but a client may send it by other means.
        answer.problem(401, "key-required");
        assert!(!answer.body.contains("first-secret"));
    }
    assert_eq!(send("/health", None).await.status, 200, "health is open");
}

#[tokio::test]
async fn the_header_has_the_name_that_was_set() {
    let config = ApiConfig { key_header: "x-mesh-key".parse().expect("a name"), ..with_keys(&["secret"]) };
    let router = router(Fake::default(), config);
    let send = |name: &str| request("GET", "/status").header(name, "secret").body(Body::empty()).expect("a request");
    assert_eq!(ask(&router, send("X-Mesh-Key")).await.status, 200);
    ask(&router, send("X-API-Key")).await.problem(401, "key-required");
}

#[tokio::test]
async fn with_keys_any_host_and_origin_is_served() {
    let router = router(Fake::default(), with_keys(&["secret"]));
    let request = http::Request::get("/status")
        .header("host", "node7.example:8000")
        .header("origin", "https://elsewhere.example")
        .header("x-api-key", "secret");
    assert_eq!(ask(&router, request.body(Body::empty()).expect("a request")).await.status, 200);
}

#[tokio::test]
async fn without_keys_web_pages_of_other_sites_get_nothing() {
    let fake = Fake::default();
    let router = router(fake.clone(), config());
    let send = |host: &str, origin: Option<&str>| {
        let request = http::Request::post("/shutdown").header("host", host);
        let request = origin.into_iter().fold(request, |request, origin| request.header("origin", origin));
        let request = request.body(Body::empty()).expect("a request");
        async { ask(&router, request).await }
    };
    for (host, origin) in [
        ("evil.example", None),
        ("evil.example:8000", Some("http://evil.example:8000")),
        ("127.0.0.1.evil.example", None),
        ("192.168.1.5:8000", None),
        ("127.0.0.1:8000", Some("http://evil.example")),
        ("127.0.0.1:8000", Some("http://127.0.0.1:3000")),
        ("localhost:8000", Some("http://127.0.0.1:8000")),
        ("127.0.0.1:8000", Some("null")),
    ] {
        send(host, origin).await.problem(403, "forbidden");
    }
    assert!(!fake.set(|inner| inner.stopped));
    let absolute = http::Request::get("http://evil.example/status").body(Body::empty()).expect("a request");
    ask(&router, absolute).await.problem(403, "forbidden");
    for (host, origin) in [
        ("127.0.0.1:8000", None),
        ("localhost:8000", Some("http://localhost:8000")),
        ("[::1]:8000", Some("http://[::1]:8000")),
    ] {
        assert_eq!(send(host, origin).await.status, 202, "{host}");
    }
}
