//! This node as one of several voters: carrying the engine's calls, following whom the voters elect, beginning and
//! ending to vote. Who should vote is decided by the leader, see `autopilot`.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::Pin,
    sync::PoisonError,
    time::{Duration, Instant},
};

use akita_core::{
    ClusterId, Command, EventType, NodeId, Status,
    autopilot::Profile,
    command::Access,
    membership::Stand,
    wire::{Message, Raft, Rafted, Recruit, Recruited, Refusal, Release, Released, Remark, Remarked, Standing},
};

use super::{CallFailed, Cluster, NOBODY, books::MAX_RIVALS, new_cluster_id};
use crate::{
    consensus::{Role, Transport},
    program,
    store::LedgerQuery,
};

/// How often a node looks who was removed, at least: the state changes without a word to this module.
const LOOK_FOR_REMOVED: Duration = Duration::from_secs(2);

/// The note of who votes: the cluster's id and theirs, one after the other.
const VOTERS_NOTE: &str = "cluster voters";
/// While nobody leads, each voter is asked within this time who does, or asks by itself for votes.
const ASKED_WITHIN: Duration = Duration::from_secs(10);

impl Transport for Cluster {
    fn call(
        &self,
        node: NodeId,
        call: Raft,
        wait: Duration,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send + '_>> {
        Box::pin(async move {
            let answer = Cluster::call::<Rafted>(self, node, &call, wait).await;
            answer.map(|answer| answer.body).map_err(|error| error.to_string())
        })
    }

    fn rtt_ms(&self, node: NodeId) -> u32 {
        Cluster::rtt_ms(self, node)
    }
}

/// What this node is.
impl Cluster {
    /// What this node is among several voters.
    pub fn role(&self) -> Role {
        self.0.consensus.role().borrow().clone()
    }

    /// Who votes for the log that this leader keeps; nobody beside a single voter.
    pub(super) fn voters(&self) -> Vec<NodeId> {
        let voters: Vec<NodeId> = self.role().voters.into_iter().map(|(_, node)| node).collect();
        if voters.len() > 1 { voters } else { Vec::new() }
    }

    /// Whether this node leads the voters, and most of them agree that it still does.
    pub async fn is_current(&self) -> bool {
        self.0.consensus.is_current().await
    }

    /// Entries of the log that each of its receivers lacks.
    pub fn lags(&self) -> BTreeMap<u64, u64> {
        self.0.consensus.lags()
    }

    /// Receivers of the log that have answered this leader lately.
    pub fn answering(&self) -> BTreeSet<u64> {
        self.0.consensus.answering()
    }

    /// A node's name, as this one last heard it.
    pub fn name_of(&self, node: NodeId) -> String {
        self.known().peers.get(&node).map(|peer| peer.name.clone()).unwrap_or_default()
    }

    /// The version of a node's program, as it last said when it greeted this one.
    pub fn program_of(&self, node: NodeId) -> Option<String> {
        if node == self.0.me {
            return Some(program::version());
        }
        self.known().peers.get(&node).map(|peer| peer.program.clone()).filter(|version| !version.is_empty())
    }

    /// The other voters that have not answered this leader lately.
    pub(super) fn not_answering(&self) -> BTreeSet<NodeId> {
        let answering = self.answering();
        let others = self.role().voters.into_iter().filter(|(_, node)| *node != self.0.me);
        others.filter(|(number, _)| !answering.contains(number)).map(|(_, node)| node).collect()
    }

    /// Voters that seem to be gone: by this leader's own word, by the leader's last view, or by their silence where nobody
    /// leads.
    pub fn silent_voters(&self) -> BTreeSet<NodeId> {
        let role = self.role();
        let patience = Duration::from_millis(role.profile.unwrap_or(Profile::Lan).failover_ms());
        if self.leads() {
            // One that has just begun to lead has not heard anybody yet.
            return if self.leading_for() < patience { BTreeSet::new() } else { self.not_answering() };
        }
        let known = self.known();
        let all: BTreeSet<NodeId> =
            role.voters.iter().map(|(_, node)| *node).chain(known.voters.iter().copied()).collect();
        let led = self.standing().leader != NOBODY;
        let gone = |node: &NodeId| match &known.view {
            Some(view) if led => view.nodes.iter().any(|one| one.node == *node && !one.online),
            _ if led => false,
            // Each is asked who leads, one after the other.
            _ => {
                let heard = known.peers.get(node).and_then(|peer| peer.heard);
                heard.is_none_or(|at| at.elapsed() > patience.max(ASKED_WITHIN))
            }
        };
        all.into_iter().filter(|node| *node != self.0.me && gone(node)).collect()
    }

