//! Frames too large for a packet: one transfer at a time per link and direction, repeated if it fails.

use super::*;
use crate::link::Bulk;
use crate::node::Transfer;

/// A transfer without progress for this long, and for twenty times its packet's airtime, is given up with its link:
/// the library has its own, shorter limits, so its report must be lost.
const STUCK: Duration = Duration::from_secs(60);

impl Engine {
    pub(super) fn send_bulk(&mut self, link: LinkId, request: bool, id: CallId, frame: Arc<Vec<u8>>, now: Instant) {
        let Some(at) = self.links.get_mut(&link) else { return };
        let same = |bulk: &Bulk| bulk.request == request && bulk.id == id;
        // A repeated question for an answer that is on its way changes nothing.
        if at.queue.iter().any(same) || at.sending.as_ref().is_some_and(|(_, bulk, _)| same(bulk)) {
            return;
        }
        at.queue.push_back(Bulk { request, id, frame });
        self.next_bulk(link, now);
    }

    fn next_bulk(&mut self, link: LinkId, now: Instant) {
        let Some(at) = self.links.get_mut(&link) else { return };
        while at.sending.is_none()
            && let Some(bulk) = at.queue.pop_front()
        {
            // Nobody waits for this request any more.
            if bulk.request && !self.calls.waiting.contains_key(&bulk.id) {
                continue;
            }
            // bzip2 costs far more time than a fast link saves, and far less than a slow one does.
            match self.node.send_bulk(link, bulk.frame.to_vec(), at.pace.slow()) {
                Ok(transfer) => at.sending = Some((transfer, bulk, now)),
                Err(_) => return,
            }
        }
    }

    pub(super) fn bulk_progress(&mut self, link: LinkId, transfer: Transfer, now: Instant) {
        if let Some((_, _, last)) = self.sending(link, transfer) {
            *last = now;
        }
    }

    fn sending(&mut self, link: LinkId, transfer: Transfer) -> Option<&mut (Transfer, Bulk, Instant)> {
        self.links.get_mut(&link)?.sending.as_mut().filter(|(sending, _, _)| *sending == transfer)
    }

    /// A transfer ended. A sent request is asked after from now on; a failed one is sent again, if its call still waits;
    /// a failed answer is not: its caller asks for it.
    pub(super) fn bulk_over(&mut self, link: LinkId, transfer: Transfer, sent: bool, now: Instant) {
        if self.sending(link, transfer).is_none() {
            return;
        }
        let Some(at) = self.links.get_mut(&link) else { return };
        let Some((_, bulk, _)) = at.sending.take() else { return };
        if sent {
            at.hear(now);
        }
        let next = at.pace.retry_at(0, now);
        if bulk.request
            && let Some(call) = self.calls.waiting.get_mut(&bulk.id).filter(|call| call.stage == Stage::Bulk)
        {
            call.stage = if sent { Stage::Taken } else { Stage::Waiting };
            call.next = next.min(call.deadline);
            let next = call.next;
            self.timer(next, Timer::Call(bulk.id.life, bulk.id.number));
        }
        self.next_bulk(link, now);
    }

    /// The peer has a large frame, even if the library has not said so yet.
    pub(super) fn bulk_taken(&mut self, link: LinkId, id: CallId, now: Instant) {
        let Some(at) = self.links.get_mut(&link) else { return };
        if at.sending.as_ref().is_some_and(|(_, bulk, _)| bulk.id == id) {
            at.sending = None;
            self.next_bulk(link, now);
        }
    }

    pub(super) fn bulk_stuck(at: &Link, now: Instant) -> bool {
        let limit = STUCK.max(at.pace.airtime(at.limit) * 20);
        at.sending.as_ref().is_some_and(|(_, _, last)| now.saturating_duration_since(*last) > limit)
    }
}
