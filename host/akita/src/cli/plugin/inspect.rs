//! `akita plugin inspect`: asks a component file what it is, in a sandbox of its own, without any node.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use akita_sandbox::{Candidate, LoadError, Sandbox, SandboxConfig};
use clap::Args;
use serde_json::Value;

use crate::cli::Globals;
use crate::cli::render::{Align, Table, duration, facts, size, tame};
use crate::cli::session::Session;
use crate::cli::view::View;
use crate::exit::ExitError;

/// Show what a component file offers and what it needs, without a node
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  akita plugin inspect plugins/image.wasm
  akita plugin inspect plugins/image.wasm --schema
  akita plugin inspect plugins/image.wasm -o json")]
pub struct Inspect {
    /// The component, a .wasm file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Show the JSON schemas of each action too
    #[arg(long)]
    schema: bool,
}

pub fn run(session: &mut Session<'_>, globals: &Globals, args: &Inspect) -> Result<(), ExitError> {
    let path = session.cwd.join(&args.file);
    let plugin = load(&path).map_err(|reason| {
        ExitError::config(format!("{} is no plugin for this node: {}", args.file.display(), tame(&reason)))
            .hint("how to build one: docs/plugins.md")
    })?;
    let (reply, schemas) = (described(&plugin, &args.file)?, args.schema);
    session.show(globals.output, &reply, |reply, _now| render(reply, schemas))
}

/// Compiles the component into a folder that is gone afterwards, and asks it.
pub(super) fn load(path: &Path) -> Result<Arc<Candidate>, String> {
    in_sandbox(|sandbox| sandbox.examine_file(path))
}

/// The same of bytes that lie in no file.
#[cfg(feature = "oci")]
pub(super) fn examine(bytes: &[u8]) -> Result<Arc<Candidate>, String> {
    in_sandbox(|sandbox| sandbox.examine(bytes))
}

fn in_sandbox(look: impl FnOnce(&Sandbox) -> Result<Arc<Candidate>, LoadError>) -> Result<Arc<Candidate>, String> {
    let cache = tempfile::tempdir().map_err(|error| format!("cannot make a temporary folder: {error}"))?;
    let config =
        SandboxConfig { slots: 1, guest_threads: 1, cache_dir: cache.path().to_owned(), ..SandboxConfig::default() };
    let sandbox = Sandbox::new(config).map_err(|error| error.to_string())?;
    look(&sandbox).map_err(|error| error.to_string())
}

/// The plugin as `GET /plugins` would show it.
fn described(plugin: &Candidate, file: &Path) -> Result<String, ExitError> {
    let view = crate::node::plugin_view(file.display().to_string(), plugin);
    serde_json::to_string(&view).map_err(|error| ExitError::internal(error.to_string()))
}

fn render(reply: &Value, with_schemas: bool) -> String {
    let plugin = View(reply);
    let needs = match plugin.words("needs")[..] {
        [] => "nothing that has to be granted".to_owned(),
        ref needs => format!("{}: runs only where that is granted", needs.join(", ")),
    };
    let about = facts(&[
        ("plugin", format!("{} {}", plugin.text("name"), plugin.text("version"))),
        ("summary", tame(plugin.text("summary"))),
        ("file", format!("{}, {}", plugin.text("file"), size(plugin.count("size").unwrap_or_default()))),
        ("hash", plugin.text("hash").to_owned()),
        ("provides", plugin.words("provides").join(", ")),
        ("imports", plugin.words("imports").join("\n")),
        ("needs", needs),
        ("hint", plugin.some_text("hint").unwrap_or_default().to_owned()),
    ]);
    let mut table = Table::new(&[
        ("ACTION", Align::Left),
        ("IDEMPOTENT", Align::Left),
        ("TYPICAL", Align::Right),
        ("REQUIRES", Align::Left),
        ("SUMMARY", Align::Left),
    ]);
    for action in plugin.list("actions") {
        let typical = action.count("typical_ms").map(std::time::Duration::from_millis);
        table.row(vec![
            format!("{}/{}", plugin.text("name"), action.text("name")),
            if action.is("idempotent") { "yes" } else { "no" }.to_owned(),
            typical.map(duration).unwrap_or_default(),
            action.words("requires").join(","),
            tame(action.text("summary")),
        ]);
    }
    let mut text = format!("{about}\n{}", table.render());
    text.push_str(&typed(plugin));
    if with_schemas {
        text.push_str(&schemas(reply, plugin.text("name")));
    }
    text
}

