//! Python: `componentize-py` runs the modules' imports once and puts the result and the CPython interpreter into a component.
//! It is a package of PyPI, taken from where it is named or installed; into the project's `.venv` it is installed only where
//! it is nowhere else.

use std::path::PathBuf;

use toml::Value;

use super::{Options, Project, Workshop, made};
use crate::exit::ExitError;

/// Names the tool: a path, or a command line.
const TOOL: &str = "AKITA_COMPONENTIZE_PY";
/// What PyPI knows it by.
const PACKAGE: &str = "componentize-py";
/// Where the project keeps its packages.
const VENV: &str = ".venv";
/// The module that joins the plugin to the contract, in the folder of the modules.
const ENTRY: &str = "src/component.py";
/// The folder of the project's world.
const WIT: &str = "wit";

pub fn build(project: &Project, shop: &mut Workshop<'_>, _options: Options) -> Result<Vec<u8>, ExitError> {
    for part in [ENTRY, WIT] {
        super::expect_part(project, part)?;
    }
    let mut words = tool(project, shop)?;
    let scratch = super::scratch()?;
    let output = scratch.path().join("component.wasm");
    words
        .extend(["--quiet", "--wit-path", WIT, "componentize", "component", "--python-path", "src"].map(str::to_owned));
    words.extend(["--output".to_owned(), super::utf8(&output)?]);
    let mut command = shop.command(&words);
    command.current_dir(&project.root);
    // It looks for packages in the environment that this names, and in the system's own without it.
    command.env("VIRTUAL_ENV", project.root.join(VENV));
    shop.say("componentize-py takes about ten seconds");
    shop.run(command, "mend what is named above, then build again")?;
    made(&output)
}

/// The tool's command. The project's packages are there afterwards.
fn tool(project: &Project, shop: &mut Workshop<'_>) -> Result<Vec<String>, ExitError> {
    let manifest = Manifest::read(project)?;
    let named = shop.named(TOOL);
    let elsewhere = named.is_some() || shop.find(PACKAGE).is_some();
    let missing = !project.root.join(VENV).is_dir();
    if missing && (!elsewhere || !manifest.packages.is_empty()) {
        let tools = if elsewhere { &[] } else { &manifest.tools[..] };
        install(project, shop, manifest.packages.iter().chain(tools).cloned())?;
    }
    if let Some(words) = named {
        return Ok(words);
    }
    let own = program(project, PACKAGE);
    if own.is_file() {
        return Ok(vec![super::utf8(&own)?]);
    }
    if shop.find(PACKAGE).is_some() {
        return Ok(vec![PACKAGE.to_owned()]);
    }
    Err(ExitError::config(format!("`{PACKAGE}` is not in the project's {VENV}"))
        .hint(format!("{VENV}/bin/python -m pip install {PACKAGE}\n      or set {TOOL} to where it is")))
}

fn program(project: &Project, name: &str) -> PathBuf {
    project.root.join(VENV).join("bin").join(name)
}

/// Makes the environment. One that is not whole is not left: the next build would take it for whole.
fn install(
    project: &Project,
    shop: &mut Workshop<'_>,
    packages: impl Iterator<Item = String>,
) -> Result<(), ExitError> {
    let Some(python) = ["python3", "python"].into_iter().find(|name| shop.find(name).is_some()) else {
        return Err(ExitError::config("`python3` is not installed, or not on the PATH")
            .hint(format!("install Python 3.10 or newer, or set {TOOL} to where {PACKAGE} is")));
    };
    shop.say(&format!("pip installs the project's packages into {VENV}"));
    let venv = project.root.join(VENV);
    let mut make = shop.command(&[python, "-m", "venv", VENV].map(str::to_owned));
    make.current_dir(&project.root);
    let made = shop.run(make, "install Python's venv module (Debian: apt-get install python3-venv), then build again");
    let installed = made.and_then(|()| {
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"].map(str::to_owned);
        let words: Vec<_> =
            std::iter::once(super::utf8(&program(project, "python"))?).chain(pip).chain(packages).collect();
        let mut pip = shop.command(&words);
        pip.current_dir(&project.root);
        shop.run(pip, &format!("see that PyPI can be reached, or set {TOOL} to where {PACKAGE} is"))
    });
    if installed.is_err() {
        let _ = std::fs::remove_dir_all(venv);
    }
    installed
}

