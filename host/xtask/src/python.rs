//! A Python with Reticulum's reference implementation, which one end-to-end test runs as a transport node between two
//! nodes of ours. Everything stays inside the scratch folder.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::debian;
use crate::paths::Paths;
use crate::step::{Step, command, output_of, say, succeeds};

/// Handed to the tests: the interpreter that has `RNS`.
pub const VARIABLE: &str = "AKITA_E2E_PYTHON";

/// The version that the mesh layer was tried against.
const REQUIREMENT: &str = "rns==1.5.7";

/// Where the interpreter is, whether it exists or not.
pub fn interpreter(paths: &Paths) -> PathBuf {
    paths.scratch.join("venv/bin/python")
}

/// Makes the virtual environment, unless it is already there and complete.
pub fn install(paths: &Paths) -> Result<()> {
    let python = interpreter(paths);
    if has_rns(&python) {
        say(&format!("Python with {REQUIREMENT}: already in {}", paths.scratch.join("venv").display()));
        return Ok(());
    }
    if !succeeds(command("python3", ["--version"])) {
        debian::install_packages(&["python3", "python3-venv"])?;
    }
    let folder = paths.scratch.join("venv");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("could not remove {}", folder.display()))?;
    }
    // Debian splits the module that seeds an environment off into a package of its own.
    if !succeeds(command("python3", ["-c", "import venv, ensurepip"]))
        && debian::install_packages(&["python3-venv"]).is_err()
    {
        return install_beside(&folder, &python);
    }
    let hint = "install python3 with its venv module (Debian: apt-get install python3-venv), then run this again";
    let mut make = command("python3", ["-m", "venv"]);
    make.arg(&folder);
    Step::new("make a Python virtual environment", hint).quiet(make)?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "-q", REQUIREMENT]);
    Step::new(format!("install {REQUIREMENT} in it"), "see that PyPI can be reached, then run this again").quiet(pip)
}

fn has_rns(python: &Path) -> bool {
    let mut probe = Command::new(python);
    probe.args(["-c", "from importlib.metadata import version; import RNS; print('rns==' + version('rns'))"]);
    output_of(probe).as_deref() == Some(REQUIREMENT)
}

/// Without the venv module: the packages in a folder, and an interpreter that looks there.
fn install_beside(folder: &Path, python: &Path) -> Result<()> {
    let packages = folder.join("packages");
    let mut pip = command("python3", ["-m", "pip", "install", "-q", REQUIREMENT, "--target"]);
    pip.arg(&packages);
    let hint = "install python3-venv or python3-pip, then run this again";
    Step::new(format!("install {REQUIREMENT} in a folder"), hint).quiet(pip)?;
    let script = format!("#!/bin/sh\nPYTHONPATH='{}' exec python3 \"$@\"\n", packages.display());
    let write = || {
        fs::create_dir_all(folder.join("bin"))?;
        fs::write(python, script)?;
        fs::set_permissions(python, fs::Permissions::from_mode(0o755))
    };
    write().with_context(|| format!("could not write {}", python.display()))
}
