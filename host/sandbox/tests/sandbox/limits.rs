//! Guests that misbehave: each ends with a reason that names the limit, and nobody else notices.

use std::time::{Duration, Instant};

use akita_sandbox::{Allocator, FailureKind, Job, JobEvent, Limits, Sandbox, SandboxConfig};
use tokio_util::sync::CancellationToken;

use crate::guests::{ECHO, Guest, echo, running, sleeper};
use crate::{PATIENCE, config, fail, fresh, job, load, run, watch};

/// Never ends.
const LOOP: &str = "(loop $forever (br $forever)) (unreachable)";
/// Takes memory until it gets no more, then traps as a language's runtime does.
const BOMB: &str = "(loop $more (br_if $more (i32.ne (i32.const -1) (memory.grow (i32.const 16))))) (unreachable)";

fn short() -> Limits {
    Limits { timeout: Duration::from_millis(100), ..Limits::default() }
}

#[tokio::test]
async fn an_endless_loop_meets_the_time_limit() {
    let failure = fail(&running(LOOP), short()).await;
    assert_eq!(failure.kind, FailureKind::TimeLimit);
    assert_eq!(failure.message, "stopped after 100 ms: the time limit of this task (timeout 100 ms)");
}

#[tokio::test]
async fn a_sleep_meets_the_time_limit() {
    for nanoseconds in [3_600_000_000_000, u64::MAX] {
        let failure = fail(&sleeper(nanoseconds), short()).await;
        assert_eq!(failure.kind, FailureKind::TimeLimit);
    }
}

#[tokio::test]
async fn a_short_sleep_is_only_a_sleep() {
    let content = run(&load(&sleeper(1_000_000)), job(b"awake")).await.unwrap();
    assert_eq!(content.body, b"awake");
}

#[tokio::test]
async fn a_loop_in_the_start_of_a_module_meets_the_time_limit() {
    let guest = Guest {
        wat_items: format!("(func $start {}) (start $start)", LOOP.replace("(unreachable)", "")),
        ..Guest::default()
    };
    let (_, dir) = fresh();
    let mut config = config(dir.path().join("cache"));
    config.describe_limits = short();
    let error = Sandbox::new(config).unwrap().load_bytes(&guest.component()).unwrap_err().to_string();
    assert!(error.contains("time limit"), "{error}");
}

#[tokio::test]
async fn a_trap_says_why_and_where() {
    let component = Guest {
        wat_items: "(func $inner (unreachable)) (func $outer (call $inner))".into(),
        run: format!("(call $outer) {ECHO}"),
        ..Guest::default()
    }
    .component();
    let failure = fail(&component, Limits::default()).await;
    assert_eq!(failure.kind, FailureKind::Trap);
    assert!(failure.message.contains("unreachable"), "{failure}");
    assert!(failure.message.contains("inner < outer"), "{failure}");
}

#[tokio::test]
async fn deep_recursion_is_a_trap() {
    let component = Guest {
        wat_items: "(func $deep (param i32) (result i32) (i32.add (i32.const 1) (call $deep (local.get 0))))".into(),
        run: "(call $deep (i32.const 0))".into(),
        ..Guest::default()
    }
    .component();
    let failure = fail(&component, Limits::default()).await;
    assert_eq!(failure.kind, FailureKind::Trap);
    assert!(failure.message.contains("call stack exhausted"), "{failure}");
    assert!(failure.message.len() < 500, "{failure}");
}

#[tokio::test]
async fn a_memory_bomb_meets_the_memory_limit() {
    let limits = Limits { memory_bytes: 16 << 20, ..Limits::default() };
    let failure = fail(&running(BOMB), limits).await;
    assert_eq!(failure.kind, FailureKind::MemoryLimit);
    assert!(failure.message.starts_with("refused memory beyond 16 MiB: the memory limit"), "{failure}");
    assert!(failure.message.contains("unreachable"), "{failure}");
}

#[tokio::test]
async fn a_guest_that_starts_over_the_memory_limit_does_not_start() {
    let component = Guest { pages: 64, ..Guest::default() }.component();
    let failure = fail(&component, Limits { memory_bytes: 1 << 20, ..Limits::default() }).await;
    assert_eq!(failure.kind, FailureKind::MemoryLimit);
}

#[tokio::test]
async fn an_input_that_does_not_fit_meets_the_memory_limit() {
    let limits = Limits { memory_bytes: 1 << 20, ..Limits::default() };
    let failure = run(&load(&echo()), Job { limits, ..job(&vec![0; 2 << 20]) }).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::MemoryLimit);
}

