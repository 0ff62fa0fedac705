//! `akita plugin pull`: fetches a component, looks at it and its signature, and puts both in a folder in one step.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use akita_sandbox::Candidate;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Pull;
use super::client::{Fetched, Place, wait};
use crate::cli::Globals;
use crate::cli::plugin::{inspect, sign, verify};
use crate::cli::render::{facts, tame};
use crate::cli::session::Session;
use crate::cli::view::View;
use crate::exit::ExitError;
use crate::plugins::hex;
use crate::plugins::signature::{PublicKey, Signature, path_of};

pub fn run(session: &mut Session<'_>, globals: &Globals, args: &Pull) -> Result<(), ExitError> {
    let keys = verify::keys(&args.key)?;
    let place = Place::of(&args.reference)?;
    let into = session.cwd.join(&args.into);
    if !into.is_dir() {
        return Err(ExitError::config(format!("{} is no folder", args.into.display())).hint("make it first"));
    }
    session.note(&format!("fetching {}", place.name()));
    let fetched = wait(place.pull())?;
    let (plugin, signature) = judge(&fetched, &keys).map_err(|reason| {
        ExitError::config(format!("{} is not taken: {}", place.name(), tame(&reason)))
            .hint("nothing was written; ask whom you have it from")
    })?;
    let (name, version) = (plugin.name(), plugin.info().version.as_str());
    let file = format!("{name}-{version}.wasm");
    put(&into.join(&file), &fetched.bytes, plugin.hash(), signature.as_ref(), args.force)?;
    let reply = json!({
        "file": args.into.join(&file), "plugin": name, "version": version, "hash": hex(plugin.hash()),
        "reference": place.name(), "digest": fetched.digest,
        "signed_by": signature.map(|signature| signature.key.to_string()),
    });
    session.show(globals.output, &reply.to_string(), render)
}

fn render(reply: &Value, _now: Timestamp) -> String {
    let found = View(reply);
    facts(&[
        ("plugin", format!("{} {}", found.text("plugin"), found.text("version"))),
        ("file", found.text("file").to_owned()),
        ("digest", tame(found.text("digest"))),
        ("signed by", found.some_text("signed_by").unwrap_or("nobody").to_owned()),
    ])
}

/// What it is and who vouches for it. The signature is looked at before the component is asked anything.
fn judge(fetched: &Fetched, keys: &[PublicKey]) -> Result<(Arc<Candidate>, Option<Signature>), String> {
    let signature = fetched.signature.as_deref().map(decoded).transpose();
    let signature = signature.map_err(|reason| format!("what came as its signature is none: {reason}"))?;
    verify::wanted(signature.as_ref(), keys)?;
    if let Some(signature) = &signature {
        signature.check(blake3::hash(&fetched.bytes).as_bytes())?;
    }
    let plugin = inspect::examine(&fetched.bytes)?;
    if let Some(signature) = &signature {
        verify::names(signature, &plugin)?;
    }
    Ok((plugin, signature))
}

/// What [`push`](super::push) wrote into the annotation.
fn decoded(annotation: &str) -> Result<Signature, String> {
    let bytes = BASE64_STANDARD.decode(annotation).map_err(|_| "it is not in base64".to_owned())?;
    let text = String::from_utf8(bytes).map_err(|_| "it is not text".to_owned())?;
    Signature::parse(&text)
}

/// Puts both files in their place. A node that watches never sees a component without the signature that came with it.
fn put(
    path: &Path,
    bytes: &[u8],
    hash: &[u8; 32],
    signature: Option<&Signature>,
    force: bool,
) -> Result<(), ExitError> {
    let beside: PathBuf = path_of(path);
    if !force && !matches!(File::open(path), Err(error) if error.kind() == std::io::ErrorKind::NotFound) {
        let there = File::open(path).and_then(|file| blake3::Hasher::new().update_reader(file).cloned());
        let there = there.map_err(|error| ExitError::config(format!("cannot read {}: {error}", path.display())))?;
        if there.finalize().as_bytes() != hash {
            let taken = format!("{} is there with another content, and one version is one content", path.display());
            return Err(ExitError::config(taken).hint("move it away, or replace it with --force"));
        }
    }
    if let Some(signature) = signature {
        sign::write(&beside, signature.to_string().as_bytes())?;
    }
    sign::write(path, bytes)?;
    // One for what was there before.
    if signature.is_none() && force {
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(ExitError::config(format!("cannot remove {}: {error}", beside.display())));
            }
            _ => {}
        }
    }
    Ok(())
}