    /// Voters that came back with an older log than they had, as this leader sees them.
    pub fn older_voters(&self) -> BTreeSet<NodeId> {
        if self.leads() { self.known().older_voters.clone() } else { BTreeSet::new() }
    }

    /// Why the leader leaves this voter out, if it does.
    pub fn turned_away(&self) -> Option<String> {
        self.known().turned_away.clone()
    }

    /// The leader of this node's cluster is silent, and this node must not go on without the voters.
    pub fn is_lost(&self) -> bool {
        !self.leads() && !self.may_found() && *self.0.leader_silent.borrow()
    }

    /// Keeps who votes, also for the next start: a node that restarts while nobody leads must not found a cluster of its own.
    pub(super) async fn remember_voters(&self, cluster: ClusterId, voters: Vec<NodeId>) {
        let ids = voters.iter().flat_map(|node| node.0);
        let note: Vec<u8> = cluster.0.into_iter().chain(ids).collect();
        tracing::info!(%cluster, voters = voters.len(), "this node knows who votes");
        self.known().voters = voters;
        if let Err(error) = self.0.store.set_meta(VOTERS_NOTE, note).await {
            tracing::warn!(%error, "who votes could not be noted for the next start");
        }
    }

    /// Who voted in the cluster that this node worked for when it was stopped.
    pub(super) async fn recall_voters(&self) {
        let Ok(Some(note)) = self.0.store.get_meta(VOTERS_NOTE).await else { return };
        let Some((cluster, ids)) = note.split_first_chunk() else { return };
        if ClusterId(*cluster) == self.standing().cluster && !self.leads() {
            self.known().voters = ids.as_chunks().0.iter().map(|id| NodeId(*id)).collect();
        }
    }

    /// Several nodes vote in this node's cluster: it gives way to no other, and none of them goes on alone.
    pub fn is_established(&self) -> bool {
        let role = self.role();
        if role.is_voter() && role.voters.len() > 1 {
            return true;
        }
        self.known().voters.len() > 1
    }

    /// Where this node stands, and whether its cluster can give way.
    pub(super) fn stand_now(&self) -> Stand {
        Stand { standing: self.standing(), established: self.is_established() }
    }

    /// The voters say who leads, so that no announce need.
    pub(super) fn knows_leader(&self) -> bool {
        let role = self.role();
        role.voters.iter().any(|(number, _)| *number == role.number) && (role.leader.is_some() || role.leads)
    }

    /// Whether this node may go on by itself when its leader is gone.
    pub(super) fn may_found(&self) -> bool {
        !self.role().is_voter() && !self.is_established()
    }

    /// Whether the node was removed from the cluster.
    pub(super) fn is_banned(&self, node: NodeId) -> bool {
        self.0.banned.read().unwrap_or_else(PoisonError::into_inner).contains(&node)
    }

    /// Looks again who was removed.
    pub(super) async fn refresh_banned(&self) {
        if let Ok(enlisted) = self.0.store.enlisted().await {
            let banned = enlisted.into_iter().filter(|(_, one)| one.access == Access::Banned).map(|(node, _)| node);
            let banned: BTreeSet<NodeId> = banned.collect();
            for node in &banned {
                if let Some(peer) = self.known().peers.get_mut(node) {
                    peer.admitted = false;
                }
            }
            *self.0.banned.write().unwrap_or_else(PoisonError::into_inner) = banned;
        }
    }
}

