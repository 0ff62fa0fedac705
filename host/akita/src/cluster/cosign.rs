//! Several signatures under the leader's checkpoints: the leader asks the other voters, and a voter signs what its own
//! ledger says too. One that finds other rows, or a false signature, signs nothing and raises an alarm.

use std::time::{Duration, Instant};

use akita_core::{
    EventType, NodeId,
    autopilot::Profile,
    wire::{Cosign, Cosigned, Message, Refusal},
};
use futures_util::future::join_all;

use super::{Cluster, peer_of};
use crate::{
    proof::Head,
    store::{CheckpointRecord, Cosigning, LedgerKey},
};

/// How often the leader has its newest checkpoint signed: as often as one is made.
const COSIGN_EVERY: Duration = Duration::from_secs(60);
/// The same between voters that are patient: some 400 bytes a voter and hour, Reticulum's own included.
const SLOW_COSIGN_EVERY: Duration = Duration::from_secs(3_600);
/// Pause before a voter is asked again that has not so many rows yet.
const BEHIND_PAUSE: Duration = Duration::from_millis(100);
/// Longest time for one round: after that those that did not sign are asked in the next one.
const ROUND: Duration = Duration::from_secs(30);
/// For how long a contradiction is shown in the status, and no other row is written about the same node.
const CONTRADICTION_SHOWN: Duration = Duration::from_secs(3_600);
/// Contradictions that are remembered: more than there are voters.
const MAX_CONTRADICTIONS: usize = 32;

/// A node whose word about the ledger is not this one's.
#[derive(Debug, Clone)]
pub struct Contradiction {
    /// The other node.
    pub node: NodeId,
    /// What it said, for people.
    pub detail: String,
    pub(super) at: Instant,
}

/// The leader's side.
impl Cluster {
    /// Has checkpoints signed by the other voters for as long as this node leads several.
    pub(super) async fn gather_signatures(&self) {
        loop {
            let slow = self.role().profile == Some(Profile::Slow);
            let pause = if slow { SLOW_COSIGN_EVERY } else { COSIGN_EVERY };
            tokio::select! {
                () = self.0.stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            self.cosign_newest(ROUND).await;
        }
    }

    /// Has the newest checkpoint signed by those voters that did not, for at most `wait`.
    pub async fn cosign_newest(&self, wait: Duration) {
        let voters = self.voters();
        if !self.leads() || voters.is_empty() {
            return;
        }
        let _one = self.0.cosigning.lock().await;
        let Ok(Some(newest)) = self.0.store.checkpoints(1).await.map(|found| found.into_iter().next()) else { return };
        let Ok(head) = Head::read(&newest.note) else { return };
        let signed = head.signers();
        let missing = voters.into_iter().filter(|node| *node != self.0.me && !signed.contains(node));
        let asked = join_all(missing.map(|node| self.ask_signature(node, &newest)));
        let _ = tokio::time::timeout(wait, asked).await;
    }

    /// Has one voter sign, and keeps its signature.
    async fn ask_signature(&self, node: NodeId, newest: &CheckpointRecord) {
        let own = self.0.store.ledger_key();
        let signature = Head::read(&newest.note).ok().and_then(|head| head.signature_of(&own));
        let (Some(key), Some(signature)) = (self.key_of(node), signature) else { return };
        let asked = Cosign { size: newest.size, root: newest.root, signature };
        loop {
            match self.call::<Cosigned>(node, &asked, self.patience(node)).await {
                Ok(Cosigned { signature: Some(signature), .. }) => {
                    let kept = self.0.store.add_signature(newest.size, key, signature).await;
                    if !kept.unwrap_or(false) {
                        tracing::warn!(voter = %node, size = newest.size, "a voter's signature is not kept");
                    }
                    return;
                }
                Ok(Cosigned { differs: true, .. }) => {
                    let detail =
                        format!("voter {node} does not sign this leader's checkpoint over {} rows", newest.size);
                    self.contradicted(node, detail);
                    return;
                }
                Ok(_) => tokio::time::sleep(BEHIND_PAUSE).await,
                Err(error) => {
                    tracing::debug!(voter = %node, %error, "a voter did not sign a checkpoint");
                    return;
                }
            }
        }
    }
}

/// The voter's side.
impl Cluster {
    /// Answers [`Cosign`].
    pub(super) async fn cosigned(&self, node: NodeId, asked: Cosign) -> Vec<u8> {
        let votes = self.role().voters.iter().any(|(_, voter)| *voter == node);
        if !votes || self.standing().leader != node {
            return self.refuse(Refusal::NotLeader, "only the checkpoints of the leader are signed");
        }
        let Some(key) = self.key_of(node) else {
            return self.refuse(Refusal::Internal, "the leader's key is not known here yet");
        };
        let size = asked.size;
        let why = match self.0.store.cosign(key, asked).await {
            Err(error) => return self.refuse(Refusal::Internal, &error.to_string()),
            Ok(Cosigning::Signed(signature)) => {
                return Cosigned { signature: Some(signature.to_vec()), differs: false }.encode();
            }
            Ok(Cosigning::Behind) => return Cosigned { signature: None, differs: false }.encode(),
            Ok(Cosigning::Differs) => "its rows are not those of this voter's ledger",
            Ok(Cosigning::Forged) => "it does not carry the leader's signature",
        };
        let detail = format!("a checkpoint over {size} rows that leader {node} sent is refused: {why}");
        if self.contradicted(node, detail.clone()) {
            let details = vec![("reason".into(), detail), ("voter".into(), self.0.me.to_string())];
            self.record(EventType::SecurityAlert, node, details).await;
        }
        Cosigned { signature: None, differs: true }.encode()
    }
}

/// Both.
impl Cluster {
    /// A node's key, if this one has heard it.
    pub fn key_of(&self, node: NodeId) -> Option<LedgerKey> {
        if node == self.0.me {
            return Some(self.0.store.ledger_key());
        }
        self.0.mesh.peer_public_key(peer_of(node)).map(|public_key| LedgerKey { node, public_key })
    }

    /// Nodes that vote; this one alone where there is but one voter.
    pub fn all_voters(&self) -> Vec<NodeId> {
        let voters = self.voters();
        if voters.is_empty() { vec![self.0.me] } else { voters }
    }

    /// Remembers that two nodes do not agree on the ledger. True when it is news.
    fn contradicted(&self, node: NodeId, detail: String) -> bool {
        tracing::error!(%node, detail, "two voters have different ledgers");
        let mut known = self.known();
        let all = &mut known.contradictions;
        all.retain(|one| one.at.elapsed() < CONTRADICTION_SHOWN);
        let new = all.len() < MAX_CONTRADICTIONS && all.iter().all(|one| one.node != node);
        if new {
            all.push(Contradiction { node, detail, at: Instant::now() });
        }
        new
    }

    /// Nodes whose word about the ledger was not this one's, lately.
    pub fn contradictions(&self) -> Vec<Contradiction> {
        let mut known = self.known();
        known.contradictions.retain(|one| one.at.elapsed() < CONTRADICTION_SHOWN);
        known.contradictions.clone()
    }
}
