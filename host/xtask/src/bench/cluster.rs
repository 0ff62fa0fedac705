//! Two nodes over Reticulum on loopback TCP: how fast they meet, and a thousand tasks over both.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::Value;

use super::Bench;
use super::load;
use super::table::Table;
use crate::http::Api;
use crate::node::{Node, Spec, free_port};
use crate::step::say;

/// Tasks over two nodes.
const TASKS: usize = 1000;

/// Until both nodes know each other.
const MEET_LIMIT: Duration = Duration::from_secs(60);

/// Discovery and shared work.
pub fn measure(bench: &Bench, table: &mut Table) -> Result<()> {
    say("two nodes");
    let mesh = format!("127.0.0.1:{}", free_port()?);
    let mut first = start(bench, "first", &["--mesh-listen", &mesh])?;
    first.ready(&bench.interrupt)?;
    let spawned = Instant::now();
    let mut second = start(bench, "second", &["--mesh-peer", &mesh])?;
    second.ready(&bench.interrupt)?;
    bench
        .interrupt
        .until("the meeting of the nodes", MEET_LIMIT, || Ok(both(&first.api, &second.api)?.then_some(())))?;
    table.row("discovery, from the second's start to both agreeing", spawned.elapsed().as_secs_f64(), "s", "< 5");
    let took = load::batches(bench, &first.api, TASKS)?;
    table.row("two nodes: echo of 100 B, submitted in batches", TASKS as f64 / took.as_secs_f64(), "/s", "");
    let (here, there) = shares(&first, &second)?;
    table.row("two nodes: tasks on the first", here as f64, "", "> 0");
    table.row("two nodes: tasks on the second", there as f64, "", "> 0");
    ensure!(here + there == TASKS, "{} tasks are known to have completed, not {TASKS}", here + there);
    Ok(())
}

fn start(bench: &Bench, name: &str, more: &[&str]) -> Result<Node> {
    let words = ["--cluster-name", "bench-two", "--log-level", "warn"].iter().chain(more);
    let options = words.map(|word| (*word).to_owned()).collect();
    Node::spawn(&Spec { binary: &bench.binary, name, folder: &bench.folder, plugins: &bench.plugins, options })
}

fn both(first: &Api, second: &Api) -> Result<bool> {
    let (one, other) = (first.get("/cluster/status")?, second.get("/cluster/status")?);
    let pair = |cluster: &Value| {
        cluster["nodes"]
            .as_array()
            .is_some_and(|nodes| nodes.iter().filter(|node| node["status"] == "online").count() == 2)
    };
    Ok(pair(&one) && pair(&other) && one["leader_id"].is_string() && one["leader_id"] == other["leader_id"])
}

/// How many tasks each node completed, by the tasks' own word.
fn shares(first: &Node, second: &Node) -> Result<(usize, usize)> {
    let tasks = first.api.get(&format!("/tasks?status=completed&limit={TASKS}"))?;
    let tasks = tasks["tasks"].as_array().cloned().unwrap_or_default();
    let mut counts = [0, 0];
    for (node, count) in [first, second].iter().zip(&mut counts) {
        let id = node.api.get("/status")?["node_id"].clone();
        *count = tasks.iter().filter(|task| task["worker_id"] == id).count();
    }
    Ok((counts[0], counts[1]))
}
