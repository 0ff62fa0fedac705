//! A cluster of several voters that gives way to another by its operator's hand. Its log says so once most of its voters
//! have agreed; from then on whoever leads it hands its tasks over, and each voter that sees in its own copy of the log that
//! nothing is left keeps that copy in the archive and joins the other cluster. All of it goes on after a crash, from what
//! the log says.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use akita_core::{
    ClusterId, Command, EventType, NodeId,
    keys::FIRST,
    membership::Stand,
    wire::{Merge, Merging, Message, Refusal, Standing},
};

use futures_util::{StreamExt, stream::FuturesUnordered};

use super::{CallFailed, Cluster, NOBODY, books::MAX_RIVALS};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// Between two looks of a voter without a leader for where the others went: each is a greeting.
const LOOK_FOR_OTHERS: Duration = Duration::from_secs(5);
/// How long a leader that has handed everything over stays for voters that have not seen it yet.
const LAST_WAIT: Duration = Duration::from_secs(10);
/// How long a cluster that was told to come is expected; nothing is alarming about it meanwhile.
const EXPECTED_FOR: Duration = Duration::from_secs(600);
/// Time for another change of the nodes to end before a cluster is told to come: two that give way to each other must
/// both be refused.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// Nodes of the other cluster that are asked who leads it, in one look.
const MAX_ASKED: usize = 8;

/// The operator's word.
impl Cluster {
    /// Gives way to that cluster; answers once most voters have agreed to it.
    pub(super) async fn merge_into(&self, into: ClusterId) -> Result<String, String> {
        let own = self.standing().cluster;
        if into == own {
            return Err("this is that cluster; name the other one\n`akita cluster status` names it".into());
        }
        match self.sealed_into().await? {
            Some(other) if other == into => return Ok(format!("it gives way to {into} already")),
            Some(other) => return Err(format!("it gives way to another cluster already, {other}")),
            None => {}
        }
        if !self.is_established() {
            return Err(
                "only clusters with several voters are merged by hand\none with a single voter joins the other \
                        by itself as soon as they meet"
                    .into(),
            );
        }
        if self.expects(into) {
            return Err(format!("{into} was told to come here and is about to\nsee: akita cluster status"));
        }
        let leader = self.leader_of(into, None).await.ok_or_else(|| {
            format!("no leader of cluster {into} answers\n`akita cluster status` names the clusters that were met")
        })?;
        if let Some(ring) = self.0.keys.ring().filter(|ring| ring.generation > FIRST)
            && let Err(error) = self.bring_key(leader, &ring, None).await
        {
            return Err(format!("the other cluster does not take this one's newer key: {error}"));
        }
        match self.call::<Merging>(leader, &Merge { from: own }, self.patience(leader) + BUSY_WAIT).await {
            Ok(_) => {}
            Err(CallFailed::Refused(refused)) => return Err(format!("the other cluster refuses: {}", refused.detail)),
            Err(error) => return Err(format!("the other cluster's leader does not answer: {error}")),
        }
        self.commit(Command::Seal { into, leader }).await?;
        self.known().merging = Some(into);
        tracing::warn!(%into, "this cluster gives way to another, as its operator says");
        Ok(format!("it gives way to {into}: its tasks are handed over, then each node joins as a worker"))
    }

    /// Answers [`Merge`].
    pub(super) async fn expect_cluster(&self, node: NodeId, merge: Merge) -> Vec<u8> {
        if !self.leads() {
            return self.refuse(Refusal::NotLeader, "this node does not lead");
        }
        let stands_at = self.known().peers.get(&node).and_then(|peer| peer.standing).map(|standing| standing.cluster);
        if merge.from == self.standing().cluster || stands_at != Some(merge.from) {
            return self.refuse(Refusal::Invalid, "only another cluster's own node can say that it gives way");
        }
        let Ok(_one) = tokio::time::timeout(BUSY_WAIT, self.0.governing.lock()).await else {
            return self.refuse(Refusal::Internal, "it is busy with another change of its nodes; try again");
        };
        match self.sealed_into().await {
            Ok(None) => {}
            Ok(Some(other)) => return self.refuse(Refusal::Invalid, &format!("it gives way itself, to {other}")),
            Err(error) => return self.refuse(Refusal::Internal, &error),
        }
        let details = vec![
            ("cluster_id".to_owned(), merge.from.to_string()),
            ("merges".to_owned(), "that cluster gives way to this one, by its operator's hand".to_owned()),
        ];
        if let Err(error) = self.commit(Command::Record { event: EventType::StateSync, node, details }).await {
            return self.refuse(Refusal::Internal, &error);
        }
        tracing::warn!(from = %merge.from, "another cluster gives way to this one and hands its tasks over");
        let mut known = self.known();
        if known.expected.len() >= MAX_RIVALS && !known.expected.contains_key(&merge.from) {
            known.expected.pop_first();
        }
        known.expected.insert(merge.from, Instant::now());
        known.rivals.remove(&merge.from);
        Merging {}.encode()
    }

