//! The engine's calls to other voters. Each is one message, or several where its body is large; the transport carries
//! them. What is said there is not looked at here.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use akita_core::{
    NodeId, tuning,
    wire::{self, Piece},
};
use openraft::{
    RaftNetworkFactory, RaftNetworkV2,
    alias::SnapshotOf,
    errors::{NetworkError, ReplicationClosed, StreamingError, Unreachable},
    network::{Backoff, RPCOption},
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse,
        VoteRequest, VoteResponse,
    },
};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    Shared,
    machine::{SnapshotData, SnapshotFile},
    types::{Failed, Types, Vote, pack, unpack, unreachable},
};
use crate::consensus::Transport;

/// Which call a message is.
pub(super) mod what {
    pub(in super::super) const APPEND: u8 = 1;
    pub(in super::super) const VOTE: u8 = 2;
    pub(in super::super) const PRE_VOTE: u8 = 3;
    pub(in super::super) const TRANSFER: u8 = 4;
    pub(in super::super) const SNAPSHOT_PIECE: u8 = 5;
    pub(in super::super) const SNAPSHOT: u8 = 6;
}

/// Bytes of a message at most: larger bodies are cut, so that one lost message costs little.
pub(super) const PIECE_BYTES: usize = 512 << 10;
/// The same behind a slow link.
const SLOW_PIECE_BYTES: usize = 4 << 10;
/// Shortest wait for the answer to a call: the other's disk may be busy.
const LEAST_WAIT: Duration = Duration::from_secs(1);
/// Round trips that a call may take.
const ROUND_TRIPS: u32 = 20;
/// Time for installing a snapshot, or for one piece of it.
const INSTALL_WAIT: Duration = Duration::from_secs(600);
/// For how long a transfer of a snapshot stands still before it is given up: a link may be gone for some minutes, and it
/// goes on where it was.
const STANDSTILL: Duration = Duration::from_secs(600);
/// Pause before a piece is sent again.
const PIECE_PAUSE: Duration = Duration::from_secs(1);

/// Makes a client for each voter.
pub(super) struct Network {
    pub(super) shared: Arc<Shared>,
    pub(super) transport: Arc<dyn Transport>,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Client;

    async fn new_client(&mut self, target: u64, node: &NodeId) -> Client {
        Client { shared: self.shared.clone(), transport: self.transport.clone(), target, node: *node }
    }
}

/// The way to one voter.
pub(super) struct Client {
    shared: Arc<Shared>,
    transport: Arc<dyn Transport>,
    target: u64,
    node: NodeId,
}

impl Client {
    async fn send(&self, what: u8, body: Vec<u8>, piece: Option<Piece>, wait: Duration) -> Result<Vec<u8>, String> {
        let Shared { cluster, number: from, .. } = *self.shared;
        let rtt_ms = self.transport.rtt_ms(self.node);
        // What is long on the air would otherwise be given up, and sent again, for ever.
        let airtime = Duration::from_millis(tuning::airtime(body.len() as u64, rtt_ms));
        let call = wire::Raft { cluster, from, to: self.target, what, body, piece };
        let rtt = Duration::from_millis(u64::from(rtt_ms));
        self.transport.call(self.node, call, wait.max(LEAST_WAIT).max(rtt * ROUND_TRIPS) + airtime).await
    }

    /// One call of the engine, cut in pieces where it must be.
    async fn call<A: DeserializeOwned>(&self, what: u8, body: &impl Serialize, wait: Duration) -> Result<A, Failed> {
        let body = pack(body);
        let answer = if body.len() <= PIECE_BYTES {
            self.send(what, body, None, wait).await.map_err(unreachable)?
        } else {
            let (of, total) = (self.shared.fresh(), body.len() as u64);
            let mut answer = Vec::new();
            for (at, chunk) in body.chunks(PIECE_BYTES).enumerate() {
                let piece = Piece { of, offset: (at * PIECE_BYTES) as u64, total };
                answer = self.send(what, chunk.to_vec(), Some(piece), wait).await.map_err(unreachable)?;
            }
            answer
        };
        unpack(&answer).map_err(unreachable)
    }

