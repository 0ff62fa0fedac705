//! `akita plugin run`: one action of a component file, in a sandbox of its own, without any node.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use akita_sandbox::{Candidate, Grants, Outcome};
use clap::Args;
use tokio_util::sync::CancellationToken;

use super::teller::{self, Teller};
use crate::authoring::cases::media_type;
use crate::authoring::{Testbed, Trial, has_something_behind, node_limits, parse_grants};
use crate::cli::render::tame;
use crate::cli::session::Session;
use crate::cli::{Globals, Output};
use crate::exit::ExitError;

/// Largest input that is read: more than a node takes, and bounded.
const MAX_INPUT_BYTES: u64 = 64 << 20;

/// Run one action of a component file, without a node
#[derive(Debug, Args)]
#[command(
    after_help = "The result goes to standard output; what the run says while it goes on goes to standard error. It has the limits
of a node unless you give others, and nothing that has to be granted unless you grant it: `kv` is in memory and gone
afterwards, `sensors` are this machine's, what else there is answers that it is unavailable.

Examples:
  akita plugin run hello.wasm greet --input '{\"name\":\"Ada\"}'
  akita plugin run image.wasm fit --input-file photo.jpg --save small.jpg
  echo '{\"name\":\"Ada\"}' | akita plugin run hello.wasm greet --input -
  akita plugin run cache.wasm put --input @entry.json --grant kv -o json"
)]
pub struct Run {
    /// The component, a .wasm file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The action; may be left out where there is only one
    #[arg(value_name = "ACTION")]
    action: Option<String>,
    /// The input: JSON, `@FILE`, or `-` for standard input [default: {}]
    #[arg(long, value_name = "INPUT", conflicts_with = "input_file", allow_hyphen_values = true)]
    input: Option<String>,
    /// A file as the input, of the media type that its name's end tells
    #[arg(long, value_name = "PATH")]
    input_file: Option<PathBuf>,
    /// The input's media type [default: application/json]
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    #[command(flatten)]
    terms: Terms,
    /// Write the result to this file
    #[arg(long, value_name = "PATH")]
    save: Option<PathBuf>,
}

/// What a run may use.
#[derive(Debug, Args)]
pub struct Terms {
    /// Seconds that the run may take [default: 60]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
    /// Memory that the run may use, in MiB [default: 128]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=4096))]
    memory: Option<u64>,
    /// Interfaces to grant, such as `kv,sensors`; repeatable
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    grant: Vec<String>,
}

impl Terms {
    /// The limits of a run.
    pub fn limits(&self) -> akita_sandbox::Limits {
        let mut limits = node_limits();
        limits.timeout = self.timeout.unwrap_or(limits.timeout);
        limits.memory_bytes = self.memory.map_or(limits.memory_bytes, |mib| mib << 20);
        limits
    }

