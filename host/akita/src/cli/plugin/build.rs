//! `akita plugin build`: a component from a project, looked at as a node would.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::authoring::build::{Options, build, place};
use crate::authoring::{Language, Project, Testbed, Workshop};
use crate::cli::render::{duration, facts, size, tame};
use crate::cli::session::Session;
use crate::cli::view::View;
use crate::cli::{Globals, Output};
use crate::exit::{ExitCode, ExitError};

/// Build a project into a component, and look at it as a node would
#[derive(Debug, Args)]
#[command(
    after_help = "What the tools say goes to standard error as it is. The component is NAME.wasm in the project's folder.

Examples:
  akita plugin build
  akita plugin build tide-table --into ~/akita/plugins
  akita plugin build --debug -o json"
)]
pub struct Build {
    /// The project's folder [default: the working folder]
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The language, where the folder shows more than one
    #[arg(long, value_name = "LANGUAGE", value_enum)]
    lang: Option<Language>,
    /// Build for debugging: quicker, larger
    #[arg(long, conflicts_with = "release")]
    debug: bool,
    /// Build small and fast; this is the default
    #[arg(long)]
    release: bool,
    /// Put the finished component into this folder of plugins too
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
}

pub fn run(session: &mut Session<'_>, globals: &Globals, args: &Build) -> Result<(), ExitError> {
    let shown = args.dir.clone().unwrap_or_else(|| ".".into());
    let project = Project::open(&session.cwd.join(&shown), args.lang)?;
    let into = args.into.as_ref().map(|into| folder(&session.cwd.join(into))).transpose()?;
    let started = Instant::now();
    let bytes = {
        let env = session.env.clone();
        let mut shop = Workshop::new(env, |line| session.note(line), CancellationToken::new());
        build(&project, &mut shop, Options { debug: args.debug })?
    };
    let target = project.component();
    place(&bytes, &target)?;
    let testbed = Testbed::start(&session.env)?;
    let plugin = testbed.examine(&bytes).map_err(|reason| {
        let message = format!("{} is built, and no node would take it: {}", target.display(), tame(&reason));
        ExitError::new(ExitCode::TaskFailed, message)
    })?;
    let installed = into.map(|into| into.join(format!("{}.wasm", project.name)));
    if let Some(installed) = &installed {
        place(&bytes, installed)?;
    }
    let file = shown.join(format!("{}.wasm", project.name));
    let file = file.strip_prefix(".").unwrap_or(&file).display().to_string();
    let view = crate::node::plugin_view(file, &plugin);
    let view = serde_json::to_value(&view).map_err(|error| ExitError::internal(error.to_string()))?;
    let reply = json!({
        "plugin": view,
        "component": target.display().to_string(),
        "installed": installed.map(|path| path.display().to_string()),
        "took_ms": u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    });
    match globals.output {
        Output::Json => session.show_json(&reply.to_string()),
        Output::Text => session.print(&render(&reply)),
    }
}

/// A folder that is there: a mistyped one is not made.
pub fn folder(path: &Path) -> Result<PathBuf, ExitError> {
    if path.is_dir() {
        return Ok(path.to_owned());
    }
    Err(ExitError::config(format!("there is no folder {}", path.display()))
        .hint("make it, or see how --into is spelled"))
}

fn render(reply: &Value) -> String {
    let (reply, plugin) = (View(reply), View(reply).get("plugin"));
    let needs = plugin.words("needs").join(", ");
    let took = duration(Duration::from_millis(reply.count("took_ms").unwrap_or_default()));
    let bytes = size(plugin.count("size").unwrap_or_default());
    facts(&[
        ("built", format!("{}, {bytes}, in {took}", plugin.text("file"))),
        ("plugin", format!("{} {}", plugin.text("name"), plugin.text("version"))),
        ("actions", plugin.words("actions").join(", ")),
        (
            "needs",
            if needs.is_empty() { String::new() } else { format!("{needs}: to be granted by each node's operator") },
        ),
        ("installed", reply.some_text("installed").unwrap_or_default().to_owned()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_tells_what_came_out() {
        let reply = json!({"plugin": {"name": "hello", "version": "0.1.0", "file": "hello.wasm", "size": 49_152,
            "needs": ["kv"], "actions": [{"name": "greet"}, {"name": "part"}]}, "took_ms": 1_240, "installed": null});
        assert_eq!(
            anstream::adapter::strip_str(&render(&reply)).to_string(),
            "\
built    hello.wasm, 48 KiB, in 1.2 s
plugin   hello 0.1.0
actions  greet, part
needs    kv: to be granted by each node's operator
"
        );
    }

    #[test]
    fn a_mistyped_folder_is_not_made() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        assert!(folder(dir.path()).is_ok());
        assert!(folder(&dir.path().join("plugnis")).is_err());
    }
}
