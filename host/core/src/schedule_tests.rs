//! What operators rely on: urgency, age, capabilities, fairness, and that nothing unplaceable blocks the rest.

use proptest::prelude::*;

use super::*;
use crate::versions::Versions;

fn node(n: u8) -> NodeId {
    NodeId([n; 16])
}

fn task(n: u8) -> TaskId {
    TaskId([n; 16])
}

fn offer(slots: u16, capabilities: &[&str]) -> Offer {
    let actions = ["basics/echo", "image/fit", "old/echo2", "basics/log"];
    Offer {
        slots,
        actions: actions.iter().map(|action| (*action).to_owned()).collect(),
        capabilities: capabilities.iter().map(|one| (*one).to_owned()).collect(),
        ..Offer::default()
    }
}

fn add(scheduler: &mut Scheduler, n: u8, priority: u8, required: &[&str]) {
    let required: Vec<String> = required.iter().map(|one| (*one).to_owned()).collect();
    assert!(scheduler.add(task(n), "basics/echo", &required, priority, 5, 0));
}

fn order(scheduler: &mut Scheduler) -> Vec<TaskId> {
    scheduler.place(10, 100).into_iter().map(|(id, _)| id).collect()
}

#[test]
fn the_most_urgent_goes_first_then_the_oldest() {
    let mut scheduler = Scheduler::default();
    scheduler.worker_up(node(1), offer(9, &[]), Load::default());
    add(&mut scheduler, 1, 10, &[]);
    add(&mut scheduler, 2, 10, &[]);
    add(&mut scheduler, 3, 1, &[]);
    assert_eq!(order(&mut scheduler), [task(3), task(1), task(2)]);
}

#[test]
fn a_task_that_nobody_can_run_blocks_no_other() {
    let mut scheduler = Scheduler::default();
    scheduler.worker_up(node(1), offer(9, &[]), Load::default());
    add(&mut scheduler, 1, 0, &["gpu"]);
    add(&mut scheduler, 2, 10, &[]);
    assert_eq!(order(&mut scheduler), [task(2)]);
    let why = scheduler.explain(task(1), 10).unwrap();
    assert!(why.contains("`gpu`") && why.contains("--capabilities gpu"), "{why}");
    scheduler.worker_up(node(2), offer(1, &["gpu"]), Load::default());
    assert_eq!(scheduler.place(10, 9), [(task(1), node(2))]);
}

/// A child of [`add`]'s tasks.
fn add_child(scheduler: &mut Scheduler, n: u8, priority: u8, depth: u8) {
    assert!(scheduler.add(task(n), "basics/echo", &[], Rank::new(priority, depth), 9, 0));
}

#[test]
fn a_family_that_has_begun_goes_on_before_another_begins() {
    let mut scheduler = Scheduler::default();
    scheduler.worker_up(node(1), offer(9, &[]), Load::default());
    add(&mut scheduler, 1, 10, &[]);
    add_child(&mut scheduler, 2, 10, 1);
    add_child(&mut scheduler, 3, 10, 2);
    add(&mut scheduler, 4, 9, &[]);
    assert_eq!(order(&mut scheduler), [task(4), task(3), task(2), task(1)]);
}

#[test]
fn a_worker_whose_tasks_all_wait_for_their_children_takes_the_children() {
    let mut scheduler = Scheduler::default();
    scheduler.worker_up(node(1), offer(1, &[]), Load::default());
    add(&mut scheduler, 1, 10, &[]);
    add(&mut scheduler, 2, 1, &[]);
    assert_eq!(order(&mut scheduler), [task(2)], "one slot");
    add_child(&mut scheduler, 3, 10, 1);
    assert!(order(&mut scheduler).is_empty());
    scheduler.worker_load(node(1), Load { parked: 1, ..Load::default() });
    assert_eq!(order(&mut scheduler), [task(3)], "the parent left its slot, and the child is first");
    let many = crate::tuning::families(1, 0);
    scheduler.worker_load(node(1), Load { parked: many, memory_percent: 99, ..Load::default() });
    assert!(order(&mut scheduler).is_empty(), "so many wait there that no other family begins");
    add_child(&mut scheduler, 4, 200, 1);
    assert_eq!(order(&mut scheduler), [task(4)], "a child has room, however urgent others are");
}

#[test]
fn work_is_spread_by_room_and_a_full_worker_gets_none() {
    let mut scheduler = Scheduler::default();
    scheduler.worker_up(node(1), offer(2, &[]), Load::default());
    scheduler.worker_up(node(2), offer(2, &[]), Load { rtt_ms: 3, ..Load::default() });
    (0..6).for_each(|n| add(&mut scheduler, n, 10, &[]));
    let workers: Vec<NodeId> = scheduler.place(10, 100).into_iter().map(|(_, node)| node).collect();
    assert_eq!(workers, [node(1), node(2), node(1), node(2)]);
    assert!(scheduler.explain(task(5), 10).unwrap().contains("busy"));
    scheduler.release(node(2), None);
    assert_eq!(scheduler.place(10, 100), [(task(4), node(2))]);
}

