//! What other nodes may ask of this one. Nobody gets more than a refusal before it is admitted; only the leader may
//! assign; an outcome counts only from the worker that holds the assignment.

use std::{
    sync::{Arc, Weak},
    time::Instant,
};

use akita_core::{
    NodeId,
    island::is_island,
    wire::{
        self, Answer, Ask, Assign, Assigned, Message, Misfit, Noted, Outcomes, Progress, Ran, Refusal, Refused,
        Request, Submit, Taken,
    },
};

use tokio::sync::OwnedSemaphorePermit;

use super::Cluster;
use crate::view::NodeError;

/// To whom is not admitted: nothing is told, not even who leads.
pub(super) fn stranger() -> Vec<u8> {
    Refused { why: Refusal::NotAdmitted, detail: "say hello first".into(), standing: None, misfit: None }.encode()
}

impl Cluster {
    /// Answers one request.
    pub(super) async fn serve(&self, node: NodeId, body: &[u8], turn: OwnedSemaphorePermit) -> Vec<u8> {
        if !self.is_admitted(node) && !wire::is_greeting(body) {
            // Not even looked at: what a stranger sends must cost nothing.
            return stranger();
        }
        if let Some(peer) = self.known().peers.get_mut(&node) {
            peer.heard = Some(Instant::now());
        }
        let request = match Request::decode(body).and_then(|request| wire::check(&request).map(|()| request)) {
            Ok(request) => request,
            Err(error) => {
                tracing::debug!(%node, %error, "a message that makes no sense");
                return self.refuse(Refusal::Malformed, &error.to_string());
            }
        };
        match request {
            Request::Hello(hello) => self.welcome(node, hello).await,
            Request::Prove(prove) => self.proved(node, &prove.proof).await,
            Request::Report(report) => self.reported(node, report).await,
            Request::GetCatalog(_) => self.catalog().encode(),
            Request::Assign(assign) => self.assigned(node, assign),
            Request::Outcomes(outcomes) => self.outcomes(node, outcomes).await,
            Request::Progress(progress) => self.progress(node, progress),
            Request::Submit(submit) => self.submitted(submit).await,
            Request::Ask(ask) => self.answer(ask, turn).await,
            Request::Tell(tell) => self.told(node, tell),
            Request::GetBlob(get) => self.blob(get).await,
            Request::Raft(raft) => self.voted(node, raft).await,
            Request::Recruit(recruit) => self.recruited(node, recruit).await,
            Request::Release(release) => self.released(node, release).await,
            Request::Remark(remark) => self.remarked(node, remark).await,
            Request::Govern(govern) => self.governed(govern).await,
            Request::TakeKey(take) => self.took_key(node, take),
            Request::Merge(merge) => self.expect_cluster(node, merge).await,
            Request::Cosign(cosign) => self.cosigned(node, cosign).await,
            Request::Import(import) => self.imported(node, import).await,
            Request::RunInIsland(run) => self.run_for(node, run),
        }
    }

    fn is_admitted(&self, node: NodeId) -> bool {
        self.known().peers.get(&node).is_some_and(|peer| peer.admitted)
    }

    pub(super) fn refuse(&self, why: Refusal, detail: &str) -> Vec<u8> {
        self.refusal(why, detail).encode()
    }

    pub(super) fn refusal(&self, why: Refusal, detail: &str) -> Refused {
        Refused { why, detail: detail.to_owned(), standing: Some(self.standing()), misfit: None }
    }

    fn assigned(&self, node: NodeId, mut assign: Assign) -> Vec<u8> {
        // Longer than its leader waits for it, a task would only keep a slot from others.
        let most = u32::try_from(self.0.tuning.processing_timeout).unwrap_or(u32::MAX);
        assign.jobs.iter_mut().for_each(|job| job.timeout_ms = job.timeout_ms.min(most));
        let from_leader = self.standing().leader == node;
        // One that gave way may still ask after what it had given out, but not give out more.
        if !from_leader && !assign.jobs.iter().any(|job| self.0.executor.has(job.task, job.fence)) {
            return self.refuse(Refusal::NotLeader, "only the leader may assign tasks");
        }
        let jobs = assign.jobs.into_iter();
        let refused = jobs.filter_map(|job| {
            let task = job.task;
            let taken =
                if from_leader { self.0.executor.take(node, job) } else { self.0.executor.has(task, job.fence) };
            (!taken).then_some(task)
        });
        Assigned { refused: refused.collect() }.encode()
    }

