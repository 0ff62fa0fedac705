//! Running an external command as a named step: what a person sees meanwhile, and what they are told when it fails.
//! It never decides what to run.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, IsTerminal};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use indicatif::{ProgressBar, ProgressStyle};

/// Lines of a failed command's output that are shown: a few compiler errors, still readable.
const TAIL_LINES: usize = 80;

/// One named command, and what a person can do if it fails.
pub struct Step {
    name: String,
    hint: String,
}

impl Step {
    /// `name` says what is done ("build the plugins"), `hint` what to do next if it fails.
    pub fn new(name: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { name: name.into(), hint: hint.into() }
    }

    /// Runs the command behind a spinner (or a plain line when nobody watches); its output is shown only if it fails.
    pub fn quiet(&self, command: Command) -> Result<()> {
        let started = Instant::now();
        let bar = self.spinner();
        let line = describe(&command);
        let outcome = run_captured(command, |latest| bar.set_message(latest.to_owned()));
        bar.finish_and_clear();
        let (status, tail) = outcome.with_context(|| self.could_not_start(&line))?;
        if status.success() {
            say(&format!("{}: done in {}", self.name, seconds(started.elapsed())));
            return Ok(());
        }
        for line in &tail {
            eprintln!("    {line}");
        }
        Err(self.failed(&line, status))
    }

    /// Runs the command with its output passed through, for what people want to read as it happens.
    pub fn shown(&self, mut command: Command) -> Result<()> {
        say(&format!("{} ...", self.name));
        let line = describe(&command);
        let status = command.stdin(Stdio::null()).status().with_context(|| self.could_not_start(&line))?;
        if status.success() { Ok(()) } else { Err(self.failed(&line, status)) }
    }

    fn spinner(&self) -> ProgressBar {
        if !io::stderr().is_terminal() {
            say(&format!("{} ...", self.name));
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new_spinner().with_prefix(self.name.clone());
        let style = ProgressStyle::with_template("{spinner} {prefix} ({elapsed}) {wide_msg}");
        bar.set_style(style.expect("the template is a constant"));
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    }

    fn could_not_start(&self, line: &str) -> String {
        format!("could not {}: `{line}` did not start\nhint: {}", self.name, self.hint)
    }

    fn failed(&self, line: &str, status: ExitStatus) -> anyhow::Error {
        anyhow!("could not {}: `{line}` ended with {status}\nhint: {}", self.name, self.hint)
    }
}

/// One line about what is going on, for people: standard error, so that standard output stays for results.
pub fn say(line: &str) {
    eprintln!("{:>7} {line}", "xtask:");
}

/// The standard output of a command that must succeed, trimmed; `None` if it fails or does not exist.
pub fn output_of(mut command: Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// Whether the command runs and succeeds; nothing of it is shown.
pub fn succeeds(command: Command) -> bool {
    output_of(command).is_some()
}

/// A command from a program and its arguments, to write short calls on one line.
pub fn command<const N: usize>(program: impl AsRef<OsStr>, arguments: [&str; N]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// A duration for people: `0.8 s`, `12 s`, `3 min 05 s`.
pub fn seconds(duration: Duration) -> String {
    let total = duration.as_secs();
    match total {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..120 => format!("{total} s"),
        _ => format!("{} min {:02} s", total / 60, total % 60),
    }
}

/// What a person would type to run the same command.
fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Both output streams through one pipe, so that their lines stay in order.
fn run_captured(mut command: Command, mut on_line: impl FnMut(&str)) -> io::Result<(ExitStatus, VecDeque<String>)> {
    let (reader, writer) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn()?;
    // The command holds our copies of the writing end: while they live, the reader never sees the end.
    drop(command);
    let mut tail = VecDeque::with_capacity(TAIL_LINES);
    for line in BufReader::new(reader).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).trim_end().to_owned();
        on_line(&line);
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(line);
    }
    Ok((child.wait()?, tail))
}
