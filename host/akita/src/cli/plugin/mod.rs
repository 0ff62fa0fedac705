//! `akita plugin`: what a node can run, and what a file would bring.

mod inspect;
mod list;

use clap::Subcommand;

use super::Globals;
use super::session::Session;
use crate::exit::ExitError;

/// See what plugins offer
#[derive(Debug, Subcommand)]
pub enum Plugin {
    List(list::List),
    Inspect(inspect::Inspect),
}

pub fn run(session: &mut Session<'_>, globals: &Globals, verb: &Plugin) -> Result<(), ExitError> {
    match verb {
        Plugin::List(args) => list::run(session, globals, args),
        Plugin::Inspect(args) => inspect::run(session, globals, args),
    }
}
