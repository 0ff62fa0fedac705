//! What the operator may ask of a cluster's nodes: the leader does it, whoever was asked. Who should vote by itself is
//! decided in `autopilot`.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use akita_core::{
    Command, EventType, NodeId,
    autopilot::Profile,
    command::Access,
    state::Enlisted,
    wire::{Govern, Governed, Message, Refusal, Refused, Standing, Wish},
};

use super::{CallFailed, Cluster, NOBODY};
use crate::view::NodeError;

/// Time for a voter to begin to lead after it was asked to.
const TRANSFER_WAIT: Duration = Duration::from_secs(10);
/// Before a node that was just elected is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(200);

impl Cluster {
    /// Has another voter lead before this one stops, so that nobody need wait for its silence.
    pub async fn hand_over_lead(&self) {
        let role = self.role();
        let answering = self.0.consensus.answering();
        let other = role.voters.iter().find(|(number, _)| answering.contains(number)).map(|(_, node)| *node);
        if let Some(other) = other.filter(|_| self.leads() && role.voters.len() > 1)
            && let Err(error) = self.hand_lead_to(other).await
        {
            tracing::info!(error, "the lead could not be handed over; the others elect when this node is gone");
        }
    }
}

/// The operator's wishes.
impl Cluster {
    /// Waits until this node follows whom it handed the lead to, for as long as that may take.
    pub async fn other_leads(&self) {
        let mut standing = self.0.standing.subscribe();
        let other = standing.wait_for(|standing| ![NOBODY, self.0.me].contains(&standing.leader));
        let _ = tokio::time::timeout(TRANSFER_WAIT, other).await;
    }

    /// Has the leader do it.
    ///
    /// # Errors
    /// Nobody leads, or the leader does not want to.
    pub async fn govern(&self, wish: Wish, node: NodeId) -> Result<String, NodeError> {
        let (begun, govern) = (Instant::now(), Govern { wish, node });
        loop {
            let leader = self.standing().leader;
            let done = if leader == self.0.me {
                self.govern_here(&govern).await.map_err(CallFailed::Refused)
            } else {
                let wait = self.patience(leader) + TRANSFER_WAIT + Duration::from_secs(60);
                self.call::<Governed>(leader, &govern, wait).await
            };
            let again = match &done {
                // Elected this moment, it does not know yet, or another is; or another voter was faster than the one that is
                // to lead, and hands the lead on.
                Err(CallFailed::Refused(refusal)) => refusal.why == Refusal::NotLeader,
                Err(CallFailed::NoLeader) => wish == Wish::Lead,
                _ => false,
            };
            if again && begun.elapsed() < TRANSFER_WAIT {
                tokio::time::sleep(ASK_AGAIN).await;
                continue;
            }
            return done.map(|answer| answer.detail).map_err(|error| match error {
                CallFailed::Refused(refusal) => refused(refusal.detail),
                error => NodeError::Unavailable {
                    detail: format!("the leader cannot be reached: {error}"),
                    hint: "`akita cluster members` shows who votes; where most of them are gone for good, see \
                           `akita cluster force-new --help`"
                        .into(),
                },
            });
        }
    }

    /// Answers [`Govern`].
    pub(super) async fn governed(&self, govern: Govern) -> Vec<u8> {
        match self.govern_here(&govern).await {
            Ok(governed) => governed.encode(),
            Err(refused) => refused.encode(),
        }
    }

    /// Does it, as the leader.
    async fn govern_here(&self, govern: &Govern) -> Result<Governed, Refused> {
        if !self.leads() {
            return Err(self.refusal(Refusal::NotLeader, "this node does not lead"));
        }
        self.fulfil(govern.wish, govern.node).await.map(|detail| Governed { detail }).map_err(|why| {
            let lost = govern.wish == Wish::Lead && !self.leads();
            self.refusal(if lost { Refusal::NotLeader } else { Refusal::Invalid }, &why)
        })
    }

    async fn fulfil(&self, wish: Wish, node: NodeId) -> Result<String, String> {
        let _one = self.0.governing.lock().await;
        let enlisted = self.enlisted().await?;
        let access = enlisted.get(&node).map(|one| one.access);
        match wish {
            Wish::Promote => {
                if access == Some(Access::Banned) {
                    return Err(format!("{node} was removed; let it in again with: akita cluster admit {node}"));
                }
                if access == Some(Access::Worker) {
                    self.commit(Command::Dismiss { node, to: None }).await?;
                }
                Ok("it votes as soon as it is there, near and steady, and there are enough for 3 or 5 voters".into())
            }
            Wish::Demote => {
                self.stop_voting(node, &enlisted).await?;
                self.commit(Command::Dismiss { node, to: Some(Access::Worker) }).await?;
                self.tell_released(node, &enlisted).await;
                Ok("it votes no more, and goes on to work".into())
            }
            Wish::Leave => {
                self.stop_voting(node, &enlisted).await?;
                self.commit(Command::Dismiss { node, to: None }).await?;
                // So that it is not asked to vote again before it is gone.
                if let Some(member) = self.known().peers.get_mut(&node).and_then(|peer| peer.member.as_mut()) {
                    member.leaving = true;
                }
                self.tell_released(node, &enlisted).await;
                Ok("it votes no more".into())
            }
            Wish::Remove => {
                if node == self.0.me {
                    return Err("the leader cannot remove itself; hand the lead over first: \
                                akita cluster transfer-leadership NODE"
                        .into());
                }
                self.stop_voting(node, &enlisted).await?;
                self.tell_released(node, &enlisted).await;
                self.commit(Command::Dismiss { node, to: Some(Access::Banned) }).await?;
                self.refresh_banned().await;
                self.turn_away(node).await;
                Ok("it is not let in again; its tasks go to others".into())
            }
            Wish::Admit => {
                if access != Some(Access::Banned) {
                    return Err("that node was not removed".into());
                }
                self.commit(Command::Dismiss { node, to: None }).await?;
                self.refresh_banned().await;
                Ok("it is let in when it comes; it may wait for up to ten minutes, or be started again".into())
            }
            Wish::Lead => self.hand_lead_to(node).await,
            Wish::RotateKey { grace_ms } => self.rotate_key(grace_ms).await,
            Wish::Merge { into } => self.merge_into(into).await,
        }
    }

