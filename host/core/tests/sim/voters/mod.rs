//! Several voters in virtual time: the real consensus engine around the real core, on a network, disks and clocks that
//! are drawn from a seed. It stands with the core's simulation and not with the engine's other users, because the engine
//! is compiled into whoever uses it, and only this crate is optimised where tests are built.

mod check;
mod client;
mod disk;
mod engine;
mod log;
mod machine;
mod measure;
mod plan;
mod post;
mod run;
mod world;

use std::time::Instant;

use crate::seeds::{self, Totals as _, setting};
use plan::{Plan, Planted};
use run::Totals;

/// Runs of an ordinary test: some seconds on a small machine.
const SEEDS: u64 = 24;
/// Seeds that failed once, each with what was wrong then.
const REGRESSIONS: &[(u64, &str)] = &[(
    2_000_038,
    "behind a slow link a voter that lagged never got what it lacked: each call ended before it had arrived",
)];

fn plan_of(seed: u64) -> Plan {
    Plan::of(seed, setting("AKITA_SIM_NODES"), setting("AKITA_SIM_MINUTES"))
}

fn fail(plan: &Plan, violation: &str) -> ! {
    panic!("{}replay it with: {}", run::explain(plan, violation), seeds::replay("voters", plan.seed));
}

#[test]
fn voters_lose_nothing_that_was_accepted_and_agree_again_when_they_can() {
    let begun = Instant::now();
    match seeds::many::<Totals>(seeds::wanted(SEEDS), plan_of, seeds::is_loud()) {
        Ok(totals) => eprintln!("sim: voters: {}", totals.line(begun.elapsed())),
        Err(failed) => fail(&failed.0, &failed.1),
    }
}

#[test]
fn what_failed_once_does_not_fail_again() {
    for (seed, was) in REGRESSIONS {
        let plan = Plan::of(*seed, None, None);
        if let Some(violation) = run::run(&plan).violation {
            eprintln!("this seed failed before: {was}");
            fail(&plan, &violation);
        }
    }
}

#[test]
fn a_seed_is_the_same_run_each_time() {
    for seed in 1..4 {
        let plan = Plan::of(seed, None, None);
        let (once, twice) = (run::run(&plan), run::run(&plan));
        assert_eq!(format!("{once:?}"), format!("{twice:?}"), "seed {seed}");
    }
}

/// Checks that cannot fail check nothing.
#[test]
fn every_mistake_that_is_planted_is_found() {
    for planted in Planted::ALL {
        let plan = |seed| Plan { planted: Some(planted), ..Plan::of(seed, None, None) };
        let found =
            seeds::many::<Totals>(planted.seeds(), plan, false).expect_err(&format!("{planted:?} was not found"));
        eprintln!("sim: {planted:?}: seed {}: {}", found.0.seed, found.1);
    }
}
