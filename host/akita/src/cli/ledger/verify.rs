//! `akita ledger verify`: whether the ledger is what it was when it was written.

use std::path::PathBuf;

use akita_core::NodeId;
use clap::Args;
use jiff::Timestamp;
use owo_colors::OwoColorize as _;
use serde_json::Value;

use super::{check, local};
use crate::cli::Globals;
use crate::cli::client::{Client, parse};
use crate::cli::render::{counted, thousands};
use crate::cli::session::Session;
use crate::cli::view::View;
use crate::exit::{ExitCode, ExitError};

/// Check that no row of the ledger was changed, and that its signed checkpoints fit
#[derive(Debug, Args)]
#[command(after_help = "Without a file the asked node checks the whole ledger. --against does that too, and \
checks that the ledger goes on from a checkpoint that was kept before. --proof and --export check what `ledger \
prove` and `ledger export --with-proof` wrote, without any node; an export without a proof is compared with the \
asked node's rows. A signature counts if it is that of a node of the cluster (--against), or of a node that \
--node names.

Examples:
  akita ledger verify
  akita ledger verify -o json || echo 'somebody changed the ledger'
  akita ledger verify --against head.txt
  akita ledger verify --proof row-17.json --node 6f1d0c5e9b7a48d3a2c4e6f80917b5d3
  akita ledger verify --export ledger.jsonl")]
pub struct Verify {
    /// Check the asked node's own copy instead of the leader's
    #[arg(long, conflicts_with = "proof")]
    local: bool,
    /// Check also that the ledger goes on from the checkpoint in this file
    #[arg(long, value_name = "FILE", group = "file")]
    against: Option<PathBuf>,
    /// Check the proof of a row in this file instead; `-` is standard input
    #[arg(long, value_name = "FILE", group = "file")]
    proof: Option<PathBuf>,
    /// Check the rows in this file instead
    #[arg(long, value_name = "FILE", group = "file")]
    export: Option<PathBuf>,
    /// The checkpoint must be signed by this node; repeatable: by one of them
    #[arg(long, value_name = "ID", requires = "file")]
    node: Vec<NodeId>,
}

pub fn run(session: &mut Session<'_>, globals: &Globals, args: &Verify) -> Result<(), ExitError> {
    if let Some(path) = &args.proof {
        return check::proof(session, globals, path, &args.node);
    }
    if let Some(path) = &args.export {
        return check::export(session, globals, path, &args.node, args.local);
    }
    let reply = Client::new(session, globals)?.get("/ledger/verify", &local(args.local))?;
    if args.against.is_none() || !View(&parse(&reply)?).is("ok") {
        session.show(globals.output, &reply, render)?;
    }
    let found = parse(&reply)?;
    let found = View(&found);
    if found.is("ok") {
        let against = args.against.as_ref();
        return against.map_or(Ok(()), |path| check::against(session, globals, path, &args.node, args.local));
    }
    let problem = found.some_text("problem").unwrap_or("the node names no reason");
    let error = ExitError::new(ExitCode::LedgerInvalid, format!("the ledger does not verify: {problem}"));
    let hint = found.some_text("hint").unwrap_or("keep the database as it is, and compare with other nodes' ledgers");
    Err(error.hint(hint))
}

/// Who signed the newest checkpoint, of how many that could.
fn signers(found: View<'_>) -> String {
    let (signed, unchecked) = (found.words("signers"), found.words("unchecked"));
    if signed.is_empty() {
        return String::new();
    }
    let of = match found.count("voters") {
        Some(voters @ 2..) => format!("{} of {voters} voters: ", signed.len()),
        _ => String::new(),
    };
    let unknown = if unchecked.is_empty() {
        String::new()
    } else {
        format!("not checked, the key is not known here: {}\n", unchecked.join(", "))
    };
    format!("signed by  {of}{}\n{unknown}", signed.join(", "))
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
    let signers = signers(found);
    let verifies = "the ledger verifies".green();
    format!("{verifies}: {rows}, {signed} of them under {checkpoints}\nroot  {root}\n{signers}")
}
