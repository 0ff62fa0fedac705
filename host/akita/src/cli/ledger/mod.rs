//! `akita ledger`: what happened, and the proof that nothing of it was changed.

mod check;
mod export;
mod files;
mod head;
mod journal;
mod prove;
mod verify;
mod view;

use clap::Subcommand;

use super::Globals;
use super::session::Session;
use crate::exit::ExitError;

/// Read and verify the ledger of what happened
#[derive(Debug, Subcommand)]
pub enum Ledger {
    View(view::ViewRows),
    Verify(verify::Verify),
    Head(head::ShowHead),
    Prove(prove::Prove),
    Export(export::Export),
    Journal(journal::Journal),
}

pub fn run(session: &mut Session<'_>, globals: &Globals, verb: &Ledger) -> Result<(), ExitError> {
    match verb {
        Ledger::View(args) => view::run(session, globals, args),
        Ledger::Verify(args) => verify::run(session, globals, args),
        Ledger::Head(args) => head::run(session, globals, args),
        Ledger::Prove(args) => prove::run(session, globals, args),
        Ledger::Export(args) => export::run(session, globals, args),
        Ledger::Journal(args) => journal::run(session, globals, args),
    }
}

/// The query of a command that may ask for the node's own copy.
fn local(local: bool) -> Vec<(&'static str, String)> {
    local.then(|| ("local", "true".to_owned())).into_iter().collect()
}
