//! Two logs whose leaders give way to each other, found anew, crash and merge, over messages that are lost, repeated and
//! late: a seeded simulation. After each step every invariant is looked at; in the end every accepted task has ended.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::{
    id::ClusterId,
    state::{Archive, Effects, State},
    task::{Content, Extras, Failure, Outcome},
};

const WORKERS: [NodeId; 3] = [NodeId([11; 16]), NodeId([12; 16]), NodeId([13; 16])];

/// An entry on its way to the disk, and what its proposer does once it is there.
struct UnderWay {
    commands: Vec<Command>,
    then: Option<Letter>,
}

/// Between the two nodes.
#[derive(Clone, Debug)]
enum Letter {
    /// Take these over, with the attempts so far.
    Import { to: usize, tasks: Vec<(TaskId, u32)> },
    /// They are durable there.
    Taken { to: usize, tasks: Vec<TaskId> },
}

struct Node {
    me: NodeId,
    state: State,
    leader: Leader,
    ended: BTreeMap<TaskId, Status>,
    index: u64,
    under_way: VecDeque<UnderWay>,
    /// Assignments on their way to workers, or held by them.
    held: Vec<(TaskId, NodeId, u64)>,
}

struct Ended<'a>(&'a BTreeMap<TaskId, Status>);

impl Archive for Ended<'_> {
    fn ended(&self, task: TaskId) -> Option<Status> {
        self.0.get(&task).copied()
    }
}

struct World {
    now: Millis,
    nodes: [Node; 2],
    letters: Vec<Letter>,
    accepted: BTreeSet<TaskId>,
    submitted: u8,
    founded: u8,
    /// A node that had given way led again: what it had sent may run here and there, and nobody can know.
    led_again: bool,
}

fn offer() -> Offer {
    Offer { slots: 2, actions: ["p/a".to_owned()].into(), ..Offer::default() }
}

fn spec(id: TaskId) -> TaskSpec {
    let input = Content { content_type: "a/b".into(), body: vec![id.0[0]] };
    TaskSpec {
        action: "p/a".into(),
        required: vec![],
        priority: id.0[0] % 3,
        timeout_ms: None,
        input,
        extras: Extras::default(),
    }
}

fn submit(id: TaskId, attempts: u32) -> Command {
    Command::Submit { id, origin: NodeId::default(), attempts, max_attempts: 3, spec: spec(id) }
}

impl Node {
    fn leads(&self) -> bool {
        self.state.cluster().is_some_and(|cluster| cluster.sealed_into.is_none())
    }

    fn propose(&mut self, commands: Vec<Command>, then: Option<Letter>) {
        if !commands.is_empty() {
            self.under_way.push_back(UnderWay { commands, then });
        }
    }

    fn commit(&mut self, now: Millis) -> (Vec<TaskId>, Option<Letter>) {
        let Some(UnderWay { commands, then }) = self.under_way.pop_front() else { return (vec![], None) };
        self.index += 1;
        let proposed: Vec<Proposed> = commands.iter().map(Proposed::of).collect();
        let (mut out, mut accepted) = (Effects::default(), Vec::new());
        for command in commands {
            let changes = out.changes.len();
            self.state.apply(self.index, now, command, &Ended(&self.ended), &mut out);
            for change in &out.changes[changes..] {
                if let Change::Ended { task, .. } = change {
                    assert!(self.ended.insert(task.id, task.status).is_none(), "one end of each task in a log");
                }
            }
        }
        for (one, reply) in proposed.iter().zip(&out.replies) {
            self.leader.replied(*one, reply);
            if let (Proposed::Submit(id), Reply::Done) = (one, reply) {
                accepted.push(*id);
            }
        }
        for change in &out.changes {
            if let Some(task) = self.leader.changed(change, now, now) {
                let held = task.assignment.expect("what is sent is assigned");
                self.held.push((task.id, held.worker, held.fence));
            }
        }
        let refused = out.replies.contains(&Reply::Sealed);
        (accepted, then.filter(|_| !refused))
    }

    fn turn(&mut self, now: Millis) {
        let mut commands = self.leader.tick(now);
        commands.extend(self.leader.place(now, 100));
        self.propose(commands, None);
    }

    /// What was not committed is lost with the process, and so is everything soft.
    fn crash(&mut self, now: Millis) {
        self.under_way.clear();
        self.leader = Leader::new(self.me, Tuning::default());
        self.leader.set_leading(self.leads());
        let back = self.leader.resume(self.state.tasks().values(), &|_, _| false, now, now);
        self.propose(back, None);
        WORKERS.iter().for_each(|worker| self.leader.worker_up(*worker, offer(), Load::default()));
    }

