//! Command lines as a person would type them, shown with what they print. It does not judge the output.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::node::without_settings;

/// Where command lines are typed, and whom they are for.
pub struct Shell {
    binary: PathBuf,
    folder: PathBuf,
    target: String,
}

impl Shell {
    /// Runs `binary` in `folder` against the API at `target`.
    pub fn new(binary: &Path, folder: &Path, target: &str) -> Self {
        Self { binary: binary.to_owned(), folder: folder.to_owned(), target: target.to_owned() }
    }

    /// Runs one command line, shows it with its output, and gives that output.
    pub fn akita(&self, arguments: &[&str]) -> Result<String> {
        self.akita_cut(arguments, usize::MAX)
    }

    /// The same, with only the first lines of the output shown.
    pub fn akita_cut(&self, arguments: &[&str], lines: usize) -> Result<String> {
        println!("\n$ akita {}", arguments.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "));
        let mut command = Command::new(&self.binary);
        without_settings(&mut command);
        command.current_dir(&self.folder).env("AKITA_TARGET_NODE_API", &self.target).args(arguments);
        let output = command.output().context("could not run akita")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        for line in text.lines().take(lines) {
            println!("{line}");
        }
        if text.lines().count() > lines {
            println!("...");
        }
        if !output.status.success() {
            bail!("`akita {}` ended with {}", arguments.join(" "), output.status);
        }
        Ok(text)
    }
}

/// Whether a word has the shape of a task's id, a UUID.
pub fn is_id(word: &str) -> bool {
    let fits = |(at, byte): (usize, u8)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    word.len() == 36 && word.bytes().enumerate().all(fits)
}

/// As it would be typed.
fn quoted(word: &str) -> String {
    let plain = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./:@=".contains(&byte));
    if plain { word.to_owned() } else { format!("'{word}'") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_from_other_words() {
        assert!(is_id("01989c2e-7f3a-7c52-b0d1-5a3c9e1f2b44"));
        assert!(!is_id("accepted") && !is_id("01989c2e-7f3a-7c52-b0d1-5a3c9e1f2b4g") && !is_id(""));
    }

    #[test]
    fn what_a_shell_would_change_is_quoted() {
        assert_eq!(quoted("--limit"), "--limit");
        assert_eq!(quoted(r#"{"action":"echo"}"#), r#"'{"action":"echo"}'"#);
    }
}
