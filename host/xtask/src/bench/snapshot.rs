//! What it takes to hand a large state to a node that begins to vote: the leader takes a snapshot of it and goes on
//! meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use serde_json::Value;

use super::Bench;
use super::load;
use super::table::Table;
use crate::http::Api;
use crate::node::{Node, Spec, free_port};
use crate::step::say;

/// Tasks in the state.
const TASKS: usize = 100_000;

/// Until as many vote as should, each with the whole state.
const VOTE_LIMIT: Duration = Duration::from_secs(300);

/// Between two questions to the API while the snapshot is taken.
const ASK_EVERY: Duration = Duration::from_millis(2);

/// Three voters with many tasks; one gives up its vote, and gets the whole state anew when it votes again.
pub fn measure(bench: &Bench, table: &mut Table) -> Result<()> {
    say(&format!("three voters run {TASKS} tasks, and one of them gets their state anew"));
    let ports = [free_port()?, free_port()?, free_port()?];
    let mut nodes =
        [start(bench, "first", &ports, 0)?, start(bench, "second", &ports, 1)?, start(bench, "third", &ports, 2)?];
    for node in &mut nodes {
        node.ready(&bench.interrupt)?;
    }
    let [first, ..] = &nodes;
    voters(bench, &first.api, 3)?;
    let members = first.api.get("/cluster/members")?;
    let id = |node: &Node| Ok::<_, anyhow::Error>(node.api.get("/status")?["node_id"].clone());
    let mut by_lead = Vec::new();
    for node in &nodes {
        by_lead.push((id(node)? == members["leader_id"], node));
    }
    let leader = by_lead.iter().find(|(leads, _)| *leads).context("nobody leads")?.1;
    let other = by_lead.iter().find(|(leads, _)| !*leads).context("all lead")?.1;
    load::batches(bench, &leader.api, TASKS)?;
    let other = id(other)?;
    let govern = |verb: &str| {
        let path = format!("/cluster/members/{}/{verb}", other.as_str().unwrap_or_default());
        leader.api.post(&path, &Value::Null)
    };
    govern("demote")?;
    voters(bench, &leader.api, 2)?;
    let stop = AtomicBool::new(false);
    let asked = Instant::now();
    let slowest = thread::scope(|scope| -> Result<Duration> {
        let asking = scope.spawn(|| slowest_answer(&leader.api.fresh(), &stop));
        let voting = govern("promote").and_then(|_| voters(bench, &leader.api, 3));
        stop.store(true, Ordering::Relaxed);
        let slowest = asking.join().map_err(|_| anyhow!("asking failed"))?;
        voting.and(slowest)
    })?;
    table.row("snapshot of 100,000 tasks: until that voter votes again", asked.elapsed().as_secs_f64(), "s", "");
    let logs = leader.api.get("/logs?limit=2000&level=info")?;
    let lines = logs["lines"].as_array().into_iter().flatten();
    let taken = lines.filter(|line| line["message"].as_str().is_some_and(|text| text.starts_with("took a snapshot")));
    let fields = taken.map(|line| line["fields"].clone()).next_back().context("the leader took no snapshot")?;
    let number = |name: &str| number(&fields[name]).with_context(|| format!("no {name} in {fields}"));
    table.row("snapshot of 100,000 tasks: copied", number("copy_ms")? / 1000.0, "s", "< 2");
    table.row("snapshot of 100,000 tasks: compressed", number("pack_ms")? / 1000.0, "s", "");
    table.row("snapshot of 100,000 tasks: state", number("bytes")? / 1e6, "MB", "");
    table.row("snapshot of 100,000 tasks: on the wire", number("packed_bytes")? / 1e6, "MB", "");
    table.row("snapshot: slowest answer of the leader's API meanwhile", slowest.as_secs_f64() * 1000.0, "ms", "< 50");
    Ok(())
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

fn voters(bench: &Bench, api: &Api, count: u64) -> Result<()> {
    bench.interrupt.until("the voters to change", VOTE_LIMIT, || {
        Ok((api.get("/cluster/members")?["voters"] == count).then_some(()))
    })
}

/// The longest that any of its answers took.
fn slowest_answer(api: &Api, stop: &AtomicBool) -> Result<Duration> {
    let mut slowest = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) {
        let asked = Instant::now();
        api.get("/status")?;
        slowest = slowest.max(asked.elapsed());
        thread::sleep(ASK_EVERY);
    }
    Ok(slowest)
}

fn start(bench: &Bench, name: &str, ports: &[u16; 3], at: usize) -> Result<Node> {
    let mut options: Vec<String> =
        ["--cluster-name", "bench-snapshot", "--log-level", "info"].map(str::to_owned).into();
    options.extend(["--mesh-listen".to_owned(), format!("127.0.0.1:{}", ports[at])]);
    for port in ports.iter().take(at) {
        options.extend(["--mesh-peer".to_owned(), format!("127.0.0.1:{port}")]);
    }
    Node::spawn(&Spec { binary: &bench.binary, name, folder: &bench.folder, plugins: &bench.plugins, options })
}
