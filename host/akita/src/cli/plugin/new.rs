//! `akita plugin new`: a project that builds at once.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::authoring::{Language, NewProject, write_project};
use crate::cli::session::Session;
use crate::cli::{Globals, Output};
use crate::exit::ExitError;

/// Write a new plugin project that builds at once, with tests and what to do next
#[derive(Debug, Args)]
#[command(
    after_help = "The project is a folder of that name. One in Rust brings a copy of the SDK along, so that it builds
without Akita's sources.

Examples:
  akita plugin new tide-table --lang rust
  akita plugin new checksum --lang c --dir ~/plugins
  akita plugin new tide-table --lang rust --sdk ../akita/plugins/sdk"
)]
pub struct New {
    /// The plugin's name: lower-case words joined by `-`
    #[arg(value_name = "NAME")]
    name: String,
    /// What to write it in
    #[arg(long, value_name = "LANGUAGE", value_enum)]
    lang: Language,
    /// Make the project's folder in this one [default: the working folder]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Rust: use the SDK in this folder, instead of a copy in the project
    #[arg(long, value_name = "DIR")]
    sdk: Option<PathBuf>,
}

pub fn run(session: &mut Session<'_>, globals: &Globals, args: &New) -> Result<(), ExitError> {
    let shown = args.dir.clone().unwrap_or_default().join(&args.name);
    let parent = args.dir.as_ref().map_or_else(|| session.cwd.clone(), |dir| session.cwd.join(dir));
    let sdk = args.sdk.as_ref().map(|sdk| session.cwd.join(sdk));
    let project = NewProject { name: &args.name, language: args.lang, parent: &parent, sdk: sdk.as_deref() };
    let root = write_project(&project)?;
    match globals.output {
        Output::Json => {
            let reply = json!({"name": args.name, "language": args.lang.word(), "folder": root.display().to_string()});
            session.show_json(&reply.to_string())
        }
        Output::Text => {
            let shown = shown.display();
            let next = ["akita plugin build", "akita plugin test", "akita plugin dev"].join("\n  ");
            session.print(&format!("{shown}: a plugin in {}\n\nnext:\n  cd {shown}\n  {next}", args.lang.name()))
        }
    }
}