/// Following whom the voters elect.
impl Cluster {
    /// Stands where the voters say, for as long as this node is one of them.
    pub(super) async fn keep_standing(&self) {
        let mut role = self.0.consensus.role();
        let mut led = None;
        loop {
            let now = role.borrow_and_update().clone();
            if now.is_voter() {
                self.follow_election(&now, &mut led).await;
            } else {
                led = None;
            }
            self.refresh_banned().await;
            self.learn_names(&now).await;
            tokio::select! {
                () = self.0.stop.cancelled() => return,
                changed = role.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(LOOK_FOR_REMOVED) => {}
            }
        }
    }

    /// Names of voters that this node has never met, from the ledger: its operator is to be told of them by name.
    async fn learn_names(&self, role: &Role) {
        let others = role.voters.iter().map(|(_, node)| *node).filter(|node| *node != self.0.me);
        let mut nameless: BTreeSet<NodeId> = others.filter(|node| self.name_of(*node).is_empty()).collect();
        for event in [EventType::NodeOnline, EventType::NodeStart] {
            if nameless.is_empty() {
                return;
            }
            let query = LedgerQuery { limit: crate::store::MAX_ROWS, event: Some(event), ..LedgerQuery::default() };
            let Ok(page) = self.0.store.ledger(query).await else { return };
            for row in page.rows {
                if let Some((_, name)) = row.details.into_iter().find(|(key, _)| key == "name")
                    && nameless.remove(&row.node)
                {
                    self.known().peer(row.node).name = name;
                }
            }
        }
    }

    async fn follow_election(&self, role: &Role, led: &mut Option<u64>) {
        let Some(cluster) = role.cluster else { return };
        let votes = role.voters.iter().any(|(number, _)| *number == role.number);
        let leads = role.leads && role.quorum;
        let standing = self.standing();
        let leader = match role.leader {
            _ if leads => self.0.me,
            Some(leader) if leader != self.0.me => leader,
            // One that waits for the log follows who called it.
            None if !votes && standing.cluster == cluster && standing.leader != self.0.me => standing.leader,
            _ => NOBODY,
        };
        if role.leads && *led != Some(role.term) {
            self.take_over(role.term).await;
        }
        *led = role.leads.then_some(role.term);
        self.stand(Standing { cluster, leader });
    }

    /// This node was elected: who works for it is learned anew, but for those that it knows already.
    async fn take_over(&self, term: u64) {
        let new = self.standing().leader != self.0.me;
        let offers: Vec<_> = {
            let mut known = self.known();
            known.term = term;
            if new || known.leading_since.is_none() {
                known.leading_since = Some(Instant::now());
            }
            known.version = known.version.wrapping_add(1);
            if new {
                known.peers.values_mut().for_each(|peer| peer.member = None);
            }
            let ready = |(node, peer): (&NodeId, &super::books::Peer)| {
                let member = peer.member.as_ref().filter(|member| member.online && !member.leaving)?;
                Some((*node, member.offer.clone()?, member.load))
            };
            known.peers.iter().filter_map(ready).collect()
        };
        self.offer_own_slots().await;
        for (node, offer, load) in offers {
            self.0.driver.worker_up(node, offer, load).await;
        }
    }

    /// Whether this node can follow `theirs` by its own decision. A voter follows who is elected; one that votes alone
    /// or not at all first ends to be one.
    pub(super) async fn may_move(&self, theirs: Standing) -> bool {
        let role = self.role();
        let Some(cluster) = role.cluster else { return true };
        if cluster == theirs.cluster {
            if !self.knows_leader() {
                self.stand(theirs);
            }
            return false;
        }
        if self.is_established() {
            return false;
        }
        // An empty log of its own must be some cluster's before it can give way.
        let Some(found) = self.own_cluster() else { return false };
        let left = self.0.consensus.give_way(vec![found]).await;
        left.inspect_err(|error| tracing::warn!(%error, "this node does not give way: it cannot leave its voters"))
            .is_ok()
    }

    /// What founds a cluster of this node's own.
    pub(super) fn own_cluster(&self) -> Option<Command> {
        let id = new_cluster_id(&self.0.cluster_name, self.0.me).ok()?;
        Some(Command::Found { id, name: self.0.cluster_name.clone(), founder: self.0.me })
    }

