//! Limits, evictions and fetches, against real files and a real database, with neighbours that lie.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use akita_core::{
    NodeId,
    wire::{BlobPiece, GetBlob},
};

use super::{fetch::Reply, *};
use crate::store::testing::Log;

const LIMITS: BlobLimits = BlobLimits { blob_bytes: 40_000, store_bytes: 100_000 };

async fn shelf(dir: &tempfile::TempDir, log: &Log) -> BlobShelf {
    BlobShelf::open(dir.path().join("blobs"), log.opened.store.clone(), LIMITS).await.unwrap()
}

fn owner(name: &str, quota: u64) -> Owner {
    Owner { name: name.into(), quota: Some(quota) }
}

fn content(byte: u8, size: usize) -> Vec<u8> {
    vec![byte; size]
}

#[tokio::test]
async fn what_is_put_stays_over_a_restart_and_costs_its_owner_once() {
    let (dir, log) = (tempfile::tempdir().unwrap(), Log::new().await);
    let blobs = shelf(&dir, &log).await;
    let id = blobs.put(owner("cache", 20_000), content(1, 10_000)).await.unwrap();
    assert_eq!(blobs.put(owner("cache", 20_000), content(1, 10_000)).await, Ok(id));
    assert_eq!(blobs.put(owner("cache", 20_000), content(2, 10_001)).await, Err(BlobFault::OverQuota(20_000)));
    assert_eq!(blobs.put(owner("other", 10_000), content(1, 10_000)).await, Ok(id), "each pays for its own");
    assert_eq!(blobs.put(Owner::operator(), content(0, 40_001)).await, Err(BlobFault::TooLarge(40_000)));
    // The smallest costs a block, so that a quota is a bound on files too.
    assert_eq!(blobs.put(owner("tiny", 4_095), vec![1]).await, Err(BlobFault::OverQuota(4_095)));
    drop(blobs);
    let log = log.reopen().await;
    let blobs = shelf(&dir, &log).await;
    assert_eq!(blobs.read(id, 9_998, 99).await.unwrap(), Some((10_000, vec![1, 1])));
    assert!(blobs.remove(id).await.unwrap() && !blobs.remove(id).await.unwrap());
    assert_eq!(blobs.size(id).await.unwrap(), None);
}

#[tokio::test]
async fn a_file_that_the_disk_changed_or_lost_is_never_given_out() {
    let (dir, log) = (tempfile::tempdir().unwrap(), Log::new().await);
    let blobs = shelf(&dir, &log).await;
    let changed = blobs.put(Owner::operator(), b"changed".to_vec()).await.unwrap();
    let lost = blobs.put(Owner::operator(), b"lost".to_vec()).await.unwrap();
    let path = |id: BlobId| {
        let hex = id.to_string();
        dir.path().join("blobs").join(&hex[..2]).join(&hex[2..])
    };
    std::fs::write(path(changed), b"Changed").unwrap();
    std::fs::remove_file(path(lost)).unwrap();
    let blobs = shelf(&dir, &log).await;
    assert_eq!((blobs.size(changed).await.unwrap(), blobs.size(lost).await.unwrap()), (None, None));
    assert!(!path(changed).exists());
    assert_eq!(blobs.list(9).await.unwrap(), (vec![], 0));
    assert_eq!(blobs.put(Owner::operator(), b"lost".to_vec()).await, Ok(lost));
}

/// Nodes with blobs; some lie, some break off.
#[derive(Default)]
struct Others {
    blobs: BTreeMap<NodeId, (BlobId, Vec<u8>)>,
    silent_after: Option<usize>,
    asked: AtomicUsize,
    served: AtomicUsize,
}

impl Neighbours for Others {
    fn members(&self) -> Vec<NodeId> {
        self.blobs.keys().copied().collect()
    }

    fn rtt_ms(&self, _: NodeId) -> u32 {
        // Slow, so that there are several pieces.
        2_000
    }

    fn get_blob(&self, node: NodeId, get: GetBlob) -> Reply<'_> {
        Box::pin(async move {
            let asked = self.asked.fetch_add(1, Ordering::Relaxed);
            if self.silent_after.is_some_and(|after| asked >= after) {
                return None;
            }
            let (id, bytes) = &self.blobs[&node];
            if id.0 != get.id {
                return Some(BlobPiece { size: None, bytes: Vec::new() });
            }
            let rest = &bytes[get.offset as usize..];
            let piece = rest[..rest.len().min(get.max as usize)].to_vec();
            self.served.fetch_add(piece.len(), Ordering::Relaxed);
            Some(BlobPiece { size: Some(bytes.len() as u64), bytes: piece })
        })
    }
}

