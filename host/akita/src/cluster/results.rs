//! Outcomes and progress of tasks that this node ran: to its own loop, or to the node that assigned them, again and
//! again until that one has them durably. An outcome that nobody takes any more is let go after a while.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use akita_core::{
    NodeId, TaskId,
    island::is_island,
    wire::{Message, Noted, Outcomes, Progress, Ran, Refusal, Taken},
};
use tokio::sync::mpsc;

use super::{CallFailed, Cluster, NOBODY};
use crate::executor::Report;

/// Outcomes in one message, and bytes: a lost message on a slow link must cost little.
const CHUNK: usize = 256;
const CHUNK_BYTES: usize = 256 << 10;
/// How long an outcome is kept for a node that does not answer: its tasks have gone to others long before.
const KEEP: Duration = Duration::from_secs(3600);
/// Between two attempts to deliver.
const RETRY: Duration = Duration::from_secs(1);
/// Between two progress messages about one task on a fast link; on a slow one, this many round trips.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
const PROGRESS_ROUND_TRIPS: u32 = 10;
/// Own outcomes that share one message to the loop.
const BATCH: usize = 256;

/// Outcomes on their way, by who assigned; those of an island apart, because they go nowhere else.
type Queues = HashMap<(NodeId, bool), mpsc::UnboundedSender<Ran>>;

impl Cluster {
    /// Passes on what the executor reports, until it is gone.
    pub async fn pass_on(&self, mut reports: mpsc::UnboundedReceiver<Report>) {
        let mut queues: Queues = HashMap::new();
        let mut said: HashMap<TaskId, Instant> = HashMap::new();
        let mut buffer = Vec::with_capacity(BATCH);
        while reports.recv_many(&mut buffer, BATCH).await > 0 {
            let mut own = Vec::new();
            for report in buffer.drain(..) {
                match report {
                    Report::Ran { assigner, task, fence, run_us, outcome } => {
                        said.remove(&task);
                        // One of several voters may lose the lead before they have it; then another is to have it.
                        let at_once = assigner == self.0.me && !self.role().is_voter() && !is_island(fence);
                        if at_once {
                            self.0.executor.settled(task, fence);
                        }
                        let ran = Ran::new(task, fence, run_us, outcome);
                        if at_once {
                            own.push(ran);
                        } else {
                            self.queue(&mut queues, assigner, ran);
                        }
                    }
                    Report::Progress { assigner, task, fence, done, total, note } => {
                        let progress = Progress { task, fence, done, total, note };
                        self.say(&mut said, assigner, progress);
                    }
                }
            }
            if !own.is_empty() {
                self.0.driver.own_outcomes(self.0.me, own).await;
            }
        }
    }

    fn queue(&self, queues: &mut Queues, assigner: NodeId, ran: Ran) {
        queues.retain(|_, queue| !queue.is_closed());
        let queue = queues.entry((assigner, is_island(ran.fence))).or_insert_with(|| {
            // Unbounded: what is in it was bounded when the tasks were taken.
            let (sender, receiver) = mpsc::unbounded_channel();
            let cluster = self.clone();
            self.0.deliveries.spawn(async move { cluster.deliver_to(assigner, receiver).await });
            sender
        });
        let _ = queue.send(ran);
    }

    /// Delivers until the queue is closed and empty.
    async fn deliver_to(&self, node: NodeId, mut queue: mpsc::UnboundedReceiver<Ran>) {
        let mut buffer: Vec<Ran> = Vec::new();
        loop {
            if buffer.is_empty() && queue.recv_many(&mut buffer, CHUNK).await == 0 {
                return;
            }
            let rest = buffer.split_off(chunk_len(&buffer).min(buffer.len()));
            let count = buffer.len();
            let chunk = Outcomes { ran: std::mem::replace(&mut buffer, rest) };
            let begun = Instant::now();
            while let Err(error) = self.bring_outcomes(node, &chunk).await {
                // A node that restarts may not know this one yet, or not serve yet; another may lead now.
                let later = [Refusal::Internal, Refusal::NotAdmitted, Refusal::NotLeader];
                let refused = matches!(&error, CallFailed::Refused(refused) if !later.contains(&refused.why));
                if refused || begun.elapsed() > KEEP {
                    tracing::warn!(%node, tasks = count, %error, "outcomes that nobody takes any more are let go");
                    break;
                }
                tracing::debug!(%node, %error, "outcomes could not be delivered yet");
                tokio::time::sleep(RETRY).await;
            }
            chunk.ran.iter().for_each(|ran| self.0.executor.settled(ran.task, ran.fence));
        }
    }

