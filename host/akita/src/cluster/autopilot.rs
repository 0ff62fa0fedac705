//! The leader's care for who votes: looks at the nodes, asks [`akita_core::autopilot`] what to do, and does it, one thing
//! at a time.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use akita_core::{
    Command, EventType, NodeId,
    autopilot::{Candidate, Profile, Step, next_step},
    command::Access,
    state::Enlisted,
    wire::Refusal,
};

use super::{CallFailed, Cluster, lead::nearer};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// After a step that failed: the other node may be busy, or restart.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

impl Cluster {
    /// Looks after the voters while this node leads.
    pub(super) async fn pilot(&self) {
        let mut pause = LOOK;
        loop {
            tokio::select! {
                () = self.0.stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = LOOK;
            if !self.leads() || self.0.max_voters < 2 || self.merging_into().is_some() {
                continue;
            }
            let _one = self.0.governing.lock().await;
            if let Err(error) = self.look_after_voters().await {
                tracing::warn!(error, "the voters could not be changed yet");
                pause = AFTER_FAILURE;
            }
        }
    }

    async fn look_after_voters(&self) -> Result<(), String> {
        let enlisted = self.enlisted().await?;
        self.say_who_is_silent();
        self.say_who_came_back_older().await;
        self.release_strays(&enlisted).await;
        let candidates = self.candidates(&enlisted);
        let profile = self.role().profile.unwrap_or_else(|| self.wanted_profile(&candidates));
        let dead_after = u64::try_from(self.0.voter_dead_after.as_millis()).unwrap_or(u64::MAX);
        match next_step(profile, self.0.max_voters, dead_after, &candidates) {
            None => Ok(()),
            Some(Step::Recruit(node)) => self.begin_recruiting(node, profile).await,
            Some(Step::Promote(nodes)) => self.change_voters(&nodes, None, &enlisted).await,
            Some(Step::Replace(old, new)) => {
                self.change_voters(&[new], Some(old), &enlisted).await?;
                self.commit(Command::Dismiss { node: old, to: None }).await
            }
            Some(Step::Drop(node)) => self.drop_learner(node, &enlisted).await,
        }
    }

    /// The operator's timing, or what the slowest link of those that may vote asks for.
    fn wanted_profile(&self, candidates: &BTreeMap<NodeId, Candidate>) -> Profile {
        self.0.profile.unwrap_or_else(|| {
            let mut near: Vec<u32> = candidates.values().filter(|one| one.online).map(|one| one.rtt_ms).collect();
            near.sort_unstable();
            // Two of them make three voters; those that are farther only work.
            Profile::for_rtt(near.get(1).copied().unwrap_or(0))
        })
    }

    fn candidates(&self, enlisted: &BTreeMap<NodeId, Enlisted>) -> BTreeMap<NodeId, Candidate> {
        let (role, lags, leading_for) = (self.role(), self.0.consensus.lags(), self.leading_for());
        let answering = self.0.consensus.answering();
        let mut found = BTreeMap::new();
        let known = self.known();
        let members = known.peers.iter().filter_map(|(node, peer)| Some((*node, peer.member.as_ref()?.load.rtt_ms)));
        let rtts: BTreeMap<NodeId, u32> = members.collect();
        let of_log = role.voters.iter().chain(&role.learners).map(|(_, node)| *node);
        for node in rtts.keys().copied().chain(of_log).filter(|node| *node != self.0.me) {
            let number_in =
                |list: &[(u64, NodeId)]| list.iter().find(|(_, one)| *one == node).map(|(number, _)| *number);
            let (votes, learns) = (number_in(&role.voters), number_in(&role.learners));
            let member = known.peers.get(&node).and_then(|peer| peer.member.as_ref());
            let since = member.map_or(Duration::MAX, |member| member.since.elapsed());
            let candidate = Candidate {
                votes: votes.is_some(),
                learns: votes.or(learns).is_some(),
                online: member.is_some_and(|member| member.online && !member.leaving)
                    || votes.is_some_and(|number| answering.contains(&number)),
                // One that this leader has never heard: since it leads, and no longer.
                since_ms: u64::try_from(since.min(leading_for).as_millis()).unwrap_or(u64::MAX),
                rtt_ms: nearer(self.rtt_ms(node), rtts.get(&node).copied().unwrap_or(0)),
                lag: votes.or(learns).and_then(|number| lags.get(&number).copied()),
                held_back: enlisted.get(&node).is_some_and(|one| one.access != Access::Voter),
            };
            found.insert(node, candidate);
        }
        found
    }

    /// Says once when a voter falls silent, and once when it answers again.
    fn say_who_is_silent(&self) {
        let silent = self.not_answering();
        let before = {
            let mut known = self.known();
            let before = std::mem::replace(&mut known.silent_voters, silent.clone());
            // Whoever follows shows the leader's view.
            known.version = known.version.wrapping_add(u32::from(before != silent));
            before
        };
        for node in silent.difference(&before) {
            tracing::warn!(%node, "a voter does not answer; it is not needed while most of them do");
        }
        for node in before.difference(&silent) {
            tracing::info!(%node, "the voter answers again, or votes no more");
        }
    }

    /// Writes once of each voter that came back with an older disk than it had.
    async fn say_who_came_back_older(&self) {
        let (role, older) = (self.role(), self.0.consensus.came_back_older());
        let older: BTreeSet<NodeId> =
            role.voters.iter().filter(|(number, _)| older.contains(number)).map(|(_, node)| *node).collect();
        let before = std::mem::replace(&mut self.known().older_voters, older.clone());
        for node in older.difference(&before) {
            let name = self.name_of(*node);
            tracing::error!(%node, name, "a voter came back with an older copy of its log; it is left out");
            let reason = "this voter came back with an older copy of its log than it had; it is left out";
            self.record(EventType::SecurityAlert, *node, vec![("name".into(), name), ("reason".into(), reason.into())])
                .await;
        }
    }

    pub(super) async fn enlisted(&self) -> Result<BTreeMap<NodeId, Enlisted>, String> {
        self.0.store.enlisted().await.map_err(|error| error.to_string())
    }

    pub(super) async fn commit(&self, command: Command) -> Result<(), String> {
        self.0.driver.commit(vec![command]).await.map_err(|error| error.to_string())
    }

    /// The node's number, a new one where it has none.
    async fn enlist(&self, node: NodeId) -> Result<u64, String> {
        self.commit(Command::Enlist { node }).await?;
        let enlisted = self.enlisted().await?;
        let one = enlisted.get(&node).filter(|one| one.access == Access::Voter);
        one.map(|one| one.number).ok_or_else(|| "the node could not be given a number".to_owned())
    }

    async fn begin_recruiting(&self, node: NodeId, profile: Profile) -> Result<(), String> {
        if !self.role().is_voter() {
            let number = self.enlist(self.0.me).await?;
            tracing::info!(number, profile = profile.as_str(), "this node's log is opened to other voters");
            let opened = self.0.consensus.open_to_voters(self.standing().cluster, number, profile).await;
            opened.map_err(|error| error.to_string())?;
        }
        let number = self.enlist(node).await?;
        match self.recruit(node, number, profile).await {
            Ok(()) => {}
            Err(CallFailed::Refused(refused)) if refused.why == Refusal::Invalid => {
                // It will be fit some time; until then others may be.
                return Err(format!("{node} cannot vote yet: {}", refused.detail));
            }
            Err(error) => return Err(format!("{node} was asked to vote and did not answer: {error}")),
        }
        tracing::info!(%node, number, "a node receives the log, and may vote when it has caught up");
        self.0.consensus.add_learner(number, node).await
    }

    /// Lets `new` vote as well, in the place of `old` where one is given.
    pub(super) async fn change_voters(
        &self,
        new: &[NodeId],
        old: Option<NodeId>,
        enlisted: &BTreeMap<NodeId, Enlisted>,
    ) -> Result<(), String> {
        let now = self.role().voters;
        let mut voters: BTreeSet<u64> =
            now.iter().filter(|(_, node)| Some(*node) != old).map(|(number, _)| *number).collect();
        voters.extend(new.iter().filter_map(|node| enlisted.get(node).map(|one| one.number)));
        self.0.consensus.set_voters(voters.clone()).await?;
        tracing::info!(voters = voters.len(), "the voters have changed");
        // The announce says that this cluster gives way to none, and each worker is told who votes.
        self.announce();
        Ok(())
    }

    async fn drop_learner(&self, node: NodeId, enlisted: &BTreeMap<NodeId, Enlisted>) -> Result<(), String> {
        if let Some(one) = enlisted.get(&node) {
            self.0.consensus.drop_learner(one.number).await?;
        }
        self.commit(Command::Dismiss { node, to: None }).await
    }

    /// Nodes that believe that they vote, or wait for the log, and do not: they were away when that was decided.
    async fn release_strays(&self, enlisted: &BTreeMap<NodeId, Enlisted>) {
        let role = self.role();
        let strays: Vec<(NodeId, u64)> = {
            let known = self.known();
            let claims = known.peers.iter().filter_map(|(node, peer)| {
                let member = peer.member.as_ref().filter(|member| member.online && member.number != 0)?;
                Some((*node, member.number))
            });
            let has_it = |node: NodeId, number| {
                let in_log = role.voters.iter().chain(&role.learners).any(|one| *one == (number, node));
                in_log || enlisted.get(&node).is_some_and(|one| one.access == Access::Voter && one.number == number)
            };
            claims.filter(|(node, number)| !has_it(*node, *number)).collect()
        };
        for (node, number) in strays {
            if let Err(error) = self.release(node, number).await {
                tracing::debug!(%node, %error, "a node could not be told that it votes no more");
            }
        }
    }
}
