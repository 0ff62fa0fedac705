//! `akita cluster`: the cluster as the asked node sees it, and who holds its log.

mod key;
mod members;
mod merge;
mod status;

use clap::Subcommand;

use super::Globals;
use super::session::Session;
use crate::exit::ExitError;

/// Look at the cluster, and at who votes in it
#[derive(Debug, Subcommand)]
pub enum Cluster {
    Status(status::Status),
    Members(members::Members),
    Promote(members::Promote),
    Demote(members::Demote),
    Remove(members::Remove),
    Admit(members::Admit),
    TransferLeadership(members::TransferLeadership),
    Leave(members::Leave),
    ForceNew(members::ForceNew),
    Merge(merge::Merge),
    #[command(subcommand)]
    Key(key::Key),
}

pub fn run(session: &mut Session<'_>, globals: &Globals, verb: &Cluster) -> Result<(), ExitError> {
    match verb {
        Cluster::Status(args) => status::run(session, globals, args),
        Cluster::Members(args) => members::members(session, globals, args),
        Cluster::Promote(args) => members::promote(session, globals, args),
        Cluster::Demote(args) => members::demote(session, globals, args),
        Cluster::Remove(args) => members::remove(session, globals, args),
        Cluster::Admit(args) => members::admit(session, globals, args),
        Cluster::TransferLeadership(args) => members::transfer(session, globals, args),
        Cluster::Leave(args) => members::leave(session, globals, args),
        Cluster::Merge(args) => merge::run(session, globals, args),
        Cluster::Key(verb) => key::run(session, globals, verb),
        Cluster::ForceNew(args) => members::force_new(session, globals, args),
    }
}
