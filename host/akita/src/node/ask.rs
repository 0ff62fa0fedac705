//! Questions that other nodes' books answer, and this node's answers to theirs.

use std::{pin::Pin, time::Duration};

use akita_core::{
    EventType, NodeId, Status, TaskId,
    wire::{Ask, Message, Submit, View},
};
use futures_util::{StreamExt, stream::FuturesUnordered};
use serde::{Serialize, de::DeserializeOwned};

use super::{Node, Reach, convert, internal};
use crate::{
    cluster::{Books, CallFailed, Word},
    reading::{Consistency, Reading},
    store::LedgerQuery,
    view::{ClusterView, MembersView, NodeError, TaskList, TaskView},
};

/// Longest wait for the end of a task that one message over the mesh asks for; longer ones are asked again.
const REMOTE_WAIT: Duration = Duration::from_secs(5);

impl Node {
    /// Asks the leader; of a leader, the others.
    pub(super) async fn ask_for(
        &self,
        id: TaskId,
        wait: Duration,
        reach: Reach,
    ) -> Result<Option<TaskView>, NodeError> {
        if reach == Reach::Here {
            return Ok(None);
        }
        let wait = wait.min(REMOTE_WAIT);
        let wait_ms = u32::try_from(wait.as_millis()).unwrap_or_default();
        if !self.cluster.leads() {
            let ask = Ask::Task { task: id, here: reach == Reach::Next, wait_ms };
            return self.ask_leader(&ask, wait).await;
        }
        let ask = Ask::Task { task: id, here: true, wait_ms: 0 };
        let members = self.cluster.members();
        let asked = members.into_iter().map(|node| self.cluster.ask::<TaskView>(node, &ask, Duration::ZERO));
        // The first that knows it, however long the others take.
        let mut answers: FuturesUnordered<_> = asked.collect();
        while let Some(answer) = answers.next().await {
            // What another voter's copy says is no newer than this one's.
            if let Ok(Some(view)) = answer
                && !view.stale
            {
                return Ok(Some(view));
            }
        }
        Ok(None)
    }

    pub(super) async fn ask_leader<T: DeserializeOwned>(
        &self,
        ask: &Ask,
        extra: Duration,
    ) -> Result<Option<T>, NodeError> {
        let leader: NodeId = self.cluster.standing().leader;
        self.cluster.ask(leader, ask, extra).await.map_err(|error| no_answer(leader, &error))
    }

    pub(super) async fn must_ask<T: DeserializeOwned>(&self, ask: &Ask) -> Result<T, NodeError> {
        let answer = self.ask_leader(ask, Duration::ZERO).await?;
        answer.ok_or_else(|| NodeError::Internal("the leader gave no answer".into()))
    }

    /// Tasks that wait in this node's outbox.
    pub(super) async fn outbox(&self) -> Result<Vec<TaskView>, NodeError> {
        let items = self.store.outbox_all().await.map_err(internal)?;
        let views = items.into_iter().filter_map(|item| {
            let submit = Submit::decode(&item.spec).ok()?;
            Some(convert::outbox(submit.tasks.first()?, item.created))
        });
        Ok(views.collect())
    }

    /// Tasks of the cluster, newest first; those in this node's outbox before all.
    ///
    /// # Errors
    /// They cannot be told as new as is asked for.
    pub async fn list(&self, status: Option<Status>, limit: u32, reading: Reading) -> Result<TaskList, NodeError> {
        self.caught_up(reading.after).await?;
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut tasks = match status {
            None | Some(Status::QueuedLocally) => self.outbox().await?,
            Some(_) => Vec::new(),
        };
        tasks.extend(self.island_list(status, most).await?);
        let mut all = TaskList { tasks: Vec::new(), stale: false, as_of_index: None };
        if status != Some(Status::QueuedLocally) {
            let newest = async || self.newest_list(status, limit).await;
            all = match reading.consistency {
                Consistency::Usual => self.usual(newest, async || self.stale_list(status, most).await).await?,
                Consistency::Linearizable => self.insist(Duration::ZERO, newest, |list| list.stale).await?,
                Consistency::Stale => self.stale_list(status, most).await?,
            };
        }
        tasks.append(&mut all.tasks);
        tasks.truncate(most);
        Ok(TaskList { tasks, ..all })
    }

    async fn newest_list(&self, status: Option<Status>, limit: u32) -> Result<TaskList, NodeError> {
        if self.leads_for_sure().await {
            return self.own_list(status, usize::try_from(limit).unwrap_or(usize::MAX)).await;
        }
        let word = status.map(|status| status.as_str().to_owned());
        self.must_ask(&Ask::List { status: word, limit }).await
    }

    async fn stale_list(&self, status: Option<Status>, most: usize) -> Result<TaskList, NodeError> {
        self.must_have_copy()?;
        // Before the rows, so that they are never older than what is said of them.
        let as_of_index = Some(self.log_index().await?);
        Ok(TaskList { stale: true, as_of_index, ..self.own_list(status, most).await? })
    }

