//! The WebAssembly target out of Debian's packages, for machines that cannot reach rustup's servers: their compiler, a
//! standard library built from their source, and the linkers that every rustup toolchain carries. It never asks rustup to
//! download anything.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::paths::Paths;
use crate::step::{Step, command, output_of, say, succeeds};
use crate::toolchain::{LINKED_NAME, current_sysroot, has_std, host_triple};

/// A newer Rust than Debian's own, kept for its web browsers, with the source of its standard library.
const PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "wasi-libc"];

/// Components come from the first; `cargo component` compiles for the second.
const TARGETS: [&str; 2] = ["wasm32-wasip2", "wasm32-wasip1"];

/// Where the packages put their compiler's libraries.
const RUSTLIB: &str = "/usr/lib/rustlib";

/// Where the packages put their C library for WASI.
const WASI_LIBC: &str = "/usr/lib/wasm32-wasi";

/// Start-up code and C library that the compiler expects beside its own libraries.
const SELF_CONTAINED: [&str; 3] = ["crt1-command.o", "crt1-reactor.o", "libc.a"];

/// Carried by every rustup toolchain and missing in the packages.
const LINKERS: [&str; 2] = ["rust-lld", "wasm-component-ld"];

/// Written beside a finished library: the compiler it was built by, and the version of this recipe.
const MARKER: &str = ".akita-std";

/// To be raised when the recipe below changes, so that machines with an older one build again.
const RECIPE: &str = "recipe 1";

/// The oldest compiler that the plugins build with: `rust-version` in plugins/Cargo.toml.
const OLDEST_COMPILER: (u32, u32) = (1, 95);

/// Whether a target can be compiled for, by the compiler that is installed now.
pub fn is_ready(target: &str) -> bool {
    let linked = linker_folder().is_some_and(|folder| LINKERS.iter().all(|name| folder.join(name).exists()));
    linked && is_new_enough() && has_current_std(target)
}

/// Debian's cargo and compiler, free of what an outer cargo has set.
pub fn cargo() -> Command {
    let mut cargo = Command::new("/usr/bin/cargo");
    for variable in ["CARGO", "RUSTUP_TOOLCHAIN", "RUSTDOC", "RUSTC_WRAPPER", "RUSTFLAGS"] {
        cargo.env_remove(variable);
    }
    cargo.env("RUSTC", "/usr/bin/rustc");
    cargo
}

/// Brings the machine to where `is_ready` holds for every target; what is already there is left alone.
pub fn install(paths: &Paths) -> Result<()> {
    install_packages(&PACKAGES)?;
    renew_compiler()?;
    link_linkers()?;
    for target in TARGETS {
        if has_current_std(target) {
            say(&format!("standard library for {target}: already built"));
        } else {
            build_std(paths, target)?;
        }
    }
    link_toolchain()
}

/// Installs Debian packages, refreshing the lists first only if that turns out to be needed.
pub fn install_packages(names: &[&str]) -> Result<()> {
    let missing: Vec<&str> = names.iter().copied().filter(|name| !is_installed(name)).collect();
    if missing.is_empty() {
        say(&format!("packages {}: already installed", names.join(", ")));
        return Ok(());
    }
    let by_hand = format!("apt-get update && apt-get install --no-install-recommends {}", missing.join(" "));
    if !succeeds(command("apt-get", ["--version"])) {
        bail!(
            "the packages {} are missing and this is no Debian\nhint: see docs/plugins.md for other ways to get the WebAssembly target",
            missing.join(", ")
        );
    }
    let hint = format!("as root: {by_hand}");
    let known = missing.iter().all(|name| has_candidate(name));
    // Lists that are there may still be too old to download by.
    if known && apt(&format!("install the packages {}", missing.join(", ")), &install_words(&missing), &hint).is_ok() {
        return Ok(());
    }
    apt("refresh Debian's package lists", &["update", "-q"], &hint)?;
    apt(&format!("install the packages {}", missing.join(", ")), &install_words(&missing), &hint)
}

/// Package lists that came with the machine may know an old compiler only: it installs, and then builds nothing.
fn renew_compiler() -> Result<()> {
    if is_new_enough() {
        return Ok(());
    }
    let hint = format!("as root: apt-get update && apt-get install --no-install-recommends {}", PACKAGES.join(" "));
    apt("refresh Debian's package lists", &["update", "-q"], &hint)?;
    apt(&format!("renew the packages {}", PACKAGES.join(", ")), &install_words(&PACKAGES), &hint)?;
    if is_new_enough() {
        return Ok(());
    }
    let (major, minor) = OLDEST_COMPILER;
    let found = compiler().unwrap_or_else(|| "no compiler".to_owned());
    bail!(
        "Debian's packages give {found}; the plugins need Rust {major}.{minor}\nhint: add bookworm-security to the sources of apt, or: rustup target add wasm32-wasip2"
    )
}

