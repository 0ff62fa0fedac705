//! JavaScript: `componentize-qjs` puts the modules and the QuickJS interpreter into a component. It is a package of npm, taken
//! from where it is named or installed; into the project it is installed only where it is nowhere else.

use std::path::Path;

use serde_json::Value;

use super::{Options, Project, Workshop, made};
use crate::exit::ExitError;

/// Names the tool: a path, or a command line.
const TOOL: &str = "AKITA_COMPONENTIZE_QJS";
/// What npm knows it by.
const PACKAGE: &str = "componentize-qjs";
/// Where npm puts a project's programs.
const BIN: &str = "node_modules/.bin/componentize-qjs";
/// The file that joins the plugin to the contract.
const ENTRY: &str = "src/component.js";
/// The folder of the project's world.
const WIT: &str = "wit";

pub fn build(project: &Project, shop: &mut Workshop<'_>, options: Options) -> Result<Vec<u8>, ExitError> {
    for part in [ENTRY, WIT] {
        super::expect_part(project, part)?;
    }
    let mut words = tool(project, shop)?;
    let scratch = super::scratch()?;
    let output = scratch.path().join("component.wasm");
    // Imports of packages are looked up below the module root, which is the project's folder.
    words.extend(["--wit", WIT, "--js", ENTRY, "--module-root", ".", "--sync", "--output"].map(str::to_owned));
    words.push(super::utf8(&output)?);
    if !options.debug {
        // An interpreter made small, and the author's code without its comments: a third less to ship.
        words.extend(["--opt-size", "--minify"].map(str::to_owned));
    }
    let mut command = shop.command(&words);
    command.current_dir(&project.root);
    shop.run(command, "mend what is named above, then build again")?;
    made(&output)
}

/// The tool's command. The project's packages are there afterwards.
fn tool(project: &Project, shop: &mut Workshop<'_>) -> Result<Vec<String>, ExitError> {
    let named = shop.named(TOOL);
    let missing = !project.root.join("node_modules").is_dir();
    let elsewhere = named.is_some() || shop.find(PACKAGE).is_some();
    if missing && (!elsewhere || uses_packages(&project.root)) {
        install(project, shop)?;
    }
    if let Some(words) = named {
        return Ok(words);
    }
    let own = project.root.join(BIN);
    if own.is_file() {
        return Ok(vec![super::utf8(&own)?]);
    }
    if shop.find(PACKAGE).is_some() {
        return Ok(vec![PACKAGE.to_owned()]);
    }
    Err(ExitError::config(format!("`{PACKAGE}` is not in the project's node_modules"))
        .hint(format!("npm install --save-dev {PACKAGE}\n      or set {TOOL} to where it is")))
}

/// Whether the plugin itself is made with packages: its tool is none of them.
fn uses_packages(root: &Path) -> bool {
    let manifest = std::fs::read_to_string(root.join("package.json")).unwrap_or_default();
    let manifest: Value = serde_json::from_str(&manifest).unwrap_or_default();
    manifest["dependencies"].as_object().is_some_and(|packages| !packages.is_empty())
}

fn install(project: &Project, shop: &mut Workshop<'_>) -> Result<(), ExitError> {
    if shop.find("npm").is_none() {
        return Err(ExitError::config("`npm` is not installed, or not on the PATH")
            .hint(format!("install Node.js 20 or newer with npm, or set {TOOL} to where {PACKAGE} is")));
    }
    shop.say("npm installs the project's packages into node_modules");
    let words = ["npm", "install", "--no-fund", "--no-audit", "--loglevel", "error"].map(str::to_owned);
    let mut npm = shop.command(&words);
    npm.current_dir(&project.root);
    shop.run(npm, &format!("see that npm's registry can be reached, or set {TOOL} to where {PACKAGE} is"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::{FAKE, machine, program, project};
    use super::*;
    use crate::authoring::Language;

    const FILES: &[(&str, &str)] = &[("package.json", r#"{"name": "p"}"#), (ENTRY, ""), ("wit/world.wit", "")];

    #[test]
    fn the_tool_that_is_named_comes_before_the_projects_own() {
        let (dir, project) = project(Language::Js, FILES);
        let (bin, mut shop) = machine(&[(TOOL, "{bin}/mine")], &["mine"], FAKE);
        program(&dir.path().join(BIN), "exit 1");
        let made = build(&project, &mut shop, Options::default()).expect("it builds");
        let words = String::from_utf8(made).expect("text");
        assert!(words.contains("--js src/component.js") && words.contains("--opt-size"), "{words}");
        let debug = build(&project, &mut shop, Options { debug: true }).expect("it builds");
        assert!(!String::from_utf8(debug).expect("text").contains("--minify"));
        drop(bin);
    }

    #[test]
    fn npm_installs_what_is_nowhere() {
        let (dir, project) = project(Language::Js, FILES);
        let (_bin, mut shop) = machine(&[], &[], "");
        let error = build(&project, &mut shop, Options::default()).expect_err("there is nothing");
        assert!(error.to_string().contains("`npm` is not installed"), "{error}");
        let install = "mkdir -p node_modules/.bin && cp \"$(dirname \"$0\")/fake\" node_modules/.bin/componentize-qjs";
        let (bin, mut shop) = machine(&[], &["fake"], FAKE);
        program(&bin.path().join("npm"), install);
        build(&project, &mut shop, Options::default()).expect("it installs and builds");
        assert!(dir.path().join(BIN).is_file());
    }

    #[test]
    fn a_plugins_own_packages_are_installed_too() {
        let packages = r#"{"name": "p", "dependencies": {"left-pad": "1"}}"#;
        let (dir, project) = project(Language::Js, &[("package.json", packages), FILES[1], FILES[2]]);
        let (bin, mut shop) = machine(&[(TOOL, "{bin}/mine")], &["mine"], FAKE);
        program(&bin.path().join("npm"), "mkdir node_modules");
        build(&project, &mut shop, Options::default()).expect("it builds");
        assert!(dir.path().join("node_modules").is_dir());
    }

    #[test]
    fn a_project_without_its_entry_is_told_so() {
        let (dir, project) = project(Language::Js, FILES);
        fs::remove_file(dir.path().join(ENTRY)).expect("it was there");
        let (_bin, mut shop) = machine(&[], &[], "");
        let error = build(&project, &mut shop, Options::default()).expect_err("half a project");
        assert!(error.to_string().contains("src/component.js"), "{error}");
    }
}
