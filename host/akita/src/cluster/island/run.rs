//! The island's loop: requests in, one step of its log, written down, then acted on. It waits for nothing but its disk.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use akita_core::{
    Archive, Change, Command, Content, Effects, NodeId, Outcome, State, Status, Task, TaskId,
    command::RequeueCause,
    island::ISLAND_FENCE,
    leader::{Leader, Proposed},
    schedule::{Load, Offer, Resolved},
    state,
    wire::{Job, JobExtras, Sent, pack_type},
};
use tokio::sync::oneshot;

use super::{Cluster, Request, peers::Peers};
use crate::{
    driver::{now as clock, ticks, unreadable},
    store::{IslandStart, StoreError},
    view::NodeError,
};

/// Requests that one step takes at most, and placements: bounds what one transaction writes.
const TURN: usize = 256;
/// How often the island looks around while it has work, and how often while it has none.
const BUSY: Duration = Duration::from_millis(200);
const IDLE: Duration = Duration::from_secs(5);

/// Who is told once the step is on the disk.
enum Waiter {
    Submitted(oneshot::Sender<Result<(), NodeError>>),
    Done(oneshot::Sender<()>),
}

/// Nothing that ended is submitted to an island again: ids are minted by this node, each once.
struct Nothing;

impl Archive for Nothing {
    fn ended(&self, _: TaskId) -> Option<Status> {
        None
    }
}

pub(super) struct Island {
    pub(super) cluster: Cluster,
    pub(super) leader: Leader,
    pub(super) peers: Peers,
    state: State,
    index: u64,
    commands: Vec<Command>,
    waiters: Vec<Waiter>,
    offered: Offer,
    /// Inputs on their way from submission to a worker in the same step.
    inputs: HashMap<TaskId, Content>,
}

impl Cluster {
    /// Runs the island's loop until the node stops.
    pub(in crate::cluster) async fn tend_island(&self) {
        let Some(mut inbox) = self.island_inbox() else { return };
        let start = match self.0.store.island_start().await {
            Ok(start) => start,
            Err(error) => return tracing::error!(%error, "the journal cannot be read; nothing runs in an island"),
        };
        let mut island = Island::new(self.clone(), start);
        loop {
            tokio::select! {
                () = self.0.stop.cancelled() => return,
                request = inbox.recv() => match request {
                    Some(request) => island.request(request),
                    None => return,
                },
                () = tokio::time::sleep(island.pause()) => {}
            }
            for _ in 0..TURN {
                let Ok(request) = inbox.try_recv() else { break };
                island.request(request);
            }
            if let Err(error) = island.turn().await {
                return tracing::error!(%error, "the journal cannot be written; nothing runs in an island any more");
            }
        }
    }
}

impl Island {
    fn new(cluster: Cluster, start: IslandStart) -> Island {
        let me = cluster.0.me;
        // A log of its own, which gives way to nobody; it is in no cluster.
        let own = state::Cluster {
            id: cluster.standing().cluster,
            name: String::new(),
            founder: me,
            term: 0,
            sealed_into: None,
        };
        let mut leader = Leader::new(me, cluster.0.tuning);
        let executor = cluster.executor().clone();
        let holds = |task, fence| executor.has(task, fence);
        let commands = leader.resume(&start.tasks, &holds, clock(), ticks());
        let offered = cluster.offer();
        leader.worker_up(me, offered.clone(), own_load(&cluster));
        Island {
            state: State::restore(Some(own), start.tasks, BTreeMap::new(), start.rows),
            index: start.index,
            leader,
            commands,
            waiters: Vec::new(),
            offered,
            inputs: HashMap::new(),
            peers: Peers::default(),
            cluster,
        }
    }

    fn pause(&self) -> Duration {
        if self.state.tasks().is_empty() && self.commands.is_empty() { IDLE } else { BUSY }
    }

