//! Guests that only make sense with a whole node around them: they keep blobs, emit, or read much.

use crate::guests::Guest;

/// Reads its input in pieces of a megabyte, one at a time, and gives the number of bytes and their sum, eight bytes each.
pub fn adder(name: &str) -> Guest {
    Guest {
        name: name.into(),
        chunks: true,
        wat_imports: r#"(import "akita:plugin/task@0.1.0" "read-input" (func $piece (param i64 i32 i32)))"#,
        wat_items: "(global $at (mut i64) (i64.const 0)) (global $sum (mut i64) (i64.const 0))
            (global $i (mut i32) (i32.const 0)) (global $mark (mut i32) (i32.const 0))"
            .into(),
        run: "(global.set $mark (global.get $top))
            (block $done (loop $next
              (global.set $top (global.get $mark))
              (call $piece (global.get $at) (i32.const 1048576) (i32.const 256))
              (br_if $done (i32.eqz (i32.load (i32.const 260))))
              (global.set $i (i32.const 0))
              (loop $byte
                (global.set $sum (i64.add (global.get $sum)
                  (i64.load8_u (i32.add (i32.load (i32.const 256)) (global.get $i)))))
                (global.set $i (i32.add (global.get $i) (i32.const 1)))
                (br_if $byte (i32.lt_u (global.get $i) (i32.load (i32.const 260)))))
              (global.set $at (i64.add (global.get $at) (i64.extend_i32_u (i32.load (i32.const 260)))))
              (br $next)))
            (i64.store (i32.const 600) (global.get $at))
            (i64.store (i32.const 608) (global.get $sum))
            (call $ok (local.get 2) (local.get 3) (i32.const 600) (i32.const 16))"
            .into(),
        ..Guest::default()
    }
}

/// Gives the blob that its input names, or keeps its input as one and gives the name; `E` and the error's number if it
/// cannot.
pub fn keeper(name: &str) -> Guest {
    Guest {
        name: name.into(),
        wit_imports: "import blobs;",
        wat_imports: r#"
            (import "akita:plugin/blobs@0.1.0" "read" (func $read (param i32 i32 i64 i32 i32)))
            (import "akita:plugin/blobs@0.1.0" "put" (func $put (param i32 i32 i32)))"#,
        run: "(if (i32.eq (local.get 5) (i32.const 64))
              (then (call $read (local.get 4) (local.get 5) (i64.const 0) (i32.const 1048576) (i32.const 256)))
              (else (call $put (local.get 4) (local.get 5) (i32.const 256))))
            (if (i32.load8_u (i32.const 256)) (then
              (i32.store8 (i32.const 600) (i32.const 69))
              (i32.store8 (i32.const 601) (i32.add (i32.const 48) (i32.load8_u (i32.const 264))))
              (return (call $ok (local.get 2) (local.get 3) (i32.const 600) (i32.const 2)))))
            (call $ok (local.get 2) (local.get 3) (i32.load (i32.const 264)) (i32.load (i32.const 268)))"
            .into(),
        ..Guest::default()
    }
}

/// Emits its input and says that it is half done, waits until the sensor `g` is not 0, emits ` and more`, and gives back
/// `done`.
pub fn talker(name: &str) -> Guest {
    let data = |at: usize, text: &str| {
        let bytes = text.bytes().enumerate();
        bytes.map(|(n, byte)| format!("(i32.store8 (i32.const {}) (i32.const {byte}))", at + n)).collect::<String>()
    };
    let texts = data(512, "g") + &data(520, "half") + &data(530, " and more") + &data(540, "done");
    Guest {
        name: name.into(),
        packages: vec![
            "package wasi:io@0.2.0; interface poll { resource pollable { block: func(); } }",
            "package wasi:clocks@0.2.0; interface monotonic-clock { use wasi:io/poll@0.2.0.{pollable}; \
             subscribe-duration: func(when: u64) -> pollable; }",
        ],
        wit_imports: "import sensors; import wasi:clocks/monotonic-clock@0.2.0;",
        wat_imports: r#"
            (import "akita:plugin/sensors@0.1.0" "read" (func $read (param i32 i32 i32)))
            (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $timer (param i64) (result i32)))
            (import "wasi:io/poll@0.2.0" "[resource-drop]pollable" (func $drop (param i32)))
            (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))"#,
        wat_items: "(global $pollable (mut i32) (i32.const 0))".into(),
        run: format!(
            "{texts}
            (call $emit (local.get 4) (local.get 5) (i32.const 256))
            (call $progress (i64.const 1) (i32.const 1) (i64.const 2) (i32.const 520) (i32.const 4))
            (loop $wait
              (global.set $pollable (call $timer (i64.const 50000000)))
              (call $block (global.get $pollable))
              (call $drop (global.get $pollable))
              (call $read (i32.const 512) (i32.const 1) (i32.const 256))
              (br_if $wait (i32.load8_u (i32.const 256)))
              (br_if $wait (f64.eq (f64.load (i32.const 272)) (f64.const 0))))
            (call $emit (i32.const 530) (i32.const 9) (i32.const 256))
            (call $ok (local.get 2) (local.get 3) (i32.const 540) (i32.const 4))"
        ),
        ..Guest::default()
    }
}
