//! `akita ledger`: what happened, and the proof that nothing of it was changed.

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
}

pub fn run(session: &mut Session<'_>, globals: &Globals, verb: &Ledger) -> Result<(), ExitError> {
    match verb {
        Ledger::View(args) => view::run(session, globals, args),
        Ledger::Verify(args) => verify::run(session, globals, args),
    }
}
