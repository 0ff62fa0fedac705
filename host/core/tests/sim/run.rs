//! Many runs at once, and what a person sees of them: progress, and of the first that failed the seed, its operations
//! (as few as still fail), the trace and the command that replays it.

use std::{collections::BTreeSet, fmt::Write, time::Duration};

use crate::{
    heap::{MINUTE, SECOND},
    plan::Plan,
    seeds::{self, caught, rule},
    world::{Report, World},
};

/// Runs that shrinking may take.
const SHRINKING: usize = 400;

/// One run. What panics in the core is a violation like any other.
pub fn run(plan: &Plan, left_out: &BTreeSet<usize>, traced: bool) -> Report {
    caught(|| World::new(plan, left_out, traced).run())
        .unwrap_or_else(|panic| Report { violation: Some(panic), ..Report::default() })
}

/// The operations that can be left out with the same rule still broken.
fn shrink(plan: &Plan, broken: &str) -> BTreeSet<usize> {
    let (mut left_out, mut runs) = (BTreeSet::new(), 0);
    let mut piece = plan.ops.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        while at < plan.ops.len() && runs < SHRINKING {
            let mut tried = left_out.clone();
            tried.extend(at..(at + piece).min(plan.ops.len()));
            if tried.len() > left_out.len() {
                runs += 1;
                let violation = run(plan, &tried, false).violation;
                if violation.is_some_and(|violation| rule(&violation) == rule(broken)) {
                    left_out = tried;
                }
            }
            at += piece;
        }
        if piece == 1 || runs >= SHRINKING {
            return left_out;
        }
        piece = piece.div_ceil(2);
    }
}

/// What a person needs to understand a failed run.
pub fn explain(plan: &Plan, violation: &str) -> String {
    let left_out = shrink(plan, violation);
    let report = run(plan, &left_out, true);
    let mut text = String::new();
    let _ = writeln!(text, "seed {} broke a rule: {violation}", plan.seed);
    let _ = writeln!(
        text,
        "  {} nodes, {} strangers, {:?}, keyed: {}, loses unsynced writes: {}, drift {} ppm",
        plan.nodes, plan.strangers, plan.profile, plan.keyed, plan.loses_unsynced, plan.drift_ppm
    );
    let _ = writeln!(text, "operations that are needed for it ({} of them are not):", left_out.len());
    for (at, (time, op)) in plan.ops.iter().enumerate().filter(|(at, _)| !left_out.contains(at)) {
        let _ = writeln!(text, "  {:>12.6} s  {at}: {op:?}", *time as f64 / SECOND as f64);
    }
    let last = report.violation.unwrap_or_else(|| "not broken any more".into());
    let _ = writeln!(text, "the end of the trace with these alone ({last}):");
    for line in &report.trace {
        let _ = writeln!(text, "  {line}");
    }
    text
}

/// Sums over many runs.
#[derive(Debug, Default)]
pub struct Totals {
    pub seeds: u64,
    pub steps: u64,
    pub commands: u64,
    pub finished: u64,
    pub packets: u64,
    pub virtual_us: u64,
    pub slowest_to_settle: u64,
}

impl seeds::Totals for Totals {
    type Plan = Plan;
    type Report = Report;

    fn run(plan: &Plan) -> Report {
        run(plan, &BTreeSet::new(), false)
    }

    fn violation(report: &Report) -> Option<&str> {
        report.violation.as_deref()
    }

    fn add(&mut self, _: &Plan, report: &Report) {
        self.seeds += 1;
        self.steps += report.steps;
        self.commands += report.commands;
        self.finished += report.finished;
        self.packets += report.packets;
        self.virtual_us += report.virtual_time;
        self.slowest_to_settle = self.slowest_to_settle.max(report.settled_in);
    }

    fn line(&self, took: Duration) -> String {
        format!(
            "{} seeds, {} operations ({:.0}/s), {} steps, {} results, {} packets, {:.1} virtual hours, quiet within {} s, in {:.1} s",
            self.seeds,
            self.commands,
            self.commands as f64 / took.as_secs_f64().max(0.001),
            self.steps,
            self.finished,
            self.packets,
            self.virtual_us as f64 / (60 * MINUTE) as f64,
            self.slowest_to_settle / SECOND,
            took.as_secs_f64(),
        )
    }
}
