//! Vices against a node's time and memory. None of them reaches outside the sandbox.

use std::hint::black_box;
use std::thread;
use std::time::Duration;

use akita_plugin::prelude::*;
use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::random::random::get_random_bytes;

use crate::options::Options;

/// Taken at a time by the memory bomb and the emit flood.
const CHUNK: usize = 1 << 20;

/// Aborting is a trap in a guest.
pub fn trap() -> ! {
    std::process::abort()
}

/// Busy, without a call to the host that could notice anything.
pub fn spin_forever() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// Idle inside a host call, where interrupting the guest's own code does not help.
pub fn sleep_for_an_hour() -> ! {
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

/// Takes memory and touches it, so that it has to exist.
pub fn memory_bomb() -> ! {
    let mut taken = Vec::new();
    loop {
        taken.push(black_box(vec![1_u8; CHUNK]));
    }
}

/// More than anybody asked for.
pub fn huge_result(options: &Options) -> Content {
    Content::new("application/octet-stream", vec![7; options.bytes])
}

/// Partial output without end; counts what the host took.
pub fn emit_flood(options: &Options) -> String {
    let chunk = vec![7; CHUNK.min(options.bytes.max(1))];
    let mut emitted = 0;
    let mut refusal = String::new();
    while emitted < options.bytes {
        if let Err(reason) = task::emit(&chunk) {
            refusal = reason;
            break;
        }
        emitted += chunk.len();
    }
    serde_json::json!({ "emitted": emitted, "refused": refusal }).to_string()
}

/// Long lines, too many.
pub fn log_flood(options: &Options) -> String {
    let line = "flood ".repeat(100);
    for number in 0..options.lines {
        log::error(&line, &[("number", &number)]);
    }
    format!(r#"{{"written":{}}}"#, options.lines)
}

/// Progress as fast as it goes.
pub fn progress_flood(options: &Options) -> String {
    for done in 0..options.lines {
        task::progress(done, options.lines, "flood");
    }
    format!(r#"{{"reported":{}}}"#, options.lines)
}

/// As many lines, past the host's own log interface.
pub fn stderr_flood(options: &Options) -> String {
    for number in 0..options.lines {
        eprintln!("{} {number}", "flood ".repeat(100));
    }
    format!(r#"{{"written":{}}}"#, options.lines)
}

/// Nothing but calls to the host, which are not the guest's own code.
pub fn call_flood() -> ! {
    let mut sum = 0_u64;
    loop {
        sum = black_box(sum.wrapping_add(task::remaining_ms()));
    }
}

/// Each timer is something that the host keeps for its guest.
pub fn handle_flood() -> ! {
    loop {
        std::mem::forget(black_box(subscribe_duration(u64::MAX)));
    }
}

/// Work that the host would do, and memory that it would take.
pub fn random_flood(options: &Options) -> String {
    format!(r#"{{"bytes":{}}}"#, get_random_bytes(options.bytes as u64).len())
}

/// A frame too big to be turned into a loop.
#[expect(unconditional_recursion, reason = "running out of stack is what this action is for")]
pub fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    recurse(depth + 1) + black_box(frame)[3]
}
