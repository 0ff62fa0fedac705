//! `akita ledger view`: rows, the newest first.

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

use crate::cli::Globals;
use crate::cli::client::Client;
use crate::cli::reading::Fresh;
use crate::cli::render::{Align, Table, counted, cut, relative, short_id, tame, thousands};
use crate::cli::session::Session;
use crate::cli::view::View;
use crate::exit::ExitError;

/// Show rows of the ledger, the newest first
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  akita ledger view
  akita ledger view --event-type TASK_COMPLETED --limit 50
  akita ledger view --task 01989c2e-7f3a-7c52-b0d1-5a3c9e1f2b44")]
pub struct ViewRows {
    /// How many rows at most
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
    /// Skip this many of the newest rows
    #[arg(long, value_name = "N", default_value_t = 0)]
    offset: u64,
    /// Only events of this type, such as TASK_FAILED
    #[arg(long, value_name = "TYPE")]
    event_type: Option<String>,
    /// Only events of this task
    #[arg(long, value_name = "ID")]
    task: Option<String>,
    /// The asked node's own copy, without asking the leader
    #[arg(long, conflicts_with = "consistent")]
    local: bool,
    #[command(flatten)]
    fresh: Fresh,
}

/// Characters of the details that are shown; `-o json` has all of them.
const DETAILS_SHOWN: usize = 80;

pub fn run(session: &mut Session<'_>, globals: &Globals, args: &ViewRows) -> Result<(), ExitError> {
    let mut query = vec![("limit", args.limit.to_string()), ("offset", args.offset.to_string())];
    query.extend(args.event_type.as_ref().map(|kind| ("event_type", kind.to_ascii_uppercase())));
    query.extend(args.task.clone().map(|task| ("task_id", task)));
    query.extend(args.local.then(|| ("local", "true".to_owned())));
    let client = Client::new(session, globals)?;
    let reply = args.fresh.get(session, &client, "/ledger", query)?;
    session.show(globals.output, &reply, render)
}

fn render(reply: &Value, now: Timestamp) -> String {
    let rows = View(reply).list("rows");
    let total = View(reply).count("total").unwrap_or(rows.len() as u64);
    if rows.is_empty() {
        return "no rows\n".to_owned();
    }
    let mut table = Table::new(&[
        ("INDEX", Align::Right),
        ("WHEN", Align::Left),
        ("EVENT", Align::Left),
        ("NODE", Align::Left),
        ("TASK", Align::Left),
        ("DETAILS", Align::Left),
    ]);
    for row in &rows {
        table.row(vec![
            row.count("index").map(thousands).unwrap_or_default(),
            row.time("time").map(|time| relative(time, now)).unwrap_or_default(),
            row.text("event_type").to_owned(),
            short_id(row.text("node_id")),
            row.text("task_id").to_owned(),
            cut(&tame(&details(row.get("details"))), DETAILS_SHOWN),
        ]);
    }
    format!("{}{} of {}\n", table.render(), thousands(rows.len() as u64), counted(total, "row"))
}

/// Details come as an object, or as pairs where the order matters.
fn details(details: View<'_>) -> String {
    let pair = |item: &Value| Some(format!("{}={}", item.get(0)?.as_str()?, View(item.get(1)?).line()));
    let pairs: Option<Vec<_>> = details.0.as_array().map(|items| items.iter().filter_map(pair).collect());
    pairs.map_or_else(|| details.line(), |pairs| pairs.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_a_table() {
        let now = "2026-03-01T12:00:00Z".parse().expect("a time");
        let reply = serde_json::json!({"total": 1234, "rows": [
            {"index": 1234, "time": "2026-03-01T11:59:58Z", "event_type": "TASK_COMPLETED", "node_id": "aaaaaaaabb",
             "task_id": "t-1", "details": {"attempt": 1, "ms": 12}},
            {"index": 1, "time": "2026-02-27T11:59:58Z", "event_type": "NODE_START", "node_id": "aaaaaaaabb",
             "task_id": null, "details": [["version", "0.1.0"]]}
        ]});
        assert_eq!(
            anstream::adapter::strip_str(&render(&reply, now)).to_string(),
            "\
INDEX  WHEN     EVENT           NODE      TASK  DETAILS
1,234  2 s ago  TASK_COMPLETED  aaaaaaaa  t-1   attempt=1 ms=12
    1  2 d ago  NODE_START      aaaaaaaa        version=0.1.0
2 of 1,234 rows
"
        );
    }
}
