//! `akita cluster`: the cluster as the asked node sees it.

mod status;

use clap::Subcommand;

use super::Globals;
use super::session::Session;
use crate::exit::ExitError;

/// Look at the cluster
#[derive(Debug, Subcommand)]
pub enum Cluster {
    Status(status::Status),
}

pub fn run(session: &mut Session<'_>, globals: &Globals, verb: &Cluster) -> Result<(), ExitError> {
    match verb {
        Cluster::Status(args) => status::run(session, globals, args),
    }
}
