//! Links: opening, agreeing on one, noticing that one is lost.

use super::*;
use crate::link;
use crate::timing::{self, Pace};

/// First wait for a path before it is asked for again, on fast interfaces.
const PATH_RETRY: Duration = Duration::from_millis(1_000);
/// Longest wait before a path is asked for again.
const PATH_RETRY_MAX: Duration = Duration::from_secs(30);
/// Part of the slowest interface's time that asking for one path may take.
const PATH_SHARE: f64 = 0.1;
/// Bytes of a path request and the announce that answers it.
const PATH_BYTES: f64 = 350.0;
/// First wait for a link to a neighbour before another is tried beside it; the library gives one up after 12 s or more.
const NEXT_ATTEMPT: Duration = Duration::from_secs(2);
/// The same for a peer behind relays, whose speed is not known from here.
const NEXT_RELAYED_ATTEMPT: Duration = Duration::from_secs(6);
/// The same over a slow interface: a link's two large packets, twice the latency, and another node's frame between.
const NEXT_SLOW_ATTEMPT: Duration = Duration::from_secs(10);
/// Attempts at one link that may be under way together.
const MAX_ATTEMPTS: usize = 4;
/// An attempt this old is given up when a newer path is heard of; a younger one is already on that path.
const STALE_ATTEMPT: Duration = Duration::from_millis(1_500);
/// Smallest packet limit of a link, at Reticulum's base MTU of 500.
const BASE_LIMIT: usize = 431;
/// Peers have this long to say who they are, or ten round trips.
const IDENTIFY_TIME: Duration = Duration::from_secs(10);
/// Links whose other end has not said who it is; each costs memory that anybody can ask for.
const MAX_UNKNOWN: usize = 256;
/// Quiet time after which a fast link is asked whether it is there. Costs 200 bytes; never done on slow links.
const IDLE: Duration = Duration::from_secs(5);
/// The same for a link that nothing has come through yet: its last step, or the identification, may be lost.
const UNCONFIRMED: Duration = Duration::from_millis(900);
/// Pings without an answer after which a fast link is lost: 5 s quiet and 5 more make 10.
const MAX_PINGS: u32 = 5;
/// A link that may have gone with its interface has this long to answer, and four round trips.
const SUSPICION: Duration = Duration::from_millis(1_000);
/// What waits on a link that is no longer used may still arrive for this long, and two round trips.
const LINGER: Duration = Duration::from_secs(2);

/// Getting a link to a peer that somebody has called.
pub(super) struct Opening {
    /// Links that were asked for and have not come up, with the moment.
    attempts: Vec<(LinkId, Instant)>,
    /// Links asked for in all.
    tried: u32,
    /// Path requests sent.
    asked: u32,
    next: Instant,
}

impl Engine {
    /// The link that is used to a peer.
    pub(super) fn link_to(&self, peer: PeerId) -> Option<LinkId> {
        self.peers.get(&peer)?.used
    }

    /// Gets a link to a peer, in as many steps as it takes.
    pub(super) fn open(&mut self, peer: PeerId, now: Instant) {
        let state = self.peers.entry(peer).or_default();
        if state.opening.is_none() {
            state.opening = Some(Opening { attempts: Vec::new(), tried: 0, asked: 0, next: now });
            self.opening_due(peer, now);
        }
    }

