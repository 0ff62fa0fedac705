//! Guests made to break the host rather than to fail: wrong numbers where the contract has an address, floods of what the
//! host keeps for a guest, files made to choke the loader. Each ends with a reason, and the sandbox runs on. The table in
//! `docs/security.md` names these tests.

use std::fmt::Write as _;
use std::time::Duration;

use akita_sandbox::{Allocator, FailureKind, Limits, LoadError, Sandbox, SandboxConfig};

use crate::guests::{Guest, echo, running};
use crate::{config, fail, fresh, job, load, run, shared};

fn short() -> Limits {
    Limits { timeout: Duration::from_millis(100), ..Limits::default() }
}

/// The sandbox still does its work.
async fn still_works() {
    assert_eq!(run(&load(&echo()), job(b"still here")).await.unwrap().body, b"still here");
}

#[tokio::test]
async fn a_flood_of_host_calls_meets_the_time_limit() {
    let failure = fail(&running("(loop $on (drop (call $attempt)) (br $on)) (unreachable)"), short()).await;
    assert_eq!(failure.kind, FailureKind::TimeLimit);
    still_works().await;
}

#[tokio::test]
async fn texts_and_addresses_that_lie_are_traps() {
    let log = |level: i32, at: i64, length: i64, fields_at: i64, fields: i64| {
        running(format!(
            "(i32.store8 (i32.const 600) (i32.const 255))
             (call $log (i32.const {level}) (i32.const {at}) (i32.const {length}) (i32.const {fields_at}) (i32.const {fields}))
             (unreachable)"
        ))
    };
    let result = |word: &str| {
        running(format!(
            "(drop (call $ok (local.get 2) (local.get 3) (i32.const 0) (i32.const 0))) {word} (i32.const 64)"
        ))
    };
    let lies = [
        ("text that is no UTF-8", log(1, 600, 1, 0, 0), "utf-8"),
        ("text outside of memory", log(1, -8, 100, 0, 0), "out of bounds"),
        ("text longer than memory", log(1, 0, 0x7fff_ffff, 0, 0), "out of bounds"),
        ("a list longer than memory", log(1, 600, 0, 0, 0x7fff_ffff), "out of bounds"),
        ("a list at an odd address", log(1, 600, 0, 3, 1), "aligned"),
        ("a case that an enumeration does not have", log(99, 600, 0, 0, 0), "discriminant"),
        ("a case that a result does not have", result("(i32.store8 (i32.const 64) (i32.const 7))"), "discriminant"),
        (
            "an error that does not exist",
            running("(call $err (i32.const 99) (i32.const 0) (i32.const 0))"),
            "discriminant",
        ),
        ("a result at an odd address", running("(i32.const 65)"), "aligned"),
    ];
    for (what, component, word) in lies {
        let failure = fail(&component, Limits::default()).await;
        assert_eq!(failure.kind, FailureKind::Trap, "{what}: {failure}");
        assert!(failure.message.contains(word) || failure.message.contains("unaligned"), "{what}: {failure}");
        assert!(failure.message.len() < 500, "{what}: {failure}");
    }
    still_works().await;
}

#[tokio::test]
async fn an_allocator_that_lies_is_a_trap() {
    for address in ["-16", "1000000000", "65537"] {
        let lie = format!("(i32.const {address}))\n  (func $ok");
        let edits = vec![("(local.get $at))\n  (func $ok", &*lie.leak())];
        let component = Guest { wat_edits: edits, ..Guest::default() }.component();
        let outcome = run(&load(&component), job(&[7; 100_000])).await;
        assert_eq!(outcome.unwrap_err().kind, FailureKind::Trap, "{address}");
    }
    still_works().await;
}