    async fn outcomes(&self, node: NodeId, outcomes: Outcomes) -> Vec<u8> {
        let (island, ran): (Vec<Ran>, Vec<Ran>) = outcomes.ran.into_iter().partition(|ran| is_island(ran.fence));
        if !island.is_empty() && !self.island_outcomes(node, island).await {
            return self.refuse(Refusal::Internal, "nothing can be written down here now");
        }
        if ran.is_empty() {
            return Taken {}.encode();
        }
        if self.role().is_voter() && !self.leads() {
            // The one that leads now has the assignments, and takes the outcomes.
            return self.refuse(Refusal::NotLeader, "this node does not lead any more");
        }
        match self.0.driver.outcomes(node, ran).await {
            Ok(()) => Taken {}.encode(),
            Err(_) => self.refuse(Refusal::Internal, "nothing can be committed here now"),
        }
    }

    fn progress(&self, node: NodeId, progress: Progress) -> Vec<u8> {
        tracing::trace!(%node, task = %progress.task, done = progress.done, "progress");
        let note = akita_core::task::cut(&progress.note, akita_core::task::MAX_REASON_LEN).to_owned();
        self.0.driver.progress(node, Progress { note, ..progress });
        Noted {}.encode()
    }

    async fn answer(&self, mut ask: Ask, turn: OwnedSemaphorePermit) -> Vec<u8> {
        let mut poll = None;
        if let Ask::Task { wait_ms, .. } = &mut ask
            && *wait_ms > 0
        {
            // It waits elsewhere than the requests that are looked at; where there is no room, it does not wait.
            poll = Arc::clone(&self.0.polls).try_acquire_owned().ok();
            if poll.is_some() {
                drop(turn);
            } else {
                *wait_ms = 0;
            }
        }
        let body = match self.0.books.get().and_then(Weak::upgrade) {
            Some(books) => books.answer(ask).await,
            None => Ok(None),
        };
        drop(poll);
        let body = match body {
            Ok(body) => body,
            Err(why) => return self.refuse(Refusal::NotLeader, &why),
        };
        if body.as_ref().is_some_and(|body| body.len() + 16 > akita_mesh::MAX_BODY) {
            return self.refuse(
                Refusal::Internal,
                "the answer is larger than a message; ask for less, or ask the leader's API",
            );
        }
        Answer { body }.encode()
    }

    async fn submitted(&self, submit: Submit) -> Vec<u8> {
        if !self.leads() {
            return self.refuse(Refusal::NotLeader, "this node does not lead");
        }
        let checked: Result<Vec<_>, _> =
            submit.tasks.iter().map(|task| task.clone().spec().normalise().map(|_| ())).collect();
        if let Err(error) = checked {
            return self.refuse(Refusal::Invalid, &error.to_string());
        }
        match self.accept(submit).await {
            Ok(submitted) => submitted.encode(),
            Err(NodeError::QueueFull { .. }) => self.refuse(Refusal::QueueFull, "the queue is full"),
            Err(NodeError::Misfit { detail, task, pointer }) => {
                let misfit = Misfit { task: u32::try_from(task).unwrap_or(u32::MAX), pointer };
                let (why, standing) = (Refusal::Invalid, Some(self.standing()));
                Refused { why, detail, standing, misfit: Some(misfit) }.encode()
            }
            Err(NodeError::Invalid { detail, hint } | NodeError::NoSuchAction { detail, hint }) => {
                self.refuse(Refusal::Invalid, &format!("{detail}\n{hint}"))
            }
            Err(error) => self.refuse(Refusal::Internal, &error.to_string()),
        }
    }
}
