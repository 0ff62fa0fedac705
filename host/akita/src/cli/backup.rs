//! `akita backup`: a node's data in one file, while it runs or not.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::place::Place;
use super::render::{counted, size};
use super::session::Session;
use super::{Globals, Output};
use crate::exit::ExitError;
use crate::upkeep;

/// Back up a node's database and blobs into one file, also while it runs
#[derive(Debug, Args)]
#[command(after_help = "Works on the data folder of a node of this machine. The file is a tar archive under zstd \
with a manifest of hashes, readable by you alone, and appears when it is whole and was checked. Plugins and \
settings are not in it, nor the identity unless you ask for it: with the identity, whoever has the file can be \
the node.

Examples:
  akita backup /backups/ridge-1.tar.zst
  akita backup node.tar.zst --with-identity --data-dir /var/lib/akita")]
pub struct Backup {
    /// The file to write, such as node.tar.zst
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Put the node's keys into it too: keep it as safe as they are
    #[arg(long)]
    with_identity: bool,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    place: Place,
}

pub fn run(session: &mut Session<'_>, globals: &Globals, args: &Backup) -> Result<(), ExitError> {
    let settings = args.place.settings(session, globals)?;
    let file = session.cwd.join(&args.file);
    let done = upkeep::backup(&settings, &file, args.with_identity, args.force)?;
    for id in &done.left_out {
        session.note(&format!("note: blob {id} is not in it: it was removed meanwhile, or its file was changed"));
    }
    if globals.output == Output::Json {
        let root = blake3::Hash::from_bytes(done.summary.root).to_hex().to_string();
        let found = json!({
            "file": file, "bytes": done.bytes, "files": done.files, "ledger_rows": done.summary.rows, "ledger_root": root,
            "unfinished_tasks": done.summary.unfinished, "identity": done.identity, "left_out": done.left_out,
        });
        return session.show_json(&found.to_string());
    }
    let running = if done.running { "a running node" } else { "a stopped node" };
    let identity = if done.identity { "with its identity" } else { "without its identity" };
    session.print(&format!(
        "{} of {running} in {}, {identity}: {} of the ledger, {} not ended, {}\n",
        size(done.bytes),
        args.file.display(),
        counted(done.summary.rows, "row"),
        counted(done.summary.unfinished, "task"),
        counted(done.files as u64, "file"),
    ))
}
