//! Misbehaves on purpose: one action for each way in which a plugin can go wrong, so that tests can see what a node does
//! about it. No action here is of any use to an operator; do not install it on a node that you rely on.

mod bindings;
mod escape;
mod harm;
mod options;
mod work;

use bindings::akita::plugin::types::{ActionInfo, Content, Failure, PluginInfo, Request, TaskError};
use bindings::exports::akita::plugin::actions::Guest;
use options::Options;

/// Name, what it does, whether it is idempotent.
const ACTIONS: [(&str, &str, bool); 20] = [
    ("trap", "Executes an instruction that traps", true),
    ("panic", "Panics", true),
    ("loop", "Never returns, busy", true),
    ("sleep", "Sleeps for an hour", true),
    ("spin", "Computes for `ms` without looking at anything", true),
    ("slow", "Works for `ms` in steps, reports progress and gives up when cancelled", true),
    ("memory-bomb", "Takes memory until it gets none", true),
    ("huge-result", "Returns `bytes` bytes (64 MiB)", true),
    ("emit-flood", "Emits `bytes` bytes (64 MiB) in chunks and says how many were taken", true),
    ("log-flood", "Writes `lines` log lines (100,000)", true),
    ("progress-flood", "Reports progress `lines` times (100,000)", true),
    ("deep-recursion", "Recurses until the stack ends", true),
    ("fail-permanent", "Fails and says that trying again is no use", true),
    ("fail-retryable", "Fails until attempt `succeed_on` (never)", false),
    ("invalid-input", "Says that the input is wrong, whatever it is", true),
    ("cancelled", "Says that it was cancelled, though nobody did so", true),
    ("bad-json", "Returns bytes that are no JSON and says that they are", true),
    ("open-file", "Tries to read and to write files, and says what came of it", true),
    ("open-socket", "Tries to reach the network, and says what came of it", true),
    ("read-env", "Tries to read environment, arguments and standard input, and says what came of it", true),
];

struct Faulty;

impl Guest for Faulty {
    fn describe() -> PluginInfo {
        PluginInfo {
            name: "faulty".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: env!("CARGO_PKG_DESCRIPTION").into(),
            actions: ACTIONS.iter().map(|(name, summary, idempotent)| action(name, summary, *idempotent)).collect(),
            provides: Vec::new(),
            annotations: Vec::new(),
        }
    }

    fn run(request: Request) -> Result<Content, TaskError> {
        let options = Options::parse(&request.input.body);
        match request.action.as_str() {
            "trap" => harm::trap(),
            "panic" => panic!("this plugin panics on purpose"),
            "loop" => harm::spin_forever(),
            "sleep" => harm::sleep_for_an_hour(),
            "spin" => Ok(json(work::spin(&options))),
            "slow" => work::slow(&options).map(json),
            "memory-bomb" => harm::memory_bomb(),
            "huge-result" => Ok(harm::huge_result(&options)),
            "emit-flood" => Ok(json(harm::emit_flood(&options))),
            "log-flood" => Ok(json(harm::log_flood(&options))),
            "progress-flood" => Ok(json(harm::progress_flood(&options))),
            "deep-recursion" => Ok(json(format!(r#"{{"depth":{}}}"#, harm::recurse(0)))),
            "fail-permanent" => Err(TaskError::Permanent(failure("this action always fails", "on-purpose", None))),
            "fail-retryable" => work::fail_until(&options).map(json),
            "invalid-input" => {
                Err(TaskError::InvalidInput(failure("this input is always wrong", "never-right", Some("/on/purpose"))))
            }
            "cancelled" => Err(TaskError::Cancelled),
            "bad-json" => Ok(content("application/json", b"{\"this\": is no JSON \xff".to_vec())),
            "open-file" => Ok(json(escape::files())),
            "open-socket" => Ok(json(escape::network())),
            "read-env" => Ok(json(escape::environment())),
            _ => Err(TaskError::UnknownAction),
        }
    }
}

fn action(name: &str, summary: &str, idempotent: bool) -> ActionInfo {
    ActionInfo {
        name: name.into(),
        summary: summary.into(),
        input_schema: Some(options::SCHEMA.into()),
        output_schema: None,
        idempotent,
        deterministic: false,
        typical_ms: None,
        requires: Vec::new(),
        annotations: Vec::new(),
    }
}

fn failure(message: &str, code: &str, pointer: Option<&str>) -> Failure {
    Failure { message: message.into(), code: Some(code.into()), pointer: pointer.map(Into::into) }
}

fn json(text: String) -> Content {
    content("application/json", text.into_bytes())
}

fn content(content_type: &str, body: Vec<u8>) -> Content {
    Content { content_type: content_type.into(), body }
}
