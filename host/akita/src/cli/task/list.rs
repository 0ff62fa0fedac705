//! `akita task list`: the latest tasks.

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

use super::outcome::progress;
use crate::cli::Globals;
use crate::cli::client::Client;
use crate::cli::reading::Fresh;
use crate::cli::render::{Align, Table, cut, relative, short_id, state, tame};
use crate::cli::session::Session;
use crate::cli::view::View;
use crate::exit::ExitError;

/// List tasks, the newest first
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  akita task list
  akita task list --status pending --limit 20
  akita task list --status failed -o json")]
pub struct List {
    /// Only those in this state
    #[arg(long, value_name = "STATE", value_parser = STATES)]
    status: Option<String>,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
    #[command(flatten)]
    fresh: Fresh,
}

/// The states of a task, as the node calls them.
const STATES: [&str; 8] =
    ["queued_locally", "scheduled", "pending", "assigned", "running", "completed", "failed", "cancelled"];

/// Characters of the last column that are shown.
const NOTE_SHOWN: usize = 60;

pub fn run(session: &mut Session<'_>, globals: &Globals, args: &List) -> Result<(), ExitError> {
    let mut query = vec![("limit", args.limit.to_string())];
    query.extend(args.status.clone().map(|status| ("status", status)));
    let client = Client::new(session, globals)?;
    let reply = args.fresh.get(session, &client, "/tasks", query)?;
    session.show(globals.output, &reply, render)
}

fn render(reply: &Value, now: Timestamp) -> String {
    let tasks = View(reply).list("tasks");
    if tasks.is_empty() {
        return "no tasks\n".to_owned();
    }
    let mut table = Table::new(&[
        ("ID", Align::Left),
        ("ACTION", Align::Left),
        ("STATUS", Align::Left),
        ("PRIORITY", Align::Right),
        ("TRIES", Align::Right),
        ("WORKER", Align::Left),
        ("SUBMITTED", Align::Left),
        ("NOTE", Align::Left),
    ]);
    for task in tasks {
        let notes = [task.get("error").line(), task.get("reason").line(), progress(task)];
        let note = notes.into_iter().find(|note| !note.is_empty()).unwrap_or_default();
        let number = |name| task.count(name).map(|count| count.to_string()).unwrap_or_default();
        table.row(vec![
            task.text("task_id").to_owned(),
            task.text("action").to_owned(),
            recorded(task),
            number("priority"),
            number("attempts"),
            short_id(task.text("worker_id")),
            task.time("submitted_at").map(|time| relative(time, now)).unwrap_or_default(),
            cut(&tame(&note), NOTE_SHOWN),
        ]);
    }
    table.render()
}

/// The state, and where it is recorded unless that is the cluster's ledger.
fn recorded(task: View<'_>) -> String {
    let status = state(task.text("status"));
    match task.text("recorded") {
        "" => status,
        place => format!("{status} ({})", tame(place)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_stand_in_a_table_with_why_they_wait() {
        let now = "2026-03-01T12:00:00Z".parse().expect("a time");
        let reply = serde_json::json!({"tasks": [
            {"task_id": "b", "action": "stats/train", "status": "pending", "priority": 5, "attempts": 0,
             "submitted_at": "2026-03-01T11:58:00Z", "reason": "no node has the capability gpu"},
            {"task_id": "a", "action": "basics/echo", "status": "completed", "priority": 10, "attempts": 1,
             "worker_id": "aaaaaaaabb", "submitted_at": "2026-03-01T11:00:00Z"}
        ]});
        assert_eq!(
            anstream::adapter::strip_str(&render(&reply, now)).to_string(),
            "\
ID  ACTION       STATUS     PRIORITY  TRIES  WORKER    SUBMITTED  NOTE
b   stats/train  pending           5      0            2 min ago  no node has the capability gpu
a   basics/echo  completed        10      1  aaaaaaaa  1 h ago
"
        );
        assert_eq!(render(&serde_json::json!({"tasks": []}), now), "no tasks\n");
    }
}
