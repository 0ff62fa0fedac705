//! `akita ledger prove`: a row with all that is needed to check it anywhere.

use std::path::PathBuf;

use clap::Args;

use super::{files, local};
use crate::cli::Globals;
use crate::cli::client::{Client, parse};
use crate::cli::render::thousands;
use crate::cli::session::Session;
use crate::exit::ExitError;
use crate::proof::RowProof;

/// Write the proof that a row is in the ledger
#[derive(Debug, Args)]
#[command(after_help = "The proof is JSON: the row, its leaf hash, the audit path to the root, the signed \
checkpoint and the keys of those who signed it. It is checked before it is written; `ledger verify --proof` \
checks it again, without any node.

Examples:
  akita ledger prove 17 --out row-17.json
  akita ledger prove 17 | akita ledger verify --proof -")]
pub struct Prove {
    /// The row, as `ledger view` numbers it
    #[arg(value_name = "INDEX")]
    index: u64,
    /// From the asked node's own copy instead of the leader's
    #[arg(long)]
    local: bool,
    /// Write the proof into this file; `-` is standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub fn run(session: &mut Session<'_>, globals: &Globals, args: &Prove) -> Result<(), ExitError> {
    let reply = Client::new(session, globals)?.get(&format!("/ledger/proof/{}", args.index), &local(args.local))?;
    let proof: RowProof = serde_json::from_value(parse(&reply)?)
        .map_err(|error| files::invalid(format!("the node's answer is no proof of a row: {error}")))?;
    let proven = proof.check().map_err(|fault| {
        files::invalid(format!("the node's proof of row {} does not hold: {fault}", args.index))
            .hint("see which row was changed with: akita ledger verify")
    })?;
    let text = format!("{:#}\n", parse(&reply)?);
    files::put(session, args.out.as_deref(), |out| Ok(out.write_all(text.as_bytes())?))?;
    if let Some(path) = args.out.as_ref().filter(|path| !files::is_standard(path)) {
        let (index, rows) = (thousands(args.index), thousands(proven.size));
        session.note(&format!("the proof of row {index} of {rows} is in {}", path.display()));
    }
    Ok(())
}
