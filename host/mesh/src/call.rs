//! A call of this node that waits for its answer.
//!
//! Never sends: the engine does, and asks here what is waiting.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use crate::PeerId;
use crate::frame::CallId;
use crate::link::LinkId;

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No link before the deadline: the peer is off, out of range, or was never there. It did not get the request.
    #[error("the peer cannot be reached; check that it runs and shares an interface or a relay with this node")]
    Unreachable,
    /// A link, and no answer before the deadline. The peer may have run the request.
    #[error("the peer did not answer in time")]
    Timeout,
    /// The body is over the limit.
    #[error("the request has {size} bytes, the limit is {limit}")]
    TooLarge {
        /// Bytes of the body.
        size: usize,
        /// Most that a body may have.
        limit: usize,
    },
    /// The link was lost and did not come back before the deadline. The peer may have run the request.
    #[error("the link to the peer was lost")]
    Disconnected,
    /// This node's mesh was shut down.
    #[error("the mesh is shut down")]
    Closed,
}

pub(crate) type Reply = oneshot::Sender<Result<Vec<u8>, CallError>>;

/// How far a call has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Waits for a link.
    Waiting,
    /// Sent as a packet; sent again if it stays unanswered.
    Sent,
    /// Queued or on its way as a large frame; the transfer has its own retries.
    Bulk,
    /// The peer has it; it is only asked after from here on.
    Taken,
}

pub(crate) struct Call {
    pub peer: PeerId,
    pub frame: Arc<Vec<u8>>,
    pub deadline: Instant,
    pub reply: Reply,
    pub stage: Stage,
    /// When to do the next thing; a timer of the same moment fires, others are stale.
    pub next: Instant,
    /// The link that it was sent over last, and when it was sent over that one first. Once sent, the peer may have run it.
    pub sent: Option<(LinkId, Instant)>,
}

impl Call {
    /// Notes that it is sent over a link. Repeats over the same one do not count, so that its answer never seems to have
    /// come faster than it did.
    pub fn sent_over(&mut self, link: LinkId, now: Instant) {
        if self.sent.is_none_or(|(on, _)| on != link) {
            self.sent = Some((link, now));
        }
    }

    /// Why it failed, now that its time is over.
    pub fn failure(&self) -> CallError {
        match (self.sent.is_some(), self.stage) {
            (false, _) => CallError::Unreachable,
            (true, Stage::Waiting) => CallError::Disconnected,
            (true, _) => CallError::Timeout,
        }
    }
}

/// The calls that wait, by id.
pub(crate) struct Calls {
    life: u32,
    number: u32,
    pub waiting: HashMap<CallId, Call>,
}

impl Calls {
    pub fn new() -> Self {
        Self { life: rand::random(), number: 0, waiting: HashMap::new() }
    }

    /// This process's life.
    pub fn life(&self) -> u32 {
        self.life
    }

    /// An id that was never used.
    pub fn new_id(&mut self) -> CallId {
        self.number = self.number.checked_add(1).unwrap_or_else(|| {
            self.life = self.life.wrapping_add(1);
            1
        });
        CallId { life: self.life, number: self.number }
    }

    /// A waiting call to this peer.
    pub fn get(&mut self, peer: PeerId, id: CallId) -> Option<&mut Call> {
        self.waiting.get_mut(&id).filter(|call| call.peer == peer)
    }

    /// Takes a waiting call to this peer out.
    pub fn take(&mut self, peer: PeerId, id: CallId) -> Option<Call> {
        self.get(peer, id)?;
        self.waiting.remove(&id)
    }

    /// A call has no link any more. It is sent again over the next one, or asked after if the peer has it.
    pub fn lost_link(&mut self, id: CallId) {
        if let Some(call) = self.waiting.get_mut(&id).filter(|call| call.stage != Stage::Taken) {
            call.stage = Stage::Waiting;
        }
    }

    /// Ids of the calls to a peer.
    pub fn of(&self, peer: PeerId) -> Vec<CallId> {
        self.waiting.iter().filter(|(_, call)| call.peer == peer).map(|(id, _)| *id).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn ids_are_never_used_twice() {
        let mut calls = Calls::new();
        let first = calls.new_id();
        assert_eq!(first.number, 1);
        calls.number = u32::MAX - 1;
        assert_eq!(calls.new_id(), CallId { number: u32::MAX, ..first });
        let next = calls.new_id();
        assert_eq!((next.life, next.number), (first.life.wrapping_add(1), 1));
    }

    #[test]
    fn an_answer_counts_from_the_peer_that_was_asked_only() {
        let mut calls = Calls::new();
        let (reply, _) = oneshot::channel();
        let (peer, now) = (PeerId([1; 16]), Instant::now());
        let id = calls.new_id();
        let call = Call {
            peer,
            frame: Arc::default(),
            deadline: now + Duration::from_secs(1),
            reply,
            stage: Stage::Waiting,
            next: now,
            sent: None,
        };
        assert_eq!(call.failure(), CallError::Unreachable);
        calls.waiting.insert(id, call);
        assert!(calls.take(PeerId([2; 16]), id).is_none());
        assert_eq!(calls.of(peer), [id]);
        assert!(calls.take(peer, id).is_some());
        assert!(calls.take(peer, id).is_none(), "one answer only");
    }
}
