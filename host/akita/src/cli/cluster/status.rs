//! `akita cluster status`: every node that is known.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

use super::members::problems;
use crate::cli::Globals;
use crate::cli::client::Client;
use crate::cli::reading::Fresh;
use crate::cli::render::{Align, Table, age, cut, duration, short_id, state};
use crate::cli::session::Session;
use crate::cli::view::View;
use crate::exit::ExitError;

/// Show the nodes of the cluster, their load and how to reach them
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  akita cluster status
  akita cluster status --consistent
  akita --target-node-api http://127.0.0.1:8001 cluster status -o json")]
pub struct Status {
    #[command(flatten)]
    fresh: Fresh,
}

/// Characters of the list of actions that are shown; `-o json` has all of them.
const ACTIONS_SHOWN: usize = 60;

pub fn run(session: &mut Session<'_>, globals: &Globals, args: &Status) -> Result<(), ExitError> {
    let client = Client::new(session, globals)?;
    let reply = args.fresh.get(session, &client, "/cluster/status", vec![])?;
    session.show(globals.output, &reply, render)
}

/// What is under way: a change of the key.
fn under_way(cluster: View<'_>) -> String {
    let rotation = cluster.get("key_rotation");
    let Some(generation) = rotation.count("generation") else { return String::new() };
    let (held, waiting) = (rotation.count("confirmed").unwrap_or(0), rotation.count("waiting").unwrap_or(0));
    let left = duration(Duration::from_secs(rotation.count("old_key_left_s").unwrap_or(0)));
    format!(
        "key: generation {generation} is being spread, {held} of {} nodes have it; the old key is refused in {left} at most; \
         see: akita cluster key show\n",
        held + waiting
    )
}

fn render(reply: &Value, _now: Timestamp) -> String {
    let cluster = View(reply);
    let nodes = cluster.list("nodes");
    let named = |id: &str| nodes.iter().find(|node| node.text("node_id") == id).map(|node| node.text("node_name"));
    let leader = match cluster.text("leader_id") {
        "" => "no leader".to_owned(),
        id => format!("led by {}", named(id).map_or_else(|| short_id(id), str::to_owned)),
    };
    let open = if cluster.is("open") { "open to anybody" } else { "members hold the key" };
    let term = cluster.count("term").map(|term| format!(", term {term}")).unwrap_or_default();
    let id = short_id(cluster.text("cluster_id"));
    // A node that cannot ask the leader shows what it heard last, and says so.
    let stale = if cluster.get("fresh").0 == &Value::Bool(false) { " (last known)" } else { "" };
    let mut table = Table::new(&[
        ("NAME", Align::Left),
        ("ID", Align::Left),
        ("STATUS", Align::Left),
        ("ROLE", Align::Left),
        ("LOAD", Align::Left),
        ("SEEN", Align::Left),
        ("HOPS", Align::Right),
        ("RTT", Align::Right),
        ("CAPABILITIES", Align::Left),
        ("ACTIONS", Align::Left),
    ]);
    for node in &nodes {
        table.row(vec![
            node.text("node_name").to_owned(),
            short_id(node.text("node_id")),
            state(node.text("status")),
            state(node.text("role")),
            load(node.get("load")),
            node.number("last_seen_s").filter(|_| node.text("status") != "unknown").map(age).unwrap_or_default(),
            node.count("hops").map(|hops| hops.to_string()).unwrap_or_default(),
            node.number("rtt_ms").map(|ms| format!("{ms:.0} ms")).unwrap_or_default(),
            node.words("capabilities").join(","),
            cut(&node.words("actions").join(","), ACTIONS_SHOWN),
        ]);
    }
    let problems = format!("{}{}", problems(cluster), island(cluster.get("island")));
    let head = format!("cluster {} ({id}), {open}, {leader}{term}{stale}", cluster.text("cluster_name"));
    format!("{head}\n{problems}{}\n{}", under_way(cluster), table.render())
}

/// What the asked node has run, or runs, without a leader.
fn island(island: View<'_>) -> String {
    if island.is_null() {
        return String::new();
    }
    let count = |name| island.count(name).unwrap_or_default();
    let refused = match count("refused") {
        0 => String::new(),
        refused => format!(" ({refused} refused by the leader: akita ledger journal)"),
    };
    format!(
        "island: {} waiting, {} running, {} ended and waiting for a leader{refused}\n",
        count("waiting"),
        count("running"),
        count("to_import")
    )
}

/// A number is a percentage of what the node can do; parts are shown by their names.
fn load(load: View<'_>) -> String {
    if let Some(percent) = load.0.as_f64() {
        return format!("{percent:.0} %");
    }
    let percent = |name, label| load.number(name).map(|value| format!("{label} {value:.0} %"));
    let slots = load.count("running").map(|running| match load.count("slots") {
        Some(slots) => format!("{running}/{slots}"),
        None => running.to_string(),
    });
    let known = [slots, percent("cpu_percent", "cpu"), percent("memory_percent", "mem")];
    let known: Vec<_> = known.into_iter().flatten().collect();
    if known.is_empty() { load.line() } else { known.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_stand_in_a_table() {
        let reply = serde_json::json!({
            "cluster_name": "hills", "cluster_id": "abcdef0123456789", "leader_id": "aaaaaaaa00", "term": 3, "open": true,
            "nodes": [
                {"node_id": "aaaaaaaa00", "node_name": "ridge-1", "status": "online", "role": "leader",
                 "capabilities": ["gpu"], "actions": ["basics/echo", "image/fit"], "load": 12, "last_seen_s": 0,
                 "hops": 0, "rtt_ms": null},
                {"node_id": "bbbbbbbb00", "node_name": "valley", "status": "offline", "role": "worker",
                 "capabilities": [], "actions": ["basics/echo"],
                 "load": {"running": 1, "slots": 4, "cpu_percent": 7, "memory_percent": 40}, "last_seen_s": 75.2,
                 "hops": 2, "rtt_ms": 1840}
            ]
        });
        assert_eq!(
            anstream::adapter::strip_str(&render(&reply, Timestamp::UNIX_EPOCH)).to_string(),
            "\
cluster hills (abcdef01), open to anybody, led by ridge-1, term 3

NAME     ID        STATUS   ROLE    LOAD                  SEEN       HOPS      RTT  CAPABILITIES  ACTIONS
ridge-1  aaaaaaaa  online   leader  12 %                  just now      0           gpu           basics/echo,image/fit
valley   bbbbbbbb  offline  worker  1/4 cpu 7 % mem 40 %  1 min ago     2  1840 ms                basics/echo
"
        );
    }
}
