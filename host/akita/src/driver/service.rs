//! The loop itself. One entry is under way to the disk while the next one fills: under load a commit carries hundreds
//! of commands, alone it carries one.

mod intake;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, LazyLock},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use akita_core::{
    Change, Command, Content, Millis, NodeId, Reply, State, TaskId,
    leader::{Leader, Proposed},
    tuning::Tuning,
    wire,
};
use tokio::sync::{mpsc, oneshot};

use super::{
    Accepted, Assigner, Driver, Inbox, Request,
    outbound::{Inputs, Outbound},
};
use crate::{
    consensus::{Applied, Consensus, ConsensusError, Event},
    executor::Executor,
    store::Store,
    view::NodeError,
};

/// Entries under way to the disk: one is being written, one waits, so that the disk never does.
const PIPELINE: usize = 2;
/// Requests looked at in one turn: bounds an entry, and how long a turn takes.
const TURN: usize = 512;
/// Commands after which an entry takes no more requests; far below what an entry may hold, because a whole batch of
/// submissions may still come on top.
const ENTRY_FULL: usize = 1_024;
/// How long an own task may run before its start is committed by itself; a shorter one shares the commit of its end.
const LAZY_ACK_MS: Millis = 25;
/// The longest sleep when nothing is due: bounds the damage of a clock that jumps.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);
/// Pause before an entry is offered again to a log whose queue is full, in milliseconds: the queue is shared with the
/// outbox, which empties by itself.
const BUSY_MS: Millis = 5;

/// What the loop needs to start.
pub struct Start {
    /// This node.
    pub me: NodeId,
    /// Patience and bounds.
    pub tuning: Tuning,
    /// The state that the log has led to.
    pub state: State,
    /// Where commands go.
    pub consensus: Consensus,
    /// Where they come back.
    pub events: mpsc::UnboundedReceiver<Event>,
    /// The time of the log's last entry.
    pub time: Millis,
    /// This node is one of several voters: it proposes nothing before it is elected.
    pub votes: bool,
    /// Inputs of tasks.
    pub store: Store,
    /// This node's own slots.
    pub executor: Executor,
    /// The way to other workers.
    pub assigner: Arc<dyn Assigner>,
}

/// Who is told when an entry is committed.
enum Waiter {
    Submit { first: usize, count: usize, reply: oneshot::Sender<Result<Accepted, NodeError>> },
    Done(oneshot::Sender<()>),
}

impl Waiter {
    /// Nobody knows whether it was or will be committed. Dropped, the others' answers say so.
    fn give_up(self) {
        if let Waiter::Submit { reply, .. } = self {
            let _ = reply.send(Err(intake::not_leading()));
        }
    }

    /// The entry at `index` is committed, with these replies.
    fn tell(self, replies: &[Reply], index: u64) {
        match self {
            Waiter::Done(reply) => drop(reply.send(())),
            Waiter::Submit { first, count, reply } => {
                let statuses = intake::statuses(&replies[first..first + count]);
                drop(reply.send(statuses.map(|statuses| Accepted { statuses, index })))
            }
        }
    }
}

/// An entry that fills, or is under way.
#[derive(Default)]
struct Batch {
    commands: Vec<Command>,
    waiters: Vec<Waiter>,
}

struct UnderWay {
    number: u64,
    proposed: Vec<Proposed>,
    waiters: Vec<Waiter>,
}

/// Owns the receiver and everything that changes with each command.
pub struct Service {
    me: NodeId,
    leader: Leader,
    /// Several vote, and this node does not lead them: it only watches what is committed.
    following: bool,
    tuning: Tuning,
    consensus: Consensus,
    events: mpsc::UnboundedReceiver<Event>,
    requests: mpsc::Receiver<Request>,
    outbound: Outbound,
    driver: Driver,
    next: Batch,
    under_way: VecDeque<UnderWay>,
    /// Own tasks that run, and when their start is to be committed.
    unacknowledged: BTreeMap<TaskId, (Millis, u64)>,
    /// The log's queue was full: not to be asked before this time.
    busy_until: Millis,
    paused: bool,
}

