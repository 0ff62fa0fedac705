//! How the node agrees on the next entry of its log, behind one handle whatever the engine. It owns the order and the
//! time of entries; it never decides what is proposed. Nothing that it answers was not durable before.

use std::sync::Arc;

use akita_core::{
    command::{Command, MAX_COMMANDS, Reply},
    id::Millis,
    state::{Change, State},
};
use tokio::sync::{mpsc, oneshot};

use crate::store::{self, DataDir, NotTaken, Signer, Store, StoreError};

mod single;
#[cfg(test)]
mod tests;

/// The leader's clock, in milliseconds since the epoch. It may stand still or go back; the log's time does not.
pub type Clock = Arc<dyn Fn() -> Millis + Send + Sync>;

/// Why something was not committed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConsensusError {
    /// The queue of proposals is full. Try again when some were answered.
    #[error("the node has more to commit than its disk can take at the moment")]
    Busy,
    /// More than one entry may hold.
    #[error("an entry holds at most {MAX_COMMANDS} commands, not {0}")]
    TooMany(usize),
    /// The store stopped. Whether the commands are in the log is not known.
    #[error("the log cannot be written: {0}")]
    Store(#[from] StoreError),
}

impl ConsensusError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            ConsensusError::Busy => "try again in a moment, or submit less at a time",
            ConsensusError::TooMany(_) => "split the batch",
            ConsensusError::Store(error) => error.hint(),
        }
    }
}

/// An entry that is committed, to the one who proposed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Its place in the log, from 1.
    pub index: u64,
    /// Its time.
    pub time: Millis,
    /// One for each command.
    pub replies: Vec<Reply>,
}

/// An entry that is committed, to the one who follows the log.
#[derive(Debug, PartialEq, Eq)]
pub struct Applied {
    /// Its place in the log, from 1.
    pub index: u64,
    /// Its time.
    pub time: Millis,
    /// What it changed.
    pub changes: Vec<Change>,
    /// One for each command.
    pub replies: Vec<Reply>,
}

/// What [`open`] gives.
pub struct Opened {
    /// For proposing.
    pub consensus: Consensus,
    /// Every entry from now on, in order, each before its proposer is answered. Unbounded, because what waits in it
    /// was bounded as a proposal and the writer must not wait for its reader.
    pub applied: mpsc::UnboundedReceiver<Applied>,
    /// The state before the first of these.
    pub state: State,
    /// The last entry in it; 0: none yet.
    pub index: u64,
    /// For reading, and for what is written beside the log.
    pub store: Store,
}

/// The handle for proposing. Clones share it.
#[derive(Clone)]
pub struct Consensus {
    engine: single::Single,
}

/// Opens the log in the database `file` of `dir`, with this node as its only voter. Blocks while it reads the tasks
/// that have not ended.
///
/// # Errors
/// The database cannot be opened, is damaged, or was written by a newer version.
pub fn open(dir: &DataDir, file: &str, signer: Signer, clock: Clock) -> Result<Opened, StoreError> {
    let opened = store::open(dir, file, signer)?;
    let (engine, applied) = single::Single::new(opened.writer, clock);
    Ok(Opened {
        consensus: Consensus { engine },
        applied,
        state: opened.state,
        index: opened.position.index,
        store: opened.store,
    })
}

impl Consensus {
    /// Commits the commands as one entry, waiting for room in the queue; answers when they are durable.
    ///
    /// # Errors
    /// [`ConsensusError::TooMany`], or the store stopped.
    pub async fn propose(&self, commands: Vec<Command>) -> Result<Committed, ConsensusError> {
        check(&commands)?;
        let answer = self.engine.propose(commands).await?;
        self.engine.answer(answer).await
    }

    /// Queues the commands as one entry, without waiting. Calls that follow each other make entries in that order.
    ///
    /// # Errors
    /// [`ConsensusError::Busy`], [`ConsensusError::TooMany`], or the store stopped. A receiver that is dropped
    /// unanswered means that the store stopped.
    pub fn submit(
        &self,
        commands: Vec<Command>,
    ) -> Result<oneshot::Receiver<Result<Committed, ConsensusError>>, ConsensusError> {
        check(&commands)?;
        self.engine.submit(commands)
    }
}

fn check(commands: &[Command]) -> Result<(), ConsensusError> {
    if commands.len() > MAX_COMMANDS { Err(ConsensusError::TooMany(commands.len())) } else { Ok(()) }
}

impl single::Single {
    fn refused(&self, why: NotTaken) -> ConsensusError {
        match why {
            NotTaken::Busy => ConsensusError::Busy,
            NotTaken::Stopped => ConsensusError::Store(self.reason()),
        }
    }
}