fn is_new_enough() -> bool {
    compiler().and_then(|text| version_of(&text)).is_some_and(|version| version >= OLDEST_COMPILER)
}

/// What Debian's compiler says of itself.
fn compiler() -> Option<String> {
    output_of(command("/usr/bin/rustc", ["--version"]))
}

/// `rustc 1.96.0 (...)` is (1, 96).
fn version_of(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.strip_prefix("rustc ")?.split(['.', ' ', '-']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn install_words<'a>(packages: &[&'a str]) -> Vec<&'a str> {
    ["install", "-q", "-y", "--no-install-recommends"].iter().chain(packages).copied().collect()
}

fn apt(name: &str, arguments: &[&str], hint: &str) -> Result<()> {
    let mut apt = as_root("apt-get", hint)?;
    apt.env("DEBIAN_FRONTEND", "noninteractive").args(arguments);
    Step::new(name, hint).quiet(apt)
}

fn is_installed(package: &str) -> bool {
    output_of(command("dpkg-query", ["-W", "-f=${db:Status-Status}", package])).as_deref() == Some("installed")
}

/// Whether the package lists know a version; on a fresh machine they know nothing.
fn has_candidate(package: &str) -> bool {
    output_of(command("apt-cache", ["policy", package]))
        .is_some_and(|text| text.lines().any(|line| line.trim().starts_with("Candidate:") && !line.contains("(none)")))
}

/// A command that changes the system: as it is for root, else through sudo where that asks for no password.
fn as_root(program: &str, by_hand: &str) -> Result<Command> {
    if rustix::process::geteuid().is_root() {
        return Ok(Command::new(program));
    }
    if succeeds(command("sudo", ["-n", "true"])) {
        return Ok(command("sudo", ["-n", program]));
    }
    bail!(
        "`{program}` has to run as root, and sudo wants a password or is missing\nhint: {by_hand}\n      then run this again, or run `sudo -v` first"
    );
}

fn linker_folder() -> Option<PathBuf> {
    Some(Path::new(RUSTLIB).join(host_triple()?).join("bin"))
}

fn library_folder(target: &str) -> PathBuf {
    Path::new(RUSTLIB).join(target).join("lib")
}

fn has_current_std(target: &str) -> bool {
    let folder = library_folder(target);
    let stamp = fs::read_to_string(folder.join(MARKER)).ok();
    has_std(&folder) && stamp.is_some() && stamp == marker()
}

fn marker() -> Option<String> {
    Some(format!("{}\n{RECIPE}\n", compiler()?))
}

/// Links rather than copies: the linkers find their own libraries relative to where they really are.
fn link_linkers() -> Result<()> {
    let folder =
        linker_folder().context("`rustc --print host-tuple` failed\nhint: install Rust as https://rustup.rs says")?;
    let missing: Vec<&str> = LINKERS.iter().copied().filter(|name| !folder.join(name).exists()).collect();
    if missing.is_empty() {
        say("linkers: already in place");
        return Ok(());
    }
    let host = host_triple().context("`rustc --print host-tuple` failed")?;
    let sysroot = current_sysroot().context("`rustc --print sysroot` failed")?;
    let hint = "see that `rustc` is a rustup toolchain: it carries these linkers";
    for name in missing {
        let source = sysroot.join("lib/rustlib").join(&host).join("bin").join(name);
        if !source.exists() {
            bail!("{} is missing\nhint: {hint}", source.display());
        }
        let mut link = as_root("sh", hint)?;
        link.args(["-c", "mkdir -p \"$(dirname \"$2\")\" && ln -sfn \"$1\" \"$2\"", "sh"])
            .arg(&source)
            .arg(folder.join(name));
        Step::new(format!("link {name}"), hint).quiet(link)?;
    }
    Ok(())
}

