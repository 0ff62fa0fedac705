//! Blobs as the node's users see them.

use std::time::Duration;

use super::{Node, convert};
use crate::{
    blobs::{BlobFault, BlobId, Owner},
    view::{BlobList, BlobPut, NodeError},
};

/// Between two questions to a node that did not answer the first.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

impl Node {
    /// Keeps bytes for the operator.
    ///
    /// # Errors
    /// They are too large, or there is no room.
    pub async fn put_blob(&self, bytes: Vec<u8>) -> Result<BlobPut, NodeError> {
        let size = bytes.len() as u64;
        let id = self.blobs.shelf().put(Owner::operator(), bytes).await;
        id.map(|id| BlobPut { id: id.to_string(), size }).map_err(|fault| error(fault, ""))
    }

    /// The size of a blob; fetched from other nodes within `wait`, if there is any. Those that do not answer are asked again.
    ///
    /// # Errors
    /// It is nowhere, or cannot be had now.
    pub async fn blob_size(&self, id: BlobId, wait: Duration) -> Result<u64, NodeError> {
        if let Some(size) = self.blobs.shelf().size(id).await.map_err(|fault| error(fault, ""))? {
            return Ok(size);
        }
        let name = id.to_string();
        if wait.is_zero() {
            return Err(error(BlobFault::NotFound, &name));
        }
        let mut last = String::new();
        let looking = async {
            loop {
                match self.blobs.size(id).await {
                    Err(BlobFault::Silent(why)) => last = format!(": {why}"),
                    other => return other,
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        match tokio::time::timeout(wait, looking).await {
            Ok(found) => found.map_err(|fault| error(fault, &name)),
            Err(_elapsed) => Err(NodeError::Unavailable {
                detail: format!("the blob {name} did not arrive within {} s{last}", wait.as_secs_f64()),
                hint: "ask again: what has arrived is kept".into(),
            }),
        }
    }

    /// At most `max` bytes of a blob that lies here.
    ///
    /// # Errors
    /// It lies here no longer, or cannot be read.
    pub async fn blob_piece(&self, id: BlobId, offset: u64, max: usize) -> Result<Vec<u8>, NodeError> {
        let found = self.blobs.read(id, offset, max).await;
        found.map(|(_, bytes)| bytes).map_err(|fault| error(fault, &id.to_string()))
    }

    /// This node's blobs, the last used first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn list_blobs(&self, limit: u32) -> Result<BlobList, NodeError> {
        let shelf = self.blobs.shelf();
        let (rows, used_bytes) = shelf.list(limit).await.map_err(|fault| error(fault, ""))?;
        let blobs = rows.into_iter().map(convert::blob).collect();
        Ok(BlobList { blobs, used_bytes, limit_bytes: shelf.limits().store_bytes })
    }

    /// Removes a blob from this node.
    ///
    /// # Errors
    /// It is not here, or cannot be removed.
    pub async fn remove_blob(&self, id: BlobId) -> Result<(), NodeError> {
        match self.blobs.shelf().remove(id).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(error(BlobFault::NotFound, &id.to_string())),
            Err(fault) => Err(error(fault, "")),
        }
    }
}

fn error(fault: BlobFault, id: &str) -> NodeError {
    let detail = fault.to_string();
    match fault {
        BlobFault::NotFound => NodeError::NoSuchBlob { id: id.to_owned() },
        BlobFault::TooLarge(limit) => NodeError::BlobTooLarge { limit },
        BlobFault::OverQuota(limit) | BlobFault::NoRoom(limit) => NodeError::NoRoom { limit },
        BlobFault::Silent(_) | BlobFault::Unavailable(_) => {
            NodeError::Unavailable { detail, hint: "try again in a while".into() }
        }
    }
}
