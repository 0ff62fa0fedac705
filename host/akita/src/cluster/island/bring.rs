//! Back with a leader: what waits in the journal goes to it as ordinary tasks, and what has ended is brought to it, in
//! order and in pieces. Each stays in the journal until the leader has it durably.

use std::{
    sync::PoisonError,
    time::{Duration, Instant},
};

use akita_core::{
    TaskId,
    wire::{Import, Imported, MAX_IMPORTED, Refusal, SignedEntry, Submit},
};

use super::{
    super::{
        CallFailed, Cluster,
        handover::{CHUNK_TASKS, Kept},
        internal,
    },
    Request,
};
use crate::{driver::now, view::NodeError};

/// Before an end that a leader refused is brought to one again, and before tasks that wait are offered again.
const TRY_REFUSED_AGAIN: Duration = Duration::from_secs(600);

impl Cluster {
    /// Brings to the leader, which may be this node, what the journal holds.
    pub(in crate::cluster) async fn bring_journal(&self) -> Result<(), NodeError> {
        // One at a time; who comes meanwhile need not wait for it.
        let Ok(_one) = self.0.island.bringing.try_lock() else { return Ok(()) };
        let counts = self.0.store.island_counts().await.map_err(internal)?;
        if counts.waiting > 0 {
            self.bring_waiting().await?;
        }
        if counts.to_import > 0 { self.bring_ends().await } else { Ok(()) }
    }

    /// Tasks that nobody has begun are the cluster's to run: its nodes may be able to where the island's were not.
    async fn bring_waiting(&self) -> Result<(), NodeError> {
        loop {
            if !self.has_leader() {
                return Ok(());
            }
            let limit = CHUNK_TASKS;
            let waiting = self.ask_island(|reply| Request::Waiting { limit, reply }).await.unwrap_or_default();
            let sent = self.chunk(waiting, Kept::Journal).await?;
            if sent.is_empty() {
                return Ok(());
            }
            let tasks: Vec<TaskId> = sent.iter().map(|task| task.task).collect();
            let (to, count) = (self.standing().cluster, tasks.len());
            self.hand_in_kept(Submit { tasks: sent, imported: true }).await?;
            let told = self.ask_island(|reply| Request::HandedOver { tasks, to, reply }).await;
            told.ok_or(NodeError::Stopping)?;
            tracing::info!(tasks = count, "tasks that waited in the island are the cluster's now");
        }
    }

    async fn bring_ends(&self) -> Result<(), NodeError> {
        let refused_too = self.may_try_refused();
        let mut passed = 0;
        loop {
            let next = self.0.store.island_to_import(MAX_IMPORTED, self.chunk_bytes(), passed, refused_too);
            let next = next.await.map_err(internal)?;
            let Some((last, ..)) = next.last() else { return Ok(()) };
            passed = *last;
            let ids: Vec<TaskId> = next.iter().map(|(_, id, _)| *id).collect();
            let entries =
                next.into_iter().map(|(_, _, signed)| SignedEntry { entry: signed.entry, signature: signed.signature });
            let import = Import { key: self.0.store.ledger_key().public_key, entries: entries.collect() };
            let refused = self.bring_to_leader(import).await?;
            let mut taken = ids.clone();
            for (at, why) in refused {
                let Some(id) = ids.get(at as usize) else { continue };
                taken.retain(|one| one != id);
                tracing::error!(task = %id, why, "the leader does not take what the island gave; it stays in the journal");
                let why = akita_core::task::cut(&why, akita_core::task::MAX_REASON_LEN).to_owned();
                self.0.store.island_refused(*id, why).await.map_err(internal)?;
            }
            let count = taken.len();
            self.0.store.island_imported(taken, now()).await.map_err(internal)?;
            for id in ids {
                self.0.driver.watch().ended(id);
            }
            tracing::info!(tasks = count, "the cluster has what the island gave");
        }
    }

    /// Gives entries to whoever leads; answers which are not taken, and why.
    async fn bring_to_leader(&self, import: Import) -> Result<Vec<(u32, String)>, NodeError> {
        if self.leads() {
            return self.take_ends(self.0.me, import).await;
        }
        let leader = self.standing().leader;
        let bytes = import.entries.iter().map(|one| one.entry.len() as u64).sum();
        let count = import.entries.len() as u32;
        let wait = self.patience_for(leader, bytes);
        match self.call::<Imported>(leader, &import, wait).await {
            Ok(answer) => Ok(answer.refused),
            // All of them, and for good as far as this leader goes.
            Err(CallFailed::Refused(refused)) if refused.why == Refusal::Invalid => {
                Ok((0..count).map(|at| (at, refused.detail.clone())).collect())
            }
            Err(error) => Err(NodeError::Unavailable {
                detail: format!("the leader does not take what the island gave: {error}"),
                hint: "it stays in the journal, see `akita ledger journal`, and is sent again".into(),
            }),
        }
    }

    fn may_try_refused(&self) -> bool {
        let mut tried = self.0.island.refused_tried.lock().unwrap_or_else(PoisonError::into_inner);
        let due = tried.is_none_or(|last| last.elapsed() >= TRY_REFUSED_AGAIN);
        if due {
            *tried = Some(Instant::now());
        }
        due
    }
}
