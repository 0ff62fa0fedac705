//! `akita blob put`: files to the asked node, each as a blob.

use std::io::Read as _;

use clap::Args;

use crate::cli::Globals;
use crate::cli::Output;
use crate::cli::client::{Client, parse};
use crate::cli::session::Session;
use crate::cli::view::View;
use crate::exit::ExitError;

/// Keep files as blobs on the asked node, and print their ids
#[derive(Debug, Args)]
#[command(after_help = "A blob stays until it is removed. Any node of the cluster gives it out, and plugins
read it by its id where the operator grants `blobs`.

Examples:
  akita blob put photo.jpg
  tar cz notes | akita blob put -")]
pub struct Put {
    /// The files; `-` for standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<String>,
}

pub fn run(session: &mut Session<'_>, globals: &Globals, args: &Put) -> Result<(), ExitError> {
    let client = Client::new(session, globals)?;
    for file in &args.files {
        let bytes = match file.as_str() {
            "-" => {
                let mut bytes = Vec::new();
                session.input.read_to_end(&mut bytes).map(|_| bytes)
            }
            path => std::fs::read(session.cwd.join(path)),
        };
        let bytes = bytes.map_err(|error| ExitError::usage(format!("cannot read {file}: {error}")))?;
        let reply = client.post_bytes("/blobs", &bytes)?;
        match globals.output {
            Output::Json => session.show_json(&reply)?,
            Output::Text => session.print(View(&parse(&reply)?).text("id"))?,
        }
    }
    Ok(())
}
