//! Calls out and requests in: sending, retrying, answering.
//!
//! Decides nothing about links; asks for one and waits until it is there.

use super::*;
use crate::dedupe::{Route, Verdict};
use crate::frame;

/// What the library's request envelope and MessagePack add to a frame (time stamp, path, lengths), and a little.
const ENVELOPE: usize = 40;

/// A response may be sent to a request this long after it came; later the asking side no longer expects one, and the
/// answer goes as a message of its own.
const RESPONSE_WINDOW: Duration = Duration::from_secs(5);

/// Repeats without anything heard after which a link counts as dead: a living peer answers a repeat at once, if only
/// with "I have it".
const MAX_UNANSWERED: u32 = 3;
/// The same for a link that nothing has come through yet.
const MAX_UNCONFIRMED: u32 = 2;

impl Engine {
    pub(super) fn call(&mut self, peer: PeerId, body: &[u8], deadline: Instant, reply: Reply, now: Instant) {
        let id = self.calls.new_id();
        let frame = Arc::new(Frame::encode(Kind::Request, id, body));
        let call = Call { peer, frame, deadline, reply, stage: Stage::Waiting, next: deadline, sent: None };
        self.calls.waiting.insert(id, call);
        if peer == self.me.id() {
            return self.fail(id, CallError::Unreachable);
        }
        match self.link_to(peer) {
            Some(link) => self.send_call(link, id, now),
            None => {
                self.call_again_at(id, deadline);
                self.open(peer, now);
            }
        }
    }

    pub(super) fn fail(&mut self, id: CallId, error: CallError) {
        if let Some(call) = self.calls.waiting.remove(&id) {
            let _ = call.reply.send(Err(error));
        }
    }

    fn call_again_at(&mut self, id: CallId, at: Instant) {
        if let Some(call) = self.calls.waiting.get_mut(&id) {
            call.next = at.min(call.deadline);
            let next = call.next;
            self.timer(next, Timer::Call(id.life, id.number));
        }
    }

    /// Sends a call's request over a link: as a packet, or in the queue of large frames.
    pub(super) fn send_call(&mut self, link: LinkId, id: CallId, now: Instant) {
        let (Some(call), Some(at)) = (self.calls.waiting.get_mut(&id), self.links.get_mut(&link)) else { return };
        call.sent_over(link, now);
        if call.frame.len() + ENVELOPE > at.limit {
            call.stage = Stage::Bulk;
            let frame = call.frame.clone();
            let deadline = call.deadline;
            self.call_again_at(id, deadline);
            return self.send_bulk(link, true, id, frame, now);
        }
        call.stage = Stage::Sent;
        at.pace.sent(call.frame.len(), now);
        self.node.send(link, &call.frame);
        let next = at.pace.retry_at(at.unanswered, now);
        self.call_again_at(id, next);
    }

    /// A call's moment has come: it failed, or is repeated, or asked after.
    pub(super) fn call_due(&mut self, id: CallId, now: Instant) {
        let Some(call) = self.calls.waiting.get_mut(&id) else { return };
        if now < call.next {
            return;
        }
        if call.reply.is_closed() {
            self.calls.waiting.remove(&id);
            return;
        }
        if now >= call.deadline {
            let failure = call.failure();
            return self.fail(id, failure);
        }
        let (peer, stage, deadline) = (call.peer, call.stage, call.deadline);
        let Some(link) = self.link_to(peer) else {
            self.calls.lost_link(id);
            self.call_again_at(id, deadline);
            return self.open(peer, now);
        };
        match stage {
            Stage::Bulk => {}
            Stage::Waiting => self.send_call(link, id, now),
            Stage::Taken | Stage::Sent if !self.unanswered(link, now) => {}
            Stage::Taken => self.ask(link, id, now),
            Stage::Sent => self.send_call(link, id, now),
        }
    }

    /// Asks after a call that the peer has.
    pub(super) fn ask(&mut self, link: LinkId, id: CallId, now: Instant) {
        self.send_small(link, Kind::Query, id, now);
        let next = self.links.get(&link).map_or(now, |at| at.pace.ask_at(at.unanswered, now));
        self.call_again_at(id, next);
    }

    /// Counts a repeat. False if the link is dead and was closed; its calls wait for a new one.
    fn unanswered(&mut self, link: LinkId, now: Instant) -> bool {
        let Some(at) = self.links.get_mut(&link) else { return false };
        let round = at.pace.retry_at(0, now).saturating_duration_since(now);
        if now > at.repeated + round / 2 {
            // Many calls that are repeated together make one round.
            (at.unanswered, at.repeated) = (at.unanswered + 1, now);
        }
        let quiet = now.saturating_duration_since(at.heard.max(at.since));
        let limit = if at.confirmed { MAX_UNANSWERED } else { MAX_UNCONFIRMED };
        if at.unanswered > limit && quiet > round * limit {
            tracing::debug!(?link, "a link is silent and is closed");
            self.node.close(link);
            self.link_down(link, false, now);
            return false;
        }
        if at.ours && !at.confirmed {
            // Perhaps it was the identification that got lost: then the other end serves nothing.
            self.node.identify(link);
        }
        true
    }

    fn send_small(&mut self, link: LinkId, kind: Kind, id: CallId, now: Instant) {
        if let Some(at) = self.links.get_mut(&link) {
            let frame = Frame::encode(kind, id, &[]);
            at.pace.sent(frame.len(), now);
            self.node.send(link, &frame);
        }
    }

    pub(super) fn ping(&mut self, link: LinkId, now: Instant) {
        let id = CallId { life: self.calls.life(), number: 0 };
        self.send_small(link, Kind::Query, id, now);
    }

