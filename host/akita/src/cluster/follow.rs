//! The worker's side: joining a leader, reporting to it, and noticing that it is gone.

use std::time::{Duration, Instant};

use akita_core::{
    Command, EventType, NodeId,
    membership::{Verdict, decide},
    tuning::SLOW_RTT_MS,
    wire::{Ask, Refusal, Report, Reported, Standing},
};

use super::{CallFailed, Cluster, peer_of};

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
            let theirs = self.greet(node).await?;
            let mine = self.standing();
            if decide(self.0.me, mine, node, theirs) == Verdict::Join {
                self.join(mine, theirs).await;
                return Ok(());
            }
            let elsewhere = theirs.leader != node && theirs.leader != self.0.me;
            if elsewhere && theirs.cluster < self.standing().cluster {
                node = theirs.leader;
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
        if mine != self.standing() || mine == theirs || theirs.leader == self.0.me {
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
            self.known().view = None;
            self.stand(theirs);
        }
    }

    /// Reports to the leader while there is another one; founds a cluster when it stays silent.
    pub(super) async fn follow(&self) {
        let mut silent_since: Option<Instant> = None;
        let mut recalled: Option<(Standing, Instant)> = None;
        let mut standing = self.0.standing.subscribe();
        loop {
            if self.leads() {
                tokio::select! {
                    () = self.0.stop.cancelled() => return,
                    _ = standing.wait_for(|standing| standing.leader != self.0.me) => silent_since = None,
                }
            }
            let pause = match self.report(false).await {
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
                    if since.elapsed() >= self.leader_patience() && !self.leads() {
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
        };
        let wait = self.leader_patience();
        let answer: Reported = match self.call(leader, &report, wait).await {
            Err(CallFailed::Refused(refused)) if refused.why == Refusal::NotLeader => {
                let Some(standing) = refused.standing else { return Err(CallFailed::Refused(refused)) };
                return self.go_on(report.standing, standing).await;
            }
            other => other?,
        };
        if answer.standing != standing {
            // The same leader under a new log: it was alone for a while.
            self.join(standing, answer.standing).await;
        }
        self.refresh_view(leader, answer.view).await;
        Ok(())
    }

    /// The leader says that it stands elsewhere now.
    async fn go_on(&self, mine: Standing, standing: Standing) -> Result<(), CallFailed> {
        if standing.leader == self.0.me {
            // It followed this node, which has restarted or founded anew since: one of the two must lead.
            self.found("the leader follows this node").await;
            return Ok(());
        }
        tracing::info!(old = %mine.leader, new = %standing.leader, "the leader gave way to another");
        let theirs = self.greet(standing.leader).await?;
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
