//! `cargo xtask setup`: what a fresh machine with Rust still lacks. Safe to run again; it says of each thing what it does
//! or that it is already there.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::languages::Language;
use crate::paths::Paths;
use crate::step::{Step, command, output_of, say, succeeds};
use crate::toolchain::{Choice, Toolchain, WASM_TARGET, current_cargo};
use crate::{debian, languages, python};

/// The version of cargo-deny that `.cargo/deny.toml` was written for.
const LICENCE_CHECKER: &str = "0.20.2";

/// Everything, in the order in which later parts need earlier ones.
pub fn run(paths: &Paths) -> Result<()> {
    c_compiler()?;
    wasm_target(paths)?;
    python::install(paths, &[&python::RETICULUM])?;
    languages::install(paths, &Language::ALL)?;
    licence_checker(paths).map(|_| ())
}

/// The program that checks licences and sources, in this checkout's own folder, compiled the first time.
pub fn licence_checker(paths: &Paths) -> Result<PathBuf> {
    let folder = paths.scratch.join("tools");
    let program = folder.join("bin/cargo-deny");
    let wanted = format!("cargo-deny {LICENCE_CHECKER}");
    let found = output_of(command(&program, ["--version"])).is_some_and(|version| version.trim() == wanted);
    if found {
        say(&format!("{wanted}: already there"));
        return Ok(program);
    }
    let mut install = current_cargo();
    install.args([
        "install",
        "cargo-deny",
        "--locked",
        "--no-default-features",
        "--debug",
        "--version",
        LICENCE_CHECKER,
    ]);
    // Its build is done once, and must not look at this workspace's settings.
    install.arg("--root").arg(&folder).current_dir(std::env::temp_dir()).env_remove("CARGO_TARGET_DIR");
    Step::new(format!("install {wanted}"), "is the registry of crates reachable?").quiet(install)?;
    Ok(program)
}

/// SQLite is compiled from its C source, and every Rust program is linked by the C compiler.
fn c_compiler() -> Result<()> {
    if succeeds(command("cc", ["--version"])) {
        say("C compiler: already there");
        return Ok(());
    }
    debian::install_packages(&["gcc", "libc6-dev"])
}

/// The target that plugins are compiled for: what is there, else rustup, else Debian's packages.
pub fn wasm_target(paths: &Paths) -> Result<()> {
    let choice = Choice::from_env()?;
    if choice == Choice::Debian {
        return debian::install(paths);
    }
    if let Some(found) = Toolchain::find(choice) {
        say(&format!("target {WASM_TARGET}: already in {}", found.name()));
        return Ok(());
    }
    if rustup_adds_target() {
        return Ok(());
    }
    say("rustup could not add the target; trying Debian's packages instead");
    if let Err(error) = debian::install(paths) {
        bail!(
            "{error:#}\nhint: with a connection to rustup's servers, `rustup target add {WASM_TARGET}` is all that is needed"
        );
    }
    Ok(())
}

fn rustup_adds_target() -> bool {
    if !succeeds(command("rustup", ["--version"])) {
        say("rustup: not here");
        return false;
    }
    let add = command("rustup", ["target", "add", WASM_TARGET]);
    let outcome = Step::new(format!("add the target {WASM_TARGET} with rustup"), "see below").quiet(add);
    outcome.is_ok() && Toolchain::find(Choice::Automatic).is_some()
}
