//! Plugins: how many runs a second of a core, how soon a guest is stopped, what spinning guests cost everybody else, and
//! a start with a folder full of plugins. The sandbox's own numbers come from its example `throughput`.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::table::Table;
use super::{Bench, load};
use crate::http::Api;
use crate::node::{Node, Spec, free_port};
use crate::paths::Paths;
use crate::step::{Step, output_of, say};
use crate::toolchain::current_cargo;

/// Plugins whose speed and size are measured where they are built: file and action, a language each.
const GUESTS: [(&str, &str); 2] = [("basics", "echo"), ("crc", "sum")];
/// What the goals are, by the end of a number's name.
const GOALS: [(&str, &str); 9] = [
    ("typed call, times a bytes call", "<= 1.5"),
    ("run, p99", "<= 100"),
    ("text: invocations per CPU second", ">= 80000"),
    ("crc/sum: invocations per CPU second", ">= 80000"),
    ("basics/echo: invocations per CPU second", ">= 40000"),
    ("limit: loop", "<= 20"),
    ("limit: host calls", "<= 20"),
    ("limit: sleep", "<= 20"),
    ("more open files than before", "<= 0"),
];
/// Plugins in one folder.
const MANY: usize = 200;
/// For all of them to be compiled, once.
const COMPILE_LIMIT: Duration = Duration::from_secs(300);
/// Requests in each measurement of latency.
const REQUESTS: usize = 500;
/// Between two looks at a node that starts, finer than what is measured.
const TRY_EVERY: Duration = Duration::from_millis(2);
/// For tasks to begin, and for nodes to meet.
const BEGIN_LIMIT: Duration = Duration::from_secs(60);

/// All of it.
pub fn measure(paths: &Paths, bench: &Bench, table: &mut Table) -> Result<()> {
    sandbox(paths, table)?;
    many(paths, bench, table)?;
    spinning(bench, table)
}

/// The sandbox by itself.
fn sandbox(paths: &Paths, table: &mut Table) -> Result<()> {
    let mut build = current_cargo();
    build.current_dir(&paths.root).args(["build", "--release", "--package", "akita-sandbox", "--locked"]);
    build.args(["--example", "throughput"]);
    Step::new("build the sandbox's measurements, optimised", "mend what is named above").quiet(build)?;
    say("the sandbox by itself");
    let mut run = Command::new(paths.target.join("release/examples/throughput"));
    run.arg("--json");
    for (name, action) in GUESTS {
        let file = paths.plugins.join(format!("{name}.wasm"));
        if file.exists() {
            run.arg(format!("{}={action}", file.display()));
        }
    }
    let text =
        output_of(run).context("the sandbox's measurements failed\nhint: run target/release/examples/throughput")?;
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).with_context(|| format!("no measurement: {line}"))?;
        let name = row["name"].as_str().unwrap_or_default();
        let goal = GOALS.iter().find(|(end, _)| name.ends_with(end)).map_or("", |(_, goal)| goal);
        table.row(name, row["value"].as_f64().unwrap_or_default(), unit(&row), goal);
        if name.ends_with("invocations per CPU second") {
            table.ratio(name, "nothing, on another runtime, per CPU second");
        }
    }
    Ok(())
}

fn unit(row: &Value) -> &'static str {
    ["us", "ms", "/s", "KB", "MB", "x"].into_iter().find(|unit| row["unit"] == *unit).unwrap_or_default()
}

/// A node with a folder full of plugins.
fn many(paths: &Paths, bench: &Bench, table: &mut Table) -> Result<()> {
    let folder = bench.folder.join("many");
    fs::create_dir_all(&folder).with_context(|| format!("could not create {}", folder.display()))?;
    let model = paths.plugins.join("stats.wasm");
    let model = fs::read(&model).with_context(|| format!("could not read {}", model.display()))?;
    for number in 0..MANY {
        let file = folder.join(format!("s{number:04}.wasm"));
        fs::write(&file, renamed(&model, b"stats", format!("s{number:04}").as_bytes()))
            .with_context(|| format!("could not write {}", file.display()))?;
    }
    say(&format!("one node, {MANY} plugins, all to be compiled"));
    let started = |name: &str| -> Result<(Node, Duration)> {
        let spawned = Instant::now();
        let spec =
            Spec { binary: &bench.binary, name: "many", folder: &bench.folder, plugins: &folder, options: alone()? };
        let mut node = Node::spawn(&spec)?;
        while ready(&node.api) < MANY {
            bench.interrupt.check()?;
            node.check()?;
            ensure!(spawned.elapsed() < COMPILE_LIMIT, "{name}: only {} plugins are ready", ready(&node.api));
            thread::sleep(TRY_EVERY);
        }
        Ok((node, spawned.elapsed()))
    };
    let (mut node, cold) = started("cold")?;
    node.stop();
    table.row(format!("start with {MANY} plugins, all compiled anew"), cold.as_secs_f64(), "s", "");
    let (node, warm) = started("warm")?;
    table.row(format!("start with {MANY} plugins, warm cache"), warm.as_secs_f64(), "s", "< 1");
    let bytes = node.resident_bytes().context("could not read the node's memory from /proc")?;
    table.row(format!("resident memory with {MANY} plugins"), bytes as f64 / 1e6, "MB", "");
    Ok(())
}

