//! Misbehaves on purpose: one action for each way in which a plugin can go wrong, so that tests can see what a node does
//! about it. No action here is of any use to an operator; do not install it on a node that you rely on.

mod escape;
mod harm;
mod options;
mod witness;
mod work;

use akita_plugin::prelude::*;
use options::Options;

/// A table of vices that all take [`Options`] and promise nothing but, maybe, to be idempotent.
macro_rules! vices {
    ($($name:literal, $summary:literal, $idempotent:literal => $run:path;)+) => {
        akita_plugin::plugin! {
            name: "faulty",
            summary: env!("CARGO_PKG_DESCRIPTION"),
            actions: {
                $($name => $run {
                    summary: $summary,
                    idempotent: $idempotent,
                    input_schema: (options::SCHEMA),
                }),+
            },
        }
    };
}

vices! {
    "trap", "Executes an instruction that traps", true => trap;
    "panic", "Panics", true => panic;
    "loop", "Never returns, busy", true => spin_forever;
    "sleep", "Sleeps for an hour", true => sleep;
    "spin", "Computes for `ms` without looking at anything", true => spin;
    "slow", "Works for `ms` in steps, reports progress and gives up when cancelled", true => slow;
    "memory-bomb", "Takes memory until it gets none", true => memory_bomb;
    "huge-result", "Returns `bytes` bytes (64 MiB)", true => huge_result;
    "emit-flood", "Emits `bytes` bytes (64 MiB) in chunks and says how many were taken", true => emit_flood;
    "log-flood", "Writes `lines` log lines (100,000)", true => log_flood;
    "progress-flood", "Reports progress `lines` times (100,000)", true => progress_flood;
    "stderr-flood", "Writes `lines` lines to its standard error (100,000)", true => stderr_flood;
    "call-flood", "Calls the host without end", true => call_flood;
    "handle-flood", "Takes WASI handles until it gets none", true => handle_flood;
    "random-flood", "Asks for `bytes` random bytes at once (64 MiB)", true => random_flood;
    "exit", "Ends its own process", true => exit;
    "deep-recursion", "Recurses until the stack ends", true => deep_recursion;
    "fail-permanent", "Fails and says that trying again is no use", true => fail_permanent;
    "fail-retryable", "Fails until attempt `succeed_on` (never)", false => fail_retryable;
    "invalid-input", "Says that the input is wrong, whatever it is", true => invalid_input;
    "cancelled", "Says that it was cancelled, though nobody did so", true => cancelled;
    "bad-json", "Returns bytes that are no JSON and says that they are", true => bad_json;
    "open-file", "Tries to read and to write files, and says what came of it", true => open_file;
    "open-socket", "Tries to reach the network, and says what came of it", true => open_socket;
    "witness", "Gives back all that differs between two ordinary runs on one input", true => witness;
    "read-env", "Tries to read environment, arguments and standard input, and says what came of it", true => read_env;
}

fn trap(_: Content) -> Result<Content, TaskError> {
    harm::trap()
}

fn panic(_: Content) -> Result<Content, TaskError> {
    panic!("this plugin panics on purpose")
}

fn spin_forever(_: Content) -> Result<Content, TaskError> {
    harm::spin_forever()
}

fn sleep(_: Content) -> Result<Content, TaskError> {
    harm::sleep_for_an_hour()
}

fn spin(input: Content) -> Result<Content, TaskError> {
    Ok(json(work::spin(&Options::parse(&input.body))))
}

fn slow(input: Content) -> Result<Content, TaskError> {
    work::slow(&Options::parse(&input.body)).map(json)
}

fn memory_bomb(_: Content) -> Result<Content, TaskError> {
    harm::memory_bomb()
}

fn huge_result(input: Content) -> Result<Content, TaskError> {
    Ok(harm::huge_result(&Options::parse(&input.body)))
}

fn emit_flood(input: Content) -> Result<Content, TaskError> {
    Ok(json(harm::emit_flood(&Options::parse(&input.body))))
}

