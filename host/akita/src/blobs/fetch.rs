//! Blobs of other nodes: who has one is asked of the members of the cluster, its pieces are fetched from one of them, and
//! nobody sees a byte before the whole is what its name promises. What was fetched of a blob stays for the next try.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use akita_core::{
    NodeId,
    tuning::SLOW_RTT_MS,
    wire::{BlobPiece, GetBlob},
};
use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::sync::Semaphore;

use super::{BlobFault, BlobId, BlobShelf};

/// Bytes of one piece: a few messages a second on a fast link.
const PIECE_BYTES: u32 = 256 << 10;
/// The same behind a slow link: what is lost with a link must cost little, and others need the air too.
const SLOW_PIECE_BYTES: u32 = 4 << 10;
/// Blobs that are fetched at once.
const MAX_FETCHES: usize = 4;
/// Nodes that are asked whether they have a blob.
const MAX_ASKED: usize = 64;
/// Times that one node is asked for one piece.
const TRIES: u32 = 3;

/// What another node answers; nothing if it does not.
pub type Reply<'a> = Pin<Box<dyn Future<Output = Option<BlobPiece>> + Send + 'a>>;

/// The other nodes of the cluster.
pub trait Neighbours: Send + Sync + 'static {
    /// Whom to ask, the likeliest first.
    fn members(&self) -> Vec<NodeId>;
    /// Round trip in milliseconds.
    fn rtt_ms(&self, node: NodeId) -> u32;
    /// Asks one of them.
    fn get_blob(&self, node: NodeId, get: GetBlob) -> Reply<'_>;
}

/// Blobs of the whole cluster, as this node sees them. Clones are the same.
#[derive(Clone)]
pub struct Blobs(Arc<Inner>);

struct Inner {
    shelf: BlobShelf,
    neighbours: OnceLock<Weak<dyn Neighbours>>,
    turns: Semaphore,
    /// One fetch of a blob at a time; who waits for it finds the blob there.
    fetching: std::sync::Mutex<std::collections::HashMap<BlobId, Weak<tokio::sync::Mutex<()>>>>,
}

impl Blobs {
    /// Those of this node; of others once it has neighbours.
    pub fn new(shelf: BlobShelf) -> Blobs {
        Blobs(Arc::new(Inner {
            shelf,
            neighbours: OnceLock::new(),
            turns: Semaphore::new(MAX_FETCHES),
            fetching: std::sync::Mutex::default(),
        }))
    }

    /// Whom to ask from now on. Weak, because they know these blobs.
    pub fn set_neighbours(&self, neighbours: Weak<dyn Neighbours>) {
        let _ = self.0.neighbours.set(neighbours);
    }

    /// This node's own.
    pub fn shelf(&self) -> &BlobShelf {
        &self.0.shelf
    }

    /// Bytes of a blob, fetched if it does not lie here. Dropped, it stops fetching; a later call goes on.
    ///
    /// # Errors
    /// Nobody has it, it has more bytes than this node takes, or there is no room.
    pub async fn size(&self, id: BlobId) -> Result<u64, BlobFault> {
        Ok(self.read(id, 0, 0).await?.0)
    }

    /// Its size and at most `max` bytes from `offset` on; the same otherwise.
    ///
    /// # Errors
    /// The same.
    pub async fn read(&self, id: BlobId, offset: u64, max: usize) -> Result<(u64, Vec<u8>), BlobFault> {
        loop {
            if let Some(found) = self.0.shelf.read(id, offset, max).await? {
                return Ok(found);
            }
            self.fetch(id).await?;
        }
    }

    /// Fetches a blob on the node's own runtime; aborted when the caller goes away.
    async fn fetch(&self, id: BlobId) -> Result<(), BlobFault> {
        let blobs = self.clone();
        let fetching = self.0.shelf.runtime().spawn(async move { blobs.fetch_alone(id).await });
        let fetched = tokio_util::task::AbortOnDropHandle::new(fetching).await;
        fetched.unwrap_or_else(|error| Err(BlobFault::Unavailable(error.to_string())))
    }

    async fn fetch_alone(&self, id: BlobId) -> Result<(), BlobFault> {
        let alone = self.lock_of(id);
        let _alone = alone.lock().await;
        if self.0.shelf.size(id).await?.is_some() {
            return Ok(());
        }
        let Some(neighbours) = self.0.neighbours.get().and_then(Weak::upgrade) else { return Err(BlobFault::NotFound) };
        let _turn = self.0.turns.acquire().await.expect("it is never closed");
        let mut holders = holders(&*neighbours, id);
        let mut failed = None;
        while let Some((node, answer)) = holders.next().await {
            let size = match answer {
                Some(BlobPiece { size: Some(size), .. }) => size,
                Some(_) => continue,
                None => {
                    let silent = BlobFault::Silent(format!("the node {node} does not say whether it has the blob"));
                    failed.get_or_insert(silent);
                    continue;
                }
            };
            match self.fetch_from(&*neighbours, node, id, size).await {
                Ok(()) => return Ok(()),
                Err(fault @ (BlobFault::TooLarge(_) | BlobFault::NoRoom(_))) => return Err(fault),
                Err(fault) => failed = Some(fault),
            }
        }
        Err(failed.unwrap_or(BlobFault::NotFound))
    }

