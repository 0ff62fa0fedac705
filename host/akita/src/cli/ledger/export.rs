//! `akita ledger export`: rows in a file, a page at a time, with a proof if one is asked for.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{files, local};
use crate::cli::Globals;
use crate::cli::client::{Client, parse};
use crate::cli::render::counted;
use crate::cli::session::Session;
use crate::exit::ExitError;
use crate::proof::{Form, HeadView, RangeCheck, RangeProof, RowsPage, Writer, proof_beside};

/// Rows asked for at once: some 150 KiB, which one message over the mesh still carries.
const PAGE: u64 = 400;

/// Write rows of the ledger into a file, as JSON lines or CSV
#[derive(Debug, Args)]
#[command(after_help = "With a proof, `ledger verify --export` checks the file anywhere, without any node. In \
JSON lines the proof is the first line; beside a CSV file it is FILE.proof.json.

Examples:
  akita ledger export --out ledger.jsonl --with-proof
  akita ledger export --format csv --from 1000 --to 2000 --out rows.csv
  akita ledger export | jq -r .event_type | sort | uniq -c")]
pub struct Export {
    /// How to write the rows
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "jsonl")]
    format: Form,
    /// The first row
    #[arg(long, value_name = "N", default_value_t = 0)]
    from: u64,
    /// The row after the last one [default: all]
    #[arg(long, value_name = "M")]
    to: Option<u64>,
    /// Add the proof that these rows are the ledger's
    #[arg(long)]
    with_proof: bool,
    /// Write into this file; `-` is standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// From the asked node's own copy instead of the leader's
    #[arg(long)]
    local: bool,
}

pub fn run(session: &mut Session<'_>, globals: &Globals, args: &Export) -> Result<(), ExitError> {
    let file = args.out.as_deref().filter(|path| !files::is_standard(path));
    if args.with_proof && args.format == Form::Csv && file.is_none() {
        return Err(ExitError::usage("CSV has no place for a proof, which is written beside it")
            .hint("name a file with --out FILE, or use --format jsonl"));
    }
    let client = Client::new(session, globals)?;
    let head: HeadView = ask(&client, "/ledger/head", &local(args.local))?;
    let to = args.to.unwrap_or(head.size);
    if args.from >= to || to > head.size {
        let text = format!("there are no rows {} to {to}: the ledger has {}", args.from, counted(head.size, "row"));
        return Err(ExitError::usage(text).hint("--to is the row after the last one; the first row is row 0"));
    }
    let proof = match args.with_proof {
        true => Some(ask::<RangeProof>(&client, "/ledger/range", &range(args, to))?),
        false => None,
    };
    files::put(session, args.out.as_deref(), |out| stream(&client, args, to, proof.as_ref(), out))?;
    if let Some((proof, file)) = proof.as_ref().zip(file).filter(|_| args.format == Form::Csv) {
        write_beside(session, file, proof)?;
    }
    if let Some(file) = file {
        session.note(&format!("{} in {}", counted(to - args.from, "row"), file.display()));
    }
    Ok(())
}

fn range(args: &Export, to: u64) -> Vec<(&'static str, String)> {
    let mut query = local(args.local);
    query.extend([("from", args.from.to_string()), ("to", to.to_string())]);
    query
}

/// Writes the rows as they come. With a proof, each is checked on the way, so that no file is left that does not verify.
fn stream(
    client: &Client,
    args: &Export,
    to: u64,
    proof: Option<&RangeProof>,
    out: &mut dyn Write,
) -> Result<(), ExitError> {
    let unsound = |fault| {
        files::invalid(format!("what the node gives does not agree with its own proof: {fault}"))
            .hint("see which row was changed with: akita ledger verify")
    };
    let mut check = proof.cloned().map(RangeCheck::new).transpose().map_err(unsound)?;
    let mut writer = Writer::new(args.format, out, proof)?;
    let mut next = args.from;
    while next < to {
        let mut query = local(args.local);
        query.extend([("from", next.to_string()), ("limit", PAGE.min(to - next).to_string())]);
        let page: RowsPage = ask(client, "/ledger/rows", &query)?;
        for row in &page.rows {
            if row.index != next {
                return Err(files::invalid(format!("row {next} of the ledger is missing")));
            }
            if let Some(check) = &mut check {
                check.row(row).map_err(unsound)?;
            }
            writer.row(row)?;
            next += 1;
        }
        if page.rows.is_empty() {
            return Err(files::invalid(format!("row {next} of the ledger is missing")));
        }
    }
    check.map(RangeCheck::finish).transpose().map_err(unsound)?;
    Ok(writer.finish()?)
}

fn write_beside(session: &mut Session<'_>, file: &Path, proof: &RangeProof) -> Result<(), ExitError> {
    let text = serde_json::to_string_pretty(proof).map_err(|error| ExitError::internal(error.to_string()))?;
    files::put(session, Some(&proof_beside(file)), |out| Ok(writeln!(out, "{text}")?))
}

/// A piece of the ledger from a node.
pub fn ask<T: serde::de::DeserializeOwned>(
    client: &Client,
    path: &str,
    query: &[(&str, String)],
) -> Result<T, ExitError> {
    let reply = client.get(path, query)?;
    serde_json::from_value(parse(&reply)?).map_err(|error| {
        ExitError::new(crate::exit::ExitCode::Unavailable, format!("the node's answer is not understood: {error}"))
            .hint("is the node of the same version as this program?")
    })
}
