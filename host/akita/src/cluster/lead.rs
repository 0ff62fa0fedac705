//! The leader's side: who works for it, what they offer, who went silent, and the view that everybody is shown.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use akita_core::{
    Command, EventType, NodeId,
    schedule::{Load, Offer},
    tuning::MAX_RTT_MS,
    versions::Versions,
    wire::{Catalog, GetCatalog, Message, NodeView, Refusal, Report, Reported, View, voters_digest},
};

use super::{Cluster, books::Member, peer_of};
use crate::{driver::Incoming, view::NodeError};

/// How often silence is looked for.
const WATCH: Duration = Duration::from_millis(500);
/// How often a leader looks into its own outbox, beside once when it begins to lead.
const OUTBOX: Duration = Duration::from_secs(10);
/// A node offline for so long is no longer shown.
const FORGET: Duration = Duration::from_secs(24 * 3600);

/// How long a submission may wait for nodes to say what they offer: some reports and a catalogue on a LAN, of machines that
/// are busy. Behind a slow link it may take longer; then the submitter is told that nobody is known to have the action.
pub(super) const OFFERS_WAIT: Duration = Duration::from_secs(15);
/// Between two looks meanwhile.
const OFFERS_LOOK: Duration = Duration::from_millis(50);

/// Slots that a node may claim: a number from the wire must not make the leader send it everything.
const MAX_SLOTS: u16 = 256;

/// What a report changes.
struct News {
    joined: bool,
    online: bool,
    restarted: bool,
    fetch: bool,
}

impl Cluster {
    /// Answers a worker's report.
    pub(super) async fn reported(&self, node: NodeId, report: Report) -> Vec<u8> {
        if !self.leads() {
            return self.refuse(Refusal::NotLeader, "this node does not lead");
        }
        let number = report.voters.map_or(0, |voters| voters.number);
        if number != 0 && self.0.consensus.came_back_older().contains(&number) {
            let detail = "this node came back with an older copy of its log than it had, and takes no part in the vote";
            return self.refuse(Refusal::Older, detail);
        }
        let news = self.note(node, &report);
        if news.restarted {
            // A new process knows nothing of the tasks that the old one held.
            self.0.driver.worker_lost(node).await;
        }
        if news.joined || news.online {
            let name = self.known().peer(node).name.clone();
            let row = |event| Command::Record { event, node, details: vec![("name".into(), name.clone())] };
            let mut rows = vec![row(EventType::NodeOnline)];
            if news.joined {
                rows.insert(0, row(EventType::ClusterJoin));
            }
            let _ = self.0.driver.commit(rows).await;
            tracing::info!(%node, name, "a node is online");
        }
        if news.joined {
            // Since this leader last knew it, it may have lost its tasks with its process.
            self.0.driver.recall(Some(node)).await;
        }
        if report.leaving {
            self.0.driver.worker_leaving(node).await;
        } else if news.fetch {
            let cluster = self.clone();
            self.0.tasks.spawn(async move { cluster.fetch_catalog(node).await });
        } else {
            self.0.driver.worker_load(node, load_of(&report)).await;
        }
        let view = self.known().version;
        let known = report.voters.map_or(0, |voters| voters.digest);
        let voters = Some(self.voters()).filter(|voters| voters_digest(voters) != known);
        Reported { standing: self.standing(), view, voters }.encode()
    }

    fn note(&self, node: NodeId, report: &Report) -> News {
        let mut known = self.known();
        let peer = known.peer(node);
        peer.lost_link = None;
        peer.standing = Some(report.standing);
        let joined = peer.member.is_none();
        let member = peer.member.get_or_insert_with(|| Member {
            incarnation: report.incarnation,
            slots: report.slots.min(MAX_SLOTS),
            digest: report.digest,
            offer: None,
            load: load_of(report),
            running: 0,
            last_heard: Instant::now(),
            online: false,
            since: Instant::now(),
            number: 0,
            leaving: false,
            fetching: false,
        });
        let restarted = member.incarnation != report.incarnation;
        let online = !member.online;
        if restarted || member.digest != report.digest || online {
            member.offer = None;
        }
        // Of a process that is gone nothing will come.
        let fetch = member.offer.is_none() && (!member.fetching || restarted);
        member.fetching |= fetch;
        member.incarnation = report.incarnation;
        member.digest = report.digest;
        member.load = load_of(report);
        member.slots = report.slots.min(MAX_SLOTS);
        member.running = report.running;
        member.last_heard = Instant::now();
        if online || restarted {
            member.since = Instant::now();
        }
        member.number = report.voters.map_or(0, |voters| voters.number);
        member.online = true;
        member.leaving = report.leaving;
        if joined || online || restarted {
            known.version = known.version.wrapping_add(1);
        }
        News { joined, online, restarted, fetch }
    }

