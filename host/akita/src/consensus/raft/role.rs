//! Who leads, as far as this voter can be sure: what the engine says, confirmed by an entry of the new leader, and taken
//! back when most voters do not answer.

use std::time::Duration;

use akita_core::{Command, NodeId};
use openraft::{Instant, ServerState, async_runtime::watch::WatchReceiver};

use super::{Voter, types::Proposal};
use crate::consensus::{Event, Role};

impl Voter {
    /// Follows what the engine says of who leads, and says so once it is sure.
    pub(super) async fn keep_role(self) {
        let mut server = self.engine.server_metrics();
        let mut tick = tokio::time::interval(Duration::from_millis(self.shared.profile.heartbeat_ms()));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.look().await;
            tokio::select! {
                changed = server.changed() => if changed.is_err() { return },
                _ = tick.tick() => {}
            }
        }
    }

    async fn look(&self) {
        let (leads, term, leader, quorum, voters, learners) = {
            let metrics = self.engine.metrics();
            let metrics = metrics.borrow_watched();
            if metrics.running_state.is_err() {
                return;
            }
            let members = &metrics.membership_config;
            let node = |number: u64| members.get_node(&number).copied();
            let leads = metrics.state == ServerState::Leader;
            let patience = Duration::from_millis(self.shared.profile.election_ms().1 * 2);
            let heard = metrics.last_quorum_acked.as_ref().is_some_and(|at| at.elapsed() < patience);
            let voters: Vec<(u64, NodeId)> =
                members.voter_ids().filter_map(|number| Some((number, node(number)?))).collect();
            let learners: Vec<(u64, NodeId)> =
                members.membership().learner_ids().filter_map(|number| Some((number, node(number)?))).collect();
            let leader = metrics.current_leader.and_then(node);
            // The engine names the last leader until another is elected; one that is not heard is none.
            // A voter that is alone needs nobody's answer, and the engine notes none.
            let alone = voters.len() == 1;
            let quorum = if leads { heard || alone } else { leader.is_some() && self.incoming.heard_within(patience) };
            (leads, metrics.current_term, leader, quorum, voters, learners)
        };
        let begins = {
            let mut leading = self.shared.leading();
            if leads && *leading != Some(term) {
                *leading = Some(term);
                // Of what was acknowledged before, another leader may have taken some back.
                *self.shared.acknowledged() = super::Acknowledged::default();
                true
            } else {
                if !leads && leading.take().is_some() {
                    let _ = self.shared.events.send(Event::Follows);
                }
                false
            }
        };
        self.shared.role.send_if_modified(|role| {
            let new = Role {
                cluster: Some(self.shared.cluster),
                number: self.shared.number,
                profile: Some(self.shared.profile),
                leads: role.leads && leads && !begins,
                leader: leader.filter(|_| quorum),
                quorum,
                term,
                voters,
                learners,
            };
            let changed = *role != new;
            *role = new;
            changed
        });
        if begins {
            tokio::spawn(self.clone().declare(term));
        }
    }

    /// Writes the first entry of a leader: once it is applied, so is all that came before. The engine takes none before
    /// most voters have answered the new leader.
    async fn declare(self, term: u64) {
        let pause = Duration::from_millis(self.shared.profile.heartbeat_ms() / 4);
        while *self.shared.leading() == Some(term) {
            let number = u64::MAX - u64::from(self.shared.fresh());
            let commands = vec![Command::Lead { node: self.shared.me }];
            let proposal = Proposal { process: self.shared.process, number, time: (self.clock)(), commands };
            match self.engine.client_write(proposal).await {
                Ok(_) => return,
                Err(error) => tracing::debug!(%error, term, "the lead is not confirmed yet"),
            }
            tokio::time::sleep(pause).await;
        }
    }
}
