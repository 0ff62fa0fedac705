//! Calls to other nodes: how long to wait for an answer, and what a refusal means.

use std::{future::Future, pin::Pin, time::Duration};

use akita_core::{
    NodeId, TaskId,
    tuning::airtime,
    wire::{Answer, Ask, Assign, Assigned, Job, Message, Refusal, Refused, WireError},
};
use akita_mesh::CallError;
use serde::de::DeserializeOwned;

use super::{Cluster, NOBODY, peer_of};
use crate::{
    driver::{Assigner, Delivery},
    program,
};

/// Time for an answer on a fast link, when the call waits for nothing but the wire.
const SHORT: Duration = Duration::from_secs(10);
/// Round trips that a call may take: some frames are lost, and each loss is noticed after some round trips.
const ROUND_TRIPS: u32 = 20;

/// Why a call gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallFailed {
    /// The mesh could not carry it.
    #[error("{0}")]
    Mesh(#[from] CallError),
    /// The other node does not want it.
    #[error("refused: {}", .0.detail)]
    Refused(Refused),
    /// There is nobody to call.
    #[error("nobody leads now")]
    NoLeader,
    /// The answer makes no sense.
    #[error("the answer makes no sense: {0}")]
    Wire(#[from] WireError),
}

impl Cluster {
    /// Time to wait for an answer from `node`.
    pub(super) fn patience(&self, node: NodeId) -> Duration {
        let rtt = self.0.mesh.peer(peer_of(node)).and_then(|peer| peer.rtt).unwrap_or_default();
        SHORT.max(rtt * ROUND_TRIPS)
    }

    /// The same for a call that carries so many bytes.
    pub(super) fn patience_for(&self, node: NodeId, bytes: u64) -> Duration {
        self.patience(node) + Duration::from_millis(airtime(bytes, self.rtt_ms(node)))
    }

    /// Calls a node that may not have admitted this one.
    pub(super) async fn call_raw<A: Message>(
        &self,
        node: NodeId,
        body: Vec<u8>,
        wait: Duration,
    ) -> Result<A, CallFailed> {
        if node == NOBODY {
            return Err(CallFailed::NoLeader);
        }
        let answer = self.0.mesh.call(peer_of(node), program::shaped(body), wait).await?;
        if let Some(peer) = self.known().peers.get_mut(&node) {
            peer.heard = Some(std::time::Instant::now());
        }
        match A::decode(&answer) {
            Ok(answer) => Ok(answer),
            Err(WireError::Kind(Refused::KIND)) => Err(CallFailed::Refused(Refused::decode(&answer)?)),
            Err(error) => Err(error.into()),
        }
    }

    /// Calls a node of this cluster; greets it first where it has forgotten this node.
    pub(super) async fn call<A: Message>(
        &self,
        node: NodeId,
        request: &impl Message,
        wait: Duration,
    ) -> Result<A, CallFailed> {
        match self.call_raw(node, request.encode(), wait).await {
            Err(CallFailed::Refused(refused)) if refused.why == Refusal::NotAdmitted => {
                self.greet(node).await?;
                self.call_raw(node, request.encode(), wait).await
            }
            other => other,
        }
    }

    /// Asks a node about its books. `None`: there is no such thing.
    ///
    /// # Errors
    /// It does not answer, or does not want to.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        node: NodeId,
        ask: &Ask,
        extra: Duration,
    ) -> Result<Option<T>, CallFailed> {
        let answer: Answer = self.call(node, ask, self.patience(node) + extra).await?;
        Ok(answer.body.map(|body| akita_core::wire::read(&body)).transpose()?)
    }
}

impl Assigner for Cluster {
    fn assign(&self, worker: NodeId, jobs: Vec<Job>) -> Pin<Box<dyn Future<Output = Delivery> + Send + '_>> {
        Box::pin(async move {
            let all: Vec<TaskId> = jobs.iter().map(|job| job.task).collect();
            let rtt_ms = self.rtt_ms(worker);
            let bytes = jobs.iter().map(|job| job.input.len() as u64).sum();
            let wait = Duration::from_millis(self.0.tuning.ack_patience(rtt_ms) + airtime(bytes, rtt_ms));
            match self.call::<Assigned>(worker, &Assign { jobs }, wait).await {
                Ok(answer) => Delivery::Taken { refused: answer.refused },
                Err(CallFailed::Refused(refused)) => {
                    tracing::warn!(%worker, reason = refused.detail, "a worker refused its tasks");
                    Delivery::Taken { refused: all }
                }
                Err(error) => {
                    tracing::warn!(%worker, %error, "a worker did not answer");
                    Delivery::Unreachable
                }
            }
        })
    }
}
