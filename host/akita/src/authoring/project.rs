//! What the folder of a plugin project is: its language, its name, where its parts lie. It reads and never writes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::Value;

use super::Language;
use crate::exit::ExitError;

/// The test cases of a project.
pub const CASES: &str = "cases.toml";
/// The input that `akita plugin dev` runs.
pub const SAMPLE: &str = "sample.json";
/// Files of a project that change nothing of its component.
const BESIDE: [&str; 4] = [CASES, SAMPLE, "README.md", "tests"];
/// Longest name: a plugin's own is no longer, and the two should be the same.
const MAX_NAME_BYTES: usize = 63;
/// Deepest folder of sources that is looked at: links may lead in circles.
const MAX_DEPTH: usize = 16;

/// A plugin project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Its folder.
    pub root: PathBuf,
    /// What it is written in.
    pub language: Language,
    /// Its name, which becomes that of the component's file.
    pub name: String,
}

impl Project {
    /// The project in a folder, in the language that is named or the one that the folder shows.
    ///
    /// # Errors
    /// When there is no such folder, or it holds no project, or more than one.
    pub fn open(folder: &Path, language: Option<Language>) -> Result<Project, ExitError> {
        let shown = folder.display();
        let root = folder.canonicalize().map_err(|error| ExitError::config(format!("cannot open {shown}: {error}")))?;
        let language = match (language, Language::of_folder(&root).as_slice()) {
            (Some(language), _) if root.join(language.mark()).is_file() => language,
            (Some(language), _) => {
                let message = format!("{shown} is no {} project: it has no {}", language.name(), language.mark());
                return Err(ExitError::config(message));
            }
            (None, [language]) => *language,
            (None, []) => {
                let marks = Language::ALL.map(Language::mark).join(", ");
                return Err(ExitError::config(format!("{shown} holds no plugin project: none of {marks} is there"))
                    .hint("make one with: akita plugin new NAME --lang rust|c|js|python"));
            }
            (None, several) => {
                let marks: Vec<_> = several.iter().map(|one| one.mark()).collect();
                return Err(ExitError::config(format!("{shown} has {}: which is the plugin?", marks.join(" and ")))
                    .hint(format!("say it with: --lang {}", several[0].word())));
            }
        };
        let name = name_of(&root, language)?;
        Ok(Project { root, language, name })
    }

    /// Where the finished component goes.
    #[must_use]
    pub fn component(&self) -> PathBuf {
        self.root.join(format!("{}.wasm", self.name))
    }

    /// Whether the component is there and no source is younger.
    #[must_use]
    pub fn is_up_to_date(&self) -> bool {
        let time = |path: &Path| path.metadata().and_then(|found| found.modified()).ok();
        let Some(built) = time(&self.component()) else { return false };
        self.newest(&self.root, 0).is_some_and(|newest| newest <= built)
    }

    /// When the last source below a folder changed; nothing if that cannot be told.
    fn newest(&self, folder: &Path, depth: usize) -> Option<SystemTime> {
        let mut newest = folder.metadata().ok()?.modified().ok()?;
        // The project's own folder changes with every component that is written.
        if depth == 0 {
            newest = SystemTime::UNIX_EPOCH;
        }
        for path in folder.read_dir().ok()?.flatten().map(|entry| entry.path()) {
            // What is only read beside the component does not go into it.
            let beside = depth == 0 && path.file_name().is_some_and(|name| BESIDE.iter().any(|one| name == *one));
            if !beside && self.is_source(&path) {
                let found = path.metadata().ok()?;
                let changed = if !found.is_dir() {
                    found.modified().ok()?
                } else if depth < MAX_DEPTH {
                    self.newest(&path, depth + 1)?
                } else {
                    return None;
                };
                newest = newest.max(changed);
            }
        }
        Some(newest)
    }

