//! Shows one task: its state in lines, its result in the form that fits what it is, or its bytes in a file.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;

use crate::cli::render::{duration, facts, relative, short_id, state, tame, thousands};
use crate::cli::session::Session;
use crate::cli::view::View;
use crate::exit::{ExitCode, ExitError};

/// Whether a task will not change any more.
pub fn has_ended(status: &str) -> bool {
    matches!(status, "completed" | "failed" | "cancelled")
}

/// What a task gave.
enum Output {
    Json(Value),
    Bytes(Vec<u8>),
}

fn output(task: View<'_>) -> Option<Output> {
    let result = task.get("result");
    if !result.is_null() {
        return Some(Output::Json(result.0.clone()));
    }
    let bytes = STANDARD.decode(task.some_text("result_base64")?).ok()?;
    Some(Output::Bytes(bytes))
}

/// A task's state, one fact a line, with its result.
pub fn render(reply: &Value, now: Timestamp) -> String {
    let task = View(reply);
    let when = |name| task.time(name).map(|time| relative(time, now)).unwrap_or_default();
    let taken = match (task.time("started_at"), task.time("finished_at")) {
        (Some(from), Some(to)) => to.duration_since(from).try_into().map(duration).unwrap_or_default(),
        _ => String::new(),
    };
    let number = |name| task.count(name).map(thousands).unwrap_or_default();
    facts(&[
        ("task", task.text("task_id").to_owned()),
        ("action", task.text("action").to_owned()),
        ("status", state(task.text("status"))),
        ("recorded", recorded(task)),
        ("reason", tame(&task.get("reason").line())),
        ("error", tame(&task.get("error").line())),
        ("progress", progress(task)),
        ("priority", number("priority")),
        ("attempts", number("attempts")),
        ("requires", task.words("required_capabilities").join(", ")),
        ("mode", if task.is("deterministic") { "deterministic".to_owned() } else { String::new() }),
        ("parent", task.text("parent_id").to_owned()),
        ("key", task.text("key").to_owned()),
        ("worker", short_id(task.text("worker_id"))),
        ("submitted", when("submitted_at")),
        ("started", when("started_at")),
        ("finished", when("finished_at")),
        ("took", taken),
        ("hash", task.text("output_hash").to_owned()),
        ("result", output(task).map(|output| shown(&output, task)).unwrap_or_default()),
    ])
}

/// Where it is recorded, unless that is the cluster's ledger.
fn recorded(task: View<'_>) -> String {
    match task.text("recorded") {
        "island" => "in the island's journal, not yet in the cluster's ledger".to_owned(),
        other => tame(other),
    }
}

/// The result alone, for standard output.
pub fn result_text(reply: &Value) -> String {
    let task = View(reply);
    output(task).map(|output| shown(&output, task)).unwrap_or_default()
}

fn shown(output: &Output, task: View<'_>) -> String {
    match output {
        Output::Json(value) => format!("{value:#}"),
        Output::Bytes(bytes) => {
            let kind = task.some_text("content_type").unwrap_or("application/octet-stream");
            match std::str::from_utf8(bytes) {
                Ok(text) if kind.starts_with("text/") => tame(text),
                _ => format!("{} bytes {kind} (use -o json or --save FILE)", thousands(bytes.len() as u64)),
            }
        }
    }
}

/// `image 40 %`, `1,200 lines`, or whatever the plugin says of itself.
pub fn progress(task: View<'_>) -> String {
    let progress = task.get("progress");
    let note = tame(progress.text("note"));
    let amount = match (progress.number("done"), progress.number("total")) {
        (Some(done), Some(total)) if total > 0.0 => format!("{:.0} %", 100.0 * done / total),
        (Some(done), _) if done > 0.0 => thousands(done as u64),
        (None, _) => return progress.line(),
        _ => String::new(),
    };
    [amount, note].join(" ").trim().to_owned()
}

