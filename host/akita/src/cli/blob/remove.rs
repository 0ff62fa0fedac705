//! `akita blob remove`: takes blobs off the asked node.

use clap::Args;

use crate::blobs::BlobId;
use crate::cli::Globals;
use crate::cli::client::Client;
use crate::cli::session::Session;
use crate::exit::ExitError;

/// Remove blobs from the asked node, whoever put them; other nodes keep theirs
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  akita blob remove 3b9c...e1")]
pub struct Remove {
    /// The ids
    #[arg(value_name = "ID", required = true, value_parser = super::id)]
    ids: Vec<BlobId>,
}

pub fn run(session: &mut Session<'_>, globals: &Globals, args: &Remove) -> Result<(), ExitError> {
    let client = Client::new(session, globals)?;
    args.ids.iter().try_for_each(|id| client.delete(&format!("/blobs/{id}")).map(drop))?;
    session.note("removed");
    Ok(())
}
