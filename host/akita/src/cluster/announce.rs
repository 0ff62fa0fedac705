//! Announces: who is heard, and who calls whom because of it. They never carry liveness.

use std::time::Duration;

use akita_core::{
    NodeId,
    membership::{Announcement, Stand, Verdict, decide},
};

use super::Cluster;

/// Time that the node which is to join has to call by itself, should it not have heard this one; then it is called.
const COURTESY: Duration = Duration::from_secs(2);

/// Nodes that are met at once at most: each costs a task that may wait a minute, and identities cost nothing.
const MAX_JOINING: usize = 256;

impl Cluster {
    pub(super) fn heard(&self, node: NodeId, app_data: &[u8], hops: u8) {
        let Ok(announcement) = Announcement::decode(app_data) else {
            tracing::debug!(%node, "an announce that is not of this protocol");
            return;
        };
        if announcement.tag != self.0.tag {
            return;
        }
        let refused = {
            let mut known = self.known();
            let peer = known.peer(node);
            peer.name = announcement.name;
            peer.hops = Some(hops);
            peer.standing = Some(announcement.standing);
            peer.established = announcement.established;
            peer.is_refused()
        };
        let theirs = Stand { standing: announcement.standing, established: announcement.established };
        if refused {
            return;
        }
        match decide(self.0.me, self.stand_now(), node, theirs) {
            // The voters elect; who is not elected is not followed, except to be heard again.
            Verdict::Join if self.knows_leader() => {}
            Verdict::Join => self.spawn_meet(node, Duration::ZERO),
            Verdict::Welcome => self.spawn_meet(node, COURTESY),
            Verdict::Nothing => {}
            // Only words over a link say who somebody is.
            Verdict::Apart => self.spawn_meet(node, COURTESY),
        }
    }

    /// Meets a node after `delay`, unless it has come by itself until then.
    pub(super) fn spawn_meet(&self, node: NodeId, delay: Duration) {
        {
            let mut known = self.known();
            // One that is not met now is met at its next announce.
            if known.joining.len() >= MAX_JOINING || !known.joining.insert(node) {
                return;
            }
        }
        let cluster = self.clone();
        self.0.tasks.spawn(async move {
            tokio::select! {
                () = cluster.0.stop.cancelled() => {}
                () = async {
                    tokio::time::sleep(delay).await;
                    let settled = delay > Duration::ZERO && cluster.is_member(node);
                    if !settled && let Err(error) = cluster.meet(node).await {
                        tracing::info!(%node, %error, "no contact");
                    }
                } => {}
            }
            cluster.known().joining.remove(&node);
        });
    }

    fn is_member(&self, node: NodeId) -> bool {
        self.known().peers.get(&node).is_some_and(|peer| peer.member.as_ref().is_some_and(|member| member.online))
    }
}
