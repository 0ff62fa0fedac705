//! First words between two nodes: same cluster name, same key, and then: who follows whom. The key itself never
//! crosses the wire; each side proves that it holds it, bound to both identities and to fresh nonces.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use akita_core::{
    EventType, NodeId,
    membership::{ClusterKey, Exchange, Side, Stand, Verdict, decide, is_name},
    wire::{Admitted, Hello, MAX_PROGRAM, Message, Prove, Refusal, Refused, Welcome, WireError},
};

use super::{CallFailed, Cluster, books::MAX_PENDING, serve::stranger};
use crate::program;

/// Silence towards a node that was refused or that refused this one: no contact beyond the refusal.
const REFUSED_FOR: Duration = Duration::from_secs(600);
/// A failed proof of one node is written to the ledger at most this often: rows are kept for ever.
const ALERT_EVERY: Duration = Duration::from_secs(60);

/// Bytes of one proof, and proofs that a welcome holds at most: of the present key and those before it.
const PROOF_LEN: usize = 32;
const MAX_PROOFS: usize = 1 + akita_core::keys::MAX_PREVIOUS;
/// What to do where two nodes hold different keys.
const IMPORT: &str = "if the key was changed while a node was away, bring it there: akita cluster key import";

impl Cluster {
    fn hello(&self, nonce: [u8; 16]) -> Hello {
        Hello {
            tag: self.0.tag,
            standing: self.standing(),
            name: self.0.name.clone(),
            incarnation: self.0.incarnation,
            protected: self.0.keys.is_set(),
            nonce,
            established: self.is_established(),
            program: program::version(),
        }
    }

    /// Greets a node: on success both have admitted each other. Answers where it stands.
    pub(super) async fn greet(&self, node: NodeId) -> Result<Stand, CallFailed> {
        let asked = Instant::now();
        let turn = Arc::clone(&self.known().peer(node).greeting);
        let _turn = turn.lock().await;
        if let Some(standing) = self.greeted_since(node, asked) {
            return Ok(standing);
        }
        let mine = self.hello(fresh_nonce());
        let result = self.greet_with(node, &mine).await;
        if let Err(CallFailed::Refused(refused)) = &result
            && matches!(refused.why, Refusal::BadProof | Refusal::OtherCluster | Refusal::Removed)
        {
            tracing::warn!(%node, reason = refused.detail, "refused; this node is left alone for ten minutes");
            self.known().peer(node).refused_until = Some(Instant::now() + REFUSED_FOR);
        }
        result
    }

    async fn greet_with(&self, node: NodeId, mine: &Hello) -> Result<Stand, CallFailed> {
        let wait = self.patience(node).max(Duration::from_secs(60));
        let welcome: Welcome = match self.call_raw(node, mine.encode(), wait).await {
            Err(CallFailed::Refused(refused)) if refused.why == Refusal::BadProof && self.0.keys.is_set() => {
                let name = self.known().peer(node).name.clone();
                self.alert(node, &name, "it has no cluster key to prove").await;
                return Err(CallFailed::Refused(refused));
            }
            other => other?,
        };
        if welcome.hello.tag != self.0.tag {
            return Err(CallFailed::Refused(other_cluster()));
        }
        if !is_name(&welcome.hello.name) {
            return Err(WireError::Parse("the node's name is none".into()).into());
        }
        let mut theirs = welcome.hello.standing;
        let keys = self.0.keys.accepted(crate::driver::now());
        if !keys.is_empty() {
            let exchange = Exchange { caller: self.0.me, hello: mine, called: node, called_nonce: welcome.hello.nonce };
            let given = welcome.proof.unwrap_or_default();
            // While the key changes, one end may hold two: the first that both hold is proved.
            let shared = |key: &&ClusterKey| {
                given.chunks_exact(PROOF_LEN).take(MAX_PROOFS).any(|proof| key.verify(Side::Called, exchange, proof))
            };
            let shared = keys.iter().find(shared);
            let proved = shared.is_some();
            // An empty proof says: yours is wrong. The other side then writes its own row.
            let proof = shared.map_or(Vec::new(), |key| key.prove(Side::Caller, exchange).to_vec());
            let admitted = self.call_raw::<Admitted>(node, Prove { proof }.encode(), wait).await;
            if !proved {
                self.alert(node, &welcome.hello.name, "it could not prove that it holds the cluster key").await;
                self.note_key_refused(node);
                return Err(CallFailed::Refused(bad_proof(&format!(
                    "the other node does not hold this cluster's key; {IMPORT}"
                ))));
            }
            if matches!(&admitted, Err(CallFailed::Refused(refused)) if refused.why == Refusal::BadProof) {
                self.note_key_refused(node);
            }
            theirs = admitted?.standing;
        }
        self.admit(node, &welcome.hello);
        let mut known = self.known();
        let peer = known.peer(node);
        (peer.standing, peer.greeted) = (Some(theirs), Some(Instant::now()));
        Ok(Stand { standing: theirs, established: welcome.hello.established })
    }

    /// Somebody else on this node greeted it while we waited for our turn.
    fn greeted_since(&self, node: NodeId, asked: Instant) -> Option<Stand> {
        let known = self.known();
        let peer = known.peers.get(&node).filter(|peer| peer.greeted.is_some_and(|greeted| greeted > asked))?;
        peer.standing.map(|standing| Stand { standing, established: peer.established })
    }

