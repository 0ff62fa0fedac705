//! `cargo xtask bench`: numbers of an optimised build on this machine, with the goals that they are held against and
//! with what the machine itself can do, measured in the same run. It judges nothing: a slow disk is no failure.

mod baseline;
mod cluster;
mod load;
mod plugins;
mod single;
mod snapshot;
mod table;
mod voters;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::interrupt::Interrupt;
use crate::node;
use crate::paths::Paths;
use crate::plugins as guests;
use crate::step::say;
use table::Table;

/// What `cargo xtask bench` takes.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// Tasks in each measurement of throughput
    #[arg(long, value_name = "N", default_value_t = 5000, global = true)]
    tasks: usize,
    /// After everything else, run this many more tasks and see what became of memory and latency
    #[arg(long, value_name = "N")]
    soak: Option<usize>,
    /// Measure this program, with the plugins as they lie in `plugins/`, and build nothing
    #[arg(long, value_name = "FILE", global = true)]
    binary: Option<PathBuf>,
}

/// A part of it.
#[derive(clap::Subcommand)]
enum What {
    /// Plugins only: runs a second, how soon a guest is stopped, what spinning guests cost a node, 200 plugins at a start
    Plugins,
    /// Snapshots only: the state of 100,000 tasks for a node that begins to vote
    Snapshot,
    /// Kill the leader of three voters under load, again and again: time to the next accepted task, and what was lost
    Failover {
        /// How often
        #[arg(long, value_name = "N", default_value_t = 30)]
        kills: usize,
    },
    /// Three voters beside one node: tasks accepted durably, echoes run, CPU and memory when idle
    Voters,
}

/// What every measurement needs.
struct Bench {
    binary: PathBuf,
    folder: PathBuf,
    plugins: PathBuf,
    tasks: usize,
    soak: Option<usize>,
    interrupt: Interrupt,
}

/// Builds, measures, prints a table.
pub fn run(paths: &Paths, args: &Args) -> Result<()> {
    let binary = match &args.binary {
        Some(binary) => fs::canonicalize(binary).with_context(|| format!("there is no {}", binary.display()))?,
        None => {
            guests::run(paths, &guests::Args::default())?;
            node::build(paths, true)?
        }
    };
    let folder = paths.scratch.join("bench");
    let plugins = lay_out(paths, &folder)?;
    let interrupt = Interrupt::install()?;
    let bench = Bench { binary, folder, plugins, tasks: args.tasks, soak: args.soak, interrupt };
    let mut table = Table::default();
    match args.what {
        Some(What::Plugins) => plugins::measure(paths, &bench, &mut table)?,
        Some(What::Snapshot) => snapshot::measure(&bench, &mut table)?,
        Some(What::Failover { kills }) => voters::failover(&bench, kills, &mut table)?,
        Some(What::Voters) => voters::throughput(&bench, &mut table)?,
        None => {
            size(&bench.binary, &mut table)?;
            baseline::disk(&bench, &mut table)?;
            single::measure(&bench, &mut table)?;
            cluster::measure(&bench, &mut table)?;
        }
    }
    print!("{}", table.text());
    let file = bench.folder.join("bench.json");
    fs::write(&file, table.json().to_string()).with_context(|| format!("could not write {}", file.display()))?;
    say(&format!("also in {}", file.display()));
    Ok(())
}

/// A fresh folder with the starter plugins.
fn lay_out(paths: &Paths, folder: &Path) -> Result<PathBuf> {
    let plugins = folder.join("plugins");
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("could not remove {}", folder.display()))?;
    }
    fs::create_dir_all(&plugins).with_context(|| format!("could not create {}", plugins.display()))?;
    for file in ["basics.wasm", "digest.wasm", "faulty.wasm", "image.wasm", "stats.wasm"] {
        fs::copy(paths.plugins.join(file), plugins.join(file)).with_context(|| format!("could not copy {file}"))?;
    }
    Ok(plugins)
}

fn size(binary: &Path, table: &mut Table) -> Result<()> {
    let bytes = fs::metadata(binary).with_context(|| format!("could not look at {}", binary.display()))?.len();
    table.row("binary, stripped", bytes as f64 / 1e6, "MB", "<= 40");
    Ok(())
}
