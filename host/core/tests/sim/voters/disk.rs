//! A voter's disk: one database with one writer, as a node has. Writes are seen by the process at once and are safe after
//! the next sync, in their order; a sync takes time and may fail. When the power fails, of the writes that were not
//! synced some of the first are there and the rest are not.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use akita_core::Reply;
use openraft::{AsyncRuntime, entry::RaftEntry, storage::IOFlushed};
use openraft_rt_sim::SimRuntime;
use tokio::sync::oneshot;

use crate::{
    dice::Dice,
    voters::{
        engine::{Entry, LogId, Types, Vote, no_power},
        machine::{Digest, Machine},
    },
};

/// How long a sync takes, in microseconds, least and most.
const SYNC_US: (u64, u64) = (500, 6_000);

/// What a database holds.
#[derive(Default, Clone)]
pub struct Image {
    pub vote: Option<Vote>,
    pub purged: Option<LogId>,
    pub entries: BTreeMap<u64, Entry>,
    pub machine: Machine,
}

/// One transaction.
enum Write {
    Vote(Vote),
    Append(Vec<Entry>),
    /// Everything from there on.
    Truncate(u64),
    /// Everything up to there.
    Purge(LogId),
    Apply(Box<Entry>),
    Install(Box<Machine>),
}

impl Image {
    fn write(&mut self, write: &Write) {
        match write {
            Write::Vote(vote) => self.vote = Some(*vote),
            Write::Append(entries) => {
                self.entries.extend(entries.iter().map(|entry| (entry.index(), entry.clone())));
            }
            Write::Truncate(from) => drop(self.entries.split_off(from)),
            Write::Purge(to) => {
                self.entries = self.entries.split_off(&(to.index + 1));
                self.purged = Some(*to);
            }
            Write::Apply(entry) => drop(self.machine.apply(entry)),
            Write::Install(machine) => self.machine = (**machine).clone(),
        }
    }
}

enum Waiter {
    Engine(IOFlushed<Types>),
    Caller(oneshot::Sender<io::Result<()>>),
}

impl Waiter {
    fn tell(self, outcome: io::Result<()>) {
        match self {
            Waiter::Engine(flushed) => flushed.io_completed(outcome),
            Waiter::Caller(caller) => drop(caller.send(outcome)),
        }
    }
}

struct Inner {
    /// Changes with each start of the process: an older one writes no more.
    life: u64,
    now: Image,
    safe: Image,
    unsynced: VecDeque<Write>,
    waiting: Vec<Waiter>,
    syncing: bool,
    dice: Dice,
    stall: Duration,
    breaks: bool,
    /// A mistake on purpose: says that a write is safe before it is.
    lies: bool,
}

/// A process's handle; clones are the same.
#[derive(Clone)]
pub struct Disk {
    inner: Arc<Mutex<Inner>>,
    voter: u64,
    life: u64,
}

impl Disk {
    pub fn new(voter: u64, seed: u64, lies: bool) -> Disk {
        let inner = Inner {
            life: 0,
            now: Image::default(),
            safe: Image::default(),
            unsynced: VecDeque::new(),
            waiting: Vec::new(),
            syncing: false,
            dice: Dice::new(seed),
            stall: Duration::ZERO,
            breaks: false,
            lies,
        };
        Disk { inner: Arc::new(Mutex::new(inner)), voter, life: 0 }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The power fails, and a new process gets what is left.
    pub fn power_loss(&self) -> Disk {
        let mut inner = self.lock();
        inner.life += 1;
        let unsynced = std::mem::take(&mut inner.unsynced);
        let kept = inner.dice.place(unsynced.len() + 1);
        unsynced.iter().take(kept).for_each(|write| inner.safe.write(write));
        inner.now = inner.safe.clone();
        inner.waiting.clear();
        (inner.syncing, inner.breaks) = (false, false);
        Disk { inner: Arc::clone(&self.inner), voter: self.voter, life: inner.life }
    }

    /// Which process this is a handle of.
    pub fn life(&self) -> u64 {
        self.life
    }

    pub fn voter(&self) -> u64 {
        self.voter
    }

    pub fn set_stall(&self, stall: Duration) {
        self.lock().stall = stall;
    }

    /// The next sync fails.
    pub fn set_breaks(&self, breaks: bool) {
        self.lock().breaks = breaks;
    }

    /// Whether a power failure now would leave the entry, or what it led to.
    pub fn is_safe(&self, id: &LogId) -> bool {
        let inner = self.lock();
        let entry = inner.safe.entries.get(&id.index);
        entry.is_some_and(|entry| entry.log_id() == *id) || inner.safe.machine.index() >= id.index
    }

    fn alive(&self) -> io::Result<MutexGuard<'_, Inner>> {
        let inner = self.lock();
        if inner.life == self.life { Ok(inner) } else { Err(no_power()) }
    }

