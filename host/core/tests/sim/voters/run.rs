//! Many runs at once, and what a person sees of the first that failed.

use std::{fmt::Write, sync::Arc, time::Duration};

use openraft::AsyncRuntime;
use openraft_rt_sim::SimRuntime;

use crate::seeds::{self, caught, rule};
use crate::voters::{check::Counts, plan::Plan, world::World};

/// Longest waits for an election in which everything must have come to rest once it works again.
const SETTLES_WITHIN: u32 = 120;
/// Runs that shrinking may take.
const SHRINKING: usize = 60;

/// What a run came to.
#[derive(Debug, Default, Clone)]
pub struct Report {
    pub violation: Option<String>,
    pub counts: Counts,
    pub calls: u64,
    pub virtual_time: Duration,
    pub settled_in: Duration,
}

/// One run. What panics is a violation like any other.
pub fn run(plan: &Plan) -> Report {
    let report = caught(|| {
        let mut runtime = SimRuntime::with_seed(plan.seed);
        runtime.block_on(async {
            let world = World::found(plan).await;
            for client in 0..plan.clients {
                drop(SimRuntime::spawn(Arc::clone(&world).be_client(client)));
            }
            world.suffer().await;
            world.heal().await;
            let settled_in = world.settle(Plan::unit(plan.profile) * SETTLES_WITHIN).await;
            let (.., calls) = world.post.traffic();
            let virtual_time = Duration::from_micros(crate::voters::post::now_us());
            Report { violation: world.judge.violation(), counts: world.judge.counts(), calls, virtual_time, settled_in }
        })
    });
    report.unwrap_or_else(|panic| Report { violation: Some(panic), ..Report::default() })
}

/// Leaves out each fault that is not needed for the same rule to be broken.
fn shrink(plan: &Plan, broken: &str) -> Plan {
    let mut least = plan.clone();
    let (mut at, mut runs) = (0, 0);
    while at < least.faults.len() && runs < SHRINKING {
        let mut tried = least.clone();
        tried.faults.remove(at);
        runs += 1;
        match run(&tried).violation {
            Some(violation) if rule(&violation) == rule(broken) => least = tried,
            _ => at += 1,
        }
    }
    least
}

/// What a person needs to understand a failed run.
pub fn explain(plan: &Plan, violation: &str) -> String {
    let least = shrink(plan, violation);
    let mut text = String::new();
    let _ = writeln!(text, "seed {} broke a rule: {violation}", plan.seed);
    let _ = writeln!(
        text,
        "  {} voters, {:?}, {} clients, one entry each {:?}, the log is cut after {} entries",
        plan.voters, plan.profile, plan.clients, plan.pause, plan.kept
    );
    let _ = writeln!(text, "of {} faults these are needed for it:", plan.faults.len());
    for (at, fault) in &least.faults {
        let _ = writeln!(text, "  {:>10.3} s  {fault:?}", at.as_secs_f64());
    }
    let _ = writeln!(text, "with these alone: {:?}", run(&least).violation);
    text
}

/// Sums over many runs.
#[derive(Debug, Default)]
pub struct Totals {
    seeds: u64,
    operations: u64,
    applied: u64,
    snapshots: u64,
    leaders: u64,
    calls: u64,
    virtual_time: Duration,
    slowest: f64,
}

impl seeds::Totals for Totals {
    type Plan = Plan;
    type Report = Report;

    fn run(plan: &Plan) -> Report {
        run(plan)
    }

    fn violation(report: &Report) -> Option<&str> {
        report.violation.as_deref()
    }

    fn add(&mut self, plan: &Plan, report: &Report) {
        self.seeds += 1;
        self.operations += report.counts.operations;
        self.applied += report.counts.applied;
        self.snapshots += report.counts.snapshots;
        self.leaders += report.counts.leaders;
        self.calls += report.calls;
        self.virtual_time += report.virtual_time;
        self.slowest = self.slowest.max(report.settled_in.as_secs_f64() / Plan::unit(plan.profile).as_secs_f64());
    }

    fn line(&self, took: Duration) -> String {
        format!(
            "{} seeds, {} operations ({:.0}/s), {} entries applied, {} snapshots installed, {} leaders, {} calls, {:.1} virtual hours, quiet within {:.1} election timeouts, in {:.1} s",
            self.seeds,
            self.operations,
            self.operations as f64 / took.as_secs_f64().max(0.001),
            self.applied,
            self.snapshots,
            self.leaders,
            self.calls,
            self.virtual_time.as_secs_f64() / 3_600.0,
            self.slowest,
            took.as_secs_f64(),
        )
    }
}
