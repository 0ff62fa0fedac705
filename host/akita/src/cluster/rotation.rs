//! A rotation of the cluster key, while this node leads: making the key, giving it to the voters, having the log agree on
//! its fingerprint, giving it to everybody else, and ending the time of the old one. Each step can be repeated, by this
//! leader or the next; which one comes is decided in [`akita_core::keys`].

use std::collections::BTreeSet;

use akita_core::{
    Command, Millis, NodeId,
    command::Access,
    keys::{DEFAULT_GRACE_MS, FIRST, KeyRing, KeyStep, KeyTurn, MAX_GRACE_MS, MAX_WAITING, next_step},
};
use futures_util::future::join_all;

use super::Cluster;
use crate::driver::now;

/// The leader's part.
impl Cluster {
    /// Makes a new key and begins to spread it.
    pub(super) async fn rotate_key(&self, grace_ms: Millis) -> Result<String, String> {
        let _one = self.0.keying.lock().await;
        let Some(ring) = self.0.keys.ring() else {
            return Err(
                "this cluster has no key to rotate\nmake one (openssl rand -hex 32) and start every node with \
                        --cluster-key-file"
                    .into(),
            );
        };
        let turn = self.0.store.key_turn().await.map_err(|error| error.to_string())?;
        match next_step(ring.generation, turn.as_ref(), now()) {
            KeyStep::Rest => {}
            KeyStep::Lacks => {
                return Err("the log knows of a newer key that has not come to this leader yet\n`akita cluster key \
                            show` tells which nodes have it; see that one of them is reached"
                    .into());
            }
            _ => {
                let waiting = turn.as_ref().map_or(0, |turn| turn.waiting.len());
                return Err(format!(
                    "a rotation runs already: generation {}, {waiting} nodes have not confirmed\n`akita cluster key \
                     show` names them",
                    ring.generation
                ));
            }
        }
        let generation = ring.generation.max(turn.as_ref().map_or(FIRST, |turn| turn.generation)) + 1;
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|_| "the system gives no random numbers".to_owned())?;
        let secret = blake3::Hash::from_bytes(secret).to_hex().to_string();
        let cluster = self.standing().cluster;
        let changed = self.0.keys.change(|ring| ring.take(generation, &secret, cluster));
        if !changed.map_err(|error| format!("the new key cannot be written: {error}"))? {
            return Err("the new key was not taken".into());
        }
        let ring = self.0.keys.ring().ok_or("the key is gone")?;
        tracing::info!(generation, "a new cluster key was made and is given to the nodes");
        let grace_ms = grace_ms.min(MAX_GRACE_MS);
        self.turn_key(&ring, turn, Some(grace_ms)).await?;
        self.look_at_turn().await?;
        let begun = self.known().turn.clone().filter(|turn| turn.generation == generation);
        let Some(turn) = begun else {
            return Ok(format!("generation {generation} is made; it counts once most voters have it"));
        };
        Ok(format!(
            "generation {generation}, fingerprint {}: the old key is refused when all {} nodes have the new one, after \
             {} s at the latest",
            turn.mark,
            turn.waiting.len() + turn.held.len(),
            grace_ms / 1_000
        ))
    }

    /// Remembers what the log says now, for those who are shown it.
    async fn look_at_turn(&self) -> Result<(), String> {
        let turn = self.0.store.key_turn().await.map_err(|error| error.to_string())?;
        self.known().turn = turn;
        Ok(())
    }

    /// One look at the rotation. `began`: the operator has just asked for it, and it takes so long.
    pub(super) async fn turn_key(
        &self,
        ring: &KeyRing,
        turn: Option<KeyTurn>,
        began: Option<Millis>,
    ) -> Result<(), String> {
        let time = now();
        let generation = ring.generation;
        match next_step(generation, turn.as_ref(), time) {
            KeyStep::Agree => {
                self.spread(ring, None, false).await;
                if !self.most_voters_hold(generation) {
                    tracing::warn!(generation, "the new cluster key waits for most voters to take it");
                    return Ok(());
                }
                let until = time.saturating_add(began.unwrap_or(DEFAULT_GRACE_MS));
                let early = began.is_some();
                let waiting = self.admitted_nodes().await?;
                let mark = ring.mark();
                self.commit(Command::RotateKey { generation, mark, until, early, waiting }).await?;
                self.known().key_told.clear();
                self.forget_old_keys_at(until)
            }
            KeyStep::Spread => {
                let Some(turn) = turn else { return Ok(()) };
                // One that took over from another leader has it with no end yet.
                self.forget_old_keys_at(turn.until)?;
                self.spread(ring, Some(turn.until.saturating_sub(time)), false).await;
                self.note_who_holds(&turn).await
            }
            KeyStep::Retire => {
                self.commit(Command::RetireKey { generation }).await?;
                self.forget_old_keys(|ring| ring.generation == generation && ring.limit(0) | ring.expire(now()))?;
                self.spread(ring, Some(0), true).await;
                Ok(())
            }
            // Those who came since, such as one that was brought the key by hand.
            KeyStep::Rest if turn.is_some() => {
                self.spread(ring, Some(0), true).await;
                Ok(())
            }
            KeyStep::Rest | KeyStep::Lacks => Ok(()),
        }
    }

    fn forget_old_keys_at(&self, until: Millis) -> Result<(), String> {
        self.0.keys.change(|ring| ring.limit(until)).map(drop).map_err(|error| error.to_string())
    }

    /// Gives the key to all that are there and were not told the same before.
    async fn spread(&self, ring: &KeyRing, left_ms: Option<Millis>, retired: bool) {
        let told = (ring.generation, retired);
        let nodes: Vec<NodeId> = {
            let role = self.role();
            let mut known = self.known();
            let there = known.peers.iter().filter(|(_, peer)| peer.member.as_ref().is_some_and(|one| one.online));
            let mut nodes: BTreeSet<NodeId> = there.map(|(node, _)| *node).collect();
            nodes.extend(role.voters.iter().chain(&role.learners).map(|(_, node)| *node));
            nodes.remove(&self.0.me);
            // Bounded by the peers: of who is gone nothing is kept.
            known.key_told.retain(|node, _| nodes.contains(node));
            nodes.into_iter().filter(|node| known.key_told.get(node) != Some(&told)).collect()
        };
        let brought = nodes.into_iter().filter(|node| !self.is_banned(*node)).map(|node| async move {
            match self.bring_key(node, ring, left_ms).await {
                Ok(generation) if generation == ring.generation => Some(node),
                Ok(_) => None,
                Err(error) => {
                    tracing::debug!(%node, %error, "the cluster key could not be brought yet");
                    None
                }
            }
        });
        let brought: Vec<Option<NodeId>> = join_all(brought).await;
        self.known().key_told.extend(brought.into_iter().flatten().map(|node| (node, told)));
    }

    /// Whether most of those who vote, this node with them, have the key of that generation.
    fn most_voters_hold(&self, generation: u64) -> bool {
        let voters = self.role().voters;
        let known = self.known();
        let holds =
            |node: &NodeId| *node == self.0.me || known.key_told.get(node).is_some_and(|one| one.0 == generation);
        let count = voters.iter().filter(|(_, node)| holds(node)).count();
        voters.len() < 2 || count * 2 > voters.len()
    }

    /// Everybody who may be here, whether they answer or not.
    async fn admitted_nodes(&self) -> Result<Vec<NodeId>, String> {
        let enlisted = self.enlisted().await?;
        let banned = |node: &NodeId| enlisted.get(node).is_some_and(|one| one.access == Access::Banned);
        let role = self.role();
        let known = self.known();
        let mut nodes: BTreeSet<NodeId> =
            known.peers.iter().filter(|(_, peer)| peer.member.is_some()).map(|(node, _)| *node).collect();
        nodes.extend(enlisted.keys().copied());
        nodes.extend(role.voters.iter().chain(&role.learners).map(|(_, node)| *node));
        nodes.insert(self.0.me);
        Ok(nodes.into_iter().filter(|node| !banned(node)).take(MAX_WAITING).collect())
    }

    async fn note_who_holds(&self, turn: &KeyTurn) -> Result<(), String> {
        let enlisted = self.enlisted().await?;
        let nodes: Vec<NodeId> = {
            let known = self.known();
            let holds = |node: &NodeId| {
                let told = known.key_told.get(node).is_some_and(|one| one.0 == turn.generation);
                // Nobody waits for one that was put out meanwhile.
                let banned = enlisted.get(node).is_some_and(|one| one.access == Access::Banned);
                told || *node == self.0.me || banned
            };
            turn.waiting.iter().filter(|node| holds(node)).copied().collect()
        };
        if nodes.is_empty() {
            return Ok(());
        }
        self.commit(Command::HoldKey { generation: turn.generation, nodes }).await?;
        self.look_at_turn().await
    }
}
