//! Blobs between nodes: whom this one asks, and what it gives to others. It keeps nothing.

use akita_core::{
    NodeId,
    wire::{BlobPiece, GetBlob, Message, Refusal},
};

use super::Cluster;
use crate::blobs::{BlobId, Neighbours, Reply};

/// Bytes of one piece at most, whatever is asked for.
const MAX_PIECE: u32 = 256 << 10;

impl Cluster {
    /// Answers [`GetBlob`] from what lies here; it asks nobody else.
    pub(super) async fn blob(&self, get: GetBlob) -> Vec<u8> {
        let max = get.max.min(MAX_PIECE) as usize;
        match self.0.blobs.read(BlobId(get.id), get.offset, max).await {
            Ok(Some((size, bytes))) => BlobPiece { size: Some(size), bytes }.encode(),
            Ok(None) => BlobPiece { size: None, bytes: Vec::new() }.encode(),
            Err(fault) => self.refuse(Refusal::Internal, &fault.to_string()),
        }
    }
}

impl Neighbours for Cluster {
    fn members(&self) -> Vec<NodeId> {
        let standing = self.standing();
        let known = self.known();
        let viewed = known.view.iter().flat_map(|view| &view.nodes).filter(|node| node.online).map(|node| node.node);
        let met = known.peers.iter().filter(|(_, peer)| {
            let same = peer.standing.is_some_and(|theirs| theirs.cluster == standing.cluster);
            peer.admitted && same && !peer.is_refused()
        });
        let mut all: Vec<NodeId> =
            std::iter::once(standing.leader).chain(viewed).chain(met.map(|(id, _)| *id)).collect();
        drop(known);
        all.sort();
        all.dedup();
        all.retain(|node| *node != self.0.me);
        // The nearest first, and the leader before others as near: it knows most of them.
        all.sort_by_key(|node| (self.rtt_ms(*node), *node != standing.leader));
        all
    }

    fn rtt_ms(&self, node: NodeId) -> u32 {
        Cluster::rtt_ms(self, node)
    }

    fn get_blob(&self, node: NodeId, get: GetBlob) -> Reply<'_> {
        Box::pin(async move {
            let wait = self.patience_for(node, u64::from(get.max));
            let answer = self.call::<BlobPiece>(node, &get, wait).await;
            answer.inspect_err(|error| tracing::debug!(%node, %error, "a node says nothing about a blob")).ok()
        })
    }
}
