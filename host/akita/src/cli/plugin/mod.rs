//! `akita plugin`: what a node can run, and what a file would bring, and how one is made.

mod build;
mod dev;
mod inspect;
mod keygen;
mod list;
mod new;
mod registry;
mod run;
mod sign;
mod switch;
mod teller;
mod test;
mod verify;

use clap::Subcommand;

use super::Globals;
use super::session::Session;
use crate::exit::ExitError;

/// Make plugins, see what they offer, set them aside, sign them, fetch them
#[derive(Debug, Subcommand)]
pub enum Plugin {
    List(list::List),
    Inspect(inspect::Inspect),
    Enable(switch::Enable),
    Disable(switch::Disable),
    Sign(sign::Sign),
    Verify(verify::Verify),
    Keygen(keygen::Keygen),
    New(new::New),
    Build(build::Build),
    Run(run::Run),
    Test(test::Test),
    Dev(dev::Dev),
    Pull(registry::Pull),
    Push(registry::Push),
}

pub fn run(session: &mut Session<'_>, globals: &Globals, verb: &Plugin) -> Result<(), ExitError> {
    match verb {
        Plugin::List(args) => list::run(session, globals, args),
        Plugin::Inspect(args) => inspect::run(session, globals, args),
        Plugin::Enable(args) => switch::enable(session, globals, args),
        Plugin::Disable(args) => switch::disable(session, globals, args),
        Plugin::Sign(args) => sign::run(session, globals, args),
        Plugin::Verify(args) => verify::run(session, globals, args),
        Plugin::Keygen(args) => keygen::run(session, globals, args),
        Plugin::New(args) => new::run(session, globals, args),
        Plugin::Build(args) => build::run(session, globals, args),
        Plugin::Run(args) => run::run(session, globals, args),
        Plugin::Test(args) => test::run(session, globals, args),
        Plugin::Dev(args) => dev::run(session, globals, args),
        Plugin::Pull(args) => registry::pull(session, globals, args),
        Plugin::Push(args) => registry::push(session, globals, args),
    }
}