/// Writes a task's result into a file.
///
/// # Errors
/// When the task has no result, or the file cannot be written.
pub fn save(session: &mut Session<'_>, reply: &Value, path: &Path) -> Result<(), ExitError> {
    let task = View(reply);
    let Some(output) = output(task) else {
        let message = format!("the task is {} and has no result to save", task.text("status"));
        return Err(ExitError::new(ExitCode::TaskFailed, message));
    };
    let bytes = match output {
        Output::Json(value) => value.to_string().into_bytes(),
        Output::Bytes(bytes) => bytes,
    };
    let target = session.cwd.join(path);
    fs::write(&target, &bytes)
        .map_err(|error| ExitError::config(format!("cannot write {}: {error}", target.display())))?;
    session.note(&format!("saved {} bytes to {}", thousands(bytes.len() as u64), path.display()));
    Ok(())
}

/// Whether an ended task is a success; its words otherwise.
pub fn verdict(reply: &Value) -> Result<(), ExitError> {
    let task = View(reply);
    let status = task.text("status");
    if status == "completed" {
        return Ok(());
    }
    let id = task.text("task_id");
    let why = [task.get("error").line(), task.get("reason").line()].into_iter().find(|why| !why.is_empty());
    let why = why.map(|why| format!(": {}", tame(&why))).unwrap_or_default();
    let word = if status == "cancelled" { "was cancelled" } else { "failed" };
    Err(ExitError::new(ExitCode::TaskFailed, format!("task {id} {word}{why}"))
        .hint(format!("see its steps with: akita ledger view --task {id}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strip(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn a_finished_task_shows_when_and_what() {
        let now = "2026-03-01T12:00:00Z".parse().expect("a time");
        let task = serde_json::json!({
            "task_id": "0195-7", "action": "basics/echo", "status": "completed", "priority": 10, "attempts": 1,
            "worker_id": "aaaaaaaabbbb", "result": {"message": "hi"}, "content_type": "application/json",
            "error": null, "progress": null, "required_capabilities": ["gpu"],
            "submitted_at": "2026-03-01T11:59:50Z", "started_at": "2026-03-01T11:59:51Z",
            "finished_at": "2026-03-01T11:59:52.25Z", "reason": null
        });
        assert_eq!(
            strip(&render(&task, now)),
            "\
task       0195-7
action     basics/echo
status     completed
priority   10
attempts   1
requires   gpu
worker     aaaaaaaa
submitted  10 s ago
started    9 s ago
finished   7 s ago
took       1.2 s
result     {
             \"message\": \"hi\"
           }
"
        );
        assert!(verdict(&task).is_ok());
    }

    #[test]
    fn results_are_shown_as_what_they_are() {
        let of = |task: Value| result_text(&task);
        let bytes = |kind: &str, bytes: &[u8]| serde_json::json!({"content_type": kind, "result_base64": STANDARD.encode(bytes)});
        assert_eq!(of(serde_json::json!({"result": [1]})), "[\n  1\n]");
        assert_eq!(of(bytes("text/plain", b"hello\x1b[2J")), "hello\u{fffd}[2J");
        assert_eq!(of(bytes("image/jpeg", &[0xff; 1987])), "1,987 bytes image/jpeg (use -o json or --save FILE)");
        assert_eq!(of(serde_json::json!({"status": "pending", "result": null})), "");
    }

    #[test]
    fn progress_is_a_share_or_an_amount_and_a_note() {
        let of = |value: Value| progress(View(&serde_json::json!({"progress": value})));
        assert_eq!(of(serde_json::json!({"done": 2, "total": 5, "note": "fitting"})), "40 % fitting");
        assert_eq!(of(serde_json::json!({"done": 1200, "total": null, "note": ""})), "1,200");
        assert_eq!(of(serde_json::json!("halfway")), "halfway");
        assert_eq!(of(Value::Null), "");
    }

    #[test]
    fn a_failure_tells_why_and_where_to_look() {
        let task = serde_json::json!({"task_id": "7", "status": "failed",
            "error": {"message": "no JPEG", "code": "bad-jpeg"}});
        let error = verdict(&task).expect_err("it failed");
        assert_eq!(error.to_string(), "task 7 failed: no JPEG (bad-jpeg)");
        assert_eq!(error.hint_text(), Some("see its steps with: akita ledger view --task 7"));
        assert_eq!(error.code(), ExitCode::TaskFailed);
    }
}
