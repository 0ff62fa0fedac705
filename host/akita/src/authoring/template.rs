//! Writes a new project from the template of its language. A template is a folder in `templates/`: `dot-` at the start of
//! a name stands for a dot, `.tmpl` at its end is dropped (cargo and git read neither then), and `{{name}}` in a text is
//! the project's name. It never writes into a folder that is there already.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rust_embed::RustEmbed;

use super::{Language, check_name, sdk};
use crate::exit::ExitError;

/// The templates, a folder for each language.
#[derive(RustEmbed)]
#[folder = "templates"]
struct Templates;

/// Where a project keeps what Akita wrote and the author does not change.
const OWN: &str = ".akita";
/// Where a project that has bindings made keeps the contract.
const CONTRACT: &str = "wit/deps/akita-plugin";

/// A file to be written, by its path within the project.
pub struct File {
    /// Where.
    pub path: PathBuf,
    /// What.
    pub bytes: Vec<u8>,
}

/// A project to be written.
pub struct NewProject<'a> {
    /// Its name, and its folder's.
    pub name: &'a str,
    /// What it is written in.
    pub language: Language,
    /// Where its folder is made.
    pub parent: &'a Path,
    /// The folder of the SDK for Rust, where the project is to use that one instead of a copy of its own.
    pub sdk: Option<&'a Path>,
}

/// Writes the project and answers its folder.
///
/// # Errors
/// When the name is bad, there is such a folder already, or it cannot be written; nothing is left then.
pub fn write(project: &NewProject<'_>) -> Result<PathBuf, ExitError> {
    check_name(project.name, project.language)?;
    if project.sdk.is_some() && project.language != Language::Rust {
        return Err(ExitError::usage(format!("--sdk is for Rust, and this is {}", project.language.name())));
    }
    let files = files(project)?;
    let root = project.parent.join(project.name);
    let failed = |path: &Path, error: io::Error| ExitError::config(format!("cannot write {}: {error}", path.display()));
    fs::create_dir_all(project.parent).map_err(|error| failed(project.parent, error))?;
    fs::create_dir(&root).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => ExitError::usage(format!("{} is there already", root.display()))
            .hint("choose another name, or another place with --dir"),
        _ => failed(&root, error),
    })?;
    for file in files {
        let path = root.join(&file.path);
        let folder = path.parent().unwrap_or(&root);
        let written = fs::create_dir_all(folder).and_then(|()| fs::write(&path, &file.bytes));
        written.map_err(|error| {
            // The folder was made above, so all that is in it is ours.
            let _ = fs::remove_dir_all(&root);
            failed(&path, error)
        })?;
    }
    Ok(root)
}

