//! What a link is, and which of several to a peer is used. Pure.
//!
//! Never sends. Two links to a peer happen when both ends call at the same moment, and when a peer has restarted and
//! opens a new link while the old one has not been missed yet.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::PeerId;
use crate::frame::CallId;
use crate::node::Transfer;
use crate::timing::Pace;

/// The Reticulum library's name for a link.
pub(crate) type LinkId = [u8; 16];

/// Two links opened within this time, and three round trips, were opened by both ends without knowing of the other.
const RACE: Duration = Duration::from_secs(2);

/// A frame too large for a packet, on its way or waiting for it. One at a time per link and direction: the library's
/// transfers slow each other down.
pub(crate) struct Bulk {
    /// A request of ours, or our answer to the peer's.
    pub request: bool,
    pub id: CallId,
    pub frame: Arc<Vec<u8>>,
}

pub(crate) struct Link {
    /// Who is at the other end; `None` until it identified itself.
    pub peer: Option<PeerId>,
    /// This node opened it.
    pub ours: bool,
    pub since: Instant,
    /// When a frame last came through.
    pub heard: Instant,
    /// A frame came through at all, so the other end knows who this is.
    pub confirmed: bool,
    /// Rounds of repeats since a frame last came through, and when the last one began.
    pub unanswered: u32,
    pub repeated: Instant,
    /// Unanswered pings, and when the last one was sent.
    pub pings: u32,
    pub pinged: Instant,
    /// An interface was lost: if nothing is heard until then, the link is lost with it.
    pub suspect: Option<Instant>,
    /// Another link is used; this one is closed then.
    pub doomed: Option<Instant>,
    pub pace: Pace,
    /// Largest frame in bytes that fits a packet.
    pub limit: usize,
    pub queue: VecDeque<Bulk>,
    pub sending: Option<(Transfer, Bulk, Instant)>,
}

impl Link {
    pub fn new(peer: Option<PeerId>, ours: bool, pace: Pace, limit: usize, now: Instant) -> Self {
        Self {
            peer,
            ours,
            since: now,
            heard: now,
            confirmed: false,
            unanswered: 0,
            repeated: now,
            pings: 0,
            pinged: now,
            suspect: None,
            doomed: None,
            pace,
            limit,
            queue: VecDeque::new(),
            sending: None,
        }
    }

    /// A frame came through.
    pub fn hear(&mut self, now: Instant) {
        self.heard = now;
        self.confirmed = true;
        self.unanswered = 0;
        self.pings = 0;
        self.suspect = None;
    }
}

/// The link that both ends will agree to use: the newest, except that of two opened at the same moment it is the one
/// that the smaller id opened.
pub(crate) fn choose<'a>(links: impl Iterator<Item = (LinkId, &'a Link)>, me: PeerId, peer: PeerId) -> Option<LinkId> {
    let mut links: Vec<_> = links.collect();
    links.sort_by_key(|(id, link)| (link.since, *id));
    let chosen = links.into_iter().reduce(|chosen, next| {
        let race = RACE + 3 * chosen.1.pace.rtt.max(next.1.pace.rtt);
        let both = chosen.1.ours != next.1.ours && next.1.since - chosen.1.since < race;
        if both && chosen.1.ours == (me < peer) { chosen } else { next }
    });
    chosen.map(|(id, _)| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: PeerId = PeerId([1; 16]);
    const LARGE: PeerId = PeerId([2; 16]);

    fn link(ours: bool, since: Instant) -> Link {
        Link::new(None, ours, Pace::new(Duration::from_millis(1), None, since), 431, since)
    }

    fn chosen(links: &[(LinkId, Link)], me: PeerId, peer: PeerId) -> LinkId {
        choose(links.iter().map(|(id, link)| (*id, link)), me, peer).unwrap()
    }

    #[test]
    fn both_ends_choose_the_same_of_two_links_opened_at_once() {
        let start = Instant::now();
        let soon = start + Duration::from_millis(300);
        let (a, b) = ([0xa; 16], [0xb; 16]);
        // SMALL opened a, LARGE opened b; each end may see them in either order.
        for (first, second) in [(a, b), (b, a)] {
            let seen_by = |me: PeerId| {
                let ours = |id: LinkId| (id == a) == (me == SMALL);
                [(first, link(ours(first), start)), (second, link(ours(second), soon))]
            };
            assert_eq!(chosen(&seen_by(SMALL), SMALL, LARGE), a);
            assert_eq!(chosen(&seen_by(LARGE), LARGE, SMALL), a);
        }
    }

    #[test]
    fn a_link_opened_later_replaces_an_old_one() {
        let start = Instant::now();
        let later = start + Duration::from_secs(60);
        for ours in [true, false] {
            let links = [([0xa; 16], link(ours, start)), ([0xb; 16], link(!ours, later))];
            assert_eq!(chosen(&links, SMALL, LARGE), [0xb; 16]);
            assert_eq!(chosen(&links, LARGE, SMALL), [0xb; 16]);
        }
        assert_eq!(choose(std::iter::empty(), SMALL, LARGE), None);
    }
}
