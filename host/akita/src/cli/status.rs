//! `akita status`: the node that is asked.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

use super::Globals;
use super::client::Client;
use super::render::{duration, facts, short_id, size, state, tame, thousands};
use super::session::Session;
use super::view::View;
use crate::exit::ExitError;

/// Show a node: its role, actions, tasks and load
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  akita status
  akita status --target-node-api http://127.0.0.1:8001 -o json")]
pub struct Status {}

/// The age of a reading is told from here on.
const SENSOR_FRESH: Duration = Duration::from_secs(60);

pub fn run(session: &mut Session<'_>, globals: &Globals, _args: &Status) -> Result<(), ExitError> {
    let reply = Client::new(session, globals)?.get("/status", &[])?;
    session.show(globals.output, &reply, render)
}

fn render(reply: &Value, _now: Timestamp) -> String {
    let node = View(reply);
    let leader = match node.text("leader_id") {
        "" => "no leader".to_owned(),
        id if id == node.text("node_id") => "led by this node".to_owned(),
        id => format!("led by {}", short_id(id)),
    };
    let up = node.count("uptime_s").map(|seconds| match seconds {
        0 => "less than 1 s".to_owned(),
        _ => duration(Duration::from_secs(seconds)),
    });
    let tasks = node.get("tasks").0.as_object().into_iter().flatten();
    let tasks = tasks.filter_map(|(word, count)| Some((word, count.as_u64().filter(|count| *count > 0)?)));
    let tasks: Vec<_> = tasks.map(|(word, count)| format!("{} {}", thousands(count), state(word))).collect();
    let mut shown = vec![
        ("node", format!("{} ({})", node.text("node_name"), node.text("node_id"))),
        ("role", state(node.text("role"))),
        ("cluster", format!("{} ({}), {leader}", node.text("cluster_name"), short_id(node.text("cluster_id")))),
        ("mesh", tame(node.text("mesh"))),
        ("version", node.text("version").to_owned()),
        ("up", up.unwrap_or_default()),
        ("capabilities", node.words("capabilities").join(", ")),
        ("actions", node.words("actions").join("\n")),
        ("slots", slots(node)),
        ("tasks", if tasks.is_empty() { "none".to_owned() } else { tasks.join(", ") }),
    ];
    shown.extend(resources(node.get("resources")));
    let sensors: Vec<_> = node.list("sensors").into_iter().map(sensor).collect();
    shown.push(("sensors", sensors.join("\n")));
    facts(&shown)
}

fn slots(node: View<'_>) -> String {
    match (node.count("slots"), node.get("slots")) {
        (Some(count), _) => thousands(count),
        (None, parts) => parts.line(),
    }
}

/// A value that the operator exposes, or why there is none.
fn sensor(sensor: View<'_>) -> String {
    let name = sensor.text("name");
    let Some(value) = sensor.number("value") else { return format!("{name}: {}", tame(sensor.text("problem"))) };
    let age = Duration::from_millis(sensor.count("age_ms").unwrap_or_default());
    let text = format!("{name} {value} {}", tame(sensor.text("unit")));
    if age < SENSOR_FRESH { text } else { format!("{text}, {} ago", duration(age)) }
}

fn resources(now: View<'_>) -> Vec<(&'static str, String)> {
    if now.is_null() {
        return Vec::new();
    }
    let bytes = |name| size(now.count(name).unwrap_or_default());
    let number = |name| now.number(name).unwrap_or_default();
    let cores = now.count("cores").unwrap_or_default();
    let celsius = now.number("temperature_c").map(|celsius| format!("{celsius:.0} °C"));
    vec![
        ("cpu", format!("{:.0} % of {cores} cores, load {:.2}", number("cpu_percent"), number("load_1m"))),
        (
            "memory",
            format!("{} of {} used, this node {}", bytes("memory_used"), bytes("memory_total"), bytes("process_rss")),
        ),
        ("disk", format!("{} of {} free", bytes("disk_free"), bytes("disk_total"))),
        ("network", format!("{}/s in, {}/s out", bytes("net_rx_bps"), bytes("net_tx_bps"))),
        ("temperature", celsius.unwrap_or_default()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_shown_in_a_few_lines() {
        let reply = serde_json::json!({
            "node_id": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "node_name": "ridge-1", "cluster_name": "hills",
            "cluster_id": "abcdef0123456789", "role": "leader", "leader_id": "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
            "version": "0.1.0", "mesh": "1 peer over TCP", "uptime_s": 185, "capabilities": ["gpu"], "actions": ["basics/echo", "basics/log"],
            "slots": 4, "tasks": {"completed": 1200, "running": 2, "failed": 0},
            "resources": {"cpu_percent": 12.4, "cores": 4, "memory_total": 8_u64 << 30, "memory_used": 3_u64 << 30,
                "disk_total": 64_u64 << 30, "disk_free": 12_u64 << 30, "net_rx_bps": 1945, "net_tx_bps": 300,
                "temperature_c": 41.2, "load_1m": 0.314, "process_rss": 44040192},
            "sensors": [{"name": "battery", "value": 87.5, "unit": "percent", "age_ms": 900, "problem": null},
                {"name": "mast", "value": -3.0, "unit": "celsius", "age_ms": 180000, "problem": null},
                {"name": "wind", "value": null, "unit": "m/s", "age_ms": 5, "problem": "cannot read /tmp/wind"}]
        });
        let text = render(&reply, Timestamp::UNIX_EPOCH);
        assert_eq!(
            anstream::adapter::strip_str(&text).to_string(),
            "\
node          ridge-1 (0f1e2d3c4b5a69788796a5b4c3d2e1f0)
role          leader
cluster       hills (abcdef01), led by this node
mesh          1 peer over TCP
version       0.1.0
up            3 min 5 s
capabilities  gpu
actions       basics/echo
              basics/log
slots         4
tasks         1,200 completed, 2 running
cpu           12 % of 4 cores, load 0.31
memory        3.0 GiB of 8.0 GiB used, this node 42 MiB
disk          12 GiB of 64 GiB free
network       1.9 KiB/s in, 300 B/s out
temperature   41 °C
sensors       battery 87.5 percent
              mast -3 celsius, 3 min ago
              wind: cannot read /tmp/wind
"
        );
    }

    #[test]
    fn an_answer_of_another_version_still_shows_what_it_has() {
        let text =
            render(&serde_json::json!({"node_name": "n", "slots": {"busy": 1, "all": 4}}), Timestamp::UNIX_EPOCH);
        let text = anstream::adapter::strip_str(&text).to_string();
        assert!(text.contains("slots    busy=1 all=4") && text.contains("no leader"), "{text}");
    }
}
