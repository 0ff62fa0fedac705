//! How the node agrees on the next entry of its log, behind one handle whatever the engine. It owns the order and the
//! time of entries; it never decides what is proposed. Nothing that it answers was not durable before.

use std::{
    future::Future,
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use akita_core::{
    ClusterId, NodeId,
    autopilot::Profile,
    command::{Command, MAX_COMMANDS, Reply},
    id::Millis,
    state::{Change, State},
    wire,
};
use tokio::sync::{mpsc, oneshot, watch};

use crate::store::{self, DataDir, NotTaken, Signer, Store, StoreError, Writer};

mod change;
mod raft;
mod single;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod voters_tests;

use raft::Voter;

/// Where snapshots lie on their way to and from other voters; emptied at each start.
const SNAPSHOT_DIR: &str = "snapshots";

/// The leader's clock, in milliseconds since the epoch. It may stand still or go back; the log's time does not.
pub type Clock = Arc<dyn Fn() -> Millis + Send + Sync>;

/// Why something was not committed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConsensusError {
    /// The queue of proposals is full. Try again when some were answered.
    #[error("the node has more to commit than its disk can take at the moment")]
    Busy,
    /// Another node leads, or nobody can tell. Whether the commands are in the log, or will be, is not known.
    #[error("this node does not lead, or the voters do not answer")]
    NotLeader,
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
            ConsensusError::NotLeader => "ask the leader; `akita cluster status` shows who leads",
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
    /// The number under which this node proposed it, if it did.
    pub own: Option<u64>,
}

/// What happens in the log, to the one who follows it.
#[derive(Debug)]
pub enum Event {
    /// An entry is committed, and the state has it.
    Applied(Applied),
    /// What this node proposed under that number was not committed under its lead. It may be, all the same.
    Failed(u64),
    /// This node was elected, and has applied all that was committed before.
    Leads {
        /// Of the election.
        term: u64,
        /// The state from here on.
        state: Box<State>,
        /// The log's time.
        time: Millis,
    },
    /// This node leads no more.
    Follows,
    /// The whole state was replaced by another voter's, or by an empty one.
    Replaced,
}

/// What this node is among several voters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Role {
    /// The cluster whose log it votes on; nothing where it is the only voter of its own.
    pub cluster: Option<ClusterId>,
    /// Its number.
    pub number: u64,
    /// The voters' timing.
    pub profile: Option<Profile>,
    /// It leads, and knows all that was committed before.
    pub leads: bool,
    /// Who leads, as far as it knows and as long as most voters answer.
    pub leader: Option<NodeId>,
    /// Most voters answer this leader, or a leader is heard here.
    pub quorum: bool,
    /// Of the last election that it knows of.
    pub term: u64,
    /// Who votes: numbers and nodes.
    pub voters: Vec<(u64, NodeId)>,
    /// Who receives the log without a vote.
    pub learners: Vec<(u64, NodeId)>,
}

impl Role {
    /// Whether this node is one of several that hold the log.
    pub fn is_voter(&self) -> bool {
        self.cluster.is_some()
    }
}

/// Carries calls between voters.
pub trait Transport: Send + Sync + 'static {
    /// Sends one and waits for the answer, or says why there is none.
    fn call(
        &self,
        node: NodeId,
        call: wire::Raft,
        wait: Duration,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send + '_>>;

    /// Round trip to a node in milliseconds; 0 where it was not measured.
    fn rtt_ms(&self, node: NodeId) -> u32;
}

pub(crate) type Answer = Result<Committed, ConsensusError>;

/// What [`open`] gives.
pub struct Opened {
    /// For proposing.
    pub consensus: Consensus,
    /// Everything from now on, in order, each entry before its proposer is answered. Unbounded, because what waits in it
    /// was bounded as a proposal and the writer must not wait for its reader.
    pub events: mpsc::UnboundedReceiver<Event>,
    /// The state before the first of these.
    pub state: State,
    /// The last entry in it; 0: none yet.
    pub index: u64,
    /// That entry's time: the log's time goes on from there, whatever the clock says.
    pub time: Millis,
    /// For reading, and for what is written beside the log.
    pub store: Store,
    /// The node is one of several voters.
    pub votes: bool,
}

/// The handle for proposing. Clones share it.
#[derive(Clone)]
pub struct Consensus(Arc<Inner>);

