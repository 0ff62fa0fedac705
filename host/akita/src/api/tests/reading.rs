//! Every route that reads, with its query, and what is refused.

use axum::body::Body;
use serde_json::json;

use super::fake::Fake;
use super::{ID, ask, config, get, request};
use crate::api::router;
use crate::view::NodeError;

#[tokio::test]
async fn the_index_is_json_for_programs_and_a_page_for_browsers() {
    let fake = Fake::default();
    let answer = get(&fake, "/").await;
    let json = answer.json();
    assert_eq!((&json["name"], &json["node_name"]), (&json!("akita"), &json!("ridge <1>")));
    assert!(json["endpoints"].as_array().expect("a list").iter().any(|one| one["path"] == "/tasks/{id}"));

    let router = router(fake, config());
    let accept = |accept: &'static str| request("GET", "/").header("accept", accept).body(Body::empty()).expect("ok");
    let page = ask(&router, accept("text/html,application/xhtml+xml,*/*;q=0.8")).await;
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(page.body.contains("ridge &lt;1&gt;") && page.body.contains("<a href=\"/status\">"), "{}", page.body);
    let json = ask(&router, accept("application/json, text/html")).await;
    assert_eq!(json.header("content-type"), "application/json");
}

#[tokio::test]
async fn each_route_asks_the_node_what_its_query_says() {
    let fake = Fake::default();
    let local = "LedgerFilter { limit: 5, offset: 10, event: Some(TaskFailed), task: Some(30313233-3435-3637-3839-616263646566), local: true }";
    let ledger = format!("/ledger?limit=5&offset=10&event_type=task_failed&task_id={ID}&local=true");
    let cases = [
        ("/status", "status"),
        ("/cluster/status", "cluster"),
        ("/plugins", "plugins"),
        ("/cluster/status?consistency=linearizable", "cluster linearizable"),
        ("/cluster/members?consistency=stale", "members stale"),
        ("/tasks?consistency=stale&after=9", "tasks any 50 stale after 9"),
        (&format!("/tasks/{ID}?after=0&wait=1"), &format!("task {ID} 1 after 0")),
        (&format!("/tasks/{ID}"), &format!("task {ID} 0")),
        (&format!("/tasks/{ID}?wait=2.5"), &format!("task {ID} 2.5")),
        (&format!("/tasks/{ID}?wait=60"), &format!("task {ID} 60")),
        ("/tasks", "tasks any 50"),
        ("/tasks?", "tasks any 50"),
        ("/tasks?status=queued_locally&limit=1000", "tasks queued_locally 1000"),
        ("/ledger", "LedgerFilter { limit: 50, offset: 0, event: None, task: None, local: false }"),
        (&ledger, local),
        ("/ledger/verify", "verify false"),
        ("/ledger/verify?local=1", "verify true"),
        ("/ledger/head", "head false"),
        ("/ledger/head?local=true", "head true"),
        ("/ledger/rows", "rows 0 50 false"),
        ("/ledger/rows?from=7&limit=1000&local=1", "rows 7 1000 true"),
        ("/ledger/range?from=3&to=9&local=1", "range 3 9 true"),
        ("/ledger/range?to=1", "range 0 1 false"),
        ("/ledger/keys", "keys"),
        ("/ledger/journal?limit=7", "journal 7"),
        ("/logs", "logs 50 TRACE None"),
        ("/logs?level=warn&limit=2000&after=18446744073709551615", "logs 2000 WARN Some(18446744073709551615)"),
    ];
    for (path, asked) in cases {
        let answer = get(&fake, path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert_eq!(fake.asked(), [asked], "{path}");
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert!(!answer.header("x-request-id").is_empty());
    }
    let logs = get(&fake, "/logs").await.json();
    assert_eq!((&logs["next"], &logs["lines"][0]["message"]), (&json!(4), &json!("hello")));
}

#[tokio::test]
async fn queries_that_make_no_sense_are_refused_by_name() {
    let fake = Fake::default();
    let cases = [
        ("/status?x=1", "`x` is not a key", "takes no query"),
        ("/tasks?state=failed", "`state` is not a key", "status, limit"),
        ("/tasks?limit=1&limit=2", "`limit` is given twice", "once"),
        ("/tasks?limit=0", "`limit` is `0`", "1 to 1000"),
        ("/tasks?limit=1001", "`limit` is `1001`", "1 to 1000"),
        ("/tasks?limit=-1", "`limit` is `-1`", "1 to 1000"),
        ("/tasks?status=done", "`status` is `done`", "completed, failed"),
        ("/ledger?offset=x", "`offset` is `x`", "a whole number"),
        ("/ledger?event_type=TASK", "`event_type` is `TASK`", "TASK_SUBMITTED"),
        ("/ledger?task_id=1", "`task_id` is `1`", "a task id"),
        ("/ledger/verify?local=yes", "`local` is `yes`", "true or false"),
        ("/ledger/rows?limit=1001", "`limit` is `1001`", "1 to 1000"),
        ("/ledger/proof/x", "`x` is no row of a ledger", "from 0"),
        ("/ledger/proof/-1", "`-1` is no row", "from 0"),
        ("/ledger/range?from=1", "`to` is missing", "the row after the last"),
        ("/ledger/range?from=3&to=3", "not above `from`", "the row after the last"),
        ("/tasks?consistency=newest", "`consistency` is `newest`", "linearizable, stale"),
        ("/tasks?after=x", "`after` is `x`", "a whole number"),
        ("/ledger?local=true&consistency=linearizable", "do not go together", "own ledger"),
        ("/logs?level=loud", "`level` is `loud`", "error, warn"),
        ("/logs?limit=2001", "`limit` is `2001`", "1 to 2000"),
        (&format!("/tasks/{ID}?wait=61"), "`wait` is `61`", "0 to 60"),
        (&format!("/tasks/{ID}?wait=-1"), "`wait` is `-1`", "0 to 60"),
        (&format!("/tasks/{ID}?wait=NaN"), "`wait` is `NaN`", "0 to 60"),
        ("/tasks/42", "`42` is no task id", "looks like"),
        ("/tasks/%ff", "is no task id", "looks like"),
        ("/health?x", "`x` is not a key", "takes no query"),
    ];
    for (path, detail, hint) in cases {
        let answer = get(&fake, path).await;
        let (got, hinted) = answer.problem(400, "bad-request");
        assert!(got.contains(detail) && hinted.contains(hint), "{path}: {got} / {hinted}");
    }
    assert_eq!(fake.asked(), [""; 0]);
}

#[tokio::test]
async fn what_is_not_there_is_told_apart() {
    let fake = Fake::default();
    let (detail, _) = get(&fake, "/tasks/01890a5d-ac96-774b-bcce-b302099a8057").await.problem(404, "no-such-task");
    assert_eq!(detail, "no task 01890a5d-ac96-774b-bcce-b302099a8057 in this cluster");
    let (detail, hint) = get(&fake, "/ledger/proof/9").await.problem(404, "no-such-row");
    assert!(detail.contains("no row 9") && hint.contains("akita ledger head"), "{detail} / {hint}");
    let (detail, _) = get(&fake, "/statuses").await.problem(404, "not-found");
    assert_eq!(detail, "there is no `/statuses` here");

    let router = router(fake, config());
    for (method, path, allowed) in
        [("GET", "/tasks/submit", "POST"), ("DELETE", "/status", "GET,HEAD"), ("OPTIONS", "/shutdown", "POST")]
    {
        let answer = ask(&router, request(method, path).body(Body::empty()).expect("ok")).await;
        answer.problem(405, "method-not-allowed");
        assert_eq!(answer.header("allow"), allowed, "{method} {path}");
    }
}

#[tokio::test]
async fn head_answers_like_get_without_a_body() {
    let router = router(Fake::default(), config());
    for path in ["/", "/status", "/tasks", "/health"] {
        let answer = ask(&router, request("HEAD", path).body(Body::empty()).expect("ok")).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, ""), "{path}");
        assert_ne!(answer.header("content-length"), "0");
    }
}