#[tokio::test]
async fn all_guests_together_keep_to_the_budget() {
    let (_, dir) = fresh();
    let config = SandboxConfig { memory_budget_bytes: 4 << 20, ..config(dir.path().join("cache")) };
    let sandbox = Sandbox::new(config).unwrap();
    let plugin = sandbox.load_bytes(&running(BOMB)).unwrap();
    let failure = sandbox.run(plugin, job(b"")).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Retryable);
    assert_eq!(failure.code.as_deref(), Some("node-memory"));
    let plugin = sandbox.load_bytes(&echo()).unwrap();
    sandbox.run(plugin, job(b"")).await.expect("the budget is given back");
}

#[tokio::test]
async fn a_result_over_the_limit_is_named_by_its_size() {
    let limits = Limits { output_bytes: 1 << 20, ..Limits::default() };
    let failure = run(&load(&echo()), Job { limits, ..job(&vec![0; 3 << 19]) }).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::OutputLimit);
    assert_eq!(failure.message, "output of 1.5 MiB is over the limit of 1.0 MiB");
}

#[tokio::test]
async fn a_huge_result_is_not_even_copied() {
    let component = running(
        "(drop (memory.grow (i32.const 1024)))
         (call $ok (local.get 2) (local.get 3) (i32.const 0) (i32.const 60000000))",
    );
    let failure = fail(&component, Limits { output_bytes: 1 << 20, ..Limits::default() }).await;
    assert_eq!(failure.kind, FailureKind::OutputLimit);
    assert!(failure.message.contains("output limit of 1.0 MiB"), "{failure}");
}

#[tokio::test]
async fn a_result_outside_the_guests_memory_is_a_trap() {
    let component = running("(call $ok (i32.const -8) (i32.const 100) (i32.const 0) (i32.const 0))");
    assert_eq!(fail(&component, Limits::default()).await.kind, FailureKind::Trap);
    let component = running("(i32.const -4)");
    assert_eq!(fail(&component, Limits::default()).await.kind, FailureKind::Trap);
}

#[tokio::test]
async fn a_log_flood_is_cut_and_counted_and_the_run_goes_on() {
    let component = running(format!(
        "(local $n i32)
         (loop $more (call $log (i32.const 2) (local.get 4) (local.get 5) (i32.const 0) (i32.const 0))
           (br_if $more (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 50000))))
         {ECHO}"
    ));
    let (outcome, events) = watch(&component, Limits { log_lines: 10, ..Limits::default() }).await;
    outcome.unwrap();
    assert_eq!(events.len(), 11);
    let Some(JobEvent::Log { message, .. }) = events.last() else { panic!("{events:?}") };
    assert!(message.starts_with("dropped 49990 lines"), "{message}");
}

#[tokio::test]
async fn a_progress_flood_keeps_the_latest() {
    let component = running(format!(
        "(local $n i64)
         (loop $more (call $progress (local.get $n) (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0))
           (br_if $more (i64.lt_u (local.tee $n (i64.add (local.get $n) (i64.const 1))) (i64.const 50000))))
         {ECHO}"
    ));
    let (outcome, events) = watch(&component, Limits::default()).await;
    outcome.unwrap();
    assert!(events.len() < 1000, "{}", events.len());
    assert!(matches!(events.last(), Some(JobEvent::Progress { done: 49_999, .. })), "{:?}", events.last());
}

#[tokio::test]
async fn chunks_over_the_output_limit_are_refused_to_the_guest() {
    // Gives back the case of the last `emit`: 1 for an error.
    let component = running(
        "(local $n i32)
         (loop $more (call $emit (i32.const 0) (i32.const 1000) (i32.const 40))
           (br_if $more (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 100))))
         (call $ok (local.get 2) (local.get 3) (i32.const 40) (i32.const 1))",
    );
    let (outcome, events) = watch(&component, Limits { output_bytes: 10_000, ..Limits::default() }).await;
    assert_eq!(outcome.unwrap().body, [1]);
    let bytes: usize =
        events.iter().map(|event| if let JobEvent::Chunk(chunk) = event { chunk.len() } else { 0 }).sum();
    assert_eq!(bytes, 10_000);
}

