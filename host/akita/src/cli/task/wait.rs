//! Waits for tasks to end, with the node holding each answer back until there is something to tell.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::outcome::{has_ended, progress};
use crate::cli::client::{Client, parse, task_path};
use crate::cli::render::{counted, cut};
use crate::cli::session::Session;
use crate::cli::view::View;
use crate::exit::{ExitCode, ExitError};

/// The longest that a node holds an answer back, by its API.
const LONGEST_POLL: Duration = Duration::from_secs(60);

/// On a terminal progress is looked at this often.
const TERMINAL_POLL: Duration = Duration::from_secs(1);

/// Characters of the progress line: it is rewritten in place, so it must not wrap.
const LINE: usize = 76;

/// A wait that ends at a time, and the line that tells how it goes.
pub struct Wait {
    until: Option<Instant>,
    given: Duration,
    shown: bool,
}

impl Wait {
    /// Waits for `timeout`, or for as long as it takes.
    pub fn new(timeout: Option<Duration>) -> Self {
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Self { until, given: timeout.unwrap_or_default(), shown: false }
    }

    /// The task when it has ended, as the node's text and as JSON. `left` more are waited for after it.
    ///
    /// # Errors
    /// When the time is over, or the node fails to answer.
    pub fn task(
        &mut self,
        session: &mut Session<'_>,
        client: &Client,
        id: &str,
        left: usize,
    ) -> Result<(String, Value), ExitError> {
        let path = task_path(id)?;
        let most = if session.err_is_terminal { TERMINAL_POLL } else { LONGEST_POLL };
        loop {
            let remaining = self.until.map(|until| until.saturating_duration_since(Instant::now()));
            let poll = remaining.map_or(most, |remaining| remaining.min(most));
            // Whole seconds, rounded up, so that the last request is not an endless row of zeros.
            let seconds = poll.as_secs_f64().ceil();
            let reply = client.get_waiting(&path, &[("wait", format!("{seconds}"))], poll);
            let reply = reply.inspect_err(|_| self.clear(session))?;
            let task = parse(&reply).inspect_err(|_| self.clear(session))?;
            if has_ended(View(&task).text("status")) {
                return Ok((reply, task));
            }
            if self.until.is_some_and(|until| Instant::now() >= until) {
                self.clear(session);
                return Err(self.over(&task, id));
            }
            self.tell(session, View(&task), left);
        }
    }

    /// Takes the progress line away.
    pub fn clear(&mut self, session: &mut Session<'_>) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(session.err, "\r\x1b[K").and_then(|()| session.err.flush());
        }
    }

    fn tell(&mut self, session: &mut Session<'_>, task: View<'_>, left: usize) {
        if !session.err_is_terminal {
            return;
        }
        let more = if left > 0 { format!("{} to go: ", counted(left as u64 + 1, "task")) } else { String::new() };
        let why = if task.text("status") == "pending" { task.text("reason") } else { "" };
        let line = format!("{more}{} {} {} {why}", task.text("action"), task.text("status"), progress(task));
        // Nothing depends on this line being seen.
        let _ = write!(session.err, "\r\x1b[K{}", cut(line.trim_end(), LINE)).and_then(|()| session.err.flush());
        self.shown = true;
    }

    fn over(&self, task: &Value, id: &str) -> ExitError {
        let task = View(task);
        let reason = task.some_text("reason").map(|reason| format!(": {reason}")).unwrap_or_default();
        let (seconds, status) = (self.given.as_secs_f64(), task.text("status"));
        ExitError::new(ExitCode::Timeout, format!("task {id} is still {status} after {seconds} s{reason}"))
            .hint(format!("it goes on; look again with: akita task status {id}"))
    }
}
