//! One node's life: put together, run, and taken down in an order that loses nothing. It decides nothing in between.

mod build;
mod stop;

use std::time::Duration;

use akita_core::{Command, Millis, command::MAX_PRUNED};
use akita_mesh::Interfaces;
use tokio::task::JoinHandle;

use crate::{
    config::Settings,
    driver::{self, Driver},
    exit::ExitError,
    node::Node,
    store::Store,
};

/// How often ended tasks are looked through for those that may be forgotten.
const PRUNE_EVERY: Duration = Duration::from_secs(30);
/// How often the ledger's length is noted beside the database, if rows came: a small file each time.
const MARK_EVERY: Duration = Duration::from_secs(2);

/// Runs a node until it is told to stop or cannot go on.
///
/// # Errors
/// What kept it from starting, or made it stop.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    let grace = settings.shutdown_grace;
    // Before anything else, so that a signal during start-up ends it in order too.
    let signals = stop::Signals::listen()?;
    let interfaces = build::interfaces(&settings);
    let running = build::build(settings, interfaces).await?;
    let why = running.wait(signals).await;
    running.stop(why, grace).await
}

/// A complete node inside another program, without signals: for who brings interfaces that no setting names, such as a
/// wire in memory.
pub struct Embedded {
    running: build::Running,
    grace: Duration,
}

impl Embedded {
    /// Starts a node that reaches others by `interfaces`, whatever the settings say of them.
    ///
    /// # Errors
    /// What kept it from starting.
    pub async fn start(settings: Settings, interfaces: Interfaces) -> anyhow::Result<Embedded> {
        let grace = settings.shutdown_grace;
        Ok(Embedded { running: build::build(settings, interfaces).await?, grace })
    }

    /// The node as its users see it.
    pub fn node(&self) -> &Node {
        &self.running.node
    }

    /// Takes it down in order.
    ///
    /// # Errors
    /// The database could not be closed in order.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.running.stop(stop::Why::Asked, self.grace).await
    }
}

/// Notes how far the ledger has come, while the node runs.
fn spawn_marking(store: Store) -> JoinHandle<()> {
    tokio::spawn(async move {
        while store.mark().await.is_ok() {
            tokio::time::sleep(MARK_EVERY).await;
        }
    })
}

/// Forgets ended tasks that are older, or more, than the settings keep. The ledger keeps all its rows.
fn spawn_pruning(store: Store, driver: Driver, retention: Duration, keep_max: u64) -> JoinHandle<()> {
    let retention = Millis::try_from(retention.as_millis()).unwrap_or(Millis::MAX);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(PRUNE_EVERY).await;
            let older_than = driver::now().saturating_sub(retention);
            loop {
                match store.prunable(older_than, keep_max).await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        tracing::warn!(%error, "ended tasks could not be forgotten");
                        return;
                    }
                }
                // Whoever leads forgets for all voters; elsewhere this comes to nothing.
                if driver.commit(vec![Command::Prune { older_than, keep_max, most: MAX_PRUNED }]).await.is_err() {
                    break;
                }
            }
        }
    })
}

/// An error of the operator's making: a setting, a file, a port.
fn config(error: impl std::fmt::Display, hint: impl Into<String>) -> anyhow::Error {
    ExitError::config(error.to_string()).hint(hint).into()
}
