//! The voters' log in the database: appended by the writer's one thread, several entries in a transaction, and told of
//! when it is on the disk. The newest entries are kept in memory as well: they are what others still need.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    io,
    ops::{Bound, RangeBounds},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use openraft::{
    LogState, OptionalSend, RaftLogReader,
    entry::RaftEntry,
    storage::{IOFlushed, RaftLogStorage},
};

use super::types::{Entry, LogId, Types, Vote, as_io, pack, unpack};
use crate::{
    killpoint::Point,
    store::{Machine, SMALL, Store, Writer, note},
};

/// Bytes of entries that are kept in memory beside those that are not on the disk yet: what a voter that lags by a
/// second or two asks for.
const RECENT_BYTES: usize = 8 << 20;
/// Bytes of entries that are sent at once, if there is more than one: a lost message must not cost too much.
const SENT_BYTES: usize = 1 << 20;

/// A handle; clones are the same log.
#[derive(Clone)]
pub(crate) struct Log {
    store: Store,
    writer: Writer,
    recent: Arc<Mutex<Recent>>,
}

/// The end of the log. What is older is on the disk alone.
#[derive(Default)]
struct Recent {
    entries: BTreeMap<u64, (Entry, usize)>,
    bytes: usize,
    /// The last that is on the disk.
    flushed: u64,
}

impl Recent {
    fn push(&mut self, index: u64, entry: Entry, size: usize) {
        self.bytes += size;
        if let Some((_, old)) = self.entries.insert(index, (entry, size)) {
            self.bytes -= old;
        }
    }

    /// Forgets what is on the disk and too much.
    fn shrink(&mut self) {
        while self.bytes > RECENT_BYTES {
            let Some(first) = self.entries.first_entry().filter(|first| *first.key() <= self.flushed) else { return };
            self.bytes -= first.remove().1;
        }
    }

    fn retain(&mut self, keep: impl Fn(u64) -> bool) {
        self.entries.retain(|index, _| keep(*index));
        self.bytes = self.entries.values().map(|(_, size)| size).sum();
    }
}

impl Log {
    pub(super) fn new(store: Store, writer: Writer) -> Log {
        Log { store, writer, recent: Arc::default() }
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Entries of `start..end`: those with `most` bytes, and at least one where there is one.
    async fn read(&self, start: u64, end: u64, most: usize) -> io::Result<Vec<Entry>> {
        let (mut newer, from) = {
            let recent = self.recent();
            let first = recent.entries.first_key_value().map_or(u64::MAX, |(index, _)| *index);
            let found: Vec<(Entry, usize)> =
                recent.entries.range(start..end.max(start)).map(|(_, entry)| entry.clone()).collect();
            (found, first)
        };
        let mut found = Vec::new();
        let mut left = most;
        if start < from.min(end) {
            let older = self.store.raft_entries(start..from.min(end), most).await.map_err(as_io)?;
            // Nothing older at all: it was dropped, because the state has it.
            let complete = older.is_empty() || start + older.len() as u64 == from.min(end);
            for (_, bytes) in older {
                left = left.saturating_sub(bytes.len());
                found.push(unpack::<Entry>(&bytes)?);
            }
            if !complete {
                // Either the bytes are enough, or the log has a gap, which who asks will notice.
                newer.clear();
            }
        }
        for (entry, size) in newer {
            if size > left && !found.is_empty() {
                break;
            }
            left = left.saturating_sub(size);
            found.push(entry);
        }
        Ok(found)
    }

    async fn last(&self) -> io::Result<Option<LogId>> {
        if let Some((_, (entry, _))) = self.recent().entries.last_key_value() {
            return Ok(Some(entry.log_id()));
        }
        match self.store.raft_last().await.map_err(as_io)? {
            Some((_, bytes)) => Ok(Some(unpack::<Entry>(&bytes)?.log_id())),
            None => Ok(None),
        }
    }

    async fn purged(&self) -> io::Result<Option<LogId>> {
        let noted = self.store.raft_noted(note::PURGED).await.map_err(as_io)?;
        noted.map(|bytes| unpack(&bytes)).transpose()
    }
}

impl RaftLogReader<Types> for Log {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last + 1,
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX >> 1,
        };
        self.read(start, end, usize::MAX).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.read(start, end, SENT_BYTES).await
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        let noted = self.store.raft_noted(note::VOTE).await.map_err(as_io)?;
        noted.map(|bytes| unpack(&bytes)).transpose()
    }
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Log;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let last_purged_log_id = self.purged().await?;
        let last_log_id = self.last().await?.or(last_purged_log_id);
        Ok(LogState { last_purged_log_id, last_log_id })
    }

    async fn get_log_reader(&mut self) -> Log {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let vote = pack(vote);
        self.writer.write(SMALL, move |machine| machine.raft_note(note::VOTE, &vote)).await.map_err(as_io)?;
        Point::AfterVoteSaved.reach();
        Ok(())
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut rows = Vec::new();
        {
            let mut recent = self.recent();
            for entry in entries {
                let (index, bytes) = (entry.index(), pack(&entry));
                recent.push(index, entry, bytes.len());
                rows.push((index, bytes));
            }
        }
        let last = rows.last().map_or(0, |(index, _)| *index);
        let units = rows.len() + rows.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() / 1024;
        let log = self.clone();
        let done = move |outcome: Result<(), _>| {
            if outcome.is_ok() {
                Point::AfterAppendFlushed.reach();
                let mut recent = log.recent();
                recent.flushed = recent.flushed.max(last);
                recent.shrink();
            }
            callback.io_completed(outcome.map_err(as_io));
        };
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let write = move |machine: &mut Machine| {
            machine.raft_append(&rows)?;
            Point::BeforeAppendFlushed.reach();
            Ok(())
        };
        self.writer.write_then(units, write, done).await.map_err(as_io)
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        let from = last_log_id.map_or(0, |last| last.index + 1);
        {
            let mut recent = self.recent();
            recent.retain(|index| index < from);
            recent.flushed = recent.flushed.min(from.saturating_sub(1));
        }
        self.writer.write(SMALL, move |machine| machine.raft_truncate(from)).await.map_err(as_io)
    }

    async fn purge(&mut self, log_id: LogId) -> io::Result<()> {
        let to = log_id.index;
        let purged = pack(&log_id);
        self.writer.write(SMALL, move |machine| machine.raft_purge(to, &purged)).await.map_err(as_io)?;
        self.recent().retain(|index| index > to);
        Ok(())
    }
}
