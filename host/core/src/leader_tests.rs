//! The leader's mind against a log and workers that lose, repeat and delay: a seeded simulation with named invariants.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::{
    id::ClusterId,
    state::{Archive, Effects, State},
    task::{Content, Extras, Failure, Outcome},
};

const ME: NodeId = NodeId([1; 16]);

#[derive(Default)]
struct World {
    state: State,
    ended: BTreeMap<TaskId, Status>,
    index: u64,
    now: Millis,
    /// Assignments on their way to workers, or held by them.
    held: VecDeque<(TaskId, NodeId, u64)>,
}

impl Archive for World {
    fn ended(&self, task: TaskId) -> Option<Status> {
        self.ended.get(&task).copied()
    }
}

impl World {
    fn commit(&mut self, leader: &mut Leader, commands: Vec<Command>) {
        if commands.is_empty() {
            return;
        }
        self.index += 1;
        let proposed: Vec<Proposed> = commands.iter().map(Proposed::of).collect();
        let mut out = Effects::default();
        let mut state = std::mem::take(&mut self.state);
        for command in commands {
            state.apply(self.index, self.now, command, self, &mut out);
        }
        self.state = state;
        for (one, reply) in proposed.iter().zip(&out.replies) {
            leader.replied(*one, reply);
        }
        for change in &out.changes {
            if let Change::Ended { task, .. } = change {
                assert!(self.ended.insert(task.id, task.status).is_none(), "a task ends once");
            }
            if let Some(task) = leader.changed(change, self.now, self.now) {
                let held = task.assignment.expect("sent tasks are assigned");
                self.held.push_back((task.id, held.worker, held.fence));
            }
        }
    }

    fn submit(&mut self, leader: &mut Leader, n: u8) {
        let id = TaskId([n; 16]);
        let input = Content { content_type: "a/b".into(), body: vec![] };
        let spec = TaskSpec {
            action: "p/a".into(),
            required: vec![],
            priority: n % 3,
            timeout_ms: None,
            input,
            extras: Extras::default(),
        };
        leader.offer(id, &spec, self.now);
        let mut commands = vec![Command::Submit { id, origin: ME, attempts: 0, max_attempts: 3, spec }];
        commands.extend(leader.place(self.now, 10));
        self.commit(leader, commands);
    }

    fn step(&mut self, leader: &mut Leader) {
        let mut commands = leader.tick(self.now);
        commands.extend(leader.place(self.now, 100));
        self.commit(leader, commands);
    }

    fn finish(&mut self, leader: &mut Leader) {
        let Some((task, worker, fence)) = self.held.pop_front() else {
            return;
        };
        let outcome = Outcome::Completed(Content { content_type: "a/b".into(), body: vec![] });
        leader.ran(task, 50, self.now);
        self.commit(leader, vec![Command::Finish { task, fence, worker, outcome }]);
    }
}

fn start() -> (World, Leader) {
    let mut world = World { now: 1_000, ..World::default() };
    let mut leader = Leader::new(ME, Tuning::default());
    world.commit(&mut leader, vec![Command::Found { id: ClusterId([1; 16]), name: "akita".into(), founder: ME }]);
    leader.worker_up(ME, offer(), Load::default());
    (world, leader)
}

fn offer() -> Offer {
    Offer { slots: 2, actions: ["p/a".to_owned()].into(), ..Offer::default() }
}

#[test]
fn a_task_is_accepted_and_assigned_in_one_commit() {
    let (mut world, mut leader) = start();
    world.submit(&mut leader, 1);
    assert_eq!((world.index, world.held.len(), leader.in_flight()), (2, 1, 1));
    assert!(leader.place(world.now, 10).is_empty(), "placed once");
    world.finish(&mut leader);
    assert_eq!(leader.queue_len(), 0);
}

#[test]
fn a_task_submitted_twice_is_run_once() {
    let (mut world, mut leader) = start();
    world.submit(&mut leader, 1);
    world.submit(&mut leader, 1);
    world.finish(&mut leader);
    world.submit(&mut leader, 1);
    world.step(&mut leader);
    assert_eq!((world.held.len(), leader.queue_len()), (0, 0));
    for n in 2..4 {
        world.submit(&mut leader, n);
    }
    assert_eq!(world.held.len(), 2, "no slot was lost");
}

