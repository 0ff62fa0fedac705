//! The tools on an author's machine: where they are found, and how they are run with their words shown as they are. It
//! installs nothing by itself.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::exit::{ExitCode, ExitError};

/// Between two looks at whether a tool has ended: a person does not notice it.
const LOOK: Duration = Duration::from_millis(20);

/// What a build needs of the world.
pub struct Workshop<'a> {
    env: BTreeMap<String, String>,
    say: Box<dyn FnMut(&str) + 'a>,
    stop: CancellationToken,
}

impl<'a> Workshop<'a> {
    /// A workshop with that environment, which tells what goes on through `say` and ends its tools when it is stopped.
    pub fn new(env: BTreeMap<String, String>, say: impl FnMut(&str) + 'a, stop: CancellationToken) -> Workshop<'a> {
        Workshop { env, say: Box::new(say), stop }
    }

    /// Tells the person at the terminal something.
    pub fn say(&mut self, line: &str) {
        (self.say)(line);
    }

    /// A variable of the environment that is set to something.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The tool that a variable such as `AKITA_ZIG` names: a path, or a command line of several words.
    #[must_use]
    pub fn named(&self, variable: &str) -> Option<Vec<String>> {
        let value = self.variable(variable)?;
        if Path::new(value).is_file() {
            return Some(vec![value.to_owned()]);
        }
        Some(value.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).filter(|words| !words.is_empty())
    }

    /// The program of that name on the `PATH`.
    #[must_use]
    pub fn find(&self, program: &str) -> Option<PathBuf> {
        let folders = std::env::split_paths(self.env.get("PATH")?);
        folders.map(|folder| folder.join(program)).find(|path| is_program(path))
    }

    /// A command of this workshop's environment, from words of which the first is the program.
    ///
    /// # Panics
    /// When there are no words.
    #[must_use]
    pub fn command(&self, words: &[String]) -> Command {
        let (program, rest) = words.split_first().expect("a command has a program");
        // A name without a folder is looked up where this workshop looks, not where this process does.
        let program = self.find(program).unwrap_or_else(|| program.into());
        let mut command = Command::new(program);
        command.args(rest).envs(&self.env);
        command
    }

    /// The standard output of a command that succeeds; `None` if it fails or does not start.
    #[must_use]
    pub fn ask(&self, words: &[&str], folder: &Path) -> Option<String> {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        let mut command = self.command(&words);
        let output = command.current_dir(folder).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    }

    /// Runs a tool to its end. All that it says goes to standard error as it is.
    ///
    /// # Errors
    /// When it does not start, fails, or is stopped. `hint` is the next step after a failure.
    pub fn run(&mut self, command: Command, hint: &str) -> Result<(), ExitError> {
        let mut command = command;
        command.stdout(std::io::stderr());
        self.run_reading(command, hint).map(drop)
    }

    /// The same, for a tool whose standard output is for us.
    ///
    /// # Errors
    /// The same.
    pub fn read(&mut self, mut command: Command, hint: &str) -> Result<String, ExitError> {
        command.stdout(Stdio::piped());
        self.run_reading(command, hint)
    }

    fn run_reading(&mut self, mut command: Command, hint: &str) -> Result<String, ExitError> {
        let line = described(&command);
        let failed = |what: String| ExitError::new(ExitCode::TaskFailed, format!("`{line}` {what}")).hint(hint);
        let mut child =
            command.stdin(Stdio::null()).spawn().map_err(|error| failed(format!("did not start: {error}")))?;
        // Read beside the wait: a tool that says more than a pipe holds would never end.
        let reader = child.stdout.take().map(|mut stdout| {
            thread::spawn(move || {
                let mut bytes = Vec::new();
                stdout.read_to_end(&mut bytes).map(|_| String::from_utf8_lossy(&bytes).into_owned())
            })
        });
        let status = self.wait(&mut child).map_err(|error| failed(format!("cannot be waited for: {error}")))?;
        let Some(status) = status else {
            return Err(ExitError::new(ExitCode::TaskFailed, format!("`{line}` was stopped")));
        };
        let text = reader.and_then(|reader| reader.join().ok()).and_then(Result::ok).unwrap_or_default();
        if status.success() { Ok(text) } else { Err(failed(format!("ended with {status}"))) }
    }

    /// The end of a child; `None` if it was ended because this workshop is stopped.
    fn wait(&self, child: &mut Child) -> std::io::Result<Option<ExitStatus>> {
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(status));
            }
            if self.stop.is_cancelled() {
                child.kill()?;
                child.wait()?;
                return Ok(None);
            }
            thread::sleep(LOOK);
        }
    }
}

/// What a person would type, shortened to what tells commands apart.
fn described(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let words = command.get_args().map(|word| word.to_string_lossy().into_owned()).take(4);
    std::iter::once(program).chain(words).collect::<Vec<_>>().join(" ")
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    path.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workshop(env: &[(&str, &str)]) -> Workshop<'static> {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Workshop::new(env, |_| {}, CancellationToken::new())
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_variable_names_a_path_or_a_command_line() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("my zig");
        std::fs::write(&path, "").expect("a file");
        let path = path.to_str().expect("a path");
        let shop = workshop(&[("A", path), ("B", "python3 -m ziglang"), ("C", "")]);
        assert_eq!(shop.named("A"), Some(words(&[path])));
        assert_eq!(shop.named("B"), Some(words(&["python3", "-m", "ziglang"])));
        assert_eq!((shop.named("C"), shop.named("D")), (None, None));
    }

    #[test]
    fn a_tool_that_fails_is_told_with_the_next_step() {
        let mut shop = workshop(&[("PATH", "/bin:/usr/bin")]);
        assert!(shop.find("sh").is_some() && shop.find("no-such-tool").is_none());
        let command = shop.command(&words(&["sh", "-c", "exit 3"]));
        let error = shop.run(command, "do this").expect_err("it failed");
        assert_eq!((error.code(), error.hint_text()), (ExitCode::TaskFailed, Some("do this")));
        assert!(error.to_string().contains("exit status: 3"), "{error}");
        let command = shop.command(&words(&["sh", "-c", "echo one"]));
        assert_eq!(shop.read(command, "").expect("it works"), "one\n");
        assert_eq!(shop.ask(&["sh", "-c", "pwd"], Path::new("/")).as_deref(), Some("/"));
    }

    #[test]
    fn a_stopped_workshop_ends_its_tool() {
        let stop = CancellationToken::new();
        stop.cancel();
        let mut shop = Workshop::new([("PATH".to_owned(), "/bin:/usr/bin".to_owned())].into(), |_| {}, stop);
        let command = shop.command(&words(&["sleep", "600"]));
        assert!(shop.run(command, "").expect_err("it is ended").to_string().contains("was stopped"));
    }
}
