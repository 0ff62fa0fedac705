//! `akita task submit`: gives one task or a batch to the cluster, and waits for the outcome if asked to.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::input::{self, Tasks};
use super::outcome;
use super::wait::Wait;
use crate::cli::client::{Client, parse, task_path};
use crate::cli::reading::Fresh;
use crate::cli::render::{counted, duration, short_id, tame, thousands};
use crate::cli::session::Session;
use crate::cli::view::View;
use crate::cli::{Globals, Output};
use crate::exit::{ExitCode, ExitError};

/// Submit a task, or a list of tasks that are accepted together
#[derive(Debug, Args)]
#[command(after_help = "A task is JSON with an `action`, optional `required_capabilities`, and the `input`;
without `input`, all other keys are the input. Prints the task's id, or with --wait
its result.

Examples:
  akita task submit '{\"action\":\"log\",\"message\":\"hello\"}'
  akita task submit '{\"action\":\"train\",\"target\":\"y\",\"csv\":\"x,y\\n1,2\\n2,4\\n3,5\"}' --require gpu --wait
  akita task submit '{\"action\":\"image/fit\",\"max_bytes\":2000}' \\
    --file image_base64=photo.jpg --wait --save small.jpg
  akita task submit @tasks.json --wait --timeout 60
  akita task submit '{\"action\":\"log\",\"message\":\"hello\"}' --where island
  jq -c . tasks.json | akita task submit -")]
pub struct Submit {
    /// The task: a JSON object or list, `-` for standard input, or `@FILE`
    #[arg(value_name = "JSON")]
    task: String,
    /// How urgent it is: a lower number goes first [default: 10]
    #[arg(short, long, value_name = "0-255")]
    priority: Option<u8>,
    /// A capability that the worker must have; repeatable
    #[arg(long = "require", value_name = "CAPABILITY")]
    require: Vec<String>,
    /// Run it so that the same input gives the same output on any node
    #[arg(long)]
    deterministic: bool,
    /// Where it may run when no leader is in reach: `island` runs it at once on a node that is, instead of waiting
    #[arg(long = "where", value_name = "PLACE", value_parser = ["cluster", "island"])]
    place: Option<String>,
    /// Put a file's bytes, as base64, into this field of the input; repeatable
    #[arg(long = "file", value_name = "FIELD=PATH")]
    files: Vec<String>,
    /// Wait until it has ended and print the result
    #[arg(short, long)]
    wait: bool,
    /// Return when the asked node shows it, whichever node accepted it
    #[arg(long, conflicts_with = "wait")]
    wait_visible: bool,
    /// Stop waiting after this time; the task goes on
    #[arg(long, value_name = "SECONDS", requires = "wait", value_parser = seconds)]
    timeout: Option<Duration>,
    /// Write the result's bytes into this file instead
    #[arg(long, value_name = "FILE", requires = "wait")]
    save: Option<PathBuf>,
}

/// Failed tasks of a batch that are named; `-o json` has all of them.
const FAILURES_SHOWN: usize = 10;

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
    number.and_then(|number| Duration::try_from_secs_f64(number).ok()).ok_or_else(|| "not a number of seconds".into())
}

pub fn run(session: &mut Session<'_>, globals: &Globals, args: &Submit) -> Result<(), ExitError> {
    let mut tasks = input::read(session, &args.task, &args.require, &args.files)?;
    if args.deterministic {
        tasks.all_mut().for_each(|task| task["deterministic"] = Value::Bool(true));
    }
    if let Some(place) = &args.place {
        tasks.all_mut().for_each(|task| task["where"] = Value::String(place.clone()));
    }
    let client = Client::new(session, globals)?;
    let envelope = |task: &Value| match args.priority {
        Some(priority) => json!({"task_data": task, "priority": priority}),
        None => json!({"task_data": task}),
    };
    match tasks {
        Tasks::One(task) => {
            let reply = client.post("/tasks/submit", &envelope(&task))?;
            one(session, globals, args, &client, &reply)
        }
        Tasks::Batch(_) if args.save.is_some() => Err(ExitError::usage("--save needs one task, not a list")),
        Tasks::Batch(tasks) => {
            let reply = client.post("/tasks/submit", &tasks.iter().map(envelope).collect())?;
            batch(session, globals, args, &client, &reply)
        }
    }
}

