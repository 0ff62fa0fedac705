//! A node's data directory as a whole, while no node need run on it: looking through it, copying it into an archive, and
//! putting an archive back. It asks no node and decides nothing about tasks but which of them a copy still holds.

mod archive;
mod backup;
mod check;
mod fault;
mod restore;

pub use archive::{Entry, Manifest};
pub use backup::{BackedUp, backup};
pub use check::check;
pub use fault::UpkeepError;
pub use restore::{Restored, restore};

use akita_mesh::Identity;

use crate::{cluster::node_of, config::Settings, store::LedgerKey};

/// The key of the node whose settings these are, where it has one already.
fn key_of(settings: &Settings) -> Result<Option<(Identity, LedgerKey)>, String> {
    if !settings.identity_path.is_file() {
        return Ok(None);
    }
    let identity = Identity::load_or_create(&settings.identity_path).map_err(|error| error.to_string())?;
    let key = LedgerKey { node: node_of(identity.id()), public_key: identity.public_key() };
    Ok(Some((identity, key)))
}
