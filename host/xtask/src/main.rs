//! `cargo xtask`: everything that is done to this repository, one file a command. It never contains anything that a node needs at run time.

mod bench;
mod debian;
mod demo;
mod http;
mod interrupt;
mod node;
mod paths;
mod plugins;
mod python;
mod setup;
mod step;
mod test;
mod toolchain;
mod tutorial;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::paths::Paths;

/// Sets up, builds, tests, demonstrates and measures Akita.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what a fresh machine lacks: the WebAssembly target, a C compiler, Python's Reticulum for one test
    Setup,
    /// Build every plugin into plugins/NAME.wasm
    Plugins(plugins::Args),
    /// Check format, lints and licences, and run every test
    Test,
    /// Start two nodes that meet over Reticulum, and show them at work
    Demo(demo::Args),
    /// Measure speed, memory and size of an optimised build
    Bench(bench::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let paths = Paths::of_this_checkout();
    let outcome = match cli.command {
        Task::Setup => setup::run(&paths),
        Task::Plugins(args) => plugins::run(&paths, &args),
        Task::Test => test::run(&paths),
        Task::Demo(args) => demo::run(&paths, &args),
        Task::Bench(args) => bench::run(&paths, &args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
