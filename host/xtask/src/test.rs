//! `cargo xtask test`: everything that has to hold before a change lands, in the order that finds mistakes soonest. It
//! goes on after a failure, so that one run tells all that is wrong.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::paths::Paths;
use crate::step::{Step, say, seconds};
use crate::toolchain::current_cargo;
use crate::{plugins, projects, python, setup, tutorial};

/// Tells the tests where the components are.
const PLUGINS_VARIABLE: &str = "AKITA_PLUGINS_DIR";

/// What became of a step.
enum Outcome {
    Passed,
    Failed,
}

struct Report {
    name: &'static str,
    outcome: Outcome,
    took: Duration,
}

/// What to test.
#[derive(clap::Args)]
pub struct Args {
    /// Check and test the build with OCI registries instead (feature `oci`), and nothing else
    #[arg(long)]
    oci: bool,
}

/// Sets up, builds the plugins, checks style, lints and licences, runs every test; or those of one feature.
pub fn run(paths: &Paths, args: &Args) -> Result<()> {
    let mut reports = Vec::new();
    if args.oci {
        measured(&mut reports, "oci: lints", || oci_lints(paths));
        measured(&mut reports, "oci: tests", || oci_tests(paths));
        return summary(&reports);
    }
    let ready = measured(&mut reports, "setup", || setup::run(paths))
        && measured(&mut reports, "plugins", || plugins::run(paths, &plugins::Args::all()))
        && measured(&mut reports, "tutorial", || tutorial::build(paths));
    if ready {
        for (name, check) in CHECKS {
            measured(&mut reports, name, || check(paths));
        }
    }
    summary(&reports)
}

type Check = fn(&Paths) -> Result<()>;

const CHECKS: [(&str, Check); 8] = [
    ("format", format_check),
    ("plugins: lints", |paths| lint(paths, true)),
    ("plugins: tests", plugin_tests),
    ("plugins: other languages", projects::test),
    ("host: lints", |paths| lint(paths, false)),
    ("host: documentation", documentation),
    ("host: tests", host_tests),
    ("licences and sources", licences),
];

fn measured(reports: &mut Vec<Report>, name: &'static str, work: impl FnOnce() -> Result<()>) -> bool {
    let started = Instant::now();
    let result = work();
    if let Err(error) = &result {
        eprintln!("error: {error:#}");
    }
    let passed = result.is_ok();
    let outcome = if passed { Outcome::Passed } else { Outcome::Failed };
    reports.push(Report { name, outcome, took: started.elapsed() });
    passed
}

fn cargo_in(paths: &Paths, guests: bool) -> Command {
    let mut cargo = current_cargo();
    cargo.current_dir(if guests { &paths.plugins } else { &paths.root });
    cargo
}

fn format_check(paths: &Paths) -> Result<()> {
    for guests in [false, true] {
        let mut check = cargo_in(paths, guests);
        check.args(["fmt", "--all", "--check"]);
        let place = if guests { "plugins/" } else { "the host" };
        Step::new(format!("check the format of {place}"), "cargo fmt --all, in that folder").quiet(check)?;
    }
    Ok(())
}

fn lint(paths: &Paths, guests: bool) -> Result<()> {
    let mut clippy = cargo_in(paths, guests);
    clippy.args(["clippy", "--workspace", "--all-targets", "--locked"]);
    // Of the SDK's features the plugins use some only.
    clippy.args(guests.then_some("--all-features"));
    clippy.args(["--", "-D", "warnings"]);
    let place = if guests { "plugins/" } else { "the host" };
    Step::new(format!("lint {place}"), "mend what is named above").quiet(clippy)
}

/// Private items too: the readers of these pages work on this code, and nothing here is published as a library.
fn documentation(paths: &Paths) -> Result<()> {
    let mut doc = cargo_in(paths, false);
    doc.args(["doc", "--workspace", "--no-deps", "--document-private-items", "--locked"])
        .env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private-intra-doc-links");
    Step::new("build the documentation", "mend what is named above").quiet(doc)
}

/// Natively: what a plugin computes does not depend on where it is compiled for.
fn plugin_tests(paths: &Paths) -> Result<()> {
    let mut test = cargo_in(paths, true);
    test.args(["test", "--workspace", "--all-features", "--locked"]);
    Step::new("test the plugins", "run `cargo test --all-features` in plugins/").shown(test)
}

fn host_tests(paths: &Paths) -> Result<()> {
    let mut test = cargo_in(paths, false);
    test.args(["test", "--workspace", "--locked", "--no-fail-fast"]);
    test.env(PLUGINS_VARIABLE, &paths.plugins)
        .env(python::VARIABLE, python::interpreter(paths))
        .env(tutorial::VARIABLE, tutorial::folder(paths));
    Step::new("test the host", "the failed tests are named above").shown(test)
}

/// The feature that a plain build leaves out. All its tests are those of `registry`: the rest is the same code.
const OCI: [&str; 4] = ["--workspace", "--features", "akita/oci", "--locked"];

fn oci_lints(paths: &Paths) -> Result<()> {
    let mut clippy = cargo_in(paths, false);
    clippy.arg("clippy").args(OCI).args(["--all-targets", "--", "-D", "warnings"]);
    Step::new("lint the build with OCI registries", "mend what is named above").quiet(clippy)
}

fn oci_tests(paths: &Paths) -> Result<()> {
    let mut test = cargo_in(paths, false);
    test.arg("test").args(OCI).args(["--lib", "--test", "e2e", "--no-fail-fast", "registry"]);
    test.env(PLUGINS_VARIABLE, &paths.plugins);
    Step::new("test the build with OCI registries", "the failed tests are named above").shown(test)
}

/// Licences and sources always; advisories where their database is here, because it comes from no package registry.
fn licences(paths: &Paths) -> Result<()> {
    let checker = setup::licence_checker(paths)?;
    for manifest in [paths.root.join("Cargo.toml"), paths.plugins.join("Cargo.toml")] {
        // It reads the crates of every platform, also those that a build here never needs.
        let mut fetch = cargo_in(paths, false);
        fetch.args(["fetch", "--locked", "--manifest-path"]).arg(&manifest);
        Step::new(format!("fetch what {} names", manifest.display()), "see that crates.io can be reached")
            .quiet(fetch)?;
        let mut deny = Command::new(&checker);
        deny.current_dir(&paths.root).args(["--offline", "--manifest-path"]).arg(&manifest);
        deny.arg("--config").arg(paths.root.join(".cargo/deny.toml"));
        deny.args(["check", "licenses", "bans", "sources"]);
        if has_advisories() {
            deny.arg("advisories");
        }
        Step::new(format!("check {}", manifest.display()), "see .cargo/deny.toml").quiet(deny)?;
    }
    Ok(())
}

/// Whether the advisory database has been fetched on this machine, by `cargo deny fetch`.
fn has_advisories() -> bool {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    home.is_some_and(|home| home.join("advisory-dbs").is_dir())
}

fn summary(reports: &[Report]) -> Result<()> {
    eprintln!();
    let mut failed = Vec::new();
    for Report { name, outcome, took } in reports {
        let word = match outcome {
            Outcome::Passed => "passed",
            Outcome::Failed => {
                failed.push(*name);
                "FAILED"
            }
        };
        say(&format!("{name:<24} {:>12}  {word}", seconds(*took)));
    }
    let whole: Duration = reports.iter().map(|report| report.took).sum();
    say(&format!("{:<24} {:>12}", "all", seconds(whole)));
    if failed.is_empty() {
        return Ok(());
    }
    bail!("these steps failed: {}\nhint: their errors are above, each with what to do next", failed.join(", "))
}