struct Inner {
    me: NodeId,
    engine: RwLock<Engine>,
    /// One change of the engine at a time.
    moving: tokio::sync::Mutex<()>,
    writer: Writer,
    store: Store,
    clock: Clock,
    snapshots: PathBuf,
    events: mpsc::UnboundedSender<Event>,
    role: Arc<watch::Sender<Role>>,
    transport: OnceLock<Arc<dyn Transport>>,
    /// Numbers of proposals.
    next: AtomicU64,
}

#[derive(Clone)]
enum Engine {
    /// This node is the only voter of its log.
    Single(single::Single),
    /// It is one of several.
    Voter(Voter),
    /// Between the two; nothing is taken for a moment.
    Moving,
}

/// A proposal on its way.
pub struct Submitted {
    /// The number under which its entry will be heard of.
    pub number: u64,
    /// For who waits for it alone. Dropped unanswered, the store stopped.
    pub answer: oneshot::Receiver<Answer>,
}

/// Opens the log in the database `file` of `dir`. Blocks while it reads the tasks that have not ended. A node that is
/// one of several voters takes part once it is [connected](Consensus::connect).
///
/// # Errors
/// The database cannot be opened, is damaged, or was written by a newer version.
pub fn open(dir: &DataDir, file: &str, signer: Signer, clock: Clock) -> Result<Opened, StoreError> {
    let me = signer.key.node;
    let opened = store::open(dir, file, signer)?;
    let (events, receiver) = mpsc::unbounded_channel();
    let single = single::Single::new(opened.writer.clone(), clock.clone(), events.clone());
    let engine = if opened.votes { Engine::Moving } else { Engine::Single(single) };
    let consensus = Consensus(Arc::new(Inner {
        me,
        engine: RwLock::new(engine),
        moving: tokio::sync::Mutex::new(()),
        writer: opened.writer,
        store: opened.store.clone(),
        clock,
        snapshots: dir.file(SNAPSHOT_DIR),
        events,
        role: Arc::new(watch::Sender::new(Role::default())),
        transport: OnceLock::new(),
        next: AtomicU64::new(1),
    }));
    Ok(Opened {
        consensus,
        events: receiver,
        state: opened.state,
        index: opened.position.index,
        time: opened.position.time,
        store: opened.store,
        votes: opened.votes,
    })
}

impl Consensus {
    /// Commits the commands as one entry, waiting for room in the queue; answers when they are durable.
    ///
    /// # Errors
    /// [`ConsensusError::TooMany`], [`ConsensusError::NotLeader`], or the store stopped.
    pub async fn propose(&self, commands: Vec<Command>) -> Result<Committed, ConsensusError> {
        check(&commands)?;
        let answer = match self.engine() {
            Engine::Single(single) => single.propose(commands, self.number()).await?,
            Engine::Voter(voter) => voter.submit(commands, self.number())?,
            Engine::Moving => return Err(ConsensusError::Busy),
        };
        self.answer(answer).await
    }

    /// Queues the commands as one entry, without waiting. Calls that follow each other make entries in that order.
    ///
    /// # Errors
    /// [`ConsensusError::Busy`], [`ConsensusError::TooMany`], or the store stopped.
    pub fn submit(&self, commands: Vec<Command>) -> Result<Submitted, ConsensusError> {
        check(&commands)?;
        let number = self.number();
        let answer = match self.engine() {
            Engine::Single(single) => single.submit(commands, number)?,
            Engine::Voter(voter) => voter.submit(commands, number)?,
            Engine::Moving => return Err(ConsensusError::Busy),
        };
        Ok(Submitted { number, answer })
    }

    /// Waits for what was submitted.
    ///
    /// # Errors
    /// As for [`Consensus::propose`].
    pub async fn answer(&self, answer: oneshot::Receiver<Answer>) -> Answer {
        answer.await.unwrap_or_else(|_| Err(self.0.writer.reason().into()))
    }

    fn number(&self) -> u64 {
        self.0.next.fetch_add(1, Ordering::Relaxed)
    }

    fn engine(&self) -> Engine {
        self.0.engine.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_engine(&self, engine: Engine) -> Engine {
        std::mem::replace(&mut *self.0.engine.write().unwrap_or_else(PoisonError::into_inner), engine)
    }

    fn voter(&self) -> Option<Voter> {
        match self.engine() {
            Engine::Voter(voter) => Some(voter),
            _ => None,
        }
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
