//! What other voters say to this one: calls for the engine, pieces of large ones, and snapshots. Each is bounded; what
//! does not fit together is dropped and sent again by the other side.

use std::{
    collections::BTreeMap,
    io::{Seek, SeekFrom, Write},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use akita_core::{NodeId, wire};
use openraft::{alias::SnapshotOf, raft::AppendEntriesResponse};
use serde::Serialize;
use tempfile::TempPath;

use crate::killpoint::Point;

use super::{
    Engine,
    machine::{SnapshotData, Source},
    network::{PIECE_BYTES, what},
    packed::MAX_STATE_BYTES,
    types::{SnapshotMeta, Types, Vote, pack, unpack},
};

/// Bytes of a call that comes in pieces: some batches of the largest inputs.
const MAX_CALL: u64 = 256 << 20;
/// Voters that send pieces at a time: only one leads, and those before it may not know yet.
const MAX_SENDERS: usize = 8;

/// A call that is not whole yet.
struct Part {
    of: u32,
    bytes: Vec<u8>,
}

/// A snapshot that is not whole yet, or not installed.
struct Arriving {
    of: u32,
    path: TempPath,
    written: u64,
}

/// What has come in and waits for more.
pub(super) struct Incoming {
    source: Source,
    parts: Mutex<BTreeMap<NodeId, Part>>,
    snapshots: Mutex<BTreeMap<NodeId, Arriving>>,
    /// When the engine last took something from a leader.
    heard: Mutex<Option<Instant>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Incoming {
    pub(super) fn new(source: Source) -> Incoming {
        Incoming { source, parts: Mutex::default(), snapshots: Mutex::default(), heard: Mutex::default() }
    }

    /// Answers a call.
    pub(super) async fn handle(&self, engine: &Engine, from: NodeId, call: wire::Raft) -> Result<Vec<u8>, String> {
        if call.what == what::SNAPSHOT_PIECE {
            return self.piece_of_snapshot(from, &call);
        }
        if call.what == what::SNAPSHOT {
            return self.install(engine, from, &call.body).await;
        }
        let body = match call.piece {
            None => call.body,
            Some(piece) => match self.assemble(from, piece, &call.body)? {
                Some(whole) => whole,
                None => return Ok(Vec::new()),
            },
        };
        match call.what {
            what::APPEND => {
                let taken = engine.append_entries(parse(&body)?).await;
                if matches!(taken, Ok(AppendEntriesResponse::Success | AppendEntriesResponse::PartialSuccess(_))) {
                    *lock(&self.heard) = Some(Instant::now());
                }
                answer(taken)
            }
            what::VOTE => answer(engine.vote(parse(&body)?).await),
            what::PRE_VOTE => answer(engine.pre_vote(parse(&body)?).await),
            what::TRANSFER => answer(engine.handle_transfer_leader(parse(&body)?).await),
            other => Err(format!("{other} is no call that this version knows")),
        }
    }

    /// Whether a leader was heard within `patience`.
    pub(super) fn heard_within(&self, patience: Duration) -> bool {
        lock(&self.heard).is_some_and(|at| at.elapsed() < patience)
    }

    /// Puts a piece to those before it; the whole once it is.
    fn assemble(&self, from: NodeId, piece: wire::Piece, body: &[u8]) -> Result<Option<Vec<u8>>, String> {
        if piece.total > MAX_CALL {
            return Err(format!("a call has at most {MAX_CALL} bytes, this one {}", piece.total));
        }
        let mut parts = lock(&self.parts);
        if parts.len() >= MAX_SENDERS && !parts.contains_key(&from) {
            parts.pop_first();
        }
        let part = parts.entry(from).or_insert_with(|| Part { of: piece.of, bytes: Vec::new() });
        if part.of != piece.of || piece.offset == 0 {
            *part = Part { of: piece.of, bytes: Vec::new() };
        }
        if part.bytes.len() as u64 != piece.offset || piece.offset + body.len() as u64 > piece.total {
            parts.remove(&from);
            return Err("a piece is missing".into());
        }
        part.bytes.extend_from_slice(body);
        if (part.bytes.len() as u64) < piece.total {
            return Ok(None);
        }
        Ok(parts.remove(&from).map(|part| part.bytes))
    }

    /// Writes a piece of a snapshot; says how many bytes are here.
    fn piece_of_snapshot(&self, from: NodeId, call: &wire::Raft) -> Result<Vec<u8>, String> {
        let piece = call.piece.ok_or("a piece that says not where it belongs")?;
        if call.body.len() > PIECE_BYTES {
            return Err("a piece that is too large".into());
        }
        if piece.total > MAX_STATE_BYTES || piece.offset.saturating_add(call.body.len() as u64) > piece.total {
            return Err(format!("a snapshot has at most {MAX_STATE_BYTES} bytes, and no piece lies behind its end"));
        }
        let mut snapshots = lock(&self.snapshots);
        if snapshots.get(&from).is_none_or(|arriving| arriving.of != piece.of) {
            if snapshots.len() >= MAX_SENDERS {
                snapshots.pop_first();
            }
            let path = self.source.new_file().map_err(|error| error.to_string())?;
            snapshots.insert(from, Arriving { of: piece.of, path, written: 0 });
        }
        let arriving = snapshots.get_mut(&from).ok_or("it was dropped")?;
        if piece.offset == arriving.written {
            let write = || {
                let mut file = std::fs::OpenOptions::new().write(true).open(&arriving.path)?;
                file.seek(SeekFrom::Start(piece.offset))?;
                file.write_all(&call.body)
            };
            write().map_err(|error: std::io::Error| error.to_string())?;
            arriving.written += call.body.len() as u64;
            Point::MidSnapshotTransfer.reach();
        }
        Ok(pack(&arriving.written))
    }

    async fn install(&self, engine: &Engine, from: NodeId, body: &[u8]) -> Result<Vec<u8>, String> {
        let (vote, meta, of): (Vote, SnapshotMeta, u32) = unpack(body).map_err(|error| error.to_string())?;
        let arrived = lock(&self.snapshots).remove(&from).filter(|arrived| arrived.of == of);
        let path = arrived.ok_or("that snapshot did not arrive")?.path;
        let path = self.source.unpack(path).await.map_err(|error| error.to_string())?;
        // The engine takes for granted that it is what it is said to be.
        let holds = self.source.meta(&path).await.map_err(|error| error.to_string())?;
        if holds != meta || meta.last_log_id.as_ref().is_some_and(|id| id.leader_id > vote.leader_id) {
            return Err("that snapshot is not what it is said to be".into());
        }
        let snapshot = SnapshotOf::<Types, SnapshotData> { meta, snapshot: SnapshotData::File(path) };
        answer(engine.install_full_snapshot(vote, snapshot).await)
    }
}

fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    unpack(body).map_err(|error| error.to_string())
}

fn answer<T: Serialize, E: std::fmt::Display>(outcome: Result<T, E>) -> Result<Vec<u8>, String> {
    outcome.map(|answer| pack(&answer)).map_err(|error| error.to_string())
}