#[tokio::test]
async fn a_table_bomb_meets_its_bound_on_every_allocator() {
    let component = Guest {
        wat_items: "(table $bomb 1 funcref)".into(),
        run: "(loop $more (br_if $more (i32.ne (i32.const -1)
                (table.grow $bomb (ref.null func) (i32.const 1000)))))
              (i32.store (i32.const 600) (table.size $bomb))
              (call $ok (local.get 2) (local.get 3) (i32.const 600) (i32.const 4))"
            .into(),
        ..Guest::default()
    }
    .component();
    for allocator in Allocator::ALL {
        let (_, dir) = fresh();
        let config = SandboxConfig { allocator: Some(allocator), ..config(dir.path().join("cache")) };
        let sandbox = Sandbox::new(config).unwrap();
        let body = sandbox.run(sandbox.load_bytes(&component).unwrap(), job(b"")).await.unwrap().body;
        let elements = u32::from_le_bytes(body.try_into().unwrap());
        assert!((60_000..=65_536).contains(&elements), "{allocator:?}: {elements}");
    }
}

#[tokio::test]
async fn handles_and_random_bytes_without_end_are_refused() {
    let guest = Guest {
        packages: vec![
            "package wasi:io@0.2.0; interface poll { resource pollable { block: func(); } }",
            "package wasi:clocks@0.2.0; interface monotonic-clock { use wasi:io/poll@0.2.0.{pollable}; \
             subscribe-duration: func(when: u64) -> pollable; }",
            "package wasi:random@0.2.0; interface random { get-random-bytes: func(len: u64) -> list<u8>; }",
        ],
        wit_imports: "import wasi:clocks/monotonic-clock@0.2.0; import wasi:random/random@0.2.0;",
        wat_imports: r#"
            (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $timer (param i64) (result i32)))
            (import "wasi:random/random@0.2.0" "get-random-bytes" (func $random (param i64 i32)))"#,
        ..Guest::default()
    };
    let handles = "(loop $on (drop (call $timer (i64.const -1))) (br $on)) (unreachable)";
    for run in [handles, "(call $random (i64.const 1099511627776) (i32.const 600)) (unreachable)"] {
        let component = Guest { run: run.into(), packages: guest.packages.clone(), ..Guest::default() };
        let component =
            Guest { wit_imports: guest.wit_imports, wat_imports: guest.wat_imports, ..component }.component();
        let failure = fail(&component, Limits::default()).await;
        assert_eq!(failure.kind, FailureKind::Trap, "{failure}");
    }
    still_works().await;
}

#[tokio::test]
async fn more_memories_than_a_plugin_needs_are_refused() {
    let component = Guest { wat_items: "(memory 1)".repeat(8), ..Guest::default() }.component();
    for allocator in Allocator::ALL {
        let (_, dir) = fresh();
        let config = SandboxConfig { allocator: Some(allocator), ..config(dir.path().join("cache")) };
        let refused = Sandbox::new(config).unwrap().load_bytes(&component).unwrap_err().to_string();
        assert!(refused.contains("memor"), "{allocator:?}: {refused}");
    }
}

/// A component of nothing but imports, with exports of the right names.
fn importing(count: usize, name: impl Fn(usize) -> String) -> Vec<u8> {
    let mut text = String::from("(component\n");
    for number in 0..count {
        writeln!(text, r#"(import "{}" (func $f{number}))"#, name(number)).expect("a string takes it");
    }
    text.push_str(
        r#"(core module $module (func (export "nothing")))
           (core instance $core (instantiate $module))
           (func $nothing (canon lift (core func $core "nothing")))
           (instance $actions (export "describe" (func $nothing)) (export "run" (func $nothing)))
           (export "akita:plugin/actions@0.1.0" (instance $actions)))"#,
    );
    wat::parse_str(text).expect("the text parses")
}

#[test]
fn ten_thousand_imports_are_refused_in_a_short_sentence() {
    let error = shared().load_bytes(&importing(10_000, |number| format!("import-{number}"))).unwrap_err();
    assert!(matches!(error, LoadError::NotGranted(_) | LoadError::WrongWorld(_)), "{error}");
    let text = error.to_string();
    assert!(text.contains("import-0") && text.len() < 1_000, "{} bytes: {text:.300}", text.len());
    let long = shared().load_bytes(&importing(1, |_| "long-".repeat(10_000) + "name")).unwrap_err().to_string();
    assert!(long.len() < 1_000, "{} bytes: {long:.300}", long.len());
}

