//! `cargo xtask plugins`: builds the plugins and puts each component where `akita start --plugins ./plugins` finds it:
//! those in Rust, which need nothing but its toolchain, and those in other languages if they are asked for. Cargo decides
//! what is out of date of the former.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::paths::Paths;
use crate::projects::{self, Project};
use crate::setup;
use crate::step::{Step, output_of, say};
use crate::toolchain::{Choice, Toolchain, WASM_TARGET, current_cargo};

/// What `cargo xtask plugins` takes.
#[derive(clap::Args, Default)]
pub struct Args {
    /// Build one plugin only, in whatever language it is
    #[arg(long, value_name = "NAME", conflicts_with = "all")]
    only: Option<String>,
    /// Build the plugins in C, JavaScript and Python too, and install their compilers into target/ the first time
    #[arg(long)]
    all: bool,
}

impl Args {
    /// Every plugin in every language.
    pub fn all() -> Self {
        Self { only: None, all: true }
    }
}

/// A crate that becomes a component.
struct Plugin {
    /// Its folder in plugins/, and its component's file name.
    name: String,
    /// Cargo's name for it: `image` and `digest` are taken by crates that the plugins use.
    package: String,
    library: String,
}

/// Builds what was asked for, setting the tools up first if they are not there.
pub fn run(paths: &Paths, args: &Args) -> Result<()> {
    let (crates, projects) = choose(list(paths)?, projects::list(paths)?, args)?;
    if !crates.is_empty() {
        build(paths, &crates)?;
    }
    projects::build(paths, &projects)
}

fn build(paths: &Paths, chosen: &[Plugin]) -> Result<()> {
    let toolchain = ready_toolchain(paths)?;
    let mut build = toolchain.cargo();
    build.current_dir(&paths.plugins).env_remove("CARGO_TARGET_DIR");
    build.args(["build", "--release", "--target", WASM_TARGET]);
    for plugin in chosen {
        build.args(["--package", &plugin.package]);
    }
    let names: Vec<&str> = chosen.iter().map(|plugin| plugin.name.as_str()).collect();
    let hint = "an error above is in the plugin named there; if the target is missing, run `cargo xtask setup`";
    Step::new(format!("build the plugins {} with {}", names.join(", "), toolchain.name()), hint).quiet(build)?;
    for plugin in chosen {
        place(paths, plugin)?;
    }
    Ok(())
}

fn ready_toolchain(paths: &Paths) -> Result<Toolchain> {
    let choice = Choice::from_env()?;
    if let Some(toolchain) = Toolchain::find(choice) {
        return Ok(toolchain);
    }
    setup::wasm_target(paths)?;
    Toolchain::find(choice)
        .with_context(|| format!("no toolchain can compile for {WASM_TARGET}\nhint: cargo xtask setup"))
}

/// The crates of the guest workspace that make a dynamic library, which for this target is a component.
fn list(paths: &Paths) -> Result<Vec<Plugin>> {
    let mut cargo = current_cargo();
    cargo.current_dir(&paths.plugins).args(["metadata", "--no-deps", "--format-version", "1"]);
    let text = output_of(cargo).context("`cargo metadata` failed in plugins/\nhint: run it there to see why")?;
    let metadata: Value = serde_json::from_str(&text).context("`cargo metadata` gave no JSON")?;
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    Ok(packages.iter().filter_map(plugin_of).collect())
}

fn plugin_of(package: &Value) -> Option<Plugin> {
    let is_component = |target: &&Value| {
        let kinds = target["crate_types"].as_array();
        kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind == "cdylib"))
    };
    let library = package["targets"].as_array()?.iter().find(is_component)?;
    let folder = Path::new(package["manifest_path"].as_str()?).parent()?;
    Some(Plugin {
        name: folder.file_name()?.to_str()?.to_owned(),
        package: package["name"].as_str()?.to_owned(),
        library: library["name"].as_str()?.replace('-', "_"),
    })
}

/// Those that were asked for: by name, or those in Rust, or all.
fn choose(crates: Vec<Plugin>, projects: Vec<Project>, args: &Args) -> Result<(Vec<Plugin>, Vec<Project>)> {
    let Some(only) = args.only.as_deref() else {
        return Ok((crates, if args.all { projects } else { Vec::new() }));
    };
    let names = crates.iter().map(|plugin| &plugin.name).chain(projects.iter().map(|project| &project.name));
    let names = names.cloned().collect::<Vec<_>>().join(", ");
    let crates: Vec<Plugin> = crates.into_iter().filter(|plugin| plugin.name == only).collect();
    let projects: Vec<Project> = projects.into_iter().filter(|project| project.name == only).collect();
    if crates.is_empty() && projects.is_empty() {
        bail!("there is no plugin `{only}`\nhint: there are {names}");
    }
    Ok((crates, projects))
}

/// Copies through a temporary name: a node that watches the folder never sees half a component.
fn place(paths: &Paths, plugin: &Plugin) -> Result<()> {
    let built = paths.plugins.join("target").join(WASM_TARGET).join("release");
    let built = built.join(format!("{}.wasm", plugin.library));
    let finished = paths.plugins.join(format!("{}.wasm", plugin.name));
    let bytes = fs::read(&built).with_context(|| format!("could not read {}", built.display()))?;
    if fs::read(&finished).is_ok_and(|old| old == bytes) {
        say(&format!("plugins/{}.wasm: up to date ({} KB)", plugin.name, bytes.len().div_ceil(1000)));
        return Ok(());
    }
    let partial: PathBuf = finished.with_extension("partial");
    fs::write(&partial, &bytes)
        .and_then(|()| fs::rename(&partial, &finished))
        .with_context(|| format!("could not write {}", finished.display()))?;
    say(&format!("plugins/{}.wasm: {} KB", plugin.name, bytes.len().div_ceil(1000)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn package(crate_types: &[&str]) -> Value {
        json!({
            "name": "akita-image",
            "manifest_path": "/somewhere/plugins/image/Cargo.toml",
            "targets": [{ "name": "akita-image", "crate_types": crate_types }],
        })
    }

    #[test]
    fn a_component_is_named_after_its_folder() {
        let plugin = plugin_of(&package(&["cdylib"])).unwrap();
        assert_eq!(
            (plugin.name.as_str(), plugin.package.as_str(), plugin.library.as_str()),
            ("image", "akita-image", "akita_image")
        );
        assert!(plugin_of(&package(&["lib"])).is_none());
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let all = || vec![plugin_of(&package(&["cdylib"])).unwrap()];
        let args = |only: &str| Args { only: Some(only.to_owned()), all: false };
        assert_eq!(choose(all(), Vec::new(), &args("image")).unwrap().0.len(), 1);
        let error = choose(all(), Vec::new(), &args("imgae")).err().unwrap();
        assert!(error.to_string().contains("there are image"));
    }

    #[test]
    fn other_languages_are_built_when_they_are_asked_for() {
        let projects = || projects::list(&Paths::of_this_checkout()).unwrap();
        let chosen = |args: &Args| choose(Vec::new(), projects(), args).unwrap().1.len();
        assert_eq!(chosen(&Args::default()), 0);
        assert_eq!(chosen(&Args::all()), projects().len());
        assert_eq!(chosen(&Args { only: Some("sun".to_owned()), all: false }), 1);
    }
}
