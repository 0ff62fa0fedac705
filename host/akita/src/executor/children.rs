//! The children of one run: bounds what it asks for, names each child so that the next attempt finds it again, submits
//! them through the node, and waits for them without a slot. It schedules nothing and keeps nothing after the run.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use akita_core::task::DEFAULT_PRIORITY;
use akita_core::{Content, Extras, Failure, NodeId, Outcome, Parent, TaskId, TaskSpec, wire::JobExtras};
use akita_sandbox::{ChildTask, FailureKind, HostFuture, TasksError, TasksHost};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::place::Place;
use crate::{driver::Incoming, view::NodeError};

/// Results that are waited for at once: enough that none waits for another's way, few enough for a slow link.
const WAITS: usize = 8;
/// Pause before the cluster is asked again about a child that nobody knows, or by a node that reaches nobody.
const AGAIN: Duration = Duration::from_secs(1);
/// How often that is asked: after a change of the leader it takes a while until the books are together again.
const MOST_UNKNOWN: u32 = 60;

/// The node that children are submitted to.
pub trait Home: Send + Sync + 'static {
    /// Has the cluster accept all of these or none. Those that it knows it keeps as they are.
    fn submit(&self, children: Vec<Incoming>) -> Pin<Box<dyn Future<Output = Result<(), NodeError>> + Send + '_>>;
    /// Waits for the end of a task, for a while. `None`: nobody knows it.
    fn end_of(&self, task: TaskId) -> Pin<Box<dyn Future<Output = Result<Option<Ended>, NodeError>> + Send + '_>>;
}

/// What became of a task so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It goes on.
    NotYet,
    /// Somebody cancelled it.
    Cancelled,
    /// It ran.
    With(Outcome),
}

/// What a run may have of children.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Children of one task.
    pub(super) children: u32,
    /// Generations below a task that is nobody's child.
    pub(super) depth: u8,
    /// All results that are gathered at once, in bytes: they go into the run's memory.
    pub(super) bytes: u64,
}

/// The run.
pub(super) struct Family {
    pub(super) home: Arc<dyn Home>,
    /// Whose children they are.
    pub(super) parent: TaskId,
    /// The node that took the first of the family from its submitter.
    pub(super) origin: NodeId,
    pub(super) extras: JobExtras,
    pub(super) bounds: Bounds,
    pub(super) place: Arc<Place>,
    pub(super) drained: CancellationToken,
    /// Ends the run.
    pub(super) cancel: CancellationToken,
    pub(super) children: Mutex<Vec<TaskId>>,
}