    /// The next step towards a link: a path, then the link itself.
    pub(super) fn opening_due(&mut self, peer: PeerId, now: Instant) {
        let Some(opening) = self.peers.get(&peer).and_then(|state| state.opening.as_ref()) else { return };
        if now < opening.next {
            return;
        }
        let (under_way, tried, asked) = (opening.attempts.len(), opening.tried, opening.asked);
        if self.link_to(peer).is_some() || self.calls.of(peer).is_empty() {
            return self.stop_opening(peer);
        }
        let known = self.shared.peers.read(peer, |record| (record.public_key, record.hops));
        let (key, hops) = known.unwrap_or_default();
        let key = key.or_else(|| self.node.recall(peer)).filter(|_| self.node.has_path(peer));
        if let Some(key) = key {
            let link = if under_way < MAX_ATTEMPTS { self.node.open(peer, &key).ok() } else { None };
            tracing::trace!(%peer, ?link, under_way, tried, "a link is asked for");
            self.set_opening(peer, |opening| {
                opening.attempts.extend(link.map(|link| (link, now)));
                opening.tried += 1;
            });
            let wait = self.next_attempt(hops) * (1 << tried.min(3));
            return self.open_again_at(peer, now + wait);
        }
        let _ = self.node.request_path(peer);
        tracing::trace!(%peer, asked, "a path is asked for");
        let patience =
            self.node.lowest_bitrate().map_or(0.0, |rate| PATH_BYTES * 8.0 / rate.max(1) as f64 / PATH_SHARE);
        let wait = (PATH_RETRY * (1 << asked.min(5))).min(PATH_RETRY_MAX).max(Duration::from_secs_f64(patience));
        self.set_opening(peer, |opening| opening.asked += 1);
        self.open_again_at(peer, now + wait);
    }

    fn next_attempt(&self, hops: Option<u8>) -> Duration {
        match (self.node.lowest_bitrate(), hops) {
            (Some(rate), _) if timing::is_slow(rate) => NEXT_SLOW_ATTEMPT,
            (_, Some(0..=1)) => NEXT_ATTEMPT,
            _ => NEXT_RELAYED_ATTEMPT,
        }
    }

    fn set_opening(&mut self, peer: PeerId, change: impl FnOnce(&mut Opening)) {
        if let Some(opening) = self.peers.get_mut(&peer).and_then(|state| state.opening.as_mut()) {
            change(opening);
        }
    }

    fn open_again_at(&mut self, peer: PeerId, at: Instant) {
        self.set_opening(peer, |opening| opening.next = at);
        self.timer(at, Timer::Open(peer));
    }

    fn stop_opening(&mut self, peer: PeerId) {
        let opening = self.peers.get_mut(&peer).and_then(|state| state.opening.take());
        for (link, _) in opening.into_iter().flat_map(|opening| opening.attempts) {
            self.node.close(link);
        }
    }

    /// A peer was heard of: a link that waits for its path can go on, and one that was asked for on an old path is
    /// asked for again.
    pub(super) fn path_found(&mut self, peer: PeerId, now: Instant) {
        let stale = self.next_attempt(Some(1)).max(NEXT_ATTEMPT) - NEXT_ATTEMPT + STALE_ATTEMPT;
        let Some(opening) = self.peers.get(&peer).and_then(|state| state.opening.as_ref()) else { return };
        if opening.attempts.iter().all(|(_, since)| now >= *since + stale) {
            self.set_opening(peer, |opening| opening.next = now);
            self.opening_due(peer, now);
        }
    }

    pub(super) fn link_up(&mut self, id: LinkId, rtt: Duration, ours: bool, now: Instant) {
        let peer = ours.then(|| self.peer_of_attempt(id)).flatten();
        tracing::trace!(link = ?id, peer = ?peer, ours, ?rtt, "a link came up");
        if ours && peer.is_none() {
            // An attempt that was given up came through after all.
            return self.node.close(id);
        }
        if !ours {
            self.drop_unknown();
        }
        let bitrate = peer.and_then(|peer| self.node.bitrate_to(peer)).or_else(|| self.node.lowest_bitrate());
        let limit = self.node.packet_limit(id).unwrap_or(BASE_LIMIT);
        self.links.insert(id, Link::new(peer, ours, Pace::new(rtt, bitrate, now), limit, now));
        if let Some(peer) = peer {
            self.node.identify(id);
            self.ready(id, peer, now);
        }
    }

    fn peer_of_attempt(&self, id: LinkId) -> Option<PeerId> {
        let attempts = |peer: &Peer| peer.opening.iter().flat_map(|o| &o.attempts).any(|(link, _)| *link == id);
        self.peers.iter().find(|(_, peer)| attempts(peer)).map(|(id, _)| *id)
    }

