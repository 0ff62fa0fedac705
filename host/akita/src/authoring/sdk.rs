//! The sources that every `akita` carries: the SDK for Rust and the contract's WIT files, so that a project can be
//! written and built where there is no checkout of Akita. It only hands them out.

use std::path::Path;

use rust_embed::RustEmbed;
use toml::{Table, Value};

use super::template::File;

/// The SDK's folder, without its tests.
#[derive(RustEmbed)]
#[folder = "../../plugins/sdk"]
#[exclude = "tests/*"]
#[exclude = "target/*"]
struct Sdk;

/// The contract.
#[derive(RustEmbed)]
#[folder = "../../wit"]
#[include = "*.wit"]
struct Wit;

/// The workspace that the SDK's manifests take their common keys from.
const WORKSPACE: &str = include_str!("../../../../plugins/Cargo.toml");

/// The SDK's files below `folder`, with manifests that need no workspace around them.
pub fn sdk(folder: &Path) -> Vec<File> {
    let workspace: Table = WORKSPACE.parse().expect("the workspace's manifest was parsed by cargo");
    let file = |name: std::borrow::Cow<'static, str>| {
        let bytes = Sdk::get(&name).expect("it was just listed").data.into_owned();
        let bytes = if name.ends_with("Cargo.toml") { standalone(&bytes, &workspace) } else { bytes };
        File { path: folder.join(name.as_ref()), bytes }
    };
    Sdk::iter().map(file).collect()
}

/// The contract's files below `folder`.
pub fn wit(folder: &Path) -> Vec<File> {
    let bytes = |name: &str| Wit::get(name).expect("it was just listed").data.into_owned();
    Wit::iter().map(|name| File { path: folder.join(name.as_ref()), bytes: bytes(&name) }).collect()
}

/// A manifest with the keys that it inherits written out. Lints and what only tests use stay behind.
fn standalone(manifest: &[u8], workspace: &Table) -> Vec<u8> {
    let text = std::str::from_utf8(manifest).expect("cargo reads UTF-8");
    let mut manifest: Table = text.parse().expect("cargo parsed it");
    manifest.remove("lints");
    manifest.remove("dev-dependencies");
    let shared = workspace.get("workspace").and_then(Value::as_table).expect("it is a workspace's manifest");
    for part in ["package", "dependencies"] {
        let Some(Value::Table(keys)) = manifest.get_mut(part) else { continue };
        let shared = shared.get(part).and_then(Value::as_table);
        for (name, value) in keys {
            if let Some(inherited) = inherited(value, shared.and_then(|shared| shared.get(name))) {
                *value = inherited;
            }
        }
    }
    manifest.to_string().into_bytes()
}

/// What `{ workspace = true, .. }` stands for: the workspace's value, with features added.
fn inherited(value: &Value, shared: Option<&Value>) -> Option<Value> {
    value.get("workspace").filter(|inherits| inherits.as_bool() == Some(true))?;
    let mut found = shared.expect("cargo found it in the workspace").clone();
    let more = value.get("features").and_then(Value::as_array).cloned().unwrap_or_default();
    if !more.is_empty() {
        if let Value::String(version) = &found {
            found = Value::Table([("version".to_owned(), Value::String(version.clone()))].into_iter().collect());
        }
        let table = found.as_table_mut().expect("a dependency is a text or a table");
        let features = table.entry("features").or_insert_with(|| Value::Array(Vec::new()));
        features.as_array_mut().expect("features are a list").extend(more);
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sdk_stands_without_its_workspace() {
        let files = sdk(Path::new("sdk"));
        let text = |path: &str| {
            let file = files.iter().find(|file| file.path == Path::new(path)).unwrap_or_else(|| panic!("no {path}"));
            String::from_utf8(file.bytes.clone()).expect("text")
        };
        for manifest in ["sdk/Cargo.toml", "sdk/macros/Cargo.toml"] {
            let text = text(manifest);
            assert!(!text.contains("workspace"), "{text}");
            assert!(text.contains("edition = \"2024\""), "{text}");
        }
        assert!(text("sdk/Cargo.toml").contains("wit-bindgen"), "{}", text("sdk/Cargo.toml"));
        assert!(text("sdk/src/lib.rs").contains("no_std"));
        assert!(text("sdk/wit/actions.wit").contains("interface actions"));
        assert!(!files.iter().any(|file| file.path.starts_with("sdk/tests")));
    }

    #[test]
    fn inherited_keys_are_written_out() {
        let workspace: Table = "[workspace.package]\nversion = \"1.2.3\"\n[workspace.dependencies]\na = \"1\"\nb = { version = \"2\", features = [\"x\"] }"
            .parse()
            .expect("a manifest");
        let manifest = b"[package]\nname = \"n\"\nversion.workspace = true\n[dependencies]\na = { workspace = true, features = [\"y\"] }\nb.workspace = true\nc = \"3\"\n[lints]\nworkspace = true";
        let done: Table =
            String::from_utf8(standalone(manifest, &workspace)).expect("text").parse().expect("a manifest");
        let expect: Table = "[package]\nname = \"n\"\nversion = \"1.2.3\"\n[dependencies]\na = { version = \"1\", features = [\"y\"] }\nb = { version = \"2\", features = [\"x\"] }\nc = \"3\""
            .parse()
            .expect("a manifest");
        assert_eq!(done, expect);
    }

    #[test]
    fn the_contract_is_whole() {
        let names: Vec<_> = wit(Path::new("wit")).into_iter().map(|file| file.path).collect();
        assert!(names.contains(&"wit/world.wit".into()) && names.contains(&"wit/types.wit".into()), "{names:?}");
    }
}
