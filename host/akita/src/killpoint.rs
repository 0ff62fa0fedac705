//! Named places at which tests have the process die at once, as in a power cut: `KILLPOINT=NAME`, or `NAME:N` for the
//! N-th time that it comes by. Debug builds only; in a release build there is nothing here to reach.

/// A place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// A vote is on the disk, and nobody has heard of it.
    AfterVoteSaved,
    /// Entries are written and not committed.
    BeforeAppendFlushed,
    /// Entries are on the disk, and the engine does not know.
    AfterAppendFlushed,
    /// A row of the ledger is written, its hashes are not.
    MidLedgerAppend,
    /// Entries are applied and not committed.
    BeforeApplyCommitted,
    /// Entries are applied, and nobody was answered.
    AfterApplyCommitted,
    /// This node's own log is in the archive, and it does not vote yet.
    AfterArchiveBeforeJoin,
    /// It votes, with an empty log, and nobody was told.
    AfterJoinCommitted,
    /// A piece of a snapshot is on the disk, and the leader was not answered.
    MidSnapshotTransfer,
    /// Half of a snapshot's tables have taken the place of the old ones.
    MidSnapshotInstall,
    /// A snapshot was installed, and the log before it is still there.
    AfterSnapshotInstalledBeforeLogPurge,
    /// The own log is sealed, and this node does not follow the other leader yet.
    AfterSealCommitted,
    /// Tasks were handed over, and the own log does not say so.
    AfterHandedOverBeforeNoted,
    /// A task of the outbox was accepted, and is still in it.
    AfterOutboxSent,
}

impl Point {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Point::AfterVoteSaved => "after-vote-saved",
            Point::BeforeAppendFlushed => "before-append-flushed",
            Point::AfterAppendFlushed => "after-append-flushed",
            Point::MidLedgerAppend => "mid-ledger-append",
            Point::BeforeApplyCommitted => "before-apply-committed",
            Point::AfterApplyCommitted => "after-apply-committed",
            Point::AfterArchiveBeforeJoin => "after-archive-before-join",
            Point::AfterJoinCommitted => "after-join-committed",
            Point::MidSnapshotTransfer => "mid-snapshot-transfer",
            Point::MidSnapshotInstall => "mid-snapshot-install",
            Point::AfterSnapshotInstalledBeforeLogPurge => "after-snapshot-installed-before-log-purge",
            Point::AfterSealCommitted => "after-seal-committed",
            Point::AfterHandedOverBeforeNoted => "after-handed-over-before-noted",
            Point::AfterOutboxSent => "after-outbox-sent",
        }
    }

    /// Dies here, if a test said so.
    #[cfg(debug_assertions)]
    pub fn reach(self) {
        armed::reach(self);
    }

    /// Nothing, in a release build.
    #[cfg(not(debug_assertions))]
    pub fn reach(self) {}
}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    };

    use super::Point;

    /// The place's name, and how often it is still to be passed.
    static ARMED: LazyLock<Option<(String, AtomicU64)>> = LazyLock::new(|| {
        let text = std::env::var("KILLPOINT").ok()?;
        let (name, times) = text.split_once(':').unwrap_or((&text, "1"));
        Some((name.to_owned(), AtomicU64::new(times.parse().ok()?)))
    });

    pub(super) fn reach(point: Point) {
        let Some((name, left)) = &*ARMED else { return };
        if name == point.name() && left.fetch_sub(1, Ordering::Relaxed) == 1 {
            // No destructor, no flush: what the disk has by now is all that there is.
            std::process::abort();
        }
    }
}