    /// Takes a node out of the voters and of those that receive the log, if the others can go on without it.
    async fn stop_voting(&self, node: NodeId, enlisted: &BTreeMap<NodeId, Enlisted>) -> Result<(), String> {
        let role = self.role();
        if role.learners.iter().any(|(_, one)| *one == node) {
            return match enlisted.get(&node) {
                Some(one) => self.0.consensus.drop_learner(one.number).await,
                None => Ok(()),
            };
        }
        if !role.voters.iter().any(|(_, one)| *one == node) {
            return Ok(());
        }
        if node == self.0.me {
            return Err("the leader votes; hand the lead over first: akita cluster transfer-leadership NODE".into());
        }
        let left: Vec<_> = role.voters.iter().filter(|(_, one)| *one != node).collect();
        let answering = self.0.consensus.answering();
        let alive = left.iter().filter(|(number, one)| *one == self.0.me || answering.contains(number)).count();
        if alive * 2 <= left.len() {
            return Err(format!("of the {} voters left only {alive} would answer, too few to go on", left.len()));
        }
        self.change_voters(&[], Some(node), enlisted).await
    }

    async fn tell_released(&self, node: NodeId, enlisted: &BTreeMap<NodeId, Enlisted>) {
        if let Some(one) = enlisted.get(&node)
            && let Err(error) = self.release(node, one.number).await
        {
            tracing::info!(%node, %error, "it hears that it votes no more when it is back");
        }
    }

    /// Has nothing more to do with a node that was removed.
    async fn turn_away(&self, node: NodeId) {
        let was = {
            let mut known = self.known();
            known.version = known.version.wrapping_add(1);
            known.peers.get_mut(&node).and_then(|peer| {
                peer.admitted = false;
                peer.member.take()
            })
        };
        if was.is_some() {
            self.0.driver.worker_lost(node).await;
        }
    }

    /// Goes on alone with all that this voter's copy of the log holds, as a new cluster.
    ///
    /// # Errors
    /// This node is no voter, somebody leads, or the log cannot be written.
    pub async fn force_new(&self) -> Result<String, NodeError> {
        let role = self.role();
        let Some(old) = role.cluster else {
            return Err(refused("this node is not one of several voters; there is nothing to force".into()));
        };
        if role.leader.is_some() || role.leads && role.quorum {
            return Err(refused("the voters have a leader; nothing is lost that must be forced".into()));
        }
        let _one = self.0.moving.lock().await;
        let internal = |error: &dyn std::fmt::Display| NodeError::Internal(error.to_string());
        self.0.consensus.go_on_alone().await.map_err(|error| internal(&error))?;
        let id = super::new_cluster_id(&self.0.cluster_name, self.0.me).map_err(|error| internal(&error))?;
        let found = Command::Found { id, name: self.0.cluster_name.clone(), founder: self.0.me };
        let details =
            vec![("forced_new_cluster".to_owned(), id.to_string()), ("instead_of".to_owned(), old.to_string())];
        let note = Command::Record { event: EventType::ConfigChange, node: self.0.me, details };
        self.0.driver.commit(vec![found, note]).await.map_err(|error| internal(&error))?;
        {
            let mut known = self.known();
            known.voters.clear();
            known.term += 1;
        }
        self.stand(Standing { cluster: id, leader: self.0.me });
        self.offer_own_slots().await;
        Ok(format!("this node leads the new cluster {id}; the others join it with empty data directories"))
    }

    /// Why this node cannot hand the lead over; once it stands where the others do.
    async fn another_leads(&self) -> String {
        self.other_leads().await;
        "another voter began to lead instead".into()
    }

    async fn hand_lead_to(&self, node: NodeId) -> Result<String, String> {
        let role = self.role();
        if node == self.0.me {
            return Ok("it leads already".into());
        }
        let number = role.voters.iter().find(|(_, one)| *one == node).map(|(number, _)| *number);
        let number = number.ok_or("only a voter can lead; `akita cluster members` shows who votes")?;
        if !role.leads {
            return Err(self.another_leads().await);
        }
        // One of these may pass without a leader, or with this one elected again: then the other is asked once more.
        let election = Duration::from_millis(role.profile.unwrap_or(Profile::Lan).election_ms().1);
        let deadline = Instant::now() + TRANSFER_WAIT;
        let mut now = self.0.consensus.role();
        while Instant::now() < deadline {
            if self.role().leads {
                self.0.consensus.transfer(number).await?;
            }
            let patience = election.min(deadline.saturating_duration_since(Instant::now()));
            let other = now.wait_for(|role| role.leader.is_some_and(|leader| leader != self.0.me));
            let other = tokio::time::timeout(patience, other).await;
            match other.map(|other| other.is_ok_and(|role| role.leader == Some(node))) {
                Ok(true) => return Ok("it leads".into()),
                Ok(false) => return Err(self.another_leads().await),
                Err(_elapsed) => {}
            }
        }
        Err("it did not begin to lead in time; this node goes on".into())
    }
}

fn refused(why: String) -> NodeError {
    let (detail, hint) =
        why.split_once('\n').unwrap_or((&why, "`akita cluster members` shows who is there and who votes"));
    NodeError::Invalid { detail: detail.to_owned(), hint: hint.to_owned() }
}
