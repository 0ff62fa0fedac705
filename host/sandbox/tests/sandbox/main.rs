//! The sandbox from outside: real components, real limits. One binary, so that wasmtime is linked once.

mod attacks;
mod catalog;
mod deterministic;
mod grants;
mod guests;
mod interfaces;
mod isolation;
mod limits;
mod load;
mod reference;
mod run;
mod typed;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use akita_sandbox::{Failure, Job, JobEvent, Limits, Outcome, Plugin, Sandbox, SandboxConfig};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// Longer than anything here takes on a busy machine; a test that hangs fails by it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A sandbox with a cache of its own.
fn fresh() -> (Sandbox, TempDir) {
    let dir = TempDir::new().expect("a temporary folder");
    let sandbox = Sandbox::new(config(dir.path().join("cache"))).expect("a sandbox");
    (sandbox, dir)
}

fn config(cache_dir: PathBuf) -> SandboxConfig {
    SandboxConfig { slots: 4, cache_dir, ..SandboxConfig::default() }
}

/// The sandbox that most tests share.
fn shared() -> Sandbox {
    static SHARED: OnceLock<(Sandbox, TempDir)> = OnceLock::new();
    SHARED.get_or_init(fresh).0.clone()
}

fn load(component: &[u8]) -> Arc<Plugin> {
    shared().load_bytes(component).unwrap_or_else(|error| panic!("the guest does not load: {error}"))
}

fn job(input: &[u8]) -> Job {
    Job::new("run", "text/plain", input.to_vec())
}

async fn run(plugin: &Arc<Plugin>, job: Job) -> Outcome {
    tokio::time::timeout(PATIENCE, shared().run(plugin.clone(), job)).await.expect("the run ends")
}

/// Runs a guest that must fail.
async fn fail(component: &[u8], limits: Limits) -> Failure {
    run(&load(component), Job { limits, ..job(b"x") }).await.expect_err("the run fails")
}

/// Runs a guest and gives its events too.
async fn watch(component: &[u8], limits: Limits) -> (Outcome, Vec<JobEvent>) {
    let (sender, mut receiver) = mpsc::channel(10_000);
    let outcome = run(&load(component), Job { limits, events: Some(sender), ..job(b"x") }).await;
    let mut events = Vec::new();
    while let Some(event) = receiver.recv().await {
        events.push(event);
    }
    (outcome, events)
}
