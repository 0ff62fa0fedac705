//! The leader's side: what ended in an island is looked at, committed and only then said to be taken. An end counts only
//! from the node that took the task, under its own signature.

use akita_core::{
    Command, NodeId,
    wire::{Import, Imported, Message, Refusal},
};

use super::super::{Cluster, internal, node_of};
use crate::{
    proof::read_entry,
    store::{IslandSigned, LedgerKey},
    view::NodeError,
};

impl Cluster {
    /// Answers [`Import`].
    pub(in crate::cluster) async fn imported(&self, node: NodeId, import: Import) -> Vec<u8> {
        if !self.leads() {
            return self.refuse(Refusal::NotLeader, "this node does not lead");
        }
        if self.is_banned(node) {
            return self.refuse(Refusal::Removed, &format!("{node} was removed from the cluster"));
        }
        match self.take_ends(node, import).await {
            Ok(refused) => Imported { refused }.encode(),
            Err(error) => self.refuse(Refusal::Internal, &error.to_string()),
        }
    }

    /// Commits the ends that `node` has signed; answers which are none, and why.
    pub(super) async fn take_ends(&self, node: NodeId, import: Import) -> Result<Vec<(u32, String)>, NodeError> {
        let key = LedgerKey { node, public_key: import.key };
        let theirs = akita_mesh::peer_of(&key.public_key).is_some_and(|peer| node_of(peer) == node);
        let (mut refused, mut commands, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        for (at, one) in (0..).zip(import.entries) {
            let signed = IslandSigned { entry: one.entry, signature: one.signature };
            let read = if theirs { read_entry(&signed, &key) } else { Err(not_its_key(node)) };
            match read {
                Ok(entry) => {
                    ids.push(entry.task);
                    commands.push(Command::Import(Box::new(entry.into_result(&signed.entry))));
                }
                Err(fault) => refused.push((at, fault.to_string())),
            }
        }
        if let Some((_, why)) = refused.first() {
            let name = self.name_of(node);
            let what = format!("it brought {} results of an island that are not taken: {why}", refused.len());
            self.alert(node, &name, &what).await;
        }
        if commands.is_empty() {
            return Ok(refused);
        }
        self.0.driver.commit(commands).await.map_err(|_| unavailable())?;
        // A log that gave way in that very moment has not taken them.
        for id in ids {
            let known = self.0.store.task_meta(id).await.map_err(internal)?;
            if !known.is_some_and(|meta| meta.task.status.is_end()) {
                return Err(unavailable());
            }
        }
        Ok(refused)
    }
}

fn not_its_key(node: NodeId) -> crate::proof::Fault {
    crate::proof::Fault(format!("the key that comes with it is not that of {node}"))
}

fn unavailable() -> NodeError {
    NodeError::Unavailable {
        detail: "nothing can be committed here now".into(),
        hint: "`akita cluster status` shows who leads".into(),
    }
}