/// What `pyproject.toml` asks for.
struct Manifest {
    /// What the plugin itself uses.
    packages: Vec<String>,
    /// What builds it.
    tools: Vec<String>,
}

impl Manifest {
    fn read(project: &Project) -> Result<Manifest, ExitError> {
        let path = project.root.join("pyproject.toml");
        let bad = |why: String| ExitError::config(format!("cannot read {}: {why}", path.display()));
        let text = std::fs::read_to_string(&path).map_err(|error| bad(error.to_string()))?;
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| bad(error.message().to_owned()))?;
        let list = |part: &str, key: &str| {
            let found = table.get(part).and_then(|part| part.get(key)).and_then(Value::as_array);
            // A group may hold tables that name other groups: the tool is in none of those.
            found.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
        };
        let mut tools = list("dependency-groups", "dev");
        if !tools.iter().any(|one| one.starts_with(PACKAGE)) {
            tools.push(PACKAGE.to_owned());
        }
        Ok(Manifest { packages: list("project", "dependencies"), tools })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{FAKE, machine, program as write_program, project};
    use super::*;
    use crate::authoring::Language;

    const MANIFEST: &str = "[project]\nname = \"p\"\n[dependency-groups]\ndev = [\"componentize-py==0.25.0\"]\n";
    const FILES: &[(&str, &str)] = &[("pyproject.toml", MANIFEST), (ENTRY, ""), ("wit/world.wit", "")];

    #[test]
    fn the_tool_that_is_named_needs_no_installation() {
        let (dir, project) = project(Language::Python, FILES);
        let (_bin, mut shop) = machine(&[(TOOL, "{bin}/mine")], &["mine"], FAKE);
        let made = build(&project, &mut shop, Options::default()).expect("it builds");
        let words = String::from_utf8(made).expect("text");
        assert!(words.contains("--wit-path wit componentize component --python-path src"), "{words}");
        assert!(!dir.path().join(VENV).exists());
    }

    #[test]
    fn pip_installs_what_is_nowhere() {
        let (dir, project) = project(Language::Python, FILES);
        let (bin, mut shop) = machine(&[], &["fake"], FAKE);
        let error = build(&project, &mut shop, Options::default()).expect_err("there is nothing");
        assert!(error.to_string().contains("`python3` is not installed"), "{error}");
        // Makes an environment whose python, asked to install, puts the tool there.
        let pip = "/bin/cp BIN/fake .venv/bin/componentize-py; echo \"$*\" > .asked";
        let pip = pip.replace("BIN", &bin.path().display().to_string());
        write_program(&bin.path().join("pip"), &pip);
        let venv = "mkdir -p .venv/bin; cp BIN/pip .venv/bin/python".replace("BIN", &bin.path().display().to_string());
        write_program(&bin.path().join("python3"), &venv);
        build(&project, &mut shop, Options::default()).expect("it installs and builds");
        let asked = std::fs::read_to_string(dir.path().join(".asked")).expect("pip was asked");
        assert!(asked.trim().ends_with("componentize-py==0.25.0"), "{asked}");
    }

    #[test]
    fn an_environment_that_is_not_whole_is_not_left() {
        let (dir, project) = project(Language::Python, FILES);
        let (bin, mut shop) = machine(&[], &[], "");
        write_program(&bin.path().join("python3"), "mkdir -p .venv/bin; exit 1");
        let error = build(&project, &mut shop, Options::default()).expect_err("it fails");
        assert!(error.hint_text().is_some_and(|hint| hint.contains("python3-venv")), "{error}");
        assert!(!dir.path().join(VENV).exists());
    }
}