    /// A frame came in.
    pub(super) fn receive(&mut self, link: LinkId, request: Option<[u8; 16]>, data: &[u8], bulk: bool, now: Instant) {
        let Some(at) = self.links.get_mut(&link) else { return };
        let Some(peer) = at.peer else {
            tracing::debug!("a frame from a peer that did not identify itself is dropped");
            return;
        };
        let Some(frame) = Frame::decode(data) else {
            tracing::debug!(%peer, bytes = data.len(), "a frame that is none is dropped");
            return;
        };
        at.hear(now);
        self.shared.peers.update(peer, |record| record.heard = Some(now));
        let route = Route { link, request, at: now };
        match frame.kind {
            Kind::Request => {
                self.note_life(peer, frame.id.life);
                self.requested(peer, frame.id, frame.body, route, bulk);
            }
            Kind::Answer => {
                if bulk {
                    self.send_small(link, Kind::Taken, frame.id, now);
                }
                if let Some(call) = self.calls.take(peer, frame.id) {
                    self.measure(peer, link, call.sent, now);
                    let _ = call.reply.send(Ok(frame.body.to_vec()));
                }
            }
            Kind::Taken => self.taken(peer, link, frame.id, now),
            Kind::Query if frame.id.number == 0 => {
                self.note_life(peer, frame.id.life);
                self.send_small(link, Kind::Unknown, frame.id, now);
            }
            Kind::Query => match self.dedupe.look(peer, frame.id, route) {
                Some(Verdict::Answered(answer)) => self.send_answer(peer, frame.id, &answer, route, now),
                Some(Verdict::Running) => self.send_small(link, Kind::Taken, frame.id, now),
                Some(_) => {}
                None => self.send_small(link, Kind::Unknown, frame.id, now),
            },
            Kind::Unknown => {
                if self.calls.get(peer, frame.id).is_some_and(|call| call.stage == Stage::Taken) {
                    self.send_call(link, frame.id, now);
                }
            }
        }
    }

    fn requested(&mut self, peer: PeerId, id: CallId, body: &[u8], route: Route, bulk: bool) {
        match self.dedupe.request(peer, id, body.len(), route) {
            Verdict::Run => {
                if bulk {
                    self.send_small(route.link, Kind::Taken, id, route.at);
                }
                let reply_to = ReplyTo { engine: self.to_self.clone(), peer, id, used: false };
                let request = crate::Request { peer, body: body.to_vec(), reply_to };
                let _ = self.events.send(Event::Request(request));
            }
            Verdict::Running => self.send_small(route.link, Kind::Taken, id, route.at),
            Verdict::Answered(answer) => self.send_answer(peer, id, &answer, route, route.at),
            Verdict::Ignore => tracing::debug!(%peer, ?id, "a request is not run again, or there is no room for it"),
        }
    }

    fn taken(&mut self, peer: PeerId, link: LinkId, id: CallId, now: Instant) {
        self.bulk_taken(link, id, now);
        let next = self.links.get(&link).map_or(now, |at| at.pace.ask_at(0, now));
        if let Some(call) = self.calls.get(peer, id) {
            call.stage = Stage::Taken;
            let sent = call.sent;
            self.call_again_at(id, next);
            self.measure(peer, link, sent, now);
        }
    }

    /// Something came back for what was sent over a link: its round trip is no longer than that took. One that was measured
    /// while the link came up may be far too long, as a busy machine was slow to take part.
    fn measure(&mut self, peer: PeerId, link: LinkId, sent: Option<(LinkId, Instant)>, now: Instant) {
        let Some((_, since)) = sent.filter(|(on, _)| *on == link) else { return };
        let Some(at) = self.links.get_mut(&link) else { return };
        if !at.pace.answered_within(now.saturating_duration_since(since)) {
            return;
        }
        let pace = at.pace;
        if self.link_to(peer) == Some(link) {
            self.shared.peers.update(peer, |record| record.measured(&pace));
        }
    }

    pub(super) fn respond(&mut self, peer: PeerId, id: CallId, body: Option<Vec<u8>>, now: Instant) {
        match body {
            None => {
                self.dedupe.dropped(peer, id);
            }
            Some(body) => {
                if let Some(route) = self.dedupe.answered(peer, id, &body, now) {
                    self.send_answer(peer, id, &body, route, now);
                }
            }
        }
    }

    fn send_answer(&mut self, peer: PeerId, id: CallId, body: &[u8], route: Route, now: Instant) {
        // The request's own link if it is still up; another one if there is; else the caller asks again.
        let known = self.links.contains_key(&route.link).then_some(route.link);
        let Some(link) = known.or_else(|| self.link_to(peer)) else { return };
        let Some(at) = self.links.get_mut(&link) else { return };
        let frame = Frame::encode(Kind::Answer, id, body);
        if frame.len() + ENVELOPE > at.limit {
            return self.send_bulk(link, false, id, Arc::new(frame), now);
        }
        at.pace.sent(frame.len(), now);
        let fresh = known.is_some() && now.saturating_duration_since(route.at) < RESPONSE_WINDOW;
        match route.request.filter(|_| fresh) {
            Some(request) => self.node.respond(link, request, &frame),
            None => self.node.send(link, &frame),
        }
    }

    /// Notices that a peer has restarted while its old link was not missed yet.
    fn note_life(&mut self, peer: PeerId, life: u32) {
        let known = self.peers.entry(peer).or_default().life.replace(life);
        if known.is_some_and(|known| known != life) {
            let _ = self.events.send(Event::Disconnected { peer });
            let _ = self.events.send(Event::Connected { peer });
        }
    }
}

const _: () = assert!(frame::OVERHEAD + ENVELOPE < 431, "a frame has room in the smallest link packet");