    /// Whether a changed file is a reason to build again: not what a build writes, and nothing hidden.
    #[must_use]
    pub fn is_source(&self, path: &Path) -> bool {
        let Ok(path) = path.strip_prefix(&self.root) else { return false };
        let hidden = |part: &str| part.starts_with('.') && part != ".cargo";
        let made = ["target", "node_modules", "bindings", "build", "__pycache__", "Cargo.lock", "package-lock.json"];
        let parts = || path.components().filter_map(|part| part.as_os_str().to_str());
        let backup = path.extension().is_some_and(|kind| ["wasm", "swp", "tmp"].iter().any(|one| kind == *one));
        let backup = backup || path.to_string_lossy().ends_with('~');
        !backup && !parts().any(|part| hidden(part) || made.contains(&part))
    }
}

/// The name that a project's own manifest gives it; that of its folder where it has no manifest.
fn name_of(root: &Path, language: Language) -> Result<String, ExitError> {
    let manifest = root.join(language.mark());
    let bad = |why: String| ExitError::config(format!("cannot read {}: {why}", manifest.display()));
    let text = || fs::read_to_string(&manifest).map_err(|error| bad(error.to_string()));
    let table = || text()?.parse::<toml::Table>().map_err(|error| bad(error.message().to_owned()));
    let field = |table: &toml::Table, part: &str| {
        let name = table.get(part).and_then(|part| part.get("name")).and_then(toml::Value::as_str);
        name.map(str::to_owned).ok_or_else(|| bad(format!("it has no `name` under [{part}]")))
    };
    let name = match language {
        Language::Rust => field(&table()?, "package")?,
        Language::Python => field(&table()?, "project")?,
        Language::Js => {
            let package: Value = serde_json::from_str(&text()?).map_err(|error| bad(error.to_string()))?;
            let name = package["name"].as_str().map(str::to_owned);
            name.ok_or_else(|| bad("it has no `name`".to_owned()))?
        }
        Language::C => {
            let name = root.file_name().and_then(|name| name.to_str()).map(str::to_owned);
            name.ok_or_else(|| ExitError::config(format!("{} has no name in UTF-8", root.display())))?
        }
    };
    // It becomes a file's name.
    let plain = |name: &str| !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0']);
    if plain(&name) { Ok(name) } else { Err(bad(format!("`{name}` cannot be the name of a file"))) }
}

/// Checks the name of a new project: it becomes the plugin's, the folder's and the package's.
///
/// # Errors
/// The rule that it breaks, with a name that would do.
pub fn check_name(name: &str, language: Language) -> Result<(), ExitError> {
    let word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let starts_well = name.bytes().next().is_some_and(|first| first.is_ascii_lowercase());
    if name.len() > MAX_NAME_BYTES || !starts_well || !name.split('-').all(word) {
        let rule = format!("use lower-case words joined by `-`, up to {MAX_NAME_BYTES} letters");
        let error = ExitError::usage(format!("`{name}` is no name for a plugin: {rule}"));
        let better = better_name(name);
        return Err(if better.is_empty() { error } else { error.hint(format!("such as: {better}")) });
    }
    if language.reserved().contains(&name) {
        let message = format!("`{name}` means something else in {}", language.name());
        return Err(ExitError::usage(message).hint(format!("such as: my-{name}")));
    }
    Ok(())
}

