//! `cargo xtask setup`: what a fresh machine with Rust still lacks. Safe to run again; it says of each thing what it does
//! or that it is already there.

use anyhow::{Result, bail};

use crate::paths::Paths;
use crate::step::{Step, command, say, succeeds};
use crate::toolchain::{Choice, Toolchain, WASM_TARGET};
use crate::{debian, python};

/// Everything, in the order in which later parts need earlier ones.
pub fn run(paths: &Paths) -> Result<()> {
    c_compiler()?;
    wasm_target(paths)?;
    python::install(paths)
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
