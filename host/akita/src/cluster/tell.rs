//! Messages from plugins to plugins of the same name on other nodes, and what a plugin is told of those. Only members of
//! the cluster are written to, and only admitted nodes are heard.

use std::{collections::BTreeMap, future::Future, pin::Pin};

use akita_core::{
    NodeId,
    wire::{Message, Refusal, Tell, Told, Took},
};
use akita_sandbox::{MAX_MESSAGE_BYTES, MeshError, MeshNode, MeshPeer};

use super::{Cluster, peer_of};
use crate::plugins::Carrier;

impl Cluster {
    /// Another node's plugin writes to the one here.
    pub(super) fn told(&self, node: NodeId, tell: Tell) -> Vec<u8> {
        if tell.body.len() > MAX_MESSAGE_BYTES {
            return self.refuse(Refusal::Malformed, &format!("a message has at most {MAX_MESSAGE_BYTES} B"));
        }
        Told::new(self.0.plugins.take_message(node, &tell.plugin, tell.body)).encode()
    }

    /// The other nodes of the cluster as far as this one knows them, with their names and capabilities.
    fn others(&self) -> BTreeMap<NodeId, (String, Vec<String>)> {
        let view = if self.leads() { Some(self.view()) } else { self.last_view() };
        let online = view.into_iter().flat_map(|view| view.nodes).filter(|node| node.online);
        let mut all: BTreeMap<_, _> = online.map(|node| (node.node, (node.name, node.capabilities))).collect();
        // Over a slow link the view is not fetched; the leader is known all the same.
        let leader = self.standing().leader;
        let name = || self.known().peers.get(&leader).map(|peer| peer.name.clone()).unwrap_or_default();
        all.entry(leader).or_insert_with(|| (name(), Vec::new()));
        all.remove(&self.0.me);
        all
    }

    async fn bring(&self, node: NodeId, tell: Tell) -> Result<(), MeshError> {
        if !self.others().contains_key(&node) {
            return Err(MeshError::UnknownNode);
        }
        let wait = self.patience_for(node, tell.body.len() as u64);
        let told: Told =
            self.call(node, &tell, wait).await.map_err(|error| MeshError::Unavailable(error.to_string()))?;
        match told.took() {
            Some(Took::Delivered) => Ok(()),
            Some(Took::NoPlugin) => Err(MeshError::NoPlugin),
            Some(Took::Full) => Err(MeshError::Full),
            None => Err(MeshError::Unavailable("the node gives an answer that this version does not know".into())),
        }
    }
}

impl Carrier for Cluster {
    fn me(&self) -> (NodeId, String) {
        (self.0.me, self.0.name.clone())
    }

    fn peers(&self) -> Vec<MeshPeer> {
        let peer = |(node, (name, capabilities)): (NodeId, (String, Vec<String>))| {
            let info = self.0.mesh.peer(peer_of(node));
            let rtt = info.as_ref().and_then(|info| info.rtt);
            MeshPeer {
                node: MeshNode { id: node.to_string(), name },
                hops: info.and_then(|info| info.hops),
                rtt_ms: rtt.map(|rtt| u32::try_from(rtt.as_millis()).unwrap_or(u32::MAX)),
                capabilities,
            }
        };
        self.others().into_iter().map(peer).collect()
    }

    fn tell(
        &self,
        node: NodeId,
        plugin: String,
        body: Vec<u8>,
    ) -> Pin<Box<dyn Future<Output = Result<(), MeshError>> + Send + '_>> {
        Box::pin(self.bring(node, Tell { plugin, body }))
    }
}
