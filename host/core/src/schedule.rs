//! Which worker gets which task. Soft state only: a wrong number here makes a choice worse, never unsafe, because an
//! assignment counts only once it is committed. It never sends anything.

mod worker;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

pub use worker::{Load, Offer};

use crate::id::{Millis, NodeId, TaskId};
use crate::versions::{exact, plugin_of};
use worker::{Worker, believed, is_short_for, tail};

/// Names offered beside an unknown action.
const MAX_NEAR: usize = 3;

/// Tasks that ask for the same: if one finds no worker, none of them does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Class {
    action: String,
    required: Vec<String>,
    /// Somebody waits for it, and keeps memory while doing so.
    child: bool,
}

/// How urgent a task is: by its priority, then by generations. A family that has begun goes on before another begins, or
/// all would be begun and none come to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    priority: u8,
    depth: Reverse<u8>,
}

impl Rank {
    /// Of a task of that priority with so many generations above it.
    pub fn new(priority: u8, depth: u8) -> Rank {
        Rank { priority, depth: Reverse(depth) }
    }
}

impl From<u8> for Rank {
    fn from(priority: u8) -> Rank {
        Rank::new(priority, 0)
    }
}

/// Rank, age, arrival: what is least goes first.
type Turn = (Rank, Millis, u64);

#[derive(Debug)]
struct Waiting {
    class: Class,
    turn: Turn,
    not_before: Millis,
}

/// Tasks that wait, and workers.
#[derive(Debug, Default)]
pub struct Scheduler {
    workers: BTreeMap<NodeId, Worker>,
    waiting: BTreeMap<TaskId, Waiting>,
    /// Placed, and the commit is under way: it may come to nothing.
    placed: BTreeMap<TaskId, (NodeId, Waiting)>,
    ready: BTreeMap<Class, BTreeMap<Turn, TaskId>>,
    delayed: BTreeSet<(Millis, TaskId)>,
    arrivals: u64,
    /// Actions that are offered, and by how many workers.
    actions: BTreeMap<String, usize>,
    /// Tasks that count against a cap: on which worker, of which plugin.
    capped: BTreeMap<TaskId, (NodeId, String)>,
}

/// What an action's name means here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved {
    /// `plugin/action`.
    One(String),
    /// Several plugins have it.
    Ambiguous(Vec<String>),
    /// Nobody has it; names that are near.
    Unknown(Vec<String>),
}

impl Scheduler {
    /// A worker is there, or offers something else.
    pub fn worker_up(&mut self, node: NodeId, offer: Offer, load: Load) {
        for action in &offer.actions {
            *self.actions.entry(action.clone()).or_default() += 1;
        }
        let load = believed(load);
        if let Some(worker) = self.workers.get_mut(&node) {
            worker.load = load;
            let old = std::mem::replace(&mut worker.offer, offer);
            self.withdraw(&old);
            return;
        }
        let placed = self.placed.values().filter(|(worker, _)| *worker == node).count() as u64;
        let capped = BTreeMap::new();
        let worker = Worker { offer, load, in_flight: placed, capped, mean_run_us: None, refusals: 0, paused_until: 0 };
        self.workers.insert(node, worker);
    }

    fn withdraw(&mut self, offer: &Offer) {
        for action in &offer.actions {
            if let Some(count) = self.actions.get_mut(action) {
                *count -= 1;
                if *count == 0 {
                    self.actions.remove(action);
                }
            }
        }
    }

    /// How busy it is now.
    pub fn worker_load(&mut self, node: NodeId, load: Load) {
        if let Some(worker) = self.workers.get_mut(&node) {
            worker.load = believed(load);
        }
    }

    /// It is gone: it gets nothing more.
    pub fn worker_down(&mut self, node: NodeId) {
        if let Some(worker) = self.workers.remove(&node) {
            self.withdraw(&worker.offer);
        }
        self.capped.retain(|_, (worker, _)| *worker != node);
    }

    /// Whether that worker is known and up.
    pub fn has_worker(&self, node: NodeId) -> bool {
        self.workers.contains_key(&node)
    }

    /// Round trip to a worker in milliseconds; 0 where unknown.
    pub fn rtt(&self, node: NodeId) -> u32 {
        self.workers.get(&node).map_or(0, |worker| worker.load.rtt_ms)
    }

    /// Tasks that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The tasks that wait.
    pub fn waiting_ids(&self) -> impl Iterator<Item = TaskId> {
        self.waiting.keys().copied()
    }

    /// Tasks that were placed and whose commit is under way.
    pub fn placed(&self) -> usize {
        self.placed.len()
    }

    /// Whether a task's placement is under way.
    pub fn is_placed(&self, id: TaskId) -> bool {
        self.placed.contains_key(&id)
    }

