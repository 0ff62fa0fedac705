//! `akita blob`: bytes that lie on the nodes under the hash of their content.

mod get;
mod list;
mod put;
mod remove;

use clap::Subcommand;

use super::Globals;
use super::session::Session;
use crate::blobs::BlobId;
use crate::exit::ExitError;

/// Keep bytes on a node, and get them from any node of the cluster
#[derive(Debug, Subcommand)]
pub enum Blob {
    Put(put::Put),
    Get(get::Get),
    List(list::List),
    Remove(remove::Remove),
}

pub fn run(session: &mut Session<'_>, globals: &Globals, verb: &Blob) -> Result<(), ExitError> {
    match verb {
        Blob::Put(args) => put::run(session, globals, args),
        Blob::Get(args) => get::run(session, globals, args),
        Blob::List(args) => list::run(session, globals, args),
        Blob::Remove(args) => remove::run(session, globals, args),
    }
}

/// A blob's id as it is given on the command line.
fn id(text: &str) -> Result<BlobId, String> {
    BlobId::parse(text)
        .ok_or_else(|| "a blob's id is 64 lower-case hexadecimal digits; see: akita blob list".to_owned())
}