    async fn fetch_catalog(&self, node: NodeId) {
        let catalog = self.call::<Catalog>(node, &GetCatalog {}, self.patience(node)).await;
        let (slots, load) = {
            let mut known = self.known();
            let Some(member) = known.peer(node).member.as_mut() else { return };
            member.fetching = false;
            (member.slots, member.load)
        };
        match catalog {
            Ok(catalog) => {
                let catalog = catalog.cleaned();
                let actions = catalog.actions.into_iter().collect();
                let offer = Offer {
                    slots,
                    versions: Versions::unpack(&catalog.versions, &actions),
                    actions,
                    capabilities: catalog.capabilities.into_iter().collect(),
                    caps: catalog.caps.into_iter().collect(),
                };
                self.take_offer(node, catalog.digest, offer, load).await;
            }
            Err(error) => tracing::debug!(%node, %error, "its catalogue did not arrive; the next report asks again"),
        }
    }

    async fn take_offer(&self, node: NodeId, digest: [u8; 8], offer: Offer, load: Load) {
        {
            let mut known = self.known();
            let Some(member) = known.peer(node).member.as_mut() else { return };
            if member.digest != digest || member.leaving || !member.online {
                return;
            }
            member.offer = Some(offer.clone());
            known.version = known.version.wrapping_add(1);
        }
        tracing::info!(%node, actions = offer.actions.len(), capabilities = ?offer.capabilities, "a worker is ready");
        self.0.driver.worker_up(node, offer, load).await;
    }

    /// Submits, and again while nobody is known to have an action of it but some node may: one that is there and has not
    /// told yet what it offers, or any where this node has only just begun to lead.
    ///
    /// # Errors
    /// What `submit` gives.
    pub async fn when_offers_are_known<T, F>(
        &self,
        tasks: Vec<Incoming>,
        submit: impl Fn(Vec<Incoming>) -> F,
    ) -> Result<T, NodeError>
    where
        F: Future<Output = Result<T, NodeError>>,
    {
        let deadline = Instant::now() + OFFERS_WAIT;
        while Instant::now() < deadline && self.awaits_offers() {
            match submit(tasks.clone()).await {
                Err(NodeError::NoSuchAction { .. }) => {}
                other => return other,
            }
            tokio::select! {
                () = self.0.stop.cancelled() => return Err(NodeError::Stopping),
                () = tokio::time::sleep(OFFERS_LOOK) => {}
            }
        }
        let awaited = self.awaits_offers();
        submit(tasks).await.map_err(|error| match error {
            NodeError::NoSuchAction { detail, .. } if awaited => {
                let hint =
                    "a node has not said yet what it offers: try again in a while; `akita cluster status` shows it";
                NodeError::NoSuchAction { detail, hint: hint.into() }
            }
            other => other,
        })
    }

    fn awaits_offers(&self) -> bool {
        let untold = |member: &Member| member.online && !member.leaving && member.offer.is_none();
        // One that was just elected may not even have met who has the action.
        self.leading_for() < OFFERS_WAIT
            || self.known().peers.values().filter_map(|peer| peer.member.as_ref()).any(untold)
    }