fn build_std(paths: &Paths, target: &str) -> Result<()> {
    let workshop = paths.scratch.join("wasm-std");
    write_empty_crate(&workshop)?;
    let mut build = cargo();
    // The packages are a stable compiler; building its own standard library is what this variable was made for.
    build.env("RUSTC_BOOTSTRAP", "1");
    // Without bitcode the plugins' link-time optimisation would stop at the standard library.
    build.env("RUSTFLAGS", "-C embed-bitcode=yes").env("CARGO_TARGET_DIR", workshop.join("target"));
    // What is laid out below are intermediate files: they stay there, wherever the user has cargo keep his.
    build.env("CARGO_BUILD_BUILD_DIR", workshop.join("target"));
    build.current_dir(&workshop);
    build.args(["build", "--release", "-Z", "build-std=std,panic_abort,proc_macro,test", "--target", target]);
    let hint = "the crates that the standard library uses come from crates.io: see that it can be reached, then run this again";
    Step::new(format!("build the standard library for {target} (about a minute)"), hint).quiet(build)?;
    install_std(paths, &workshop.join("target").join(target).join("release/deps"), target)
}

fn write_empty_crate(folder: &Path) -> Result<()> {
    let manifest = "[package]\nname = \"akita-wasm-std\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n[lib]\npath = \"src/lib.rs\"\n\n[workspace]\n";
    let write = || {
        fs::create_dir_all(folder.join("src"))?;
        fs::write(folder.join("Cargo.toml"), manifest)?;
        fs::write(folder.join("src/lib.rs"), "")
    };
    write().with_context(|| format!("could not write the empty crate in {}", folder.display()))
}

/// Lays the libraries out in a folder of ours, then moves them in place in one go.
fn install_std(paths: &Paths, built: &Path, target: &str) -> Result<()> {
    let staged = paths.scratch.join("wasm-std/staged").join(target);
    stage(built, &staged, target)
        .with_context(|| format!("could not lay out the standard library in {}", staged.display()))?;
    let hint = format!("see that {RUSTLIB} can be written to");
    let mut install = as_root("sh", &hint)?;
    let script = "mkdir -p \"$(dirname \"$2\")\" && rm -rf \"$2\" && cp -r \"$1\" \"$2\"";
    install.args(["-c", script, "sh"]).arg(&staged).arg(Path::new(RUSTLIB).join(target));
    Step::new(format!("install the standard library for {target}"), hint).quiet(install)?;
    // Cargo does not notice that a standard library has changed.
    let stale = paths.plugins.join("target").join(target);
    if stale.exists() {
        fs::remove_dir_all(&stale).with_context(|| format!("could not remove {}", stale.display()))?;
    }
    Ok(())
}

fn stage(built: &Path, staged: &Path, target: &str) -> Result<()> {
    if staged.exists() {
        fs::remove_dir_all(staged)?;
    }
    let library = staged.join("lib");
    let own = library.join("self-contained");
    fs::create_dir_all(&own)?;
    for entry in fs::read_dir(built)? {
        let path = entry?.path();
        let name = path.file_name().context("a listed file has a name")?.to_string_lossy().into_owned();
        if name.ends_with(".rlib") && !name.contains("akita_wasm_std") {
            fs::copy(&path, library.join(&name))?;
        }
    }
    for name in SELF_CONTAINED {
        fs::copy(Path::new(WASI_LIBC).join(name), own.join(name))?;
    }
    if !has_std(&library) {
        bail!("cargo built no standard library for {target}");
    }
    fs::write(library.join(MARKER), marker().context("`/usr/bin/rustc --version` failed")?)?;
    Ok(())
}

/// For `cargo +akita-wasm` and `cargo component`, which take a toolchain by rustup's name.
fn link_toolchain() -> Result<()> {
    let Some(list) = output_of(command("rustup", ["toolchain", "list"])) else {
        say("rustup is not here: the toolchain stays without a name, which the plugins do not need");
        return Ok(());
    };
    if list.lines().any(|line| line.split_whitespace().next() == Some(LINKED_NAME)) {
        say(&format!("rustup toolchain {LINKED_NAME}: already linked"));
        return Ok(());
    }
    let hint = format!("rustup toolchain link {LINKED_NAME} /usr");
    Step::new(format!("link the rustup toolchain {LINKED_NAME}"), hint)
        .quiet(command("rustup", ["toolchain", "link", LINKED_NAME, "/usr"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_of_old_package_lists_is_told_from_a_new_one() {
        let version = |text| version_of(text).unwrap();
        assert!(version("rustc 1.85.0 (4d91de4e4 2025-02-17) (built from a source tarball)") < OLDEST_COMPILER);
        assert!(version("rustc 1.96.0 (x 2026-05-25)") >= OLDEST_COMPILER);
        assert!(version("rustc 2.0.0-nightly") >= OLDEST_COMPILER);
        assert_eq!(version_of("bash: rustc: not found"), None);
    }
}
