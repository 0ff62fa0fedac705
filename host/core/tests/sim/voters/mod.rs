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

use std::{env, time::Instant};

use crate::setting;
use plan::{Plan, Planted};

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
    let mut replay = format!("cargo xtask sim voters --seed {}", plan.seed);
    for (name, option) in [("AKITA_SIM_NODES", "--nodes"), ("AKITA_SIM_MINUTES", "--minutes")] {
        replay.extend(env::var(name).into_iter().map(|value| format!(" {option} {value}")));
    }
    panic!("{}replay it with: {replay}", run::explain(plan, violation));
}

/// AKITA_SIM_SEED runs one seed, AKITA_SIM_SEEDS so many from AKITA_SIM_FROM on.
#[test]
fn voters_lose_nothing_that_was_accepted_and_agree_again_when_they_can() {
    let one: Option<u64> = setting("AKITA_SIM_SEED");
    let from = one.or(setting("AKITA_SIM_FROM")).unwrap_or(1);
    let count = if one.is_some() { 1 } else { setting("AKITA_SIM_SEEDS").unwrap_or(SEEDS) };
    let begun = Instant::now();
    match run::many(from..from + count, plan_of, env::var_os("AKITA_SIM_LOUD").is_some()) {
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
        let found = run::many(planted.seeds(), plan, false).expect_err(&format!("{planted:?} was not found"));
        eprintln!("sim: {planted:?}: seed {}: {}", found.0.seed, found.1);
    }
}