    /// Gives outcomes to the leader of the cluster that assigned them: that one, or who leads it now.
    async fn bring_outcomes(&self, assigner: NodeId, chunk: &Outcomes) -> Result<(), CallFailed> {
        if chunk.ran.iter().any(|ran| is_island(ran.fence)) {
            return self.bring_to_island(assigner, chunk).await;
        }
        let standing = self.standing();
        let successor = self.known().led.get(&assigner) == Some(&standing.cluster);
        let to = if successor && standing.leader != NOBODY { standing.leader } else { assigner };
        if to == self.0.me {
            let taken = self.0.driver.outcomes(self.0.me, chunk.ran.clone()).await;
            return taken.map_err(|_| CallFailed::NoLeader);
        }
        let bytes = chunk.ran.iter().map(|ran| ran.body.len() as u64).sum();
        tokio::select! {
            taken = self.call::<Taken>(to, chunk, self.patience_for(to, bytes)) => taken.map(drop),
            () = self.leader_lost(to), if to == standing.leader && to != assigner => Err(CallFailed::NoLeader),
        }
    }

    /// Gives outcomes to the node whose island's tasks they are: no leader knows of them.
    async fn bring_to_island(&self, origin: NodeId, chunk: &Outcomes) -> Result<(), CallFailed> {
        if origin == self.0.me {
            let taken = self.island_outcomes(origin, chunk.ran.clone()).await;
            return if taken { Ok(()) } else { Err(CallFailed::NoLeader) };
        }
        let bytes = chunk.ran.iter().map(|ran| ran.body.len() as u64).sum();
        self.call::<Taken>(origin, chunk, self.patience_for(origin, bytes)).await.map(drop)
    }

    /// Says how far a task is: to this node's own watchers at once, over the mesh now and then.
    fn say(&self, said: &mut HashMap<TaskId, Instant>, assigner: NodeId, progress: Progress) {
        let task = progress.task;
        if assigner == self.0.me && is_island(progress.fence) {
            let Progress { task, fence, done, total, note } = progress;
            return self.0.driver.watch().set_progress(task, fence, done, total, note);
        }
        if assigner == self.0.me {
            self.0.driver.progress(assigner, progress);
            return;
        }
        let every = PROGRESS_EVERY.max(Duration::from_millis(u64::from(self.rtt_ms(assigner))) * PROGRESS_ROUND_TRIPS);
        if said.get(&task).is_some_and(|last| last.elapsed() < every) {
            return;
        }
        said.insert(task, Instant::now());
        let cluster = self.clone();
        self.0.tasks.spawn(async move {
            let wait = cluster.patience(assigner);
            let _ = cluster.call_raw::<Noted>(assigner, progress.encode(), wait).await;
        });
    }

    /// Waits until every outcome has been delivered; for the end of the node, within its grace.
    pub async fn delivered(&self) {
        self.0.deliveries.close();
        self.0.deliveries.wait().await;
    }
}

/// How many outcomes go into one message: at least one.
fn chunk_len(ran: &[Ran]) -> usize {
    let mut bytes = 0;
    let fits = |one: &&Ran| {
        bytes += one.body.len() + 64;
        bytes <= CHUNK_BYTES
    };
    ran.iter().take_while(fits).count().clamp(1, CHUNK)
}