    /// Makes room for another link whose other end is unknown.
    fn drop_unknown(&mut self) {
        let unknown = || self.links.iter().filter(|(_, link)| link.peer.is_none());
        if unknown().count() >= MAX_UNKNOWN
            && let Some(oldest) = unknown().min_by_key(|(_, link)| link.since).map(|(id, _)| *id)
        {
            self.node.close(oldest);
            self.links.remove(&oldest);
        }
    }

    pub(super) fn identified(&mut self, id: LinkId, peer: PeerId, public_key: [u8; 64], now: Instant) {
        let Some(link) = self.links.get_mut(&id).filter(|link| !link.ours) else { return };
        match link.peer {
            Some(known) if known == peer => return,
            None if peer != self.me.id() => {}
            _ => {
                tracing::warn!(%peer, "a link that changes its identity is closed");
                self.node.close(id);
                return self.link_down(id, false, now);
            }
        }
        link.peer = Some(peer);
        let bitrate = self.node.bitrate_to(peer);
        if let Some(link) = self.links.get_mut(&id).filter(|_| bitrate.is_some()) {
            link.pace.bitrate = bitrate;
        }
        self.shared.peers.update(peer, |record| record.public_key = Some(public_key));
        self.ready(id, peer, now);
    }

    /// A link to a known peer is there: tell, settle on one link, send what waits.
    fn ready(&mut self, id: LinkId, peer: PeerId, now: Instant) {
        self.node.trust(id);
        let Some(pace) = self.links.get(&id).map(|link| link.pace) else { return };
        let first = self.shared.peers.update(peer, |record| {
            record.heard = Some(now);
            record.measured(&pace);
            !std::mem::replace(&mut record.connected, true)
        });
        if first {
            let _ = self.events.send(Event::Connected { peer });
        }
        self.set_opening(peer, |opening| opening.attempts.retain(|(link, _)| *link != id));
        self.stop_opening(peer);
        self.settle(peer, now);
        self.send_waiting(peer, now);
    }

    /// Chooses one of a peer's links after they have changed. Those that this node opened and that are not used are
    /// closed after a while.
    fn settle(&mut self, peer: PeerId, now: Instant) {
        let known = self.links.iter().filter(|(_, link)| link.peer == Some(peer));
        let used = link::choose(known.map(|(id, link)| (*id, link)), self.me.id(), peer);
        self.peers.entry(peer).or_default().used = used;
        tracing::trace!(%peer, ?used, "the link that is used");
        for (id, link) in self.links.iter_mut().filter(|(_, link)| link.peer == Some(peer)) {
            let linger = now + LINGER + 2 * link.pace.rtt;
            link.doomed = (link.ours && Some(*id) != used).then_some(link.doomed.unwrap_or(linger));
        }
    }

    fn send_waiting(&mut self, peer: PeerId, now: Instant) {
        let Some(link) = self.link_to(peer) else { return };
        for id in self.calls.of(peer) {
            match self.calls.get(peer, id).map(|call| call.stage) {
                Some(Stage::Waiting) => self.send_call(link, id, now),
                Some(Stage::Taken) => self.ask(link, id, now),
                _ => {}
            }
        }
    }

    pub(super) fn link_down(&mut self, id: LinkId, closed_by_peer: bool, now: Instant) {
        self.node.forget(id);
        tracing::trace!(link = ?id, peer = ?self.peer_of_attempt(id), closed_by_peer, "a link is down");
        if let Some(peer) = self.peer_of_attempt(id) {
            let mut last = false;
            self.set_opening(peer, |opening| {
                opening.attempts.retain(|(link, _)| *link != id);
                last = opening.attempts.is_empty();
                opening.next = if last { now } else { opening.next };
            });
            if last {
                // The path may be old: ask for a new one before the next attempt.
                self.node.forget_path(peer);
            }
            return self.opening_due(peer, now);
        }
        let Some(peer) = self.links.remove(&id).and_then(|link| link.peer) else { return };
        self.settle(peer, now);
        let remaining = self.link_to(peer);
        if remaining.is_none() {
            self.shared.peers.update(peer, |record| record.connected = false);
            self.peers.entry(peer).or_default().life = None;
            let _ = self.events.send(Event::Disconnected { peer });
            if !closed_by_peer {
                // Lost, not closed: the way may be gone, and a new one is asked for before the next attempt.
                self.node.forget_path(peer);
            }
        }
        self.calls_lost_their_link(peer, remaining, now);
    }