impl Family {
    fn children(&self) -> std::sync::MutexGuard<'_, Vec<TaskId>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn child(&self, place: usize, child: ChildTask) -> Result<Incoming, String> {
        let ChildTask { action, input, requires, priority, timeout_ms } = child;
        let depth = self.extras.depth + 1;
        let spec = TaskSpec {
            action,
            required: requires,
            priority: priority.or(self.extras.priority).unwrap_or(DEFAULT_PRIORITY),
            timeout_ms,
            input: Content { content_type: input.content_type, body: input.body },
            extras: Extras {
                deterministic: self.extras.deterministic,
                key: self.extras.key,
                parent: Some(Parent { task: self.parent, depth }),
            },
        };
        let spec = spec.normalise().map_err(|error| error.to_string())?;
        let number = u32::try_from(place).unwrap_or(u32::MAX);
        Ok(Incoming { id: self.parent.child(number), origin: self.origin, attempts: 0, spec })
    }

    /// The next children, numbered from `first` on.
    fn next(&self, first: usize, children: Vec<ChildTask>) -> Result<Vec<Incoming>, TasksError> {
        if self.extras.depth >= self.bounds.depth {
            return Err(TasksError::TooDeep(self.bounds.depth.into()));
        }
        if (first + children.len()) as u64 > u64::from(self.bounds.children) {
            return Err(TasksError::TooMany(self.bounds.children));
        }
        let named = children.into_iter().enumerate().map(|(at, child)| {
            self.child(first + at, child).map_err(|error| TasksError::Invalid(format!("child {at}: {error}")))
        });
        named.collect()
    }

    /// Waits for one child, however long it takes: the run's own time limit ends it.
    async fn end_of(&self, id: TaskId) -> Outcome {
        let mut unknown = 0;
        loop {
            match self.home.end_of(id).await {
                Ok(Some(Ended::With(outcome))) => return outcome,
                Ok(Some(Ended::Cancelled)) => return Outcome::Failed(failed("cancelled", "the task was cancelled")),
                Ok(Some(Ended::NotYet)) => unknown = 0,
                Ok(None) if unknown >= MOST_UNKNOWN => {
                    return Outcome::Failed(failed("lost", "the cluster does not know the task any more"));
                }
                Ok(None) => {
                    unknown += 1;
                    tokio::time::sleep(AGAIN).await;
                }
                Err(error) => {
                    tracing::debug!(child = %id, %error, "a child's end cannot be asked for now");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    async fn ends(&self, ids: Vec<TaskId>) -> Result<Vec<akita_sandbox::Outcome>, TasksError> {
        let mut bytes = 0;
        let most = self.bounds.bytes;
        let ends = stream::iter(ids).map(|id| self.end_of(id)).buffered(WAITS).map(|outcome| {
            if let Outcome::Completed(content) = &outcome {
                bytes += content.body.len() as u64;
            }
            let too_large =
                || TasksError::Invalid(format!("the results are over {most} B together: gather fewer at once"));
            if bytes > most { Err(too_large()) } else { Ok(to_sandbox(outcome)) }
        });
        ends.try_collect().await
    }
}

impl TasksHost for Family {
    fn submit(&self, children: Vec<ChildTask>) -> HostFuture<'_, Result<Vec<String>, TasksError>> {
        Box::pin(async move {
            let first = self.children().len();
            let incoming = self.next(first, children)?;
            let ids: Vec<TaskId> = incoming.iter().map(|child| child.id).collect();
            if !incoming.is_empty() {
                self.home.submit(incoming).await.map_err(not_taken)?;
            }
            self.children().extend(&ids);
            Ok(ids.iter().map(ToString::to_string).collect())
        })
    }

    fn gather(&self, ids: Vec<String>) -> HostFuture<'_, Result<Vec<akita_sandbox::Outcome>, TasksError>> {
        Box::pin(async move {
            let known = self.children().clone();
            let own = |id: String| {
                let own = id.parse().ok().filter(|id| known.contains(id));
                own.ok_or(TasksError::NotAChild(id))
            };
            let ids = ids.into_iter().map(own).collect::<Result<Vec<TaskId>, TasksError>>()?;
            let parked = self.place.leave();
            let ends = tokio::select! {
                ends = self.ends(ids) => Some(ends),
                () = self.drained.cancelled() => None,
            };
            // From here on it waits for a slot as others do.
            drop(parked);
            match ends {
                Some(ends) if self.place.sit().await => ends,
                // The node stops. Another will run the task again, and find its children.
                _ => {
                    self.cancel.cancel();
                    std::future::pending().await
                }
            }
        })
    }
}

fn failed(code: &str, message: &str) -> Failure {
    Failure { message: message.to_owned(), code: Some(code.to_owned()), pointer: None, retry_after_ms: None }
}

fn not_taken(error: NodeError) -> TasksError {
    match error {
        NodeError::Invalid { .. }
        | NodeError::NoSuchAction { .. }
        | NodeError::Misfit { .. }
        | NodeError::Forbidden { .. } => TasksError::Invalid(error.to_string()),
        error => TasksError::Unavailable(error.to_string()),
    }
}

/// The cluster's last word on a task: it has had its attempts, so nothing is left to be tried.
fn to_sandbox(outcome: Outcome) -> akita_sandbox::Outcome {
    let failure = match outcome {
        Outcome::Completed(Content { content_type, body }) => {
            return Ok(akita_sandbox::Content { content_type, body });
        }
        Outcome::Failed(failure) => failure,
    };
    let said = failure.code.as_deref().and_then(FailureKind::parse);
    let kind = said.filter(|kind| !kind.is_retryable()).unwrap_or(FailureKind::Permanent);
    Err(akita_sandbox::Failure {
        code: failure.code,
        pointer: failure.pointer,
        ..akita_sandbox::Failure::new(kind, failure.message)
    })
}