    /// Another cluster of this name has several voters, too. Neither can give way; the operators must decide.
    pub(super) async fn stay_apart(&self, node: NodeId, cluster: ClusterId) {
        if self.merging_into().is_some() || self.expects(cluster) {
            return;
        }
        let due = {
            let mut known = self.known();
            let new = known.rivals.insert(cluster, (node, Instant::now())).is_none();
            // Said once by each process: the alarm stands in the status for as long as it is met.
            known.rivals.len() <= MAX_RIVALS && new
        };
        if due {
            tracing::error!(%node, %cluster, "another cluster of this name has several voters; the two stay apart");
            let reason =
                "another cluster of this name has several voters; the two stay apart until the operator decides";
            if self.was_alarmed(cluster).await {
                return;
            }
            let details = vec![("reason".into(), reason.into()), ("cluster_id".into(), cluster.to_string())];
            self.record(EventType::SecurityAlert, node, details).await;
        }
    }

    /// Whether the ledger has a row about that cluster: one is written for each pair, whoever leads.
    async fn was_alarmed(&self, cluster: ClusterId) -> bool {
        let query = LedgerQuery {
            limit: crate::store::MAX_ROWS,
            event: Some(EventType::SecurityAlert),
            ..LedgerQuery::default()
        };
        let id = cluster.to_string();
        let about =
            |row: &akita_core::LedgerRow| row.details.iter().any(|(key, value)| key == "cluster_id" && *value == id);
        self.0.store.ledger(query).await.is_ok_and(|page| page.rows.iter().any(about))
    }

    /// For how long this node has led; for ever where nobody was elected.
    pub(super) fn leading_for(&self) -> Duration {
        self.known().leading_since.map_or(Duration::MAX, |since| since.elapsed())
    }

    /// Other clusters of this name that this one cannot become one with.
    pub fn rivals(&self) -> Vec<(ClusterId, NodeId, String)> {
        let mut known = self.known();
        known.rivals.retain(|_, (_, met)| met.elapsed() < RIVAL_SHOWN);
        let name = |node: &NodeId| known.peers.get(node).map(|peer| peer.name.clone()).unwrap_or_default();
        known.rivals.iter().map(|(cluster, (node, _))| (*cluster, *node, name(node))).collect()
    }
}

/// For how long after it was last met another cluster is shown in the status: some announces.
const RIVAL_SHOWN: Duration = Duration::from_secs(3_600);

/// What the leader and other voters ask.
impl Cluster {
    /// Answers [`Raft`].
    pub(super) async fn voted(&self, node: NodeId, call: Raft) -> Vec<u8> {
        if self.role().cluster != Some(call.cluster) {
            return self.refuse(Refusal::OtherCluster, "this node votes on another log");
        }
        match self.0.consensus.handle(node, call).await {
            Ok(body) => Rafted { body }.encode(),
            Err(error) => {
                tracing::debug!(%node, error, "a voter's call is refused");
                self.refuse(Refusal::Invalid, &error)
            }
        }
    }

    /// Answers [`Recruit`].
    pub(super) async fn recruited(&self, node: NodeId, recruit: Recruit) -> Vec<u8> {
        let Some(profile) = Profile::from_number(recruit.profile) else {
            return self.refuse(Refusal::Invalid, "this version knows no such timing of voters");
        };
        let standing = self.standing();
        if standing.leader != node && self.knows_leader() || standing.cluster != recruit.cluster {
            return self.refuse(Refusal::NotLeader, "only the leader may have a node vote");
        }
        let role = self.role();
        if !role.is_voter() {
            match self.has_work_of_its_own().await {
                Ok(false) => {}
                Ok(true) => return self.refuse(Refusal::Invalid, "tasks on this node's own books have not ended yet"),
                Err(error) => return self.refuse(Refusal::Internal, &error),
            }
        }
        match self.0.consensus.join_voters(recruit.cluster, recruit.number, profile).await {
            Ok(()) => {
                tracing::info!(leader = %node, number = recruit.number, "this node receives the cluster's log");
                self.stand(Standing { cluster: recruit.cluster, leader: node });
                Recruited {}.encode()
            }
            Err(error) => self.refuse(Refusal::Internal, &error.to_string()),
        }
    }

