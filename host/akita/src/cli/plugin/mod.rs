//! `akita plugin`: what a node can run, and what a file would bring.

mod inspect;
mod list;
mod switch;

use clap::Subcommand;

use super::Globals;
use super::session::Session;
use crate::exit::ExitError;

/// See what plugins offer, and set them aside
#[derive(Debug, Subcommand)]
pub enum Plugin {
    List(list::List),
    Inspect(inspect::Inspect),
    Enable(switch::Enable),
    Disable(switch::Disable),
}

pub fn run(session: &mut Session<'_>, globals: &Globals, verb: &Plugin) -> Result<(), ExitError> {
    match verb {
        Plugin::List(args) => list::run(session, globals, args),
        Plugin::Inspect(args) => inspect::run(session, globals, args),
        Plugin::Enable(args) => switch::enable(session, globals, args),
        Plugin::Disable(args) => switch::disable(session, globals, args),
    }
}
