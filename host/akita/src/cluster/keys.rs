//! This node's part in a change of the cluster key: taking a newer one from its leader, bringing one to a leader that lacks
//! it, and forgetting old ones in time. A node that was removed is never given a key. The leader's part is in `rotation`.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use akita_core::{
    KeyMark, Millis, NodeId,
    keys::{FIRST, KeyRing, KeyTurn, MAX_GRACE_MS},
    wire::{Message, Refusal, TakeKey, TookKey, TurnView},
};

use super::{CallFailed, Cluster, NOBODY};
use crate::{driver::now, view::KeyView};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// For how long a refused key stands in the status: until the next try and some more.
const REFUSAL_SHOWN: Duration = Duration::from_secs(900);

/// The node's part in a change of the key.
impl Cluster {
    /// Looks after the key: that it spreads while this node leads, that the leader has what this node has, and that old
    /// ones are forgotten in time.
    pub(super) async fn keep_keys(&self) {
        loop {
            tokio::select! {
                () = self.0.stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            if self.0.keys.refresh() {
                tracing::info!("another cluster key was brought to this node");
                self.try_everybody_again();
            }
            if !self.0.keys.is_set() {
                continue;
            }
            if let Err(error) = self.look_after_key().await {
                tracing::warn!(error, "the cluster key could not be looked after; it is tried again");
            }
        }
    }

    async fn look_after_key(&self) -> Result<(), String> {
        self.forget_old_keys(|ring| ring.expire(now()))?;
        let Some(ring) = self.0.keys.ring() else { return Ok(()) };
        let turn = self.0.store.key_turn().await.map_err(|error| error.to_string())?;
        self.known().turn.clone_from(&turn);
        // A voter has it from the log; who only works is told.
        if let Some(turn) = turn.as_ref().filter(|turn| turn.retired && turn.generation == ring.generation) {
            self.forget_old_keys(|ring| ring.generation == turn.generation && ring.limit(0) | ring.expire(now()))?;
        }
        if self.leads() {
            let _one = self.0.keying.lock().await;
            self.turn_key(&ring, turn, None).await
        } else {
            self.offer_key(&ring).await;
            Ok(())
        }
    }

    /// Drops keys that do not count any more; who was let in with one has to show the present one from here on.
    pub(super) fn forget_old_keys(&self, work: impl FnOnce(&mut KeyRing) -> bool) -> Result<(), String> {
        if self.0.keys.change(work).map_err(|error| format!("{} cannot be written: {error}", super::KEY_FILE))? {
            tracing::info!("the old cluster key is refused from now on");
            self.known().peers.values_mut().for_each(|peer| peer.admitted = false);
        }
        Ok(())
    }

    fn try_everybody_again(&self) {
        let met: Vec<NodeId> = {
            let mut known = self.known();
            known.key_refused = None;
            known.peers.values_mut().for_each(|peer| peer.refused_until = None);
            known.peers.iter().filter(|(_, peer)| peer.standing.is_some()).map(|(node, _)| *node).collect()
        };
        self.announce();
        met.into_iter().for_each(|node| self.spawn_meet(node, Duration::ZERO));
        self.0.report_now.notify_one();
    }

    /// Tells the leader which key this node has, once, and brings it where the leader lacks it: one that was elected
    /// before the key had come to it, or one of a cluster that this node's gave way to.
    async fn offer_key(&self, ring: &KeyRing) {
        let standing = self.standing();
        let offer = (standing.leader, ring.generation);
        if ring.generation == FIRST || standing.leader == NOBODY || self.known().key_offered == Some(offer) {
            return;
        }
        let own = self.0.store.cluster().await.ok().flatten();
        let led = own.is_some_and(|own| own.id == ring.cluster && own.sealed_into.is_some());
        if ring.cluster != standing.cluster && !led {
            return;
        }
        match self.bring_key(standing.leader, ring, None).await {
            Ok(_) => self.known().key_offered = Some(offer),
            Err(error) => tracing::debug!(%error, "the leader could not be told of the cluster key"),
        }
    }

    /// Says which key this node holds, and gives it where the other lacks it; answers which one it has now.
    pub(super) async fn bring_key(
        &self,
        node: NodeId,
        ring: &KeyRing,
        left_ms: Option<Millis>,
    ) -> Result<u64, CallFailed> {
        let mut take = TakeKey { generation: ring.generation, left_ms, secret: None };
        let TookKey { generation } = self.call(node, &take, self.patience(node)).await?;
        if generation >= ring.generation || self.is_banned(node) {
            return Ok(generation);
        }
        take.secret = Some(ring.secret.clone().into_bytes());
        let TookKey { generation } = self.call(node, &take, self.patience(node)).await?;
        Ok(generation)
    }

    /// Answers [`TakeKey`].
    pub(super) fn took_key(&self, node: NodeId, take: TakeKey) -> Vec<u8> {
        let from_leader = self.standing().leader == node;
        if !from_leader && !self.leads() || self.is_banned(node) {
            return self.refuse(Refusal::NotLeader, "only the leader and its nodes tell each other of keys");
        }
        let cluster = self.standing().cluster;
        let work = |ring: &mut KeyRing| {
            let secret = take.secret.as_deref().and_then(|secret| std::str::from_utf8(secret).ok());
            let taken = secret.is_some_and(|secret| ring.take(take.generation, secret, cluster));
            let until = take.left_ms.map(|left| now().saturating_add(left.min(MAX_GRACE_MS)));
            let limit = until.filter(|_| from_leader && ring.generation == take.generation);
            limit.is_some_and(|until| ring.limit(until)) | taken
        };
        let before = self.0.keys.ring().map_or(FIRST, |ring| ring.generation);
        if let Err(error) = self.0.keys.change(work) {
            tracing::error!(%error, "the new cluster key cannot be written");
            return self.refuse(Refusal::Internal, "the key cannot be written there");
        }
        let generation = self.0.keys.ring().map_or(0, |ring| ring.generation);
        if generation > before {
            tracing::info!(generation, from = %node, "this node has a new cluster key");
        }
        TookKey { generation }.encode()
    }
}

/// What people are shown.
impl Cluster {
    /// Somebody does not accept this node's key.
    pub(super) fn note_key_refused(&self, node: NodeId) {
        self.known().key_refused = Some((node, Instant::now()));
    }