    /// Has the leader write a row of the ledger. While nobody leads it is only in this node's log lines. Boxed, because
    /// who greets a node may have to greet the leader for it.
    pub(super) fn remark(self, remark: Remark) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let leader = self.standing().leader;
            if let Err(error) = Cluster::call::<Remarked>(&self, leader, &remark, self.patience(leader)).await {
                let Remark { event, node, .. } = remark;
                tracing::warn!(event = event.as_str(), about = %node, %error, "the ledger does not have this");
            }
        })
    }

    /// Writes a row of the ledger, the voters' where this node is one of them. Whether it is surely there.
    pub async fn write(&self, remark: Remark) -> bool {
        if self.role().is_voter() && !self.leads() {
            let leader = self.standing().leader;
            return tokio::select! {
                answer = Cluster::call::<Remarked>(self, leader, &remark, self.patience(leader)) => answer.is_ok(),
                () = self.leader_lost(leader) => false,
            };
        }
        let Remark { event, node, details } = remark;
        self.0.driver.commit(vec![Command::Record { event, node, details }]).await.is_ok()
    }

    /// Answers [`Remark`].
    pub(super) async fn remarked(&self, node: NodeId, remark: Remark) -> Vec<u8> {
        let role = self.role();
        if !self.leads() || !role.voters.iter().chain(&role.learners).any(|(_, voter)| *voter == node) {
            return self.refuse(Refusal::NotLeader, "only a voter may add to the ledger of the leader");
        }
        let Remark { event, node, details } = remark;
        match self.0.driver.commit(vec![Command::Record { event, node, details }]).await {
            Ok(()) => Remarked {}.encode(),
            Err(_) => self.refuse(Refusal::Internal, "nothing can be committed here now"),
        }
    }

    /// Whether tasks that this node's own log has accepted have neither ended nor gone to another.
    pub(super) async fn has_work_of_its_own(&self) -> Result<bool, String> {
        let live = [Status::Scheduled, Status::Pending, Status::Assigned, Status::Running];
        let counts = self.0.store.counts().await.map_err(|error| error.to_string())?;
        Ok(live.iter().any(|status| counts.get(status).is_some_and(|count| *count > 0)))
    }

    /// Answers [`Release`].
    pub(super) async fn released(&self, node: NodeId, release: Release) -> Vec<u8> {
        let role = self.role();
        if role.cluster != Some(release.cluster) || role.number != release.number {
            // Done before, or never begun.
            return Released {}.encode();
        }
        if self.standing().leader != node && self.knows_leader() {
            return self.refuse(Refusal::NotLeader, "only the leader may have a node vote no more");
        }
        match self.end_voting(Standing { cluster: release.cluster, leader: node }).await {
            Ok(()) => Released {}.encode(),
            Err(error) => self.refuse(Refusal::Internal, &error),
        }
    }

    /// Ends to vote, and works for `leader` under a log of its own.
    async fn end_voting(&self, theirs: Standing) -> Result<(), String> {
        let _one = self.0.moving.lock().await;
        let found = self.own_cluster().ok_or("the system gives no random numbers")?;
        let seal = Command::Seal { into: theirs.cluster, leader: theirs.leader };
        self.0.consensus.leave_voters(vec![found, seal]).await.map_err(|error| error.to_string())?;
        tracing::info!(leader = %theirs.leader, "this node votes no more");
        self.stand(theirs);
        Ok(())
    }

    /// Asks a node to begin with the log.
    pub(super) async fn recruit(&self, node: NodeId, number: u64, profile: Profile) -> Result<(), CallFailed> {
        let recruit = Recruit { cluster: self.standing().cluster, number, profile: profile as u8 };
        self.call::<Recruited>(node, &recruit, self.patience(node)).await.map(drop)
    }

    /// Tells a node that it votes no more.
    pub(super) async fn release(&self, node: NodeId, number: u64) -> Result<(), CallFailed> {
        let release = Release { cluster: self.standing().cluster, number };
        self.call::<Released>(node, &release, self.patience(node)).await.map(drop)
    }
}
