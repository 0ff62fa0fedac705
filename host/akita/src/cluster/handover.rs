//! Tasks on their way to the leader: from this node's outbox, and from the books of a cluster that gave way. Each keeps
//! its id, and leaves here only after the leader has it durably; sent twice, it is accepted once.

use std::time::Duration;

use akita_core::{
    Command, NodeId, Status, TaskId, TaskSpec,
    wire::{Message, Misfit, Refusal, Sent, Standing, Submit, Submitted},
};

use super::{CallFailed, Cluster, internal, lead::OFFERS_WAIT};
use crate::{
    driver::{Accepted, Incoming},
    killpoint::Point,
    store::StoreError,
    view::NodeError,
};

/// Tasks that wait in the outbox at most: as many as a leader's queue holds by default.
pub const MAX_OUTBOX: usize = 10_000;
/// Tasks in one message, and bytes: a lost message on a slow link must cost little.
pub(super) const CHUNK_TASKS: usize = 256;
const CHUNK_BYTES: usize = 256 << 10;
/// The same behind a slow link.
const SLOW_CHUNK_BYTES: usize = 1_024;

/// Where tasks lie that go to a leader.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kept {
    /// In this node's own log.
    Books,
    /// In the journal of its island.
    Journal,
}

impl Cluster {
    /// Sends tasks of this node's submitters to the leader, all or none.
    ///
    /// # Errors
    /// The leader's refusal, or `Unavailable` when it could not be reached: the tasks may be accepted all the same, and
    /// may be sent again under their ids.
    pub async fn forward(&self, tasks: Vec<Sent>, imported: bool) -> Result<Submitted, NodeError> {
        self.forward_to(self.standing().leader, tasks, imported).await
    }

    async fn forward_to(&self, leader: NodeId, tasks: Vec<Sent>, imported: bool) -> Result<Submitted, NodeError> {
        let bytes = tasks.iter().map(|task| task.input.len() as u64).sum();
        // For what is new the leader may have to wait until it knows who has the action.
        let wait = self.patience_for(leader, bytes) + if imported { Duration::ZERO } else { OFFERS_WAIT };
        let submit = Submit { tasks, imported };
        let answer = tokio::select! {
            answer = self.call::<Submitted>(leader, &submit, wait) => answer,
            // Whoever has just submitted waits for an answer; what is handed over does not.
            () = self.leader_lost(leader), if !imported => return Err(unavailable("it has fallen silent")),
        };
        match answer {
            Ok(answer) => Ok(answer),
            Err(CallFailed::Refused(refused)) => Err(match refused.why {
                Refusal::QueueFull => NodeError::QueueFull { limit: self.0.tuning.max_queue, retry_after_s: 2 },
                Refusal::Invalid => {
                    let (detail, hint) = refused.detail.split_once('\n').unwrap_or((&refused.detail, ""));
                    let detail = detail.to_owned();
                    match refused.misfit {
                        Some(Misfit { task, pointer }) => NodeError::Misfit { detail, task: task as usize, pointer },
                        None => NodeError::Invalid { detail, hint: hint.to_owned() },
                    }
                }
                _ => unavailable(&refused.detail),
            }),
            Err(error) => Err(unavailable(&error.to_string())),
        }
    }

    /// Returns when the leader is known not to answer, or leads no more.
    pub(super) async fn leader_lost(&self, leader: NodeId) {
        let (mut silent, mut standing) = (self.0.leader_silent.subscribe(), self.0.standing.subscribe());
        tokio::select! {
            _ = silent.wait_for(|silent| *silent) => {}
            _ = standing.wait_for(|standing| standing.leader != leader) => {}
        }
    }

    /// Brings to the leader what waits here whenever it answers; beside the reports, which must not wait for it.
    pub(super) async fn carry(&self) {
        let work = async {
            loop {
                self.0.deliver_now.notified().await;
                self.deliver().await;
            }
        };
        tokio::select! {
            () = self.0.stop.cancelled() => {}
            () = work => {}
        }
    }

    /// Brings to the leader what waits here: handed-over tasks first, then the outbox.
    pub(super) async fn deliver(&self) {
        if let Err(error) = self.hand_over().await {
            tracing::warn!(%error, "tasks could not be handed over yet; they stay here and are sent again");
        }
        if let Err(error) = self.flush_outbox().await {
            tracing::warn!(%error, "the outbox could not be sent yet");
        }
        if let Err(error) = self.bring_journal().await {
            tracing::warn!(%error, "what the island's journal holds could not be brought yet");
        }
    }

    async fn hand_over(&self) -> Result<(), NodeError> {
        self.hand_over_to(None).await
    }

    /// Brings the tasks that wait on this leader's books to the leader of the cluster that its voters have given way to.
    pub(super) async fn bring_tasks(&self, into: Standing) -> Result<(), NodeError> {
        self.hand_over_to(Some(into)).await
    }

    /// To that one, which takes them while this node still leads its own; or to whom this node follows.
    async fn hand_over_to(&self, into: Option<Standing>) -> Result<(), NodeError> {
        loop {
            let standing = into.unwrap_or_else(|| self.standing());
            let may_bring = || self.leads() == into.is_some();
            let waiting = self.0.driver.waiting(CHUNK_TASKS).await;
            let sent = self.chunk(waiting, Kept::Books).await?;
            if sent.is_empty() || !may_bring() {
                return Ok(());
            }
            let tasks: Vec<TaskId> = sent.iter().map(|task| task.task).collect();
            let count = tasks.len();
            self.forward_to(standing.leader, sent, true).await?;
            Point::AfterHandedOverBeforeNoted.reach();
            // Whoever took them has them, even if this node follows another by now: sent to that one too, they would be
            // run by both. If it leads again, they are here as well, and may be under way.
            if !may_bring() {
                return Ok(());
            }
            let to = standing.cluster;
            self.0.driver.commit(vec![Command::HandOver { tasks, to }]).await.map_err(|_| NodeError::Stopping)?;
            tracing::info!(tasks = count, "handed over to the leader");
        }
    }

