//! `akita plugin test`: the cases of a file, each a run of the component in a sandbox, told as a test runner does.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use akita_sandbox::{Candidate, JobEvent};
use clap::Args;
use owo_colors::OwoColorize as _;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::run::load;
use super::teller;
use crate::authoring::build::{Options, build, place};
use crate::authoring::cases::{self, Case};
use crate::authoring::{CASES, Language, Project, Testbed, Trial, Workshop};
use crate::cli::render::{counted, duration, tame};
use crate::cli::session::Session;
use crate::cli::{Globals, Output};
use crate::exit::{ExitCode, ExitError};

/// What a run said that is shown of a case that failed: the last lines.
const MAX_LINES: usize = 20;

/// Run the test cases of a project or a component file, without a node
#[derive(Debug, Args)]
#[command(
    after_help = "A project is built first, if it is not up to date. Its cases are in cases.toml; those of a file FILE.wasm in
cases.toml beside it, or in a folder FILE beside it. How a case is written: docs/plugins.md.

Examples:
  akita plugin test
  akita plugin test tide-table --only 'high water'
  akita plugin test hello.wasm --cases more.toml -o json"
)]
pub struct Test {
    /// A project's folder, or a component file [default: the working folder]
    #[arg(value_name = "PATH")]
    path: Option<PathBuf>,
    /// The file of cases
    #[arg(long, value_name = "FILE")]
    cases: Option<PathBuf>,
    /// Only the cases that have this text in their names
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Take the component as it is, though its sources have changed
    #[arg(long)]
    no_build: bool,
    /// The language, where the folder shows more than one
    #[arg(long, value_name = "LANGUAGE", value_enum)]
    lang: Option<Language>,
}

/// What became of a case.
struct Report {
    name: String,
    problems: Vec<String>,
    lines: Vec<String>,
    took: Duration,
}

pub fn run(session: &mut Session<'_>, globals: &Globals, args: &Test) -> Result<(), ExitError> {
    let shown = args.path.clone().unwrap_or_else(|| ".".into());
    let path = session.cwd.join(&shown);
    let (component, beside) = if path.is_dir() {
        let project = Project::open(&path, args.lang)?;
        if !args.no_build {
            bring_up_to_date(session, &project)?;
        }
        (project.component(), project.root.join(CASES))
    } else {
        (path.clone(), cases_beside(&path))
    };
    let file = args.cases.as_ref().map_or(beside, |cases| session.cwd.join(cases));
    let cases = read_cases(&file, args.only.as_deref())?;
    let testbed = Testbed::start(&session.env)?;
    let candidate = load(&testbed, &component, &component)?;
    let started = Instant::now();
    let mut reports = Vec::with_capacity(cases.len());
    let cancel = CancellationToken::new();
    testbed.cancel_on_interrupt(&cancel);
    for case in cases {
        let report = one(&testbed, &candidate, case, &cancel)?;
        if cancel.is_cancelled() {
            return Err(ExitError::new(ExitCode::TaskFailed, "stopped before all cases had run"));
        }
        if globals.output == Output::Text {
            session.print(&told(&report))?;
        }
        reports.push(report);
    }
    finish(session, globals, &component, &reports, started.elapsed())
}

/// Builds a project whose component is older than its sources.
fn bring_up_to_date(session: &mut Session<'_>, project: &Project) -> Result<(), ExitError> {
    // Cargo knows better what has changed, and is quick where nothing has.
    if project.language != Language::Rust && project.is_up_to_date() {
        return Ok(());
    }
    let env = session.env.clone();
    let mut shop = Workshop::new(env, |line| session.note(line), CancellationToken::new());
    let bytes = build(project, &mut shop, Options::default())?;
    drop(shop);
    place(&bytes, &project.component())
}

/// Where the cases of a component file are: beside it, or in the folder that it is named after.
fn cases_beside(component: &Path) -> PathBuf {
    let folder = component.with_extension("").join(CASES);
    if folder.is_file() { folder } else { component.with_file_name(CASES) }
}

fn read_cases(file: &Path, only: Option<&str>) -> Result<Vec<Case>, ExitError> {
    let shown = file.display();
    let mut cases = cases::read(file).map_err(|why| {
        let error = ExitError::config(format!("cannot use the cases in {shown}: {}", tame(&why)));
        if file.exists() { error } else { error.hint("name another file with: --cases FILE") }
    })?;
    if let Some(only) = only {
        cases.retain(|case| case.name.contains(only));
        if cases.is_empty() {
            return Err(ExitError::usage(format!("no case in {shown} has `{only}` in its name")));
        }
    }
    Ok(cases)
}

