//! The shape of the workspace: which crate may know which, and where each heavy library may be named.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Who may depend on whom: a star.
const EDGES: [(&str, &[&str]); 5] = [
    ("akita", &["akita-core", "akita-mesh", "akita-sandbox"]),
    ("akita-core", &[]),
    ("akita-mesh", &[]),
    ("akita-sandbox", &[]),
    ("xtask", &[]),
];

/// Where a library may be named. The engine is named once more where it is simulated around the core: only that crate is
/// optimised where tests are built, and what it knows there it knows in no node.
const HOMES: [(&str, &[&str]); 5] = [
    ("wasmtime", &["host/sandbox"]),
    ("rns_", &["host/mesh"]),
    ("rusqlite", &["host/akita/src/store"]),
    ("openraft", &["host/akita/src/consensus", "host/core/tests/sim/voters"]),
    ("oci_", &["host/akita/src/cli/plugin/registry"]),
];

/// What `core` must never do.
const FORBIDDEN_IN_CORE: [&str; 7] =
    ["async fn", ".await", "std::fs", "std::net", "SystemTime", "Instant::now", "getrandom"];

#[test]
fn crates_form_a_star() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(ROOT)
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata answers in JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let ours: Vec<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    assert_eq!(ours.len(), EDGES.len(), "a crate was added or removed: {ours:?}; say here whom it may know");
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        let allowed = EDGES.iter().find(|(from, _)| *from == name).map(|(_, to)| *to).unwrap_or_default();
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let to = dependency["name"].as_str().expect("a name");
            assert!(!ours.contains(&to) || allowed.contains(&to), "{name} must not depend on {to}");
        }
    }
}

#[test]
fn each_heavy_library_is_named_in_one_folder() {
    for (library, homes) in HOMES {
        each_source("host", &mut |path, line| {
            let code = line.split("//").next().unwrap_or_default();
            let named = code.contains(&format!("use {library}")) || code.contains(&format!("{library}::"));
            let at_home = homes.iter().any(|home| path.starts_with(home));
            assert!(!named || at_home, "{path} names {library}, which belongs in {homes:?}: {line}");
        });
    }
}

#[test]
fn core_does_no_input_or_output() {
    each_source("host/core/src", &mut |path, line| {
        let code = line.split("//").next().unwrap_or_default();
        for word in FORBIDDEN_IN_CORE {
            assert!(!code.contains(word), "{path} has `{word}`: core takes time and randomness as arguments: {line}");
        }
    });
}

/// Calls `look` with each line of each Rust file below `folder`.
fn each_source(folder: &str, look: &mut dyn FnMut(&str, &str)) {
    let mut seen = 0;
    let mut folders = vec![Path::new(ROOT).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                seen += 1;
                let shown = path.strip_prefix(ROOT).expect("below the root").to_string_lossy().into_owned();
                let text = fs::read_to_string(&path).expect("a readable source");
                text.lines().for_each(|line| look(&shown, line));
            }
        }
    }
    assert!(seen > 5, "no sources below {folder}");
}
