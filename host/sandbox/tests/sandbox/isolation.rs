//! WASI is linked with nothing behind it: no file, no variable, no argument, no socket.

use akita_sandbox::{JobEvent, Limits, LogLevel};

use crate::guests::{ECHO, Guest};
use crate::{job, load, run, watch};

/// Just enough of WASI to ask for things.
const WASI: [&str; 4] = [
    "package wasi:io@0.2.0;
     interface error { resource error { to-debug-string: func() -> string; } }
     interface streams {
       use error.{error};
       variant stream-error { last-operation-failed(error), closed }
       resource output-stream { blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>; }
     }",
    "package wasi:cli@0.2.0;
     interface environment {
       get-environment: func() -> list<tuple<string, string>>;
       get-arguments: func() -> list<string>;
     }
     interface stdout { use wasi:io/streams@0.2.0.{output-stream}; get-stdout: func() -> output-stream; }
     interface stderr { use wasi:io/streams@0.2.0.{output-stream}; get-stderr: func() -> output-stream; }
     interface exit { exit: func(status: result); }",
    "package wasi:filesystem@0.2.0;
     interface types { resource descriptor { sync-data: func(); } }
     interface preopens { use types.{descriptor}; get-directories: func() -> list<tuple<descriptor, string>>; }",
    "package wasi:sockets@0.2.0;
     interface network {
       enum error-code { unknown, access-denied, not-supported, invalid-argument, out-of-memory, timeout,
         concurrency-conflict, not-in-progress, would-block, invalid-state, new-socket-limit, address-not-bindable,
         address-in-use, remote-unreachable, connection-refused, connection-reset, connection-aborted,
         datagram-too-large, name-unresolvable, temporary-resolver-failure, permanent-resolver-failure }
       enum ip-address-family { ipv4, ipv6 }
     }
     interface tcp { resource tcp-socket { is-listening: func() -> bool; } }
     interface tcp-create-socket {
       use network.{error-code, ip-address-family};
       use tcp.{tcp-socket};
       create-tcp-socket: func(address-family: ip-address-family) -> result<tcp-socket, error-code>;
     }",
];

fn asking(wit_imports: &'static str, wat_imports: &'static str, run: &str) -> Vec<u8> {
    Guest { packages: WASI.to_vec(), wit_imports, wat_imports, run: run.into(), ..Guest::default() }.component()
}

/// Gives back the four bytes at 44: a list's length.
const LENGTH: &str = "(call $ok (local.get 2) (local.get 3) (i32.const 44) (i32.const 4))";

#[tokio::test]
async fn there_are_no_files() {
    let component = asking(
        "import wasi:filesystem/preopens@0.2.0;",
        r#"(import "wasi:filesystem/preopens@0.2.0" "get-directories" (func $list (param i32)))"#,
        &format!("(i32.store (i32.const 44) (i32.const 99)) (call $list (i32.const 40)) {LENGTH}"),
    );
    assert_eq!(run(&load(&component), job(b"")).await.unwrap().body, [0; 4]);
}

#[tokio::test]
async fn there_are_no_variables_and_no_arguments() {
    for function in ["get-environment", "get-arguments"] {
        let import = format!(r#"(import "wasi:cli/environment@0.2.0" "{function}" (func $list (param i32)))"#);
        let component = asking(
            "import wasi:cli/environment@0.2.0;",
            import.leak(),
            &format!("(i32.store (i32.const 44) (i32.const 99)) (call $list (i32.const 40)) {LENGTH}"),
        );
        assert_eq!(run(&load(&component), job(b"")).await.unwrap().body, [0; 4], "{function}");
    }
}

#[tokio::test]
async fn there_are_no_sockets() {
    for family in [0, 1] {
        let component = asking(
            "import wasi:sockets/tcp-create-socket@0.2.0;",
            r#"(import "wasi:sockets/tcp-create-socket@0.2.0" "create-tcp-socket" (func $socket (param i32 i32)))"#,
            &format!("(call $socket (i32.const {family}) (i32.const 44)) {LENGTH}"),
        );
        // An error.
        assert_eq!(run(&load(&component), job(b"")).await.unwrap().body[0], 1);
    }
}

#[tokio::test]
async fn what_a_guest_prints_becomes_its_log() {
    let component = asking(
        "import wasi:cli/stderr@0.2.0;",
        r#"(import "wasi:cli/stderr@0.2.0" "get-stderr" (func $stderr (result i32)))
           (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush"
             (func $print (param i32 i32 i32 i32)))"#,
        &format!("(call $print (call $stderr) (local.get 4) (local.get 5) (i32.const 40)) {ECHO}"),
    );
    let (outcome, events) = watch(&component, Limits::default()).await;
    outcome.unwrap();
    let fields = vec![("stream".into(), "stderr".into())];
    assert_eq!(events, [JobEvent::Log { level: LogLevel::Warn, message: "x".into(), fields }]);
}

#[tokio::test]
async fn the_last_words_of_a_guest_explain_its_trap() {
    let component = asking(
        "import wasi:cli/stderr@0.2.0;",
        r#"(import "wasi:cli/stderr@0.2.0" "get-stderr" (func $stderr (result i32)))
           (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush"
             (func $print (param i32 i32 i32 i32)))"#,
        "(call $print (call $stderr) (local.get 4) (local.get 5) (i32.const 40)) (unreachable)",
    );
    let failure = run(&load(&component), job(b"panicked at src/lib.rs:3\nno luck\n")).await.unwrap_err();
    assert!(failure.message.contains("its last words: panicked at src/lib.rs:3 no luck"), "{failure}");
}

#[tokio::test]
async fn ending_the_process_ends_only_the_guest() {
    let component = asking(
        "import wasi:cli/exit@0.2.0;",
        r#"(import "wasi:cli/exit@0.2.0" "exit" (func $exit (param i32)))"#,
        "(call $exit (i32.const 1)) (unreachable)",
    );
    let failure = run(&load(&component), job(b"")).await.unwrap_err();
    assert!(failure.message.contains("exit status 1"), "{failure}");
}
