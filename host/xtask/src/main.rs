//! `cargo xtask`: everything that is done to this repository, one file a command. It never contains anything that a node needs at run time.

mod bench;
mod debian;
mod demo;
mod http;
mod interrupt;
mod languages;
mod node;
mod nodejs;
mod paths;
mod plugins;
mod projects;
mod python;
mod setup;
mod sim;
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
    /// Install what a fresh machine lacks: the WebAssembly target, a C compiler, Python's Reticulum for one test, and the
    /// compilers of plugins in C, JavaScript and Python
    Setup,
    /// Build the plugins into plugins/NAME.wasm
    Plugins(plugins::Args),
    /// Check format, lints and licences, and run every test
    Test(test::Args),
    /// Start two nodes that meet over Reticulum, and show them at work
    Demo(demo::Args),
    /// Measure speed, memory and size of an optimised build
    Bench(bench::Args),
    /// Simulate clusters and voters under everything that can go wrong, from seeds
    Sim(sim::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let paths = Paths::of_this_checkout();
    let outcome = match cli.command {
        Task::Setup => setup::run(&paths),
        Task::Plugins(args) => plugins::run(&paths, &args),
        Task::Test(args) => test::run(&paths, &args),
        Task::Demo(args) => demo::run(&paths, &args),
        Task::Bench(args) => bench::run(&paths, &args),
        Task::Sim(args) => sim::run(&paths, &args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
