//! Tasks of this node's journal as its users see them: they stand in no ledger yet, and say so.

use std::time::Duration;

use akita_core::{Outcome, Status, TaskId, island::IslandEntry};

use super::{Node, convert, internal};
use crate::{
    proof::check_chain,
    store::{IslandCounts, IslandRecord, MAX_ROWS},
    view::{IslandView, JournalTask, JournalView, NodeError, SubmittedView, TaskView},
};

/// Where a task is recorded that stands in the journal alone.
const ISLAND: &str = "island";
/// The longest wait for most voters to confirm their leader before a task is run in an island instead.
const SURE_WITHIN: Duration = Duration::from_secs(3);

/// Where a submitted task went.
pub(super) enum Placed {
    /// To the cluster's log, at that entry where it is known, or the outbox.
    Log(Status, Option<u64>),
    /// Into the journal.
    Island,
}

impl Placed {
    pub(super) fn view(self, id: TaskId) -> SubmittedView {
        let (status, index, recorded) = match self {
            Placed::Log(status, index) => (status, index, None),
            Placed::Island => (Status::Pending, None, Some(ISLAND.to_owned())),
        };
        SubmittedView { task_id: id.to_string(), status: status.as_str().to_owned(), index, recorded }
    }
}

/// No leader is in reach.
pub(super) fn no_leader() -> NodeError {
    NodeError::Unavailable {
        detail: "no leader is in reach".into(),
        hint: "`akita cluster status` shows who is there".into(),
    }
}

impl Node {
    /// Whether a leader is in reach, and, where this node is the leader, most voters still agree.
    pub(super) async fn leader_is_sure(&self) -> bool {
        if !self.cluster.has_leader() {
            return false;
        }
        if !self.cluster.leads() || !self.cluster.role().is_voter() {
            return true;
        }
        tokio::time::timeout(SURE_WITHIN, self.cluster.is_current()).await.unwrap_or(false)
    }

    /// A task of the journal that the cluster does not have yet.
    pub(super) async fn island_task(&self, id: TaskId) -> Result<Option<TaskView>, NodeError> {
        let Some(record) = self.store.island_task(id).await.map_err(internal)? else { return Ok(None) };
        if record.imported_at.is_some() {
            return Ok(None);
        }
        let mut view = shown(&record, true);
        match record.meta.task.assignment {
            Some(held) => view.progress = self.driver.watch().progress(id, held.fence),
            None if record.number.is_none() => view.reason = self.cluster.explain_here(id).await.or(view.reason),
            None => {}
        }
        Ok(Some(view))
    }

    /// The same of all, newest first, without results.
    pub(super) async fn island_list(&self, status: Option<Status>, most: usize) -> Result<Vec<TaskView>, NodeError> {
        let records = self.store.island_list(most.min(MAX_ROWS)).await.map_err(internal)?;
        let wanted = records.iter().filter(|record| status.is_none_or(|status| record.meta.task.status == status));
        Ok(wanted.map(|record| shown(record, false)).collect())
    }

    /// How much the journal holds; nothing where it holds nothing that the cluster lacks.
    pub(super) async fn island_counts(&self) -> Option<IslandView> {
        let counts = self.store.island_counts().await.ok()?;
        (counts.waiting + counts.running + counts.to_import > 0).then(|| view_of(counts))
    }

    /// The journal, with whether its signatures hold.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn journal(&self, limit: u32) -> Result<JournalView, NodeError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(MAX_ROWS);
        let journal = self.store.island_journal(limit).await.map_err(internal)?;
        let key = self.store.ledger_key();
        // Some thousand signatures at most, each some 50 µs.
        let checking = move || {
            let problem = check_chain(&journal.entries, &key, journal.numbered, journal.last).err();
            (journal, problem)
        };
        let (journal, problem) = tokio::task::spawn_blocking(checking)
            .await
            .map_err(|error| NodeError::Internal(format!("the journal could not be checked: {error}")))?;
        Ok(JournalView {
            node_id: self.me.to_string(),
            ok: problem.is_none(),
            problem: problem.map(|fault| fault.to_string()),
            signed: journal.numbered,
            counts: view_of(journal.counts),
            tasks: journal.tasks.iter().map(listed).collect(),
            steps: journal.steps.into_iter().map(convert::ledger_row).collect(),
        })
    }
}

fn shown(record: &IslandRecord, with_result: bool) -> TaskView {
    let entry = record.signed.as_ref().filter(|_| with_result);
    let outcome = entry.and_then(|signed| IslandEntry::decode(&signed.entry).ok()).map(|entry| entry.outcome());
    let result = match outcome {
        Some(Outcome::Completed(output)) => Some(output),
        _ => None,
    };
    let view = convert::task(&record.meta, result);
    let refused = record.note.as_ref().map(|why| format!("the leader does not take it: {why}"));
    TaskView { recorded: Some(ISLAND.into()), reason: refused.or(view.reason), ..view }
}

fn view_of(counts: IslandCounts) -> IslandView {
    let IslandCounts { waiting, running, to_import, refused, imported } = counts;
    IslandView { waiting, running, to_import, refused, imported }
}

fn listed(record: &IslandRecord) -> JournalTask {
    let task = &record.meta.task;
    let hash = |signed: &crate::store::IslandSigned| {
        blake3::Hash::from_bytes(IslandEntry::hash(&signed.entry)).to_hex().to_string()
    };
    JournalTask {
        task_id: task.id.to_string(),
        action: task.action.clone(),
        status: task.status.as_str().to_owned(),
        worker_id: task.worker.map(|worker| worker.to_string()),
        number: record.number,
        entry: record.signed.as_ref().map(hash),
        finished_at: task.finished_at.map(convert::time),
        imported_at: record.imported_at.map(convert::time),
        refused: record.note.clone(),
    }
}