#[test]
fn a_plugin_with_a_cap_leaves_the_other_slots_to_others() {
    let mut scheduler = Scheduler::default();
    let capped = Offer { caps: [("basics".to_owned(), 1)].into(), ..offer(3, &[]) };
    scheduler.worker_up(node(1), capped.clone(), Load::default());
    (1..=3).for_each(|n| add(&mut scheduler, n, 0, &[]));
    assert!(scheduler.add(task(9), "image/fit", &[], 200, 5, 0));
    assert_eq!(order(&mut scheduler), [task(1), task(9)]);
    scheduler.uncap(task(9));
    assert!(order(&mut scheduler).is_empty(), "another plugin's end frees nothing");
    scheduler.uncap(task(1));
    scheduler.release(node(1), None);
    assert_eq!(order(&mut scheduler), [task(2)]);
    // On another worker the count is another; a worker that went away holds nothing.
    scheduler.worker_up(node(2), capped.clone(), Load::default());
    assert_eq!(scheduler.place(10, 100), [(task(3), node(2))]);
    add(&mut scheduler, 4, 0, &[]);
    // Committed, so that a worker that comes back is not thought to hold them.
    [1, 2, 3, 9].into_iter().for_each(|n| scheduler.settle(task(n)));
    scheduler.worker_down(node(1));
    scheduler.worker_up(node(1), capped, Load::default());
    assert_eq!(scheduler.place(10, 100), [(task(4), node(1))]);
}

#[test]
fn a_task_that_names_a_version_goes_where_exactly_that_is() {
    let mut scheduler = Scheduler::default();
    let having = |version| Offer {
        versions: Versions::of([("basics", version, BTreeSet::from(["echo", "log"]))]),
        caps: [("basics".to_owned(), 1)].into(),
        ..offer(3, &[])
    };
    scheduler.worker_up(node(1), having("1.0.0"), Load::default());
    scheduler.worker_up(node(2), having("2.0.0"), Load::default());
    for (at, version) in [(1, "1.0.0"), (2, "2.0.0")] {
        let name = format!("basics@{version}/echo");
        assert_eq!(scheduler.resolve(&name), Resolved::One(name.clone()));
        assert!(scheduler.add(task(at), &name, &[], 10, 5, 0));
        assert_eq!(scheduler.place(10, 100), [(task(at), node(at))]);
    }
    let near = Resolved::Unknown(vec!["basics@2.0.0/echo".into(), "basics@1.0.0/echo".into()]);
    assert_eq!(scheduler.resolve("basics@3.0.0/echo"), near);
    assert!(scheduler.add(task(3), "basics@3.0.0/echo", &[], 10, 5, 0));
    assert!(scheduler.place(10, 100).is_empty());
    assert!(scheduler.explain(task(3), 10).unwrap().contains("there is basics@2.0.0/echo"));
    // The cap is the plugin's, whichever version is asked for.
    assert!(scheduler.add(task(4), "basics/echo", &[], 10, 5, 0));
    assert!(scheduler.place(10, 100).is_empty());
    scheduler.uncap(task(1));
    scheduler.release(node(1), None);
    assert_eq!(scheduler.place(10, 100), [(task(4), node(1))]);
}

#[test]
fn short_tasks_are_sent_ahead_and_long_ones_are_not() {
    for (run_us, rtt_ms, expected) in [(100, 0, 64), (1_000_000, 0, 1), (100, 5_000, 2)] {
        let mut scheduler = Scheduler::default();
        scheduler.worker_up(node(1), offer(1, &[]), Load { rtt_ms, ..Load::default() });
        add(&mut scheduler, 0, 10, &[]);
        scheduler.place(10, 1);
        scheduler.release(node(1), Some(run_us));
        (1..100).for_each(|n| add(&mut scheduler, n, 10, &[]));
        assert_eq!(scheduler.place(10, 100).len(), expected, "{run_us} us, {rtt_ms} ms");
    }
}

#[test]
fn memory_that_is_full_keeps_tasks_away() {
    let mut scheduler = Scheduler::default();
    scheduler.worker_up(node(1), offer(4, &[]), Load { memory_percent: 97, ..Load::default() });
    (0..4).for_each(|n| add(&mut scheduler, n, 10, &[]));
    assert_eq!(scheduler.place(10, 100).len(), 1);
}

