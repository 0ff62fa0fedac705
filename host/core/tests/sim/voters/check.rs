//! What must always hold of a log that several voters share. The judge sees every entry that any of them applies, every
//! snapshot, every answer to a client and every leader; it believes none of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use akita_core::{Command, Reply, TaskId};
use openraft::{EntryPayload, entry::RaftEntry};

use crate::voters::{
    engine::{Entry, LogId, pack},
    machine::{Digest, Machine},
};

/// An index of the log, as the first voter that applied it saw it.
struct Committed {
    id: LogId,
    bytes: Vec<u8>,
    digest: Digest,
    replies: Vec<Reply>,
}

#[derive(Default)]
struct Inner {
    committed: BTreeMap<u64, Committed>,
    accepted: BTreeSet<TaskId>,
    attempts: BTreeMap<TaskId, u32>,
    taken: BTreeSet<(TaskId, u32)>,
    /// By term and number: where two lead in one term, the one with the larger number has outvoted the other, as the
    /// engine orders votes.
    leaders: BTreeSet<(u64, u64)>,
    violation: Option<String>,
    operations: u64,
    applied: u64,
    snapshots: u64,
}

#[derive(Default)]
pub struct Judge(Mutex<Inner>);

/// Sums of one run.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    /// Commands that were committed.
    pub operations: u64,
    /// Entries that voters applied.
    pub applied: u64,
    /// Snapshots that voters were given.
    pub snapshots: u64,
    pub leaders: u64,
}

impl Inner {
    fn hold(&mut self, holds: bool, rule: &str, detail: impl FnOnce() -> String) {
        if !holds && self.violation.is_none() {
            self.violation = Some(format!("{rule}: {}", detail()));
        }
    }

    /// The first time that anybody applies the entry.
    fn first(&mut self, entry: &Entry, replies: &[Reply]) {
        let EntryPayload::Normal(proposal) = &entry.payload else { return };
        for (command, _) in proposal.commands.iter().zip(replies).filter(|(_, reply)| **reply == Reply::Done) {
            self.operations += 1;
            match command {
                Command::Submit { id, .. } => drop(self.attempts.insert(*id, 0)),
                Command::Assign { task, .. } => *self.attempts.entry(*task).or_default() += 1,
                Command::Finish { task, .. } => {
                    let attempt = self.attempts.get(task).copied().unwrap_or_default();
                    let fresh = self.taken.insert((*task, attempt));
                    self.hold(fresh, "one result for each task and attempt", || format!("{task} attempt {attempt}"));
                }
                _ => {}
            }
        }
    }
}

impl Judge {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn violation(&self) -> Option<String> {
        self.lock().violation.clone()
    }

    pub fn hold(&self, holds: bool, rule: &str, detail: impl FnOnce() -> String) {
        self.lock().hold(holds, rule, detail);
    }

    /// A voter has applied an entry.
    pub fn applied(&self, voter: u64, entry: &Entry, digest: Digest, replies: Vec<Reply>) {
        let (index, bytes) = (entry.index(), pack(&entry.payload));
        let mut inner = self.lock();
        inner.applied += 1;
        match inner.committed.get(&index) {
            None => {
                let follows = index == 1 || index == 0 || inner.committed.contains_key(&(index - 1));
                inner.hold(follows, "the log has no gaps", || format!("entry {index} on voter {voter}"));
                let before = inner.committed.last_key_value().map(|(_, before)| before.id);
                let grows = before.as_ref().is_none_or(|before| *before < entry.log_id());
                inner.hold(grows, "who led earlier commits nothing after who led later", || {
                    format!("{} after {before:?}", entry.log_id())
                });
                let led = inner.leaders.contains(&(entry.log_id().leader_id.term, entry.log_id().leader_id.node_id));
                inner.hold(led || index == 0, "only a leader's entries are committed", || entry.log_id().to_string());
                inner.first(entry, &replies);
                inner.committed.insert(index, Committed { id: entry.log_id(), bytes, digest, replies });
            }
            Some(known) => {
                let one = known.id == entry.log_id() && known.bytes == bytes;
                let same = known.digest == digest && known.replies == replies;
                inner.hold(one, "one commit for each index, for ever", || format!("entry {index} on voter {voter}"));
                inner.hold(same, "equal state at an equal index", || format!("entry {index} on voter {voter}"));
            }
        }
    }

    /// A voter was given the state by another.
    pub fn installed(&self, voter: u64, machine: &Machine) {
        let mut inner = self.lock();
        inner.snapshots += 1;
        let same = inner.committed.get(&machine.index()).is_some_and(|known| known.digest == machine.digest);
        inner.hold(same, "a snapshot is the state at its index", || format!("{} on voter {voter}", machine.index()));
    }

    /// A client was told that its commands are at this place of the log. Answers the tasks that are accepted by it.
    pub fn answered(&self, id: &LogId, commands: &[Command], safe: bool) {
        let mut inner = self.lock();
        let known = inner.committed.get(&id.index).filter(|known| known.id == *id);
        let replies = known.map(|known| known.replies.clone());
        inner.hold(replies.is_some(), "what is answered is committed", || format!("{id}"));
        inner.hold(safe, "what is answered is on the disks of a majority", || format!("{id}"));
        for (command, reply) in commands.iter().zip(replies.unwrap_or_default()) {
            if let (Command::Submit { id, .. }, Reply::Done | Reply::Known(_)) = (command, reply) {
                inner.accepted.insert(*id);
            }
        }
    }

    /// A voter leads.
    pub fn leads(&self, term: u64, voter: u64) {
        self.lock().leaders.insert((term, voter));
    }

    /// Everything works again, and this voter has everything.
    pub fn at_the_end(&self, voter: u64, machine: &Machine) {
        let mut inner = self.lock();
        let lost: Vec<TaskId> = inner.accepted.iter().filter(|task| !machine.knows(**task)).copied().collect();
        inner.hold(lost.is_empty(), "accepted is never lost", || format!("voter {voter} does not know {lost:?}"));
        let last = inner.committed.last_key_value().map(|(index, _)| *index);
        let all = last == Some(machine.index());
        inner.hold(all, "every voter comes to the end of the log", || {
            format!("voter {voter} is at {} of {last:?}", machine.index())
        });
    }

    pub fn counts(&self) -> Counts {
        let inner = self.lock();
        Counts {
            operations: inner.operations,
            applied: inner.applied,
            snapshots: inner.snapshots,
            leaders: inner.leaders.len() as u64,
        }
    }
}