/// Runs a case. A plugin that lacks a grant fails the case, not the command.
fn one(
    testbed: &Testbed,
    candidate: &Arc<Candidate>,
    case: Case,
    cancel: &CancellationToken,
) -> Result<Report, ExitError> {
    let Case { name, action, input, expect, limits, grants, kv } = case;
    let mut lines = Vec::new();
    let plugin = match testbed.link(candidate, grants) {
        Ok(plugin) => plugin,
        Err(error) => {
            let needs = format!("give the case: grants = {}", grant_list(candidate));
            return Ok(Report { name, problems: vec![error.to_string(), needs], lines, took: Duration::ZERO });
        }
    };
    let trial = Trial { action, content_type: input.content_type, input: input.body, limits, kv };
    let (outcome, took) = testbed.run(&plugin, trial, cancel, |event| {
        if !matches!(event, JobEvent::Progress { .. }) {
            lines.push(teller::line(&event));
        }
    });
    let problems = cases::problems(&expect, &outcome);
    let skipped = lines.len().saturating_sub(MAX_LINES);
    lines.drain(..skipped);
    Ok(Report { name, problems, lines, took })
}

fn grant_list(candidate: &Candidate) -> String {
    let names: Vec<_> = candidate.needs().iter().map(|one| format!("\"{}\"", one.as_str())).collect();
    format!("[{}]", names.join(", "))
}

/// A case's line, and below it what is wrong and what the run said.
fn told(report: &Report) -> String {
    let name = tame(&report.name);
    if report.problems.is_empty() {
        return format!("{}      {name} {}", "ok".green(), format!("({})", duration(report.took)).dimmed());
    }
    let mut text = format!("{}  {name}\n", "FAILED".red().bold());
    for line in &report.problems {
        text.push_str(&format!("        {}\n", tame(line)));
    }
    for line in &report.lines {
        text.push_str(&format!("      {} {line}\n", "|".dimmed()));
    }
    text
}

fn finish(
    session: &mut Session<'_>,
    globals: &Globals,
    component: &Path,
    reports: &[Report],
    took: Duration,
) -> Result<(), ExitError> {
    let failed = reports.iter().filter(|report| !report.problems.is_empty()).count();
    let passed = reports.len() - failed;
    match globals.output {
        Output::Json => session.show_json(&summary(component, reports, passed, failed, took).to_string())?,
        Output::Text => {
            let verdict = if failed == 0 { "ok".green().to_string() } else { "FAILED".red().bold().to_string() };
            let passed = counted(passed as u64, "case");
            session.print(&format!("\n{verdict}: {passed} passed, {failed} failed, in {}", duration(took)))?;
        }
    }
    if failed == 0 { Ok(()) } else { Err(ExitError::quiet(ExitCode::TaskFailed)) }
}

fn summary(component: &Path, reports: &[Report], passed: usize, failed: usize, took: Duration) -> Value {
    let cases: Vec<_> = reports
        .iter()
        .map(|report| {
            let lines: Vec<_> =
                report.lines.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect();
            json!({
                "name": report.name,
                "ok": report.problems.is_empty(),
                "problems": report.problems,
                "log": lines,
                "took_ms": u64::try_from(report.took.as_millis()).unwrap_or(u64::MAX),
            })
        })
        .collect();
    json!({
        "component": component.display().to_string(),
        "passed": passed,
        "failed": failed,
        "took_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "cases": cases,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_that_failed_is_told_with_what_the_run_said() {
        let report = Report {
            name: "a".into(),
            problems: vec!["/x: expected 1, got 2".into()],
            lines: vec!["info  working".into()],
            took: Duration::from_millis(2),
        };
        let text = anstream::adapter::strip_str(&told(&report)).to_string();
        assert_eq!(text, "FAILED  a\n        /x: expected 1, got 2\n      | info  working\n");
        let report = Report { problems: Vec::new(), ..report };
        assert_eq!(anstream::adapter::strip_str(&told(&report)).to_string(), "ok      a (2 ms)");
        let reply = summary(Path::new("a.wasm"), &[report], 1, 0, Duration::from_millis(2));
        assert_eq!((&reply["passed"], &reply["cases"][0]["ok"]), (&json!(1), &json!(true)));
    }

    #[test]
    fn the_cases_of_a_file_are_beside_it_or_in_its_folder() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let component = dir.path().join("crc.wasm");
        assert_eq!(cases_beside(&component), dir.path().join(CASES));
        std::fs::create_dir(dir.path().join("crc")).expect("a folder");
        std::fs::write(dir.path().join("crc").join(CASES), "").expect("a file");
        assert_eq!(cases_beside(&component), dir.path().join("crc").join(CASES));
    }
}