fn log_flood(input: Content) -> Result<Content, TaskError> {
    Ok(json(harm::log_flood(&Options::parse(&input.body))))
}

fn progress_flood(input: Content) -> Result<Content, TaskError> {
    Ok(json(harm::progress_flood(&Options::parse(&input.body))))
}

fn stderr_flood(input: Content) -> Result<Content, TaskError> {
    Ok(json(harm::stderr_flood(&Options::parse(&input.body))))
}

fn call_flood(_: Content) -> Result<Content, TaskError> {
    harm::call_flood()
}

fn handle_flood(_: Content) -> Result<Content, TaskError> {
    harm::handle_flood()
}

fn random_flood(input: Content) -> Result<Content, TaskError> {
    Ok(json(harm::random_flood(&Options::parse(&input.body))))
}

fn exit(_: Content) -> Result<Content, TaskError> {
    std::process::exit(3)
}

fn witness(input: Content) -> Result<Content, TaskError> {
    Ok(json(witness::everything(&input.body)))
}

fn deep_recursion(_: Content) -> Result<Content, TaskError> {
    Ok(json(format!(r#"{{"depth":{}}}"#, harm::recurse(0))))
}

fn fail_permanent(_: Content) -> Result<Content, TaskError> {
    Err(TaskError::permanent("this action always fails").code("on-purpose"))
}

fn fail_retryable(input: Content) -> Result<Content, TaskError> {
    work::fail_until(&Options::parse(&input.body)).map(json)
}

fn invalid_input(_: Content) -> Result<Content, TaskError> {
    Err(TaskError::invalid("this input is always wrong").code("never-right").pointer("/on/purpose"))
}

fn cancelled(_: Content) -> Result<Content, TaskError> {
    Err(TaskError::Cancelled)
}

fn bad_json(_: Content) -> Result<Content, TaskError> {
    Ok(Content::new("application/json", b"{\"this\": is no JSON \xff"))
}

fn open_file(_: Content) -> Result<Content, TaskError> {
    Ok(json(escape::files()))
}

fn open_socket(_: Content) -> Result<Content, TaskError> {
    Ok(json(escape::network()))
}

fn read_env(_: Content) -> Result<Content, TaskError> {
    Ok(json(escape::environment()))
}

fn json(text: String) -> Content {
    Content::json(text)
}

#[cfg(test)]
mod tests {
    use akita_plugin::prelude::*;
    use akita_plugin::testing::Harness;

    #[test]
    fn the_vices_that_end_do_so_as_they_say() {
        let faulty = Harness::new(&super::PLUGIN);
        assert_eq!(faulty.describe().actions.len(), 26);
        assert_eq!(faulty.json("fail-permanent", "").failure().code.as_deref(), Some("on-purpose"));
        assert_eq!(faulty.json("invalid-input", "").failure().pointer.as_deref(), Some("/on/purpose"));
        assert_eq!(faulty.json("cancelled", "").error(), &TaskError::Cancelled);
        let input = r#"{"succeed_on":2,"retry_after_ms":9}"#;
        assert!(matches!(faulty.json("fail-retryable", input).error(), TaskError::Retryable((_, Some(9)))));
        assert_eq!(faulty.attempt(2).json("fail-retryable", input).text(), r#"{"attempt":2}"#);
    }

    #[test]
    fn slow_work_gives_up_when_cancelled() {
        let faulty = Harness::new(&super::PLUGIN).cancel_after(0);
        assert_eq!(faulty.json("slow", r#"{"ms":60000}"#).error(), &TaskError::Cancelled);
    }

    #[test]
    fn floods_say_how_far_they_came() {
        let faulty = Harness::new(&super::PLUGIN).emit_limit(1 << 20);
        let flood = faulty.json("emit-flood", r#"{"bytes":4194304}"#);
        assert!(flood.text().contains(r#""emitted":1048576"#), "{}", flood.text());
        assert_eq!(faulty.json("log-flood", r#"{"lines":3}"#).lines.len(), 3);
        assert_eq!(faulty.json("progress-flood", r#"{"lines":4}"#).progress.len(), 4);
    }
}