    fn request(&mut self, request: Request) {
        match request {
            Request::Submit { tasks, reply } => self.submit(tasks, reply),
            Request::Outcomes { worker, ran, reply } => {
                for one in ran {
                    let (task, fence) = (one.task, one.fence);
                    if self.leader.holder(task) == Some((worker, fence)) {
                        self.leader.ran(task, one.run_us, ticks());
                        self.commands.push(Command::Finish { task, fence, worker, outcome: one.outcome() });
                    } else {
                        tracing::debug!(%task, %worker, "an outcome came too late for the island and is not taken");
                    }
                }
                self.waiters.push(Waiter::Done(reply));
            }
            Request::Said { worker, had, refused, again } => self.said(worker, had, refused, again),
            Request::PeerUp { node, offer, load } => self.peer_up(node, offer, load),
            Request::PeerSilent { node } => self.peer_silent(node),
            Request::Waiting { limit, reply } => {
                self.leader.set_leading(false);
                let _ = reply.send(self.leader.waiting(limit));
            }
            Request::HandedOver { mut tasks, to, reply } => {
                // One that was begun meanwhile ends here, and is imported.
                tasks.retain(|id| self.waits(*id));
                self.commands.push(Command::HandOver { tasks, to });
                self.waiters.push(Waiter::Done(reply));
            }
            Request::Explain { task, reply } => {
                let why = match self.cluster.has_leader() {
                    true => self.waits(task).then(|| "it goes to the leader, which is back".to_owned()),
                    false => self.leader.explain(task, ticks()),
                };
                let _ = reply.send(why);
            }
        }
    }

    /// Puts what comes back from a worker that is gone into the next step.
    pub(super) fn requeue(&mut self, back: Vec<Command>) {
        self.commands.extend(back);
    }

    fn waits(&self, task: TaskId) -> bool {
        self.state.tasks().get(&task).is_some_and(|task| task.assignment.is_none())
    }

    fn submit(&mut self, tasks: Vec<Sent>, reply: oneshot::Sender<Result<(), NodeError>>) {
        let max_attempts = self.cluster.0.tuning.max_attempts;
        for sent in tasks {
            let (id, origin, attempts) = (sent.task, sent.origin, sent.attempts);
            if self.state.tasks().contains_key(&id) {
                continue;
            }
            let mut spec = sent.spec();
            if let Resolved::One(full) = self.leader.resolve(&spec.action) {
                spec.action = full;
            }
            self.leader.offer(id, &spec, clock());
            self.commands.push(Command::Submit { id, origin, attempts, max_attempts, spec });
        }
        self.waiters.push(Waiter::Submitted(reply));
    }

    fn said(&mut self, worker: NodeId, had: Vec<(TaskId, u64)>, refused: Option<Vec<TaskId>>, again: bool) {
        let Some(refused) = refused else {
            if !again {
                self.leader.refused(worker, ticks());
                let cause = RequeueCause::WorkerOffline;
                let back = had.into_iter().map(|(task, fence)| Command::Requeue { task, fence, cause });
                self.commands.extend(back);
            }
            return self.peer_silent(worker);
        };
        self.peers.heard(worker);
        if !refused.is_empty() && !again {
            self.leader.refused(worker, ticks());
        }
        let cause = if again { RequeueCause::WorkerOffline } else { RequeueCause::Refused };
        for (task, fence) in had {
            if refused.contains(&task) {
                self.commands.push(Command::Requeue { task, fence, cause });
            } else if !again && self.leader.holder(task) == Some((worker, fence)) {
                self.commands.push(Command::Acknowledge { task, fence });
            }
        }
    }

