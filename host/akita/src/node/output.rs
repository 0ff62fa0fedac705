//! What a task has emitted so far, for whoever follows it. It is fetched from where the task runs when somebody asks, and
//! from nowhere else, so that a slow link carries it only for a reader.

use std::time::{Duration, Instant};

use akita_core::{
    TaskId,
    tuning::{SLOW_RTT_MS, airtime},
    wire::{Ask, Emitted, Since},
};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::{Node, Reach, convert, internal};
use crate::{
    executor::Piece,
    view::{NodeError, OutputView, ProgressView},
};

/// Bytes of one answer: all that is kept of an attempt.
const PIECE_BYTES: u32 = 64 << 10;
/// The same behind a slow link: ten seconds of its air.
const SLOW_PIECE_BYTES: u32 = 1 << 10;
/// Pause before another node is asked again whether there is more; behind a slow link, some round trips.
const ASK_EVERY: Duration = Duration::from_millis(500);
const ROUND_TRIPS: u32 = 4;

impl Node {
    /// What follows in a task's partial output after `offset` bytes of that attempt; held back for `wait` until there
    /// is more, or the task has ended.
    ///
    /// # Errors
    /// It is not on this node's books, and the leader cannot be asked.
    pub async fn output(
        &self,
        id: TaskId,
        attempt: u32,
        offset: u64,
        wait: Duration,
    ) -> Result<Option<OutputView>, NodeError> {
        let deadline = Instant::now() + wait;
        loop {
            let mut end = self.driver.watch().end_of(id);
            let news = self.cluster.executor().news();
            let since = Since { attempt, offset, max: PIECE_BYTES };
            let Some(found) = self.emitted(id, since, Reach::Cluster).await? else { return Ok(None) };
            let ended = convert::is_end(&found.status);
            let left = deadline.saturating_duration_since(Instant::now());
            if ended || !found.piece.is_empty() || left.is_zero() || self.stop.is_cancelled() {
                return Ok(Some(view(id, found)));
            }
            let rtt = Duration::from_millis(u64::from(self.cluster.rtt_ms(self.cluster.standing().leader)));
            tokio::select! {
                () = end.wait() => {}
                () = news => {}
                () = tokio::time::sleep(left.min(ASK_EVERY.max(rtt * ROUND_TRIPS))) => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    /// Looks here, then where the task is on the books, then where it runs.
    pub(super) async fn emitted(&self, id: TaskId, since: Since, reach: Reach) -> Result<Option<Emitted>, NodeError> {
        let meta = self.store.task_meta(id).await.map_err(internal)?.filter(|meta| meta.handed_over_to.is_none());
        let Some(meta) = meta else {
            return match reach {
                Reach::Here => Ok(self.cluster.executor().emitted(id, since).map(of_piece)),
                _ => self.emitted_elsewhere(id, since, reach).await,
            };
        };
        let task = meta.task;
        let found = match task.worker {
            Some(worker) if worker == self.me => self.cluster.executor().emitted(id, since).map(of_piece),
            Some(worker) if reach != Reach::Here => self.ask_emitted(worker, id, since, true).await.ok().flatten(),
            _ => None,
        };
        let held = task.assignment.and_then(|held| self.driver.watch().progress(id, held.fence));
        let progress = held.map(|ProgressView { done, total, note, .. }| (done, total, note));
        let found = found.unwrap_or_else(|| nothing(since));
        Ok(Some(Emitted { status: task.status.as_str().to_owned(), progress, ..found }))
    }

    /// A task that is not on this node's books: the leader's, or that of another node which the leader knows.
    async fn emitted_elsewhere(&self, id: TaskId, since: Since, reach: Reach) -> Result<Option<Emitted>, NodeError> {
        if self.cluster.leads() {
            let known = self.look_up(id, Duration::ZERO, reach).await?;
            return Ok(known.map(|view| Emitted { status: view.status, ..nothing(since) }));
        }
        let leader = self.cluster.standing().leader;
        let asked = self.ask_emitted(leader, id, since, reach == Reach::Next).await;
        let found = asked.map_err(|error| super::ask::no_answer(leader, &error))?;
        if found.is_some() {
            return Ok(found);
        }
        // It may wait in this node's outbox.
        let waits = self.outbox().await?.into_iter().find(|view| view.task_id == id.to_string());
        Ok(waits.map(|view| Emitted { status: view.status, ..nothing(since) }))
    }

    async fn ask_emitted(
        &self,
        node: akita_core::NodeId,
        task: TaskId,
        since: Since,
        here: bool,
    ) -> Result<Option<Emitted>, crate::cluster::CallFailed> {
        let rtt_ms = self.cluster.rtt_ms(node);
        let most = if rtt_ms >= SLOW_RTT_MS { SLOW_PIECE_BYTES } else { PIECE_BYTES };
        let since = Since { max: since.max.min(most), ..since };
        let extra = Duration::from_millis(airtime(u64::from(since.max), rtt_ms));
        self.cluster.ask(node, &Ask::Emitted { task, here, since }, extra).await
    }
}

fn of_piece(piece: Piece) -> Emitted {
    let Piece { attempt, offset, total, bytes } = piece;
    Emitted { status: String::new(), attempt, offset, total, piece: bytes, progress: None }
}

/// Nothing new.
fn nothing(since: Since) -> Emitted {
    let Since { attempt, offset, .. } = since;
    Emitted { status: String::new(), attempt, offset, total: offset, piece: Vec::new(), progress: None }
}

fn view(id: TaskId, found: Emitted) -> OutputView {
    let Emitted { status, attempt, offset, total, piece, progress } = found;
    OutputView {
        task_id: id.to_string(),
        status,
        attempt,
        offset,
        total,
        piece_base64: STANDARD.encode(piece),
        progress: progress.map(|(done, total, note)| ProgressView::new(done, total, note)),
    }
}