    /// The database as this process sees it.
    pub fn read<T>(&self, look: impl FnOnce(&Image) -> T) -> io::Result<T> {
        Ok(look(&self.alive()?.now))
    }

    pub fn machine<T>(&self, look: impl FnOnce(&Machine) -> T) -> io::Result<T> {
        self.read(|image| look(&image.machine))
    }

    fn write(&self, write: Write) -> io::Result<()> {
        let mut inner = self.alive()?;
        // What is applied was applied to the present image by who asked for it.
        if !matches!(write, Write::Apply(_)) {
            inner.now.write(&write);
        }
        inner.unsynced.push_back(write);
        Ok(())
    }

    /// Applies a committed entry: it need not last, because it is in the logs of most voters.
    pub fn apply(&self, entry: &Entry) -> io::Result<(Vec<Reply>, Digest)> {
        let (replies, digest) = {
            let mut inner = self.alive()?;
            (inner.now.machine.apply(entry), inner.now.machine.digest)
        };
        self.write(Write::Apply(Box::new(entry.clone())))?;
        Ok((replies, digest))
    }

    pub async fn install(&self, machine: Machine) -> io::Result<()> {
        self.write(Write::Install(Box::new(machine)))?;
        self.synced().await
    }

    pub async fn vote(&self, vote: &Vote) -> io::Result<()> {
        self.write(Write::Vote(*vote))?;
        self.synced().await
    }

    pub fn append(&self, entries: Vec<Entry>, flushed: IOFlushed<Types>) -> io::Result<()> {
        self.write(Write::Append(entries))?;
        self.sync_for(Waiter::Engine(flushed))
    }

    pub async fn truncate(&self, from: u64) -> io::Result<()> {
        self.write(Write::Truncate(from))?;
        self.synced().await
    }

    pub async fn purge(&self, to: LogId) -> io::Result<()> {
        self.write(Write::Purge(to))?;
        self.synced().await
    }

    async fn synced(&self) -> io::Result<()> {
        let (caller, told) = oneshot::channel();
        self.sync_for(Waiter::Caller(caller))?;
        told.await.unwrap_or_else(|_| Err(no_power()))
    }

    fn sync_for(&self, waiter: Waiter) -> io::Result<()> {
        let mut inner = self.alive()?;
        if inner.lies {
            drop(inner);
            waiter.tell(Ok(()));
            inner = self.alive()?;
        } else {
            inner.waiting.push(waiter);
        }
        if !std::mem::replace(&mut inner.syncing, true) {
            drop(SimRuntime::spawn(self.clone().sync()));
        }
        Ok(())
    }

    /// Syncs until nobody waits: all that was written meanwhile shares the next one.
    async fn sync(self) {
        loop {
            let (takes, writes, waiting) = {
                let Ok(mut inner) = self.alive() else { return };
                if inner.waiting.is_empty() && (inner.unsynced.is_empty() || !inner.lies) {
                    inner.syncing = false;
                    return;
                }
                let takes = Duration::from_micros(inner.dice.within(SYNC_US.0..SYNC_US.1)) + inner.stall;
                (takes, inner.unsynced.len(), std::mem::take(&mut inner.waiting))
            };
            SimRuntime::sleep(takes).await;
            let outcome = {
                let Ok(mut inner) = self.alive() else { return };
                if std::mem::take(&mut inner.breaks) {
                    Err(io::Error::other("the disk is broken"))
                } else {
                    let safe: Vec<Write> = inner.unsynced.drain(..writes).collect();
                    safe.iter().for_each(|write| inner.safe.write(write));
                    Ok(())
                }
            };
            for waiter in waiting {
                waiter.tell(outcome.as_ref().copied().map_err(|error| io::Error::other(error.to_string())));
            }
        }
    }
}
