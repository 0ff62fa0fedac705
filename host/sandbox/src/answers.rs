//! Outcomes on their way back to their callers. While more runs wait for a slot, several outcomes go back together: to
//! wake a caller's thread for each costs more than a small run itself. It changes no outcome and keeps none for long.

use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::{mpsc, oneshot};

use crate::outcome::Outcome;

/// Outcomes that go back at one time. With 16 a wake-up costs each run a tenth of a microsecond; more gains nothing.
const MOST: usize = 16;

/// An outcome and who waits for it.
type Answer = (oneshot::Sender<Outcome>, Outcome);

/// The outcomes that are ready, and how many runs will bring more.
#[derive(Default)]
pub(crate) struct Answers {
    ready: Mutex<Vec<Answer>>,
    waiting: AtomicUsize,
    /// To a task in the callers' runtime, which wakes the callers from within: from outside each would cost a system call.
    within: OnceLock<mpsc::UnboundedSender<Vec<Answer>>>,
}

impl Answers {
    /// Counts a run among those that wait for a slot until the guard is dropped.
    pub(crate) fn wait(self: &Arc<Answers>) -> Waiting {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(Arc::clone(self))
    }

    /// Learns of the callers' runtime; to be called from it.
    pub(crate) fn settle(&self) {
        self.within.get_or_init(|| {
            // Bounded by the runs that go on, each of which brings one answer.
            let (to, mut from) = mpsc::unbounded_channel();
            tokio::spawn(async move {
                while let Some(ready) = from.recv().await {
                    send(ready);
                }
            });
            to
        });
    }

    /// Takes an outcome. It goes back at once if no other run waits, or if it is a failure: a run that was stopped has
    /// kept its caller waiting already. Else the next run that ends takes it along, or the next tick of the epoch.
    pub(crate) fn give(&self, to: oneshot::Sender<Outcome>, outcome: Outcome) {
        let urgent = outcome.is_err() || self.waiting.load(Ordering::Relaxed) == 0;
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        ready.push((to, outcome));
        if urgent || ready.len() >= MOST {
            let ready = mem::take(&mut *ready);
            self.hand_over(ready);
        }
    }

    /// Sends what is ready.
    pub(crate) fn flush(&self) {
        let ready = mem::take(&mut *self.ready.lock().unwrap_or_else(PoisonError::into_inner));
        self.hand_over(ready);
    }

    fn hand_over(&self, ready: Vec<Answer>) {
        match self.within.get() {
            Some(within) if ready.len() > 1 => {
                // That runtime may have ended before the sandbox: callers in another one get theirs from here.
                if let Err(mpsc::error::SendError(ready)) = within.send(ready) {
                    send(ready);
                }
            }
            _ => send(ready),
        }
    }
}

/// A caller that is gone needs no answer.
fn send(ready: Vec<Answer>) {
    for (to, outcome) in ready {
        to.send(outcome).ok();
    }
}

/// A run that waits for a slot.
pub(crate) struct Waiting(Arc<Answers>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Content, Failure, FailureKind};

    fn content() -> Outcome {
        Ok(Content { content_type: "text/plain".to_owned(), body: Vec::new() })
    }

    /// Gives so many, and answers their receivers.
    fn give(answers: &Answers, count: usize) -> Vec<oneshot::Receiver<Outcome>> {
        let mut receivers = Vec::new();
        for _ in 0..count {
            let (to, from) = oneshot::channel();
            answers.give(to, content());
            receivers.push(from);
        }
        receivers
    }

    #[test]
    fn an_outcome_goes_back_at_once_when_no_run_waits() {
        let answers = Arc::new(Answers::default());
        drop(answers.wait());
        assert!(give(&answers, 1)[0].try_recv().is_ok());
    }

    #[test]
    fn outcomes_go_back_together_while_runs_wait() {
        let answers = Arc::new(Answers::default());
        let _waiting = answers.wait();
        let mut receivers = give(&answers, MOST - 1);
        assert!(receivers.iter_mut().all(|from| from.try_recv().is_err()));
        receivers.extend(give(&answers, 1));
        assert!(receivers.iter_mut().all(|from| from.try_recv().is_ok()));
    }

    #[tokio::test]
    async fn callers_are_answered_from_within_their_runtime_and_without_it() {
        let answers = Arc::new(Answers::default());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.spawn({
            let answers = Arc::clone(&answers);
            async move { answers.settle() }
        });
        while answers.within.get().is_none() {
            tokio::task::yield_now().await;
        }
        let _waiting = answers.wait();
        for from in give(&answers, MOST) {
            assert!(from.await.is_ok());
        }
        runtime.shutdown_background();
        answers.within.get().unwrap().closed().await;
        for from in give(&answers, MOST) {
            assert!(from.await.is_ok());
        }
    }

    #[test]
    fn a_failure_takes_along_what_is_ready() {
        let answers = Arc::new(Answers::default());
        let _waiting = answers.wait();
        let mut first = give(&answers, 1).remove(0);
        let (to, mut failed) = oneshot::channel();
        answers.give(to, Err(Failure::new(FailureKind::TimeLimit, "over")));
        assert!(first.try_recv().is_ok());
        assert!(failed.try_recv().is_ok_and(|outcome| outcome.is_err()));
    }

    #[test]
    fn a_tick_sends_what_is_ready() {
        let answers = Arc::new(Answers::default());
        let _waiting = answers.wait();
        let mut first = give(&answers, 1).remove(0);
        answers.flush();
        assert!(first.try_recv().is_ok());
    }
}
