//! Which Rust toolchain builds the plugins, and how to call it. It installs nothing.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::debian;
use crate::step::{command, output_of};

/// What plugins are compiled for. Components come straight out of the linker.
pub const WASM_TARGET: &str = "wasm32-wasip2";

/// The name under which rustup knows the toolchain made of Debian's packages.
pub const LINKED_NAME: &str = "akita-wasm";

/// The setting that forces one way: `debian`, for machines that cannot reach rustup's servers.
const CHOICE: &str = "AKITA_WASM_TOOLCHAIN";

/// How the person wants the WebAssembly target to be found.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Whatever is there; rustup before Debian.
    Automatic,
    /// Debian's packages only; rustup's servers are never asked.
    Debian,
}

impl Choice {
    /// Reads `AKITA_WASM_TOOLCHAIN`.
    pub fn from_env() -> Result<Self> {
        match env::var(CHOICE).as_deref() {
            Err(_) | Ok("" | "auto") => Ok(Self::Automatic),
            Ok("debian") => Ok(Self::Debian),
            Ok(other) => bail!("{CHOICE}={other} is not known\nhint: leave it unset, or set it to `debian`"),
        }
    }
}

/// A toolchain that can compile plugins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Toolchain {
    /// The one that runs this program, with the target installed.
    Current,
    /// Debian's compiler with the standard library built by `cargo xtask setup`.
    Debian,
}

impl Toolchain {
    /// The toolchain that is ready now, if any.
    pub fn find(choice: Choice) -> Option<Self> {
        if choice == Choice::Automatic && current_has_target() {
            return Some(Self::Current);
        }
        debian::is_ready(WASM_TARGET).then_some(Self::Debian)
    }

    /// Its cargo, free of what an outer cargo has set.
    pub fn cargo(self) -> Command {
        match self {
            Self::Current => current_cargo(),
            Self::Debian => debian::cargo(),
        }
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Current => "the current toolchain",
            Self::Debian => "Debian's Rust packages",
        }
    }
}

/// The cargo that runs this program.
pub fn current_cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The folder of the compiler that runs this program.
pub fn current_sysroot() -> Option<PathBuf> {
    output_of(command("rustc", ["--print", "sysroot"])).map(PathBuf::from)
}

/// The triple of this machine, as the compiler names it.
pub fn host_triple() -> Option<String> {
    output_of(command("rustc", ["--print", "host-tuple"]))
}

fn current_has_target() -> bool {
    current_sysroot().is_some_and(|sysroot| has_std(&sysroot.join("lib/rustlib").join(WASM_TARGET).join("lib")))
}

/// Whether a folder holds a compiled standard library.
pub fn has_std(folder: &Path) -> bool {
    let Ok(entries) = folder.read_dir() else {
        return false;
    };
    entries.flatten().any(|entry| {
        let path = entry.path();
        let is_std = path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with("libstd-"));
        is_std && path.extension() == Some(OsStr::new("rlib"))
    })
}