    async fn own_list(&self, status: Option<Status>, limit: usize) -> Result<TaskList, NodeError> {
        let metas = self.store.list(status, limit).await.map_err(internal)?;
        let shown = metas.iter().filter(|meta| meta.handed_over_to.is_none());
        Ok(TaskList { tasks: shown.map(|meta| convert::task(meta, None)).collect(), stale: false, as_of_index: None })
    }

    /// The cluster, as new as is asked for.
    ///
    /// # Errors
    /// It cannot be told as new as that.
    pub async fn cluster_view(&self, reading: Reading) -> Result<ClusterView, NodeError> {
        self.caught_up(reading.after).await?;
        let view = match reading.consistency {
            Consistency::Usual => self.any_cluster_view().await,
            Consistency::Linearizable => {
                let confirmed = async || {
                    let view = if self.leads_for_sure().await {
                        self.cluster.view()
                    } else {
                        self.must_ask(&Ask::View).await?
                    };
                    Ok(self.shown(view, true))
                };
                self.insist(Duration::ZERO, confirmed, |_| false).await?
            }
            Consistency::Stale => {
                let known = if self.cluster.leads() { None } else { self.cluster.last_view() };
                let view = self.shown(known.unwrap_or_else(|| self.cluster.view()), false);
                ClusterView { stale: true, as_of_index: Some(self.log_index().await?), ..view }
            }
        };
        let problems = self.problems(&view.rivals, view.merging_into.as_deref());
        Ok(ClusterView { problems, island: self.island_counts().await, ..view })
    }

    fn shown(&self, view: View, fresh: bool) -> ClusterView {
        convert::cluster(self.cluster.cluster_name(), self.me, view, fresh)
    }

    async fn any_cluster_view(&self) -> ClusterView {
        if self.cluster.leads() {
            return self.shown(self.cluster.view(), true);
        }
        let leader = self.cluster.standing().leader;
        match self.cluster.ask(leader, &Ask::View, Duration::ZERO).await {
            Ok(Some(view)) => self.shown(view, true),
            _ => self.shown(self.cluster.last_view().unwrap_or_else(|| self.cluster.view()), false),
        }
    }

    async fn answer_ask(&self, ask: Ask) -> Result<Option<Vec<u8>>, NodeError> {
        match ask {
            Ask::Task { task, here, wait_ms } => {
                let wait = Duration::from_millis(u64::from(wait_ms)).min(REMOTE_WAIT);
                if !here {
                    return Ok(self.look_up(task, wait, Reach::Next).await?.map(pack));
                }
                // Who asks takes this voter for the leader, or is the leader and knows better.
                let newest = self.holds_newest().await;
                match self.look_up(task, wait, Reach::Here).await? {
                    None if !newest => self.must_lead().await.map(|()| None),
                    found => Ok(found.map(|view| {
                        // What has ended stays as it is: it may lie in nobody's books but this voter's archive.
                        let may_change = !convert::is_end(&view.status);
                        pack(TaskView { stale: view.stale || !newest && may_change, ..view })
                    })),
                }
            }
            Ask::List { status, limit } => {
                self.must_lead().await?;
                let status = status.as_deref().and_then(Status::parse);
                let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(crate::store::MAX_ROWS);
                Ok(Some(pack(self.own_list(status, limit).await?)))
            }
            Ask::Ledger { event, task, offset, limit } => {
                self.must_lead().await?;
                let event = event.as_deref().and_then(EventType::parse);
                let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(crate::store::MAX_ROWS);
                Ok(Some(pack(self.own_ledger(LedgerQuery { limit, offset, event, task }).await?)))
            }
            Ask::Verify => Ok(Some(pack(self.verify(true).await?))),
            Ask::Proof(piece) => self.prove(piece).await,
            Ask::Key => Ok(Some(pack(self.own_key().await?))),
            Ask::Members => {
                let fresh = self.leads_for_sure().await;
                Ok(Some(pack(MembersView { fresh, ..self.own_members().await? })))
            }
            Ask::View => {
                if self.cluster.role().is_voter() {
                    self.must_lead().await?;
                }
                Ok(Some(pack(self.cluster.view())))
            }
            Ask::Index => {
                self.must_lead().await?;
                Ok(Some(pack(self.log_index().await?)))
            }
            Ask::Emitted { task, here, since } => {
                let reach = if here { Reach::Here } else { Reach::Next };
                Ok(self.emitted(task, since, reach).await?.map(pack))
            }
        }
    }
}

/// A leader that does not answer.
pub(super) fn no_answer(leader: NodeId, error: &CallFailed) -> NodeError {
    NodeError::Unavailable {
        detail: format!("the leader {leader} does not answer: {error}"),
        hint: "try again when it is back; `akita cluster status` shows who is there".into(),
    }
}

pub(super) fn pack(value: impl Serialize) -> Vec<u8> {
    rmp_serde::to_vec(&value).expect("views are plain data")
}

impl Books for Node {
    fn answer(&self, ask: Ask) -> Pin<Box<dyn Future<Output = Word> + Send + '_>> {
        Box::pin(async move {
            self.answer_ask(ask).await.or_else(|error| match error {
                NodeError::Unavailable { detail, .. } => Err(detail),
                error => {
                    tracing::warn!(%error, "a question of another node could not be answered");
                    Ok(None)
                }
            })
        })
    }
}
