//! Who holds the log: what an operator is shown of it, and what an operator may change. The leader does what is asked.

use std::time::Duration;

use akita_core::{
    NodeId,
    command::Access,
    wire::{Ask, Wish},
};

use super::{Node, convert, internal};
use crate::{
    cluster::{self, NOBODY},
    reading::{Consistency, Reading},
    view::{GovernedView, KeyView, MemberView, MembersView, NodeError, ProblemView, RivalView},
};

/// Two clusters that cannot become one by themselves.
fn apart(rival: &RivalView) -> ProblemView {
    let RivalView { cluster_id, node_name, .. } = rival;
    ProblemView {
        detail: format!(
            "another cluster of this name, {cluster_id} (met: {node_name}), has several voters too; the two stay apart"
        ),
        hint: format!(
            "to have this one give way: akita cluster merge --into {cluster_id}; to have the other give way, do that there; or \
             give one of them another --cluster-name"
        ),
    }
}

impl Node {
    /// The members as new as is asked for.
    ///
    /// # Errors
    /// They cannot be told as new as that, or the database cannot be read.
    pub async fn members(&self, reading: Reading) -> Result<MembersView, NodeError> {
        self.caught_up(reading.after).await?;
        match reading.consistency {
            Consistency::Usual => self.known_members().await,
            Consistency::Linearizable => {
                let confirmed = async || {
                    Ok(if self.leads_for_sure().await {
                        self.own_members().await?
                    } else {
                        self.asked_members().await?
                    })
                };
                self.insist(Duration::ZERO, confirmed, |view: &MembersView| !view.fresh).await
            }
            Consistency::Stale => {
                let view = self.own_members().await?;
                Ok(MembersView { fresh: false, stale: true, as_of_index: Some(self.log_index().await?), ..view })
            }
        }
    }

    async fn asked_members(&self) -> Result<MembersView, NodeError> {
        let view: MembersView = self.must_ask(&Ask::Members).await?;
        Ok(self.with_own_problems(view))
    }

    /// As the leader knows them, or as this node does where nobody leads.
    async fn known_members(&self) -> Result<MembersView, NodeError> {
        let leader = self.cluster.standing().leader;
        if !self.cluster.leads()
            && let Ok(Some(view)) = self.cluster.ask::<MembersView>(leader, &Ask::Members, Duration::ZERO).await
        {
            return Ok(self.with_own_problems(view));
        }
        self.own_members().await
    }

    /// What the leader tells, who knows best who is gone, and what only this node knows of itself; once where both say it.
    fn with_own_problems(&self, view: MembersView) -> MembersView {
        let mut problems = self.own_problems(&[], None);
        problems.retain(|one| !view.problems.contains(one));
        problems.extend(view.problems.iter().cloned());
        MembersView { problems, ..view }
    }