    /// Who does not accept this node's key, if that was lately.
    pub fn key_refused_by(&self) -> Option<NodeId> {
        let refused = self.known().key_refused?;
        (refused.1.elapsed() < REFUSAL_SHOWN && !self.is_settled_with(refused.0)).then_some(refused.0)
    }

    fn is_settled_with(&self, node: NodeId) -> bool {
        self.known().peers.get(&node).is_some_and(|peer| peer.admitted)
    }

    /// The rotation that runs, if one does, as of the last look.
    pub(super) fn key_turn_now(&self) -> Option<TurnView> {
        let turn = self.known().turn.clone().filter(|turn| !turn.retired)?;
        Some(TurnView {
            generation: turn.generation,
            held: u32::try_from(turn.held.len()).unwrap_or(u32::MAX),
            waiting: u32::try_from(turn.waiting.len()).unwrap_or(u32::MAX),
            left_ms: turn.until.saturating_sub(now()),
        })
    }

    /// The key as this node's log knows it, without the key.
    pub fn key_view(&self, turn: Option<&KeyTurn>) -> KeyView {
        let ring = self.0.keys.ring();
        let generation = ring.as_ref().map(|ring| ring.generation);
        let agreed = turn.map(|turn| turn.generation);
        let running = turn.filter(|turn| !turn.retired);
        let ids = |nodes: &BTreeSet<NodeId>| nodes.iter().map(ToString::to_string).collect::<Vec<_>>();
        KeyView {
            protected: ring.is_some(),
            generation: generation.max(agreed),
            // Of a key that people made up, a fingerprint would tell whether a guess is right.
            fingerprint: turn.map(|turn| turn.mark).filter(|mark| *mark != KeyMark::default()).map(|m| m.to_string()),
            rotating: running.is_some() || generation > agreed && generation > Some(FIRST),
            old_key_left_s: running.map(|turn| turn.until.saturating_sub(now()) / 1_000),
            confirmed: turn.map(|turn| ids(&turn.held)).unwrap_or_default(),
            waiting: running.map(|turn| ids(&turn.waiting)).unwrap_or_default(),
        }
    }
}