/// All files of a new project.
fn files(project: &NewProject<'_>) -> Result<Vec<File>, ExitError> {
    let words = [
        ("{{name}}", project.name.to_owned()),
        ("{{snake}}", project.name.replace('-', "_")),
        ("{{sdk}}", sdk_path(project.sdk)?),
        ("{{akita}}", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    let folder = format!("{}/", project.language.word());
    let mut files = Vec::new();
    for name in Templates::iter().filter(|name| name.starts_with(&folder)) {
        let bytes = Templates::get(&name).expect("it was just listed").data.into_owned();
        files.push(File { path: real_path(&name[folder.len()..]), bytes: filled(bytes, &words) });
    }
    match project.language {
        Language::Rust if project.sdk.is_none() => files.extend(sdk::sdk(&Path::new(OWN).join("sdk"))),
        Language::Rust => {}
        Language::C | Language::Js | Language::Python => files.extend(sdk::wit(Path::new(CONTRACT))),
    }
    Ok(files)
}

/// The SDK's path as the manifest has it, within quotes.
fn sdk_path(folder: Option<&Path>) -> Result<String, ExitError> {
    let Some(folder) = folder else { return Ok(format!("{OWN}/sdk")) };
    let shown = folder.display();
    let whole = folder.canonicalize().map_err(|error| ExitError::usage(format!("--sdk {shown}: {error}")))?;
    if !whole.join("Cargo.toml").is_file() {
        let hint = "give the folder plugins/sdk of Akita's sources, or leave --sdk out";
        return Err(ExitError::usage(format!("--sdk {shown} has no Cargo.toml")).hint(hint));
    }
    match whole.to_str() {
        Some(path) if !path.contains(['"', '\\']) && !path.contains(char::is_control) => Ok(path.to_owned()),
        _ => Err(ExitError::usage(format!("--sdk {shown}: this path cannot be written into a manifest"))),
    }
}

/// `dot-gitignore` is `.gitignore`, `Cargo.toml.tmpl` is `Cargo.toml`.
fn real_path(name: &str) -> PathBuf {
    let part = |part: &str| part.strip_prefix("dot-").map_or_else(|| part.to_owned(), |rest| format!(".{rest}"));
    name.strip_suffix(".tmpl").unwrap_or(name).split('/').map(part).collect()
}

fn filled(bytes: Vec<u8>, words: &[(&str, String)]) -> Vec<u8> {
    match String::from_utf8(bytes) {
        Ok(text) => words.iter().fold(text, |text, (word, value)| text.replace(word, value)).into_bytes(),
        // No text, so nothing in it stands for anything.
        Err(error) => error.into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authoring::{CASES, Project, SAMPLE};

    fn new<'a>(name: &'a str, language: Language, parent: &'a Path) -> NewProject<'a> {
        NewProject { name, language, parent, sdk: None }
    }

    #[test]
    fn every_language_gives_a_whole_project() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for language in Language::ALL {
            let name = format!("tide-{}", language.word());
            let root = write(&new(&name, language, dir.path())).expect("it is written");
            for file in ["README.md", ".gitignore", SAMPLE, CASES] {
                assert!(root.join(file).is_file(), "{} has no {file}", language.name());
            }
            let project = Project::open(&root, None).expect("a project");
            assert_eq!((project.language, project.name), (language, name.clone()));
            let sample = fs::read_to_string(root.join(SAMPLE)).expect("a sample");
            let sample: serde_json::Value = serde_json::from_str(&sample).expect("the sample is JSON");
            assert!(sample["action"].as_str().is_some_and(|action| action.starts_with(&name)), "{sample}");
        }
    }

    #[test]
    fn nothing_of_a_template_is_left_to_fill() {
        let words = ["{{name}}", "{{snake}}", "{{sdk}}", "{{akita}}"].map(|word| (word, "x".to_owned()));
        for name in Templates::iter() {
            let text = filled(Templates::get(&name).expect("listed").data.into_owned(), &words);
            assert!(!String::from_utf8_lossy(&text).contains("{{"), "{name}");
        }
        assert_eq!(real_path("dot-cargo/config.toml.tmpl"), Path::new(".cargo/config.toml"));
    }

    #[test]
    fn a_folder_that_is_there_is_left_alone() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(dir.path().join("hello")).expect("a folder");
        let error = write(&new("hello", Language::Rust, dir.path())).expect_err("it is there");
        assert!(error.to_string().contains("there already"), "{error}");
        assert_eq!(fs::read_dir(dir.path().join("hello")).expect("a folder").count(), 0);
        assert!(write(&new("../hello", Language::Rust, dir.path())).is_err());
    }

    #[test]
    fn another_sdk_is_taken_where_it_is() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/sdk");
        let project = NewProject { sdk: Some(&sdk), ..new("hello", Language::Rust, dir.path()) };
        let root = write(&project).expect("it is written");
        let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("a manifest");
        assert!(manifest.contains("plugins/sdk\""), "{manifest}");
        assert!(!root.join(OWN).exists());
        let project = NewProject { sdk: Some(dir.path()), ..new("other", Language::Rust, dir.path()) };
        assert!(write(&project).expect_err("no SDK there").to_string().contains("no Cargo.toml"));
        let project = NewProject { sdk: Some(&sdk), ..new("other", Language::C, dir.path()) };
        assert!(write(&project).is_err());
    }
}
