//! The other nodes as this one sees them, and small messages to the same plugin there. To be granted: `interfaces =
//! ["mesh"]`.
//!
//! ```
//! use akita_plugin::mesh;
//!
//! let here = mesh::this_node();
//! mesh::send(&here.id, b"to myself")?;
//! assert_eq!(mesh::receive(1_000).unwrap().body, b"to myself");
//! # Ok::<(), mesh::Error>(())
//! ```

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use serde_core::Serialize;
use serde_core::de::DeserializeOwned;

pub use crate::contract::akita::plugin::mesh::{MeshError as Error, Message, Node, Peer};
use crate::{TaskError, host, json};

/// Bytes that a message may have.
pub const MAX_MESSAGE_BYTES: usize = 1_024;

/// This node.
#[must_use]
pub fn this_node() -> Node {
    host::mesh::this_node()
}

/// The other nodes of the cluster, by their ids; 256 at most.
#[must_use]
pub fn peers() -> Vec<Peer> {
    host::mesh::peers()
}

/// The other nodes that have a capability.
#[must_use]
pub fn peers_with(capability: &str) -> Vec<Peer> {
    peers().into_iter().filter(|peer| peer.capabilities.iter().any(|has| has == capability)).collect()
}

/// Puts a message into the box of the same plugin on another node, or on this one. It is there then, and lost when that
/// node stops before it is read.
pub fn send(node: &str, body: &[u8]) -> Result<(), Error> {
    host::mesh::send(node, body)
}

/// [`send`] of a value as JSON.
pub fn send_json<T: Serialize + ?Sized>(node: &str, value: &T) -> Result<(), TaskError> {
    let text = json::to_string(value).map_err(|error| TaskError::permanent(error.to_string()).code("bad-message"))?;
    Ok(send(node, text.as_bytes())?)
}

/// Takes the oldest message out of this plugin's box on this node, waiting for one for up to `wait_ms`. Each message goes
/// to one run.
#[must_use]
pub fn receive(wait_ms: u32) -> Option<Message> {
    host::mesh::receive(wait_ms)
}

impl Message {
    /// The body, from JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, TaskError> {
        json::from_slice(&self.body).map_err(|error| {
            let message =
                format!("a message of {} is not what this version of the plugin expects: {error}", self.sender);
            TaskError::permanent(message).code("bad-message")
        })
    }
}

/// A full box and a silent node may be better later; the rest is for good.
impl From<Error> for TaskError {
    fn from(error: Error) -> Self {
        match error {
            Error::UnknownNode => Self::permanent("no node of that identity is in the cluster").code("unknown-node"),
            Error::NoPlugin => {
                let message = "the other node does not have this plugin, or does not grant it `mesh`";
                Self::permanent(message).code("no-plugin")
            }
            Error::TooLarge(limit) => {
                Self::permanent(format!("a message has at most {limit} bytes")).code("message-too-large")
            }
            Error::Full => Self::retryable("the plugin's box on the other node is full").code("box-full"),
            Error::Unavailable(why) => Self::retryable(format!("no message goes out now: {why}")).code("unavailable"),
        }
    }
}