#[test]
fn a_megabyte_of_description_is_refused_in_a_short_sentence() {
    for size in [1 << 20, 8 << 20] {
        let guest = Guest { name: "x".repeat(size), pages: (size >> 16) + 8, ..Guest::default() };
        // The data lies where the guest's heap would begin.
        let heap = format!("(global $top (mut i32) (i32.const {}))", size + (2 << 16));
        let edits = vec![("(global $top (mut i32) (i32.const 65536))", &*heap.leak())];
        let error = shared().load_bytes(&Guest { wat_edits: edits, ..guest }.component()).unwrap_err();
        assert!(matches!(error, LoadError::BadDescription(_) | LoadError::DescribeFailed(_)), "{error:.300}");
        assert!(error.to_string().len() < 1_000, "{} bytes", error.to_string().len());
    }
}

#[test]
fn a_description_that_lies_about_its_size_is_refused() {
    // The number of actions in what `describe` returns lies 28 bytes behind its start.
    let describe =
        "(i32.store (i32.const 600) (i32.const 0)) (memory.fill (i32.const 1024) (i32.const 255) (i32.const 4096))";
    let error = shared().load_bytes(&Guest { describe, ..Guest::default() }.component()).unwrap_err();
    assert!(matches!(error, LoadError::DescribeFailed(_)), "{error}");
    let panic = Guest { describe: "(unreachable)", ..Guest::default() }.component();
    assert!(matches!(shared().load_bytes(&panic).unwrap_err(), LoadError::DescribeFailed(_)));
}

#[tokio::test]
async fn crashes_by_the_hundred_leave_nothing_behind() {
    let crash = load(&running("(unreachable)"));
    let runs: Vec<_> = (0..300)
        .map(|_| {
            let crash = crash.clone();
            tokio::spawn(async move { run(&crash, job(b"")).await })
        })
        .collect();
    for one in runs {
        assert_eq!(one.await.unwrap().unwrap_err().kind, FailureKind::Trap);
    }
    still_works().await;
}

/// As many times as a plugin may come and go in years of a node's life.
const INSTALLS: u32 = 1_000;

#[cfg(target_os = "linux")]
#[test]
fn a_thousand_plugins_come_and_go_and_leave_no_file_and_no_handle() {
    let (sandbox, dir) = fresh();
    let cache = dir.path().join("cache").canonicalize().unwrap();
    let plain = echo();
    for number in 0..INSTALLS {
        // Another content each time: a section that means nothing.
        let mut component = plain.clone();
        component.extend_from_slice(&[0, 6, 1, b'n']);
        component.extend_from_slice(&number.to_le_bytes());
        drop(sandbox.load_bytes(&component).unwrap());
    }
    let within = |path: std::path::PathBuf| path.starts_with(&cache);
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let open = open.filter_map(|one| std::fs::read_link(one.ok()?.path()).ok()).filter(|path| within(path.clone()));
    assert_eq!(open.count(), 0, "files are still open");
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    assert_eq!(maps.matches(cache.to_str().unwrap()).count(), 0, "code is still mapped");
    let files = std::fs::read_dir(&cache).unwrap().count();
    assert!(files < 2 * INSTALLS as usize, "{files} files: nothing is ever removed");
}

#[tokio::test]
async fn what_a_guest_of_one_run_hides_no_other_finds() {
    // Fills all of its memory, down to what its allocator has not touched, and looks for it in the next run.
    let component = running(
        "(i32.store8 (i32.const 44) (i32.load8_u (i32.const 130000)))
         (memory.fill (i32.const 120000) (i32.const 7) (i32.const 11000))
         (call $ok (local.get 2) (local.get 3) (i32.const 44) (i32.const 1))",
    );
    let plugin = load(&component);
    for _ in 0..20 {
        assert_eq!(run(&plugin, job(b"")).await.unwrap().body, [0]);
    }
}
