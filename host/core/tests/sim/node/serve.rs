//! What other nodes may ask of this one. As `host/akita/src/cluster/serve.rs`.

use akita_core::{
    TaskId,
    versions::Versions,
    wire::{self, Assign, Assigned, Catalog, Message, Refusal, Request, Submit, Taken},
};

use super::{
    Body, Mind, carry,
    driver::{NotTaken, Waiter},
    greet::stranger,
    mesh::CallId,
};
use crate::{plan::Planted, world::Cx};

impl Mind {
    pub(super) fn serve(&mut self, body: &mut Body, cx: &mut Cx, from: usize, call: CallId, bytes: &[u8]) {
        let admitted =
            self.peers.get(&from).is_some_and(|peer| peer.admitted) || cx.planted == Some(Planted::AdmitsAnybody);
        if !admitted && !wire::is_greeting(bytes) {
            return self.reply(body, cx, from, call, stranger());
        }
        let Ok(request) = Request::decode(bytes).and_then(|request| wire::check(&request).map(|()| request)) else {
            let bytes = self.refuse(Refusal::Malformed);
            return self.reply(body, cx, from, call, bytes);
        };
        match request {
            Request::Hello(hello) => self.serve_hello(body, cx, from, call, hello),
            Request::Prove(prove) => self.serve_proof(body, cx, from, call, &prove.proof),
            Request::Report(report) => self.serve_report(body, cx, from, call, &report),
            Request::GetCatalog(_) => {
                let catalog = self.catalog(body).encode();
                self.reply(body, cx, from, call, catalog);
            }
            Request::Assign(assign) => self.serve_assign(body, cx, from, call, assign),
            Request::Outcomes(outcomes) => {
                let answer = Waiter::Answer { to: from, call, bytes: Taken {}.encode() };
                let worker = cx.ids[from];
                self.outcomes(body, cx, worker, outcomes.ran, Some(answer));
            }
            Request::Submit(submit) => self.serve_submit(body, cx, from, call, submit),
            _ => {
                let bytes = self.refuse(Refusal::Invalid);
                self.reply(body, cx, from, call, bytes);
            }
        }
    }

    fn catalog(&self, body: &Body) -> Catalog {
        Catalog {
            digest: body.digest,
            capabilities: body.offer.capabilities.iter().cloned().collect(),
            actions: body.offer.actions.iter().cloned().collect(),
            caps: Vec::new(),
            versions: Versions::default().pack(&body.offer.actions),
            slots: body.offer.slots,
        }
    }

    fn serve_assign(&mut self, body: &mut Body, cx: &mut Cx, from: usize, call: CallId, assign: Assign) {
        let from_leader = self.standing.leader == cx.ids[from];
        if !from_leader && !assign.jobs.iter().any(|job| self.work.has(job.task, job.fence)) {
            let bytes = self.refuse(Refusal::NotLeader);
            return self.reply(body, cx, from, call, bytes);
        }
        let mut refused: Vec<TaskId> = Vec::new();
        for job in assign.jobs {
            let (task, fence) = (job.task, job.fence);
            let taken = if from_leader { self.take(body, cx, from, job) } else { self.work.has(task, fence) };
            if !taken {
                refused.push(task);
            }
        }
        self.reply(body, cx, from, call, Assigned { refused }.encode());
    }

    fn serve_submit(&mut self, body: &mut Body, cx: &mut Cx, from: usize, call: CallId, submit: Submit) {
        let bad = submit.tasks.iter().any(|task| task.clone().spec().normalise().is_err());
        let why = match (self.leads(body), bad) {
            (false, _) => Some(Refusal::NotLeader),
            (true, true) => Some(Refusal::Invalid),
            (true, false) => {
                let to = carry::Asker::Node { to: from, call };
                match self.accept(body, cx, submit.tasks, submit.imported, to) {
                    Ok(()) => None,
                    Err(NotTaken::QueueFull) => Some(Refusal::QueueFull),
                    Err(NotTaken::Invalid) => Some(Refusal::Invalid),
                    Err(NotTaken::Stopping) => Some(Refusal::Internal),
                }
            }
        };
        if let Some(why) = why {
            let bytes = self.refuse(why);
            self.reply(body, cx, from, call, bytes);
        }
    }
}
