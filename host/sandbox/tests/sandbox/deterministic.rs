//! Deterministic mode: the same input gives the same output, whatever machine, allocator or limits it meets.

use std::fs;
use std::time::Duration;

use akita_sandbox::{
    Allocator, FUEL_PER_SECOND, FailureKind, Job, JobEvent, Limits, Mode, Outcome, Sandbox, SandboxConfig,
};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::guests::{Guest, echo, running, sleeper, swapper};
use crate::{PATIENCE, config, fresh, job, load, run};

/// A time limit that is generous with fuel, beside a clock that no test reaches.
fn deterministic(input: &[u8]) -> Job {
    let limits = Limits { timeout: PATIENCE, ..Limits::default() };
    Job { mode: Mode::Deterministic { time: Duration::from_secs(10) }, limits, ..job(input) }
}

/// One run in a sandbox of its own for each allocator.
async fn everywhere(component: &[u8], job: Job) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for allocator in Allocator::ALL {
        let (_, dir) = fresh();
        let config = SandboxConfig { allocator: Some(allocator), ..config(dir.path().join("cache")) };
        let sandbox = Sandbox::new(config).unwrap();
        let plugin = sandbox.load_bytes(component).unwrap();
        outcomes.push(tokio::time::timeout(PATIENCE, sandbox.run(plugin, job.clone())).await.expect("the run ends"));
    }
    outcomes
}

