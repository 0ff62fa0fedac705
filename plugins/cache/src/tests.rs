//! The actions, on a pretended node.

use akita_plugin::prelude::*;
use akita_plugin::testing::Harness;
use serde_json::{Value, json};

fn cache() -> Harness {
    Harness::new(&crate::PLUGIN).now_ms(1_000_000)
}

fn run(cache: &Harness, action: &str, input: Value) -> Value {
    cache.json(action, &input.to_string()).value()
}

#[test]
fn values_come_back_with_their_age() {
    let cache = cache();
    assert_eq!(cache.describe().actions.len(), 4);
    run(&cache, "put", json!({ "key": "a", "value": { "b": [1, null] } }));
    let later = cache.clone().now_ms(1_005_999);
    let expected = json!({ "found": true, "value": { "b": [1, null] }, "age_s": 5 });
    assert_eq!(run(&later, "get", json!({ "key": "a" })), expected);
    run(&cache, "put", json!({ "key": "p", "data_base64": "/9g=", "content_type": "image/jpeg" }));
    let expected = json!({ "found": true, "data_base64": "/9g=", "content_type": "image/jpeg", "age_s": 0 });
    assert_eq!(run(&cache, "get", json!({ "key": "p" })), expected);
    assert_eq!(run(&cache, "get", json!({ "key": "z" })), json!({ "found": false }));
    assert_eq!(run(&cache, "delete", json!({ "key": "a" })), json!({ "deleted": true }));
    assert_eq!(run(&cache, "delete", json!({ "key": "a" })), json!({ "deleted": false }));
}

#[test]
fn a_value_is_gone_when_its_time_is_over() {
    let cache = cache();
    run(&cache, "put", json!({ "key": "a", "value": 1, "ttl_s": 10 }));
    let just = cache.clone().now_ms(1_009_001);
    assert_eq!(run(&just, "get", json!({ "key": "a" }))["ends_in_s"], 1);
    let over = cache.clone().now_ms(1_010_000);
    assert_eq!(run(&over, "list", json!({}))["entries"], json!([]));
    // It is not only hidden.
    assert_eq!(run(&cache, "get", json!({ "key": "a" })), json!({ "found": false }));
}

#[test]
fn the_oldest_make_room() {
    let cache = cache().kv_quota(1_000);
    for (second, key) in ["old", "middle", "young"].iter().enumerate() {
        let then = cache.clone().now_ms(1_000_000 + second as u64 * 1000);
        run(&then, "put", json!({ "key": key, "value": "x".repeat(200) }));
    }
    let kept = run(&cache.clone().now_ms(2_000_000), "put", json!({ "key": "new", "value": "x".repeat(400) }));
    assert_eq!(kept["evicted"], 1);
    let listed = run(&cache, "list", json!({}));
    let keys: Vec<&str> = listed["entries"].as_array().unwrap().iter().filter_map(|one| one["key"].as_str()).collect();
    assert_eq!(keys, ["middle", "new", "young"]);
    // What cannot fit at all does not empty the cache for nothing.
    let outcome = cache.json("put", &json!({ "key": "huge", "value": "x".repeat(2_000) }).to_string());
    assert_eq!(outcome.failure().code.as_deref(), Some("too-large"));
    assert_eq!(run(&cache, "list", json!({}))["entries"].as_array().unwrap().len(), 3);
}

#[test]
fn a_key_that_is_put_again_takes_its_place_once() {
    let cache = cache().kv_quota(1_000);
    for second in 0..50 {
        let then = cache.clone().now_ms(1_000_000 + second * 1000);
        let kept = run(&then, "put", json!({ "key": "a", "value": "x".repeat(300) }));
        assert_eq!(kept["evicted"], 0, "{second}");
    }
    assert_eq!(run(&cache, "list", json!({}))["entries"].as_array().unwrap().len(), 1);
}

#[test]
fn lists_go_on_where_they_ended() {
    let cache = cache();
    for key in ["a/1", "a/2", "a/3", "b"] {
        run(&cache, "put", json!({ "key": key, "value": 0 }));
    }
    let first = run(&cache, "list", json!({ "prefix": "a/", "limit": 2 }));
    assert_eq!((first["entries"][1]["key"].as_str(), first["more"].as_bool()), (Some("a/2"), Some(true)));
    let second = run(&cache, "list", json!({ "prefix": "a/", "after": "a/2" }));
    assert_eq!((second["entries"][0]["key"].as_str(), second["more"].as_bool()), (Some("a/3"), Some(false)));
}

#[test]
fn faults_say_where() {
    for (action, input, code, pointer) in [
        ("get", json!({}), "bad-input", Some("/key")),
        ("get", json!({ "key": "" }), "bad-key", Some("/key")),
        ("put", json!({ "key": "a\n", "value": 1 }), "bad-key", Some("/key")),
        ("put", json!({ "key": "a".repeat(231), "value": 1 }), "bad-key", Some("/key")),
        ("put", json!({ "key": "a" }), "unclear-value", Some("")),
        ("put", json!({ "key": "a", "value": 1, "data_base64": "" }), "unclear-value", Some("")),
        ("put", json!({ "key": "a", "value": 1, "ttl_s": 0 }), "out-of-range", Some("/ttl_s")),
        ("put", json!({ "key": "a", "value": "x".repeat(1 << 20) }), "too-large", None),
        ("list", json!({ "limit": 0 }), "out-of-range", Some("/limit")),
    ] {
        let outcome = cache().json(action, &input.to_string());
        let failure = outcome.failure();
        assert_eq!((failure.code.as_deref(), failure.pointer.as_deref()), (Some(code), pointer), "{action}");
    }
    let later = cache().unavailable("kv").json("get", r#"{"key":"a"}"#);
    assert!(matches!(later.error(), TaskError::Retryable(_)));
}
