//! Plugins in plugins/ that are not in Rust: projects as `akita plugin new` writes them, built and checked by
//! `akita plugin build` and `akita plugin test`, tested by their language's own runner. What is up to date is not built again.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::languages::{self, Language};
use crate::nodejs;
use crate::paths::Paths;
use crate::python;
use crate::step::{Step, say};
use crate::toolchain::current_cargo;

/// What tools make inside a project; everything else in it is a source.
const MADE: [&str; 5] = ["node_modules", ".venv", "__pycache__", "build", "bindings"];

/// A folder that becomes a component.
pub struct Project {
    /// Its folder in plugins/, and its component's file name.
    pub name: String,
    folder: PathBuf,
    language: Language,
}

/// The projects in plugins/, by their names.
pub fn list(paths: &Paths) -> Result<Vec<Project>> {
    let entries =
        fs::read_dir(&paths.plugins).with_context(|| format!("could not read {}", paths.plugins.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let folder = entry?.path();
        let Some(language) = Language::of(&folder).filter(|_| !folder.join("Cargo.toml").exists()) else { continue };
        let Some(name) = folder.file_name().and_then(|name| name.to_str()).map(str::to_owned) else { continue };
        found.push(Project { name, folder, language });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Builds those that are out of date into plugins/NAME.wasm, and installs what that needs.
pub fn build(paths: &Paths, projects: &[Project]) -> Result<()> {
    let mut stale = Vec::new();
    for project in projects {
        let now = stamp(paths, project)?;
        if is_current(paths, project, &now) {
            say(&format!("plugins/{}.wasm: up to date", project.name));
        } else {
            stale.push((project, now));
        }
    }
    if stale.is_empty() {
        return Ok(());
    }
    install(paths, projects)?;
    let akita = akita(paths)?;
    for (project, now) in stale {
        let mut build = ready(paths, &akita);
        build.args(["plugin", "build"]).arg(&project.folder).arg("--into").arg(&paths.plugins);
        let name = format!("build the plugin {} with {}", project.name, project.language.tool());
        Step::new(name, "an error above is in the plugin named there").quiet(build)?;
        let stamp = stamp_file(paths, project);
        fs::create_dir_all(stamp.parent().expect("a stamp lies in a folder"))
            .and_then(|()| fs::write(&stamp, now))
            .with_context(|| format!("could not write {}", stamp.display()))?;
    }
    Ok(())
}

/// Runs each project's own tests, and its cases on the component.
pub fn test(paths: &Paths) -> Result<()> {
    let projects = list(paths)?;
    build(paths, &projects)?;
    let akita = akita(paths)?;
    for project in &projects {
        if let Some(mut native) = native_tests(paths, project.language) {
            native.current_dir(&project.folder);
            Step::new(format!("test the plugin {}", project.name), "mend what is named above").quiet(native)?;
        }
        let mut cases = ready(paths, &akita);
        cases.args(["plugin", "test"]).arg(&project.folder);
        let name = format!("run the cases of the plugin {}", project.name);
        Step::new(name, "the case that failed is named above").quiet(cases)?;
    }
    Ok(())
}

/// Installs what the projects are built with, once.
fn install(paths: &Paths, projects: &[Project]) -> Result<()> {
    let mut languages: Vec<Language> = Vec::new();
    for project in projects {
        if !languages.contains(&project.language) {
            languages.push(project.language);
        }
    }
    languages::install(paths, &languages)
}

/// The command that runs a project's tests without WebAssembly; C has none, its cases run on the component.
fn native_tests(paths: &Paths, language: Language) -> Option<Command> {
    match language {
        Language::C => None,
        Language::JavaScript => Some(nodejs::program(paths, "node", &["--test"])),
        Language::Python => {
            let mut tests = Command::new(python::interpreter(paths));
            tests.args(["-B", "-m", "unittest"]);
            Some(tests)
        }
    }
}

/// The program that builds them, as it is in this checkout.
pub fn akita(paths: &Paths) -> Result<PathBuf> {
    let mut build = current_cargo();
    build.current_dir(&paths.root).args(["build", "--package", "akita", "--bin", "akita", "--locked"]);
    Step::new("build akita", "mend what is named above").quiet(build)?;
    Ok(paths.target.join("debug/akita"))
}

/// `akita` with the tools that are installed here, and a cache that stays in this checkout.
pub fn ready(paths: &Paths, akita: &Path) -> Command {
    let mut command = Command::new(akita);
    command.envs(languages::variables(paths)).env("XDG_CACHE_HOME", paths.scratch.join("cache"));
    command
}

fn stamp_file(paths: &Paths, project: &Project) -> PathBuf {
    paths.scratch.join("stamps").join(&project.name)
}

fn is_current(paths: &Paths, project: &Project, now: &str) -> bool {
    let built = paths.plugins.join(format!("{}.wasm", project.name)).is_file();
    built && fs::read_to_string(stamp_file(paths, project)).is_ok_and(|then| then == now)
}

/// What a component depends on: the project's files, the contract and the tool. No hash of strangers' bytes, so that a plain
/// one will do.
fn stamp(paths: &Paths, project: &Project) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    project.language.tool().hash(&mut hasher);
    for folder in [project.folder.clone(), paths.root.join("wit")] {
        hash_folder(&folder, &mut hasher).with_context(|| format!("could not read {}", folder.display()))?;
    }
    Ok(format!("{:016x}", hasher.finish()))
}

fn hash_folder(folder: &Path, hasher: &mut DefaultHasher) -> std::io::Result<()> {
    let mut entries =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if MADE.contains(&name.as_str()) || name.ends_with(".wasm") || name.starts_with(".akita-") {
            continue;
        }
        name.hash(hasher);
        if path.is_dir() {
            hash_folder(&path, hasher)?;
        } else {
            fs::read(&path)?.hash(hasher);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash_of(folder: &Path) -> u64 {
        let mut hasher = DefaultHasher::new();
        hash_folder(folder, &mut hasher).unwrap();
        hasher.finish()
    }

    #[test]
    fn the_plugins_in_other_languages_are_found() {
        let projects = list(&Paths::of_this_checkout()).unwrap();
        let languages: Vec<_> = projects.iter().map(|project| (project.name.as_str(), project.language)).collect();
        assert!(languages.contains(&("aprs", Language::JavaScript)), "{languages:?}");
        assert!(languages.contains(&("crc", Language::C)), "{languages:?}");
        assert!(languages.contains(&("sun", Language::Python)), "{languages:?}");
        assert!(!languages.iter().any(|(name, _)| *name == "geo"), "{languages:?}");
    }

    #[test]
    fn what_a_build_makes_is_no_source() {
        let folder = std::env::temp_dir().join(format!("akita-xtask-{}", std::process::id()));
        fs::create_dir_all(folder.join("src/node_modules")).unwrap();
        fs::write(folder.join("src/a.js"), "1").unwrap();
        let before = hash_of(&folder);
        fs::write(folder.join("a.wasm"), "1").unwrap();
        fs::write(folder.join("src/node_modules/b.js"), "1").unwrap();
        assert_eq!(hash_of(&folder), before);
        fs::write(folder.join("src/a.js"), "2").unwrap();
        assert_ne!(hash_of(&folder), before);
        fs::remove_dir_all(folder).unwrap();
    }

    /// A copy, because a component's modules may not lie outside its project.
    #[test]
    fn the_plugins_have_the_helpers_of_new_projects() {
        let paths = Paths::of_this_checkout();
        for project in list(&paths).unwrap() {
            let (language, place) = match project.language {
                Language::C => ("c", "src"),
                Language::JavaScript => ("js", "src/akita"),
                Language::Python => ("python", "src/akita"),
            };
            let template = paths.root.join("host/akita/templates").join(language).join(place);
            for entry in fs::read_dir(template).unwrap() {
                let original = entry.unwrap().path();
                // The plugin itself is the author's.
                if original.is_file() && original.extension().is_none_or(|kind| kind != "tmpl") {
                    let copy = project.folder.join(place).join(original.file_name().unwrap());
                    let same = fs::read(&original).unwrap() == fs::read(&copy).unwrap_or_default();
                    assert!(same, "copy {} to {}", original.display(), copy.display());
                }
            }
        }
    }
}
