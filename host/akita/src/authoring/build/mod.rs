//! From a project to a component, with the tools of its language: one file a language. What comes out is a component's
//! bytes; they are put in place whole or not at all.

mod c;
mod js;
mod python;
mod rust;

use std::fs;
use std::io;
use std::path::Path;

use super::{Language, Project, Workshop};
use crate::exit::ExitError;

/// How to build.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Quicker to build and larger, with checks and names for debugging, where the language has such a build.
    pub debug: bool,
}

/// Builds the component of a project. The tools' own words go to standard error as they are.
///
/// # Errors
/// When a tool is missing or fails, with the next step.
pub fn build(project: &Project, shop: &mut Workshop<'_>, options: Options) -> Result<Vec<u8>, ExitError> {
    match project.language {
        Language::Rust => rust::build(project, shop, options),
        Language::C => c::build(project, shop, options),
        Language::Js => js::build(project, shop, options),
        Language::Python => python::build(project, shop, options),
    }
}

/// Writes a component through a temporary name: a node that watches the folder never sees half of it.
///
/// # Errors
/// When it cannot be written.
pub fn place(bytes: &[u8], target: &Path) -> Result<(), ExitError> {
    let failed = |error: io::Error| ExitError::config(format!("cannot write {}: {error}", target.display()));
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // With the permissions of an ordinary file: the node may run as another user than the author.
    let made = tempfile::Builder::new()
        .prefix(".akita-")
        .suffix(".partial")
        .make_in(folder, |path: &Path| fs::File::create_new(path));
    let mut made = made.map_err(failed)?;
    io::Write::write_all(&mut made, bytes).and_then(|()| made.as_file().sync_all()).map_err(failed)?;
    made.persist(target).map(drop).map_err(|error| failed(error.error))
}

/// Reads what a tool has made.
fn made(path: &Path) -> Result<Vec<u8>, ExitError> {
    fs::read(path)
        .map_err(|error| ExitError::config(format!("cannot read what was built, {}: {error}", path.display())))
}

/// A part that every project of a language has: without it, a tool would say something less clear.
fn expect_part(project: &Project, part: &str) -> Result<(), ExitError> {
    if project.root.join(part).exists() {
        return Ok(());
    }
    let (name, word) = (project.language.name(), project.language.word());
    Err(ExitError::config(format!("{} has no {part}, which a plugin in {name} is made of", project.root.display()))
        .hint(format!("see how a new project looks: akita plugin new NAME --lang {word}")))
}

/// A folder for what a tool writes, gone afterwards.
fn scratch() -> Result<tempfile::TempDir, ExitError> {
    tempfile::tempdir().map_err(|error| ExitError::config(format!("cannot make a temporary folder: {error}")))
}

/// A path as a word of a command.
fn utf8(path: &Path) -> Result<String, ExitError> {
    let word = path.to_str().map(str::to_owned);
    word.ok_or_else(|| ExitError::config(format!("{} is no UTF-8, and the tools cannot be told of it", path.display())))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use tokio_util::sync::CancellationToken;

    use super::*;

    /// A tool that writes its arguments to what `--output` names.
    pub const FAKE: &str =
        r#"all="$*"; while [ $# -gt 0 ]; do case $1 in --output) shift; echo "$all" > "$1";; esac; shift; done"#;

    /// A project of these files.
    pub fn project(language: Language, files: &[(&str, &str)]) -> (tempfile::TempDir, Project) {
        // A project in C is named after its folder, and a hidden one is none.
        let dir = tempfile::Builder::new().prefix("project").tempdir().expect("a temporary folder");
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        let project = Project::open(dir.path(), Some(language)).expect("a project");
        (dir, project)
    }

    /// A machine on whose path there are only these programs, all alike; `{bin}` in a variable is where they are.
    pub fn machine(env: &[(&str, &str)], tools: &[&str], script: &str) -> (tempfile::TempDir, Workshop<'static>) {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for tool in tools {
            program(&dir.path().join(tool), script);
        }
        let bin = dir.path().display().to_string();
        let mut env: std::collections::BTreeMap<String, String> =
            env.iter().map(|(name, value)| ((*name).to_owned(), value.replace("{bin}", &bin))).collect();
        env.insert("PATH".to_owned(), bin);
        (dir, Workshop::new(env, |_| {}, CancellationToken::new()))
    }

    /// A shell script that has the system's own programs.
    pub fn program(path: &Path, script: &str) {
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        let text = format!("#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n");
        // Written by another process: a program that this one has open for writing, and a child of another test has
        // inherited, cannot be started.
        let mut write = Command::new("/bin/sh");
        write.args(["-c", "printf %s \"$2\" > \"$1\" && chmod 755 \"$1\"", "sh"]).arg(path).arg(text);
        assert!(write.status().expect("a shell").success());
    }

    #[test]
    fn a_component_is_put_in_place_whole() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let target = dir.path().join("a.wasm");
        place(b"one", &target).expect("it is written");
        place(b"two", &target).expect("it is written again");
        assert_eq!(fs::read(&target).expect("it is there"), b"two");
        assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 1, "nothing else is left");
        assert!(place(b"x", &dir.path().join("no/a.wasm")).is_err());
    }
}