#[test]
fn a_restart_takes_back_what_this_node_ran_and_waits_for_others() {
    let (mut world, mut leader) = start();
    world.submit(&mut leader, 1);
    let other = NodeId([2; 16]);
    leader.worker_up(other, offer(), Load::default());
    leader.worker_load(ME, Load { cpu_percent: 99, ..Load::default() });
    world.submit(&mut leader, 2);
    assert_eq!(world.held[1].1, other);
    let mut leader = Leader::new(ME, Tuning::default());
    let tasks: Vec<Task> = world.state.tasks().values().cloned().collect();
    let commands = leader.resume(&tasks, &|_, _| false, world.now, world.now);
    assert_eq!(commands.len(), 1);
    assert_eq!(leader.absent_holders(), [ME, other]);
    world.held.pop_front();
    world.commit(&mut leader, commands);
    leader.worker_up(ME, offer(), Load::default());
    world.finish(&mut leader);
    world.step(&mut leader);
    world.finish(&mut leader);
    assert_eq!(world.ended.len(), 2);
}

#[test]
fn a_new_leader_keeps_what_it_runs_itself_and_what_others_run() {
    let (mut world, mut leader) = start();
    world.submit(&mut leader, 1);
    assert_eq!(world.held.len(), 1);
    let tasks: Vec<Task> = world.state.tasks().values().cloned().collect();
    // Elected in the process that runs the task, which another leader had given to it.
    let mut leader = Leader::new(ME, Tuning::default());
    assert_eq!(leader.resume(&tasks, &|_, _| true, world.now, world.now), []);
    let held = tasks[0].assignment.unwrap();
    assert_eq!(leader.holder(tasks[0].id), Some((ME, held.fence)));
    leader.worker_up(ME, offer(), Load::default());
    world.finish(&mut leader);
    assert_eq!(world.ended.len(), 1);
}

#[test]
fn a_task_that_is_being_placed_while_the_log_is_sealed_still_waits_to_be_handed_over() {
    let seal = || Command::Seal { into: ClusterId([9; 16]), leader: NodeId([2; 16]) };
    // Accepted, sealed and placed by one entry; and accepted before, placed by an entry after the seal.
    for together in [true, false] {
        let (mut world, mut leader) = start();
        let spec = TaskSpec {
            action: "p/a".into(),
            required: vec![],
            priority: 1,
            timeout_ms: None,
            input: Content { content_type: "a/b".into(), body: vec![] },
            extras: Extras::default(),
        };
        let id = TaskId([7; 16]);
        leader.offer(id, &spec, world.now);
        let submit = Command::Submit { id, origin: ME, attempts: 0, max_attempts: 3, spec };
        let place = leader.place(world.now, 10);
        assert_eq!(place.len(), 1);
        if together {
            world.commit(&mut leader, [vec![submit, seal()], place].concat());
        } else {
            world.commit(&mut leader, vec![submit]);
            world.commit(&mut leader, vec![seal()]);
            world.commit(&mut leader, place);
        }
        assert_eq!(leader.waiting(10), [id]);
        assert_eq!(leader.queue_len(), 1);
        world.commit(&mut leader, vec![Command::HandOver { tasks: vec![id], to: ClusterId([9; 16]) }]);
        assert_eq!((leader.queue_len(), world.state.tasks().len()), (0, 0));
    }
}