fn ready(api: &Api) -> usize {
    let list = api.get("/plugins").unwrap_or_default();
    list["plugins"].as_array().map_or(0, |all| all.iter().filter(|one| one["status"] == "ready").count())
}

/// The component with another name of the same length.
fn renamed(component: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    assert_eq!(old.len(), new.len(), "lengths in the file must stay");
    let mut bytes = component.to_vec();
    let mut at = 0;
    while let Some(next) = bytes[at..].windows(old.len()).position(|window| window == old) {
        at += next;
        bytes[at..at + old.len()].copy_from_slice(new);
    }
    bytes
}

fn alone() -> Result<Vec<String>> {
    let mesh = format!("127.0.0.1:{}", free_port()?);
    Ok(["--cluster-name", "bench-plugins", "--log-level", "warn", "--mesh-listen", &mesh].map(str::to_owned).to_vec())
}

/// Two nodes, each with every slot taken by a guest that never ends: what the API and the mesh make of it.
fn spinning(bench: &Bench, table: &mut Table) -> Result<()> {
    say("two nodes, idle and with every slot spinning");
    let options = alone()?;
    let mesh = options.last().cloned().context("there is an address")?;
    let peer = ["--cluster-name", "bench-plugins", "--log-level", "warn", "--mesh-peer", &mesh].map(str::to_owned);
    let spawn = |name, options| {
        Node::spawn(&Spec { binary: &bench.binary, name, folder: &bench.folder, plugins: &bench.plugins, options })
    };
    let mut first = spawn("spin-first", options)?;
    first.ready(&bench.interrupt)?;
    let mut second = spawn("spin-second", peer.to_vec())?;
    second.ready(&bench.interrupt)?;
    let online = |api: &Api| -> Result<usize> {
        let cluster = api.get("/cluster/status")?;
        Ok(cluster["nodes"].as_array().map_or(0, |all| all.iter().filter(|one| one["status"] == "online").count()))
    };
    bench.interrupt.until("the meeting of the nodes", BEGIN_LIMIT, || {
        Ok((online(&first.api)? == 2 && online(&second.api)? == 2).then_some(()))
    })?;
    // Whoever does not lead asks the other one over the mesh.
    let leads = first.api.get("/status")?["role"] == "leader";
    let follower = if leads { &second } else { &first };
    let idle = [latency(bench, &first.api, "/health")?, latency(bench, &follower.api, "/ledger?limit=1")?];
    let slots = |api: &Api| api.get("/status").ok().and_then(|status| status["slots"].as_u64()).unwrap_or(1);
    let guests = slots(&first.api) + slots(&second.api);
    let tasks: Vec<Value> = (0..guests).map(|_| json!({"action": "faulty/loop", "timeout_s": 120})).collect();
    first.api.post("/tasks/submit", &Value::from(tasks))?;
    bench.interrupt.until("the guests to spin", BEGIN_LIMIT, || {
        let running = first.api.get("/tasks?status=running&limit=1000")?;
        Ok(running["tasks"].as_array().is_some_and(|all| all.len() as u64 == guests).then_some(()))
    })?;
    let busy = [latency(bench, &first.api, "/health")?, latency(bench, &follower.api, "/ledger?limit=1")?];
    for (name, (idle, busy)) in ["API: GET /health", "mesh call"].into_iter().zip(idle.into_iter().zip(busy)) {
        table.row(format!("{name}, p99, idle"), idle, "ms", "");
        table.row(format!("{name}, p99, {guests} guests spinning"), busy, "ms", "");
        table.row(format!("{name}, p99, added by spinning guests"), busy - idle, "ms", "< 5");
    }
    Ok(())
}

/// 99 of 100 answers come within this time, in milliseconds.
fn latency(bench: &Bench, api: &Api, path: &str) -> Result<f64> {
    let mut times = Vec::with_capacity(REQUESTS);
    for _ in 0..REQUESTS {
        bench.interrupt.check()?;
        let started = Instant::now();
        api.get(path)?;
        times.push(started.elapsed());
    }
    times.sort();
    Ok(load::percentile(&times, 0.99))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renamed_component_keeps_its_length() {
        assert_eq!(renamed(b"..stats..stats", b"stats", b"s0001"), b"..s0001..s0001");
        assert_eq!(renamed(b"nothing", b"stats", b"s0001"), b"nothing");
    }
}
