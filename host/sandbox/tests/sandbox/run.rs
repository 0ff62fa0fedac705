//! What a guest gets and what it gives.

use akita_sandbox::{Content, FailureKind, Job, JobEvent, Limits, LogLevel};
use tokio_util::sync::CancellationToken;

use crate::guests::{ECHO, echo, running};
use crate::{PATIENCE, job, load, run, watch};

#[tokio::test]
async fn bytes_go_in_and_come_out() {
    let plugin = load(&echo());
    for size in [0, 1, 100, 1_000_000] {
        let body = vec![7; size];
        let content = run(&plugin, job(&body)).await.unwrap();
        assert_eq!(content, Content { content_type: "text/plain".into(), body });
    }
}

#[tokio::test]
async fn nothing_stays_from_one_run_to_the_next() {
    // Gives back the byte at 40, after having set it.
    let plugin = load(&running(
        "(i32.store8 (i32.const 41) (i32.load8_u (i32.const 40))) (i32.store8 (i32.const 40) (i32.const 9))
         (call $ok (local.get 2) (local.get 3) (i32.const 41) (i32.const 1))",
    ));
    for _ in 0..10 {
        assert_eq!(run(&plugin, job(b"")).await.unwrap().body, [0]);
    }
}

#[tokio::test]
async fn the_guest_sees_its_attempt_and_its_time() {
    let plugin = load(&running(
        "(i32.store8 (i32.const 40) (call $attempt))
         (i32.store8 (i32.const 41) (i64.gt_u (call $remaining) (i64.const 1000)))
         (i32.store8 (i32.const 42) (i64.gt_u (call $remaining) (i64.const 60000)))
         (call $ok (local.get 2) (local.get 3) (i32.const 40) (i32.const 3))",
    ));
    let limits = Limits { timeout: PATIENCE, ..Limits::default() };
    let content = run(&plugin, Job { attempt: 3, limits, ..job(b"") }).await.unwrap();
    assert_eq!(content.body, [3, 1, 0]);
}

#[tokio::test]
async fn every_answer_of_a_guest_has_its_kind() {
    let expect = [
        (0, FailureKind::UnknownAction, false),
        (1, FailureKind::InvalidInput, false),
        (2, FailureKind::Retryable, true),
        (3, FailureKind::Permanent, false),
        (4, FailureKind::Cancelled, false),
    ];
    for (case, kind, retryable) in expect {
        let component = running(format!("(call $err (i32.const {case}) (local.get 4) (local.get 5))"));
        let failure = run(&load(&component), job(b"because")).await.unwrap_err();
        assert_eq!(failure.kind, kind);
        assert_eq!(failure.kind.is_retryable(), retryable);
        if (1..4).contains(&case) {
            assert_eq!(failure.message, "because");
        }
    }
}

#[tokio::test]
async fn an_action_that_the_plugin_does_not_list_is_refused_with_those_it_has() {
    let plugin = load(&echo());
    let failure = run(&plugin, Job::new("rum", "text/plain", vec![])).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::UnknownAction);
    assert_eq!(failure.message, "the plugin `guest` has no action `rum`; it has run");
}

#[tokio::test]
async fn log_progress_and_chunks_reach_the_watcher_in_order() {
    let component = running(format!(
        "(call $log (i32.const 3) (local.get 4) (local.get 5) (i32.const 0) (i32.const 0))
         (call $progress (i64.const 1) (i32.const 1) (i64.const 2) (local.get 4) (local.get 5))
         (call $emit (local.get 4) (local.get 5) (i32.const 40))
         {ECHO}"
    ));
    let (outcome, events) = watch(&component, Limits::default()).await;
    outcome.unwrap();
    let expect = [
        JobEvent::Log { level: LogLevel::Warn, message: "x".into(), fields: vec![] },
        JobEvent::Progress { done: 1, total: Some(2), note: "x".into() },
        JobEvent::Chunk(b"x".to_vec()),
    ];
    assert_eq!(events, expect);
}

#[tokio::test]
async fn a_media_type_that_is_none_is_refused() {
    let component = running("(call $ok (local.get 4) (local.get 5) (local.get 4) (local.get 5))");
    let failure = run(&load(&component), job(b"no type")).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Permanent);
    assert!(failure.message.contains("`no type`"), "{failure}");
}

#[tokio::test]
async fn a_cancelled_guest_sees_it_and_may_answer() {
    let component = running(
        "(loop $wait (br_if $wait (i32.eqz (call $cancelled))))
         (call $err (i32.const 4) (i32.const 0) (i32.const 0))",
    );
    let cancel = CancellationToken::new();
    let running = tokio::spawn({
        let (plugin, cancel) = (load(&component), cancel.clone());
        async move { run(&plugin, Job { cancel, ..job(b"") }).await }
    });
    cancel.cancel();
    let failure = running.await.unwrap().unwrap_err();
    assert_eq!(failure.kind, FailureKind::Cancelled);
}

#[tokio::test]
async fn a_job_that_is_cancelled_before_it_starts_does_not_start() {
    let cancel = CancellationToken::new();
    cancel.cancel();
    let failure = run(&load(&echo()), Job { cancel, ..job(b"") }).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Cancelled);
    assert!(failure.message.contains("before it started"), "{failure}");
}

#[tokio::test]
async fn many_runs_at_once_wait_for_slots_and_all_finish() {
    let plugin = load(&echo());
    let runs: Vec<_> = (0..200u8)
        .map(|n| {
            let plugin = plugin.clone();
            tokio::spawn(async move { run(&plugin, job(&[n])).await.unwrap().body })
        })
        .collect();
    for (n, run) in (0..200u8).zip(runs) {
        assert_eq!(run.await.unwrap(), [n]);
    }
}
