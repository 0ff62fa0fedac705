//! `POST /tasks/submit` as a whole: types, sizes, forms and answers. What a task may look like is tested beside the
//! parser.

use axum::body::Body;
use serde_json::{Value, json};

use super::fake::Fake;
use super::{ask, config, request, submit, with_keys};
use crate::api::{ApiConfig, router};
use crate::view::NodeError;

#[tokio::test]
async fn one_task_gets_one_answer_and_a_list_a_list() {
    let fake = Fake::default();
    let answer = submit(&fake, r#"{"task_data":{"action":"log","message":"hello"},"priority":3}"#).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (202, json!({"task_id": "0", "status": "pending"})));
    let answer = submit(&fake, r#"[{"action":"a/b"},{"task_data":{"action":"c"}}]"#).await;
    let expected = json!([{"task_id": "1", "status": "pending"}, {"task_id": "2", "status": "pending"}]);
    assert_eq!((answer.status.as_u16(), answer.json()), (202, expected));
    let answer = submit(&fake, r#"[{"action":"d"}]"#).await;
    assert_eq!(answer.json(), json!([{"task_id": "3", "status": "pending"}]));
    let first = fake.set(|inner| inner.submitted[0].clone());
    assert_eq!((first.action.as_str(), first.priority), ("log", 3));
    assert_eq!(first.input, br#"{"message":"hello"}"#);
}

#[tokio::test]
async fn the_node_is_told_which_key_a_task_came_with() {
    let fake = Fake::default();
    let router = router(fake.clone(), with_keys(&["first", "second"]));
    for key in ["second", "first"] {
        let request = request("POST", "/tasks/submit").header("X-API-Key", key);
        let request = request.body(Body::from(r#"{"action":"a"}"#)).expect("a request");
        assert_eq!(ask(&router, request).await.status, 202);
        assert_eq!(fake.asked(), [format!("submit 1 with {}", akita_core::KeyPrint::of(key))]);
    }
}

#[tokio::test]
async fn a_batch_with_a_fault_is_refused_as_a_whole_with_its_place() {
    let fake = Fake::default();
    let answer = submit(&fake, r#"[{"action":"a"},{"action":"b"},{"task_data":{"action":"c","priority":300}}]"#).await;
    let (detail, _) = answer.problem(422, "invalid");
    assert_eq!(detail, "/2/task_data/priority must be a whole number from 0 to 255, not 300");
    assert_eq!(answer.json()["pointer"], "/2/task_data/priority");
    assert_eq!(fake.asked(), [""; 0]);
}

#[tokio::test]
async fn an_input_that_does_not_fit_is_told_with_its_place_in_the_body() {
    let misfit = |task| NodeError::Misfit { detail: "at /w: too wide".into(), task, pointer: "/w".into() };
    let cases = [
        (0, r#"{"action":"a/b","w":9}"#, "/w"),
        (0, r#"{"action":"a/b","input":{"w":9}}"#, "/input/w"),
        (0, r#"{"task_data":{"action":"a/b","w":9}}"#, "/task_data/w"),
        (1, r#"[{"action":"a/b"},{"task_data":{"action":"a/b","input":{"w":9}}}]"#, "/1/task_data/input/w"),
        (0, r#"{"action":"a/b","input_base64":"e30","content_type":"application/json"}"#, "/input_base64"),
    ];
    for (task, body, pointer) in cases {
        let answer = submit(&Fake::failing(misfit(task)), body).await;
        assert_eq!(answer.problem(422, "invalid").0, "at /w: too wide");
        assert_eq!(answer.json()["pointer"], pointer, "{body}");
    }
}

#[tokio::test]
async fn a_broken_body_is_told_with_line_and_column() {
    let answer = submit(&Fake::default(), "{\n  \"action\": \"echo\",\n}").await;
    let (detail, _) = answer.problem(400, "bad-json");
    assert_eq!(detail, "the body does not parse: key must be a string at line 3, column 1");
    assert_eq!(answer.json().get("pointer"), None);
    let (detail, _) = submit(&Fake::default(), "").await.problem(400, "bad-json");
    assert!(detail.contains("EOF"), "{detail}");
}

#[tokio::test]
async fn the_type_must_be_json_or_nothing() {
    let router = router(Fake::default(), config());
    let send = |kind: Option<&str>| {
        let request = request("POST", "/tasks/submit");
        let request = kind.into_iter().fold(request, |request, kind| request.header("content-type", kind));
        let request = request.body(Body::from(r#"{"action":"echo"}"#)).expect("a request");
        async { ask(&router, request).await }
    };
    for kind in [None, Some("application/json"), Some("Application/JSON; charset=utf-8")] {
        assert_eq!(send(kind).await.status, 202, "{kind:?}");
    }
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
        send(Some(kind)).await.problem(415, "not-json");
    }
}

#[tokio::test]
async fn sizes_are_bounded_and_the_setting_is_named() {
    let fake = Fake::default();
    let input = |bytes: usize| format!(r#"{{"action":"echo","input":"{}"}}"#, "x".repeat(bytes - 2));
    assert_eq!(submit(&fake, input(1_000)).await.status, 202);
    let (detail, hint) = submit(&fake, input(1_001)).await.problem(413, "too-large");
    assert_eq!(detail, "the input at /input has at least 1001 bytes, and MAX_INPUT_BYTES is 1000");
    assert!(hint.contains("AKITA_MAX_INPUT_BYTES"));

    let whole = " ".repeat(4_000);
    submit(&fake, whole.clone()).await.problem(400, "bad-json");
    let (detail, _) = submit(&fake, whole + " ").await.problem(413, "too-large");
    assert!(detail.contains("4000 bytes") && detail.contains("MAX_INPUT_BYTES = 1000"), "{detail}");

    let router = router(fake, config());
    let stated = request("POST", "/tasks/submit").header("content-length", "4001").body(Body::empty()).expect("ok");
    ask(&router, stated).await.problem(413, "too-large");
}

#[tokio::test]
async fn a_large_batch_is_taken_in_pieces() {
    let fake = Fake::default();
    let config = ApiConfig { max_body_bytes: 4 << 20, ..config() };
    let task = json!({"action": "echo", "text": "x".repeat(100)});
    let body = Value::Array(vec![task; 10_000]).to_string();
    assert!(body.len() > 1 << 20);
    let pieces: Vec<_> = body.as_bytes().chunks(10_000).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
    let body = Body::from_stream(futures_util::stream::iter(pieces));
    let answer = ask(&router(fake.clone(), config), request("POST", "/tasks/submit").body(body).expect("ok")).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert_eq!(fake.set(|inner| inner.submitted.len()), 10_000);
    let answers = answer.json();
    assert_eq!((answers[0]["task_id"].as_str(), answers[9_999]["task_id"].as_str()), (Some("0"), Some("9999")));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_given_up() {
    let body = Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    submit(&Fake::default(), body).await.problem(408, "body-timeout");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused() {
    let pieces = [Ok(b"{\"action\"".to_vec()), Err(std::io::Error::other("reset"))];
    let body = Body::from_stream(futures_util::stream::iter(pieces));
    submit(&Fake::default(), body).await.problem(400, "bad-request");
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_back() {
    let fake = Fake::failing(NodeError::QueueFull { limit: 10_000, retry_after_s: 2 });
    let answer = submit(&fake, r#"{"action":"echo"}"#).await;
    let (detail, hint) = answer.problem(429, "queue-full");
    assert!(detail.contains("10000") && hint.contains("MAX_TASK_QUEUE_SIZE"), "{detail} / {hint}");
    assert_eq!(answer.header("retry-after"), "2");
}
