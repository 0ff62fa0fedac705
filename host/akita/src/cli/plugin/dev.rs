//! `akita plugin dev`: builds a project and runs its sample, again after every change of a source, until it is interrupted.

use std::path::{Path, PathBuf};
use std::time::Instant;

use akita_sandbox::Grants;
use clap::Args;
use owo_colors::OwoColorize as _;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::build::folder;
use super::run::{Terms, tell_unavailable};
use super::teller::{self, Teller};
use crate::authoring::build::{Options, build, place};
use crate::authoring::{Language, Project, SAMPLE, Testbed, Trial, Watch, Workshop};
use crate::cli::render::{duration, size, tame};
use crate::cli::session::Session;
use crate::cli::{Globals, Output};
use crate::exit::{ExitCode, ExitError};

/// Keys of a sample that are not its input, as in a task.
const NO_INPUT: [&str; 3] = ["action", "required_capabilities", "timeout_s"];

/// Build a project and run its sample, again after every change
#[derive(Debug, Args)]
#[command(
    after_help = "The sample is a task as `akita task submit` takes it: sample.json in the project. Ends with Ctrl-C.

Examples:
  akita plugin dev
  akita plugin dev tide-table --into ~/akita/plugins
  akita plugin dev --sample other.json --grant kv"
)]
pub struct Dev {
    /// The project's folder [default: the working folder]
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The sample [default: sample.json in the project]
    #[arg(long, value_name = "FILE")]
    sample: Option<PathBuf>,
    /// Put each component that a node would take into this folder of plugins too
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
    /// Build for debugging: quicker, larger
    #[arg(long)]
    debug: bool,
    /// The language, where the folder shows more than one
    #[arg(long, value_name = "LANGUAGE", value_enum)]
    lang: Option<Language>,
    #[command(flatten)]
    terms: Terms,
}

/// What each round needs.
struct Bench {
    project: Project,
    testbed: Testbed,
    grants: Grants,
    sample: PathBuf,
    into: Option<PathBuf>,
}

pub fn run(session: &mut Session<'_>, globals: &Globals, args: &Dev) -> Result<(), ExitError> {
    let project = Project::open(&session.cwd.join(args.dir.clone().unwrap_or_default()), args.lang)?;
    let sample = args.sample.as_ref().map_or_else(|| project.root.join(SAMPLE), |path| session.cwd.join(path));
    let into = args.into.as_ref().map(|into| folder(&session.cwd.join(into))).transpose()?;
    let bench = Bench { testbed: Testbed::start(&session.env)?, grants: args.terms.grants()?, sample, into, project };
    let mut watch = Watch::start(&bench.project)?;
    let stop = on_interrupt()?;
    loop {
        if let Err(error) = round(session, globals, args, &bench, &stop) {
            if stop.is_cancelled() {
                break;
            }
            session.complain(&error);
        }
        session.note(&"waiting for a change (Ctrl-C ends)".dimmed().to_string());
        if !watch.changed(&stop) {
            break;
        }
    }
    session.note("stopped");
    Ok(())
}

