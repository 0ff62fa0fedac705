//! `akita plugin verify`: whether the signature beside a component file holds, and whose it is. It asks no node.

use std::path::{Path, PathBuf};

use akita_sandbox::Candidate;
use clap::Args;
use jiff::Timestamp;
use owo_colors::OwoColorize as _;
use serde_json::{Value, json};

use super::inspect;
use crate::cli::Globals;
use crate::cli::render::tame;
use crate::cli::session::Session;
use crate::cli::view::View;
use crate::exit::ExitError;
use crate::plugins::signature::{self, PublicKey, Signature, path_of};

/// Check the signature beside a component file
#[derive(Debug, Args)]
#[command(
    after_help = "Reads FILE.sig and asks the component for its name and version, which must be those that were signed.
Without --key it says whose signature it is; whether to trust that key is for you to know.

Examples:
  akita plugin verify image.wasm
  akita plugin verify image.wasm --key 19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1"
)]
pub struct Verify {
    /// The component, a .wasm file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The public key that must have signed it; repeatable: one of them
    #[arg(long, value_name = "KEY")]
    key: Vec<String>,
}

pub fn run(session: &mut Session<'_>, globals: &Globals, args: &Verify) -> Result<(), ExitError> {
    let keys = keys(&args.key)?;
    let path = session.cwd.join(&args.file);
    let signature = check(&path, &keys).map_err(|reason| {
        ExitError::config(format!("{} is not to be trusted: {}", args.file.display(), tame(&reason)))
            .hint("get the file and its .sig again from whom you trust, both together")
    })?;
    let Signature { key, plugin, version, .. } = signature;
    let reply = json!({"file": args.file, "plugin": plugin, "version": version, "public_key": key.to_string()});
    session.show(globals.output, &reply.to_string(), render)
}

fn render(reply: &Value, _now: Timestamp) -> String {
    let found = View(reply);
    let plugin = format!("{} {}", found.text("plugin"), found.text("version"));
    format!("{}: {plugin}\nsigned by  {}\n", "the signature holds".green(), found.text("public_key"))
}

/// The public keys that were named.
pub(super) fn keys(texts: &[String]) -> Result<Vec<PublicKey>, ExitError> {
    let keys = texts.iter().map(|text| {
        PublicKey::parse(text).ok_or_else(|| {
            ExitError::usage(format!("`{}` is no public key", tame(text))).hint("it has 64 hexadecimal digits")
        })
    });
    keys.collect()
}

/// Whether it is by one of these keys, if there are any.
pub(super) fn wanted(signature: Option<&Signature>, keys: &[PublicKey]) -> Result<(), String> {
    match signature {
        _ if keys.is_empty() => Ok(()),
        None => Err("it is not signed".to_owned()),
        Some(signature) if keys.contains(&signature.key) => Ok(()),
        Some(signature) => Err(format!("it is signed by {}, not by a key that was named", signature.key)),
    }
}

/// Whether the component calls itself what its signature says.
pub(super) fn names(signature: &Signature, plugin: &Candidate) -> Result<(), String> {
    let (name, version) = (plugin.name(), plugin.info().version.as_str());
    if (name, version) != (signature.plugin.as_str(), signature.version.as_str()) {
        let Signature { plugin, version: signed, .. } = signature;
        return Err(format!("it says that it is {name} {version}, and its signature is for {plugin} {signed}"));
    }
    Ok(())
}

/// The signature that holds, by one of these keys if there are any.
fn check(path: &Path, keys: &[PublicKey]) -> Result<Signature, String> {
    let file = path_of(path);
    let signature = signature::read(path).map_err(|reason| format!("{}: {reason}", file.display()))?;
    let signature = signature.ok_or_else(|| format!("it is not signed: there is no {}", file.display()))?;
    wanted(Some(&signature), keys)?;
    // Checked before the component is compiled and asked.
    let bytes = std::fs::File::open(path).and_then(|file| blake3::Hasher::new().update_reader(file).cloned());
    let hash = *bytes.map_err(|error| format!("it cannot be read: {error}"))?.finalize().as_bytes();
    signature.check(&hash)?;
    let plugin = inspect::load(path)?;
    names(&signature, &plugin)?;
    if *plugin.hash() != hash {
        return Err("it was changed while it was looked at".to_owned());
    }
    Ok(signature)
}
