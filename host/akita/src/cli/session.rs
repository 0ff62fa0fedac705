//! The outside of one command: its streams, its environment, its clock. Tests bring their own.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Read, Write};
use std::path::PathBuf;

use jiff::Timestamp;
use owo_colors::OwoColorize as _;
use serde_json::Value;

use super::Output;
use crate::exit::ExitError;

/// What a command reads and writes.
pub struct Session<'a> {
    /// Data. Colours written here are dropped where they are not wanted.
    pub out: Box<dyn Write + 'a>,
    /// Everything else.
    pub err: Box<dyn Write + 'a>,
    /// Standard input.
    pub input: Box<dyn Read + 'a>,
    /// Whether `out` is a terminal.
    pub out_is_terminal: bool,
    /// Whether `err` is a terminal.
    pub err_is_terminal: bool,
    /// Whether `input` is a terminal.
    pub input_is_terminal: bool,
    /// The working folder.
    pub cwd: PathBuf,
    /// The real environment.
    pub env: BTreeMap<String, String>,
    /// What relative times are relative to.
    pub now: fn() -> Timestamp,
}

impl Session<'_> {
    /// The streams and the environment of this process.
    pub fn of_process() -> Session<'static> {
        let sources = crate::config::Sources::of_process(Default::default(), None);
        Session {
            out: Box::new(anstream::AutoStream::auto(io::stdout())),
            err: Box::new(anstream::AutoStream::auto(io::stderr())),
            input: Box::new(io::stdin()),
            out_is_terminal: io::stdout().is_terminal(),
            err_is_terminal: io::stderr().is_terminal(),
            input_is_terminal: io::stdin().is_terminal(),
            cwd: sources.cwd,
            env: sources.env,
            now: Timestamp::now,
        }
    }

    /// Shows an answer of the node: as it came, or through `render`.
    pub fn show(
        &mut self,
        output: Output,
        reply: &str,
        render: impl FnOnce(&Value, Timestamp) -> String,
    ) -> Result<(), ExitError> {
        match output {
            Output::Json => self.show_json(reply),
            Output::Text => {
                let text = render(&super::client::parse(reply)?, (self.now)());
                self.print(&text)
            }
        }
    }

    /// Prints JSON: unchanged for programs, indented for people.
    pub fn show_json(&mut self, reply: &str) -> Result<(), ExitError> {
        if self.out_is_terminal {
            let pretty = format!("{:#}", super::client::parse(reply)?);
            return self.print(&pretty);
        }
        self.print(reply)
    }

    /// Prints text and ends the line.
    pub fn print(&mut self, text: &str) -> Result<(), ExitError> {
        self.out.write_all(text.as_bytes())?;
        if !text.is_empty() && !text.ends_with('\n') {
            self.out.write_all(b"\n")?;
        }
        Ok(self.out.flush()?)
    }

    /// A line for people on standard error. That nobody reads it is no failure.
    pub fn note(&mut self, text: &str) {
        let _ = writeln!(self.err, "{text}");
    }

    /// Says what failed and what to do.
    pub fn complain(&mut self, error: &ExitError) {
        let _ = self.out.flush();
        let _ = writeln!(self.err, "{} {error}", "error:".red().bold());
        if let Some(hint) = error.hint_text() {
            let _ = writeln!(self.err, "{} {hint}", "hint:".cyan());
        }
    }
}
