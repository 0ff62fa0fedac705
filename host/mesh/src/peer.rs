//! Who a peer is, and what is known of it: the table that everybody may read.
//!
//! Never decides anything: the engine writes it, callers look.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::timing::Pace;

/// Peers remembered at most. A node needs a few hundred bytes for each; a mesh of a thousand nodes leaves room for
/// strangers, and an attacker who announces for ever cannot fill the memory.
pub(crate) const MAX_PEERS: usize = 4_096;

/// A peer's name on the mesh: its Reticulum identity hash, which only the holder of the identity's keys can prove.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub [u8; 16]);

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is no peer id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a peer id is 32 hexadecimal digits, this is {0:?}")]
pub struct ParsePeerIdError(String);

impl FromStr for PeerId {
    type Err = ParsePeerIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParsePeerIdError(text.chars().take(64).collect());
        let digits = text.as_bytes();
        if digits.len() != 32 {
            return Err(wrong());
        }
        let mut id = [0; 16];
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |c: u8| char::from(c).to_digit(16).ok_or_else(wrong);
            *byte = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
        }
        Ok(Self(id))
    }
}

/// What this node knows of a peer at this moment. Soft state: it may guide a choice, it proves nothing.
#[derive(Debug, Clone)]
pub struct PeerInfo {
    /// Who.
    pub peer: PeerId,
    /// A link is up and both ends know each other.
    pub connected: bool,
    /// Hops of the last announce; 1 is a direct neighbour.
    pub hops: Option<u8>,
    /// The shortest round trip since the link was set up.
    pub rtt: Option<Duration>,
    /// Every byte counts: round trip over a second, or an interface under 62,500 bit/s on the way.
    pub slow: bool,
    /// How long ago anything of it was heard that this layer gets to see (announces, calls, answers).
    pub last_heard: Option<Duration>,
    /// What it announced last.
    pub app_data: Option<Vec<u8>>,
}

/// The engine's record of a peer; `PeerInfo` is made from it on demand.
#[derive(Debug, Default, Clone)]
pub(crate) struct Record {
    pub connected: bool,
    pub hops: Option<u8>,
    pub rtt: Option<Duration>,
    pub slow: bool,
    pub heard: Option<Instant>,
    pub app_data: Option<Vec<u8>>,
    /// X25519 then Ed25519; from an announce or a link identification, both of which prove it.
    pub public_key: Option<[u8; 64]>,
}

impl Record {
    /// What the link that is used shows.
    pub fn measured(&mut self, pace: &Pace) {
        self.rtt = Some(pace.rtt);
        self.slow = pace.slow();
    }
}

/// All known peers. Locked for the time of a copy only.
#[derive(Debug, Default)]
pub(crate) struct Table(Mutex<HashMap<PeerId, Record>>);

impl Table {
    fn lock(&self) -> MutexGuard<'_, HashMap<PeerId, Record>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a peer's record, making it first if needed (at the cost of the peer silent for longest).
    pub fn update<T>(&self, peer: PeerId, change: impl FnOnce(&mut Record) -> T) -> T {
        let mut table = self.lock();
        if !table.contains_key(&peer) && table.len() >= MAX_PEERS {
            let oldest = table.iter().filter(|(_, r)| !r.connected).min_by_key(|(_, r)| r.heard);
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                table.remove(&oldest);
            }
        }
        change(table.entry(peer).or_default())
    }

    pub fn read<T>(&self, peer: PeerId, look: impl FnOnce(&Record) -> T) -> Option<T> {
        self.lock().get(&peer).map(look)
    }

    pub fn info(&self, peer: PeerId) -> Option<PeerInfo> {
        let now = Instant::now();
        self.read(peer, |record| info(peer, record, now))
    }

    pub fn all(&self) -> Vec<PeerInfo> {
        let now = Instant::now();
        let mut all: Vec<_> = self.lock().iter().map(|(id, record)| info(*id, record, now)).collect();
        all.sort_by_key(|info| info.peer);
        all
    }
}

fn info(peer: PeerId, record: &Record, now: Instant) -> PeerInfo {
    PeerInfo {
        peer,
        connected: record.connected,
        hops: record.hops,
        rtt: record.rtt,
        slow: record.slow,
        last_heard: record.heard.map(|at| now.saturating_duration_since(at)),
        app_data: record.app_data.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_id_survives_text() {
        let id = PeerId(std::array::from_fn(|i| i as u8 * 17));
        assert_eq!(id.to_string(), "00112233445566778899aabbccddeeff");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(format!("{id:?}"), id.to_string());
    }

    #[test]
    fn what_is_no_peer_id_is_refused() {
        for text in ["", "00", &"0".repeat(33), &"g".repeat(32), &"+1".repeat(16), &"é".repeat(16)] {
            assert!(text.parse::<PeerId>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_table_forgets_the_quietest_stranger_first() {
        let table = Table::default();
        let start = Instant::now();
        let id = |n: usize| PeerId((n as u128).to_be_bytes());
        for n in 0..MAX_PEERS {
            table.update(id(n), |r| {
                r.heard = Some(start + Duration::from_secs(n as u64));
                r.connected = n == 0;
            });
        }
        table.update(id(MAX_PEERS), |_| ());
        assert!(table.info(id(0)).is_some(), "a connected peer stays");
        assert!(table.info(id(1)).is_none(), "the quietest stranger goes");
        assert_eq!(table.all().len(), MAX_PEERS);
    }
}