/// Looks at everything that differs between two ordinary runs, and gives it back as 112 bytes from 600 on.
fn witness() -> Vec<u8> {
    Guest {
        packages: vec![
            "package wasi:io@0.2.0; interface poll { resource pollable { block: func(); } }",
            "package wasi:clocks@0.2.0;
             interface monotonic-clock {
               use wasi:io/poll@0.2.0.{pollable};
               now: func() -> u64;
               subscribe-duration: func(when: u64) -> pollable;
               subscribe-instant: func(when: u64) -> pollable;
             }
             interface wall-clock { record datetime { seconds: u64, nanoseconds: u32 } now: func() -> datetime; }",
            "package wasi:random@0.2.0;
             interface random { get-random-bytes: func(len: u64) -> list<u8>; get-random-u64: func() -> u64; }
             interface insecure { get-insecure-random-u64: func() -> u64; }
             interface insecure-seed { insecure-seed: func() -> tuple<u64, u64>; }",
        ],
        wit_imports: "import wasi:clocks/monotonic-clock@0.2.0; import wasi:clocks/wall-clock@0.2.0;
            import wasi:random/random@0.2.0; import wasi:random/insecure@0.2.0;
            import wasi:random/insecure-seed@0.2.0;",
        wat_imports: r#"
            (import "wasi:clocks/monotonic-clock@0.2.0" "now" (func $now (result i64)))
            (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-instant" (func $at (param i64) (result i32)))
            (import "wasi:clocks/wall-clock@0.2.0" "now" (func $wall (param i32)))
            (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
            (import "wasi:random/random@0.2.0" "get-random-u64" (func $random (result i64)))
            (import "wasi:random/random@0.2.0" "get-random-bytes" (func $bytes (param i64 i32)))
            (import "wasi:random/insecure@0.2.0" "get-insecure-random-u64" (func $insecure (result i64)))
            (import "wasi:random/insecure-seed@0.2.0" "insecure-seed" (func $seed (param i32)))
            (import "akita:plugin/task@0.1.0" "id" (func $id (param i32)))"#,
        run: "(i64.store (i32.const 600) (call $random))
            (i64.store (i32.const 608) (call $insecure))
            (call $seed (i32.const 616))
            (i64.store (i32.const 632) (call $now))
            (call $block (call $at (i64.add (call $now) (i64.const 10000000))))
            (i64.store (i32.const 640) (call $now))
            (call $wall (i32.const 648))
            (i64.store (i32.const 664) (call $remaining))
            (i32.store (i32.const 672) (call $attempt))
            (call $id (i32.const 500))
            (i64.store (i32.const 680) (i64.load (i32.load (i32.const 500))))
            (call $bytes (i64.const 24) (i32.const 500))
            (memory.copy (i32.const 688) (i32.load (i32.const 500)) (i32.const 24))
            (call $ok (local.get 2) (local.get 3) (i32.const 600) (i32.const 112))"
            .into(),
        ..Guest::default()
    }
    .component()
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

#[tokio::test]
async fn time_randomness_and_the_attempt_are_the_same_everywhere() {
    let component = witness();
    let plugin = load(&component);
    let first = run(&plugin, Job { task_id: "0123456789".into(), ..deterministic(b"x") }).await.unwrap().body;
    let annotations = vec![("caller".to_owned(), "somebody".to_owned())];
    let limits = Limits { timeout: 2 * PATIENCE, memory_bytes: 1 << 30, ..Limits::default() };
    let other = Job { task_id: "9876543210".into(), attempt: 3, annotations, limits, ..deterministic(b"x") };
    for again in everywhere(&component, other).await {
        assert_eq!(again.unwrap().body, first);
    }
    let [started, woke, seconds, left] = [32, 40, 48, 64].map(|at| number(&first, at));
    assert!(started < 1_000_000 && woke - started >= 10_000_000, "the clock starts at nothing: {started}, {woke}");
    assert_eq!((seconds, left, first[72]), (1_735_689_600, 10_000, 1));
    // All of the seed shows: another input is another world.
    let different = run(&plugin, deterministic(b"y")).await.unwrap().body;
    for at in [0, 8, 16, 24, 80, 88, 96] {
        assert_ne!(number(&first, at), number(&different, at), "at {at}");
    }
    assert_ne!(number(&first, 0), number(&first, 8), "the two sources of randomness differ");
    // And the ordinary mode has none of it.
    let ordinary = run(&plugin, Job { mode: Mode::Ordinary, ..deterministic(b"x") }).await.unwrap().body;
    assert_ne!(ordinary, run(&plugin, Job { mode: Mode::Ordinary, ..deterministic(b"x") }).await.unwrap().body);
    assert_ne!(number(&ordinary, 48), seconds);
}

#[tokio::test]
async fn every_nan_has_the_same_bits() {
    // Divides nothing by nothing, takes a root of -1, adds to a NaN that carries a payload.
    let component = running(
        "(f32.store (i32.const 600) (f32.div (f32.load (i32.const 700)) (f32.load (i32.const 700))))
         (i64.store (i32.const 704) (i64.const 0xbff0000000000000))
         (f64.store (i32.const 608) (f64.sqrt (f64.load (i32.const 704))))
         (i32.store (i32.const 712) (i32.const 0xffa12345))
         (f32.store (i32.const 604) (f32.add (f32.load (i32.const 712)) (f32.load (i32.const 700))))
         (call $ok (local.get 2) (local.get 3) (i32.const 600) (i32.const 16))",
    );
    for outcome in everywhere(&component, deterministic(b"")).await {
        let body = outcome.unwrap().body;
        assert_eq!(number(&body, 0), 0x7fc0_0000_7fc0_0000, "{body:x?}");
        assert_eq!(number(&body, 8), 0x7ff8_0000_0000_0000, "{body:x?}");
    }
}

#[tokio::test]
async fn relaxed_vectors_are_not_relaxed() {
    // An index out of range: some processors take it modulo 16. A NaN made an integer: some give the least one.
    let component = running(
        "(v128.store (i32.const 600) (i8x16.relaxed_swizzle
           (v128.const i8x16 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7)
           (i8x16.splat (i32.add (i32.const 16) (i32.load8_u (i32.const 700))))))
         (v128.store (i32.const 616) (i32x4.relaxed_trunc_f32x4_s
           (f32x4.splat (f32.div (f32.load (i32.const 700)) (f32.load (i32.const 700))))))
         (call $ok (local.get 2) (local.get 3) (i32.const 600) (i32.const 32))",
    );
    for outcome in everywhere(&component, deterministic(b"")).await {
        assert_eq!(outcome.unwrap().body, [0; 32]);
    }
}

/// Takes memory until it is refused, and gives back how many pages it has then.
const GREEDY: &str = "(loop $more (br_if $more (i32.ne (i32.const -1) (memory.grow (i32.const 1)))))
    (i32.store (i32.const 600) (memory.size))
    (call $ok (local.get 2) (local.get 3) (i32.const 600) (i32.const 4))";

#[tokio::test]
async fn memory_ends_at_the_same_page_or_the_run_ends() {
    let component = running(GREEDY);
    let roomy =
        Job { limits: Limits { memory_bytes: 1 << 40, timeout: PATIENCE, ..Limits::default() }, ..deterministic(b"") };
    let pages = everywhere(&component, roomy).await.into_iter().map(|outcome| outcome.unwrap().body);
    let pages: Vec<_> = pages.map(|body| u32::from_le_bytes(body.try_into().unwrap())).collect();
    assert_eq!(pages, [2_047; 3], "128 MiB less the guest's table, whatever the node would give");
    // A node that gives less says so; the guest never sees it.
    let tight =
        Job { limits: Limits { memory_bytes: 16 << 20, timeout: PATIENCE, ..Limits::default() }, ..deterministic(b"") };
    let failure = run(&load(&component), tight).await.unwrap_err();
    assert_eq!((failure.kind, failure.code.as_deref()), (FailureKind::Retryable, Some("node-memory")));
    assert!(failure.message.contains("16 MiB"), "{failure}");
    let (_, dir) = fresh();
    let poor = SandboxConfig { memory_budget_bytes: 4 << 20, ..config(dir.path().join("cache")) };
    let sandbox = Sandbox::new(poor).unwrap();
    let failure = sandbox.run(sandbox.load_bytes(&component).unwrap(), deterministic(b"")).await.unwrap_err();
    assert_eq!((failure.kind, failure.code.as_deref()), (FailureKind::Retryable, Some("node-memory")));
}

#[tokio::test]
async fn output_over_the_nodes_own_limit_is_the_nodes_fault() {
    let limits = Limits { output_bytes: 1_000, timeout: PATIENCE, ..Limits::default() };
    let failure = run(&load(&echo()), Job { limits: limits.clone(), ..deterministic(&[0; 2_000]) }).await.unwrap_err();
    assert_eq!((failure.kind, failure.code.as_deref()), (FailureKind::Retryable, Some("node-output")));
    let emitting = running("(call $emit (i32.const 0) (i32.const 2000) (i32.const 40)) (unreachable)");
    let failure = run(&load(&emitting), Job { limits, ..deterministic(b"") }).await.unwrap_err();
    assert_eq!((failure.kind, failure.code.as_deref()), (FailureKind::Retryable, Some("node-output")));
}

/// Counts, and emits the number of every thousandth turn.
const COUNTING: &str = "(local $n i32)
    (loop $forever
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (if (i32.eqz (i32.rem_u (local.get $n) (i32.const 1000))) (then
        (i32.store (i32.const 600) (local.get $n))
        (call $emit (i32.const 600) (i32.const 4) (i32.const 40))))
      (br $forever))
    (unreachable)";

#[tokio::test]
async fn fuel_ends_at_the_same_instruction_everywhere() {
    let component = running(COUNTING);
    let mut ends = Vec::new();
    for allocator in Allocator::ALL.into_iter().chain([Allocator::OnDemand]) {
        let (_, dir) = fresh();
        let sandbox =
            Sandbox::new(SandboxConfig { allocator: Some(allocator), ..config(dir.path().join("cache")) }).unwrap();
        let (sender, mut receiver) = mpsc::channel(10_000);
        let mode = Mode::Deterministic { time: Duration::from_millis(20) };
        let job = Job { mode, events: Some(sender), ..deterministic(b"") };
        let failure = sandbox.run(sandbox.load_bytes(&component).unwrap(), job).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::FuelLimit, "{failure}");
        assert!(!failure.kind.is_retryable());
        assert!(failure.message.contains(&(FUEL_PER_SECOND / 50).to_string()), "{failure}");
        let mut emitted = Vec::new();
        while let Some(event) = receiver.recv().await {
            if let JobEvent::Chunk(chunk) = event {
                emitted.extend(chunk);
            }
        }
        ends.push((failure.message, emitted));
    }
    assert!(ends[0].1.len() > 100, "it came some way: {}", ends[0].1.len());
    assert!(ends.iter().all(|end| *end == ends[0]));
}

