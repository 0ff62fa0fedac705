//! Tells on standard error what a run says while it goes on (its log, its progress, its partial output), and puts what came
//! out into the forms that the commands show. Nothing here decides anything about a run.

use std::io::Write;
use std::time::Duration;

use akita_sandbox::{Content, Failure, FailureKind, JobEvent, LogLevel, Outcome};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use owo_colors::OwoColorize as _;
use serde_json::{Value, json};

use crate::cli::render::{cut, tame, thousands};
use crate::exit::{ExitCode, ExitError};

/// Characters of the progress line: it is rewritten in place, so it must not wrap.
const LINE: usize = 76;

/// Writes events as they come.
pub struct Teller<'a> {
    err: &'a mut dyn Write,
    terminal: bool,
    /// A progress line stands and has to go before the next line.
    shown: bool,
}

impl<'a> Teller<'a> {
    /// Writes to `err`; progress in place where that is a terminal.
    pub fn new(err: &'a mut dyn Write, terminal: bool) -> Teller<'a> {
        Teller { err, terminal, shown: false }
    }

    /// Tells one event. That nobody reads it is no failure.
    pub fn tell(&mut self, event: &JobEvent) {
        match event {
            JobEvent::Progress { done, total, note } => self.progress(*done, *total, note),
            JobEvent::Log { .. } | JobEvent::Chunk(_) => {
                let line = line(event);
                self.clear();
                let _ = writeln!(self.err, "{line}");
            }
        }
    }

    fn progress(&mut self, done: u64, total: Option<u64>, note: &str) {
        let amount = match total {
            Some(total) if total > 0 => format!("{:.0} %", 100.0 * done as f64 / total as f64),
            _ => thousands(done),
        };
        let line = cut(format!("{amount} {}", tame(note)).trim_end(), LINE);
        let _ = if self.terminal {
            self.shown = true;
            write!(self.err, "\r\x1b[K{line}").and_then(|()| self.err.flush())
        } else {
            writeln!(self.err, "progress {line}")
        };
    }

    /// Takes the progress line away.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(self.err, "\r\x1b[K").and_then(|()| self.err.flush());
        }
    }
}

/// An event as one line, with its colours.
pub fn line(event: &JobEvent) -> String {
    match event {
        JobEvent::Log { level, message, fields } => {
            let fields: String = fields.iter().map(|(key, value)| format!(" {}={}", tame(key), tame(value))).collect();
            format!("{} {}{}", level_word(*level), tame(message), fields.dimmed())
        }
        JobEvent::Chunk(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => format!("{} {}", "emit ".magenta(), tame(text.trim_end())),
            Err(_) => format!("{} {} bytes", "emit ".magenta(), thousands(bytes.len() as u64)),
        },
        JobEvent::Progress { done, note, .. } => format!("progress {done} {}", tame(note)),
    }
}

fn level_word(level: LogLevel) -> String {
    match level {
        LogLevel::Error => "error".red().to_string(),
        LogLevel::Warn => "warn ".yellow().to_string(),
        LogLevel::Info => "info ".cyan().to_string(),
        LogLevel::Debug => "debug".dimmed().to_string(),
        LogLevel::Trace => "trace".dimmed().to_string(),
    }
}

