//! `akita plugin push`: puts a component and its signature into a registry. What no node would load stays here.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Push;
use super::client::{Place, SIGNATURE, wait};
use crate::cli::Globals;
use crate::cli::plugin::{inspect, verify};
use crate::cli::render::{facts, size, tame};
use crate::cli::session::Session;
use crate::cli::view::View;
use crate::exit::ExitError;
use crate::plugins::hex;
use crate::plugins::signature;

pub fn run(session: &mut Session<'_>, globals: &Globals, args: &Push) -> Result<(), ExitError> {
    let place = Place::of(&args.reference)?;
    if place.is_fixed() {
        return Err(ExitError::usage(format!("{} names a content, not a place for one", place.name()))
            .hint("give a tag instead of the digest"));
    }
    let path = session.cwd.join(&args.file);
    let refused = |reason: String| {
        ExitError::config(format!("{} is not pushed: {}", args.file.display(), tame(&reason)))
            .hint("see `akita plugin inspect` and `akita plugin verify`; a changed file is signed again")
    };
    let plugin = inspect::load(&path).map_err(refused)?;
    let signature = signature::read(&path).map_err(refused)?;
    if let Some(signature) = &signature {
        signature.check(plugin.hash()).and_then(|()| verify::names(signature, &plugin)).map_err(refused)?;
    }
    let bytes = std::fs::read(&path).map_err(|error| refused(error.to_string()))?;
    if blake3::hash(&bytes).as_bytes() != plugin.hash() {
        return Err(refused("it was changed while it was looked at".to_owned()));
    }
    let (name, info) = (plugin.name(), plugin.info());
    // The client writes manifests as canonical JSON, which escapes no control character: no annotation may have one.
    let mut notes = BTreeMap::from([
        ("org.opencontainers.image.title".to_owned(), name.to_owned()),
        ("org.opencontainers.image.version".to_owned(), info.version.clone()),
        ("org.opencontainers.image.description".to_owned(), info.summary.replace(char::is_control, " ")),
    ]);
    match &signature {
        Some(signature) => drop(notes.insert(SIGNATURE.to_owned(), BASE64_STANDARD.encode(signature.to_string()))),
        None => session.note("it is not signed: others cannot tell whose it is (`akita plugin sign`)"),
    }
    session.note(&format!("pushing {} to {}", size(bytes.len() as u64), place.name()));
    let digest = wait(place.push(bytes, notes))?;
    let reply = json!({
        "reference": place.name(), "digest": digest, "plugin": name, "version": info.version,
        "hash": hex(plugin.hash()), "signed_by": signature.map(|signature| signature.key.to_string()),
    });
    session.show(globals.output, &reply.to_string(), render)
}

fn render(reply: &Value, _now: Timestamp) -> String {
    let found = View(reply);
    facts(&[
        ("plugin", format!("{} {}", found.text("plugin"), found.text("version"))),
        ("pushed to", found.text("reference").to_owned()),
        ("digest", tame(found.text("digest"))),
        ("signed by", found.some_text("signed_by").unwrap_or("nobody").to_owned()),
    ])
}
