//! Which worker gets which task. Soft state only: a wrong number here makes a choice worse, never unsafe, because an
//! assignment counts only once it is committed. It never sends anything.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use crate::{
    id::{Millis, NodeId, TaskId},
    tuning::SLOW_RTT_MS,
};

/// Work that a worker should have at hand so that it never waits for the next assignment, in microseconds: a commit and
/// a hop on a busy small machine take some milliseconds.
const BUFFER_US: u64 = 20_000;
/// Tasks per slot that a worker holds at most, however short they are: bounds what is lost with a worker.
const MAX_PER_SLOT: u64 = 64;
/// A worker with this share of its memory in use gets a task only when it has none.
const FULL_MEMORY_PERCENT: u8 = 95;
/// Weight of a new run time in the moving mean: one in eight.
const MEAN_SHIFT: u64 = 8;
/// Names offered beside an unknown action.
const MAX_NEAR: usize = 3;

/// What a worker can do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Offer {
    /// Tasks that it runs at once.
    pub slots: u16,
    /// Actions, as `plugin/action`.
    pub actions: BTreeSet<String>,
    /// Capabilities: the operator's and those that plugins bring.
    pub capabilities: BTreeSet<String>,
    /// Tasks of one plugin that it runs at once, where that is fewer than its slots.
    pub caps: BTreeMap<String, u16>,
}

/// How busy a worker is; coarse on purpose, it travels in every report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Of all cores, 0 to 100.
    pub cpu_percent: u8,
    /// 0 to 100.
    pub memory_percent: u8,
    /// Round trip to it; 0 for the leader itself.
    pub rtt_ms: u32,
}

#[derive(Debug)]
struct Worker {
    offer: Offer,
    load: Load,
    in_flight: u64,
    /// Of those, the tasks of plugins that have a cap.
    capped: BTreeMap<String, u64>,
    mean_run_us: Option<u64>,
}

