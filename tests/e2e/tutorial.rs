//! docs/plugins.md, followed to its end: the plugin that `cargo xtask test` made from the page, in each language, is
//! installed on one of two nodes while they run, and the page's commands are typed on the other.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{
    harness::{Spec, TestNode, wait_until},
    meeting::pair,
    prepare::plugins,
};

const PAGE: &str = include_str!("../../docs/plugins.md");

/// The component that was made by following the page.
fn component(language: &str) -> PathBuf {
    let built = env::var_os("AKITA_E2E_TUTORIAL").map(PathBuf::from);
    let folder = built.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/xtask/tutorial"));
    let file = folder.join(language).join("wind/wind.wasm");
    assert!(file.is_file(), "{} is missing: run `cargo xtask test` once", file.display());
    file
}

/// What the page has its reader type on a cluster, and what it promises to be shown.
fn promises() -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for part in PAGE.split("<!-- node -->").skip(1) {
        let lines = part.lines().skip_while(|line| line.is_empty()).map_while(|line| line.strip_prefix("    "));
        for line in lines {
            match (line.strip_prefix("$ "), found.last_mut()) {
                (Some(command), _) => found.push((command.to_owned(), String::new())),
                (None, Some((_, shown))) => shown.push_str(&format!("{line}\n")),
                (None, None) => panic!("the page shows an answer before any command: {line}"),
            }
        }
    }
    assert!(found.len() >= 2, "the page marks too few commands with `<!-- node -->`");
    found
}

/// The words of a command line in which only single quotes quote.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in line.split('\'').enumerate() {
        match index % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}

/// A folder with one plugin, so that its node is seen to offer something.
fn small_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::copy(plugins().join("basics.wasm"), folder.path().join("basics.wasm")).expect("it can be copied");
    folder
}

fn offered(node: &TestNode) -> Value {
    let view = node.get("/cluster/status");
    let nodes = view["nodes"].as_array().expect("nodes").iter();
    nodes.flat_map(|node| node["actions"].as_array().cloned().unwrap_or_default()).collect()
}

fn follow(language: &str) {
    let (without, with) = (small_folder(), small_folder());
    let (alpha, beta) = pair(Spec::new("alpha").plugins(without.path()), Spec::new("beta").plugins(with.path()));
    // As `akita plugin build --into` does it: whole.
    let part = with.path().join(".wind.partial");
    fs::copy(component(language), &part).expect("the component can be copied");
    fs::rename(part, with.path().join("wind.wasm")).expect("it can be moved");
    wait_until("the other node to hear of the plugin", || {
        offered(&alpha).as_array().expect("actions").contains(&json!("wind/beaufort"))
    });
    let listed = beta.get("/plugins");
    let wind = listed["plugins"].as_array().expect("plugins").iter().find(|plugin| plugin["name"] == "wind");
    let actions = wind.expect("it is listed")["actions"].as_array().expect("actions").len();
    assert_eq!(actions, 1, "what the tools of {language} export beside is no action: {listed:#}");
    for (command, promised) in promises() {
        let words = words(&command);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert_eq!(words[0], "akita", "{command}");
        let out = alpha.cli(&words[1..]);
        let shown = if out.code == 0 { &out.stdout } else { &out.stderr };
        assert_eq!(shown.trim_end(), promised.trim_end(), "{language}: {command}");
    }
    for task in alpha.get("/tasks")["tasks"].as_array().expect("tasks") {
        assert!(task["worker_id"].is_null() || task["worker_id"] == beta.id().as_str(), "{task:#}");
    }
}

#[test]
fn the_first_plugin_in_rust_works_as_written() {
    follow("rust");
}

#[test]
fn the_first_plugin_in_c_works_as_written() {
    follow("c");
}

#[test]
fn the_first_plugin_in_javascript_works_as_written() {
    follow("js");
}

#[test]
fn the_first_plugin_in_python_works_as_written() {
    follow("python");
}
