//! One node by itself: throughput, latency, memory, start.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::table::Table;
use super::{Bench, baseline, load};
use crate::node::{Node, Spec};
use crate::step::say;

/// After the start, until memory is looked at: compilers and start-up buffers have been given back by then.
const IDLE: Duration = Duration::from_secs(5);

/// Tasks that are timed one by one.
const TIMED: usize = 1000;

/// Between two tries to reach a node that starts, finer than what is measured.
const TRY_EVERY: Duration = Duration::from_millis(2);

/// All measurements of one node, on one data folder.
pub fn measure(bench: &Bench, table: &mut Table) -> Result<()> {
    say("one node, first start: every plugin is compiled");
    let mut node = start(bench)?;
    node.ready(&bench.interrupt)?;
    load::one_at_a_time(bench, &node.api, 1)?;
    node.stop();
    say("one node, with compiled plugins in its cache");
    let spawned = Instant::now();
    let mut node = start(bench)?;
    first_task(bench, &mut node)?;
    table.row("start to first task done, warm cache", spawned.elapsed().as_secs_f64() * 1000.0, "ms", "<= 500");
    thread::sleep(IDLE);
    memory(&node, "resident memory, idle", "<= 60", table)?;
    baseline::health(bench, &node.api, table)?;
    throughput(bench, &node, table)?;
    latency(bench, &node, "", table)?;
    memory(&node, "resident memory, after all that", "", table)?;
    soak(bench, &node, table)
}

fn start(bench: &Bench) -> Result<Node> {
    let options = vec!["--cluster-name".to_owned(), "bench".to_owned(), "--log-level".to_owned(), "warn".to_owned()];
    // A port of its own keeps it from joining whatever Reticulum runs on this machine.
    let mesh = format!("127.0.0.1:{}", crate::node::free_port()?);
    let options = options.into_iter().chain(["--mesh-listen".to_owned(), mesh]).collect();
    Node::spawn(&Spec {
        binary: &bench.binary,
        name: "single",
        folder: &bench.folder,
        plugins: &bench.plugins,
        options,
    })
}

fn first_task(bench: &Bench, node: &mut Node) -> Result<()> {
    loop {
        bench.interrupt.check()?;
        node.check()?;
        if load::one_at_a_time(bench, &node.api, 1).is_ok() {
            return Ok(());
        }
        thread::sleep(TRY_EVERY);
    }
}

fn throughput(bench: &Bench, node: &Node, table: &mut Table) -> Result<()> {
    let rate = |took: Duration| bench.tasks as f64 / took.as_secs_f64();
    let took = load::batches(bench, &node.api, bench.tasks)?;
    table.row("echo of 100 B, submitted in batches", rate(took), "/s", ">= 2000");
    table.ratio("echo of 100 B, submitted in batches", "disk: durable 4 KiB writes");
    let took = load::clients(bench, &node.api, bench.tasks)?;
    table.row("echo of 100 B, 16 clients, one a request", rate(took), "/s", ">= 2000");
    table.ratio("echo of 100 B, 16 clients, one a request", "HTTP: GET /health, one after another");
    Ok(())
}

fn latency(bench: &Bench, node: &Node, when: &str, table: &mut Table) -> Result<()> {
    let times = load::one_at_a_time(bench, &node.api, TIMED)?;
    table.row(format!("submit to result, one at a time, p50{when}"), load::percentile(&times, 0.5), "ms", "<= 5");
    table.row(format!("submit to result, one at a time, p99{when}"), load::percentile(&times, 0.99), "ms", "");
    table.ratio(&format!("submit to result, one at a time, p50{when}"), "disk: one durable 4 KiB write");
    Ok(())
}

fn memory(node: &Node, name: &str, goal: &'static str, table: &mut Table) -> Result<()> {
    let bytes = node.resident_bytes().context("could not read the node's memory from /proc")?;
    table.row(name, bytes as f64 / 1e6, "MB", goal);
    Ok(())
}

/// Whether time leaves traces: many tasks, then memory and latency again.
fn soak(bench: &Bench, node: &Node, table: &mut Table) -> Result<()> {
    let Some(tasks) = bench.soak else {
        return Ok(());
    };
    say(&format!("{tasks} more tasks"));
    let took = load::batches(bench, &node.api, tasks)?;
    table.row("soak: echo of 100 B in batches", tasks as f64 / took.as_secs_f64(), "/s", "");
    thread::sleep(IDLE);
    memory(node, "soak: resident memory", "<= 120", table)?;
    latency(bench, node, " after the soak", table)
}
