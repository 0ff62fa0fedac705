//! Taking a node down: stop intake, give out no more work, let what runs end, deliver what it came to, flush the ledger,
//! close the mesh. One grace period for all of it; a second signal ends the process at once.

use std::time::{Duration, Instant};

use akita_core::EventType;
use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::build::Running;
use crate::{
    exit::{ExitCode, ExitError},
    store::StoreError,
};

/// Exit code of a process that is stopped the hard way: as a shell reports SIGINT.
const HARD_EXIT: i32 = 130;
/// Time for what remains once the grace period is over: the last commit and the mesh's goodbye.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// SIGTERM and SIGINT.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn listen() -> anyhow::Result<Signals> {
        let on = |kind| signal(kind).context("the system lets the process take no signals");
        Ok(Signals { terminate: on(SignalKind::terminate())?, interrupt: on(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Why a node stops.
pub(super) enum Why {
    /// Somebody asked.
    Asked,
    /// It cannot go on.
    Broken(anyhow::Error),
}

impl Running {
    /// Waits for a reason to stop. From then on, another signal ends the process at once.
    pub(super) async fn wait(&self, mut signals: Signals) -> Why {
        let why = tokio::select! {
            () = signals.next() => {
                tracing::info!("asked to stop; running tasks are let end, a second signal stops at once");
                Why::Asked
            }
            () = self.asked.cancelled() => Why::Asked,
            error = self.store.failed() => Why::Broken(broken(&error)),
            () = self.driver.ended() => Why::Broken(self.loop_ended().await),
        };
        self.asked.cancel();
        tokio::spawn(async move {
            signals.next().await;
            eprintln!("akita: stopped at once, as asked twice; tasks that ran will run again");
            std::process::exit(HARD_EXIT);
        });
        why
    }

    /// Why the loop ended: mostly because the store did, which may be noticed a little later.
    async fn loop_ended(&self) -> anyhow::Error {
        match tokio::time::timeout(Duration::from_secs(1), self.store.failed()).await {
            Ok(error) => broken(&error),
            Err(_) => anyhow::anyhow!("the node's loop ended; the lines before this one say why"),
        }
    }

    /// Takes the node down.
    pub(super) async fn stop(self, why: Why, grace: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + grace;
        self.intake.cancel();
        self.pruning.abort();
        self.marking.abort();
        // It may be in the middle of a commit, which the log takes or not; nothing of it is needed any more.
        self.keeping.abort();
        if let Why::Broken(error) = why {
            self.sandbox.shutdown();
            self.mesh.shutdown().await;
            return Err(error);
        }
        self.driver.pause().await;
        if let Some(api) = self.api {
            let _ = tokio::time::timeout(left(deadline), api).await;
        }
        let _ = tokio::time::timeout(left(deadline).min(LAST_WORDS), self.cluster.leave()).await;
        let _ = tokio::time::timeout(left(deadline).min(LAST_WORDS), self.cluster.hand_over_lead()).await;
        self.executor.drain(left(deadline)).await;
        let _ = tokio::time::timeout(LAST_WORDS, self.results).await;
        let _ = tokio::time::timeout(left(deadline).max(LAST_WORDS), self.cluster.delivered()).await;
        let name = vec![("name".to_owned(), self.node.name.clone())];
        let goodbye = self.cluster.record(EventType::NodeStop, self.node.me, name);
        let _ = tokio::time::timeout(LAST_WORDS, goodbye).await;
        self.cluster.stop();
        let _ = tokio::time::timeout(LAST_WORDS, self.members).await;
        self.service.abort();
        let _ = tokio::time::timeout(LAST_WORDS, self.consensus.stop()).await;
        let closed = self.store.close().await;
        let _ = self.store.mark().await;
        self.sandbox.shutdown();
        self.mesh.shutdown().await;
        tracing::info!("the node has stopped");
        closed.context("the database could not be closed in order; nothing that was accepted is lost")
    }
}

/// What the operator can mend is told as a wrong file, the rest as a fault of the program.
fn broken(error: &StoreError) -> anyhow::Error {
    let code = match error {
        StoreError::DiskFull | StoreError::Disk(_) | StoreError::Damaged(_) => ExitCode::Config,
        _ => ExitCode::Internal,
    };
    ExitError::new(code, format!("the database cannot be written: {error}")).hint(error.hint()).into()
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}
