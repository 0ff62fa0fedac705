//! `akita blob list`: the blobs that lie on the asked node.

use std::fmt::Write as _;

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

use crate::cli::Globals;
use crate::cli::client::Client;
use crate::cli::render::{Align, Table, relative, size};
use crate::cli::session::Session;
use crate::cli::view::View;
use crate::exit::ExitError;

/// List the blobs of the asked node, the last used first
#[derive(Debug, Args)]
#[command(after_help = "OWNERS are the plugins that put a blob, or `operator`. One without is a copy that was
fetched from another node; it makes room when room is needed.

Examples:
  akita blob list
  akita blob list --limit 1000 -o json")]
pub struct List {
    /// Blobs at most
    #[arg(long, value_name = "1-1000", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

pub fn run(session: &mut Session<'_>, globals: &Globals, args: &List) -> Result<(), ExitError> {
    let reply = Client::new(session, globals)?.get("/blobs", &[("limit", args.limit.to_string())])?;
    session.show(globals.output, &reply, render)
}

fn render(reply: &Value, now: Timestamp) -> String {
    let mut table =
        Table::new(&[("ID", Align::Left), ("SIZE", Align::Right), ("USED", Align::Left), ("OWNERS", Align::Left)]);
    for blob in View(reply).list("blobs") {
        let owners = blob.words("owners").into_iter().map(|owner| if owner.is_empty() { "operator" } else { owner });
        table.row(vec![
            blob.text("id").to_owned(),
            blob.count("size").map(size).unwrap_or_default(),
            blob.time("used_at").map(|time| relative(time, now)).unwrap_or_default(),
            owners.collect::<Vec<_>>().join(","),
        ]);
    }
    let bytes = |name| size(View(reply).count(name).unwrap_or_default());
    let mut text = if View(reply).list("blobs").is_empty() { String::new() } else { table.render() };
    // Writing into a String does not fail.
    let _ = writeln!(text, "{} of {} used", bytes("used_bytes"), bytes("limit_bytes"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_are_listed_with_whose_they_are() {
        let now = "2026-03-01T12:00:00Z".parse().expect("a time");
        let reply = serde_json::json!({"blobs": [
            {"id": "ab12", "size": 2048, "owners": ["", "cache"], "used_at": "2026-03-01T11:59:50Z"},
            {"id": "cd34", "size": 5, "owners": [], "used_at": "2026-03-01T11:00:00Z"}
        ], "used_bytes": 8192, "limit_bytes": 1_073_741_824_u64});
        let text = anstream::adapter::strip_str(&render(&reply, now)).to_string();
        assert!(text.contains("ab12  2.0 KiB  10 s ago") && text.contains("operator,cache"), "{text}");
        assert!(text.ends_with("8.0 KiB of 1.0 GiB used\n"), "{text}");
        let none = serde_json::json!({"blobs": [], "used_bytes": 0, "limit_bytes": 1024});
        assert_eq!(render(&none, now), "0 B of 1.0 KiB used\n");
    }
}