#[test]
fn a_clock_that_leaps_takes_nothing_back_and_delays_nothing() {
    let (mut world, mut leader) = start();
    world.submit(&mut leader, 1);
    let (task, worker, fence) = world.held[0];
    // The log's time leaps by a day; the machine's own clock, which patience is measured by, does not.
    let day = 24 * 3_600_000;
    let failure = Failure { message: "no".into(), code: None, pointer: None, retry_after_ms: Some(0) };
    let mut out = Effects::default();
    let finish = Command::Finish { task, fence, worker, outcome: Outcome::Failed(failure) };
    assert!(leader.tick(world.now + 1_000).is_empty());
    let mut state = std::mem::take(&mut world.state);
    state.apply(9, world.now + day, finish, &world, &mut out);
    out.changes.iter().for_each(|change| drop(leader.changed(change, world.now + day, world.now)));
    assert!(leader.place(world.now + 999, 9).is_empty(), "a second's pause");
    assert_eq!(leader.place(world.now + 1_001, 9).len(), 1, "and not a day's");
}

#[test]
fn what_is_late_all_at_once_comes_back_in_parts() {
    let (mut world, mut leader) = start();
    let offered = Offer { slots: 5_000, ..offer() };
    leader.worker_up(ME, offered, Load::default());
    for n in 0..3_000u16 {
        let mut id = [0; 16];
        id[..2].copy_from_slice(&n.to_be_bytes());
        let input = Content { content_type: "a/b".into(), body: vec![] };
        let spec = TaskSpec {
            action: "p/a".into(),
            required: vec![],
            priority: 1,
            timeout_ms: None,
            input,
            extras: Extras::default(),
        };
        let submit = Command::Submit { id: TaskId(id), origin: ME, attempts: 0, max_attempts: 3, spec };
        world.commit(&mut leader, vec![submit]);
    }
    let place = leader.place(world.now, 5_000);
    assert_eq!(place.len(), 3_000);
    world.commit(&mut leader, place);
    world.now += 3_600_000;
    let back = leader.tick(world.now);
    assert_eq!(back.len(), MAX_LATE);
    assert!(leader.next_wake().is_some_and(|wake| wake <= world.now), "the rest follows at once");
}

#[test]
fn an_assignment_to_a_worker_that_went_meanwhile_comes_back_without_a_strike() {
    let (mut world, mut leader) = start();
    let input = Content { content_type: "a/b".into(), body: vec![] };
    let spec = TaskSpec {
        action: "p/a".into(),
        required: vec![],
        priority: 1,
        timeout_ms: None,
        input,
        extras: Extras::default(),
    };
    let id = TaskId([7; 16]);
    leader.offer(id, &spec, world.now);
    let mut commands = vec![Command::Submit { id, origin: ME, attempts: 0, max_attempts: 3, spec }];
    commands.extend(leader.place(world.now, 1));
    assert!(leader.worker_lost(ME).is_empty());
    world.commit(&mut leader, commands);
    assert!(world.held.is_empty(), "nobody is there to send it to");
    world.step(&mut leader);
    assert_eq!(leader.waiting(9), [id]);
    assert_eq!((world.state.tasks()[&id].strikes, world.state.tasks()[&id].attempts), (0, 0));
}

proptest! {
    #[test]
    fn every_accepted_task_ends_once_whatever_workers_do(steps in prop::collection::vec(0u8..8, 1..120)) {
        let (mut world, mut leader) = start();
        let other = NodeId([2; 16]);
        let (mut submitted, mut incarnation) = (0u8, true);
        for step in steps {
            world.now += 40;
            match step {
                0 | 1 => {
                    submitted += 1;
                    world.submit(&mut leader, submitted);
                }
                2 | 3 => world.finish(&mut leader),
                4 => world.held.rotate_left(usize::from(world.held.len() > 1)),
                5 => {
                    // A message is lost: only patience brings the task back.
                    world.held.pop_back();
                    world.now += 40_000;
                }
                6 => {
                    incarnation = !incarnation;
                    let back = leader.worker_lost(other);
                    world.commit(&mut leader, back);
                    if incarnation {
                        leader.worker_up(other, offer(), Load::default());
                    }
                }
                _ => world.step(&mut leader),
            }
        }
        for _ in 0..400 {
            world.now += 31_000;
            world.step(&mut leader);
            world.finish(&mut leader);
        }
        prop_assert_eq!(world.ended.len(), usize::from(submitted));
        prop_assert_eq!((leader.queue_len(), world.state.tasks().len()), (0, 0));
    }
}