    pub(super) async fn own_members(&self) -> Result<MembersView, NodeError> {
        let (role, standing) = (self.cluster.role(), self.cluster.standing());
        let enlisted = self.store.enlisted().await.map_err(internal)?;
        let leads = self.cluster.leads();
        let (lags, answering) = (self.cluster.lags(), self.cluster.answering());
        let view = if leads { Some(self.cluster.view()) } else { self.cluster.last_view() };
        let nodes = view.map(|view| view.nodes).unwrap_or_default();
        let mut ids: Vec<NodeId> = role.voters.iter().chain(&role.learners).map(|(_, node)| *node).collect();
        ids.push(self.me);
        ids.extend(nodes.iter().map(|node| node.node));
        ids.extend(enlisted.keys());
        let mut members: Vec<MemberView> = Vec::new();
        for id in ids {
            if members.iter().any(|member| member.node_id == id.to_string()) {
                continue;
            }
            let number_in =
                |list: &[(u64, NodeId)]| list.iter().find(|(_, node)| *node == id).map(|(number, _)| *number);
            let (votes, learns) = (number_in(&role.voters), number_in(&role.learners));
            let access = enlisted.get(&id).map(|one| one.access);
            // Beside a single voter, that one is whoever leads.
            let alone = !role.is_voter() && standing.leader == id;
            let membership = match (votes.is_some() || alone, learns, access) {
                (_, _, Some(Access::Banned)) => "removed",
                (true, ..) => "voter",
                (_, Some(_), _) => "learner",
                _ => "worker",
            };
            let seen = nodes.iter().find(|node| node.node == id);
            let status = match seen {
                _ if id == self.me => "online",
                Some(node) if leads && node.online => "online",
                _ if leads && votes.is_some_and(|number| answering.contains(&number)) => "online",
                Some(_) if leads => "offline",
                None if leads => "offline",
                _ => "unknown",
            };
            let name = if id == self.me { self.name.clone() } else { self.cluster.name_of(id) };
            members.push(MemberView {
                node_id: id.to_string(),
                node_name: seen.map(|node| node.name.clone()).filter(|name| !name.is_empty()).unwrap_or(name),
                membership: membership.into(),
                leads: standing.leader == id,
                status: status.into(),
                held_back: access == Some(Access::Worker),
                number: votes.or(learns),
                lag: votes.or(learns).and_then(|number| lags.get(&number).copied()),
                version: self.cluster.program_of(id),
            });
        }
        let rank = |member: &MemberView| {
            ["voter", "learner", "worker", "removed"].iter().position(|word| member.membership == **word)
        };
        members.sort_by_key(|member| (rank(member), !member.leads));
        Ok(MembersView {
            cluster_id: standing.cluster.to_string(),
            leader_id: convert::leader(standing.leader),
            term: role.term,
            voters: role.voters.len().max(1),
            timing: role.profile.map(|profile| profile.as_str().to_owned()),
            fresh: leads,
            members,
            problems: self
                .problems(&self.own_rivals(), self.cluster.merging_into().map(|id| id.to_string()).as_deref()),
            stale: false,
            as_of_index: None,
        })
    }

    /// What is wrong with the cluster as this node sees it.
    pub(super) fn problems(&self, rivals: &[RivalView], merging: Option<&str>) -> Vec<ProblemView> {
        let mut problems = self.own_problems(rivals, merging);
        problems.extend(self.lost_voters());
        problems
    }

    /// What this node knows better than any other.
    fn own_problems(&self, rivals: &[RivalView], merging: Option<&str>) -> Vec<ProblemView> {
        let mut problems: Vec<ProblemView> = rivals.iter().map(apart).collect();
        if let Some(into) = merging {
            problems.push(ProblemView {
                detail: format!("this cluster gives way to {into}, as its operator said; it takes no new tasks"),
                hint:
                    "wait: its tasks are handed over, then each node joins the other; new tasks are kept here and sent \
                       there"
                        .into(),
            });
        }
        if let Some(node) = self.cluster.key_refused_by() {
            problems.push(ProblemView {
                detail: format!("{node} does not accept this node's cluster key"),
                hint:
                    "if the key was rotated while this node was away: `akita cluster key show --secret` on a node of \
                       the cluster, then `akita cluster key import` here"
                        .into(),
            });
        }
        let role = self.cluster.role();
        if let Some(why) = self.cluster.turned_away() {
            problems.push(ProblemView { detail: why, hint: older_hint(&self.me.to_string()) });
        } else if role.is_voter() && self.cluster.standing().leader == NOBODY {
            let need = role.voters.len() / 2 + 1;
            problems.push(ProblemView {
                detail: format!(
                    "no leader: fewer than {need} of the {} voters answer; tasks are queued locally, none is accepted",
                    role.voters.len()
                ),
                hint: "start the missing voters, or restore the way to them; only if they are gone for good: akita \
                       cluster force-new"
                    .into(),
            });
        } else if self.cluster.standing().leader == NOBODY || !role.is_voter() && self.cluster.is_lost() {
            problems.push(ProblemView {
                detail: "no voter answers this node; tasks are queued locally".into(),
                hint: "check the way to the voters: akita cluster members".into(),
            });
        }
        for cluster::Contradiction { detail, .. } in self.cluster.contradictions() {
            problems.push(ProblemView {
                detail,
                hint:
                    "keep both databases as they are; akita ledger verify --local on each voter tells whose rows were \
                       changed; take that one's vote: akita cluster demote NODE"
                        .into(),
            });
        }
        problems
    }