/// Tasks that ask for the same: if one finds no worker, none of them does.
type Class = (String, Vec<String>);
/// Priority, age, arrival: what is least goes first.
type Turn = (u8, Millis, u64);

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
    ready: BTreeMap<Class, BTreeMap<Turn, TaskId>>,
    delayed: BTreeSet<(Millis, TaskId)>,
    arrivals: u64,
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
        match self.workers.get_mut(&node) {
            Some(worker) => (worker.offer, worker.load) = (offer, load),
            None => {
                self.workers
                    .insert(node, Worker { offer, load, in_flight: 0, capped: BTreeMap::new(), mean_run_us: None });
            }
        }
    }

    /// How busy it is now.
    pub fn worker_load(&mut self, node: NodeId, load: Load) {
        if let Some(worker) = self.workers.get_mut(&node) {
            worker.load = load;
        }
    }

    /// It is gone: it gets nothing more.
    pub fn worker_down(&mut self, node: NodeId) {
        self.workers.remove(&node);
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

    /// When the next delayed task is due.
    pub fn next_due(&self) -> Option<Millis> {
        self.delayed.first().map(|(due, _)| *due)
    }

    /// A task waits. `false` if it does so already.
    pub fn add(
        &mut self,
        id: TaskId,
        action: &str,
        required: &[String],
        priority: u8,
        submitted_at: Millis,
        not_before: Millis,
    ) -> bool {
        if self.waiting.contains_key(&id) {
            return false;
        }
        self.arrivals += 1;
        let class: Class = (action.to_owned(), required.to_vec());
        let turn = (priority, submitted_at, self.arrivals);
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
        let Some(waiting) = self.waiting.remove(&id) else {
            return false;
        };
        self.delayed.remove(&(waiting.not_before, id));
        if let Some(queue) = self.ready.get_mut(&waiting.class) {
            queue.remove(&waiting.turn);
            if queue.is_empty() {
                self.ready.remove(&waiting.class);
            }
        }
        true
    }

    /// A worker is rid of a task; `run_us` is how long it ran, where it did.
    pub fn release(&mut self, node: NodeId, run_us: Option<u64>) {
        let Some(worker) = self.workers.get_mut(&node) else {
            return;
        };
        worker.in_flight = worker.in_flight.saturating_sub(1);
        if let Some(run) = run_us {
            let mean = worker.mean_run_us.unwrap_or(run);
            worker.mean_run_us = Some((mean * (MEAN_SHIFT - 1) + run) / MEAN_SHIFT);
        }
    }

    /// A worker already holds a task: after a restart of the leader.
    pub fn hold(&mut self, node: NodeId) {
        if let Some(worker) = self.workers.get_mut(&node) {
            worker.in_flight += 1;
        }
    }

    /// A task counts against a cap no more. Nothing happens where it did not.
    pub fn uncap(&mut self, id: TaskId) {
        let Some((node, plugin)) = self.capped.remove(&id) else {
            return;
        };
        if let Some(count) = self.workers.get_mut(&node).and_then(|worker| worker.capped.get_mut(&plugin)) {
            *count = count.saturating_sub(1);
        }
    }

    fn cap(&mut self, id: TaskId, node: NodeId, action: &str) {
        let Some(worker) = self.workers.get_mut(&node).filter(|worker| worker.cap(action).is_some()) else {
            return;
        };
        let plugin = plugin_of(action).to_owned();
        *worker.capped.entry(plugin.clone()).or_default() += 1;
        self.capped.insert(id, (node, plugin));
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
            self.remove(id);
            self.hold(node);
            self.cap(id, node, &class.0);
            placed.push((id, node));
            if let Some((next, _)) = self.ready.get(&class).and_then(|queue| queue.first_key_value()) {
                heads.push(Reverse((*next, class)));
            }
        }
        placed
    }

    fn wake(&mut self, now: Millis) {
        while let Some((due, id)) = self.delayed.first().copied().filter(|(due, _)| *due <= now) {
            self.delayed.remove(&(due, id));
            if let Some(waiting) = self.waiting.get_mut(&id) {
                waiting.not_before = 0;
                self.ready.entry(waiting.class.clone()).or_default().insert(waiting.turn, id);
            }
        }
    }

    fn best_worker(&self, class: &Class) -> Option<NodeId> {
        self.workers
            .iter()
            .filter(|(_, worker)| worker.can_run(class) && worker.has_room() && worker.is_below_cap(&class.0))
            .min_by_key(|(node, worker)| (worker.fill(), worker.load.cpu_percent / 10, worker.load.rtt_ms, **node))
            .map(|(node, _)| *node)
    }

    /// What `name` means: `plugin/action`, or a bare action that one plugin has.
    pub fn resolve(&self, name: &str) -> Resolved {
        let known: BTreeSet<&str> =
            self.workers.values().flat_map(|worker| worker.offer.actions.iter().map(String::as_str)).collect();
        if known.contains(name) {
            return Resolved::One(name.to_owned());
        }
        let tail = |full: &str| full.rsplit('/').next().unwrap_or_default().to_owned();
        let mut same: Vec<String> =
            known.iter().filter(|full| !name.contains('/') && tail(full) == name).map(|full| (*full).into()).collect();
        match same.len() {
            0 => {
                let mut near: Vec<(f64, &str)> = known
                    .iter()
                    .map(|full| (strsim::jaro_winkler(full, name).max(strsim::jaro_winkler(&tail(full), name)), *full))
                    .filter(|(likeness, _)| *likeness > 0.75)
                    .collect();
                near.sort_by(|a, b| b.0.total_cmp(&a.0));
                Resolved::Unknown(near.into_iter().take(MAX_NEAR).map(|(_, full)| full.to_owned()).collect())
            }
            1 => Resolved::One(same.remove(0)),
            _ => Resolved::Ambiguous(same),
        }
    }

    /// Why a waiting task has not been given to anybody, for people.
    pub fn explain(&self, id: TaskId, now: Millis) -> Option<String> {
        let waiting = self.waiting.get(&id)?;
        let (action, required) = &waiting.class;
        if waiting.not_before > now {
            return Some(format!("waits {} s before the next attempt", (waiting.not_before - now).div_ceil(1000)));
        }
        let having: Vec<&Worker> =
            self.workers.values().filter(|worker| worker.offer.actions.contains(action)).collect();
        if having.is_empty() {
            return Some(format!("no node that is online has the action `{action}`"));
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

/// The plugin of `plugin/action`.
fn plugin_of(action: &str) -> &str {
    action.split('/').next().unwrap_or(action)
}

impl Worker {
    fn cap(&self, action: &str) -> Option<u16> {
        self.offer.caps.get(plugin_of(action)).copied()
    }

    /// A task over its plugin's cap would only wait there, in the place of one that could run.
    fn is_below_cap(&self, action: &str) -> bool {
        let held = self.capped.get(plugin_of(action)).copied().unwrap_or_default();
        self.cap(action).is_none_or(|cap| held < u64::from(cap))
    }

    fn can_run(&self, (action, required): &Class) -> bool {
        self.offer.actions.contains(action) && required.iter().all(|one| self.offer.capabilities.contains(one))
    }

    /// Tasks that it may hold: its slots, and as many more as it finishes while the next assignment travels.
    fn window(&self) -> u64 {
        let slots = u64::from(self.offer.slots).max(1);
        let ahead_us = BUFFER_US + 2_000 * u64::from(self.load.rtt_ms);
        let ahead = self.mean_run_us.map_or(0, |mean| slots * ahead_us / mean.max(1));
        let most = if self.load.rtt_ms >= SLOW_RTT_MS { slots * 2 } else { slots * MAX_PER_SLOT };
        (slots + ahead).min(most)
    }

    fn has_room(&self) -> bool {
        if self.load.memory_percent >= FULL_MEMORY_PERCENT && self.in_flight > 0 {
            return false;
        }
        self.in_flight < self.window()
    }

    /// How full it is, in 256ths of its slots.
    fn fill(&self) -> u64 {
        self.in_flight * 256 / u64::from(self.offer.slots).max(1)
    }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
