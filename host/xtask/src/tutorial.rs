//! The plugins of docs/plugins.md, made from the page itself: for each language its commands are run and its files written,
//! in the page's order, so that the page cannot promise what does not work. The commands that need a node are left to the
//! end-to-end tests.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::paths::Paths;
use crate::step::Step;
use crate::{languages, nodejs, projects};

/// Tells the tests in which folder there is one for each language.
pub const VARIABLE: &str = "AKITA_E2E_TUTORIAL";
/// The languages, as the page and `akita plugin new --lang` name them.
const LANGUAGES: [&str; 4] = ["rust", "c", "js", "python"];
/// The name for what is the same in all of them.
const ALL: &str = "all";
/// What begins a mark: a comment, which readers of the page do not see.
const MARK: &str = "<!-- ";
/// The project that the page's commands make.
const PROJECT: &str = "wind";

/// One thing that a reader does.
#[derive(Debug, PartialEq, Eq)]
enum Deed {
    /// Write a file of the project.
    Write { path: String, text: String },
    /// Type commands.
    Type(Vec<String>),
}

/// Where the finished components are: LANGUAGE/wind/wind.wasm.
pub fn folder(paths: &Paths) -> PathBuf {
    paths.scratch.join("tutorial")
}

/// Follows the page in each language, up to where it needs a node.
pub fn build(paths: &Paths) -> Result<()> {
    let page = paths.root.join("docs/plugins.md");
    let text = fs::read_to_string(&page).with_context(|| format!("could not read {}", page.display()))?;
    languages::install(paths, &languages::Language::ALL)?;
    let akita = projects::akita(paths)?;
    for language in LANGUAGES {
        let deeds = deeds(&text, language)?;
        let place = folder(paths).join(language);
        if place.exists() {
            fs::remove_dir_all(&place).with_context(|| format!("could not remove {}", place.display()))?;
        }
        fs::create_dir_all(&place).with_context(|| format!("could not make {}", place.display()))?;
        for deed in deeds {
            follow(paths, &akita, language, &deed)?;
        }
        let component = place.join(PROJECT).join(format!("{PROJECT}.wasm"));
        if !component.is_file() {
            bail!("{} was not made by following docs/plugins.md", component.display());
        }
    }
    Ok(())
}

fn follow(paths: &Paths, akita: &Path, language: &str, deed: &Deed) -> Result<()> {
    let place = folder(paths).join(language);
    let project = place.join(PROJECT);
    match deed {
        Deed::Write { path, text } => {
            let path = project.join(path);
            let parent = path.parent().context("a file lies in a folder")?;
            fs::create_dir_all(parent)
                .and_then(|()| fs::write(&path, text))
                .with_context(|| format!("could not write {}", path.display()))
        }
        Deed::Type(commands) => {
            let mut shell = projects::ready(paths, Path::new("sh"));
            shell.arg("-ec").arg(commands.join("\n"));
            shell.current_dir(if project.is_dir() { &project } else { &place });
            shell.env("PATH", path_with(paths, akita)?);
            // What the plugins depend on is compiled once, not at each run of this.
            shell.env("CARGO_TARGET_DIR", folder(paths).join("target"));
            let name = format!("docs/plugins.md, {language}: {}", commands.join("; "));
            Step::new(name, "the page promises what does not work: mend one of the two").quiet(shell)
        }
    }
}

/// The search path with this checkout's program first.
fn path_with(paths: &Paths, akita: &Path) -> Result<OsString> {
    let folder = akita.parent().context("a program lies in a folder")?.to_owned();
    let others = nodejs::search_path(paths);
    let folders = std::iter::once(folder).chain(env::split_paths(&others));
    env::join_paths(folders).context("this checkout's folder has a name that a search path cannot hold")
}

/// What the page has a reader of that language do.
fn deeds(page: &str, language: &str) -> Result<Vec<Deed>> {
    let mut deeds = Vec::new();
    for part in page.split(MARK).skip(1) {
        let (mark, rest) = part.split_once(" -->").context("a mark without its end")?;
        let Some((kind, what)) = mark.split_once(": ") else { continue };
        let (whose, path) = what.split_once(' ').unwrap_or((what, ""));
        if ![language, ALL].contains(&whose) {
            if !LANGUAGES.contains(&whose) && ["file", "run"].contains(&kind) {
                bail!("`{MARK}{mark} -->` names no language of the page");
            }
            continue;
        }
        match kind {
            "file" => deeds.push(Deed::Write { path: path.to_owned(), text: fenced(rest, mark)? }),
            "run" => deeds.push(Deed::Type(indented(rest, mark)?)),
            _ => {}
        }
    }
    let writes = deeds.iter().any(|deed| matches!(deed, Deed::Write { .. }));
    if deeds.len() < 4 || !writes { bail!("the page has too little to do in {language}") } else { Ok(deeds) }
}

fn fenced(rest: &str, mark: &str) -> Result<String> {
    let body = rest.split_once("```").and_then(|(_, fenced)| fenced.split_once('\n'));
    let body = body.and_then(|(_, fenced)| fenced.split_once("\n```"));
    body.map(|(body, _)| format!("{body}\n")).with_context(|| format!("no fenced text below the mark `{mark}`"))
}

fn indented(rest: &str, mark: &str) -> Result<Vec<String>> {
    let lines = rest.lines().skip_while(|line| line.is_empty());
    let commands: Vec<String> = lines.map_while(|line| line.strip_prefix("    ")).map(str::to_owned).collect();
    if commands.is_empty() { bail!("no commands below the mark `{mark}`") } else { Ok(commands) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "a\n<!-- run: js -->\n\n    one\n    two\n\nb\n<!-- file: js src/a.js -->\n```js\nx\n```\n\
        <!-- run: c -->\n\n    gcc\n\n<!-- file: all cases.toml -->\n```toml\n[[case]]\n```\n<!-- note -->\n\
        <!-- run: all -->\n\n    three\n";

    #[test]
    fn a_page_says_what_to_do_in_each_language() {
        let write = |path: &str, text: &str| Deed::Write { path: path.into(), text: text.into() };
        assert_eq!(
            deeds(PAGE, "js").unwrap(),
            [
                Deed::Type(vec!["one".into(), "two".into()]),
                write("src/a.js", "x\n"),
                write("cases.toml", "[[case]]\n"),
                Deed::Type(vec!["three".into()]),
            ]
        );
    }

    #[test]
    fn a_mark_that_leads_nowhere_is_an_error() {
        assert!(deeds(PAGE, "python").unwrap_err().to_string().contains("too little"));
        assert!(deeds("<!-- run: js -->\n\nnothing", "js").is_err());
        assert!(deeds("<!-- file: js a -->\nnothing", "js").is_err());
        assert!(deeds("<!-- run: cobol -->\n\n    x\n", "js").is_err());
    }

    #[test]
    fn the_real_page_has_every_language() {
        let page = Paths::of_this_checkout().root.join("docs/plugins.md");
        let text = fs::read_to_string(page).unwrap();
        for language in LANGUAGES {
            deeds(&text, language).unwrap();
        }
    }
}