    /// The interfaces that are granted.
    pub fn grants(&self) -> Result<Grants, ExitError> {
        parse_grants(self.grant.iter().map(String::as_str)).map_err(|why| ExitError::usage(format!("--grant: {why}")))
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.parse().ok().filter(|seconds| (0.001..=86_400.0).contains(seconds));
    number.map(Duration::from_secs_f64).ok_or_else(|| "not a number of seconds from 0.001 to 86400".into())
}

pub fn run(session: &mut Session<'_>, globals: &Globals, args: &Run) -> Result<(), ExitError> {
    let grants = args.terms.grants()?;
    let (content_type, input) = input(session, args)?;
    let testbed = Testbed::start(&session.env)?;
    let candidate = load(&testbed, &session.cwd.join(&args.file), &args.file)?;
    let action = action(&candidate, args.action.as_deref())?;
    tell_unavailable(session, &candidate, grants);
    let plugin = testbed.link(&candidate, grants)?;
    let trial = Trial { action: action.clone(), content_type, input, limits: args.terms.limits(), kv: Vec::new() };
    let cancel = CancellationToken::new();
    testbed.cancel_on_interrupt(&cancel);
    let terminal = session.err_is_terminal;
    let mut teller = Teller::new(&mut session.err, terminal);
    let (outcome, took) = testbed.run(&plugin, trial, &cancel, |event| teller.tell(&event));
    teller.clear();
    finish(session, globals, args.save.as_deref(), candidate.name(), &action, &outcome, took)
}

/// Shows what came: the result alone for people and pipes, all of it for programs.
fn finish(
    session: &mut Session<'_>,
    globals: &Globals,
    save: Option<&Path>,
    plugin: &str,
    action: &str,
    outcome: &Outcome,
    took: Duration,
) -> Result<(), ExitError> {
    if let (Some(path), Ok(content)) = (save, outcome) {
        let target = session.cwd.join(path);
        fs::write(&target, &content.body)
            .map_err(|error| ExitError::config(format!("cannot write {}: {error}", target.display())))?;
        session.note(&format!(
            "saved {} bytes {} to {}",
            content.body.len(),
            tame(&content.content_type),
            path.display()
        ));
    }
    if globals.output == Output::Json {
        session.show_json(&teller::reply(plugin, action, outcome, took).to_string())?;
    }
    match outcome {
        Err(failure) => Err(teller::failed(plugin, action, failure)),
        Ok(_) if save.is_some() || globals.output == Output::Json => Ok(()),
        Ok(content) if session.out_is_terminal => session.print(&teller::shown(content)),
        Ok(content) => {
            session.out.write_all(&content.body)?;
            // JSON is a line for the next program; bytes stay as they are.
            if teller::json_of(content).is_some() && !content.body.ends_with(b"\n") {
                session.out.write_all(b"\n")?;
            }
            Ok(session.out.flush()?)
        }
    }
}

/// Looks at a component file.
pub fn load(testbed: &Testbed, path: &Path, shown: &Path) -> Result<Arc<Candidate>, ExitError> {
    let refused = |reason: String| {
        let error = ExitError::config(format!("{} is no plugin for a node: {}", shown.display(), tame(&reason)));
        if path.is_dir() {
            error.hint("give the component, a .wasm file; `akita plugin build` makes it of a project")
        } else {
            error.hint("how to build one: docs/plugins.md")
        }
    };
    testbed.examine_file(path).map_err(refused)
}

/// The action to run, without the plugin's name.
fn action(plugin: &Candidate, wanted: Option<&str>) -> Result<String, ExitError> {
    let known: Vec<_> = plugin.info().actions.iter().map(|action| action.name.as_str()).collect();
    let list = known.join(", ");
    let Some(wanted) = wanted else {
        return match known[..] {
            [only] => Ok(only.to_owned()),
            _ => {
                Err(ExitError::usage(format!("{} has several actions: {list}", plugin.name())).hint("name one of them"))
            }
        };
    };
    let bare = wanted.strip_prefix(plugin.name()).and_then(|rest| rest.strip_prefix('/')).unwrap_or(wanted);
    if known.contains(&bare) {
        return Ok(bare.to_owned());
    }
    let near = known.iter().find(|name| strsim::damerau_levenshtein(name, bare) <= 2);
    let error = ExitError::usage(format!("{} has no action `{}`; it has {list}", plugin.name(), tame(wanted)));
    Err(match near {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error,
    })
}

/// Says which of the interfaces that are granted have nothing behind them here.
pub fn tell_unavailable(session: &mut Session<'_>, plugin: &Candidate, grants: Grants) {
    let empty = plugin.needs().and(grants).iter().filter(|one| !has_something_behind(*one));
    let empty: Vec<_> = empty.map(akita_sandbox::Interface::as_str).collect();
    if !empty.is_empty() {
        let names = empty.join(", ");
        session.note(&format!("note: there is no node behind {names}: each call answers that it is unavailable"));
    }
}

/// The input and its media type.
fn input(session: &mut Session<'_>, args: &Run) -> Result<(String, Vec<u8>), ExitError> {
    let cannot = |what: &str, why: String| ExitError::usage(format!("cannot read {what}: {why}"));
    let (usual, body, place) = match (&args.input_file, args.input.as_deref()) {
        (Some(path), _) => (media_type(path), read_file(&session.cwd, path)?, path.display().to_string()),
        (None, None) => ("application/json", b"{}".to_vec(), String::new()),
        (None, Some("-")) => {
            let mut body = Vec::new();
            let done = session.input.by_ref().take(MAX_INPUT_BYTES + 1).read_to_end(&mut body);
            done.map_err(|error| cannot("standard input", error.to_string()))?;
            if body.len() as u64 > MAX_INPUT_BYTES {
                return Err(cannot("standard input", format!("it has more than {MAX_INPUT_BYTES} bytes")));
            }
            ("application/json", body, "standard input".to_owned())
        }
        (None, Some(text)) => match text.strip_prefix('@') {
            Some(path) => ("application/json", read_file(&session.cwd, Path::new(path))?, path.to_owned()),
            None => ("application/json", text.as_bytes().to_vec(), "the input".to_owned()),
        },
    };
    let content_type = args.content_type.clone().unwrap_or_else(|| usual.to_owned());
    if content_type == "application/json" {
        serde_json::from_slice::<&serde_json::value::RawValue>(&body).map_err(|error| {
            ExitError::usage(format!("{place} is not JSON: {error}"))
                .hint("give its media type with --content-type, if it is something else; mind the quotes of your shell")
        })?;
    }
    Ok((content_type, body))
}

fn read_file(cwd: &Path, path: &Path) -> Result<Vec<u8>, ExitError> {
    let cannot = |why: String| ExitError::usage(format!("cannot read {}: {why}", path.display()));
    let file = cwd.join(path);
    let size = file.metadata().map_err(|error| cannot(error.to_string()))?.len();
    if size > MAX_INPUT_BYTES {
        return Err(cannot(format!("it has {size} bytes; {MAX_INPUT_BYTES} is the most")));
    }
    fs::read(file).map_err(|error| cannot(error.to_string()))
}