    fn outcome(&mut self, at: usize, outcome: Outcome, now: Millis) {
        let (task, worker, fence) = self.held.swap_remove(at % self.held.len());
        if self.leader.holder(task) == Some((worker, fence)) {
            self.leader.ran(task, u64::MAX, now);
            self.propose(vec![Command::Finish { task, fence, worker, outcome }], None);
        }
    }

    fn check(&self) {
        for task in self.state.tasks().values() {
            assert!(!self.ended.contains_key(&task.id), "what has ended is not alive");
        }
        if !self.under_way.is_empty() {
            return;
        }
        let mut known = 0;
        for task in self.state.tasks().values() {
            let holder = self.leader.holder(task.id);
            assert_eq!(holder, task.assignment.map(|held| (held.worker, held.fence)), "the leader knows who has it");
            known += 1;
        }
        assert_eq!(self.leader.queue_len(), known, "no task is forgotten, and none is known twice");
        for worker in WORKERS {
            let held = self.leader.dispatch.held_by(worker).len() as u64;
            assert!(self.leader.given_to(worker).is_none_or(|given| given == held), "slots are accounted for");
        }
        let next = self.leader.next_wake();
        assert!(self.leads() || next.is_none() || !self.leader.dispatch.is_empty(), "nothing wakes a loop for nothing");
    }
}

impl World {
    fn new() -> World {
        let node = |n: u8| Node {
            me: NodeId([n; 16]),
            state: State::default(),
            leader: Leader::new(NodeId([n; 16]), Tuning::default()),
            ended: BTreeMap::new(),
            index: 0,
            under_way: VecDeque::new(),
            held: Vec::new(),
        };
        let nodes = [node(1), node(2)];
        let mut world = World {
            now: 1_000,
            nodes,
            letters: vec![],
            accepted: BTreeSet::new(),
            submitted: 0,
            founded: 0,
            led_again: false,
        };
        for n in 0..2 {
            world.found(n);
            world.commit(n);
            WORKERS.iter().for_each(|worker| world.nodes[n].leader.worker_up(*worker, offer(), Load::default()));
        }
        world
    }

    fn found(&mut self, n: usize) {
        self.founded += 1;
        let founder = self.nodes[n].me;
        let found = Command::Found { id: ClusterId([self.founded; 16]), name: "akita".into(), founder };
        self.nodes[n].propose(vec![found], None);
    }

    fn seal(&mut self, n: usize) {
        if self.nodes[n].leads() && self.nodes[1 - n].leads() {
            let into = self.nodes[1 - n].state.cluster().expect("it leads").id;
            let seal = Command::Seal { into, leader: self.nodes[1 - n].me };
            // In one entry with what the loop happens to place.
            let place = self.nodes[n].leader.place(self.now, 2);
            self.nodes[n].propose([vec![seal], place].concat(), None);
            // The other does not give way while this one does: of two leaders, one gives way.
            while !self.nodes[n].under_way.is_empty() {
                self.commit(n);
            }
        }
    }

    fn commit(&mut self, n: usize) {
        let (accepted, letter) = self.nodes[n].commit(self.now);
        self.accepted.extend(accepted);
        self.letters.extend(letter);
    }

    fn hand_over(&mut self, n: usize) {
        if !self.nodes[n].leads() {
            let node = &self.nodes[n];
            let waiting = node.leader.waiting(3).into_iter();
            let tasks: Vec<(TaskId, u32)> =
                waiting.filter_map(|id| Some((id, node.state.tasks().get(&id)?.attempts))).collect();
            self.letters.push(Letter::Import { to: 1 - n, tasks });
        }
    }

    fn deliver(&mut self, at: usize) {
        if self.letters.is_empty() {
            return;
        }
        match self.letters.swap_remove(at % self.letters.len()) {
            Letter::Import { to, tasks } => {
                let node = &mut self.nodes[to];
                if node.leads() {
                    tasks.iter().for_each(|(id, _)| node.leader.offer(*id, &spec(*id), self.now));
                    let taken = Letter::Taken { to: 1 - to, tasks: tasks.iter().map(|(id, _)| *id).collect() };
                    let mut commands: Vec<Command> =
                        tasks.into_iter().map(|(id, attempts)| submit(id, attempts)).collect();
                    commands.extend(node.leader.place(self.now, 9));
                    node.propose(commands, Some(taken));
                }
            }
            Letter::Taken { to, tasks } => {
                // As the cluster does: an answer that comes once this node leads again is not acted on.
                if !self.nodes[to].leads() {
                    let to_cluster = ClusterId([9; 16]);
                    self.nodes[to].propose(vec![Command::HandOver { tasks, to: to_cluster }], None);
                }
            }
        }
    }