/// The functions of its other exported interfaces, and which actions they are.
fn typed(plugin: View<'_>) -> String {
    let exports = plugin.list("typed_exports");
    if exports.is_empty() {
        return String::new();
    }
    let mut table =
        Table::new(&[("TYPED EXPORT", Align::Left), ("ACTION", Align::Left), ("NOT CALLABLE", Align::Left)]);
    for export in exports {
        let action = export.some_text("action").map(|action| format!("{}/{action}", plugin.text("name")));
        let (interface, function) = (export.text("interface"), export.text("function"));
        let dot = if interface.is_empty() { "" } else { " " };
        table.row(vec![
            tame(&format!("{interface}{dot}{function}")),
            action.unwrap_or_default(),
            tame(export.some_text("left_out").unwrap_or_default()),
        ]);
    }
    format!("\n{}", table.render())
}

/// What each action takes and gives, as JSON Schema.
fn schemas(reply: &Value, plugin: &str) -> String {
    let mut text = String::new();
    for action in reply["actions"].as_array().into_iter().flatten() {
        for (key, what) in [("input_schema", "takes"), ("output_schema", "gives")] {
            let name = action["name"].as_str().unwrap_or_default();
            let shown = match &action[key] {
                Value::Null => "anything: it has no schema".to_owned(),
                schema => format!("\n{schema:#}"),
            };
            text.push_str(&format!("\n{plugin}/{name} {what} {shown}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_is_shown_with_its_actions() {
        let reply = serde_json::json!({"name": "image", "version": "0.1.0", "summary": "Fits pictures.", "file": "image.wasm",
            "size": 120_000, "hash": "abcd", "provides": [], "imports": ["akita:plugin/log@0.1.0", "wasi:io/error@0.2.6"], "needs": ["kv"],
            "actions": [{"name": "fit", "summary": "Fit.", "idempotent": true, "typical_ms": 400, "requires": []}]});
        assert_eq!(
            anstream::adapter::strip_str(&render(&reply, false)).to_string(),
            "\
plugin   image 0.1.0
summary  Fits pictures.
file     image.wasm, 117 KiB
hash     abcd
imports  akita:plugin/log@0.1.0
         wasi:io/error@0.2.6
needs    kv: runs only where that is granted

ACTION     IDEMPOTENT  TYPICAL  SUMMARY
image/fit  yes          400 ms  Fit.
"
        );
    }

    #[test]
    fn typed_exports_and_schemas_are_shown() {
        let reply = serde_json::json!({"name": "imaging", "version": "1.0.0", "actions": [{"name": "fit", "requires": [],
            "input_schema": {"type": "object"}, "output_schema": null}], "typed_exports": [
            {"interface": "acme:imaging/resize@1.0.0", "function": "fit", "action": "fit", "left_out": null},
            {"interface": "acme:imaging/resize@1.0.0", "function": "open", "action": null, "left_out": "a resource"}]});
        let text = anstream::adapter::strip_str(&render(&reply, true)).to_string();
        let rest = text.split_once("\nTYPED").expect("they are shown").1;
        let lines: Vec<Vec<&str>> = rest.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["acme:imaging/resize@1.0.0", "fit", "imaging/fit"]);
        assert_eq!(lines[2], ["acme:imaging/resize@1.0.0", "open", "a", "resource"]);
        assert!(text.ends_with(
            "\nimaging/fit takes \n{\n  \"type\": \"object\"\n}\n\nimaging/fit gives anything: it has no schema\n"
        ));
    }

    #[test]
    fn a_file_that_is_no_component_is_refused_with_the_reason() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("x.wasm");
        std::fs::write(&path, b"hello").expect("a file");
        assert!(!load(&path).expect_err("it is no component").is_empty());
        let missing = load(&dir.path().join("none.wasm")).expect_err("there is none");
        assert!(missing.contains("none.wasm"), "{missing}");
    }
}
