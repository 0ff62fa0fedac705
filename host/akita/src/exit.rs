//! How the process ends: the exit codes and the one error type that carries a code and a hint. It owns no other
//! module's words; each gives its own message and picks a code here.

use std::io;

/// What the process tells its parent. The numbers are part of the command line's contract (`docs/cli.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// It was done.
    Ok = 0,
    /// The task, or a task of the batch, failed or was cancelled.
    TaskFailed = 1,
    /// The command line is wrong. clap ends with this number too.
    Usage = 2,
    /// A setting, a file or a port that the node needs is wrong or taken.
    Config = 3,
    /// The node cannot be reached, or answers that it cannot serve now.
    Unavailable = 4,
    /// The node refused the request.
    Refused = 5,
    /// The time given with `--timeout` is over. The task goes on.
    Timeout = 6,
    /// The ledger, a proof of it, or the store does not verify.
    LedgerInvalid = 7,
    /// A fault of the program itself (`EX_SOFTWARE` of sysexits.h).
    Internal = 70,
}

impl ExitCode {
    /// Each code with its meaning, for the generated documentation.
    pub const ALL: [(Self, &'static str); 9] = [
        (Self::Ok, "done"),
        (Self::TaskFailed, "the task, or a task of the batch, failed or was cancelled"),
        (Self::Usage, "the command line or the task given on it is wrong"),
        (Self::Config, "a setting, or a file or port that the node needs, is wrong or taken"),
        (Self::Unavailable, "the node cannot be reached, or cannot serve now"),
        (Self::Refused, "the node refused the request"),
        (Self::Timeout, "the time given with `--timeout` is over; the task goes on"),
        (Self::LedgerInvalid, "the ledger, a proof of it, or the store does not verify"),
        (Self::Internal, "a fault of the program itself"),
    ];
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

/// Why a command ends without having done its job: a sentence for people, a hint with the next step, and the code.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ExitError {
    code: ExitCode,
    message: String,
    hint: Option<String>,
}

impl ExitError {
    /// An error that ends the process with `code`. `message` says what failed, lower case, no full stop.
    pub fn new(code: ExitCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }

    /// A setting, file or port of this machine is wrong or taken.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Config, message)
    }

    /// What was given on the command line is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Usage, message)
    }

    /// A fault of the program itself.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Internal, message)
    }

    /// Adds the next step to take.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The code that the process ends with.
    pub fn code(&self) -> ExitCode {
        self.code
    }

    /// The next step, if one is known.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Whether there is nothing to tell: the reader of our output went away (`akita logs | head`), or the message
    /// is on the screen already.
    pub fn is_quiet(&self) -> bool {
        self.message.is_empty()
    }

    /// Ends the process with `code` and prints nothing.
    pub fn quiet(code: ExitCode) -> Self {
        Self::new(code, "")
    }

    /// What a failed `anyhow` chain means for the process: the `ExitError` within it, or an internal fault that
    /// shows the whole chain.
    pub fn from_report(report: anyhow::Error) -> Self {
        match report.downcast::<Self>() {
            Ok(error) => error,
            Err(other) => Self::internal(format!("{other:#}")),
        }
    }
}

impl From<io::Error> for ExitError {
    /// For our own output streams. A reader that went away is an ordinary end.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::quiet(ExitCode::Ok);
        }
        Self::internal(format!("cannot write the output: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn a_closed_pipe_is_an_ordinary_end() {
        let error = ExitError::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(error.is_quiet());
        assert_eq!(error.code(), ExitCode::Ok);
    }

    #[test]
    fn a_report_keeps_the_code_of_the_error_within_it() {
        let report = Err::<(), _>(ExitError::config("port 8000 is taken").hint("use --api-port"))
            .context("starting the API")
            .expect_err("it failed");
        let error = ExitError::from_report(report);
        assert_eq!((error.code(), error.hint_text()), (ExitCode::Config, Some("use --api-port")));

        let error = ExitError::from_report(anyhow::anyhow!("inner").context("outer"));
        assert_eq!((error.code(), error.to_string().as_str()), (ExitCode::Internal, "outer: inner"));
    }

    #[test]
    fn every_code_is_documented_once() {
        let mut numbers: Vec<u8> = ExitCode::ALL.iter().map(|(code, _)| *code as u8).collect();
        numbers.dedup();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 70]);
    }
}