#[test]
fn a_delayed_task_waits_for_its_time() {
    let mut scheduler = Scheduler::default();
    scheduler.worker_up(node(1), offer(4, &[]), Load::default());
    scheduler.add(task(1), "basics/echo", &[], 10, 5, 2_000);
    assert!(scheduler.place(1_999, 9).is_empty());
    assert!(scheduler.explain(task(1), 1_000).unwrap().contains("1 s"));
    assert_eq!(scheduler.place(2_000, 9).len(), 1);
}

#[test]
fn names_are_resolved_and_near_ones_offered() {
    let mut scheduler = Scheduler::default();
    let mut offered = offer(1, &[]);
    scheduler.worker_up(node(1), offered.clone(), Load::default());
    assert_eq!(scheduler.resolve("echo"), Resolved::One("basics/echo".into()));
    assert_eq!(scheduler.resolve("basics/log"), Resolved::One("basics/log".into()));
    let Resolved::Unknown(near) = scheduler.resolve("ecko") else { panic!("known") };
    assert!(near.contains(&"basics/echo".to_owned()), "{near:?}");
    offered.actions.insert("other/echo".into());
    scheduler.worker_up(node(2), offered, Load::default());
    assert!(matches!(scheduler.resolve("echo"), Resolved::Ambiguous(both) if both.len() == 2));
}

proptest! {
    #[test]
    fn every_placed_task_was_waiting_and_fits_its_worker(
        tasks in prop::collection::vec((0u8..20, any::<bool>()), 1..60),
        slots in prop::collection::vec((0u16..4, any::<bool>()), 1..5),
    ) {
        let mut scheduler = Scheduler::default();
        for (n, (slots, gpu)) in slots.iter().enumerate() {
            scheduler.worker_up(node(n as u8), offer(*slots, if *gpu { &["gpu"] } else { &[] }), Load::default());
        }
        for (n, (priority, gpu)) in tasks.iter().enumerate() {
            add(&mut scheduler, n as u8, *priority, if *gpu { &["gpu"] } else { &[] });
        }
        let placed = scheduler.place(10, usize::MAX);
        for (id, worker) in &placed {
            prop_assert!(!tasks[id.0[0] as usize].1 || slots[worker.0[0] as usize].1);
            prop_assert!(scheduler.explain(*id, 10).is_none());
        }
        for (n, (slots, _)) in slots.iter().enumerate() {
            let held = placed.iter().filter(|(_, worker)| *worker == node(n as u8)).count();
            prop_assert!(held <= usize::from(*slots).max(1));
        }
        prop_assert_eq!(scheduler.waiting() + placed.len(), tasks.len());
    }
}

#[test]
fn a_worker_that_refuses_rests_longer_each_time_and_others_go_first() {
    let mut scheduler = Scheduler::default();
    scheduler.worker_up(node(1), offer(9, &[]), Load::default());
    let (mut now, mut last) = (1_000, 0);
    for _ in 0..4 {
        add(&mut scheduler, 1, 10, &[]);
        assert_eq!(scheduler.place(now, 9), [(task(1), node(1))]);
        scheduler.refused(node(1), now);
        scheduler.unplace(task(1));
        add(&mut scheduler, 1, 10, &[]);
        assert!(scheduler.place(now, 9).is_empty(), "not at once to the one that has just refused");
        let due = scheduler.next_due().expect("something wakes the loop");
        assert!(due - now > last);
        (last, now) = (due - now, due);
        scheduler.remove(task(1));
    }
    add(&mut scheduler, 1, 10, &[]);
    scheduler.worker_up(node(2), offer(1, &[]), Load::default());
    scheduler.refused(node(1), now);
    assert_eq!(scheduler.place(now, 9), [(task(1), node(2))]);
    assert_eq!(scheduler.next_due(), None, "nothing waits");
}

#[test]
fn a_task_that_came_under_a_bare_name_finds_its_worker_later() {
    let mut scheduler = Scheduler::default();
    assert!(scheduler.add(task(1), "echo", &[], 10, 5, 0));
    assert!(scheduler.place(10, 9).is_empty());
    scheduler.worker_up(node(1), offer(1, &[]), Load::default());
    assert_eq!(scheduler.place(10, 9), [(task(1), node(1))]);
}

#[test]
fn an_action_is_known_for_as_long_as_somebody_has_it() {
    let mut scheduler = Scheduler::default();
    let without = Offer { slots: 1, ..Offer::default() };
    scheduler.worker_up(node(1), offer(1, &[]), Load::default());
    scheduler.worker_up(node(2), offer(1, &[]), Load::default());
    scheduler.worker_up(node(1), without, Load::default());
    assert_eq!(scheduler.resolve("echo"), Resolved::One("basics/echo".into()));
    scheduler.worker_down(node(2));
    assert_eq!(scheduler.resolve("echo"), Resolved::Unknown(vec![]));
}