    /// Tasks that a worker was given, with those whose commit is under way. `None` if it is not there.
    pub fn in_flight(&self, node: NodeId) -> Option<u64> {
        self.workers.get(&node).map(|worker| worker.in_flight)
    }

    /// When the next delayed task is due, or a worker that was let rest may be asked again.
    pub fn next_due(&self) -> Option<Millis> {
        let delayed = self.delayed.first().map(|(due, _)| *due);
        let rested = self.workers.values().map(|worker| worker.paused_until).filter(|until| *until > 0).min();
        [delayed, rested.filter(|_| !self.ready.is_empty())].into_iter().flatten().min()
    }

    /// A task waits. `false` if it does so already.
    pub fn add(
        &mut self,
        id: TaskId,
        action: &str,
        required: &[String],
        rank: impl Into<Rank>,
        submitted_at: Millis,
        not_before: Millis,
    ) -> bool {
        if self.waiting.contains_key(&id) {
            return false;
        }
        self.arrivals += 1;
        let rank = rank.into();
        let class = Class { action: action.to_owned(), required: required.to_vec(), child: rank.depth.0 > 0 };
        let turn = (rank, submitted_at, self.arrivals);
        if not_before > 0 {
            self.delayed.insert((not_before, id));
        } else {
            self.ready.entry(class.clone()).or_default().insert(turn, id);
        }
        self.waiting.insert(id, Waiting { class, turn, not_before });
        true
    }

    /// A task does not wait any more. `false` if it did not.
    pub fn remove(&mut self, id: TaskId) -> bool {
        self.take(id).is_some()
    }

    fn take(&mut self, id: TaskId) -> Option<Waiting> {
        let waiting = self.waiting.remove(&id)?;
        self.delayed.remove(&(waiting.not_before, id));
        if let Some(queue) = self.ready.get_mut(&waiting.class) {
            queue.remove(&waiting.turn);
            if queue.is_empty() {
                self.ready.remove(&waiting.class);
            }
        }
        Some(waiting)
    }

    /// A placement was committed: its worker holds the task.
    pub fn settle(&mut self, id: TaskId) {
        self.placed.remove(&id);
    }

    /// A placement came to nothing, and its task does not wait any more.
    pub fn unplace(&mut self, id: TaskId) {
        if let Some((worker, _)) = self.placed.remove(&id) {
            self.uncap(id);
            self.release(worker, None);
        }
    }

    /// A placement came to nothing: its task waits as before.
    pub fn put_back(&mut self, id: TaskId) {
        let Some((worker, waiting)) = self.placed.remove(&id) else { return };
        self.uncap(id);
        self.release(worker, None);
        if !self.waiting.contains_key(&id) {
            self.ready.entry(waiting.class.clone()).or_default().insert(waiting.turn, id);
            self.waiting.insert(id, waiting);
        }
    }

    /// A task does not count against its plugin's cap any more.
    pub fn uncap(&mut self, id: TaskId) {
        let Some((node, plugin)) = self.capped.remove(&id) else { return };
        if let Some(count) = self.workers.get_mut(&node).and_then(|worker| worker.capped.get_mut(&plugin)) {
            *count = count.saturating_sub(1);
        }
    }

    fn cap(&mut self, id: TaskId, node: NodeId, action: &str) {
        let Some(worker) = self.workers.get_mut(&node).filter(|worker| worker.cap(action).is_some()) else { return };
        let plugin = plugin_of(action).to_owned();
        *worker.capped.entry(plugin.clone()).or_default() += 1;
        self.capped.insert(id, (node, plugin));
    }

    /// A worker did not take a task: it rests, so that others are tried first.
    pub fn refused(&mut self, node: NodeId, now: Millis) {
        if let Some(worker) = self.workers.get_mut(&node) {
            worker.refused(now);
        }
    }

    /// A worker is rid of a task; `run_us` is how long it ran, where it did.
    pub fn release(&mut self, node: NodeId, run_us: Option<u64>) {
        if let Some(worker) = self.workers.get_mut(&node) {
            worker.in_flight = worker.in_flight.saturating_sub(1);
            run_us.into_iter().for_each(|run| worker.ran(run));
        }
    }

    /// A worker already holds a task: after a restart of the leader.
    pub fn hold(&mut self, node: NodeId) {
        if let Some(worker) = self.workers.get_mut(&node) {
            worker.in_flight += 1;
        }
    }