    /// Brings a file to the other voter, piece by piece; goes on where the other says that it is.
    async fn bring(&self, file: &SnapshotFile, of: u32) -> Result<(), String> {
        let bytes = tokio::fs::metadata(&file.path).await.map_err(|error| error.to_string())?.len();
        let slow = self.transport.rtt_ms(self.node) >= tuning::SLOW_RTT_MS;
        let most = if slow { SLOW_PIECE_BYTES } else { PIECE_BYTES };
        let (mut offset, mut moved) = (0, Instant::now());
        while offset < bytes {
            let path = file.path.to_path_buf();
            let read = tokio::task::spawn_blocking(move || read_at(&path, offset, most)).await;
            let body = read.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
            let piece = Piece { of, offset, total: bytes };
            match self.send(what::SNAPSHOT_PIECE, body, Some(piece), INSTALL_WAIT).await {
                Ok(answer) => {
                    let reached: u64 = unpack(&answer).map_err(|error| error.to_string())?;
                    if reached > offset {
                        moved = Instant::now();
                    }
                    offset = reached.min(bytes);
                }
                Err(error) => {
                    tracing::debug!(node = %self.node, offset, error, "a piece of a snapshot did not arrive");
                    tokio::time::sleep(PIECE_PAUSE).await;
                }
            }
            if moved.elapsed() >= STANDSTILL {
                return Err("the other voter takes no more of the snapshot".into());
            }
        }
        Ok(())
    }
}

fn read_at(path: &std::path::Path, offset: u64, most: usize) -> std::io::Result<Vec<u8>> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = std::fs::File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(most as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl RaftNetworkV2<Types> for Client {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, Failed> {
        let known = self.shared.acknowledged().last.get(&self.target).copied();
        let answer: AppendEntriesResponse<Types> = self.call(what::APPEND, &rpc, option.soft_ttl()).await?;
        let before = rpc.prev_log_id.as_ref().map_or(0, |id| id.index);
        let mut acknowledged = self.shared.acknowledged();
        match &answer {
            AppendEntriesResponse::Success => {
                let last = before + rpc.entries.len() as u64;
                let known = acknowledged.last.entry(self.target).or_default();
                *known = last.max(*known);
                acknowledged.older.remove(&self.target);
            }
            // Told to the engine, it would take for granted that this cannot be.
            AppendEntriesResponse::Conflict if known.is_some_and(|known| before <= known) => {
                acknowledged.older.insert(self.target);
                return Err(unreachable("it lacks entries of the log that it had: its disk is an older copy"));
            }
            _ => {}
        }
        Ok(answer)
    }

    async fn vote(&mut self, rpc: VoteRequest<Types>, option: RPCOption) -> Result<VoteResponse<Types>, Failed> {
        self.call(what::VOTE, &rpc, option.soft_ttl()).await
    }

    async fn pre_vote(&mut self, rpc: VoteRequest<Types>, option: RPCOption) -> Result<VoteResponse<Types>, Failed> {
        self.call(what::PRE_VOTE, &rpc, option.soft_ttl()).await
    }

    async fn transfer_leader(
        &mut self,
        rpc: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, Failed> {
        self.call(what::TRANSFER, &rpc, option.soft_ttl()).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<Types, SnapshotData>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let lost = |why: String| StreamingError::Unreachable(Unreachable::from_string(why));
        let file = match snapshot.snapshot {
            SnapshotData::Here(source) => source.pack().await.map_err(|error| lost(error.to_string()))?,
            // One that has just come in itself: whoever leads sends its own state.
            SnapshotData::File(_) => return Err(lost("that snapshot is not this voter's own".into())),
        };
        // The state may have gone on under a newer leader while it was copied; that one sends it then.
        if file.meta.last_log_id.as_ref().is_some_and(|id| id.leader_id > vote.leader_id) {
            let why = "another node leads";
            return Err(StreamingError::Network(NetworkError::from_string(why)));
        }
        let work = async {
            let of = self.shared.fresh();
            self.bring(&file, of).await.map_err(lost)?;
            let body = pack(&(&vote, &file.meta, of));
            let answer = self.send(what::SNAPSHOT, body, None, INSTALL_WAIT).await.map_err(lost)?;
            unpack(&answer).map_err(|error| lost(error.to_string()))
        };
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            answer = work => answer,
        }
    }

    /// A voter that cannot be reached is tried again soon: the call itself has waited already.
    fn backoff(&self) -> Option<Backoff> {
        let pause = self.shared.profile.heartbeat_ms() * 2;
        Some(Backoff::new(std::iter::repeat(Duration::from_millis(pause))))
    }
}
