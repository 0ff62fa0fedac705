//! Ctrl-C while nodes of ours run: it is noticed and obeyed, so that they are always stopped. It stops nothing itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// How often a condition is looked at: fast beside what people notice, slow beside an HTTP request.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Whether somebody asked us to stop.
#[derive(Clone)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on Ctrl-C is remembered instead of ending the process.
    pub fn install() -> Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, flag.clone()).context("could not watch for Ctrl-C")?;
        }
        Ok(Self(flag))
    }

    /// An error once somebody asked.
    pub fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) { bail!("interrupted") } else { Ok(()) }
    }

    /// Sleeps until somebody asks.
    pub fn wait(&self) {
        while self.check().is_ok() {
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Looks again and again until `look` finds something; `what` says what was waited for if it never does.
    pub fn until<T>(&self, what: &str, limit: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        let end = Instant::now() + limit;
        loop {
            self.check()?;
            if let Some(found) = look()? {
                return Ok(found);
            }
            if Instant::now() >= end {
                bail!("{what} did not happen within {} s", limit.as_secs());
            }
            thread::sleep(LOOK_EVERY);
        }
    }
}