    /// Notices who went silent, while this node leads, and keeps the scheduler told of its own load.
    pub(super) async fn lead(&self) {
        let mut started = Instant::now();
        let mut looked_for_absent = false;
        let mut outbox_due = None;
        let mut announced = started;
        let mut tick = tokio::time::interval(WATCH);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.0.stop.cancelled() => return,
                _ = tick.tick() => {}
            }
            self.0.driver.worker_load(self.0.me, self.own_load()).await;
            if announced.elapsed() >= self.0.discovery_interval && self.known().peers.is_empty() {
                announced = Instant::now();
                self.announce();
            }
            if !self.leads() {
                outbox_due = None;
                if self.role().is_voter() {
                    // Elected later, it looks anew for who does not come.
                    (started, looked_for_absent) = (Instant::now(), false);
                }
                continue;
            }
            for node in self.silent() {
                self.lose(node).await;
            }
            if !looked_for_absent && started.elapsed() >= Duration::from_millis(self.0.tuning.node_timeout) {
                // Workers from before a restart that have not come back.
                looked_for_absent = true;
                for node in self.0.driver.absent().await {
                    self.0.driver.worker_lost(node).await;
                }
            }
            if outbox_due.is_none_or(|due| Instant::now() >= due) {
                outbox_due = Some(Instant::now() + OUTBOX);
                if let Err(error) = self.flush_outbox().await {
                    tracing::debug!(%error, "the outbox waits");
                }
                let cluster = self.clone();
                // Beside this loop, which must not wait for a commit that most voters have to agree to.
                self.0.tasks.spawn(async move {
                    if let Err(error) = cluster.bring_journal().await {
                        tracing::debug!(%error, "the journal waits");
                    }
                });
            }
        }
    }

    fn silent(&self) -> Vec<NodeId> {
        let mut known = self.known();
        let forget = |peer: &super::books::Peer| {
            peer.member.as_ref().is_some_and(|member| !member.online && member.last_heard.elapsed() > FORGET)
        };
        known.peers.values_mut().filter(|peer| forget(peer)).for_each(|peer| peer.member = None);
        let is_silent = |node: &NodeId, peer: &super::books::Peer| {
            let Some(member) = peer.member.as_ref().filter(|member| member.online) else { return false };
            // One that said goodbye and hung up is gone; one whose link broke may come back.
            if member.leaving && peer.lost_link.is_some() {
                return true;
            }
            // It reports as seldom as the link asks for by its own measure.
            let patience = self.0.tuning.patience(self.rtt_ms(*node).max(member.load.rtt_ms));
            member.last_heard.elapsed() > Duration::from_millis(patience)
        };
        known.peers.iter().filter(|(node, peer)| is_silent(node, peer)).map(|(node, _)| *node).collect()
    }

    async fn lose(&self, node: NodeId) {
        let (name, left) = {
            let mut known = self.known();
            known.version = known.version.wrapping_add(1);
            let peer = known.peer(node);
            let Some(member) = peer.member.as_mut() else { return };
            member.online = false;
            member.since = Instant::now();
            member.offer = None;
            (peer.name.clone(), peer.member.as_ref().is_some_and(|member| member.leaving))
        };
        tracing::warn!(%node, name, left, "a node is offline; its tasks go to others");
        self.0.driver.worker_lost(node).await;
        let why = if left { "it was shut down" } else { "it was silent for too long" };
        self.record(EventType::NodeOffline, node, vec![("name".into(), name), ("reason".into(), why.into())]).await;
    }

    /// The cluster as this node leads it, itself first.
    pub fn view(&self) -> View {
        let (load, offer) = (self.own_load(), self.offer());
        let me = NodeView {
            node: self.0.me,
            name: self.0.name.clone(),
            online: true,
            leads: self.leads(),
            capabilities: offer.capabilities.into_iter().collect(),
            actions: offer.actions.into_iter().collect(),
            slots: offer.slots,
            running: u16::try_from(self.0.executor.held()).unwrap_or(u16::MAX),
            cpu: load.cpu_percent,
            memory: load.memory_percent,
            silent_ms: 0,
            hops: Some(0),
            rtt_ms: Some(0),
        };
        let silent = self.silent_voters();
        let known = self.known();
        // Voters that this leader has never heard: they died with the leader before, or before it.
        let dead = silent.iter().filter(|node| known.peers.get(node).is_none_or(|peer| peer.member.is_none()));
        let dead = dead.map(|node| NodeView {
            node: *node,
            name: known.peers.get(node).map(|peer| peer.name.clone()).unwrap_or_default(),
            online: false,
            leads: false,
            silent_ms: u64::try_from(known.leading_since.map_or(0, |since| since.elapsed().as_millis()))
                .unwrap_or(u64::MAX),
            ..NodeView::default()
        });
        let members = known.peers.iter().filter_map(|(node, peer)| {
            let member = peer.member.as_ref()?;
            let offer = member.offer.clone().unwrap_or_default();
            Some(NodeView {
                node: *node,
                name: peer.name.clone(),
                online: member.online,
                leads: false,
                capabilities: offer.capabilities.into_iter().collect(),
                actions: offer.actions.into_iter().collect(),
                slots: member.slots,
                running: member.running,
                cpu: member.load.cpu_percent,
                memory: member.load.memory_percent,
                silent_ms: u64::try_from(member.last_heard.elapsed().as_millis()).unwrap_or(u64::MAX),
                hops: self.0.mesh.peer(peer_of(*node)).and_then(|info| info.hops).or(peer.hops),
                rtt_ms: Some(nearer(self.rtt_ms(*node), member.load.rtt_ms)),
            })
        });
        let nodes = std::iter::once(me).chain(members).chain(dead).collect();
        let (term, merging_into) = (known.term, known.merging);
        drop(known);
        let (rivals, turn) = (self.rivals(), self.key_turn_now());
        View { standing: self.standing(), term, open: self.is_open(), nodes, rivals, turn, merging_into }
    }

    /// The leader's last view, as this node heard it.
    pub fn last_view(&self) -> Option<View> {
        self.known().view.clone()
    }
}

/// Milliseconds of a round trip that both ends have measured, or neither (0): each took at least what the link takes, and
/// more where a machine was busy.
pub(super) fn nearer(own: u32, theirs: u32) -> u32 {
    if own == 0 || theirs == 0 { own.max(theirs) } else { own.min(theirs) }
}

fn load_of(report: &Report) -> Load {
    Load {
        cpu_percent: report.cpu.min(100),
        memory_percent: report.memory.min(100),
        rtt_ms: report.rtt_ms.min(MAX_RTT_MS),
        parked: report.parked.min(report.running),
    }
}

#[cfg(test)]
mod tests {
    use super::nearer;

    #[test]
    fn a_round_trip_is_what_the_end_that_was_less_busy_has_measured() {
        assert_eq!([nearer(0, 0), nearer(0, 7), nearer(7, 0), nearer(1_400, 3), nearer(3, 1_400)], [0, 7, 7, 3, 3]);
    }
}