    /// One step: what came in, what time brings about, what can be begun; written down, then acted on.
    async fn turn(&mut self) -> Result<(), StoreError> {
        let (me, now) = (self.cluster.0.me, ticks());
        let offer = self.cluster.offer();
        if offer != self.offered {
            self.offered = offer.clone();
            self.leader.worker_up(me, offer, own_load(&self.cluster));
        }
        self.leader.set_leading(!self.cluster.has_leader());
        self.commands.extend(self.leader.tick(now));
        self.commands.extend(self.leader.place(now, TURN));
        let applied = self.apply().await?;
        for waiter in std::mem::take(&mut self.waiters) {
            match waiter {
                Waiter::Submitted(reply) => drop(reply.send(Ok(()))),
                Waiter::Done(reply) => drop(reply.send(())),
            }
        }
        self.act(applied).await;
        self.look_around();
        Ok(())
    }

    /// Applies what is to be done and writes it down; answers what is to be sent to workers.
    async fn apply(&mut self) -> Result<Vec<Task>, StoreError> {
        let commands = std::mem::take(&mut self.commands);
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let proposed: Vec<Proposed> = commands.iter().map(Proposed::of).collect();
        let (time, mut effects) = (clock(), Effects::default());
        self.index += 1;
        for command in commands {
            self.state.apply(ISLAND_FENCE | self.index, time, command, &Nothing, &mut effects);
        }
        let Effects { rows, changes, replies } = effects;
        // Nothing of it is acted on, or said, before it is on the disk.
        let changes = self.cluster.0.store.island_apply(self.index, rows, changes).await?;
        for (proposed, reply) in proposed.into_iter().zip(&replies) {
            self.leader.replied(proposed, reply);
        }
        let (mut to_send, now) = (Vec::new(), ticks());
        for change in changes {
            to_send.extend(self.leader.changed(&change, time, now));
            match change {
                Change::Accepted { task, input } => {
                    self.inputs.insert(task.id, Content { content_type: task.input_type, body: input });
                }
                Change::Ended { task, .. } => self.cluster.0.driver.watch().ended(task.id),
                Change::HandedOver { task, .. } => self.cluster.0.driver.watch().ended(task),
                _ => {}
            }
        }
        Ok(to_send)
    }

    /// Gives what was placed to its workers.
    async fn act(&mut self, placed: Vec<Task>) {
        let mut others: BTreeMap<NodeId, Vec<Job>> = BTreeMap::new();
        for task in placed {
            let Some(held) = task.assignment else { continue };
            let input = match self.inputs.remove(&task.id) {
                Some(input) => Some(input),
                None => self.cluster.0.store.island_input(task.id).await.ok().flatten(),
            };
            let (id, fence) = (task.id, held.fence);
            let Some(input) = input else {
                // As an outcome, so that it counts as an attempt and comes to an end.
                let outcome = Outcome::Failed(unreadable("the node could not read the task's input from its journal"));
                self.commands.push(Command::Finish { task: id, fence, worker: held.worker, outcome });
                continue;
            };
            let job = self.job(&task, fence, input);
            if held.worker != self.cluster.0.me {
                others.entry(held.worker).or_default().push(job);
            } else if self.cluster.executor().take(held.worker, job) {
                self.commands.push(Command::Acknowledge { task: id, fence });
            } else {
                self.leader.refused(held.worker, ticks());
                self.commands.push(Command::Requeue { task: id, fence, cause: RequeueCause::Refused });
            }
        }
        // What was not begun at once is read from the journal when it is.
        self.inputs.clear();
        for (worker, jobs) in others {
            self.send(worker, jobs);
        }
    }

    fn job(&self, task: &Task, fence: u64, input: Content) -> Job {
        Job {
            extras: JobExtras::of(task, self.cluster.0.me),
            task: task.id,
            fence,
            attempt: task.attempts,
            action: task.action.clone(),
            timeout_ms: task.timeout_ms.unwrap_or(0),
            content_type: pack_type(&input.content_type),
            input: input.body,
        }
    }
}

/// Of other nodes it is not known how busy they are: compared with them, this one comes first while it has as much room.
fn own_load(cluster: &Cluster) -> Load {
    Load { parked: cluster.own_load().parked, ..Load::default() }
}
