//! `akita config show`: every setting in force and where it came from. Secrets are not printed.

use clap::Args;
use serde_json::{Map, Value, json};

use crate::cli::render::{Align, Table};
use crate::cli::session::Session;
use crate::cli::start::{SettingsFlags, load};
use crate::cli::{Globals, Output};
use crate::config::Resolved;
use crate::exit::ExitError;

/// Show every setting in force and where it was set, without starting anything
#[derive(Debug, Args)]
#[command(after_help = "Takes the options of `start`, to see what they would do.

Examples:
  akita config show
  akita --config /etc/akita.toml config show -o json")]
pub struct Show {
    #[command(flatten)]
    flags: SettingsFlags,
}

pub fn run(session: &mut Session<'_>, globals: &Globals, args: &Show) -> Result<(), ExitError> {
    let resolved = load(session, globals, &args.flags)?;
    match globals.output {
        Output::Text => session.print(&text(&resolved)),
        Output::Json => session.show_json(&json_of(&resolved).to_string()),
    }
}

fn text(resolved: &Resolved) -> String {
    let mut table = Table::new(&[("SETTING", Align::Left), ("VALUE", Align::Left), ("FROM", Align::Left)]);
    for entry in &resolved.entries {
        let value = entry.shown.clone().unwrap_or_else(|| "-".to_owned());
        table.row(vec![entry.spec.name.to_owned(), value, entry.origin.to_string()]);
    }
    table.render()
}

fn json_of(resolved: &Resolved) -> Value {
    let entry = |entry: &crate::config::Entry| {
        (entry.spec.name.to_owned(), json!({"value": entry.shown, "from": entry.origin.to_string()}))
    };
    let settings: Map<String, Value> = resolved.entries.iter().map(entry).collect();
    json!({"file": resolved.file, "settings": settings})
}
