//! `akita task watch`: follows a task until it ends, with what it emits meanwhile.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde_json::Value;

use super::outcome::{self, has_ended, progress};
use crate::cli::client::{Client, parse, task_path};
use crate::cli::render::{cut, tame};
use crate::cli::session::Session;
use crate::cli::view::View;
use crate::cli::{Globals, Output};
use crate::exit::ExitError;

/// How long the node holds an answer back: progress is looked at this often on a terminal.
const TERMINAL_POLL: Duration = Duration::from_secs(1);
/// The same where nobody looks at progress.
const POLL: Duration = Duration::from_secs(30);
/// Characters of the progress line: it is rewritten in place, so it must not wrap.
const LINE: usize = 76;

/// Follow a task until it ends: what it emits as it comes, then its result
#[derive(Debug, Args)]
#[command(after_help = "Prints the partial output of the running attempt as text, progress on a terminal, and at the
end the result, like `task submit --wait`. A node keeps the last 64 KiB of what a task
emits. With -o json: one answer a line, then the task.

Examples:
  akita task watch 01989c2e-7f3a-7c52-b0d1-5a3c9e1f2b44
  akita task watch 01989c2e-7f3a-7c52-b0d1-5a3c9e1f2b44 --save partial.bin")]
pub struct Watch {
    /// The id that `task submit` printed
    #[arg(value_name = "ID")]
    id: String,
    /// Write the bytes that it emits into this file instead
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

pub fn run(session: &mut Session<'_>, globals: &Globals, args: &Watch) -> Result<(), ExitError> {
    let path = task_path(&args.id)?;
    let client = Client::new(session, globals)?;
    let file = args.save.as_ref().map(|path| create(session, path)).transpose()?;
    let mut follow = Follow { file, json: globals.output == Output::Json, ..Follow::default() };
    let followed = follow.until_end(session, &client, &path);
    follow.clear(session);
    followed?;
    let reply = client.get(&path, &[])?;
    let task = parse(&reply)?;
    match globals.output {
        Output::Json => session.print(&reply)?,
        Output::Text => session.print(&outcome::result_text(&task))?,
    }
    outcome::verdict(&task)
}

fn create(session: &Session<'_>, path: &PathBuf) -> Result<File, ExitError> {
    let target = session.cwd.join(path);
    File::create(&target).map_err(|error| ExitError::config(format!("cannot write {}: {error}", target.display())))
}

/// How far the output was followed.
#[derive(Default)]
struct Follow {
    file: Option<File>,
    json: bool,
    attempt: u64,
    offset: u64,
    /// The beginning of a letter whose other bytes have not come yet.
    rest: Vec<u8>,
    /// Whether the progress line is there.
    shown: bool,
    /// Whether the last text ended its line.
    open: bool,
}

impl Follow {
    fn until_end(&mut self, session: &mut Session<'_>, client: &Client, path: &str) -> Result<(), ExitError> {
        let poll = if session.err_is_terminal { TERMINAL_POLL } else { POLL };
        loop {
            let query = [("attempt", self.attempt), ("offset", self.offset), ("wait", poll.as_secs())];
            let query = query.map(|(name, value)| (name, value.to_string()));
            let reply = client.get_waiting(&format!("{path}/output"), &query, poll)?;
            let answer = parse(&reply)?;
            if self.json {
                session.print(&reply)?;
            }
            let more = self.take(session, &answer)?;
            // What was emitted last is fetched too, although the task has ended.
            if !more && has_ended(View(&answer).text("status")) {
                return self.end_line(session);
            }
            self.tell(session, &answer);
        }
    }

    /// Shows what came. `true` if there is more to be fetched at once.
    fn take(&mut self, session: &mut Session<'_>, answer: &Value) -> Result<bool, ExitError> {
        let view = View(answer);
        let number = |name| view.count(name).unwrap_or_default();
        let piece = STANDARD.decode(view.text("piece_base64")).unwrap_or_default();
        let (attempt, offset) = (number("attempt"), number("offset"));
        if attempt != self.attempt {
            if self.attempt > 0 {
                self.clear(session);
                session.note(&format!("attempt {attempt} begins anew"));
            }
            (self.attempt, self.offset) = (attempt, 0);
            self.rest.clear();
        }
        if offset > self.offset && !piece.is_empty() {
            self.clear(session);
            session.note(&format!("{} bytes came too fast and were passed over", offset - self.offset));
        }
        self.offset = offset + piece.len() as u64;
        self.show(session, piece)?;
        Ok(self.offset < number("total"))
    }

    fn show(&mut self, session: &mut Session<'_>, piece: Vec<u8>) -> Result<(), ExitError> {
        if piece.is_empty() {
            return Ok(());
        }
        if let Some(file) = &mut self.file {
            return Ok(file.write_all(&piece)?);
        }
        if self.json {
            return Ok(());
        }
        self.clear(session);
        let mut bytes = std::mem::take(&mut self.rest);
        bytes.extend(piece);
        let whole = match std::str::from_utf8(&bytes) {
            // A letter that is cut at the end, and not bytes that are none.
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => bytes.len(),
        };
        self.rest = bytes.split_off(whole);
        let text = tame(&String::from_utf8_lossy(&bytes));
        self.open = !text.ends_with('\n');
        session.out.write_all(text.as_bytes())?;
        Ok(session.out.flush()?)
    }

    fn end_line(&mut self, session: &mut Session<'_>) -> Result<(), ExitError> {
        if std::mem::take(&mut self.open) {
            session.out.write_all(b"\n")?;
        }
        Ok(())
    }

    fn tell(&mut self, session: &mut Session<'_>, answer: &Value) {
        // Behind a text that has not ended its line there is no place for it.
        if !session.err_is_terminal || self.open {
            return;
        }
        let line = format!("{} {}", View(answer).text("status"), progress(View(answer)));
        // Nothing depends on this line being seen.
        let _ = write!(session.err, "\r\x1b[K{}", cut(line.trim_end(), LINE)).and_then(|()| session.err.flush());
        self.shown = true;
    }

    fn clear(&mut self, session: &mut Session<'_>) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(session.err, "\r\x1b[K").and_then(|()| session.err.flush());
        }
    }
}
