//! What `akita ledger verify` does with a file: a checkpoint of another node or of another day, a row's proof, an export.

use std::path::Path;

use akita_core::NodeId;
use owo_colors::OwoColorize as _;
use serde_json::json;

use super::export::ask;
use super::{files, local};
use crate::cli::client::Client;
use crate::cli::render::{counted, thousands};
use crate::cli::session::Session;
use crate::cli::{Globals, Output};
use crate::exit::ExitError;
use crate::proof::{
    ExactRow, Fault, Head, HeadView, KeyList, Proven, RangeCheck, RangeProof, Reader, RowProof, RowsPage, Unreadable,
    in_place, proof_beside,
};
use crate::store::LedgerKey;

/// Rows that are compared with the node's at once.
const PAGE: usize = 400;

/// `--proof FILE`: needs no node.
pub fn proof(session: &mut Session<'_>, globals: &Globals, path: &Path, nodes: &[NodeId]) -> Result<(), ExitError> {
    let proof: RowProof = files::json(session, path, "proof of a row")?;
    let proven = proof.check().map_err(|fault| not_verified("the proof", &fault))?;
    trusted(&proven, nodes)?;
    let row = thousands(proof.row.index);
    let words = format!("row {row} is in the ledger: {} {}", proof.row.event_type, proof.row.time);
    say(session, globals, &words, &proven)
}

/// `--against FILE`: whether the ledger goes on from what a checkpoint was signed over.
pub fn against(
    session: &mut Session<'_>,
    globals: &Globals,
    path: &Path,
    nodes: &[NodeId],
    own_copy: bool,
) -> Result<(), ExitError> {
    let (head, brought) = read_head(session, path)?;
    let client = Client::new(session, globals)?;
    let known: KeyList = ask(&client, "/ledger/keys", &[])?;
    let mut keys: Vec<LedgerKey> = known.keys.iter().filter_map(|view| view.key().ok()).collect();
    if !nodes.is_empty() {
        keys.extend(brought);
        keys.retain(|key| nodes.contains(&key.node));
    }
    let mut proven = head.check(&keys).map_err(|fault| {
        not_verified("the checkpoint", &fault).hint(
            "name the node that you trust with --node ID; its key comes from the asked node, or from a \
             file that `ledger head -o json` wrote",
        )
    })?;
    let to = head.size;
    let ours: HeadView = ask(&client, "/ledger/head", &local(own_copy))?;
    if ours.size < to {
        let text = format!("row {} is missing: the checkpoint was signed over {}", ours.size, counted(to, "row"));
        return Err(
            files::invalid(text).hint("a node that was away may only be behind: try again when it has caught up")
        );
    }
    let mut query = local(own_copy);
    query.extend([("from", "0".to_owned()), ("to", to.to_string())]);
    let range: RangeProof = ask(&client, "/ledger/range", &query)?;
    let now = range.goes_on_from(&head).map_err(|fault| {
        not_verified("the ledger", &fault).hint("keep the database as it is, and compare with other nodes' ledgers")
    })?;
    (proven.size, proven.root) = (now.size, now.root);
    let words = format!("the ledger goes on from the checkpoint over {}", counted(to, "row"));
    say(session, globals, &words, &proven)
}

/// A checkpoint as `ledger head` prints it, in either form, with the keys that it brings.
fn read_head(session: &mut Session<'_>, path: &Path) -> Result<(Head, Vec<LedgerKey>), ExitError> {
    let text = files::text(session, path)?;
    let unreadable = |fault: Fault| not_verified(&path.display().to_string(), &fault);
    if !text.trim_start().starts_with('{') {
        return Ok((Head::read(&text).map_err(unreadable)?, Vec::new()));
    }
    let view: HeadView = serde_json::from_str(&text)
        .map_err(|error| files::invalid(format!("{} is no head of a ledger: {error}", path.display())))?;
    let keys = crate::proof::keys_of(&view.keys).map_err(unreadable)?;
    Ok((Head::read(&view.checkpoint).map_err(unreadable)?, keys))
}