    /// Calls that were on their way are sent again over another link, or wait for a new one.
    fn calls_lost_their_link(&mut self, peer: PeerId, remaining: Option<LinkId>, now: Instant) {
        let ids = self.calls.of(peer);
        for id in &ids {
            self.calls.lost_link(*id);
        }
        match remaining {
            Some(_) => self.send_waiting(peer, now),
            None if !ids.is_empty() => self.open(peer, now),
            None => {}
        }
    }

    pub(super) fn disconnect(&mut self, peer: PeerId) {
        for id in self.calls.of(peer) {
            self.fail(id, CallError::Disconnected);
        }
        self.stop_opening(peer);
        let links: Vec<_> = self.links.iter().filter(|(_, l)| l.peer == Some(peer)).map(|(id, _)| *id).collect();
        for link in links {
            self.node.close(link);
            self.link_down(link, true, Instant::now());
        }
    }

    /// Links that may have gone with an interface have to show that they are there. One that is fast has to even where its
    /// peer was last heard over another: it may lead through a relay behind this one since before that.
    pub(super) fn interface_down(&mut self, id: u64, now: Instant) {
        self.interfaces_up.remove(&id);
        self.plugged.gone(id);
        let via = |link: &Link| link.peer.and_then(|peer| self.peers.get(&peer)).and_then(|peer| peer.via);
        let affected = |link: &Link| via(link).is_none_or(|via| via == id) || !link.pace.slow();
        let links: Vec<_> = self.links.iter().filter(|(_, link)| affected(link)).map(|(id, _)| *id).collect();
        for link in links {
            if self.interfaces_up.is_empty() && self.plugged.reports_all() {
                self.node.close(link);
                self.link_down(link, false, now);
            } else if let Some(at) = self.links.get_mut(&link) {
                at.suspect.get_or_insert(now + SUSPICION + 4 * at.pace.rtt);
                self.ping(link, now);
            }
        }
    }

    pub(super) fn sweep_links(&mut self, now: Instant) {
        let (mut lost, mut doomed, mut quiet) = (Vec::new(), Vec::new(), Vec::new());
        for (id, link) in &mut self.links {
            let over = |at: Option<Instant>| at.is_some_and(|at| at <= now);
            let unknown = link.peer.is_none() && now > link.since + IDENTIFY_TIME.max(10 * link.pace.rtt);
            if unknown || over(link.doomed) {
                doomed.push(*id);
            } else if over(link.suspect) || link.pings >= MAX_PINGS || Self::bulk_stuck(link, now) {
                lost.push(*id);
            } else if link.peer.is_some() && !link.pace.slow() && link.sending.is_none() {
                let idle = if link.confirmed { IDLE } else { UNCONFIRMED };
                let step = SWEEP.max(2 * link.pace.rtt);
                if now > link.heard + idle && now >= link.pinged + step {
                    (link.pings, link.pinged) = (link.pings + 1, now);
                    quiet.push((*id, link.ours && !link.confirmed));
                }
            }
        }
        for (link, perhaps_unknown) in quiet {
            if perhaps_unknown {
                self.node.identify(link);
            }
            self.ping(link, now);
        }
        for (links, closed) in [(lost, false), (doomed, true)] {
            for link in links {
                self.node.close(link);
                self.link_down(link, closed, now);
            }
        }
    }
}
