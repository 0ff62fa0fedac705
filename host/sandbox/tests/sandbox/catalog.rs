//! A folder of plugins.

use std::fs;

use akita_sandbox::{Catalog, LoadError, LoadStep, ResolveError};
use tempfile::TempDir;

use crate::guests::{Guest, echo};
use crate::shared;

fn guest(name: &str, actions: &[&str], provides: &[&str]) -> Vec<u8> {
    let own = |list: &[&str]| list.iter().map(|&one| one.to_owned()).collect();
    Guest { name: name.into(), actions: own(actions), provides: own(provides), ..Guest::default() }.component()
}

fn folder() -> TempDir {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("a.wasm"), guest("basics", &["echo", "log"], &["text"])).unwrap();
    fs::write(dir.path().join("b.wasm"), guest("image", &["fit", "echo"], &["jpeg", "text"])).unwrap();
    dir
}

fn load(dir: &TempDir) -> Catalog {
    Catalog::load_dir(&shared(), dir.path(), |_| ()).unwrap()
}

#[test]
fn names_are_resolved_in_full_or_alone_where_that_is_clear() {
    let catalog = load(&folder());
    assert_eq!(catalog.actions(), ["basics/echo", "basics/log", "image/echo", "image/fit"]);
    assert_eq!(catalog.provides(), ["jpeg", "text"]);
    let (plugin, action) = catalog.resolve("image/echo").unwrap();
    assert_eq!((plugin.name(), action.as_str()), ("image", "echo"));
    let (plugin, action) = catalog.resolve("log").unwrap();
    assert_eq!((plugin.name(), action.as_str()), ("basics", "log"));
    let ambiguous = catalog.resolve("echo").unwrap_err();
    assert_eq!(ambiguous.to_string(), "`echo` may mean basics/echo or image/echo: write one of them in full");
}

#[test]
fn an_unknown_name_gets_those_that_are_like_it() {
    let catalog = load(&folder());
    for (asked, near) in [("image/fti", "image/fit"), ("lgo", "basics/log"), ("basic/log", "basics/log")] {
        let ResolveError::Unknown { near: found, .. } = catalog.resolve(asked).unwrap_err() else { panic!("{asked}") };
        assert_eq!(found.first().map(String::as_str), Some(near), "{asked}");
    }
    let error = catalog.resolve("xyzzy").unwrap_err();
    assert_eq!(error.to_string(), "no action `xyzzy` here");
}

#[test]
fn a_bad_file_stops_no_other() {
    let dir = folder();
    fs::write(dir.path().join("0-bad.wasm"), b"not a plugin").unwrap();
    fs::write(dir.path().join("c.wasm"), guest("image", &["other"], &[])).unwrap();
    fs::write(dir.path().join("d.cwasm"), b"anything").unwrap();
    fs::write(dir.path().join("README.md"), b"not a plugin either").unwrap();
    fs::create_dir_all(dir.path().join("target/x")).unwrap();
    fs::write(dir.path().join("target/x/deep.wasm"), echo()).unwrap();
    let mut steps = Vec::new();
    let catalog = Catalog::load_dir(&shared(), dir.path(), |step| {
        steps.push(match step {
            LoadStep::Found(count) => format!("found {count}"),
            LoadStep::Loading(_) => "loading".into(),
            LoadStep::Loaded(_, plugin) => format!("loaded {}", plugin.name()),
            LoadStep::Rejected(path, _) => format!("rejected {}", path.file_name().unwrap().display()),
        });
    })
    .unwrap();
    steps.retain(|step| step != "loading");
    let expect =
        ["found 5", "rejected 0-bad.wasm", "loaded basics", "loaded image", "rejected c.wasm", "rejected d.cwasm"];
    assert_eq!(steps, expect);
    assert_eq!(catalog.plugins().len(), 2);
    assert!(matches!(catalog.rejected()[0].1, LoadError::NotAComponent(_)));
    assert!(matches!(catalog.rejected()[1].1, LoadError::DuplicateName { .. }));
    assert!(matches!(catalog.rejected()[2].1, LoadError::Precompiled));
}

#[cfg(unix)]
#[test]
fn a_link_out_of_the_folder_is_not_followed() {
    use std::os::unix::fs::symlink;
    let (dir, outside) = (folder(), TempDir::new().unwrap());
    let target = outside.path().join("x.wasm");
    fs::write(&target, guest("outside", &["run"], &[])).unwrap();
    symlink(&target, dir.path().join("link.wasm")).unwrap();
    symlink(dir.path().join("missing"), dir.path().join("nowhere.wasm")).unwrap();
    let catalog = load(&dir);
    assert!(matches!(catalog.rejected()[0].1, LoadError::OutsideFolder { .. }));
    assert!(matches!(catalog.rejected()[1].1, LoadError::Io { .. }));
    assert_eq!(catalog.plugins().len(), 2);
}

#[test]
fn the_digest_follows_content_not_file_names() {
    let dir = folder();
    let before = load(&dir).digest();
    fs::rename(dir.path().join("a.wasm"), dir.path().join("z.wasm")).unwrap();
    assert_eq!(load(&dir).digest(), before);
    fs::remove_file(dir.path().join("z.wasm")).unwrap();
    assert_ne!(load(&dir).digest(), before);
}

#[test]
fn a_missing_folder_is_an_error_and_an_empty_one_is_not() {
    let dir = TempDir::new().unwrap();
    assert!(load(&dir).plugins().is_empty());
    let error = Catalog::load_dir(&shared(), &dir.path().join("missing"), |_| ()).unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
}