/// `--export FILE`: with the proof that came with it, or else against a node's rows.
pub fn export(
    session: &mut Session<'_>,
    globals: &Globals,
    path: &Path,
    nodes: &[NodeId],
    own_copy: bool,
) -> Result<(), ExitError> {
    let beside = proof_beside(path);
    let beside = match !files::is_standard(path) && session.cwd.join(&beside).is_file() {
        true => Some(files::json::<RangeProof>(session, &beside, "proof of rows")?),
        false => None,
    };
    let client = Client::new(session, globals)?;
    let mut reader = Reader::new(files::open(session, path)?).map_err(|error| unreadable(path, error))?;
    let Some(proof) = reader.proof.take().or(beside) else {
        if !nodes.is_empty() {
            let text = format!("{} brings no proof, so that nobody has signed it", path.display());
            return Err(ExitError::usage(text).hint("export with --with-proof, or leave --node out"));
        }
        let rows = compare(&client, reader, path, own_copy)?;
        let words = format!("{} as the node has them", counted(rows, "row"));
        return match globals.output {
            Output::Json => session.show_json(&json!({"ok": true, "rows": rows}).to_string()),
            Output::Text => session.print(&format!("{}: {words}", "the export agrees".green())),
        };
    };
    let (from, to) = (proof.from, proof.to);
    let failed = |fault: Fault| not_verified("the export", &fault);
    let mut check = RangeCheck::new(proof).map_err(failed)?;
    for row in reader {
        check.row(&row.map_err(|error| unreadable(path, error))?).map_err(failed)?;
    }
    let proven = check.finish().map_err(failed)?;
    trusted(&proven, nodes)?;
    say(session, globals, &format!("{}, {from} to {}, as they were signed", counted(to - from, "row"), to - 1), &proven)
}

/// Compares rows with a node's.
fn compare(client: &Client, reader: Reader<'_>, path: &Path, own_copy: bool) -> Result<u64, ExitError> {
    let failed = |fault: Fault| not_verified("the export", &fault);
    let (mut rows, mut first, mut page) = (0_u64, None, Vec::with_capacity(PAGE));
    for row in reader {
        let row = row.map_err(|error| unreadable(path, error))?;
        let due = *first.get_or_insert(row.index) + rows;
        in_place(&row, due).and_then(|()| row.read().map(drop)).map_err(failed)?;
        rows += 1;
        page.push(row);
        if page.len() == PAGE {
            compare_page(client, &page, own_copy)?;
            page.clear();
        }
    }
    if !page.is_empty() {
        compare_page(client, &page, own_copy)?;
    }
    if rows == 0 { Err(files::invalid(format!("{} has no rows", path.display()))) } else { Ok(rows) }
}

fn compare_page(client: &Client, rows: &[ExactRow], own_copy: bool) -> Result<(), ExitError> {
    let mut query = local(own_copy);
    query.extend([("from", rows[0].index.to_string()), ("limit", rows.len().to_string())]);
    let theirs: RowsPage = ask(client, "/ledger/rows", &query)?;
    for (at, row) in rows.iter().enumerate() {
        match theirs.rows.get(at) {
            Some(their) if their == row => {}
            Some(_) => return Err(files::invalid(format!("row {} was changed: the node has another", row.index))),
            None => return Err(files::invalid(format!("row {} is not in the node's ledger", row.index))),
        }
    }
    Ok(())
}

/// Whether one of those that the user trusts has signed.
fn trusted(proven: &Proven, nodes: &[NodeId]) -> Result<(), ExitError> {
    if nodes.is_empty() || proven.signers.iter().any(|signer| nodes.contains(signer)) {
        return Ok(());
    }
    let text = format!("the checkpoint is signed by {}, and by nobody that --node names", signers(proven).join(", "));
    Err(files::invalid(text).hint("ask the node that you trust: akita ledger head"))
}

fn signers(proven: &Proven) -> Vec<String> {
    proven.signers.iter().map(ToString::to_string).collect()
}

fn say(session: &mut Session<'_>, globals: &Globals, words: &str, proven: &Proven) -> Result<(), ExitError> {
    let root = blake3::Hash::from_bytes(proven.root.0).to_hex().to_string();
    let (size, signers) = (proven.size, signers(proven));
    if globals.output == Output::Json {
        let unchecked = &proven.unchecked;
        let found = json!({"ok": true, "size": size, "root": root, "signers": signers, "unchecked": unchecked});
        return session.show_json(&found.to_string());
    }
    let mut text = format!("{}: {words}\nroot    {root} over {}\n", "it verifies".green(), counted(size, "row"));
    for signer in signers {
        text.push_str(&format!("signed  {signer}\n"));
    }
    for name in &proven.unchecked {
        text.push_str(&format!("signed  {name}, not checked: its key is not known\n"));
    }
    session.print(&text)
}

fn not_verified(what: &str, fault: &Fault) -> ExitError {
    files::invalid(format!("{what} does not verify: {fault}"))
}

fn unreadable(path: &Path, error: Unreadable) -> ExitError {
    match error {
        Unreadable::Io(error) => ExitError::config(format!("cannot read {}: {error}", path.display())),
        Unreadable::Form(fault) => not_verified("the export", &fault),
    }
}
