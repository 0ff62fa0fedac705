//! docs/plugins.md, followed to its end: the plugin that `cargo xtask test` built from the page is asked what it is and
//! runs on a node.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use serde_json::json;

use crate::harness::Spec;

fn component() -> PathBuf {
    let built = env::var_os("AKITA_E2E_TUTORIAL").map(PathBuf::from);
    let place = "../../target/xtask/tutorial/hello/target/wasm32-wasip2/release/hello.wasm";
    let file = built.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(place));
    assert!(file.is_file(), "{} is missing: run `cargo xtask test` once", file.display());
    file
}

#[test]
fn the_first_plugin_of_the_documentation_works_as_written() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::copy(component(), folder.path().join("hello.wasm")).expect("the component can be copied");
    let node = Spec::alone("tutorial").plugins(folder.path()).start();
    let file = folder.path().join("hello.wasm");
    let shown = node.cli(&["plugin", "inspect", &file.to_string_lossy()]).expect(0).stdout;
    assert!(shown.contains("hello/greet") && shown.contains("Greets people."), "{shown}");
    let greeted = node.cli(&["task", "submit", r#"{"action":"hello/greet","name":"Ada"}"#, "--wait"]).expect(0);
    assert_eq!(greeted.json(), json!({"greeting": "Hello, Ada!"}));
    let wrong = node.cli(&["task", "submit", r#"{"action":"greet"}"#, "--wait"]).expect(1);
    assert!(wrong.stderr.contains("`name` is missing"), "{}", wrong.stderr);
}
