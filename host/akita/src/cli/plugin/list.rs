//! `akita plugin list`: the plugins of the asked node, those that it does not offer with the reason and the next step.

use std::fmt::Write as _;

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

use crate::cli::Globals;
use crate::cli::client::Client;
use crate::cli::render::{Align, Table, counted, cut, duration, short_id, size, state, tame};
use crate::cli::session::Session;
use crate::cli::view::View;
use crate::exit::ExitError;

/// List the plugins of a node and their actions
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  akita plugin list
  akita plugin list -o json")]
pub struct List {}

/// Characters of a summary that are shown.
const SUMMARY_SHOWN: usize = 70;

pub fn run(session: &mut Session<'_>, globals: &Globals, _args: &List) -> Result<(), ExitError> {
    let reply = Client::new(session, globals)?.get("/plugins", &[])?;
    session.show(globals.output, &reply, render)
}

fn render(reply: &Value, _now: Timestamp) -> String {
    let plugins = View(reply).list("plugins");
    if plugins.is_empty() {
        return "no plugins; put *.wasm files into the folder given with: akita start --plugins DIR\n".to_owned();
    }
    let mut table = Table::new(&[
        ("PLUGIN", Align::Left),
        ("VERSION", Align::Left),
        ("STATUS", Align::Left),
        ("SIZE", Align::Right),
        ("HASH", Align::Left),
        ("ACTIONS", Align::Left),
        ("GRANTED", Align::Left),
        ("SUMMARY", Align::Left),
    ]);
    for plugin in &plugins {
        let words = plugin.some_text("reason").map_or_else(|| about(*plugin), str::to_owned);
        table.row(vec![
            plugin.some_text("name").unwrap_or_else(|| plugin.text("file")).to_owned(),
            plugin.text("version").to_owned(),
            state(plugin.text("status")),
            plugin.count("size").filter(|bytes| *bytes > 0).map(size).unwrap_or_default(),
            short_id(plugin.text("hash")),
            plugin.words("actions").join(","),
            plugin.words("granted").join(","),
            cut(&tame(&words), SUMMARY_SHOWN),
        ]);
    }
    let mut text = table.render();
    for plugin in plugins {
        if let Some(hint) = plugin.some_text("hint") {
            let (name, status) = (plugin.text("name"), state(plugin.text("status")));
            let reason = tame(plugin.text("reason"));
            // Writing into a String does not fail.
            let _ = write!(text, "\n{name} is {status}: {reason}\n");
            hint.lines().for_each(|line| text.push_str(&format!("  {}\n", tame(line))));
        }
    }
    if let Some(problem) = View(reply).some_text("problem") {
        let _ =
            write!(text, "\nthe file of grants is not used, and what was granted before stays: {}\n", tame(problem));
    }
    text
}

/// What it says of itself, or how far it is on the way to that.
fn about(plugin: View<'_>) -> String {
    let work = plugin.get("compiling");
    if work.is_null() {
        return plugin.text("summary").to_owned();
    }
    let far = match (work.count("elapsed_ms"), work.count("ahead").unwrap_or_default()) {
        (Some(ms), _) => format!("compiled for {}", duration(std::time::Duration::from_millis(ms))),
        (None, ahead) => format!("waits to be compiled, {} before it", counted(ahead, "file")),
    };
    match plugin.text("status") {
        "compiling" => far,
        _ => format!("its new content: {far}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_that_are_not_offered_are_listed_with_the_reason_and_the_next_step() {
        let reply = serde_json::json!({"plugins": [
            {"name": "basics", "version": "0.1.0", "summary": "Echo and log.", "hash": "abcdef012345", "size": 61440,
             "file": "basics.wasm", "status": "ready", "reason": null, "actions": [{"name": "echo"}, {"name": "log"}]},
            {"name": "", "file": "bad.wasm", "status": "rejected", "reason": "not a component", "actions": []},
            {"name": "cache", "version": "0.1.0", "file": "cache.wasm", "status": "blocked", "reason": "needs kv",
             "hint": "add to akita-plugins.toml:\n[plugin.cache]", "granted": ["sensors"], "actions": [{"name": "get"}]},
            {"name": "py", "file": "py.wasm", "status": "compiling", "compiling": {"ahead": 0, "elapsed_ms": 4200}},
            {"name": "yp", "file": "yp.wasm", "status": "compiling", "compiling": {"ahead": 1, "elapsed_ms": null}}
        ], "problem": "akita-plugins.toml:3: unknown key"});
        assert_eq!(
            anstream::adapter::strip_str(&render(&reply, Timestamp::UNIX_EPOCH)).to_string(),
            "\
PLUGIN    VERSION  STATUS       SIZE  HASH      ACTIONS   GRANTED  SUMMARY
basics    0.1.0    ready      60 KiB  abcdef01  echo,log           Echo and log.
bad.wasm           rejected                                        not a component
cache     0.1.0    blocked                      get       sensors  needs kv
py                 compiling                                       compiled for 4.2 s
yp                 compiling                                       waits to be compiled, 1 file before it

cache is blocked: needs kv
  add to akita-plugins.toml:
  [plugin.cache]

the file of grants is not used, and what was granted before stays: akita-plugins.toml:3: unknown key
"
        );
    }
}
