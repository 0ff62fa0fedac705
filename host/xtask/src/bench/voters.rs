//! Three voters on one machine: how soon the next leader accepts when one is killed, whether anything accepted is lost,
//! and what durable acceptance costs beside one node alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::table::Table;
use super::{Bench, load};
use crate::http::Api;
use crate::node::{Node, Spec, free_port};
use crate::step::say;

/// Until three nodes have become three voters, or are so again after a kill.
const FORM_LIMIT: Duration = Duration::from_secs(120);

/// Until a task is accepted again; far over the goal, so that a bad figure is seen and not an error.
const ACCEPT_LIMIT: Duration = Duration::from_secs(60);

/// Tasks in one request of the load that runs while leaders are killed.
const LOAD_BATCH: usize = 20;

/// Between two requests of it: some hundred tasks a second, so that each kill meets some under way.
const LOAD_PAUSE: Duration = Duration::from_millis(50);

/// Clients that submit batches at once where acceptance is measured.
const CLIENTS: usize = 4;

/// Tasks in one of their requests.
const PER_REQUEST: usize = 250;

/// Accepted tasks that wait at most: the queue takes 10,000.
const MOST: usize = 9_000;

/// Entries that a voter may lag when the next leader is killed.
const CAUGHT_UP: u64 = 64;

/// For idle CPU: long beside the clock's hundredths of a second.
const IDLE: Duration = Duration::from_secs(20);

/// Three voters, each connected to each.
struct Voters<'a> {
    bench: &'a Bench,
    ports: [u16; 3],
    nodes: Vec<Node>,
}

impl<'a> Voters<'a> {
    fn start(bench: &'a Bench) -> Result<Self> {
        say("three voters");
        let config = "voters_timing = \"lan\"\nnode_timeout_s = 10\nmax_task_execution_attempts = 100\n";
        fs::write(bench.folder.join("voters.toml"), config).context("could not write the voters' settings")?;
        let ports = [free_port()?, free_port()?, free_port()?];
        let mut voters = Voters { bench, ports, nodes: Vec::new() };
        for at in 0..3 {
            let node = voters.spawn(at)?;
            voters.nodes.push(node);
        }
        for node in &mut voters.nodes {
            node.ready(&bench.interrupt)?;
        }
        voters.whole()?;
        Ok(voters)
    }

    fn spawn(&self, at: usize) -> Result<Node> {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let config = self.bench.folder.join("voters.toml").display().to_string();
        let mut options = words(&["--cluster-name", "bench-voters", "--log-level", "warn", "--config", &config]);
        options.extend(words(&["--mesh-listen", &format!("127.0.0.1:{}", self.ports[at])]));
        for other in (0..3).filter(|other| *other != at) {
            options.extend(words(&["--mesh-peer", &format!("127.0.0.1:{}", self.ports[other])]));
        }
        let Bench { binary, folder, plugins, .. } = self.bench;
        Node::spawn(&Spec { binary, name: &format!("voter-{at}"), folder, plugins, options })
    }

    /// Waits until all three vote, answer, and have nearly all of the log.
    fn whole(&self) -> Result<()> {
        self.bench.interrupt.until("three voters with the whole log", FORM_LIMIT, || {
            let ready = self.nodes.iter().all(|node| {
                let Ok(view) = node.api.get("/cluster/members") else { return false };
                let members = view["members"].as_array().cloned().unwrap_or_default();
                let voters = members.iter().filter(|one| one["membership"] == "voter" && one["status"] == "online");
                let near = voters.filter(|one| one["lag"].as_u64().is_none_or(|lag| lag <= CAUGHT_UP));
                view["fresh"] == true && near.count() == 3
            });
            Ok((ready && self.leader().is_some()).then_some(()))
        })
    }

    fn leader(&self) -> Option<usize> {
        self.nodes.iter().position(|node| node.api.get("/status").is_ok_and(|status| status["role"] == "leader"))
    }

    /// Kills the leader and starts it again; the time until another node had a task accepted.
    fn kill(&mut self, number: usize) -> Result<Duration> {
        let leader = self.leader().context("nobody leads")?;
        let killed = Instant::now();
        self.nodes[leader].kill()?;
        let took = self.next_accepted(leader, killed)?;
        say(&format!("kill {number}: accepted again after {:.2} s", took.as_secs_f64()));
        let mut node = self.spawn(leader)?;
        node.ready(&self.bench.interrupt)?;
        self.nodes[leader] = node;
        self.whole()?;
        Ok(took)
    }