fn node(byte: u8) -> NodeId {
    NodeId([byte; 16])
}

fn around(shelf: &BlobShelf, others: Others) -> (Blobs, Arc<Others>) {
    let (blobs, others) = (Blobs::new(shelf.clone()), Arc::new(others));
    let neighbours: Arc<dyn Neighbours> = others.clone();
    blobs.set_neighbours(Arc::downgrade(&neighbours));
    (blobs, others)
}

#[tokio::test]
async fn a_blob_is_fetched_once_in_pieces_and_a_liar_is_passed_over() {
    let (dir, log) = (tempfile::tempdir().unwrap(), Log::new().await);
    let shelf = shelf(&dir, &log).await;
    let bytes = content(7, 30_000);
    let id = BlobId::of(&bytes);
    let all =
        [(node(1), (id, content(8, 30_000))), (node(2), (id, bytes.clone())), (node(3), (BlobId::of(b""), vec![]))];
    let (blobs, others) = around(&shelf, Others { blobs: all.into(), ..Others::default() });
    let many = (0..5).map(|_| blobs.read(id, 29_999, 9));
    for read in futures_util::future::join_all(many).await {
        assert_eq!(read, Ok((30_000, vec![7])));
    }
    assert!(others.served.load(Ordering::Relaxed) <= 60_000, "once from each at most");
    assert_eq!(shelf.read(id, 0, 40_000).await.unwrap(), Some((30_000, bytes)));
    assert_eq!(blobs.size(BlobId::of(b"nobody has it")).await, Err(BlobFault::NotFound));
    assert_eq!(blobs.size(BlobId::of(b"")).await, Ok(0), "an empty one is one too");
    let rows = shelf.list(9).await.unwrap().0;
    assert!(rows.iter().all(|row| row.owners.is_empty()), "{rows:?}");
}

#[tokio::test]
async fn a_fetch_that_broke_off_goes_on_where_it_stopped() {
    let (dir, log) = (tempfile::tempdir().unwrap(), Log::new().await);
    let shelf = shelf(&dir, &log).await;
    let bytes: Vec<u8> = (0..30_000_u32).map(|n| (n % 251) as u8).collect();
    let id = BlobId::of(&bytes);
    let others = || Others { blobs: [(node(1), (id, bytes.clone()))].into(), ..Others::default() };
    let (blobs, first) = around(&shelf, Others { silent_after: Some(4), ..others() });
    assert!(matches!(blobs.size(id).await, Err(BlobFault::Silent(_))), "it may still have the rest");
    let unknown = blobs.size(BlobId::of(b"unknown")).await;
    assert!(matches!(unknown, Err(BlobFault::Silent(_))), "who does not answer may have it: {unknown:?}");
    assert_eq!(shelf.size(id).await.unwrap(), None, "nobody sees a part of it");
    let (blobs, second) = around(&shelf, others());
    assert_eq!(blobs.read(id, 0, 40_000).await, Ok((30_000, bytes.clone())));
    let served = [&first, &second].map(|others| others.served.load(Ordering::Relaxed));
    assert!(served[0] > 0 && served[0] + served[1] == 30_000, "{served:?}");
}

#[tokio::test]
async fn copies_make_room_and_what_was_put_does_not() {
    let (dir, log) = (tempfile::tempdir().unwrap(), Log::new().await);
    let shelf = shelf(&dir, &log).await;
    let own = shelf.put(Owner::operator(), content(1, 30_000)).await.unwrap();
    let copies: Vec<_> = (2..5).map(|byte| content(byte, 30_000)).collect();
    let ids: Vec<BlobId> = copies.iter().map(|bytes| BlobId::of(bytes)).collect();
    let held = ids.iter().zip(&copies).zip(1..).map(|((id, bytes), n)| (node(n), (*id, bytes.clone())));
    let (blobs, _others) = around(&shelf, Others { blobs: held.collect(), ..Others::default() });
    for id in &ids {
        blobs.size(*id).await.unwrap();
    }
    assert_eq!(shelf.size(ids[0]).await.unwrap(), None, "the one that was not used for the longest time");
    assert_eq!(shelf.size(ids[2]).await.unwrap(), Some(30_000));
    let second = shelf.put(Owner::operator(), content(9, 40_000)).await.unwrap();
    assert_eq!(shelf.size(ids[1]).await.unwrap(), None);
    assert_eq!(shelf.put(Owner::operator(), content(10, 30_001)).await, Err(BlobFault::NoRoom(100_000)));
    assert_eq!((shelf.size(own).await, shelf.size(second).await), (Ok(Some(30_000)), Ok(Some(40_000))));
}
