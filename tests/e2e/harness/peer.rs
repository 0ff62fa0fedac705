//! A peer of the mesh that is no node, connected to one: what it says is up to the test.

use std::time::Duration;

use akita_core::NodeId;
use akita_mesh::{Event, Identity, Interfaces, Mesh, MeshConfig, PeerId, Tuning};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{PATIENCE, TestNode};

/// The raw peer.
pub struct RawPeer {
    runtime: Runtime,
    mesh: Mesh,
    /// Its own.
    pub identity: Identity,
    /// The node that it is connected to.
    pub node: PeerId,
    _dir: TempDir,
}

impl RawPeer {
    /// Returns when it has heard the node, which listens at `address`.
    pub fn meets(node: &TestNode, address: &str) -> RawPeer {
        let runtime = Runtime::new().expect("a runtime");
        let dir = tempfile::tempdir().expect("a folder");
        let identity = Identity::load_or_create(&dir.path().join("identity")).expect("an identity");
        let config = MeshConfig {
            identity: identity.clone(),
            interfaces: Interfaces::Direct { listen: Vec::new(), peers: vec![address.to_owned()] },
            state_dir: dir.path().join("state"),
            announce_interval: Duration::from_secs(60),
            tuning: Tuning::default(),
        };
        let peer: PeerId = node.id().parse().expect("an id");
        let (mesh, mut events) = runtime.block_on(Mesh::start(config)).expect("the mesh starts");
        runtime.block_on(async {
            let heard = async {
                while let Some(event) = events.recv().await {
                    if matches!(event, Event::Announced { peer: heard, .. } if heard == peer) {
                        return;
                    }
                }
            };
            tokio::time::timeout(PATIENCE, heard).await.expect("the node announces itself");
        });
        RawPeer { runtime, mesh, identity, node: peer, _dir: dir }
    }

    /// Its id.
    pub fn id(&self) -> NodeId {
        NodeId(self.mesh.id().0)
    }

    /// The node's answer to these bytes.
    pub fn call(&self, body: Vec<u8>) -> Vec<u8> {
        self.runtime.block_on(self.mesh.call(self.node, body, PATIENCE)).expect("the node answers")
    }
}
