//! `akita task`: giving tasks to the cluster and seeing what became of them.

mod input;
mod list;
mod outcome;
mod status;
mod submit;
mod wait;
mod watch;

use clap::Subcommand;

use super::Globals;
use super::session::Session;
use crate::exit::ExitError;

/// Submit tasks and see what became of them
#[derive(Debug, Subcommand)]
pub enum Task {
    Submit(submit::Submit),
    Status(status::Status),
    Watch(watch::Watch),
    List(list::List),
}

pub fn run(session: &mut Session<'_>, globals: &Globals, verb: &Task) -> Result<(), ExitError> {
    match verb {
        Task::Submit(args) => submit::run(session, globals, args),
        Task::Status(args) => status::run(session, globals, args),
        Task::Watch(args) => watch::run(session, globals, args),
        Task::List(args) => list::run(session, globals, args),
    }
}
