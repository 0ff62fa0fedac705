//! `akita store`: a node's data directory, while the node does not run.

mod check;

use clap::Subcommand;

use super::Globals;
use super::session::Session;
use crate::exit::ExitError;

/// Look after a node's data directory
#[derive(Debug, Subcommand)]
pub enum Store {
    Check(check::Check),
}

pub fn run(session: &mut Session<'_>, globals: &Globals, verb: &Store) -> Result<(), ExitError> {
    match verb {
        Store::Check(args) => check::run(session, globals, args),
    }
}