    fn lock_of(&self, id: BlobId) -> Arc<tokio::sync::Mutex<()>> {
        let mut all = self.0.fetching.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        all.retain(|_, lock| lock.strong_count() > 0);
        let held = all.get(&id).and_then(Weak::upgrade);
        held.unwrap_or_else(|| {
            let fresh = Arc::default();
            all.insert(id, Arc::downgrade(&fresh));
            fresh
        })
    }

    /// Fetches from one node what is missing, and looks at the whole.
    async fn fetch_from(&self, of: &dyn Neighbours, node: NodeId, id: BlobId, size: u64) -> Result<(), BlobFault> {
        let shelf = &self.0.shelf;
        shelf.check_copy(size).await?;
        tracing::debug!(blob = %id, %node, size, "fetching a blob");
        let mut have = shelf.fetched(id, size).await?;
        while have < size || size == 0 {
            // Each time anew: what was measured before the first piece may have been a node that was busy.
            let most = if of.rtt_ms(node) >= SLOW_RTT_MS { SLOW_PIECE_BYTES } else { PIECE_BYTES };
            let bytes = piece(of, node, id, have, most, size).await?;
            let taken = bytes.len() as u64;
            shelf.add_fetched(id, have, bytes).await?;
            have += taken;
            if size == 0 {
                break;
            }
        }
        if shelf.keep_fetched(id, size).await? {
            return Ok(());
        }
        tracing::warn!(blob = %id, %node, "what a node gave for a blob is something else; it is dropped");
        Err(BlobFault::Unavailable("a node gave something else for the blob".to_owned()))
    }
}

/// Who has a blob, in the order of their answers, which have its size.
fn holders(of: &dyn Neighbours, id: BlobId) -> FuturesUnordered<impl Future<Output = (NodeId, Option<BlobPiece>)>> {
    let ask = |node| async move { (node, of.get_blob(node, GetBlob { id: id.0, offset: 0, max: 0 }).await) };
    of.members().into_iter().take(MAX_ASKED).map(ask).collect()
}

/// One piece, asked for some times.
async fn piece(
    of: &dyn Neighbours,
    node: NodeId,
    id: BlobId,
    offset: u64,
    max: u32,
    size: u64,
) -> Result<Vec<u8>, BlobFault> {
    for _ in 0..TRIES {
        let Some(piece) = of.get_blob(node, GetBlob { id: id.0, offset, max }).await else { continue };
        let fits = piece.bytes.len() as u64 <= u64::from(max).min(size - offset);
        if piece.size == Some(size) && fits && (size == 0 || !piece.bytes.is_empty()) {
            return Ok(piece.bytes);
        }
        return Err(BlobFault::Unavailable("the node that had the blob has it no longer".to_owned()));
    }
    Err(BlobFault::Silent(format!("the node {node}, which has the blob, does not answer")))
}

impl BlobShelf {
    /// Whether a copy of that size would be taken.
    async fn check_copy(&self, size: u64) -> Result<(), BlobFault> {
        if size > self.limits().blob_bytes {
            return Err(BlobFault::TooLarge(self.limits().blob_bytes));
        }
        self.room_for(size).await.map(drop)
    }

    /// Bytes that were fetched before of a blob of that size.
    async fn fetched(&self, id: BlobId, size: u64) -> Result<u64, BlobFault> {
        self.work(move |files| {
            let have = files.partial_len(id);
            if have <= size {
                return Ok(have);
            }
            files.drop_partial(id).map(|()| 0)
        })
        .await
    }

    async fn add_fetched(&self, id: BlobId, offset: u64, piece: Vec<u8>) -> Result<(), BlobFault> {
        self.work(move |files| files.add_partial(id, offset, &piece)).await
    }

    /// Takes what was fetched as a copy, if it is what its name promises. Done to its end, also if nobody waits any more.
    async fn keep_fetched(&self, id: BlobId, size: u64) -> Result<bool, BlobFault> {
        self.on_runtime(move |shelf| async move {
            let _changing = shelf.0.changing.lock().await;
            let evicted = shelf.room_for(size).await?;
            if !shelf.work(move |files| files.finish_partial(id)).await? {
                return Ok(false);
            }
            shelf.note(id, size, None, evicted).await?;
            Ok(true)
        })
        .await
    }
}

/// How long `GET /blobs/{id}` waits for other nodes unless asked otherwise.
pub const DEFAULT_WAIT: Duration = Duration::from_secs(30);
