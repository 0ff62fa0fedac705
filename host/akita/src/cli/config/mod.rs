//! `akita config`: the settings that a start would have.

mod show;

use clap::Subcommand;

use super::Globals;
use super::session::Session;
use crate::exit::ExitError;

/// See the settings
#[derive(Debug, Subcommand)]
pub enum Config {
    Show(Box<show::Show>),
}

pub fn run(session: &mut Session<'_>, globals: &Globals, verb: &Config) -> Result<(), ExitError> {
    match verb {
        Config::Show(args) => show::run(session, globals, args),
    }
}
