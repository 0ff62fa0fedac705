//! `akita plugin enable` and `disable`: whether a node offers a plugin. The node keeps it over restarts.

use clap::Args;
use serde_json::json;

use crate::cli::client::{Client, parse};
use crate::cli::render::{state, tame};
use crate::cli::session::Session;
use crate::cli::view::View;
use crate::cli::{Globals, Output};
use crate::exit::ExitError;

/// Offer a plugin again, after `disable` or a quarantine
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  akita plugin enable image
  akita plugin enable image@1.2.0")]
pub struct Enable {
    /// The plugin's name, for all its versions, or plugin@version
    #[arg(value_name = "NAME")]
    name: String,
}

/// Offer a plugin no longer; its running tasks go on to their end
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  akita plugin disable image
  akita plugin disable image@1.2.0")]
pub struct Disable {
    /// The plugin's name, for all its versions, or plugin@version
    #[arg(value_name = "NAME")]
    name: String,
}

pub fn enable(session: &mut Session<'_>, globals: &Globals, args: &Enable) -> Result<(), ExitError> {
    switch(session, globals, &args.name, "enable")
}

pub fn disable(session: &mut Session<'_>, globals: &Globals, args: &Disable) -> Result<(), ExitError> {
    switch(session, globals, &args.name, "disable")
}

fn switch(session: &mut Session<'_>, globals: &Globals, name: &str, verb: &str) -> Result<(), ExitError> {
    // It becomes part of a path.
    let word = |byte: u8| byte.is_ascii_alphanumeric() || b"-@.+".contains(&byte);
    if name.is_empty() || !name.bytes().all(word) {
        return Err(ExitError::usage(format!("`{}` is no plugin's name", tame(name))).hint("see: akita plugin list"));
    }
    let reply = Client::new(session, globals)?.post(&format!("/plugins/{name}/{verb}"), &json!({}))?;
    if globals.output == Output::Json {
        return session.show_json(&reply);
    }
    let reply = parse(&reply)?;
    let plugin = View(&reply);
    let reason = plugin.some_text("reason").map(|reason| format!(": {}", tame(reason))).unwrap_or_default();
    session.note(&format!("{name} is {}{reason}", state(plugin.text("status"))));
    Ok(())
}
