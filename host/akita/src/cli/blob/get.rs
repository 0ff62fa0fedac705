//! `akita blob get`: a blob's bytes from the asked node, which fetches them where it lacks them.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::blobs::BlobId;
use crate::cli::Globals;
use crate::cli::client::Client;
use crate::cli::render::thousands;
use crate::cli::session::Session;
use crate::exit::{ExitCode, ExitError};

/// Get the bytes of a blob, from whichever node has it
#[derive(Debug, Args)]
#[command(after_help = "What arrives is checked against the id before it is written.

Examples:
  akita blob get 3b9c...e1 --out photo.jpg
  akita blob get 3b9c...e1 | tar xz")]
pub struct Get {
    /// The id that `blob put` printed
    #[arg(value_name = "ID", value_parser = super::id)]
    id: BlobId,
    /// Write the bytes into this file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How long the node looks for it on other nodes: 0 to 60 s
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=60))]
    wait: u64,
}

pub fn run(session: &mut Session<'_>, globals: &Globals, args: &Get) -> Result<(), ExitError> {
    if args.out.is_none() && session.out_is_terminal {
        return Err(ExitError::usage("the bytes of a blob are not for a terminal")
            .hint("write them into a file with --out FILE, or into a pipe"));
    }
    let query = [("wait", args.wait.to_string())];
    let client = Client::new(session, globals)?;
    let bytes = client.get_bytes(&format!("/blobs/{}", args.id), &query, Duration::from_secs(args.wait))?;
    if BlobId::of(&bytes) != args.id {
        return Err(ExitError::new(ExitCode::Unavailable, "what the node gave is not the blob of that id")
            .hint("try again; if it stays so, see what the node says with: akita logs"));
    }
    let Some(path) = &args.out else {
        session.out.write_all(&bytes)?;
        return Ok(session.out.flush()?);
    };
    let target = session.cwd.join(path);
    fs::write(&target, &bytes)
        .map_err(|error| ExitError::config(format!("cannot write {}: {error}", target.display())))?;
    session.note(&format!("saved {} bytes to {}", thousands(bytes.len() as u64), path.display()));
    Ok(())
}