#[tokio::test]
async fn this_nodes_clock_still_ends_a_run_and_another_node_may_try() {
    let component = running("(loop $forever (br $forever)) (unreachable)");
    let limits = Limits { timeout: Duration::from_millis(50), ..Limits::default() };
    let mode = Mode::Deterministic { time: Duration::from_secs(300) };
    let failure = run(&load(&component), Job { limits, mode, ..job(b"") }).await.unwrap_err();
    assert_eq!((failure.kind, failure.code.as_deref()), (FailureKind::Retryable, Some("time-limit")), "{failure}");
}

#[tokio::test]
async fn nobody_waits_for_a_clock_that_is_not_real() {
    for nanoseconds in [3_600_000_000_000, u64::MAX] {
        let content = run(&load(&sleeper(nanoseconds)), deterministic(b"awake")).await.unwrap();
        assert_eq!(content.body, b"awake");
    }
}

#[tokio::test]
async fn a_plugin_whose_answers_come_from_its_node_is_refused() {
    let (sandbox, _dir) = fresh();
    let candidate = sandbox.examine(&swapper("keeper").component()).unwrap();
    let plugin = sandbox.link(&candidate, candidate.needs()).unwrap();
    let failure = sandbox.run(plugin, deterministic(b"")).await.unwrap_err();
    assert_eq!((failure.kind, failure.code.as_deref()), (FailureKind::Permanent, Some("not-deterministic")));
    assert!(failure.message.contains("`keeper` uses kv"), "{failure}");
}