    /// Answers [`Hello`].
    pub(super) async fn welcome(&self, node: NodeId, theirs: Hello) -> Vec<u8> {
        if theirs.tag != self.0.tag {
            return other_cluster().encode();
        }
        if !is_name(&theirs.name) {
            return Refused {
                why: Refusal::Malformed,
                detail: "that is no name of a node".into(),
                standing: None,
                misfit: None,
            }
            .encode();
        }
        if self.is_banned(node) {
            return removed().encode();
        }
        if theirs.protected != self.0.keys.is_set() {
            let detail = if theirs.protected {
                "this cluster has no key and cannot prove one"
            } else {
                self.alert(node, &theirs.name, "it came without the cluster key").await;
                "this cluster asks for a key: start the node with --cluster-key-file"
            };
            return bad_proof(detail).encode();
        }
        let mine = self.hello(fresh_nonce());
        let keys = self.0.keys.accepted(crate::driver::now());
        let exchange = Exchange { caller: node, hello: &theirs, called: self.0.me, called_nonce: mine.nonce };
        // One after the other, the present key's first: the caller may not have that one yet.
        let proofs: Vec<u8> = keys.iter().flat_map(|key| key.prove(Side::Called, exchange)).collect();
        let proof = (!keys.is_empty()).then_some(proofs);
        if proof.is_some() {
            let mut known = self.known();
            let pending = &mut known.peer(node).pending;
            pending.truncate(MAX_PENDING - 1);
            pending.push_front((theirs, mine.nonce));
        } else {
            self.admit(node, &theirs);
            self.consider(node, Stand { standing: theirs.standing, established: theirs.established });
        }
        Welcome { hello: mine, proof }.encode()
    }

    /// Answers [`Prove`].
    pub(super) async fn proved(&self, node: NodeId, proof: &[u8]) -> Vec<u8> {
        let mut pending = std::mem::take(&mut self.known().peer(node).pending);
        let Some(name) = pending.front().map(|(last, _)| last.name.clone()) else { return stranger() };
        let keys = self.0.keys.accepted(crate::driver::now());
        let proved = pending.iter().position(|(hello, nonce)| {
            let exchange = Exchange { caller: node, hello, called: self.0.me, called_nonce: *nonce };
            keys.iter().any(|key| key.verify(Side::Caller, exchange, proof))
        });
        let Some((theirs, _)) = proved.and_then(|at| pending.remove(at)) else {
            self.known().peer(node).refused_until = Some(Instant::now() + REFUSED_FOR);
            self.alert(node, &name, "its proof of the cluster key is wrong").await;
            return bad_proof(&format!("the proof of the cluster key is wrong; {IMPORT}")).encode();
        };
        self.known().peer(node).pending = pending;
        self.admit(node, &theirs);
        self.consider(node, Stand { standing: theirs.standing, established: theirs.established });
        Admitted { standing: self.standing() }.encode()
    }

    fn admit(&self, node: NodeId, hello: &Hello) {
        let mut known = self.known();
        let peer = known.peer(node);
        peer.name.clone_from(&hello.name);
        peer.standing = Some(hello.standing);
        peer.established = hello.established;
        peer.program = hello.program.chars().take(MAX_PROGRAM).collect();
        peer.admitted = true;
        peer.refused_until = None;
    }

    /// The caller may be one to follow.
    fn consider(&self, node: NodeId, theirs: Stand) {
        let verdict = decide(self.0.me, self.stand_now(), node, theirs);
        let join = verdict == Verdict::Join && self.standing() != theirs.standing && !self.knows_leader();
        if join || verdict == Verdict::Apart {
            self.spawn_meet(node, Duration::ZERO);
        }
    }

    pub(super) async fn alert(&self, node: NodeId, name: &str, what: &str) {
        let due = {
            let mut known = self.known();
            let peer = known.peer(node);
            let due = peer.alerted.is_none_or(|last| last.elapsed() >= ALERT_EVERY);
            if due {
                peer.alerted = Some(Instant::now());
            }
            if due { known.alerts.take(Instant::now()) } else { None }
        };
        if let Some(unwritten) = due {
            tracing::warn!(target: "akita::security", %node, name, what, "a node was refused");
            let mut details = vec![("reason".to_owned(), what.to_owned()), ("name".to_owned(), printable(name))];
            if unwritten > 0 {
                details.push(("unwritten_before".to_owned(), unwritten.to_string()));
            }
            self.record(EventType::SecurityAlert, node, details).await;
        }
    }
}

/// A name from somebody who has proved nothing, fit for a ledger and a terminal.
fn printable(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(akita_core::membership::MAX_NAME_LEN).collect()
}

fn fresh_nonce() -> [u8; 16] {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).expect("a system without randomness cannot run a node: the identity needed it too");
    nonce
}

fn removed() -> Refused {
    Refused {
        why: Refusal::Removed,
        detail: "this node was removed from the cluster; `akita cluster admit` on one of its nodes lets it in".into(),
        standing: None,
        misfit: None,
    }
}

fn other_cluster() -> Refused {
    Refused {
        why: Refusal::OtherCluster,
        detail: "this node belongs to another cluster".into(),
        standing: None,
        misfit: None,
    }
}

fn bad_proof(detail: &str) -> Refused {
    Refused { why: Refusal::BadProof, detail: detail.into(), standing: None, misfit: None }
}
