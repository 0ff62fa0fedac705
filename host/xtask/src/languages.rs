//! Plugins that are not in Rust: the tools that build C, JavaScript and Python, each installed once and into the scratch
//! folder, and what `akita plugin build` is told of them. It builds nothing itself.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::nodejs;
use crate::paths::Paths;
use crate::python::{self, COMPONENTIZE_PY, ZIG};
use crate::step::{Step, say};

/// The compiler of plugins in JavaScript, a package of npm, at the version that the templates name.
const COMPONENTIZE_QJS: (&str, &str) = ("componentize-qjs", "0.4.5");

/// A language that `akita plugin build` builds, beside Rust.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Language {
    C,
    JavaScript,
    Python,
}

impl Language {
    /// Every language.
    pub const ALL: [Language; 3] = [Language::C, Language::JavaScript, Language::Python];

    /// The language of a project's folder.
    pub fn of(folder: &Path) -> Option<Language> {
        Language::ALL.into_iter().find(|language| folder.join(language.mark()).is_file())
    }

    /// The file by which `akita plugin build` knows it.
    fn mark(self) -> &'static str {
        match self {
            Language::C => "src/plugin.c",
            Language::JavaScript => "package.json",
            Language::Python => "pyproject.toml",
        }
    }

    /// Which tool builds it: what was built by another one is out of date.
    pub fn tool(self) -> String {
        match self {
            Language::C => ZIG.requirement(),
            Language::JavaScript => COMPONENTIZE_QJS.0.to_owned() + "@" + COMPONENTIZE_QJS.1,
            Language::Python => COMPONENTIZE_PY.requirement(),
        }
    }
}

/// Installs what these languages are built with; what is there already is left alone.
pub fn install(paths: &Paths, languages: &[Language]) -> Result<()> {
    let mut packages = Vec::new();
    if languages.contains(&Language::C) {
        packages.push(&ZIG);
    }
    if languages.contains(&Language::Python) {
        packages.push(&COMPONENTIZE_PY);
    }
    if !packages.is_empty() {
        python::install(paths, &packages)?;
    }
    if languages.contains(&Language::JavaScript) { componentize_qjs(paths) } else { Ok(()) }
}

/// The variables by which `akita plugin build` finds the tools that are installed.
pub fn variables(paths: &Paths) -> Vec<(&'static str, OsString)> {
    let is_file = |path: &PathBuf| path.is_file();
    let tools = [
        ("AKITA_ZIG", python::file_of(paths, "ziglang", "zig")),
        ("AKITA_COMPONENTIZE_QJS", Some(qjs_program(paths)).filter(is_file)),
        ("AKITA_COMPONENTIZE_PY", Some(python::componentize_py(paths)).filter(is_file)),
    ];
    let found = tools.into_iter().filter_map(|(name, path)| Some((name, path?.into_os_string())));
    found.chain([("PATH", nodejs::search_path(paths))]).collect()
}

fn qjs_program(paths: &Paths) -> PathBuf {
    paths.scratch.join("node/node_modules/.bin").join(COMPONENTIZE_QJS.0)
}

fn componentize_qjs(paths: &Paths) -> Result<()> {
    let (name, version) = COMPONENTIZE_QJS;
    nodejs::install(paths)?;
    let folder = paths.scratch.join("node");
    let manifest = folder.join("node_modules").join(name).join("package.json");
    let installed = fs::read_to_string(manifest).unwrap_or_default();
    let installed: serde_json::Value = serde_json::from_str(&installed).unwrap_or_default();
    if installed["version"] == version && qjs_program(paths).is_file() {
        say(&format!("{name} {version}: already in {}", folder.display()));
        return Ok(());
    }
    fs::create_dir_all(&folder).with_context(|| format!("could not make {}", folder.display()))?;
    let words = ["install", "--no-save", "--no-fund", "--no-audit", "--loglevel", "error"];
    let mut npm = nodejs::program(paths, "npm", &words);
    npm.arg("--prefix").arg(&folder).arg(format!("{name}@{version}")).current_dir(&folder);
    Step::new(format!("install {name} {version}"), "see that npm's registry can be reached, then run this again")
        .quiet(npm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_project_is_built_by_the_tools_that_are_installed_here() {
        let akita = Path::new(env!("CARGO_MANIFEST_DIR")).join("../akita");
        let text = |name: &str| fs::read_to_string(akita.join(name)).unwrap();
        let npm = format!("\"{}\": \"{}\"", COMPONENTIZE_QJS.0, COMPONENTIZE_QJS.1);
        assert!(text("templates/js/package.json.tmpl").contains(&npm), "{npm}");
        assert!(text("templates/python/pyproject.toml.tmpl").contains(&COMPONENTIZE_PY.requirement()));
        assert!(text("src/authoring/build/c.rs").contains(&ZIG.requirement()));
    }
}