/// Builds, looks, installs, runs once.
fn round(
    session: &mut Session<'_>,
    globals: &Globals,
    args: &Dev,
    bench: &Bench,
    stop: &CancellationToken,
) -> Result<(), ExitError> {
    let started = Instant::now();
    let bytes = {
        let env = session.env.clone();
        let mut shop = Workshop::new(env, |line| session.note(line), stop.clone());
        build(&bench.project, &mut shop, Options { debug: args.debug })?
    };
    place(&bytes, &bench.project.component())?;
    let plugin = bench.testbed.examine(&bytes).map_err(|reason| {
        ExitError::new(ExitCode::TaskFailed, format!("it is built, and no node would take it: {}", tame(&reason)))
    })?;
    let file = format!("{}.wasm", bench.project.name);
    if let Some(into) = &bench.into {
        place(&bytes, &into.join(&file))?;
    }
    let (bytes, took) = (size(plugin.size()), duration(started.elapsed()));
    session.note(&format!("{} {file}, {bytes}, in {took}", "built".green()));
    let (action, input) = sample(&bench.sample, plugin.name())?;
    tell_unavailable(session, &plugin, bench.grants);
    let linked = bench.testbed.link(&plugin, bench.grants)?;
    let trial = Trial {
        action: action.clone(),
        content_type: "application/json".to_owned(),
        input,
        limits: args.terms.limits(),
        kv: Vec::new(),
    };
    let terminal = session.err_is_terminal;
    let mut teller = Teller::new(&mut session.err, terminal);
    let (outcome, took) = bench.testbed.run(&linked, trial, stop, |event| teller.tell(&event));
    teller.clear();
    if globals.output == Output::Json {
        return session.show_json(&teller::reply(plugin.name(), &action, &outcome, took).to_string());
    }
    match &outcome {
        Ok(content) => {
            session.note(&format!("{} {action} in {}", "ran  ".green(), duration(took)));
            session.print(&teller::shown(content))
        }
        Err(failure) => Err(teller::failed(plugin.name(), &action, failure)),
    }
}

/// The action and the input of a sample: a task, as `akita task submit` takes it.
fn sample(path: &Path, plugin: &str) -> Result<(String, Vec<u8>), ExitError> {
    let wrong = |why: String| {
        let form = format!("it looks like {{\"action\": \"{plugin}/ACTION\", \"input\": {{}}}}");
        ExitError::config(format!("cannot use the sample {}: {why}", path.display())).hint(form)
    };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let task: Value = serde_json::from_str(&text).map_err(|error| wrong(format!("it is not JSON: {error}")))?;
    let Value::Object(mut task) = task else { return Err(wrong("it is no JSON object".to_owned())) };
    let action = task.get("action").and_then(Value::as_str).map(str::to_owned);
    let action = action.ok_or_else(|| wrong("it has no `action`".to_owned()))?;
    let bare = action.strip_prefix(plugin).and_then(|rest| rest.strip_prefix('/')).unwrap_or(&action).to_owned();
    let input = task.remove("input").unwrap_or_else(|| {
        task.retain(|key, _| !NO_INPUT.contains(&key.as_str()));
        Value::Object(task)
    });
    Ok((bare, input.to_string().into_bytes()))
}

/// Cancelled by an interrupt from the terminal, or a request to end.
fn on_interrupt() -> Result<CancellationToken, ExitError> {
    let stop = CancellationToken::new();
    let cannot = |error: std::io::Error| ExitError::internal(format!("cannot wait for signals: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(cannot)?;
    let listener = stop.clone();
    let wait = move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut interrupt), Ok(mut end)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = end.recv() => {}
            }
            listener.cancel();
        });
    };
    // Ends with the process: there is nothing that it holds.
    std::thread::Builder::new().name("signals".into()).spawn(wait).map_err(cannot)?;
    Ok(stop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(String, String), String> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join(SAMPLE);
        std::fs::write(&path, text).expect("a file");
        let read = sample(&path, "hello").map_err(|error| error.to_string())?;
        Ok((read.0, String::from_utf8(read.1).expect("JSON")))
    }

    #[test]
    fn a_sample_is_a_task() {
        let greet = |input: &str| Ok(("greet".to_owned(), input.to_owned()));
        assert_eq!(read(r#"{"action": "hello/greet", "input": [1]}"#), greet("[1]"));
        assert_eq!(
            read(r#"{"action": "greet", "name": "Ada", "required_capabilities": []}"#),
            greet(r#"{"name":"Ada"}"#)
        );
        assert!(read("[]").expect_err("a list").contains("no JSON object"));
        assert!(read("{}").expect_err("no action").contains("no `action`"));
        assert!(read("{").expect_err("no JSON").contains("not JSON"));
    }
}