#[tokio::test]
async fn faults_of_the_node_keep_their_words_and_get_a_status() {
    let (detail, hint) = ("the leader does not answer".to_owned(), "try again".to_owned());
    let cases = [
        (NodeError::Invalid { detail: "no such action".into(), hint: "did you mean echo?".into() }, 422, "invalid", ""),
        (NodeError::Misfit { detail: "too wide".into(), task: 0, pointer: "/w".into() }, 422, "invalid", ""),
        (NodeError::QueueFull { limit: 9, retry_after_s: 3 }, 429, "queue-full", "3"),
        (NodeError::Unavailable { detail, hint }, 503, "unavailable", "5"),
        (NodeError::Stopping, 503, "stopping", ""),
        (NodeError::Internal("the disk is full".into()), 500, "internal", ""),
    ];
    for (error, status, kind, retry_after) in cases {
        let answer = get(&Fake::failing(error.clone()), &format!("/tasks/{ID}")).await;
        assert_eq!(answer.problem(status, kind).0, error.to_string());
        assert_eq!(answer.header("retry-after"), retry_after);
    }
}

#[tokio::test]
async fn a_panic_is_an_answer() {
    let fake = Fake::default();
    fake.set(|inner| inner.panics = true);
    let answer = get(&fake, &format!("/tasks/{ID}")).await;
    let (detail, _) = answer.problem(500, "internal");
    assert!(!detail.contains("told to panic"));
}

#[tokio::test(start_paused = true)]
async fn a_hang_is_an_answer() {
    let fake = Fake::default();
    fake.set(|inner| inner.endless = Some(Default::default()));
    let answer = get(&fake, &format!("/tasks/{ID}?wait=1")).await;
    assert!(answer.problem(503, "unavailable").0.contains("no answer within 120 s"));
}

#[tokio::test]
async fn shutdown_is_accepted_and_health_tells_it() {
    let fake = Fake::default();
    assert_eq!(get(&fake, "/health").await.json(), json!({"status": "ok"}));
    let router = router(fake.clone(), config());
    let answer = ask(&router, request("POST", "/shutdown").body(Body::from("{}")).expect("ok")).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (202, json!({"status": "stopping"})));
    assert!(fake.set(|inner| inner.stopped));
    get(&fake, "/health").await.problem(503, "stopping");
    super::submit(&fake, "{\"action\":\"echo\"}").await.problem(503, "stopping");
}