/// Shows the acceptance of one task, or its outcome.
fn one(
    session: &mut Session<'_>,
    globals: &Globals,
    args: &Submit,
    client: &Client,
    reply: &str,
) -> Result<(), ExitError> {
    let accepted = parse(reply)?;
    let id = View(&accepted).text("task_id").to_owned();
    if !args.wait {
        see(session, args, client, View(&accepted))?;
        if globals.output == Output::Json {
            return session.show_json(reply);
        }
        let status = View(&accepted).text("status");
        let told = match View(&accepted).text("recorded") {
            "island" => "no leader is in reach: it runs in the island, and the cluster takes it later".to_owned(),
            _ => format!("accepted ({status})"),
        };
        session.note(&format!("{told}; look with: akita task status {id}"));
        return session.print(&id);
    }
    let mut wait = Wait::new(args.timeout);
    let (reply, task) = wait.task(session, client, &id, 0)?;
    wait.clear(session);
    if let Some(path) = &args.save {
        outcome::verdict(&task)?;
        outcome::save(session, &task, path)?;
    }
    match globals.output {
        Output::Json => session.show_json(&reply)?,
        Output::Text if args.save.is_some() => {}
        Output::Text => session.print(&outcome::result_text(&task))?,
    }
    outcome::verdict(&task)?;
    session.note(&told(View(&task)));
    Ok(())
}

/// Waits until the asked node shows what was accepted, if asked to.
fn see(session: &mut Session<'_>, args: &Submit, client: &Client, accepted: View<'_>) -> Result<(), ExitError> {
    if !args.wait_visible {
        return Ok(());
    }
    let id = accepted.text("task_id");
    let Some(index) = accepted.count("index") else {
        let status = accepted.text("status");
        return Err(ExitError::new(ExitCode::Unavailable, format!("task {id} is {status}, and not accepted yet"))
            .hint(format!("the node sends it when somebody leads; look again with: akita task status {id}")));
    };
    Fresh::after(index).get(session, client, &task_path(id)?, vec![]).map(drop)
}

/// How an ended task went, for people.
fn told(task: View<'_>) -> String {
    let taken = match (task.time("submitted_at"), task.time("finished_at")) {
        (Some(from), Some(to)) => to.duration_since(from).try_into().ok(),
        _ => None,
    };
    let taken: String = taken.map(|taken: Duration| format!(" in {}", duration(taken))).unwrap_or_default();
    let worker = task.some_text("worker_id").map(|id| format!(" on {}", short_id(id))).unwrap_or_default();
    let attempts = task.count("attempts").filter(|attempts| *attempts > 1);
    let attempts = attempts.map(|attempts| format!(", attempt {attempts}")).unwrap_or_default();
    format!("task {} {}{taken}{worker}{attempts}", task.text("task_id"), task.text("status"))
}

/// Shows the acceptance of a batch, or how many of its tasks did what.
fn batch(
    session: &mut Session<'_>,
    globals: &Globals,
    args: &Submit,
    client: &Client,
    reply: &str,
) -> Result<(), ExitError> {
    let accepted = parse(reply)?;
    let accepted = accepted.as_array().cloned().unwrap_or_default();
    let ids: Vec<&str> = accepted.iter().map(|task| View(task).text("task_id")).collect();
    if !args.wait {
        if let Some(last) = accepted.last() {
            see(session, args, client, View(last))?;
        }
        if globals.output == Output::Json {
            return session.show_json(reply);
        }
        session.note(&format!("accepted {}; look with: akita task list", counted(ids.len() as u64, "task")));
        return session.print(&ids.join("\n"));
    }
    let mut wait = Wait::new(args.timeout);
    let mut ended = Vec::with_capacity(ids.len());
    for (done, id) in ids.iter().enumerate() {
        let waited = wait.task(session, client, id, ids.len() - done - 1);
        ended.push(waited.map_err(|error| unfinished(error, done, ids.len()))?.1);
    }
    wait.clear(session);
    summary(session, globals, ended)
}

/// Says how far a batch had come.
fn unfinished(error: ExitError, done: usize, all: usize) -> ExitError {
    let (done, all) = (thousands(done as u64), thousands(all as u64));
    let told = ExitError::new(error.code(), format!("{error} ({done} of {all} tasks of the batch had ended)"));
    match error.hint_text() {
        Some(hint) => told.hint(hint),
        None => told,
    }
}

fn summary(session: &mut Session<'_>, globals: &Globals, ended: Vec<Value>) -> Result<(), ExitError> {
    let failed: Vec<_> = ended.iter().filter_map(|task| outcome::verdict(task).err()).map(|e| e.to_string()).collect();
    let counts = [ended.len() - failed.len(), failed.len()].map(|count| thousands(count as u64));
    match globals.output {
        Output::Text => session.print(&format!("{} done, {} failed", counts[0], counts[1]))?,
        Output::Json => session.show_json(&Value::Array(ended).to_string())?,
    }
    if failed.is_empty() {
        return Ok(());
    }
    failed.iter().take(FAILURES_SHOWN).for_each(|line| session.note(&tame(line)));
    Err(ExitError::new(ExitCode::TaskFailed, format!("{} of the batch failed", counted(failed.len() as u64, "task")))
        .hint("see them with: akita task list --status failed"))
}
