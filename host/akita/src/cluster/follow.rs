//! The worker's side: joining a leader, reporting to it, and noticing that it is gone.

use std::time::{Duration, Instant};

use akita_core::{
    Command, EventType, NodeId,
    membership::{Stand, Verdict, decide},
    tuning::SLOW_RTT_MS,
    wire::{Ask, KnownVoters, Refusal, Report, Reported, Standing, voters_digest},
};

use super::{CallFailed, Cluster, NOBODY, peer_of};
use crate::killpoint::Point;

/// Pause between two attempts to reach a leader that does not answer.
const RETRY: Duration = Duration::from_secs(1);
/// Round trips to a leader behind a slow link before its silence means anything.
const ROUND_TRIPS: u32 = 20;
/// Pause between two looks at the leader's view of the cluster, for each node in it.
const VIEW_PER_NODE: Duration = Duration::from_millis(250);
/// Steps from one leader to the next that one reply may cause: leaders that point at each other must not spin.
const MAX_STEPS: usize = 4;

impl Cluster {
    /// Greets a node and, if it leads on, joins it. If it follows another that leads on, joins that one.
    pub(super) async fn meet(&self, node: NodeId) -> Result<(), CallFailed> {
        let mut node = node;
        for _ in 0..MAX_STEPS {
            if self.is_banned(node) {
                return Ok(());
            }
            let theirs = self.greet(node).await?;
            let mine = self.stand_now();
            let Standing { cluster, leader } = theirs.standing;
            match decide(self.0.me, mine, node, theirs) {
                Verdict::Join if leader == node => {
                    self.join(mine.standing, theirs.standing).await;
                    return Ok(());
                }
                Verdict::Apart => {
                    self.stay_apart(node, cluster).await;
                    return Ok(());
                }
                _ => {}
            }
            let elsewhere = leader != node && leader != self.0.me && leader != NOBODY;
            let leads_on = match (mine.established, theirs.established) {
                (true, _) => false,
                (false, true) => cluster != mine.standing.cluster,
                (false, false) => cluster < mine.standing.cluster,
            };
            if elsewhere && leads_on {
                node = leader;
            } else {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Follows the leader of `theirs`. A leader gives way: its log is sealed before anybody hears of it.
    /// Does nothing if this node does not stand at `mine` any more, where that was decided.
    async fn join(&self, mine: Standing, theirs: Standing) {
        let _one = self.0.moving.lock().await;
        if mine != self.standing() || mine == theirs || theirs.leader == self.0.me || theirs.leader == NOBODY {
            return;
        }
        if !self.may_move(theirs).await {
            return;
        }
        let Standing { cluster: into, leader } = theirs;
        let mut commands = vec![Command::Seal { into, leader }];
        commands.push(Command::Record {
            event: EventType::ClusterJoin,
            node: self.0.me,
            details: vec![("cluster_id".into(), into.to_string()), ("leader".into(), leader.to_string())],
        });
        if self.0.driver.commit(commands).await.is_ok() {
            Point::AfterSealCommitted.reach();
            {
                let mut known = self.known();
                known.view = None;
                if into != mine.cluster {
                    known.voters.clear();
                }
            }
            self.stand(theirs);
        }
    }

    /// Reports to the leader while there is another one; founds a cluster when it stays silent.
    pub(super) async fn follow(&self) {
        let mut silent_since: Option<Instant> = None;
        let mut recalled: Option<(Standing, Instant)> = None;
        let mut standing = self.0.standing.subscribe();
        let mut asked = 0;
        loop {
            if self.leads() {
                tokio::select! {
                    () = self.0.stop.cancelled() => return,
                    _ = standing.wait_for(|standing| standing.leader != self.0.me) => silent_since = None,
                }
            }
            let leader = self.standing().leader;
            let reported = tokio::select! {
                reported = self.report(false) => reported,
                // Elected meanwhile: it need not wait for one that is gone.
                _ = standing.wait_for(|standing| standing.leader != leader) => continue,
            };
            let pause = match reported {
                Ok(()) => {
                    silent_since = None;
                    self.0.leader_silent.send_replace(false);
                    self.recall(&mut recalled).await;
                    self.0.deliver_now.notify_one();
                    self.report_pause()
                }
                Err(error) => {
                    let since = *silent_since.get_or_insert_with(Instant::now);
                    self.0.leader_silent.send_replace(true);
                    tracing::debug!(%error, "the leader does not answer");
                    if !self.may_found() {
                        // Another voter leads, or knows who does; what nobody takes is kept here.
                        asked += 1;
                        tokio::select! {
                            () = self.look_for_leader(asked) => {}
                            // Elected meanwhile: it must not wait for a report until one that is off has been given up.
                            _ = standing.wait_for(|standing| standing.leader != leader) => continue,
                        }
                    } else if since.elapsed() >= self.leader_patience() && !self.leads() {
                        self.found("the leader was silent for too long").await;
                        continue;
                    }
                    RETRY
                }
            };
            tokio::select! {
                () = self.0.stop.cancelled() => return,
                () = self.0.report_now.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Asks after tasks that this node gave out before it gave way: nobody reports on them any more.
    async fn recall(&self, last: &mut Option<(Standing, Instant)>) {
        let every = Duration::from_millis(self.0.tuning.node_timeout);
        let standing = self.standing();
        if last.is_none_or(|(then, at)| then != standing || at.elapsed() >= every) {
            *last = Some((standing, Instant::now()));
            self.0.driver.recall(None).await;
        }
    }

    /// Silence of the leader after which this node goes on without it, and the longest wait for one of its answers.
    fn leader_patience(&self) -> Duration {
        let rtt = Duration::from_millis(u64::from(self.rtt_ms(self.standing().leader)));
        self.0.election_timeout.max(rtt * ROUND_TRIPS)
    }

    fn report_pause(&self) -> Duration {
        Duration::from_millis(self.0.tuning.report_interval(self.rtt_ms(self.standing().leader)))
    }

    /// Round trip to a node in milliseconds; 0 where it was not measured.
    pub fn rtt_ms(&self, node: NodeId) -> u32 {
        let rtt = self.0.mesh.peer(peer_of(node)).and_then(|peer| peer.rtt).unwrap_or_default();
        u32::try_from(rtt.as_millis()).unwrap_or(u32::MAX)
    }

    /// One report to the leader; follows it to where it went.
    pub(super) async fn report(&self, leaving: bool) -> Result<(), CallFailed> {
        let standing = self.standing();
        let leader = standing.leader;
        self.report_to(leader, standing, leaving).await
    }

    /// The same, to a node that may know who leads.
    pub(super) async fn report_to(&self, leader: NodeId, standing: Standing, leaving: bool) -> Result<(), CallFailed> {
        let load = self.own_load();
        let offered = self.offered();
        let report = Report {
            standing,
            incarnation: self.0.incarnation,
            digest: offered.digest,
            slots: offered.offer.slots,
            running: u16::try_from(self.0.executor.held()).unwrap_or(u16::MAX),
            cpu: load.cpu_percent,
            memory: load.memory_percent,
            rtt_ms: self.rtt_ms(leader),
            leaving,
            parked: load.parked,
            voters: self.known_voters(),
        };
        let wait = self.leader_patience();
        let answer: Reported = match self.call(leader, &report, wait).await {
            Err(CallFailed::Refused(refused)) if refused.why == Refusal::NotLeader => {
                let Some(standing) = refused.standing else { return Err(CallFailed::Refused(refused)) };
                return self.go_on(report.standing, standing).await;
            }
            Err(CallFailed::Refused(refused)) if refused.why == Refusal::Older => {
                let before = self.known().turned_away.replace(refused.detail.clone());
                if before.is_none() {
                    tracing::error!(leader = %leader, reason = refused.detail, "the leader leaves this voter out");
                }
                return Err(CallFailed::Refused(refused));
            }
            other => other?,
        };
        self.known().turned_away = None;
        if let Some(voters) = answer.voters.filter(|voters| voters.len() <= akita_core::wire::MAX_VOTERS) {
            self.remember_voters(answer.standing.cluster, voters).await;
        }
        if answer.standing != standing {
            // The same leader under a new log: it was alone for a while.
            self.join(standing, answer.standing).await;
        }
        self.refresh_view(leader, answer.view).await;
        Ok(())
    }

    fn known_voters(&self) -> Option<KnownVoters> {
        let number = self.role().number;
        let digest = voters_digest(&self.known().voters);
        (number != 0 || digest != 0).then_some(KnownVoters { digest, number })
    }

    /// Asks one voter after the other who leads.
    async fn look_for_leader(&self, turn: usize) {
        let others: Vec<NodeId> = {
            let known = self.known();
            let role = self.role();
            let all = known.voters.iter().copied().chain(role.voters.into_iter().map(|(_, node)| node));
            all.filter(|node| *node != self.0.me).collect()
        };
        if others.is_empty() {
            return;
        }
        let node = others[turn % others.len()];
        let standing = self.standing();
        if let Err(error) = self.report_to(node, standing, false).await {
            tracing::debug!(%node, %error, "this voter does not know who leads");
        }
    }

    /// The leader says that it stands elsewhere now.
    async fn go_on(&self, mine: Standing, standing: Standing) -> Result<(), CallFailed> {
        if standing.leader == NOBODY || standing.leader == self.0.me && !self.may_found() {
            return Err(CallFailed::NoLeader);
        }
        if standing.leader == self.0.me {
            // It followed this node, which has restarted or founded anew since: one of the two must lead.
            self.found("the leader follows this node").await;
            return Ok(());
        }
        tracing::info!(old = %mine.leader, new = %standing.leader, "the leader gave way to another");
        let Stand { standing: theirs, .. } = self.greet(standing.leader).await?;
        if theirs.leader == standing.leader {
            self.join(mine, theirs).await;
        }
        Ok(())
    }

    async fn refresh_view(&self, leader: NodeId, version: u32) {
        // Kilobytes that somebody may look at one day: not over a link where they cost a minute.
        let slow = self.rtt_ms(leader) >= SLOW_RTT_MS;
        let fresh = {
            let known = self.known();
            // Of a large cluster it is large, changes all the time, and every node would ask for it.
            let pause = VIEW_PER_NODE * known.view.as_ref().map_or(0, |view| view.nodes.len() as u32);
            let lately = known.viewed.is_some_and(|viewed| viewed.elapsed() < pause);
            known.view.is_some() && (lately || version == known.version)
        };
        if slow || fresh {
            return;
        }
        if let Ok(Some(view)) = self.ask(leader, &Ask::View, Duration::ZERO).await {
            let mut known = self.known();
            known.view = Some(view);
            known.version = version;
            known.viewed = Some(Instant::now());
        }
    }
}
