//! Child tasks: hand work to the cluster and gather what comes back. To be granted: `interfaces = ["tasks"]`.
//!
//! ```
//! use akita_plugin::prelude::*;
//! use akita_plugin::{tasks, testing::Harness};
//!
//! /// The lengths of some words, each counted by a task of its own.
//! fn lengths(words: Vec<String>) -> Result<Vec<u64>, TaskError> {
//!     tasks::fan_out("text/length", &words)?.into_iter().collect()
//! }
//!
//! akita_plugin::plugin! {
//!     name: "lengths",
//!     summary: "Counts letters, on many nodes.",
//!     actions: { "lengths" => lengths { summary: "Lengths of words." } },
//! }
//!
//! let node = Harness::new(&PLUGIN).child("text/length", |input| Ok(Content::json((input.body.len() - 2).to_string())));
//! assert_eq!(node.json("lengths", r#"["a","bcd"]"#).text(), "[1,3]");
//! ```
//!
//! A task that runs again finds its children again, the n-th one by its place: make the same ones in the same order on
//! each attempt.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::slice;

use serde_core::Serialize;
use serde_core::de::DeserializeOwned;

pub use crate::contract::akita::plugin::tasks::{Child, TaskId, TasksError as Error};
use crate::{Content, TaskError, host, json};

impl Child {
    /// A child: `plugin/action`, or a bare action where it is unambiguous, and its input.
    ///
    /// ```
    /// use akita_plugin::{Content, tasks::Child};
    /// let child = Child::new("image/fit", Content::new("image/png", [1, 2, 3])).requires("gpu").timeout_ms(5_000);
    /// assert_eq!(child.requires, ["gpu"]);
    /// ```
    pub fn new(action: impl Into<String>, input: Content) -> Self {
        Self { action: action.into(), input, requires: Vec::new(), priority: None, timeout_ms: None }
    }

    /// A child whose input is a value as JSON.
    pub fn json<T: Serialize + ?Sized>(action: impl Into<String>, input: &T) -> Result<Self, TaskError> {
        let text = json::to_string(input).map_err(|error| TaskError::permanent(error.to_string()).code("bad-child"))?;
        Ok(Self::new(action, Content::json(text)))
    }

    /// Adds a capability that the worker must have.
    #[must_use]
    pub fn requires(mut self, capability: impl Into<String>) -> Self {
        self.requires.push(capability.into());
        self
    }

    /// Sets how urgent it is, lower for more; that of the parent if it is not set.
    #[must_use]
    pub fn priority(mut self, priority: u8) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Limits one attempt; the node's own limit if it is not set.
    #[must_use]
    pub fn timeout_ms(mut self, milliseconds: u32) -> Self {
        self.timeout_ms = Some(milliseconds);
        self
    }
}

/// Submits children, all or none, and answers their ids in the same order. They run while this run goes on.
pub fn submit(children: &[Child]) -> Result<Vec<TaskId>, Error> {
    host::tasks::submit(children)
}

/// Waits until all of these children have ended, and answers their results in the same order. Meanwhile the run takes no
/// slot of its node.
pub fn gather(ids: &[TaskId]) -> Result<Vec<Result<Content, TaskError>>, Error> {
    host::tasks::gather(ids)
}

/// Submits children and gathers their results.
pub fn run(children: &[Child]) -> Result<Vec<Result<Content, TaskError>>, Error> {
    if children.is_empty() {
        return Ok(Vec::new());
    }
    gather(&submit(children)?)
}

/// Runs one action on many inputs, each a task of its own, and reads the results, in the same order. What one child
/// failed with stands in its place and does not end the others.
pub fn fan_out<I: Serialize, O: DeserializeOwned>(
    action: &str,
    inputs: impl IntoIterator<Item = I>,
) -> Result<Vec<Result<O, TaskError>>, TaskError> {
    let children = inputs.into_iter().map(|input| Child::json(action, &input)).collect::<Result<Vec<_>, _>>()?;
    Ok(run(&children)?.into_iter().map(|result| read(action, &result?)).collect())
}

/// Runs one child and reads its result.
pub fn call<O: DeserializeOwned>(child: Child) -> Result<O, TaskError> {
    let result = run(slice::from_ref(&child))?.pop();
    read(&child.action, &result.unwrap_or_else(|| Err(TaskError::permanent("the node answered no result")))?)
}

fn read<O: DeserializeOwned>(action: &str, output: &Content) -> Result<O, TaskError> {
    let wrong = |why: String| TaskError::permanent(format!("the output of `{action}` {why}")).code("bad-child-output");
    if !output.is_json() {
        return Err(wrong(format!("is `{}` and not JSON", output.content_type)));
    }
    json::from_slice(&output.body).map_err(|error| wrong(format!("is not what was expected: {error}")))
}

/// Limits and mistakes are for good; a cluster that takes no children now may take them later.
impl From<Error> for TaskError {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid(why) => Self::permanent(format!("a child task makes no sense: {why}")).code("bad-child"),
            Error::TooDeep(most) => {
                Self::permanent(format!("children have at most {most} generations")).code("too-deep")
            }
            Error::TooMany(most) => {
                Self::permanent(format!("a task has at most {most} children")).code("too-many-children")
            }
            Error::NotAChild(id) => Self::permanent(format!("{id} is no child of this task")).code("not-a-child"),
            Error::Unavailable(why) => Self::retryable(format!("no child tasks now: {why}")).code("unavailable"),
        }
    }
}
