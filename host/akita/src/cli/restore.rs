//! `akita restore`: a backup back into a data folder, after it was checked.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::place::Place;
use super::render::{counted, tame};
use super::session::Session;
use super::{Globals, Output};
use crate::exit::ExitError;
use crate::upkeep;

/// Put a backup back into a data folder
#[derive(Debug, Args)]
#[command(after_help = "Every file is checked against the manifest, and the database as `store check` does, \
before anything is put in its place. What was in that place is kept in a folder before-restore-TIME.

A backup is a moment that has passed. The node comes back in a cluster of its own, which joins others as usual, \
and lets go of the tasks that had not ended then: whoever has them since may have run them. If the whole cluster \
is lost, and this is all there is, use --run-tasks.

Examples:
  akita restore /backups/ridge-1.tar.zst --data-dir /var/lib/akita
  akita restore node.tar.zst --force --run-tasks")]
pub struct Restore {
    /// A file that `akita backup` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Also into a folder that is not empty; what is replaced is kept
    #[arg(long)]
    force: bool,
    /// Run the tasks that had not ended when the backup was made: no other node has them any more
    #[arg(long)]
    run_tasks: bool,
    #[command(flatten)]
    place: Place,
}

pub fn run(session: &mut Session<'_>, globals: &Globals, args: &Restore) -> Result<(), ExitError> {
    let settings = args.place.settings(session, globals)?;
    let file = session.cwd.join(&args.file);
    let done = upkeep::restore(&settings, &file, args.force, args.run_tasks)?;
    let manifest = &done.manifest;
    if globals.output == Output::Json {
        let found = json!({
            "data_dir": settings.data_dir, "created": manifest.created, "node_id": manifest.node_id,
            "same_node": done.same_node, "ledger_rows": manifest.ledger_rows, "files": manifest.files.len(),
            "tasks_let_go": done.let_go, "kept_in": done.kept_in,
        });
        return session.show_json(&found.to_string());
    }
    let (name, rows) = (tame(&manifest.node_name), counted(manifest.ledger_rows, "row"));
    let files = counted(manifest.files.len() as u64, "file");
    let mut text = format!(
        "restored the backup of {name} of {} into {}: {files}, {rows} of the ledger\n",
        tame(&manifest.created),
        settings.data_dir.display()
    );
    text.push_str(match done.same_node {
        true => "the node comes back as itself: never start the old copy of it as well\n",
        false => "its identity is not there: it comes back as another node, and signs the ledger anew\n",
    });
    if done.let_go > 0 {
        let tasks = counted(done.let_go, "task");
        text.push_str(&format!("{tasks} that had not ended will not run here; with --run-tasks they would\n"));
    }
    if let Some(kept) = &done.kept_in {
        text.push_str(&format!("what was there before is in {}\n", kept.display()));
    }
    session.print(&text)
}
