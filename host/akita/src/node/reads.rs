//! How new an answer is: confirmed by the leader, or marked as stale; and waiting until a write is seen here. It decides
//! nothing about what is read.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use akita_core::wire::Ask;

use super::{Node, internal};
use crate::view::NodeError;

/// Longest wait for an answer that is as new as was asked for: a new leader is elected by then on a LAN.
const READ_WAIT: Duration = Duration::from_secs(10);
/// The same where voters are more patient than that: as long as the API holds back any answer.
const LONGEST_READ_WAIT: Duration = crate::api::MAX_WAIT;
/// Pause before the leader, or the next one, is asked again.
const READ_AGAIN: Duration = Duration::from_millis(100);
/// Longest time between two looks at how far the log was applied, should a word of it have been missed.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

impl Node {
    /// Whether what lies here is the newest: this node keeps its own log, or leads the voters and they still agree. Ask
    /// before reading, or something may be committed in between.
    pub(super) async fn holds_newest(&self) -> bool {
        !self.cluster.role().is_voter() || self.cluster.is_current().await
    }

    /// Whether this node leads, and most voters have just agreed that it does. What is read afterwards is the newest.
    pub(super) async fn leads_for_sure(&self) -> bool {
        self.cluster.leads() && self.holds_newest().await
    }

    /// The same for who is asked by another node.
    pub(super) async fn must_lead(&self) -> Result<(), NodeError> {
        if self.leads_for_sure().await {
            return Ok(());
        }
        Err(NodeError::Unavailable {
            detail: "it does not lead, or most voters do not answer it".into(),
            hint: "`akita cluster status` shows who leads".into(),
        })
    }

    /// Whether this node has a copy of the cluster's log, as the leader and each voter have.
    fn has_copy(&self) -> bool {
        self.cluster.leads() || self.cluster.role().is_voter()
    }

    /// For answers that nobody else is asked for.
    pub(super) fn must_have_copy(&self) -> Result<(), NodeError> {
        if self.has_copy() {
            return Ok(());
        }
        Err(NodeError::Unavailable {
            detail: "this node only works, and has no copy of the cluster's log to read from".into(),
            hint: "leave out --stale, or ask a voter: `akita cluster members` shows who votes".into(),
        })
    }

    /// The last entry of its log that this node has applied.
    pub(super) async fn log_index(&self) -> Result<u64, NodeError> {
        self.store.log_index().await.map_err(internal)
    }

    /// How far the state has come that this node answers from: its own copy, or the leader's.
    async fn applied(&self) -> Result<u64, NodeError> {
        if self.has_copy() { self.log_index().await } else { self.must_ask(&Ask::Index).await }
    }

    fn read_wait(&self) -> Duration {
        let failover = self.cluster.role().profile.map(|profile| Duration::from_millis(profile.failover_ms()));
        failover.unwrap_or_default().clamp(READ_WAIT, LONGEST_READ_WAIT)
    }

    /// Returns when what this node answers from has the log's entry `after`.
    pub(super) async fn caught_up(&self, after: Option<u64>) -> Result<(), NodeError> {
        let Some(after) = after else { return Ok(()) };
        let wait = self.read_wait();
        let deadline = Instant::now() + wait;
        let mut applied = self.driver.watch().each_applied();
        let mut reached = Ok(0);
        loop {
            applied.mark_unchanged();
            let left = deadline.saturating_duration_since(Instant::now());
            if let Ok(found) = tokio::time::timeout(left.max(READ_AGAIN), self.applied()).await {
                reached = found;
            }
            if reached.as_ref().is_ok_and(|index| *index >= after) {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(NodeError::Behind { after, applied: reached?, waited_s: wait.as_secs() });
            }
            let pause = if self.has_copy() { LOOK_AGAIN } else { READ_AGAIN };
            tokio::select! {
                _ = applied.changed() => {}
                () = tokio::time::sleep(pause.min(left)) => {}
                () = self.stop.cancelled() => return Err(NodeError::Stopping),
            }
        }
    }

    /// Reads until the answer is not stale, for as long as that may take and `extra`.
    pub(super) async fn insist<T, F: Future<Output = Result<T, NodeError>>>(
        &self,
        extra: Duration,
        read: impl Fn() -> F,
        stale: impl Fn(&T) -> bool,
    ) -> Result<T, NodeError> {
        let wait = self.read_wait();
        let deadline = Instant::now() + wait + extra;
        let mut why = "nobody answers".to_owned();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match tokio::time::timeout(left, read()).await {
                Ok(Ok(found)) if !stale(&found) => return Ok(found),
                Ok(Ok(_)) => "most voters do not answer".clone_into(&mut why),
                Ok(Err(NodeError::Unavailable { detail, .. })) => why = detail,
                Ok(Err(other)) => return Err(other),
                Err(_) => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.unconfirmed(wait, &why));
            }
            tokio::select! {
                () = tokio::time::sleep(READ_AGAIN.min(left)) => {}
                () = self.stop.cancelled() => return Err(NodeError::Stopping),
            }
        }
    }

    /// The newest, as is usual. Where nobody confirms it a voter tells what its own copy says; a node without a copy has
    /// nothing to tell, and asks on until the next leader may have been elected.
    pub(super) async fn usual<T, F, S>(&self, newest: impl Fn() -> F, own: impl FnOnce() -> S) -> Result<T, NodeError>
    where
        F: Future<Output = Result<T, NodeError>>,
        S: Future<Output = Result<T, NodeError>>,
    {
        if !self.cluster.role().is_voter() {
            return self.insist(Duration::ZERO, newest, |_| false).await;
        }
        match newest().await {
            Err(NodeError::Unavailable { .. }) => own().await,
            other => other,
        }
    }

    fn unconfirmed(&self, waited: Duration, why: &str) -> NodeError {
        let stale = if self.has_copy() { "; --stale (consistency=stale) answers with what this node has" } else { "" };
        NodeError::Unavailable {
            detail: format!("no leader confirmed the newest state within {} s: {why}", waited.as_secs()),
            hint: format!("`akita cluster members` shows who is there{stale}"),
        }
    }
}
