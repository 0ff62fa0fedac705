//! Five voters: any two may die, in any order and at any time.

use std::{thread, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::json;

use crate::{
    harness::wait_until,
    lab::{Lab, seed},
};

#[test]
fn any_two_of_five_may_be_killed_at_any_time_and_an_operator_is_told_of_each() {
    let seed = seed();
    let mut dice = StdRng::seed_from_u64(seed);
    let lab = Lab::new(5, 5, seed, |_, spec| spec);
    let head = {
        let node = lab.node(0);
        node.completed(&node.submit(&json!({"action": "echo"})));
        node.cli(&["ledger", "head"]).expect(0).stdout
    };
    let ids: Vec<String> = (0..5).map(|at| lab.node(at).id()).collect();
    lab.under_load(seed, |history| {
        for round in 0..2 {
            let first = if round == 0 { lab.leader() } else { dice.random_range(0..5) };
            let second = (first + dice.random_range(1..5)) % 5;
            println!("round {round}: {first} is killed, then {second}");
            lab.accepts(first, history);
            lab.kill(first);
            thread::sleep(Duration::from_millis(dice.random_range(0..2_500)));
            lab.kill(second);
            let alive: Vec<usize> = (0..5).filter(|at| ![first, second].contains(at)).collect();
            alive.iter().for_each(|at| drop(lab.accepts(*at, history)));
            // Whoever is asked tells who is gone, and what to do.
            for at in &alive {
                wait_until("the dead to be named", || {
                    let out = lab.node(*at).cli(&["cluster", "status"]).stdout;
                    let named = |dead: usize| out.contains(&format!("node-{dead} ({})", ids[dead]));
                    named(first) && named(second) && out.contains("start it again")
                });
            }
            lab.start(second);
            thread::sleep(Duration::from_millis(dice.random_range(0..1_000)));
            lab.start(first);
            (0..5).for_each(|at| drop(lab.accepts(at, history)));
        }
    });
    for at in 0..5 {
        let node = lab.node(at);
        std::fs::write(node.dir().join("head.txt"), &head).expect("a file is written");
        node.cli(&["ledger", "verify", "--against", "head.txt"]).expect(0);
    }
}