    /// Clients of both others try at once, as soon as the leader is gone.
    fn next_accepted(&self, dead: usize, since: Instant) -> Result<Duration> {
        let over = AtomicBool::new(false);
        let first = Mutex::new(None);
        thread::scope(|scope| {
            for (_, node) in self.nodes.iter().enumerate().filter(|(at, _)| *at != dead) {
                let api = node.api.fresh();
                scope.spawn(|| {
                    let api = api;
                    while !over.load(Ordering::Relaxed) && since.elapsed() < ACCEPT_LIMIT {
                        let answer = api.post("/tasks/submit", &load::echo(0));
                        if answer.is_ok_and(|task| task["status"] != "queued_locally") {
                            over.store(true, Ordering::Relaxed);
                            first.lock().expect("no client panics").get_or_insert(since.elapsed());
                        }
                    }
                });
            }
        });
        let first = first.into_inner().expect("no client panics");
        first.with_context(|| format!("nothing was accepted within {} s", ACCEPT_LIMIT.as_secs()))
    }
}

/// Kills the leader again and again under load.
pub fn failover(bench: &Bench, kills: usize, table: &mut Table) -> Result<()> {
    ensure!(kills > 0, "at least one kill is needed to measure anything");
    let mut voters = Voters::start(bench)?;
    let (over, accepted) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    // The load asks whoever is there: where a node is reached changes with each of its starts.
    let apis = Mutex::new(voters.nodes.iter().map(|node| node.api.fresh()).collect::<Vec<_>>());
    let mut times = Vec::new();
    thread::scope(|scope| -> Result<()> {
        for client in 0..3 {
            let (over, accepted, apis) = (&over, &accepted, &apis);
            scope.spawn(move || keep_submitting(client, over, accepted, apis));
        }
        let ended = (0..kills).try_for_each(|number| -> Result<()> {
            times.push(voters.kill(number + 1)?);
            *apis.lock().expect("no client panics") = voters.nodes.iter().map(|node| node.api.fresh()).collect();
            Ok(())
        });
        over.store(true, Ordering::Relaxed);
        ended
    })?;
    times.sort();
    let accepted = accepted.into_inner().expect("no client panics");
    table.row("leader killed to next task accepted, median", load::percentile(&times, 0.5) / 1e3, "s", "<= 2");
    table.row("leader killed to next task accepted, worst", load::percentile(&times, 1.0) / 1e3, "s", "<= 3");
    table.row("leader killed: kills under load", kills as f64, "", "");
    table.row("leader killed: tasks accepted in all", accepted.len() as f64, "", "");
    let (lost, again) = lost(&voters, &accepted)?;
    table.row("leader killed: accepted and lost", lost as f64, "", "0");
    table.row("leader killed: recorded as completed twice", again as f64, "", "0");
    Ok(())
}

fn keep_submitting(client: usize, over: &AtomicBool, accepted: &Mutex<Vec<String>>, apis: &Mutex<Vec<Api>>) {
    while !over.load(Ordering::Relaxed) {
        let api = apis.lock().expect("no client panics")[client].clone();
        let batch: Vec<Value> = (0..LOAD_BATCH).map(load::echo).collect();
        // Whoever was just killed does not answer, and what it did not answer was not accepted.
        if let Ok(Value::Array(tasks)) = api.post("/tasks/submit", &Value::from(batch)) {
            let taken = tasks.iter().filter(|task| task["status"] != "queued_locally");
            let ids = taken.filter_map(|task| Some(task["task_id"].as_str()?.to_owned()));
            accepted.lock().expect("no client panics").extend(ids);
        }
        thread::sleep(LOAD_PAUSE);
    }
}