/// Milliseconds that only ever go on, whatever the machine's clock is set to: patience is measured by them.
pub(crate) fn ticks() -> Millis {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    // Not 0, which means "at once" where a time is kept.
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
}

/// Milliseconds since the epoch by this node's clock.
pub fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Service {
    /// The loop and its handle; nothing happens before [`Service::run`].
    pub fn new(start: Start, driver: Driver, inbox: Inbox) -> Service {
        let mut leader = Leader::new(start.me, start.tuning);
        let mut next = Batch::default();
        if start.votes || start.state.cluster().is_none_or(|cluster| cluster.sealed_into.is_some()) {
            leader.set_leading(false);
        }
        if !start.votes {
            next.commands = leader.resume(
                start.state.tasks().values(),
                &|_, _| false,
                // A clock that was set back must not make what is due wait for it.
                now().max(start.time),
                ticks(),
            );
        }
        Service {
            me: start.me,
            leader,
            following: start.votes,
            tuning: start.tuning,
            consensus: start.consensus,
            events: start.events,
            requests: inbox.0,
            outbound: Outbound {
                me: start.me,
                executor: start.executor,
                assigner: start.assigner,
                store: start.store,
                driver: driver.clone(),
                inputs: Inputs::default(),
            },
            driver,
            next,
            under_way: VecDeque::new(),
            unacknowledged: BTreeMap::new(),
            busy_until: 0,
            paused: false,
        }
    }

    /// Runs until the log fails or every handle is gone. A node must not go on without its loop.
    pub async fn run(mut self) {
        loop {
            let sleep = tokio::time::sleep(self.until_next());
            tokio::select! {
                biased;
                event = self.events.recv() => match event {
                    Some(event) => self.event(event),
                    None => return,
                },
                request = self.requests.recv(), if self.next.commands.len() < ENTRY_FULL => match request {
                    Some(request) => {
                        self.take_events();
                        self.request(request);
                    }
                    None => return,
                },
                () = sleep => {}
            }
            self.drain();
            if !self.advance() {
                return;
            }
        }
    }

    fn until_next(&self) -> Duration {
        let acknowledge = self.unacknowledged.values().map(|(due, _)| *due).min();
        let again = Some(self.busy_until).filter(|_| !self.next.commands.is_empty() && self.under_way.len() < PIPELINE);
        let due = [self.leader.next_wake(), acknowledge, again].into_iter().flatten().min();
        let Some(due) = due else { return LONGEST_SLEEP };
        Duration::from_millis(due.saturating_sub(ticks()).max(1)).min(LONGEST_SLEEP)
    }

    fn drain(&mut self) {
        for _ in 0..TURN {
            self.take_events();
            if self.next.commands.len() >= ENTRY_FULL {
                break;
            }
            match self.requests.try_recv() {
                Ok(request) => self.request(request),
                Err(_) => break,
            }
        }
    }

    /// Before each request, so that none comes between an election and what follows from it: who works here is told only
    /// after this node has begun to lead, and would be forgotten with that.
    fn take_events(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            self.event(event);
        }
    }

    /// Adds what time and free slots bring about, and proposes. `false` when the log takes nothing any more.
    fn advance(&mut self) -> bool {
        let now = ticks();
        if !self.following && self.next.commands.len() < ENTRY_FULL {
            self.next.commands.extend(self.leader.tick(now));
            self.acknowledge_long_ones(now);
            self.next.commands.extend(self.leader.place(now, ENTRY_FULL));
        }
        if self.next.commands.is_empty() {
            // Nothing is to be committed for them.
            std::mem::take(&mut self.next.waiters).into_iter().for_each(|waiter| waiter.tell(&[], 0));
        }
        if self.next.commands.is_empty() || self.under_way.len() >= PIPELINE || now < self.busy_until {
            return true;
        }
        self.propose(now)
    }

    fn acknowledge_long_ones(&mut self, now: Millis) {
        let due: Vec<TaskId> =
            self.unacknowledged.iter().filter(|(_, (due, _))| *due <= now).map(|(task, _)| *task).collect();
        for task in due {
            if let Some((_, fence)) = self.unacknowledged.remove(&task) {
                self.next.commands.push(Command::Acknowledge { task, fence });
            }
        }
    }

    fn propose(&mut self, now: Millis) -> bool {
        // A copy, because a full queue does not give them back.
        match self.consensus.submit(self.next.commands.clone()) {
            // What it came to arrives with what was applied.
            Ok(submitted) => {
                let Batch { commands, waiters } = std::mem::take(&mut self.next);
                let proposed = commands.iter().map(Proposed::of).collect();
                self.under_way.push_back(UnderWay { number: submitted.number, proposed, waiters });
                true
            }
            Err(ConsensusError::Busy) => {
                self.busy_until = now + BUSY_MS;
                true
            }
            Err(error) => {
                tracing::error!(%error, "the log takes nothing any more; the node stops");
                false
            }
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Applied(applied) => self.applied(applied),
            Event::Failed(number) => self.failed(number),
            Event::Leads { state, time, .. } => self.begin_to_lead(&state, time),
            Event::Follows => self.begin_to_follow(),
            Event::Replaced => {
                self.begin_to_follow();
                // On a node that leaves the voters, its own new log goes on.
                self.following = self.consensus.role().borrow().is_voter();
                self.driver.watch().all_ended();
                self.driver.watch().applied();
            }
        }
    }

    /// Takes over from the leader before, with nothing but what the log says. Who works here is told by the cluster.
    fn begin_to_lead(&mut self, state: &State, time: Millis) {
        self.following = false;
        self.leader = Leader::new(self.me, self.tuning);
        if self.paused {
            self.leader.pause();
        }
        if state.cluster().is_some_and(|cluster| cluster.sealed_into.is_some()) {
            // It hands over what the leader before had not, and gives out nothing.
            self.leader.set_leading(false);
        }
        let executor = &self.outbound.executor;
        let holds = |task, fence| executor.has(task, fence);
        let back = self.leader.resume(state.tasks().values(), &holds, time, ticks());
        let time = now();
        for command in &mut self.next.commands {
            match command {
                // Waiting since this node led by itself: as good as ever.
                Command::Submit { id, spec, .. } => self.leader.offer(*id, spec, time),
                // Placed by what knew other workers; in its place stands what does nothing.
                Command::Assign { task, .. } => *command = Command::Acknowledge { task: *task, fence: 0 },
                _ => {}
            }
        }
        self.next.commands.extend(back);
    }

    fn begin_to_follow(&mut self) {
        self.following = true;
        self.leader = Leader::new(self.me, self.tuning);
        self.leader.set_leading(false);
        self.unacknowledged.clear();
        self.outbound.inputs = Inputs::default();
        std::mem::take(&mut self.next).waiters.into_iter().for_each(Waiter::give_up);
    }

    /// What was proposed under that number is not known to be in the log.
    fn failed(&mut self, number: u64) {
        let Some(at) = self.under_way.iter().position(|one| one.number == number) else { return };
        let Some(entry) = self.under_way.remove(at) else { return };
        for proposed in entry.proposed {
            let reply = if matches!(proposed, Proposed::Assign(..)) { Reply::Sealed } else { Reply::Stale };
            self.leader.replied(proposed, &reply);
        }
        entry.waiters.into_iter().for_each(Waiter::give_up);
    }

    fn applied(&mut self, applied: Applied) {
        let own = applied.own.and_then(|number| self.under_way.iter().position(|one| one.number == number));
        let entry = own.and_then(|at| self.under_way.remove(at));
        if self.following {
            for change in &applied.changes {
                match change {
                    Change::Ended { task, .. } | Change::Imported { task, .. } => self.driver.watch().ended(task.id),
                    Change::HandedOver { task, .. } => self.driver.watch().ended(*task),
                    _ => {}
                }
            }
        } else {
            let proposed = entry.iter().flat_map(|entry| &entry.proposed);
            for (proposed, reply) in proposed.zip(&applied.replies) {
                self.leader.replied(*proposed, reply);
            }
            self.changed(applied.changes, applied.time);
        }
        let waiters = entry.into_iter().flat_map(|entry| entry.waiters);
        waiters.for_each(|waiter| waiter.tell(&applied.replies, applied.index));
        self.driver.watch().applied();
    }

    fn changed(&mut self, changes: Vec<Change>, time: Millis) {
        let mut to_send = Vec::new();
        let now = ticks();
        for change in changes {
            to_send.extend(self.leader.changed(&change, time, now));
            match change {
                // What was accepted, and nothing that was only sent in, is what will run.
                Change::Accepted { task, input } => {
                    self.outbound.inputs.keep(task.id, Content { content_type: task.input_type, body: input });
                }
                Change::Ended { task, .. } | Change::Imported { task, .. } => self.forget(task.id),
                Change::HandedOver { task, .. } => self.forget(task),
                Change::Moved(task) if task.assignment.is_none() => {
                    self.unacknowledged.remove(&task.id);
                }
                _ => {}
            }
        }
        let due = now + LAZY_ACK_MS;
        for (task, fence) in self.outbound.send(to_send) {
            self.unacknowledged.insert(task, (due, fence));
        }
    }

    fn forget(&mut self, task: TaskId) {
        self.unacknowledged.remove(&task);
        self.outbound.inputs.forget(task);
        self.driver.watch().ended(task);
    }

    /// What a voter that does not lead answers. Nothing that is soft is kept: the leader is told the same.
    fn request_while_following(&mut self, request: Request) {
        match request {
            Request::Submit { reply, .. } => drop(reply.send(Err(intake::not_leading()))),
            Request::Explain { reply, .. } => drop(reply.send(None)),
            Request::Waiting { reply, .. } => drop(reply.send(Vec::new())),
            Request::Absent { reply } => drop(reply.send(Vec::new())),
            Request::Pause => self.paused = true,
            // Who waits for an answer hears that there is none.
            _ => {}
        }
    }

    fn request(&mut self, request: Request) {
        if self.following {
            return self.request_while_following(request);
        }
        match request {
            Request::Submit { tasks, imported, reply } => self.submit(tasks, imported, reply),
            Request::Outcomes { worker, ran, reply } => self.outcomes(worker, ran, reply),
            Request::Delivered { worker, taken, refused, unreachable } => {
                self.delivered(worker, &taken, refused, unreachable);
            }
            Request::WorkerUp { node, offer, load } => self.leader.worker_up(node, offer, load),
            Request::WorkerLoad { node, load } => self.leader.worker_load(node, load),
            Request::WorkerLeaving { node } => self.leader.worker_leaving(node),
            Request::WorkerLost { node } => self.next.commands.extend(self.leader.worker_lost(node)),
            Request::Commit { commands, reply } => {
                self.next.commands.extend(commands);
                self.next.waiters.push(Waiter::Done(reply));
            }
            Request::Explain { task, reply } => {
                let _ = reply.send(self.leader.explain(task, ticks()));
            }
            Request::Waiting { limit, reply } => {
                let _ = reply.send(self.leader.waiting(limit));
            }
            Request::Absent { reply } => {
                let _ = reply.send(self.leader.absent_holders());
            }
            Request::Recall { only } => {
                let running = self.leader.running_elsewhere().into_iter();
                for (worker, tasks) in running.filter(|(worker, _)| only.is_none_or(|only| only == *worker)) {
                    self.outbound.ask_after(worker, tasks);
                }
            }
            Request::Progress { worker, progress } => {
                // Of a task that it does not hold, nobody would ever forget it.
                let wire::Progress { task, fence, done, total, note } = progress;
                if self.leader.holder(task) == Some((worker, fence)) {
                    self.driver.watch().set_progress(task, fence, done, total, note);
                }
            }
            Request::Pause => {
                self.paused = true;
                self.leader.pause();
            }
        }
    }
}
