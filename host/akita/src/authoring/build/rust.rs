//! Rust: cargo for `wasm32-wasip2`, whose linker makes a component, or `cargo component` where that is installed and its
//! target is there too. Neither ever downloads a target: rustup is only asked what it has.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Options, Project, Workshop, made};
use crate::exit::ExitError;

/// Compiled for this, a library is a component.
const TARGET: &str = "wasm32-wasip2";
/// What `cargo component` compiles for. It would have rustup install it if it were missing.
const COMPONENT_TARGET: &str = "wasm32-wasip1";
/// The toolchain that `cargo xtask setup` links on machines that rustup's servers do not reach.
const LINKED: &str = "akita-wasm";
/// `debian` leaves the current toolchain out.
const CHOICE: &str = "AKITA_WASM_TOOLCHAIN";

/// A toolchain that has a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Toolchain {
    Current,
    Linked,
}

impl Toolchain {
    fn words(self) -> &'static [&'static str] {
        match self {
            Toolchain::Current => &[],
            Toolchain::Linked => &["rustup", "run", LINKED],
        }
    }

    /// Whether it has the standard library of a target.
    fn has(self, target: &str, shop: &Workshop<'_>, folder: &Path) -> bool {
        let words: Vec<_> = self.words().iter().copied().chain(["rustc", "--print", "sysroot"]).collect();
        let sysroot = shop.ask(&words, folder).map(PathBuf::from);
        sysroot.is_some_and(|sysroot| has_std(&sysroot.join("lib/rustlib").join(target).join("lib")))
    }
}

pub fn build(project: &Project, shop: &mut Workshop<'_>, options: Options) -> Result<Vec<u8>, ExitError> {
    let (toolchain, component) = choose(shop, &project.root)?;
    let (command, target): (&[&str], _) =
        if component { (&["cargo", "component"], COMPONENT_TARGET) } else { (&["cargo"], TARGET) };
    let fixed = ["build", "--target", target, "--message-format", "json-render-diagnostics"];
    let words = toolchain.words().iter().chain(command).chain(&fixed).map(|word| (*word).to_owned());
    let words = words.chain((!options.debug).then(|| "--release".to_owned())).collect::<Vec<_>>();
    let mut cargo = shop.command(&words);
    cargo.current_dir(&project.root);
    if toolchain == Toolchain::Linked {
        // Set by an outer cargo or rustup, these would lead back to the toolchain without the target.
        for variable in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN"] {
            cargo.env_remove(variable);
        }
    }
    let messages = shop.read(cargo, "mend what the compiler names above, then build again")?;
    let file = artifact(&messages, &project.root.join("Cargo.toml")).ok_or_else(|| {
        ExitError::config(format!("{} builds, and makes no component", project.name))
            .hint("Cargo.toml needs: [lib] crate-type = [\"cdylib\"]")
    })?;
    made(&file)
}

/// The toolchain to use, and whether with `cargo component`.
fn choose(shop: &Workshop<'_>, folder: &Path) -> Result<(Toolchain, bool), ExitError> {
    if shop.find("cargo").is_none() {
        return Err(ExitError::config("`cargo` is not installed, or not on the PATH")
            .hint("install Rust: https://rustup.rs, then: rustup target add wasm32-wasip2"));
    }
    let allowed: &[Toolchain] = match shop.variable(CHOICE) {
        None | Some("auto") => &[Toolchain::Current, Toolchain::Linked],
        Some("debian") => &[Toolchain::Linked],
        Some(other) => {
            return Err(ExitError::config(format!("{CHOICE}={other} is not known"))
                .hint("leave it unset, or set it to `debian`"));
        }
    };
    let component = shop.find("cargo-component").is_some();
    for toolchain in allowed {
        if component && toolchain.has(COMPONENT_TARGET, shop, folder) {
            return Ok((*toolchain, true));
        }
        if toolchain.has(TARGET, shop, folder) {
            return Ok((*toolchain, false));
        }
    }
    Err(ExitError::config(format!("this machine's Rust cannot compile for {TARGET}")).hint(format!(
        "rustup target add {TARGET}\n      or, where rustup's servers cannot be reached, in a checkout of Akita: cargo xtask setup"
    )))
}