#[tokio::test]
async fn a_cancelled_run_ends_without_having_seen_it() {
    let component = running(
        "(loop $wait (br_if $wait (i32.eqz (call $cancelled)))) (call $err (i32.const 3) (i32.const 0) (i32.const 0))",
    );
    let cancel = CancellationToken::new();
    let plugin = load(&component);
    let mode = Mode::Deterministic { time: Duration::from_secs(1_000_000) };
    let job = Job { cancel: cancel.clone(), mode, ..deterministic(b"") };
    let running = tokio::spawn(async move { run(&plugin, job).await });
    cancel.cancel();
    assert_eq!(running.await.unwrap().unwrap_err().kind, FailureKind::Cancelled);
}

#[tokio::test]
async fn code_of_the_mode_is_kept_beside_the_other() {
    let dir = TempDir::new().unwrap();
    let (cache, file) = (dir.path().join("cache"), dir.path().join("echo.wasm"));
    fs::write(&file, echo()).unwrap();
    let entries = || fs::read_dir(&cache).unwrap().count();
    let first = Sandbox::new(config(cache.clone())).unwrap();
    let plugin = first.load_file(&file).unwrap();
    assert_eq!(entries(), 2, "nothing is compiled for a mode that nobody has asked for");
    first.run(plugin, deterministic(b"")).await.unwrap();
    assert_eq!(entries(), 4);
    let second = Sandbox::new(config(cache.clone())).unwrap();
    let plugin = second.load_file(&file).unwrap();
    assert!(plugin.from_cache());
    // The file is not needed any more, unless the code is gone too.
    fs::write(&file, running("(unreachable)")).unwrap();
    assert_eq!(second.run(plugin.clone(), deterministic(b"kept")).await.unwrap().body, b"kept");
    assert_eq!(entries(), 4);
    let third = Sandbox::new(config(dir.path().join("other"))).unwrap();
    fs::write(&file, echo()).unwrap();
    let plugin = third.load_file(&file).unwrap();
    fs::write(&file, running("(unreachable)")).unwrap();
    let failure = third.run(plugin, deterministic(b"")).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Internal);
    assert!(failure.message.contains("replaced"), "{failure}");
}
