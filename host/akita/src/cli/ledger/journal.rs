//! `akita ledger journal`: what the asked node ran without a leader, with the check of its signatures.

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

use crate::cli::Globals;
use crate::cli::client::{Client, parse};
use crate::cli::render::{Align, Table, cut, relative, short_id, state, tame};
use crate::cli::session::Session;
use crate::cli::view::View;
use crate::exit::{ExitCode, ExitError};

/// Show and verify the node's own journal of tasks that ran without a leader
#[derive(Debug, Args)]
#[command(after_help = "Each task that ended in an island is signed by the node that took it. Exit code 7 when a \
signature does not hold.

Examples:
  akita ledger journal
  akita ledger journal --limit 100 -o json")]
pub struct Journal {
    /// How many tasks and steps at most
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
}

/// Characters of the last column that are shown.
const NOTE_SHOWN: usize = 60;

pub fn run(session: &mut Session<'_>, globals: &Globals, args: &Journal) -> Result<(), ExitError> {
    let reply = Client::new(session, globals)?.get("/ledger/journal", &[("limit", args.limit.to_string())])?;
    session.show(globals.output, &reply, render)?;
    let journal = parse(&reply)?;
    let journal = View(&journal);
    if journal.is("ok") {
        return Ok(());
    }
    let problem = format!("the journal does not verify: {}", tame(journal.text("problem")));
    Err(ExitError::new(ExitCode::LedgerInvalid, problem)
        .hint("keep a copy of the data directory, and look at: akita store check"))
}

fn render(reply: &Value, now: Timestamp) -> String {
    let journal = View(reply);
    let counts = journal.get("counts");
    let count = |name| counts.count(name).unwrap_or_default();
    let head = format!(
        "journal of {}: {} waiting, {} running, {} ended and waiting for a leader, {} imported; {} signed",
        short_id(journal.text("node_id")),
        count("waiting"),
        count("running"),
        count("to_import"),
        count("imported"),
        journal.count("signed").unwrap_or_default(),
    );
    let tasks = journal.list("tasks");
    if tasks.is_empty() {
        return format!("{head}\n");
    }
    let mut table = Table::new(&[
        ("ENTRY", Align::Right),
        ("TASK", Align::Left),
        ("ACTION", Align::Left),
        ("STATUS", Align::Left),
        ("WORKER", Align::Left),
        ("ENDED", Align::Left),
        ("CLUSTER", Align::Left),
    ]);
    for task in tasks {
        let when = |name| task.time(name).map(|time| relative(time, now));
        let refused = task.some_text("refused").map(|why| format!("refused: {}", tame(why)));
        let has = when("imported_at").map(|when| format!("imported {when}"));
        table.row(vec![
            task.count("number").map(|number| number.to_string()).unwrap_or_default(),
            task.text("task_id").to_owned(),
            task.text("action").to_owned(),
            state(task.text("status")),
            short_id(task.text("worker_id")),
            when("finished_at").unwrap_or_default(),
            cut(&has.or(refused).unwrap_or_default(), NOTE_SHOWN),
        ]);
    }
    format!("{head}\n\n{}", table.render())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_stand_in_a_table_with_what_became_of_them() {
        let now = "2026-03-01T12:00:00Z".parse().expect("a time");
        let reply = serde_json::json!({
            "node_id": "aaaaaaaabb", "ok": true, "signed": 3,
            "counts": {"waiting": 0, "running": 1, "to_import": 1, "refused": 0, "imported": 1},
            "tasks": [
                {"task_id": "c", "action": "basics/echo", "status": "running", "worker_id": "bbbbbbbbcc"},
                {"task_id": "a", "action": "basics/echo", "status": "completed", "worker_id": "aaaaaaaabb", "number": 1,
                 "finished_at": "2026-03-01T11:00:00Z", "imported_at": "2026-03-01T11:58:00Z"}
            ]
        });
        assert_eq!(
            anstream::adapter::strip_str(&render(&reply, now)).to_string(),
            "\
journal of aaaaaaaa: 0 waiting, 1 running, 1 ended and waiting for a leader, 1 imported; 3 signed

ENTRY  TASK  ACTION       STATUS     WORKER    ENDED    CLUSTER
       c     basics/echo  running    bbbbbbbb
    1  a     basics/echo  completed  aaaaaaaa  1 h ago  imported 2 min ago
"
        );
    }
}