/// An outcome as programs read it.
pub fn reply(plugin: &str, action: &str, outcome: &Outcome, took: Duration) -> Value {
    let mut reply = json!({
        "plugin": plugin,
        "action": action,
        "status": if outcome.is_ok() { "completed" } else { "failed" },
        "took_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    });
    match outcome {
        Ok(content) => {
            reply["content_type"] = json!(content.content_type);
            match json_of(content) {
                Some(value) => reply["result"] = value,
                None => reply["result_base64"] = json!(STANDARD.encode(&content.body)),
            }
        }
        Err(failure) => {
            reply["error"] = json!({
                "kind": failure.kind.as_str(),
                "message": failure.message,
                "code": failure.code,
                "pointer": failure.pointer,
            });
        }
    }
    reply
}

/// An output that says it is JSON, and is.
pub fn json_of(content: &Content) -> Option<Value> {
    let kind = content.content_type.split(';').next().unwrap_or_default().trim();
    let says = kind.eq_ignore_ascii_case("application/json") || kind.to_ascii_lowercase().ends_with("+json");
    says.then(|| serde_json::from_slice(&content.body).ok()).flatten()
}

/// An output for a terminal.
pub fn shown(content: &Content) -> String {
    if let Some(value) = json_of(content) {
        return format!("{value:#}");
    }
    match std::str::from_utf8(&content.body) {
        Ok(text) => tame(text),
        Err(_) => {
            let bytes = thousands(content.body.len() as u64);
            format!("{bytes} bytes {} (use --save FILE, or a pipe)", tame(&content.content_type))
        }
    }
}

/// A failure as the command's own end.
pub fn failed(plugin: &str, action: &str, failure: &Failure) -> ExitError {
    let code = failure.code.as_ref().map(|code| format!(" ({})", tame(code))).unwrap_or_default();
    let place = failure.pointer.as_deref().filter(|pointer| !pointer.is_empty());
    let place = place.map(|pointer| format!(", at {}", tame(pointer))).unwrap_or_default();
    let message = tame(&failure.message);
    let kind = failure.kind;
    let error = ExitError::new(ExitCode::TaskFailed, format!("{plugin}/{action}: {kind}: {message}{code}{place}"));
    match kind {
        FailureKind::TimeLimit => error.hint("give it more with: --timeout SECONDS"),
        FailureKind::MemoryLimit => error.hint("give it more with: --memory MIB"),
        FailureKind::UnknownAction => error.hint("see its actions with: akita plugin inspect FILE"),
        FailureKind::Trap => error.hint("a build with --debug has the names of the functions above"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(terminal: bool, events: &[JobEvent]) -> String {
        let mut text = Vec::new();
        let mut teller = Teller::new(&mut text, terminal);
        events.iter().for_each(|event| teller.tell(event));
        teller.clear();
        anstream::adapter::strip_str(&String::from_utf8(text).expect("text")).to_string()
    }

    fn log(message: &str) -> JobEvent {
        JobEvent::Log { level: LogLevel::Info, message: message.into(), fields: vec![("n".into(), "1".into())] }
    }

    #[test]
    fn events_are_lines() {
        let half = JobEvent::Progress { done: 1, total: Some(2), note: "rows".into() };
        let text = told(false, &[log("a\u{1b}[2Jb"), half.clone(), JobEvent::Chunk(b"part\n".to_vec())]);
        assert_eq!(text, "info  a\u{fffd}[2Jb n=1\nprogress 50 % rows\nemit  part\n");
        assert!(told(true, &[half, log("x")]).contains("50 % rows"));
    }

    #[test]
    fn an_outcome_is_told_to_programs_whole() {
        let content = |kind: &str, body: &[u8]| Content { content_type: kind.into(), body: body.to_vec() };
        let took = Duration::from_millis(3);
        let done = reply("p", "a", &Ok(content("application/json; charset=utf-8", b"[1]")), took);
        assert_eq!(done["result"], json!([1]));
        let bytes = reply("p", "a", &Ok(content("image/png", &[0xff])), took);
        assert_eq!((&bytes["result_base64"], &bytes["took_ms"]), (&json!("/w=="), &json!(3)));
        let failure = Failure { pointer: Some("/x".into()), ..Failure::new(FailureKind::InvalidInput, "no") };
        let error = reply("p", "a", &Err(failure.clone()), took);
        assert_eq!((&error["status"], &error["error"]["kind"]), (&json!("failed"), &json!("invalid-input")));
        assert_eq!(failed("p", "a", &failure).to_string(), "p/a: invalid-input: no, at /x");
    }

    #[test]
    fn an_output_is_shown_as_what_it_is() {
        let of = |kind: &str, body: &[u8]| shown(&Content { content_type: kind.into(), body: body.to_vec() });
        assert_eq!(of("application/json", b"{\"a\":1}"), "{\n  \"a\": 1\n}");
        assert_eq!(of("text/plain", b"a\x1b[2J"), "a\u{fffd}[2J");
        assert_eq!(of("image/png", &[0xff; 1000]), "1,000 bytes image/png (use --save FILE, or a pipe)");
    }
}
