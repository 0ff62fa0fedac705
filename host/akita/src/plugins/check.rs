//! Whether tasks that come in fit the actions of this node, so that a wrong input is told to its sender and not found out
//! by a worker. What this node does not have it does not judge: the worker looks again in any case.

use std::{collections::BTreeMap, sync::Arc};

use akita_sandbox::{Failure, Plugin};

use super::{Plugins, Shelf};
use crate::{driver::Incoming, view::NodeError};

/// Bytes of inputs that are looked at on a thread that serves requests: less than a millisecond. More is for a thread
/// that may block.
const INLINE_BYTES: usize = 32 << 10;
/// What a task counts for at least: a small input may have a schema that takes long.
const LEAST_BYTES: usize = 4 << 10;
/// Submissions that are looked at on such threads at once: each keeps a core busy, for seconds at worst.
pub(super) const CHECKS_AT_ONCE: usize = 2;

impl Plugins {
    /// Gives the tasks back if each input fits its action, as far as this node has it.
    ///
    /// # Errors
    /// [`NodeError::Misfit`] for the first that does not.
    pub async fn check(&self, tasks: Vec<Incoming>) -> Result<Vec<Incoming>, NodeError> {
        let shelf = self.shelf();
        let Some(from) = quickly(&shelf, &tasks)? else { return Ok(tasks) };
        let turn = Arc::clone(&self.0.checks).acquire_owned().await.map_err(|_| NodeError::Stopping)?;
        let looked = tokio::task::spawn_blocking(move || {
            let looked = slowly(&shelf, &tasks, from);
            // Here, so that a submitter who goes away frees no turn while the work goes on.
            drop(turn);
            looked.map(|()| tasks)
        });
        looked.await.unwrap_or_else(|error| Err(NodeError::Internal(format!("checking the inputs failed: {error}"))))
    }
}

/// The first task that takes longer than there is time for here.
fn quickly(shelf: &Shelf, tasks: &[Incoming]) -> Result<Option<usize>, NodeError> {
    let mut left = INLINE_BYTES;
    for (at, task) in tasks.iter().enumerate() {
        let input = &task.spec.input;
        let Some(less) = left.checked_sub(input.body.len().max(LEAST_BYTES)) else { return Ok(Some(at)) };
        left = less;
        let Ok(found) = shelf.resolve(&task.spec.action) else { continue };
        match found.plugin.check_input_quickly(&found.action, &input.content_type, &input.body) {
            None => return Ok(Some(at)),
            Some(fits) => fits.map_err(|failure| misfit(tasks, at, failure))?,
        }
    }
    Ok(None)
}

fn slowly(shelf: &Shelf, tasks: &[Incoming], from: usize) -> Result<(), NodeError> {
    // Most batches have one action; looking for one that nobody has is not cheap.
    let mut known: BTreeMap<&str, Option<(Arc<Plugin>, String)>> = BTreeMap::new();
    for (at, task) in tasks.iter().enumerate().skip(from) {
        let name = task.spec.action.as_str();
        let found =
            known.entry(name).or_insert_with(|| shelf.resolve(name).ok().map(|found| (found.plugin, found.action)));
        if let Some((plugin, action)) = found {
            let input = &task.spec.input;
            let fits = plugin.check_input(action, &input.content_type, &input.body);
            fits.map_err(|failure| misfit(tasks, at, failure))?;
        }
    }
    Ok(())
}

fn misfit(tasks: &[Incoming], at: usize, failure: Failure) -> NodeError {
    let many = tasks.len() > 1;
    let place = if many { format!("task {at} of the batch: ") } else { String::new() };
    NodeError::Misfit {
        detail: format!("{place}{}", failure.message),
        task: at,
        pointer: failure.pointer.unwrap_or_default(),
    }
}
