//! `akita task status`: one task.

use std::path::PathBuf;

use clap::Args;

use super::outcome;
use crate::cli::client::{Client, parse, task_path};
use crate::cli::reading::Fresh;
use crate::cli::session::Session;
use crate::cli::{Globals, Output};
use crate::exit::ExitError;

/// Show a task: its state, why it waits or failed, and its result
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  akita task status 01989c2e-7f3a-7c52-b0d1-5a3c9e1f2b44
  akita task status 01989c2e-7f3a-7c52-b0d1-5a3c9e1f2b44 --save small.jpg
  akita task status 01989c2e-7f3a-7c52-b0d1-5a3c9e1f2b44 --consistent")]
pub struct Status {
    /// The id that `task submit` printed
    #[arg(value_name = "ID")]
    id: String,
    /// Write the result's bytes into this file
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    #[command(flatten)]
    fresh: Fresh,
}

pub fn run(session: &mut Session<'_>, globals: &Globals, args: &Status) -> Result<(), ExitError> {
    let path = task_path(&args.id)?;
    let client = Client::new(session, globals)?;
    let reply = args.fresh.get(session, &client, &path, vec![])?;
    match &args.save {
        Some(file) => {
            outcome::save(session, &parse(&reply)?, file)?;
            if globals.output == Output::Json { session.show_json(&reply) } else { Ok(()) }
        }
        None => session.show(globals.output, &reply, outcome::render),
    }
}
