//! Renders the command line as `docs/cli.md`, from the same definitions that parse it.

use std::fmt::Write as _;

use clap::{Args, ValueEnum};

use super::session::Session;
use crate::exit::{ExitCode, ExitError};

/// Print a generated page of the documentation
#[derive(Debug, Args)]
pub struct Docs {
    /// Which page
    #[arg(value_enum)]
    page: Page,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Page {
    /// docs/cli.md
    Cli,
    /// docs/config.md
    Config,
}

pub fn run(session: &mut Session<'_>, args: &Docs) -> Result<(), ExitError> {
    session.print(&match args.page {
        Page::Cli => markdown(),
        Page::Config => crate::config::markdown(),
    })
}

const INTRO: &str = "\
# Command line

<!-- Generated from the command line's definition: AKITA_BLESS=1 cargo test -p akita docs -->

`akita start` runs a node; every other command asks a running node over HTTP, but `config show`, what makes or moves
plugins (`plugin new`, `build`, `run`, `test`, `dev`, `inspect`, `sign`, `verify`, `keygen`, `pull`, `push`), what works on a
data directory (`store check`, `backup`, `restore`) and what checks a file (`ledger verify --proof`). Global options stand
before or after the command. Data goes to standard output, everything else to standard error; colours appear on a terminal only, and never
when `NO_COLOR` is set. `-o json` prints the node's own JSON, on one line
when it goes to a program. An `AKITA_*` variable may also stand in a file `.env` in the working folder.

A lost reader (`akita logs --follow | head`) is an ordinary end.
";

/// The whole page.
pub fn markdown() -> String {
    let mut root = super::command();
    root.build();
    let mut page = INTRO.to_owned();
    page.push_str("\n## Exit codes\n\n| code | meaning |\n|---|---|\n");
    for (code, meaning) in ExitCode::ALL {
        line(&mut page, format_args!("| {} | {meaning} |", code as u8));
    }
    page.push_str("\n## Global options\n");
    options(&mut page, &root, true);
    for command in root.get_subcommands() {
        section(&mut page, command, "akita");
    }
    page
}

/// One command, or those under a noun.
fn section(page: &mut String, command: &clap::Command, parent: &str) {
    if command.is_hide_set() || command.get_name() == "help" {
        return;
    }
    let name = format!("{parent} {}", command.get_name());
    if command.has_subcommands() {
        command.get_subcommands().for_each(|verb| section(page, verb, &name));
        return;
    }
    line(page, format_args!("\n## `{name}`\n"));
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    line(page, format_args!("{about}."));
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let (notes, examples) = after.split_once("Examples:").unwrap_or((&after, ""));
    if !notes.is_empty() {
        line(page, format_args!("\n{}", notes.trim()));
    }
    let names = command.get_positionals().map(|arg| format!(" {}", value_name(arg)));
    let usage: String = names.collect();
    let has_options = command.get_arguments().any(|arg| !arg.is_positional() && !hidden(arg) && !arg.is_global_set());
    let takes = if has_options { " [OPTIONS]" } else { "" };
    line(page, format_args!("\n```\n{name}{usage}{takes}\n```"));
    options(page, command, false);
    let examples: Vec<_> =
        examples.lines().map(|line| line.strip_prefix("  ").unwrap_or(line)).filter(|line| !line.is_empty()).collect();
    if !examples.is_empty() {
        line(page, format_args!("\n```sh\n{}\n```", examples.join("\n")));
    }
}

/// The arguments of a command: the global ones, or its own.
fn options(page: &mut String, command: &clap::Command, global: bool) {
    let wanted = |arg: &&clap::Arg| !hidden(arg) && arg.is_global_set() == global;
    let args: Vec<_> = command.get_arguments().filter(wanted).collect();
    if args.is_empty() {
        return;
    }
    page.push_str("\n| option | what it does |\n|---|---|\n");
    for arg in args {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let words: Vec<_> = arg.get_possible_values().iter().map(|v| v.get_name().to_owned()).collect();
        let takes_value = arg.get_num_args().is_some_and(|range| range.takes_values());
        let words =
            if words.is_empty() || !takes_value { String::new() } else { format!(" One of {}.", words.join(", ")) };
        let default = arg.get_default_values().first().filter(|_| takes_value);
        let default = default.map(|value| format!(" [default: {}]", value.to_string_lossy())).unwrap_or_default();
        line(page, format_args!("| `{}` | {help}{}{words}{default} |", spelled(arg), stop(&help)));
    }
}

/// A full stop, where something may follow the words.
fn stop(help: &str) -> &'static str {
    if help.ends_with(['.', ']']) { "" } else { "." }
}

fn spelled(arg: &clap::Arg) -> String {
    let short = arg.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
    let value = match arg.get_num_args() {
        Some(range) if !range.takes_values() => String::new(),
        _ => format!(" {}", value_name(arg)),
    };
    match arg.get_long() {
        Some(long) => format!("{short}--{long}{value}"),
        None => value.trim_start().to_owned(),
    }
}

fn value_name(arg: &clap::Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    names.first().map_or_else(|| arg.get_id().to_string().to_uppercase(), ToString::to_string)
}

fn hidden(arg: &clap::Arg) -> bool {
    arg.is_hide_set() || matches!(arg.get_id().as_str(), "help" | "version")
}

fn line(page: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(page, "{text}").expect("writing to a string cannot fail");
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// The generated pages are what the repository holds.
    fn compare(name: &str, expect: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
        if std::env::var_os("AKITA_BLESS").is_some() {
            std::fs::write(&path, expect).expect("docs can be written");
        }
        let held = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(held == expect, "docs/{name} is out of date; write it with: AKITA_BLESS=1 cargo test -p akita docs");
    }

    #[test]
    fn docs_of_the_command_line_are_up_to_date() {
        compare("cli.md", &super::markdown());
    }

    #[test]
    fn docs_of_the_settings_are_up_to_date() {
        compare("config.md", &crate::config::markdown());
    }
}
