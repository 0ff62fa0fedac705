//! A Python with the packages that tests and plugins need: Reticulum's reference implementation, which one end-to-end test
//! runs as a transport node between two nodes of ours, and the compilers of plugins in C and Python. Everything stays inside
//! the scratch folder.

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

/// A package of PyPI, at the version that was tried.
pub struct Package {
    /// As PyPI knows it.
    pub name: &'static str,
    /// Exactly this one.
    pub version: &'static str,
}

/// What the mesh layer was tried against.
pub const RETICULUM: Package = Package { name: "rns", version: "1.5.7" };
/// The C compiler for plugins: it carries its own C library for WebAssembly.
pub const ZIG: Package = Package { name: "ziglang", version: "0.17.1" };
/// The compiler of plugins in Python.
pub const COMPONENTIZE_PY: Package = Package { name: "componentize-py", version: "0.25.0" };

impl Package {
    /// As pip takes it.
    pub fn requirement(&self) -> String {
        format!("{}=={}", self.name, self.version)
    }
}

/// Where the interpreter is, whether it exists or not.
pub fn interpreter(paths: &Paths) -> PathBuf {
    paths.scratch.join("venv/bin/python")
}

/// A file within a package, if it is installed.
pub fn file_of(paths: &Paths, package: &str, file: &str) -> Option<PathBuf> {
    let mut ask = Command::new(interpreter(paths));
    ask.args(["-c", &format!("import os, {package}; print(os.path.dirname({package}.__file__))")]);
    let folder = output_of(ask)?;
    Some(PathBuf::from(folder.trim()).join(file)).filter(|file| file.is_file())
}

/// The compiler of plugins in Python, whether it is installed or not.
pub fn componentize_py(paths: &Paths) -> PathBuf {
    paths.scratch.join("venv/bin/componentize-py")
}

/// Puts packages into the virtual environment, which is made unless it is there; what is there already is left alone.
pub fn install(paths: &Paths, packages: &[&Package]) -> Result<()> {
    let python = interpreter(paths);
    make(paths, &python)?;
    let mut missing = Vec::new();
    for package in packages {
        if has(&python, package) {
            say(&format!("Python with {}: already in {}", package.requirement(), paths.scratch.join("venv").display()));
        } else {
            missing.push(package.requirement());
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let beside = paths.scratch.join("venv/packages");
    let mut pip = pip(&python, &beside);
    pip.args(["install", "--quiet", "--disable-pip-version-check"]).args(&missing);
    if beside.is_dir() {
        pip.arg("--upgrade").arg("--target").arg(&beside);
    }
    let hint = "see that PyPI can be reached, then run this again";
    Step::new(format!("install {} for Python", missing.join(", ")), hint).quiet(pip)?;
    if beside.is_dir() { write_starter(paths, &python) } else { Ok(()) }
}

fn has(python: &Path, package: &Package) -> bool {
    let mut probe = Command::new(python);
    probe.args(["-c", &format!("from importlib.metadata import version; print(version('{}'))", package.name)]);
    output_of(probe).as_deref() == Some(package.version)
}

/// The environment, with an interpreter that works.
fn make(paths: &Paths, python: &Path) -> Result<()> {
    if succeeds(command(python, ["--version"])) {
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
        return make_beside(&folder, python);
    }
    let hint = "install python3 with its venv module (Debian: apt-get install python3-venv), then run this again";
    let mut make = command("python3", ["-m", "venv"]);
    make.arg(&folder);
    Step::new("make a Python virtual environment", hint).quiet(make)
}

/// Without the venv module: packages in a folder, and an interpreter that looks there.
fn make_beside(folder: &Path, python: &Path) -> Result<()> {
    let packages = folder.join("packages");
    fs::create_dir_all(&packages).with_context(|| format!("could not make {}", packages.display()))?;
    write_program(python, &format!("PYTHONPATH='{}' exec python3 \"$@\"", packages.display()))
}

/// In an environment that has no pip of its own, the system's.
fn pip(python: &Path, beside: &Path) -> Command {
    let mut pip = if beside.is_dir() { Command::new("python3") } else { Command::new(python) };
    pip.args(["-m", "pip"]);
    pip
}

/// A folder of packages has no programs that find it.
fn write_starter(paths: &Paths, python: &Path) -> Result<()> {
    let start = "import sys; from componentize_py import script; sys.exit(script())";
    write_program(&componentize_py(paths), &format!("exec '{}' -c '{start}' \"$@\"", python.display()))
}

fn write_program(path: &Path, line: &str) -> Result<()> {
    let write = || {
        fs::create_dir_all(path.parent().expect("a program lies in a folder"))?;
        fs::write(path, format!("#!/bin/sh\n{line}\n"))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))
    };
    write().with_context(|| format!("could not write {}", path.display()))
}