#[tokio::test]
async fn a_guest_that_ignores_a_cancellation_is_stopped() {
    for component in [running(LOOP), sleeper(3_600_000_000_000)] {
        let cancel = CancellationToken::new();
        let plugin = load(&component);
        let running = tokio::spawn({
            let cancel = cancel.clone();
            async move { run(&plugin, Job { cancel, ..job(b"") }).await }
        });
        cancel.cancel();
        let failure = running.await.unwrap().unwrap_err();
        assert_eq!(failure.kind, FailureKind::Cancelled);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn spinning_guests_do_not_hold_up_the_callers_runtime() {
    let (sandbox, _dir) = fresh();
    let plugin = sandbox.load_bytes(&running(LOOP)).unwrap();
    let limits = Limits { timeout: PATIENCE, ..Limits::default() };
    let spinning: Vec<_> = (0..8)
        .map(|_| {
            let (sandbox, plugin, limits) = (sandbox.clone(), plugin.clone(), limits.clone());
            tokio::spawn(async move { sandbox.run(plugin, Job { limits, ..job(b"") }).await })
        })
        .collect();
    // This runtime has one thread: it would never get here again if a guest were on it.
    let started = Instant::now();
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(started.elapsed() < PATIENCE / 2);
    sandbox.shutdown();
    for one in spinning {
        assert_eq!(one.await.unwrap().unwrap_err().kind, FailureKind::Internal);
    }
}

#[tokio::test]
async fn dropping_the_future_stops_the_guest_and_frees_its_slot() {
    let (_, dir) = fresh();
    let sandbox = Sandbox::new(SandboxConfig { slots: 1, ..config(dir.path().join("cache")) }).unwrap();
    let plugin = sandbox.load_bytes(&running(LOOP)).unwrap();
    let limits = Limits { timeout: 10 * PATIENCE, ..Limits::default() };
    let abandoned = sandbox.run(plugin, Job { limits, ..job(b"") });
    tokio::time::timeout(Duration::from_millis(20), abandoned).await.expect_err("it never ends by itself");
    let plugin = sandbox.load_bytes(&echo()).unwrap();
    let next = tokio::time::timeout(PATIENCE, sandbox.run(plugin, job(b"next"))).await.expect("the slot is free");
    assert_eq!(next.unwrap().body, b"next");
}

#[tokio::test]
async fn spinning_guests_share_the_threads_with_short_ones() {
    let (_, dir) = fresh();
    let config = SandboxConfig { slots: 4, guest_threads: 1, ..config(dir.path().join("cache")) };
    let sandbox = Sandbox::new(config).unwrap();
    let spinner = sandbox.load_bytes(&running(LOOP)).unwrap();
    let limits = Limits { timeout: 10 * PATIENCE, ..Limits::default() };
    for _ in 0..3 {
        let (sandbox, plugin, limits) = (sandbox.clone(), spinner.clone(), limits.clone());
        tokio::spawn(async move { sandbox.run(plugin, Job { limits, ..job(b"") }).await });
    }
    let plugin = sandbox.load_bytes(&echo()).unwrap();
    for _ in 0..5 {
        let one = tokio::time::timeout(PATIENCE, sandbox.run(plugin.clone(), job(b"short"))).await;
        assert_eq!(one.expect("the short one gets its turn").unwrap().body, b"short");
    }
    let sleeping = sandbox.load_bytes(&sleeper(3_600_000_000_000)).unwrap();
    let failure = sandbox.run(sleeping, Job { limits: short(), ..job(b"") }).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::TimeLimit);
    sandbox.shutdown();
}

#[tokio::test]
async fn a_sandbox_that_was_shut_down_says_so() {
    let (sandbox, _dir) = fresh();
    let plugin = sandbox.load_bytes(&echo()).unwrap();
    sandbox.shutdown();
    sandbox.shutdown();
    let failure = sandbox.run(plugin, job(b"")).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Internal);
    assert!(failure.message.contains("shutting down"), "{failure}");
}

#[tokio::test]
async fn every_allocator_holds_guests_to_their_limits() {
    let deep = Guest {
        wat_items: "(func $deep (param i32) (result i32) (i32.add (i32.const 1) (call $deep (local.get 0))))".into(),
        run: "(call $deep (i32.const 0))".into(),
        ..Guest::default()
    };
    let outside = running("(i32.store8 (i32.const -1) (i32.const 1)) (unreachable)");
    let bad = [
        (running(LOOP), FailureKind::TimeLimit),
        (running(BOMB), FailureKind::MemoryLimit),
        (deep.component(), FailureKind::Trap),
        (outside, FailureKind::Trap),
    ];
    for allocator in Allocator::ALL {
        let (_, dir) = fresh();
        let config = SandboxConfig { allocator: Some(allocator), ..config(dir.path().join("cache")) };
        let sandbox = Sandbox::new(config).unwrap();
        assert_eq!(sandbox.allocator(), allocator);
        let plugin = sandbox.load_bytes(&echo()).unwrap();
        assert_eq!(sandbox.run(plugin, job(b"same")).await.unwrap().body, b"same");
        for (component, kind) in &bad {
            let timeout = if *kind == FailureKind::TimeLimit { short().timeout } else { PATIENCE };
            let limits = Limits { memory_bytes: 16 << 20, timeout, ..Limits::default() };
            let plugin = sandbox.load_bytes(component).unwrap();
            let failure = sandbox.run(plugin, Job { limits, ..job(b"") }).await.unwrap_err();
            assert_eq!(failure.kind, *kind, "{allocator:?}: {failure}");
        }
    }
}
