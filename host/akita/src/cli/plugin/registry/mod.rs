//! `akita plugin pull` and `push`: plugins from and to OCI registries. What does the work is built with the feature
//! `oci` alone; without it the commands are there and say so.

#[cfg(feature = "oci")]
mod client;
#[cfg(feature = "oci")]
mod pull;
#[cfg(feature = "oci")]
mod push;

use std::path::PathBuf;

use clap::Args;

use crate::cli::Globals;
use crate::cli::session::Session;
use crate::exit::ExitError;

/// Fetch a plugin from an OCI registry
#[derive(Debug, Args)]
#[command(
    after_help = "Writes NAME-VERSION.wasm, called as the component calls itself, and the signature that came with it as
NAME-VERSION.wasm.sig. Both are checked before anything is written. A registry on this machine is spoken to in
plain HTTP, every other in HTTPS; credentials are those of `docker login`. It needs a build with `--features oci`.

Examples:
  akita plugin pull registry.example.org/team/image:1.2.0 --into plugins
  akita plugin pull registry.example.org/team/image@sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824
  akita plugin pull registry.example.org/team/image --key 19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1"
)]
pub struct Pull {
    /// The plugin: registry, repository, and a tag (`latest` if none is given) or a digest
    #[arg(value_name = "REF")]
    reference: String,
    /// The folder to put it in, such as the node's folder of plugins
    #[arg(long, value_name = "DIR", default_value = ".")]
    into: PathBuf,
    /// The public key that must have signed it; repeatable: one of them
    #[arg(long, value_name = "KEY")]
    key: Vec<String>,
    /// Replace another file of that name and version
    #[arg(long)]
    force: bool,
}

/// Put a plugin into an OCI registry
#[derive(Debug, Args)]
#[command(
    after_help = "The artifact is one layer of application/wasm, as other tools write and read it; the signature of FILE.sig
travels with it as an annotation. A registry on this machine is spoken to in plain HTTP, every other in HTTPS;
credentials are those of `docker login`. It needs a build with `--features oci`.

Examples:
  akita plugin push image.wasm registry.example.org/team/image:1.2.0
  akita plugin push image.wasm localhost:5000/image"
)]
pub struct Push {
    /// The component, a .wasm file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where to: registry, repository and tag (`latest` if none is given)
    #[arg(value_name = "REF")]
    reference: String,
}

#[cfg(feature = "oci")]
pub fn pull(session: &mut Session<'_>, globals: &Globals, args: &Pull) -> Result<(), ExitError> {
    pull::run(session, globals, args)
}

#[cfg(feature = "oci")]
pub fn push(session: &mut Session<'_>, globals: &Globals, args: &Push) -> Result<(), ExitError> {
    push::run(session, globals, args)
}

#[cfg(not(feature = "oci"))]
pub fn pull(_session: &mut Session<'_>, _globals: &Globals, _args: &Pull) -> Result<(), ExitError> {
    Err(absent())
}

#[cfg(not(feature = "oci"))]
pub fn push(_session: &mut Session<'_>, _globals: &Globals, _args: &Push) -> Result<(), ExitError> {
    Err(absent())
}

#[cfg(not(feature = "oci"))]
fn absent() -> ExitError {
    ExitError::config("this akita was built without OCI registries")
        .hint("build it with them: cargo build --release --package akita --features oci; or copy FILE and FILE.sig")
}
