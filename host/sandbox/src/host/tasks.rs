//! `akita:plugin/tasks`: bounds what a guest asks for its children, and passes it to the host. It schedules nothing.

use std::sync::Arc;

use super::HostFuture;
use crate::bindings::{tasks, types};
use crate::outcome::{Content, Failure, FailureKind, Outcome};
use crate::store::{RunState, Stop};

/// Children in one call; a task's own limit on all its children is the host's.
const MAX_CHILDREN_IN_CALL: usize = 1_000;

/// What a child is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildTask {
    /// `plugin/action`, or a bare action.
    pub action: String,
    /// The input and its media type.
    pub input: Content,
    /// Capabilities that the worker must have.
    pub requires: Vec<String>,
    /// Lower is more urgent; the parent's where there is none.
    pub priority: Option<u8>,
    /// Time limit of one attempt in milliseconds.
    pub timeout_ms: Option<u32>,
}

/// Why there is no child, or no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TasksError {
    /// A child makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// More generations than are allowed.
    #[error("at most {0} generations of tasks")]
    TooDeep(u32),
    /// More children than are allowed.
    #[error("at most {0} children of one task")]
    TooMany(u32),
    /// Somebody else's task, or none.
    #[error("{0} is no child of this task")]
    NotAChild(String),
    /// It does not work now.
    #[error("{0}")]
    Unavailable(String),
}

/// The children of one run.
pub trait TasksHost: Send + Sync + 'static {
    /// Submits children, all or none; their ids in the same order.
    fn submit(&self, children: Vec<ChildTask>) -> HostFuture<'_, Result<Vec<String>, TasksError>>;
    /// Waits for the ends of these children, in the same order.
    fn gather(&self, ids: Vec<String>) -> HostFuture<'_, Result<Vec<Outcome>, TasksError>>;
}

impl From<TasksError> for tasks::TasksError {
    fn from(error: TasksError) -> tasks::TasksError {
        match error {
            TasksError::Invalid(why) => tasks::TasksError::Invalid(why),
            TasksError::TooDeep(most) => tasks::TasksError::TooDeep(most),
            TasksError::TooMany(most) => tasks::TasksError::TooMany(most),
            TasksError::NotAChild(id) => tasks::TasksError::NotAChild(id),
            TasksError::Unavailable(why) => tasks::TasksError::Unavailable(why),
        }
    }
}

impl From<tasks::Child> for ChildTask {
    fn from(child: tasks::Child) -> ChildTask {
        let tasks::Child { action, input, requires, priority, timeout_ms } = child;
        let types::Content { content_type, body } = input;
        ChildTask { action, input: Content { content_type, body }, requires, priority, timeout_ms }
    }
}

/// A child's end, in the words in which a plugin tells its own.
fn told(outcome: Outcome) -> Result<types::Content, types::TaskError> {
    let failure = match outcome {
        Ok(Content { content_type, body }) => return Ok(types::Content { content_type, body }),
        Err(failure) => failure,
    };
    let Failure { kind, message, code, pointer, retry_after } = failure;
    let code = code.or_else(|| Some(kind.as_str().to_owned()));
    let failure = types::Failure { message, code, pointer };
    Err(match kind {
        FailureKind::UnknownAction => types::TaskError::UnknownAction,
        FailureKind::InvalidInput => types::TaskError::InvalidInput(failure),
        FailureKind::Cancelled => types::TaskError::Cancelled,
        kind if kind.is_retryable() => {
            let after = retry_after.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
            types::TaskError::Retryable((failure, after))
        }
        _ => types::TaskError::Permanent(failure),
    })
}

impl RunState {
    fn tasks(&self, asked: usize) -> Result<Arc<dyn TasksHost>, tasks::TasksError> {
        if asked > MAX_CHILDREN_IN_CALL {
            return Err(tasks::TasksError::TooMany(MAX_CHILDREN_IN_CALL as u32));
        }
        let missing = || tasks::TasksError::Unavailable("this host takes no tasks".to_owned());
        self.hosts.tasks.clone().ok_or_else(missing)
    }
}

type Answer<T> = wasmtime::Result<Result<T, tasks::TasksError>>;

// The host is taken before anything is awaited: the state of a run is not shared between threads.
impl tasks::Host for RunState {
    async fn submit(&mut self, children: Vec<tasks::Child>) -> Answer<Vec<String>> {
        let host = self.tasks(children.len());
        let children = children.into_iter().map(Into::into).collect();
        Ok(async { Ok(host?.submit(children).await?) }.await)
    }

    async fn gather(&mut self, ids: Vec<String>) -> Answer<Vec<Result<types::Content, types::TaskError>>> {
        let host = self.tasks(ids.len());
        // Its children may need the slot.
        if let Some(slot) = &mut self.slot {
            slot.leave();
        }
        let gathered = async { Ok(host?.gather(ids).await?) }.await;
        if let Some(free) = self.slot.as_ref().map(crate::slot::Slot::free) {
            let held = free.await.map_err(|_| Stop::Shutdown)?;
            if let Some(slot) = &mut self.slot {
                slot.sit(held);
            }
        }
        Ok(gathered.map(|ends| ends.into_iter().map(told).collect()))
    }
}
