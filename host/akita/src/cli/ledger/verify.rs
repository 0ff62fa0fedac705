//! `akita ledger verify`: whether the ledger is what it was when it was written.

use clap::Args;
use jiff::Timestamp;
use owo_colors::OwoColorize as _;
use serde_json::Value;

use crate::cli::Globals;
use crate::cli::client::{Client, parse};
use crate::cli::render::{counted, thousands};
use crate::cli::session::Session;
use crate::cli::view::View;
use crate::exit::{ExitCode, ExitError};

/// Check that no row of the ledger was changed, and that its signed checkpoints fit
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  akita ledger verify
  akita ledger verify -o json || echo 'somebody changed the ledger'")]
pub struct Verify {
    /// Check the asked node's own copy instead of the leader's
    #[arg(long)]
    local: bool,
}

pub fn run(session: &mut Session<'_>, globals: &Globals, args: &Verify) -> Result<(), ExitError> {
    let query: Vec<_> = args.local.then(|| ("local", "true".to_owned())).into_iter().collect();
    let reply = Client::new(session, globals)?.get("/ledger/verify", &query)?;
    session.show(globals.output, &reply, render)?;
    let found = parse(&reply)?;
    let found = View(&found);
    if found.is("ok") {
        return Ok(());
    }
    let problem = found.some_text("problem").unwrap_or("the node names no reason");
    let error = ExitError::new(ExitCode::LedgerInvalid, format!("the ledger does not verify: {problem}"));
    let hint = found.some_text("hint").unwrap_or("keep the database as it is, and compare with other nodes' ledgers");
    Err(error.hint(hint))
}

fn render(reply: &Value, _now: Timestamp) -> String {
    let found = View(reply);
    if !found.is("ok") {
        return String::new();
    }
    let count = |name| found.count(name).unwrap_or_default();
    let (rows, signed) = (counted(count("rows"), "row"), thousands(count("signed_rows")));
    let checkpoints = counted(count("checkpoints"), "checkpoint");
    let root = found.text("root");
    if count("checkpoints") == 0 {
        return format!("{}: {rows}, no signed checkpoint yet\nroot  {root}\n", "the ledger verifies".green());
    }
    format!("{}: {rows}, {signed} of them under {checkpoints}\nroot  {root}\n", "the ledger verifies".green())
}