    fn step(&mut self, kind: u8, n: usize, pick: usize) {
        self.now += 40;
        let now = self.now;
        let node = &mut self.nodes[n];
        let some = !node.held.is_empty();
        let worker = WORKERS[pick % WORKERS.len()];
        match kind {
            0..=2 => {
                self.submitted += 1;
                let id = TaskId([self.submitted; 16]);
                node.leader.offer(id, &spec(id), now);
                let place = node.leader.place(now, 9);
                node.propose([vec![submit(id, 0)], place].concat(), None);
                self.commit(n);
            }
            3 => node.turn(now),
            4 | 5 => self.commit(n),
            6 if some => node.outcome(pick, Outcome::Completed(spec(TaskId::default()).input), now),
            7 if some => {
                let again = Failure { message: "no".into(), code: None, pointer: None, retry_after_ms: Some(0) };
                node.outcome(pick, Outcome::Failed(again), now);
            }
            8 if some => drop(node.held.swap_remove(pick % node.held.len())),
            9 if some => node.held.push(node.held[pick % node.held.len()]),
            10 => {
                let back = node.leader.worker_lost(worker);
                node.propose(back, None);
                if !pick.is_multiple_of(4) {
                    node.leader.worker_up(worker, offer(), Load::default());
                }
            }
            11 if some => {
                let (task, worker, fence) = node.held.swap_remove(pick % node.held.len());
                node.leader.refused(worker, now);
                node.propose(vec![Command::Requeue { task, fence, cause: RequeueCause::Refused }], None);
            }
            12 => self.seal(n),
            13 | 14 => self.hand_over(n),
            15 | 16 => self.deliver(pick),
            17 if !self.letters.is_empty() => drop(self.letters.swap_remove(pick % self.letters.len())),
            18 if !self.letters.is_empty() => self.letters.push(self.letters[pick % self.letters.len()].clone()),
            19 => node.crash(now),
            20 if !node.leads() && pick.is_multiple_of(3) => {
                self.led_again = true;
                self.found(n);
            }
            21 => self.now += 400_000,
            _ => {}
        }
        self.nodes.iter().for_each(Node::check);
    }

    /// Everything works again: the one gives way, and work goes on until nothing is left.
    fn heal(&mut self) {
        self.letters.clear();
        for _ in 0..900 {
            self.now += 31_000;
            for n in 0..2 {
                let now = self.now;
                for worker in WORKERS {
                    self.nodes[n].leader.worker_up(worker, offer(), Load::default());
                }
                self.nodes[n].turn(now);
                while !self.nodes[n].held.is_empty() {
                    self.nodes[n].outcome(0, Outcome::Completed(spec(TaskId::default()).input), now);
                }
                self.hand_over(n);
                while !self.letters.is_empty() || self.nodes.iter().any(|node| !node.under_way.is_empty()) {
                    self.deliver(0);
                    self.commit(0);
                    self.commit(1);
                }
            }
            match [self.nodes[0].leads(), self.nodes[1].leads()] {
                [true, true] => self.seal(1),
                [false, false] => self.found(0),
                _ => {}
            }
            self.nodes.iter().for_each(Node::check);
            if self.nodes.iter().all(|node| node.state.tasks().is_empty()) {
                return;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn two_clusters_that_merge_lose_no_task_and_run_none_twice_knowingly(
        steps in prop::collection::vec((0u8..22, 0usize..2, any::<prop::sample::Index>()), 1..200),
    ) {
        let mut world = World::new();
        for (kind, node, pick) in steps {
            world.step(kind, node, pick.index(1_000));
        }
        world.heal();
        for node in &world.nodes {
            prop_assert!(node.state.tasks().is_empty(), "left: {:?}", node.state.tasks());
            prop_assert_eq!(node.leader.queue_len(), 0);
        }
        for id in &world.accepted {
            let ends = world.nodes.iter().filter(|node| node.ended.contains_key(id)).count();
            prop_assert!(ends >= 1, "every accepted task ends: {}", id);
            prop_assert!(ends == 1 || world.led_again, "it ends in one log: {}", id);
        }
    }
}