    /// Gives waiting tasks to workers with room, the most urgent and oldest first. A task that nobody can take now
    /// holds up only tasks that ask for the same.
    pub fn place(&mut self, now: Millis, most: usize) -> Vec<(TaskId, NodeId)> {
        self.wake(now);
        let mut heads: BinaryHeap<Reverse<(Turn, Class)>> = self
            .ready
            .iter()
            .filter_map(|(class, queue)| Some(Reverse((*queue.first_key_value()?.0, class.clone()))))
            .collect();
        let mut placed = Vec::new();
        while placed.len() < most {
            let Some(Reverse((turn, class))) = heads.pop() else {
                break;
            };
            let Some(node) = self.best_worker(&class) else {
                continue;
            };
            let Some(id) = self.ready.get(&class).and_then(|queue| queue.get(&turn)).copied() else {
                continue;
            };
            if let Some(waiting) = self.take(id) {
                self.placed.insert(id, (node, waiting));
            }
            self.hold(node);
            self.cap(id, node, &class.action);
            placed.push((id, node));
            if let Some((next, _)) = self.ready.get(&class).and_then(|queue| queue.first_key_value()) {
                heads.push(Reverse((*next, class)));
            }
        }
        placed
    }

    fn wake(&mut self, now: Millis) {
        self.workers
            .values_mut()
            .filter(|worker| worker.paused_until <= now)
            .for_each(|worker| worker.paused_until = 0);
        while let Some((due, id)) = self.delayed.first().copied().filter(|(due, _)| *due <= now) {
            self.delayed.remove(&(due, id));
            if let Some(waiting) = self.waiting.get_mut(&id) {
                waiting.not_before = 0;
                self.ready.entry(waiting.class.clone()).or_default().insert(waiting.turn, id);
            }
        }
    }

    fn best_worker(&self, class: &Class) -> Option<NodeId> {
        // Of a plugin whose runs wait for runs of the same plugin, the worker knows how many go on at once.
        let below_cap = |worker: &Worker| class.child || worker.is_below_cap(&class.action);
        self.workers
            .iter()
            .filter(|(_, worker)| worker.can_run(class) && worker.has_room(class.child) && below_cap(worker))
            .min_by_key(|(node, worker)| (worker.fill(), worker.load.cpu_percent / 10, worker.load.rtt_ms, **node))
            .map(|(node, _)| *node)
    }

    /// What `name` means: `plugin/action`, one version's, or a bare action that one plugin has.
    pub fn resolve(&self, name: &str) -> Resolved {
        if self.actions.contains_key(name) {
            return Resolved::One(name.to_owned());
        }
        if exact(name).is_some() && self.workers.values().any(|worker| worker.offer.has(name)) {
            return Resolved::One(name.to_owned());
        }
        let others = self.other_versions(name);
        if !others.is_empty() {
            return Resolved::Unknown(others);
        }
        let mut same: Vec<String> = self.actions.keys().filter(|full| is_short_for(name, full)).cloned().collect();
        match same.len() {
            0 => {
                let mut near: Vec<(f64, &String)> = self
                    .actions
                    .keys()
                    .map(|full| (strsim::jaro_winkler(full, name).max(strsim::jaro_winkler(tail(full), name)), full))
                    .filter(|(likeness, _)| *likeness > 0.75)
                    .collect();
                near.sort_by(|a, b| b.0.total_cmp(&a.0));
                Resolved::Unknown(near.into_iter().take(MAX_NEAR).map(|(_, full)| full.clone()).collect())
            }
            1 => Resolved::One(same.remove(0)),
            _ => Resolved::Ambiguous(same),
        }
    }

    /// The versions of the plugin that workers have, where `name` asks for another one; the last few by name.
    fn other_versions(&self, name: &str) -> Vec<String> {
        let Some((plugin, _, bare)) = exact(name) else { return Vec::new() };
        let known = self.workers.values().flat_map(|worker| worker.offer.versions.naming(plugin, bare));
        known.collect::<BTreeSet<String>>().into_iter().rev().take(MAX_NEAR).collect()
    }

    /// Why a waiting task has not been given to anybody, for people.
    pub fn explain(&self, id: TaskId, now: Millis) -> Option<String> {
        let waiting = self.waiting.get(&id)?;
        let Class { action, required, .. } = &waiting.class;
        if waiting.not_before > now {
            return Some(format!("waits {} s before the next attempt", (waiting.not_before - now).div_ceil(1000)));
        }
        let having: Vec<&Worker> = self.workers.values().filter(|worker| worker.offer.has(action)).collect();
        if having.is_empty() {
            let others = self.other_versions(action);
            let others = if others.is_empty() { String::new() } else { format!("; there is {}", others.join(", ")) };
            return Some(format!("no node that is online has the action `{action}`{others}"));
        }
        let lacking = |one: &&String| !having.iter().any(|worker| worker.offer.capabilities.contains(*one));
        if let Some(missing) = required.iter().find(lacking) {
            return Some(format!(
                "no node that is online and has `{action}` has the capability `{missing}`; \
                 start one with --capabilities {missing}"
            ));
        }
        let able = having.iter().filter(|worker| worker.can_run(&waiting.class)).count();
        Some(match able {
            0 => format!("no single node has all of: {}", required.join(", ")),
            1 => "the one node that can run it is busy".to_owned(),
            many => format!("all {many} nodes that can run it are busy"),
        })
    }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
