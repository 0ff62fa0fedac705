//! Opaque bytes between authenticated peers over Reticulum.
//!
//! Owns the node's identity, its interfaces, announces, links and calls. Knows nothing of what the bytes mean, and is
//! the only crate that names a Reticulum library.
//!
//! Every pair of peers keeps one link, opened by whoever calls first and used by both. The one who opened it knows the
//! other from the destination it asked for; the other learns who called from a signature over the link (identify), and
//! serves nothing before that.

mod announce;
mod call;
mod dedupe;
pub mod ed25519;
mod engine;
mod frame;
mod identity;
mod interfaces;
mod link;
pub mod memory;
mod mesh;
mod node;
mod peer;
mod timing;

pub use call::CallError;
pub use identity::{Identity, IdentityError, peer_of, verify};
pub use interfaces::{Interfaces, InterfacesError};
pub use mesh::{Event, Mesh, MeshConfig, MeshError, Request, Tuning, WireBytes};
pub use peer::{ParsePeerIdError, PeerId, PeerInfo};

/// Largest body of a request or an answer, in bytes.
///
/// Large enough for a photograph or a model; small enough that a few in memory at once do not trouble a small board.
pub const MAX_BODY: usize = 8 * 1024 * 1024;

/// Largest payload of an announce, in bytes: what an announce packet has left when it carries a ratchet key.
pub const MAX_ANNOUNCE: usize = 300;
