//! `akita ledger head`: the newest signed checkpoint, to be kept where nobody who could change the ledger can change it.

use clap::Args;

use super::local;
use crate::cli::client::{Client, parse};
use crate::cli::render::counted;
use crate::cli::session::Session;
use crate::cli::view::View;
use crate::cli::{Globals, Output};
use crate::exit::ExitError;

/// Print the signed head of the ledger, as a C2SP checkpoint
#[derive(Debug, Args)]
#[command(after_help = "Keep it elsewhere: later, `ledger verify --against` tells whether anything before it was \
changed. With -o json the keys of those who signed it are in it too.

Examples:
  akita ledger head > head.txt
  akita ledger head -o json > head.json")]
pub struct ShowHead {
    /// Of the asked node's own copy instead of the leader's
    #[arg(long)]
    local: bool,
}

pub fn run(session: &mut Session<'_>, globals: &Globals, args: &ShowHead) -> Result<(), ExitError> {
    let reply = Client::new(session, globals)?.get("/ledger/head", &local(args.local))?;
    match globals.output {
        Output::Json => session.show_json(&reply),
        Output::Text => {
            let head = parse(&reply)?;
            let (signed, voters) = (View(&head).words("signers").len(), View(&head).count("voters").unwrap_or(1));
            if voters > 1 {
                session.note(&format!("signed by {signed} of {}", counted(voters, "voter")));
            }
            session.print(View(&head).text("checkpoint"))
        }
    }
}
