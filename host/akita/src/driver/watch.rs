//! Who waits for the end of a task, and how far running tasks are: soft, lost with the process, bounded.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use akita_core::TaskId;
use tokio::sync::{oneshot, watch};

use crate::view::ProgressView;

/// Tasks whose progress is remembered: as many as run at once on a large cluster, and some.
const MAX_PROGRESS: usize = 4_096;

/// How far a task is, with the fence of the attempt that said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Of the attempt.
    pub fence: u64,
    /// For people and programs.
    pub view: ProgressView,
}

/// Waiters and progress.
#[derive(Debug, Default)]
pub struct Watch {
    waiting: Mutex<HashMap<TaskId, Vec<oneshot::Sender<()>>>>,
    progress: Mutex<HashMap<TaskId, Progress>>,
    /// Changes with each entry that was applied.
    applied: watch::Sender<()>,
}

/// The end of one task. Dropped, whoever waited has gone, and nothing is left of it.
#[derive(Debug)]
pub struct End<'a> {
    watch: &'a Watch,
    task: TaskId,
    receiver: oneshot::Receiver<()>,
}

impl End<'_> {
    /// Returns when the task has ended, or has left this node's books.
    pub async fn wait(&mut self) {
        let _ = (&mut self.receiver).await;
    }
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.receiver.close();
        self.watch.forget(self.task);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watch {
    /// Waits for the end of the task. Look at the task after asking, not before, or its end may be missed.
    pub fn end_of(&self, task: TaskId) -> End<'_> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = lock(&self.waiting);
        let waiters = waiting.entry(task).or_default();
        waiters.retain(|waiter| !waiter.is_closed());
        waiters.push(sender);
        End { watch: self, task, receiver }
    }

    /// Forgets waiters that have gone.
    fn forget(&self, task: TaskId) {
        let mut waiting = lock(&self.waiting);
        if let Some(waiters) = waiting.get_mut(&task) {
            waiters.retain(|waiter| !waiter.is_closed());
            if waiters.is_empty() {
                waiting.remove(&task);
            }
        }
    }

    /// The task has ended, or left this node's books.
    pub fn ended(&self, task: TaskId) {
        lock(&self.progress).remove(&task);
        let waiters = lock(&self.waiting).remove(&task);
        for waiter in waiters.into_iter().flatten() {
            let _ = waiter.send(());
        }
    }

    /// Any task may have ended: whoever waits looks again.
    pub fn all_ended(&self) {
        lock(&self.progress).clear();
        let waiting = std::mem::take(&mut *lock(&self.waiting));
        for waiter in waiting.into_values().flatten() {
            let _ = waiter.send(());
        }
    }

    /// Something was applied to the state.
    pub fn applied(&self) {
        self.applied.send_replace(());
    }

    /// Changes whenever something is applied. Look at the state after asking, not before.
    pub fn each_applied(&self) -> watch::Receiver<()> {
        self.applied.subscribe()
    }

    /// How far it is now.
    pub fn set_progress(&self, task: TaskId, fence: u64, done: u64, total: Option<u64>, note: String) {
        let mut progress = lock(&self.progress);
        if progress.len() < MAX_PROGRESS || progress.contains_key(&task) {
            progress.insert(task, Progress { fence, view: ProgressView::new(done, total, note) });
        }
    }

    /// How far it is, if the attempt under `fence` said so.
    pub fn progress(&self, task: TaskId, fence: u64) -> Option<ProgressView> {
        lock(&self.progress).get(&task).filter(|progress| progress.fence == fence).map(|progress| progress.view.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everybody_who_waits_hears_of_the_end() {
        let watch = Watch::default();
        let task = TaskId([1; 16]);
        let (mut one, mut two) = (watch.end_of(task), watch.end_of(task));
        watch.ended(task);
        one.wait().await;
        two.wait().await;
    }

    #[test]
    fn waiters_that_went_away_leave_nothing_behind() {
        let watch = Watch::default();
        let task = TaskId([1; 16]);
        let mut left = watch.end_of(task);
        // As a caller that hangs up: its future is dropped while it waits.
        drop(async { left.wait().await });
        drop(left);
        assert!(lock(&watch.waiting).is_empty());
    }

    #[test]
    fn progress_of_an_earlier_attempt_is_not_shown() {
        let watch = Watch::default();
        let task = TaskId([1; 16]);
        watch.set_progress(task, 5, 1, Some(4), "x".into());
        assert_eq!(watch.progress(task, 5).unwrap().percent, Some(25));
        assert_eq!(watch.progress(task, 6), None);
        watch.ended(task);
        assert_eq!(watch.progress(task, 5), None);
    }
}
