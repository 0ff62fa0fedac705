//! The command line: reads words, asks a node over HTTP, shows the answer. Data goes to standard output, all else to
//! standard error. It decides nothing about tasks; whatever it knows, the node told it.

mod backup;
mod blob;
mod client;
mod cluster;
mod config;
mod docs;
mod ledger;
mod logs;
mod place;
mod plugin;
mod reading;
mod render;
mod restore;
mod session;
mod shutdown;
mod start;
mod status;
mod store;
mod task;
mod view;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

use crate::exit::{ExitCode, ExitError};
use session::Session;

/// Runs small jobs on whatever computers you have, over whatever links they have.
#[derive(Debug, Parser)]
#[command(name = "akita", version, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = "Examples:
  akita start --plugins ./plugins
  akita task submit '{\"action\":\"echo\",\"message\":\"hello\"}' --wait
  akita cluster status

Exit codes:
  0 done, 1 task failed, 2 wrong command line, 3 configuration, 4 node not reached,
  5 refused by the node, 6 timeout, 7 ledger or store does not verify, 70 fault of the program")]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// Options that every command takes, before or after it.
#[derive(Debug, Args)]
struct Globals {
    /// The node to talk to [env: AKITA_TARGET_NODE_API] [default: http://127.0.0.1:8000]
    #[arg(long, global = true, value_name = "URL", help_heading = "Global options")]
    target_node_api: Option<String>,
    /// The key that the node asks for [env: AKITA_API_KEY]
    #[arg(long, global = true, value_name = "KEY", help_heading = "Global options")]
    api_key: Option<String>,
    /// The settings file [env: AKITA_CONFIG] [default: akita.toml here or in the data folder]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    config: Option<PathBuf>,
    /// Show what is done: requests to the node, or all log lines of `start`
    #[arg(long, global = true, help_heading = "Global options")]
    debug: bool,
    /// How to show the answer
    #[arg(short, long, global = true, value_name = "FORM", value_enum, default_value = "text")]
    #[arg(help_heading = "Global options")]
    output: Output,
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    // For people. (A doc comment would make every help page twice as long.)
    Text,
    // The node's own.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    Start(Box<start::Start>),
    Status(status::Status),
    #[command(subcommand)]
    Cluster(cluster::Cluster),
    #[command(subcommand)]
    Task(task::Task),
    #[command(subcommand)]
    Blob(blob::Blob),
    Logs(logs::Logs),
    #[command(subcommand)]
    Ledger(ledger::Ledger),
    #[command(subcommand)]
    Plugin(plugin::Plugin),
    #[command(subcommand)]
    Store(store::Store),
    Backup(backup::Backup),
    Restore(restore::Restore),
    #[command(subcommand)]
    Config(config::Config),
    Shutdown(shutdown::Shutdown),
    #[command(hide = true)]
    Docs(docs::Docs),
}

/// Runs the command that the process was started with.
pub fn main() -> std::process::ExitCode {
    let mut session = Session::of_process();
    run(&mut session, std::env::args_os()).into()
}

/// Runs the command of `args`, the program's name first, and says what went wrong.
fn run(session: &mut Session<'_>, args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let matches = match command().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => return explain(session, &error),
    };
    let done = Cli::from_arg_matches(&matches).map_err(|error| ExitError::usage(error.to_string()));
    let done = done.and_then(|cli| dispatch(session, cli)).and_then(|()| Ok(session.out.flush()?));
    let Err(error) = done else { return ExitCode::Ok };
    if !error.is_quiet() {
        session.complain(&error);
    }
    error.code()
}

/// The command line's shape, for parsing and for the documentation.
fn command() -> clap::Command {
    Cli::command()
}

/// Help and version go to standard output and are no error; the rest is clap's own words.
fn explain(session: &mut Session<'_>, error: &clap::Error) -> ExitCode {
    let text = error.render().ansi().to_string();
    let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let help = asked || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    let stream = if asked { &mut session.out } else { &mut session.err };
    // Nobody is left to tell if this fails.
    let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
    if help && asked { ExitCode::Ok } else { ExitCode::Usage }
}

fn dispatch(session: &mut Session<'_>, cli: Cli) -> Result<(), ExitError> {
    let globals = &cli.globals;
    match cli.command {
        Command::Start(args) => start::run(session, globals, &args),
        Command::Status(args) => status::run(session, globals, &args),
        Command::Cluster(verb) => cluster::run(session, globals, &verb),
        Command::Task(verb) => task::run(session, globals, &verb),
        Command::Blob(verb) => blob::run(session, globals, &verb),
        Command::Logs(args) => logs::run(session, globals, &args),
        Command::Ledger(verb) => ledger::run(session, globals, &verb),
        Command::Plugin(verb) => plugin::run(session, globals, &verb),
        Command::Store(verb) => store::run(session, globals, &verb),
        Command::Backup(args) => backup::run(session, globals, &args),
        Command::Restore(args) => restore::run(session, globals, &args),
        Command::Config(verb) => config::run(session, globals, &verb),
        Command::Shutdown(args) => shutdown::run(session, globals, &args),
        Command::Docs(args) => docs::run(session, &args),
    }
}