/// The nearest name that follows the rules; empty where nothing is left.
fn better_name(name: &str) -> String {
    let name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let words: Vec<_> = name.split('-').filter(|word| !word.is_empty()).collect();
    let name = words.join("-");
    let name = name.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    name.chars().take(MAX_NAME_BYTES).collect::<String>().trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        dir
    }

    #[test]
    fn a_folder_shows_its_language_and_name() {
        let named = |files: &[(&str, &str)]| {
            let dir = folder(files);
            Project::open(dir.path(), None).map(|project| (project.language, project.name)).map_err(|e| e.to_string())
        };
        let rust = named(&[("Cargo.toml", "[package]\nname = \"tide-table\"")]);
        assert_eq!(rust, Ok((Language::Rust, "tide-table".to_owned())));
        let js = named(&[("package.json", r#"{"name": "slug"}"#)]);
        assert_eq!(js, Ok((Language::Js, "slug".to_owned())));
        let python = named(&[("pyproject.toml", "[project]\nname = \"words\"")]);
        assert_eq!(python, Ok((Language::Python, "words".to_owned())));
        assert!(named(&[("package.json", r#"{"name": "@me/slug"}"#)]).unwrap_err().contains("name of a file"));
        assert!(named(&[("Cargo.toml", "[workspace]")]).unwrap_err().contains("no `name` under [package]"));
        assert!(named(&[("readme", "")]).unwrap_err().contains("no plugin project"));
    }

    #[test]
    fn two_marks_need_a_word() {
        let dir = folder(&[("Cargo.toml", "[package]\nname = \"a\""), ("package.json", r#"{"name": "b"}"#)]);
        let error = Project::open(dir.path(), None).expect_err("two languages");
        assert_eq!(error.hint_text(), Some("say it with: --lang rust"));
        assert_eq!(Project::open(dir.path(), Some(Language::Js)).expect("it is there").name, "b");
        assert!(Project::open(dir.path(), Some(Language::C)).is_err());
    }

    #[test]
    fn a_c_project_is_named_after_its_folder() {
        let dir = folder(&[("crc/src/plugin.c", "")]);
        let project = Project::open(&dir.path().join("crc"), None).expect("a project");
        assert_eq!((project.language, project.name.as_str()), (Language::C, "crc"));
        assert!(project.component().ends_with("crc/crc.wasm"));
    }

    #[test]
    fn what_a_build_writes_is_no_source() {
        let root = PathBuf::from("/p");
        let project = Project { root: root.clone(), language: Language::Rust, name: "p".into() };
        for source in ["src/lib.rs", "Cargo.toml", "cases.toml", ".cargo/config.toml", "wit/world.wit"] {
            assert!(project.is_source(&root.join(source)), "{source}");
        }
        for other in ["p.wasm", "target/debug/x", ".git/index", "node_modules/a.js", "src/.lib.rs.swp", "src/lib.rs~"] {
            assert!(!project.is_source(&root.join(other)), "{other}");
        }
        assert!(!project.is_source(Path::new("/elsewhere/a.rs")));
    }

    #[test]
    fn a_component_is_up_to_date_until_a_source_changes() {
        let dir = folder(&[("Cargo.toml", "[package]\nname = \"p\""), ("src/lib.rs", "")]);
        let project = Project::open(dir.path(), None).expect("a project");
        assert!(!project.is_up_to_date(), "nothing is built");
        fs::write(project.component(), "").expect("a file");
        let touch = |name: &str, seconds: u64| {
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            let file = fs::File::open(dir.path().join(name)).expect("it is there");
            file.set_modified(time).expect("its time can be set");
        };
        for (name, seconds) in [("Cargo.toml", 10), ("src/lib.rs", 20), ("src", 20), ("p.wasm", 30)] {
            touch(name, seconds);
        }
        assert!(project.is_up_to_date());
        touch("src/lib.rs", 40);
        assert!(!project.is_up_to_date());
    }

    #[test]
    fn a_bad_name_is_answered_with_a_better_one() {
        for good in ["hello", "tide-table", "crc16"] {
            assert!(check_name(good, Language::Rust).is_ok(), "{good}");
        }
        let hint = |name: &str| check_name(name, Language::Rust).expect_err(name).hint_text().map(str::to_owned);
        assert_eq!(hint("Tide Table!").as_deref(), Some("such as: tide-table"));
        assert_eq!(hint("../evil").as_deref(), Some("such as: evil"));
        assert_eq!(hint("7-zip").as_deref(), Some("such as: zip"));
        assert_eq!(hint("serde").as_deref(), Some("such as: my-serde"));
        assert_eq!(hint("").as_deref(), None);
        assert!(check_name("serde", Language::Js).is_ok());
        assert!(check_name(&"a".repeat(64), Language::C).is_err());
    }
}