    /// As many of these as go into one message.
    pub(super) async fn chunk(&self, waiting: Vec<TaskId>, kept: Kept) -> Result<Vec<Sent>, NodeError> {
        let (mut sent, mut bytes) = (Vec::new(), 0);
        for id in waiting {
            let Some(task) = self.read(id, kept).await.map_err(internal)? else { continue };
            bytes += task.input.len() + 64;
            if !sent.is_empty() && bytes > self.chunk_bytes() {
                break;
            }
            sent.push(task);
        }
        Ok(sent)
    }

    async fn read(&self, id: TaskId, kept: Kept) -> Result<Option<Sent>, StoreError> {
        let store = &self.0.store;
        let (task, input) = match kept {
            Kept::Books => (store.task_meta(id).await?.map(|meta| meta.task), store.input(id).await?),
            Kept::Journal => (store.island_task(id).await?.map(|one| one.meta.task), store.island_input(id).await?),
        };
        let (Some(task), Some(input)) = (task, input) else { return Ok(None) };
        let spec = TaskSpec {
            action: task.action,
            required: task.required,
            priority: task.priority,
            timeout_ms: task.timeout_ms,
            input,
            extras: task.extras,
        };
        Ok(Some(Sent::new(id, task.origin, task.attempts, spec)))
    }

    /// Has whoever leads, this node too, take what was kept here.
    pub(super) async fn hand_in_kept(&self, submit: Submit) -> Result<(), NodeError> {
        if self.leads() {
            return self.accept(submit).await.map(drop);
        }
        self.forward(submit.tasks, true).await.map(drop)
    }

    /// Keeps tasks for a leader that cannot be reached now.
    ///
    /// # Errors
    /// The outbox is full, or the disk is.
    pub async fn keep_in_outbox(&self, tasks: &[Sent]) -> Result<(), NodeError> {
        let counts = self.0.store.counts().await.map_err(internal)?;
        let waiting = counts.get(&Status::QueuedLocally).copied().unwrap_or_default();
        if waiting + tasks.len() as u64 > MAX_OUTBOX as u64 {
            return Err(NodeError::QueueFull { limit: MAX_OUTBOX, retry_after_s: 30 });
        }
        let adding = tasks.iter().map(|task| {
            let bytes = Submit { tasks: vec![task.clone()], imported: true }.encode();
            self.0.store.outbox_add(task.task, bytes, crate::driver::now())
        });
        futures_util::future::try_join_all(adding).await.map_err(internal)?;
        self.0.report_now.notify_one();
        Ok(())
    }

    /// Sends what waits in the outbox; this node itself takes it when it leads.
    pub(super) async fn flush_outbox(&self) -> Result<(), NodeError> {
        for item in self.0.store.outbox_all().await.map_err(internal)? {
            let id = item.task;
            let Ok(submit) = Submit::decode(&item.spec) else {
                tracing::error!(task = %id, "a task in the outbox cannot be read and stays there");
                continue;
            };
            match self.hand_in_kept(submit).await {
                Ok(()) => Point::AfterOutboxSent.reach(),
                Err(
                    NodeError::Invalid { detail, .. }
                    | NodeError::NoSuchAction { detail, .. }
                    | NodeError::Misfit { detail, .. },
                ) => {
                    tracing::error!(task = %id, detail, "the leader does not take a task of the outbox; it stays there");
                    continue;
                }
                Err(error) => return Err(error),
            }
            self.0.store.outbox_remove(id).await.map_err(internal)?;
        }
        Ok(())
    }

    /// Takes tasks into this leader's own books.
    pub(super) async fn accept(&self, submit: Submit) -> Result<Submitted, NodeError> {
        let tasks: Vec<Incoming> = submit.tasks.into_iter().map(incoming).collect();
        // What was accepted before is not turned away: it fails where it runs, and its submitter sees why.
        let tasks = if submit.imported { tasks } else { self.0.executor.plugins().check(tasks).await? };
        let submitted = |tasks| self.0.driver.submit(tasks, submit.imported);
        let Accepted { statuses, index } = self.when_offers_are_known(tasks, submitted).await?;
        Ok(Submitted { statuses: statuses.into_iter().map(|status| status as u8).collect(), index })
    }

    pub(super) fn chunk_bytes(&self) -> usize {
        let slow = self.rtt_ms(self.standing().leader) >= akita_core::tuning::SLOW_RTT_MS;
        if slow { SLOW_CHUNK_BYTES } else { CHUNK_BYTES }
    }
}

fn incoming(sent: Sent) -> Incoming {
    let (id, origin, attempts): (TaskId, NodeId, u32) = (sent.task, sent.origin, sent.attempts);
    Incoming { id, origin, attempts, spec: sent.spec() }
}

fn unavailable(detail: &str) -> NodeError {
    NodeError::Unavailable {
        detail: format!("the leader cannot be reached: {detail}"),
        hint: "`akita cluster status` shows who leads; try again when it is back".into(),
    }
}
