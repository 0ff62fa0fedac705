//! `cargo xtask sim`: runs more seeds of the simulations in `host/core/tests/sim` than the test command does, and a seed
//! that failed once more. It knows no rule of theirs: they say what broke, and how to run it again.

use std::io::Read;
use std::process::Stdio;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use crate::paths::Paths;
use crate::step::{say, seconds};
use crate::toolchain::current_cargo;

/// Seeds of the first are this many times those of the second: a run of voters takes so much longer.
const CORE_PER_VOTERS: u64 = 5;

/// What `cargo xtask sim` takes.
///
/// Each seed is a world: nodes, a network that delays, loses, doubles, reorders and splits, clocks that run wrong, disks
/// that lose what was not synced or fail, clients and strangers. After every step the rules are looked at: what was
/// accepted is never lost, one result for each attempt, one holder of each assignment, one commit for each index, equal
/// states, and all comes to an end once the network works again. A seed always gives the same run. The first that breaks
/// a rule is shown with the operations that are needed for it and the command that runs it again; a seed that found a
/// mistake belongs into REGRESSIONS of the test that it is about.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask sim                                  both simulations, some minutes
  cargo xtask sim core --seeds 20000               the core's rules with many workers
  cargo xtask sim voters --seeds 2000 --nodes 5    the consensus engine with five voters
  cargo xtask sim core --seed 6793 --trace 5000    one seed again, with what happened
  cargo xtask sim large --nodes 1000 --minutes 60  a thousand workers for an hour")]
pub struct Args {
    /// Which simulation; the first two if none is named
    #[arg(value_enum)]
    what: Option<What>,
    /// Worlds to run; of voters a fifth of it, if both are run
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    seeds: u64,
    /// The first seed; taken from the clock where it is not given, so that each call looks at new ones
    #[arg(long, value_name = "S")]
    from: Option<u64>,
    /// Run this one seed only
    #[arg(long, value_name = "S", conflicts_with_all = ["seeds", "from"], requires = "what")]
    seed: Option<u64>,
    /// Nodes or voters in each world, instead of what its seed says (voters: 1 to 9)
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u64).range(1..))]
    nodes: Option<u64>,
    /// Virtual minutes of each world, instead of what its seed says
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u64).range(1..))]
    minutes: Option<u64>,
    /// Lines of what happened that are shown of a seed that failed
    #[arg(long, value_name = "LINES")]
    trace: Option<u64>,
}

/// One simulation.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// Workers, clients and strangers around the core, as nodes use it today
    Core,
    /// Voters on the real consensus engine
    Voters,
    /// One cluster of many workers, to see how long that takes
    Large,
}

impl What {
    fn test(self) -> &'static str {
        match self {
            What::Core => "whatever_goes_wrong_nothing_accepted_is_lost_and_every_task_comes_to_an_end",
            What::Voters => "voters::voters_lose_nothing_that_was_accepted_and_agree_again_when_they_can",
            What::Large => "many_nodes_form_one_cluster_within_a_minute_and_work",
        }
    }
}

/// Runs what was asked for; the first that fails ends it.
pub fn run(paths: &Paths, args: &Args) -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let from = args.from.unwrap_or(u64::try_from(now).unwrap_or_default());
    let chosen = match args.what {
        Some(what) => vec![(what, args.seeds)],
        None => vec![(What::Core, args.seeds), (What::Voters, args.seeds.div_ceil(CORE_PER_VOTERS))],
    };
    for (what, seeds) in chosen {
        simulate(paths, args, what, from, seeds)?;
    }
    Ok(())
}

fn simulate(paths: &Paths, args: &Args, what: What, from: u64, seeds: u64) -> Result<()> {
    let begun = Instant::now();
    let mut cargo = current_cargo();
    cargo.current_dir(&paths.root);
    // As the test command builds it: what is built already need not be built again.
    cargo.args(["test", "--quiet", "--workspace", "--locked", "--test", "sim", "--", "--nocapture", "--exact"]);
    cargo.arg(what.test()).env("AKITA_SIM_LOUD", "1").env("RUST_BACKTRACE", "0");
    let settings = [
        ("AKITA_SIM_SEED", args.seed),
        ("AKITA_SIM_FROM", Some(from)),
        ("AKITA_SIM_SEEDS", Some(seeds)),
        ("AKITA_SIM_NODES", args.nodes),
        ("AKITA_SIM_MINUTES", args.minutes),
        ("AKITA_SIM_TRACE", args.trace),
    ];
    for (name, value) in settings {
        match value {
            Some(value) => cargo.env(name, value.to_string()),
            None => cargo.env_remove(name),
        };
    }
    match args.seed {
        Some(seed) => say(&format!("seed {seed} ...")),
        None if what == What::Large => say("one large cluster ..."),
        None => say(&format!("{seeds} seeds from {from} on ...")),
    }
    let mut child = cargo.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cargo did not start")?;
    let mut said = String::new();
    child.stdout.take().expect("it is piped").read_to_string(&mut said).context("the simulation cannot be read")?;
    let status = child.wait().context("the simulation was lost")?;
    if !status.success() {
        bail!("a rule was broken, see above\nhint: the command that runs it again is the last line of what it said");
    }
    // A test that was renamed would pass by not being there.
    if !said.contains("1 passed") {
        bail!("no test is called {}\nhint: it was renamed; name it in host/xtask/src/sim.rs", what.test());
    }
    say(&format!("no rule was broken, in {}", seconds(begun.elapsed())));
    Ok(())
}
