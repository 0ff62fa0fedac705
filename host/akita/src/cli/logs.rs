//! `akita logs`: what the asked node said lately, and what it says from now on.

use std::thread;
use std::time::Duration;

use clap::Args;
use owo_colors::OwoColorize as _;
use serde_json::Value;

use super::client::{Client, parse};
use super::render::{state, tame};
use super::session::Session;
use super::view::View;
use super::{Globals, Output};
use crate::exit::ExitError;

/// Show the latest log lines of a node
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  akita logs --limit 50
  akita logs --follow --level error")]
pub struct Logs {
    /// How many lines at most, before those that follow
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
    /// Only lines that matter at least this much
    #[arg(long, value_name = "LEVEL", value_parser = ["error", "warn", "info", "debug", "trace"])]
    level: Option<String>,
    /// Go on with new lines until Ctrl-C
    #[arg(short, long)]
    follow: bool,
}

/// How often a follower asks. People do not read faster, and a node has better things to do.
const FOLLOW_POLL: Duration = Duration::from_millis(500);

/// How many lines a follower asks for at once.
const FOLLOW_LIMIT: u32 = 500;

pub fn run(session: &mut Session<'_>, globals: &Globals, args: &Logs) -> Result<(), ExitError> {
    let client = Client::new(session, globals)?;
    let mut query = vec![("limit", args.limit.to_string())];
    query.extend(args.level.clone().map(|level| ("level", level)));
    let reply = client.get("/logs", &query)?;
    if globals.output == Output::Json && !args.follow {
        return session.show_json(&reply);
    }
    let mut page = parse(&reply)?;
    loop {
        let lines = View(&page).list("lines");
        let more = lines.len() as u64 >= u64::from(FOLLOW_LIMIT);
        for line in lines {
            session.print(&show(line.0, globals.output))?;
        }
        if !args.follow {
            return Ok(());
        }
        if !more {
            thread::sleep(FOLLOW_POLL);
        }
        let next = View(&page).count("next").unwrap_or_default();
        query.retain(|(name, _)| *name == "level");
        query.extend([("limit", FOLLOW_LIMIT.to_string()), ("after", next.to_string())]);
        page = parse(&client.get("/logs", &query)?)?;
    }
}

/// One line: `12:00:01  INFO mesh  link up  peer=ridge`; as JSON, one object.
fn show(line: &Value, output: Output) -> String {
    if output == Output::Json {
        return line.to_string();
    }
    let line = View(line);
    let clock = line.time("time").map(local_clock).unwrap_or_default();
    let level = line.text("level");
    let wide = " ".repeat(5_usize.saturating_sub(level.len()));
    let target = line.text("target").trim_start_matches("akita::");
    let fields = tame(&line.get("fields").line());
    let fields = if fields.is_empty() { fields } else { format!(" {}", fields.dimmed()) };
    let target = target.dimmed();
    format!("{clock} {}{wide} {target} {}{fields}", state(level), tame(line.text("message")))
}

/// A time on the reader's own clock.
fn local_clock(time: jiff::Timestamp) -> String {
    time.to_zoned_datetime(jiff::tz::TimeZone::system()).strftime("%H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_clock_level_module_words_and_fields() {
        let line = serde_json::json!({"seq": 7, "time": "2026-03-01T12:00:01Z", "level": "warn", "target": "akita::mesh",
            "message": "link lost", "fields": {"peer": "ridge", "after_s": 12}});
        let text = anstream::adapter::strip_str(&show(&line, Output::Text)).to_string();
        assert_eq!(&text[8..], " warn  mesh link lost peer=ridge after_s=12");
        assert_eq!(show(&line, Output::Json), line.to_string());
    }
}