/// How many of the accepted tasks never end, and how many the ledger has as completed more than once.
fn lost(voters: &Voters, accepted: &[String]) -> Result<(usize, usize)> {
    let leader = voters.leader().context("nobody leads")?;
    let api = &voters.nodes[leader].api;
    let mut lost = 0;
    for id in accepted {
        voters.bench.interrupt.check()?;
        let task = api.get(&format!("/tasks/{id}?wait=30"));
        lost += usize::from(!task.is_ok_and(|task| task["status"] == "completed"));
    }
    let (mut times, mut seen): (BTreeMap<String, usize>, BTreeSet<u64>) = Default::default();
    for offset in (0..).step_by(1000) {
        let page = api.get(&format!("/ledger?event_type=TASK_COMPLETED&limit=1000&offset={offset}"))?;
        let rows = page["rows"].as_array().cloned().unwrap_or_default();
        if rows.is_empty() {
            break;
        }
        // The newest come first: a row that is written between two pages moves the others on.
        for row in rows.iter().filter(|row| row["index"].as_u64().is_some_and(|index| seen.insert(index))) {
            *times.entry(row["task_id"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        }
    }
    lost += accepted.iter().filter(|id| !times.contains_key(*id)).count();
    Ok((lost, times.values().filter(|count| **count > 1).count()))
}

/// Acceptance and work of one node and of three voters, and what three cost when they have nothing to do.
pub fn throughput(bench: &Bench, table: &mut Table) -> Result<()> {
    say("one node, for comparison");
    let words = ["--cluster-name", "bench-one", "--log-level", "warn", "--mesh-listen"];
    let mut options: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    options.push(format!("127.0.0.1:{}", free_port()?));
    let Bench { binary, folder, plugins, .. } = bench;
    let mut one = Node::spawn(&Spec { binary, name: "one", folder, plugins, options })?;
    one.ready(&bench.interrupt)?;
    load::one_at_a_time(bench, &one.api, 1)?;
    both(bench, &one.api, "one node", table)?;
    one.stop();
    let voters = Voters::start(bench)?;
    idle(&voters, table)?;
    let leader = voters.leader().context("nobody leads")?;
    load::one_at_a_time(bench, &voters.nodes[leader].api, 1)?;
    both(bench, &voters.nodes[leader].api, "three voters", table)?;
    table.ratio("three voters: accepted durably, in batches", "one node: accepted durably, in batches");
    table.ratio("three voters: echo, submitted in batches", "one node: echo, submitted in batches");
    Ok(())
}

fn both(bench: &Bench, api: &Api, who: &str, table: &mut Table) -> Result<()> {
    let took = load::batches(bench, api, bench.tasks)?;
    table.row(format!("{who}: echo, submitted in batches"), bench.tasks as f64 / took.as_secs_f64(), "/s", "");
    let tasks = bench.tasks.min(MOST) / (CLIENTS * PER_REQUEST) * (CLIENTS * PER_REQUEST);
    ensure!(tasks > 0, "--tasks must be {} at least for this measurement", CLIENTS * PER_REQUEST);
    let took = accept(api, tasks)?;
    let goal = if who == "three voters" { ">= 5000" } else { "" };
    table.row(format!("{who}: accepted durably, in batches"), tasks as f64 / took.as_secs_f64(), "/s", goal);
    Ok(())
}

/// Submits tasks that nobody can run, so that acceptance alone is measured; they stay in the queue.
fn accept(api: &Api, tasks: usize) -> Result<Duration> {
    let waiting = |number| {
        let mut task = load::echo(number);
        task["task_data"]["required_capabilities"] = json!(["nobody-has-this"]);
        task
    };
    let batch: Vec<Value> = (0..PER_REQUEST).map(waiting).collect();
    let batch = Value::from(batch);
    let started = Instant::now();
    thread::scope(|scope| {
        let client = || -> Result<()> {
            let api = api.fresh();
            for _ in 0..tasks / (CLIENTS * PER_REQUEST) {
                let answer = api.post("/tasks/submit", &batch)?;
                let taken = answer.as_array().map(|all| all.iter().filter(|task| task["status"] == "pending").count());
                ensure!(taken == Some(PER_REQUEST), "a batch was answered by {answer}");
            }
            Ok(())
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        clients.into_iter().try_for_each(|client| client.join().expect("a client does not panic"))
    })?;
    Ok(started.elapsed())
}

fn idle(voters: &Voters, table: &mut Table) -> Result<()> {
    let cpu = |node: &Node| node.cpu_time().context("could not read the node's CPU time from /proc");
    let before = voters.nodes.iter().map(cpu).collect::<Result<Vec<_>>>()?;
    let started = Instant::now();
    while started.elapsed() < IDLE {
        voters.bench.interrupt.check()?;
        thread::sleep(Duration::from_millis(100));
    }
    let (mut most_cpu, mut most_memory) = (0.0_f64, 0.0_f64);
    for (node, before) in voters.nodes.iter().zip(before) {
        let used = (cpu(node)?.saturating_sub(before)).as_secs_f64() / started.elapsed().as_secs_f64();
        let memory = node.resident_bytes().context("could not read the node's memory from /proc")?;
        (most_cpu, most_memory) = (most_cpu.max(used * 100.0), most_memory.max(memory as f64 / 1e6));
    }
    table.row("three voters, idle: CPU of the busiest", most_cpu, "%", "<= 2");
    table.row("three voters, idle: memory of the largest", most_memory, "MB", "<= 60");
    Ok(())
}