    fn own_rivals(&self) -> Vec<RivalView> {
        self.cluster.rivals().into_iter().map(convert::rival).collect()
    }

    /// Which cluster key counts and who has it, as the leader knows it, or this node where nobody leads.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn cluster_key(&self) -> Result<KeyView, NodeError> {
        let leader = self.cluster.standing().leader;
        if !self.cluster.leads()
            && let Ok(Some(view)) = self.cluster.ask::<KeyView>(leader, &Ask::Key, Duration::ZERO).await
        {
            return Ok(view);
        }
        self.own_key().await
    }

    pub(super) async fn own_key(&self) -> Result<KeyView, NodeError> {
        let turn = self.store.key_turn().await.map_err(internal)?;
        Ok(self.cluster.key_view(turn.as_ref()))
    }

    /// Voters that do not answer, and what may be done about each.
    fn lost_voters(&self) -> Vec<ProblemView> {
        let voters = self.cluster.role().voters.len();
        let called = |node: NodeId| match self.cluster.name_of(node) {
            name if name.is_empty() => node.to_string(),
            name => format!("{name} ({node})"),
        };
        let older = self.cluster.older_voters();
        let came_back = older.iter().map(|node| ProblemView {
            detail: format!("the voter {} came back with an older copy of its log, and is left out", called(*node)),
            hint: older_hint(&node.to_string()),
        });
        let silent = self.cluster.silent_voters();
        let more = (voters.saturating_sub(1) / 2).saturating_sub(silent.len());
        let led = self.cluster.standing().leader != NOBODY;
        let gone = silent.iter().filter(|node| !older.contains(node)).map(|node| ProblemView {
            detail: match more {
                _ if !led => format!("the voter {} does not answer", called(*node)),
                0 => format!("the voter {} does not answer; if one more is lost, nothing is accepted", called(*node)),
                _ => format!("the voter {} does not answer; {more} more may be lost", called(*node)),
            },
            hint: if led {
                format!("start it again, or restore the way to it; if it is gone for good: akita cluster remove {node} --yes")
            } else {
                "start it again, or restore the way to it".into()
            },
        });
        came_back.chain(gone).collect()
    }

    /// Does what the operator wishes of a node.
    ///
    /// # Errors
    /// Nobody leads, or it cannot be done.
    pub async fn govern(&self, wish: Wish, node: NodeId) -> Result<GovernedView, NodeError> {
        let detail = self.cluster.govern(wish, node).await?;
        Ok(GovernedView { node_id: node.to_string(), detail })
    }

    /// Gives up this node's vote, hands the lead over before where it leads, and stops it.
    ///
    /// # Errors
    /// The others cannot go on without it.
    pub async fn leave(&self) -> Result<GovernedView, NodeError> {
        let role = self.cluster.role();
        if role.voters.len() > 1 && role.voters.iter().any(|(number, _)| *number == role.number) {
            if self.cluster.leads() {
                let answering = self.cluster.answering();
                let other = role.voters.iter().find(|(number, _)| answering.contains(number)).map(|(_, node)| *node);
                let other = other.ok_or_else(|| NodeError::Invalid {
                    detail: "this node leads, and no other voter answers".into(),
                    hint: "akita cluster members".into(),
                })?;
                self.cluster.govern(Wish::Lead, other).await?;
                self.cluster.other_leads().await;
            }
            self.cluster.govern(Wish::Leave, self.me).await?;
        }
        self.stop.cancel();
        Ok(GovernedView { node_id: self.me.to_string(), detail: "it votes no more, and stops".into() })
    }

    /// Founds a new cluster from this voter's copy of the log.
    ///
    /// # Errors
    /// This node is no voter, or most voters still answer.
    pub async fn force_new(&self) -> Result<GovernedView, NodeError> {
        let detail = self.cluster.force_new().await?;
        Ok(GovernedView { node_id: self.me.to_string(), detail })
    }
}

/// What to do about a voter whose disk was put back to an earlier time.
fn older_hint(node: &str) -> String {
    format!(
        "put back the data directory that it had; or let it begin anew with an empty log: akita cluster demote {node}, \
         then akita cluster promote {node}"
    )
}
