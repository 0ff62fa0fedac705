//! What comes in: tasks to accept, outcomes, and what workers said to their assignments. It fills the next entry and
//! never proposes one.

use akita_core::{Command, NodeId, Reply, Status, TaskId, command::RequeueCause, schedule::Resolved, wire::Ran};
use tokio::sync::oneshot;

use super::{LAZY_ACK_MS, Service, Waiter, now, ticks};
use crate::{
    driver::{Accepted, Incoming},
    view::NodeError,
};

/// Full queues of other clusters that may come in on top of the own one: handed-over tasks are not to be turned away for
/// long, and still must not fill the memory.
const IMPORTED_QUEUES: usize = 4;
/// Seconds after which a submitter refused by a full queue may try again.
const RETRY_AFTER_S: u64 = 2;

impl Service {
    pub(super) fn submit(
        &mut self,
        mut tasks: Vec<Incoming>,
        imported: bool,
        reply: oneshot::Sender<Result<Accepted, NodeError>>,
    ) {
        if let Err(error) = self.admit(&mut tasks, imported) {
            let _ = reply.send(Err(error));
            return;
        }
        let now = now();
        let (first, count) = (self.next.commands.len(), tasks.len());
        for Incoming { id, origin, attempts, spec } in tasks {
            self.leader.offer(id, &spec, now);
            let max_attempts = self.tuning.max_attempts;
            self.next.commands.push(Command::Submit { id, origin, attempts, max_attempts, spec });
        }
        self.next.waiters.push(Waiter::Submit { first, count, reply });
    }

    fn admit(&self, tasks: &mut [Incoming], imported: bool) -> Result<(), NodeError> {
        if self.paused {
            return Err(NodeError::Stopping);
        }
        // Another node's settings may allow more; past this the task would be taken back while it runs.
        let most = u32::try_from(self.tuning.processing_timeout).unwrap_or(u32::MAX);
        tasks.iter_mut().for_each(|task| task.spec.timeout_ms = task.spec.timeout_ms.map(|asked| asked.min(most)));
        let limit = self.tuning.max_queue;
        let most = if imported { limit.saturating_mul(1 + IMPORTED_QUEUES) } else { limit };
        if self.leader.queue_len() + tasks.len() > most {
            return Err(NodeError::QueueFull { limit, retry_after_s: RETRY_AFTER_S });
        }
        if imported {
            for task in tasks {
                if let Resolved::One(full) = self.leader.resolve(&task.spec.action) {
                    task.spec.action = full;
                }
            }
            return Ok(());
        }
        let many = tasks.len() > 1;
        for (at, task) in tasks.iter_mut().enumerate() {
            let place = if many { format!("task {at} of the batch: ") } else { String::new() };
            match self.leader.resolve(&task.spec.action) {
                Resolved::One(full) => task.spec.action = full,
                Resolved::Ambiguous(all) => {
                    return Err(NodeError::Invalid {
                        detail: format!("{place}several plugins have the action `{}`", task.spec.action),
                        hint: format!("name one of them: {}", all.join(", ")),
                    });
                }
                Resolved::Unknown(near) => {
                    let detail = format!("{place}no node of the cluster has the action `{}`", task.spec.action);
                    let hint = match near.as_slice() {
                        [] => "`akita plugin list` shows what a node offers; start it with --plugins DIR".to_owned(),
                        near => format!("did you mean {}?", near.join(", ")),
                    };
                    return Err(NodeError::NoSuchAction { detail, hint });
                }
            }
        }
        Ok(())
    }

    pub(super) fn outcomes(&mut self, worker: NodeId, ran: Vec<Ran>, reply: Option<oneshot::Sender<()>>) {
        for one in ran {
            let (task, fence) = (one.task, one.fence);
            if self.leader.holder(task) == Some((worker, fence)) {
                self.unacknowledged.remove(&task);
                self.leader.ran(task, one.run_us, ticks());
                self.next.commands.push(Command::Finish { task, fence, worker, outcome: one.outcome() });
            } else {
                tracing::debug!(%task, %worker, "an outcome came too late and is not taken");
            }
        }
        self.next.waiters.extend(reply.map(Waiter::Done));
    }

    pub(super) fn delivered(
        &mut self,
        worker: NodeId,
        taken: &[(TaskId, u64)],
        refused: Vec<(TaskId, u64)>,
        unreachable: bool,
    ) {
        let own = worker == self.outbound.me;
        for (task, fence) in taken {
            if self.leader.holder(*task) != Some((worker, *fence)) {
                continue;
            }
            if own {
                self.unacknowledged.insert(*task, (ticks() + LAZY_ACK_MS, *fence));
            } else {
                self.next.commands.push(Command::Acknowledge { task: *task, fence: *fence });
            }
        }
        if !refused.is_empty() {
            self.leader.refused(worker, ticks());
        }
        let cause = if unreachable { RequeueCause::WorkerOffline } else { RequeueCause::Refused };
        let back = refused.into_iter().map(|(task, fence)| Command::Requeue { task, fence, cause });
        self.next.commands.extend(back);
    }
}

/// This node cannot accept anything now.
pub(super) fn not_leading() -> NodeError {
    NodeError::Unavailable {
        detail: "this node does not lead, or most voters do not answer".into(),
        hint: "`akita cluster status` shows who leads; try again in a moment".into(),
    }
}

pub(super) fn statuses(replies: &[Reply]) -> Result<Vec<Status>, NodeError> {
    replies
        .iter()
        .map(|reply| match reply {
            Reply::Known(status) => Ok(*status),
            Reply::Done => Ok(Status::Pending),
            Reply::Sealed | Reply::Stale | Reply::Enlisted(_) => Err(NodeError::Unavailable {
                detail: "this node has just given way to another leader".into(),
                hint: "send the task again".into(),
            }),
        })
        .collect()
}
