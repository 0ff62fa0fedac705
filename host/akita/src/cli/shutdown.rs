//! `akita shutdown`: asks a node to stop, after asking the person.

use std::io::{BufRead as _, BufReader, Read as _};

use clap::Args;

use super::client::Client;
use super::session::Session;
use super::{Globals, Output};
use crate::exit::ExitError;

/// Stop a node: running tasks may finish, then it leaves the cluster
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  akita shutdown
  akita --target-node-api http://127.0.0.1:8001 shutdown --yes")]
pub struct Shutdown {
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// Bytes of an answer that are read; nobody types more than `yes`.
const LONGEST_ANSWER: u64 = 16;

pub fn run(session: &mut Session<'_>, globals: &Globals, args: &Shutdown) -> Result<(), ExitError> {
    let client = Client::new(session, globals)?;
    if !args.yes {
        if !session.input_is_terminal {
            return Err(ExitError::usage("not stopping a node without being sure").hint("add --yes"));
        }
        let _ = write!(session.err, "stop the node at {}? [y/N] ", client.base()).and_then(|()| session.err.flush());
        if !agreed(session) {
            session.note("nothing done");
            return Ok(());
        }
    }
    let reply = client.post("/shutdown", &serde_json::json!({}))?;
    match globals.output {
        Output::Json => session.show_json(&reply),
        Output::Text => {
            session.note(&format!("the node at {} is stopping", client.base()));
            Ok(())
        }
    }
}

/// Whether the next line says yes.
pub(super) fn agreed(session: &mut Session<'_>) -> bool {
    let mut line = String::new();
    let read = BufReader::new(&mut session.input).take(LONGEST_ANSWER).read_line(&mut line);
    read.is_ok() && matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}