/// Whether a folder holds a compiled standard library.
fn has_std(folder: &Path) -> bool {
    let Ok(entries) = folder.read_dir() else { return false };
    entries.flatten().any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with("libstd-") && name.ends_with(".rlib")
    })
}

/// The component in cargo's messages that the package of this manifest became.
fn artifact(messages: &str, manifest: &Path) -> Option<PathBuf> {
    let is_ours = |message: &Value| {
        let of_package = message["manifest_path"].as_str().is_some_and(|path| Path::new(path) == manifest);
        message["reason"] == "compiler-artifact" && of_package
    };
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut files = messages.filter(is_ours).filter_map(|message| {
        let files = message["filenames"].as_array()?.iter().filter_map(Value::as_str);
        files.map(PathBuf::from).find(|file| file.extension().is_some_and(|kind| kind == "wasm"))
    });
    files.next_back()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::ExitCode;
    use std::os::unix::fs::PermissionsExt as _;
    use tokio_util::sync::CancellationToken;

    /// A machine whose `rustc` names a sysroot with the standard libraries of these targets.
    fn machine(targets: &[&str], tools: &[&str]) -> (tempfile::TempDir, Workshop<'static>) {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for target in targets {
            let lib = dir.path().join("lib/rustlib").join(target).join("lib");
            std::fs::create_dir_all(&lib).expect("a folder");
            std::fs::write(lib.join("libstd-1.rlib"), "").expect("a file");
        }
        for tool in tools {
            let path = dir.path().join(tool);
            std::fs::write(&path, format!("#!/bin/sh\necho {}\n", dir.path().display())).expect("a file");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a program");
        }
        let env = [("PATH".to_owned(), dir.path().display().to_string())].into();
        let shop = Workshop::new(env, |_| {}, CancellationToken::new());
        (dir, shop)
    }

    fn chosen(targets: &[&str], tools: &[&str]) -> Result<(Toolchain, bool), ExitError> {
        let (dir, shop) = machine(targets, tools);
        choose(&shop, dir.path())
    }

    #[test]
    fn the_current_toolchain_is_used_where_it_has_the_target() {
        assert_eq!(chosen(&[TARGET], &["cargo", "rustc"]).expect("it has it"), (Toolchain::Current, false));
    }

    #[test]
    fn the_component_tool_is_used_only_where_it_would_install_nothing() {
        let tools = ["cargo", "rustc", "cargo-component"];
        assert_eq!(chosen(&[TARGET], &tools).expect("it has one"), (Toolchain::Current, false));
        assert_eq!(chosen(&[TARGET, COMPONENT_TARGET], &tools).expect("it has both"), (Toolchain::Current, true));
    }

    #[test]
    fn the_linked_toolchain_comes_next() {
        // This `rustup` answers as `rustc` of the linked toolchain would; there is no other.
        assert_eq!(chosen(&[TARGET], &["cargo", "rustup"]).expect("it has it"), (Toolchain::Linked, false));
    }

    #[test]
    fn a_machine_without_the_target_is_told_both_ways_to_it() {
        let error = chosen(&[], &["cargo", "rustc", "rustup"]).expect_err("nothing is there");
        assert_eq!(error.code(), ExitCode::Config);
        let hint = error.hint_text().unwrap_or_default();
        assert!(hint.contains("rustup target add wasm32-wasip2") && hint.contains("cargo xtask setup"), "{hint}");
        let error = chosen(&[], &[]).expect_err("no cargo");
        assert!(error.hint_text().is_some_and(|hint| hint.contains("rustup.rs")), "{error}");
    }

    #[test]
    fn the_component_is_found_in_cargos_messages() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","manifest_path":"/d/Cargo.toml","filenames":["/t/d.wasm"]}"#,
            "\n",
            r#"{"reason":"compiler-artifact","manifest_path":"/p/Cargo.toml","filenames":["/t/p.d","/t/p.wasm"]}"#,
            "\nnot JSON\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        assert_eq!(artifact(messages, Path::new("/p/Cargo.toml")), Some("/t/p.wasm".into()));
        assert_eq!(artifact(messages, Path::new("/q/Cargo.toml")), None);
    }
}