    /// Whether that cluster was told lately to come here.
    pub(super) fn expects(&self, cluster: ClusterId) -> bool {
        self.known().expected.get(&cluster).is_some_and(|at| at.elapsed() < EXPECTED_FOR)
    }

    /// The cluster that this node's voters have given way to, while they still are voters.
    pub fn merging_into(&self) -> Option<ClusterId> {
        self.known().merging
    }

    async fn sealed_into(&self) -> Result<Option<ClusterId>, String> {
        let cluster = self.0.store.cluster().await.map_err(|error| error.to_string())?;
        Ok(cluster.and_then(|cluster| cluster.sealed_into).map(|(into, _)| into))
    }
}

/// What follows from the log.
impl Cluster {
    /// Goes on with a merge for as long as this node's voters have given way, and looks where the others went when they
    /// are gone.
    pub(super) async fn keep_merging(&self) {
        let mut drained: Option<Instant> = None;
        let mut looked: Option<Instant> = None;
        loop {
            tokio::select! {
                () = self.0.stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let role = self.role();
            let Some(cluster) = role.cluster else {
                self.known().merging = None;
                drained = None;
                continue;
            };
            let own = self.0.store.cluster().await.ok().flatten().filter(|own| own.id == cluster);
            let sealed = own.and_then(|own| own.sealed_into);
            self.known().merging = sealed.map(|(into, _)| into);
            let result = match sealed {
                Some((into, leader)) => {
                    self.go_over(Standing { cluster: into, leader }, &mut drained, &mut looked).await
                }
                None => self.follow_the_others(None, &mut looked).await,
            };
            if let Err(error) = result {
                tracing::warn!(error, "the merge goes on in a moment");
            }
        }
    }

    async fn go_over(
        &self,
        sealed: Standing,
        drained: &mut Option<Instant>,
        looked: &mut Option<Instant>,
    ) -> Result<(), String> {
        let into = sealed.cluster;
        if self.leads() {
            let leader = self.leader_of(into, Some(sealed.leader)).await;
            let leader =
                leader.ok_or_else(|| format!("no leader of {into} answers; tasks stay here until one does"))?;
            self.bring_tasks(Standing { cluster: into, leader }).await.map_err(|error| error.to_string())?;
        }
        if self.has_work_of_its_own().await? {
            *drained = None;
            // One that lags may never hear the rest, once the others are gone.
            return self.follow_the_others(Some(into), looked).await;
        }
        let since = *drained.get_or_insert_with(Instant::now);
        if self.leads() && since.elapsed() < LAST_WAIT && !self.others_stand_at(into) {
            return Ok(());
        }
        let leader = self.leader_of(into, Some(sealed.leader)).await.unwrap_or(sealed.leader);
        self.change_sides(Standing { cluster: into, leader }).await
    }

    /// Whether every other voter has gone over.
    fn others_stand_at(&self, into: ClusterId) -> bool {
        let role = self.role();
        let known = self.known();
        let there = |node: &NodeId| {
            known.peers.get(node).and_then(|peer| peer.standing).is_some_and(|standing| standing.cluster == into)
        };
        role.voters.iter().all(|(_, node)| *node == self.0.me || there(node))
    }

    /// A voter that hears of no leader looks whether the others have gone to another cluster: then they had seen that
    /// nothing was left here, and nobody will ever tell it. Of a merge that it knows of, one is enough; else most.
    async fn follow_the_others(&self, into: Option<ClusterId>, looked: &mut Option<Instant>) -> Result<(), String> {
        let due = looked.is_none_or(|last| last.elapsed() >= LOOK_FOR_OTHERS);
        if self.leads() || self.standing().leader != NOBODY || !due {
            return Ok(());
        }
        *looked = Some(Instant::now());
        let mut standing = self.0.standing.subscribe();
        let gone = tokio::select! {
            gone = self.where_the_others_are(into) => gone,
            // One of them leads, or this one does. A voter that is off would keep the merge waiting for a minute.
            _ = standing.wait_for(|standing| standing.leader != NOBODY) => None,
        };
        let Some(theirs) = gone else { return Ok(()) };
        tracing::warn!(into = %theirs.cluster, "the other voters have gone to another cluster; this one follows them");
        self.change_sides(theirs).await
    }

    /// The other cluster that enough of the voters stand at.
    async fn where_the_others_are(&self, into: Option<ClusterId>) -> Option<Standing> {
        let role = self.role();
        let others = role.voters.iter().map(|(_, node)| *node).filter(|node| *node != self.0.me);
        let mut asked: FuturesUnordered<_> = others.map(|node| self.greet(node)).collect();
        let mut found: BTreeMap<ClusterId, usize> = BTreeMap::new();
        while let Some(answer) = asked.next().await {
            let Ok(Stand { standing: theirs, .. }) = answer else { continue };
            if Some(theirs.cluster) == role.cluster || theirs.leader == NOBODY {
                continue;
            }
            let count = found.entry(theirs.cluster).or_default();
            *count += 1;
            let enough = into.map_or(*count * 2 > role.voters.len(), |into| theirs.cluster == into);
            if enough {
                return Some(theirs);
            }
        }
        None
    }

    /// Ends to vote, with the log as it is in the archive, and follows `theirs` under a log of its own.
    async fn change_sides(&self, theirs: Standing) -> Result<(), String> {
        let _one = self.0.moving.lock().await;
        let role = self.role();
        let Some(old) = role.cluster else { return Ok(()) };
        let failed = |error: crate::store::StoreError| error.to_string();
        let rows = self.0.store.ledger_head().await.map_err(failed)?.rows;
        self.0.store.signed_head(Some(rows)).await.map_err(failed)?;
        self.0.store.archive(format!("{old}-{}-merged", role.number)).await.map_err(failed)?;
        let Standing { cluster: into, leader } = theirs;
        let mut first: Vec<Command> = self.own_cluster().into_iter().collect();
        if first.is_empty() {
            return Err("the system gives no random numbers".into());
        }
        first.push(Command::Seal { into, leader });
        let details = vec![
            ("cluster_id".to_owned(), into.to_string()),
            ("leader".to_owned(), leader.to_string()),
            ("merged_from".to_owned(), old.to_string()),
        ];
        first.push(Command::Record { event: EventType::ClusterJoin, node: self.0.me, details });
        self.0.consensus.leave_voters(first).await.map_err(|error| error.to_string())?;
        {
            let mut known = self.known();
            known.voters.clear();
            known.rivals.clear();
            (known.view, known.merging) = (None, None);
            known.peers.values_mut().for_each(|peer| peer.member = None);
        }
        tracing::warn!(%old, %into, %leader, "this node has left its voters, whose log is in the archive, and joins");
        self.stand(theirs);
        Ok(())
    }

    /// Who leads that cluster, as it says itself.
    async fn leader_of(&self, cluster: ClusterId, hint: Option<NodeId>) -> Option<NodeId> {
        let mut asked: Vec<NodeId> = hint.into_iter().collect();
        {
            let known = self.known();
            asked.extend(known.rivals.get(&cluster).map(|(node, _)| *node));
            let there = known.peers.iter().filter(|(_, peer)| peer.standing.is_some_and(|at| at.cluster == cluster));
            asked.extend(there.map(|(node, _)| *node).take(MAX_ASKED));
        }
        asked.retain(|node| *node != self.0.me);
        asked.dedup();
        // All at once: one that is gone answers after a minute only.
        let asked = asked.into_iter().take(MAX_ASKED).map(|node| self.leader_by(node, cluster));
        let mut answers: FuturesUnordered<_> = asked.collect();
        while let Some(answer) = answers.next().await {
            if answer.is_some() {
                return answer;
            }
        }
        None
    }

    /// Who leads that cluster as this node of it says, and as that one says itself.
    async fn leader_by(&self, node: NodeId, cluster: ClusterId) -> Option<NodeId> {
        let Standing { cluster: at, leader } = self.greet(node).await.ok()?.standing;
        if at != cluster || leader == NOBODY || leader == self.0.me {
            return None;
        }
        let leads = leader == node
            || self.greet(leader).await.is_ok_and(|theirs| theirs.standing == Standing { cluster, leader });
        leads.then_some(leader)
    }
}
