//! What this node was asked, so that a repeated request is answered but not run again.
//!
//! Owns the cached answers and their limits. Never sends. Pure: time comes in as an argument.
//!
//! A request runs at most once even when its answer is no longer cached: each caller's recent call numbers are kept
//! as a bitmap, and numbers that have left it count as run.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::PeerId;
use crate::frame::CallId;
use crate::link::LinkId;
use crate::peer::MAX_PEERS;

/// Requests that may be running at once; beyond it new ones are left to the caller's retry.
const MAX_RUNNING: usize = 16_384;
/// Bytes of the requests that are running; beyond it new ones are left to the caller's retry.
const MAX_RUNNING_BYTES: usize = 64 * 1024 * 1024;
/// Answers kept for a caller whose copy was lost.
const MAX_ANSWERS: usize = 8_192;
/// Bytes of the kept answers: one largest body and a lot of small ones.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// Answers are kept this long, which is longer than the longest time between two retries.
const MAX_ANSWER_AGE: Duration = Duration::from_secs(300);
/// Call numbers remembered of each caller, in words of 64: at 10,000 calls a second more than six seconds of retries.
const WINDOW_WORDS: usize = 1_024;
/// Lives remembered of each caller: the present one, and the one before it whose frames may still be in the air.
const LIVES: usize = 2;

/// The way back for an answer: the newest copy of the request decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route {
    pub link: LinkId,
    /// The library's name for the request, where it came as one packet.
    pub request: Option<[u8; 16]>,
    pub at: Instant,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// New: run it.
    Run,
    /// It is running; the answer will take the newer route.
    Running,
    /// It has run; this was the answer.
    Answered(Vec<u8>),
    /// It has run and the answer is gone, or there is no room: say nothing.
    Ignore,
}

type Key = (PeerId, CallId);

#[derive(Default)]
pub(crate) struct Dedupe {
    callers: HashMap<PeerId, Caller>,
    running: HashMap<Key, (Route, usize)>,
    running_bytes: usize,
    answers: HashMap<Key, Vec<u8>>,
    answer_bytes: usize,
    /// The answers from oldest to newest.
    order: VecDeque<(Instant, Key)>,
}

struct Caller {
    lives: VecDeque<(u32, Window)>,
    heard: Instant,
}

impl Dedupe {
    /// Takes a copy of a request of `bytes` and says what to do with it.
    pub fn request(&mut self, peer: PeerId, id: CallId, bytes: usize, route: Route) -> Verdict {
        let key = (peer, id);
        if let Some((known, _)) = self.running.get_mut(&key) {
            *known = route;
            return Verdict::Running;
        }
        if let Some(answer) = self.answers.get(&key) {
            return Verdict::Answered(answer.clone());
        }
        if self.running.len() >= MAX_RUNNING || self.running_bytes + bytes > MAX_RUNNING_BYTES {
            return Verdict::Ignore;
        }
        if !self.caller(peer, route.at).first_time(id) {
            return Verdict::Ignore;
        }
        self.running.insert(key, (route, bytes));
        self.running_bytes += bytes;
        Verdict::Run
    }

    /// What is known of a call, without running it. `None`: nothing.
    pub fn look(&mut self, peer: PeerId, id: CallId, route: Route) -> Option<Verdict> {
        let key = (peer, id);
        if let Some((known, _)) = self.running.get_mut(&key) {
            *known = route;
            return Some(Verdict::Running);
        }
        if let Some(answer) = self.answers.get(&key) {
            return Some(Verdict::Answered(answer.clone()));
        }
        self.callers.get(&peer).is_some_and(|caller| caller.has_seen(id)).then_some(Verdict::Ignore)
    }

    /// Keeps the answer of a call and gives its way back. `None` if it was not running.
    pub fn answered(&mut self, peer: PeerId, id: CallId, answer: &[u8], now: Instant) -> Option<Route> {
        let route = self.dropped(peer, id)?;
        if answer.len() <= MAX_ANSWER_BYTES {
            self.answer_bytes += answer.len();
            self.answers.insert((peer, id), answer.to_vec());
            self.order.push_back((now, (peer, id)));
        }
        self.forget_old(now);
        Some(route)
    }

    /// A request was dropped without an answer; its number stays used.
    pub fn dropped(&mut self, peer: PeerId, id: CallId) -> Option<Route> {
        let (route, bytes) = self.running.remove(&(peer, id))?;
        self.running_bytes -= bytes;
        Some(route)
    }

    /// Forgets answers over the limits of age, number and bytes.
    pub fn forget_old(&mut self, now: Instant) {
        while let Some((at, key)) = self.order.front().copied() {
            let fits = self.order.len() <= MAX_ANSWERS && self.answer_bytes <= MAX_ANSWER_BYTES;
            if fits && now.saturating_duration_since(at) <= MAX_ANSWER_AGE {
                break;
            }
            self.order.pop_front();
            if let Some(answer) = self.answers.remove(&key) {
                self.answer_bytes -= answer.len();
            }
        }
    }

    fn caller(&mut self, peer: PeerId, now: Instant) -> &mut Caller {
        if !self.callers.contains_key(&peer) && self.callers.len() >= MAX_PEERS {
            let quietest = self.callers.iter().min_by_key(|(_, caller)| caller.heard).map(|(id, _)| *id);
            quietest.and_then(|id| self.callers.remove(&id));
        }
        let caller = self.callers.entry(peer).or_insert_with(|| Caller { lives: VecDeque::new(), heard: now });
        caller.heard = now;
        caller
    }
}

impl Caller {
    fn first_time(&mut self, id: CallId) -> bool {
        if let Some((_, window)) = self.lives.iter_mut().find(|(life, _)| *life == id.life) {
            return window.insert(id.number);
        }
        if self.lives.len() >= LIVES {
            self.lives.pop_front();
        }
        let mut window = Window::default();
        window.insert(id.number);
        self.lives.push_back((id.life, window));
        true
    }

    fn has_seen(&self, id: CallId) -> bool {
        self.lives.iter().any(|(life, window)| *life == id.life && window.contains(id.number))
    }
}

/// The numbers of one life of a caller: a bitmap that moves up with the largest one.
#[derive(Default)]
struct Window {
    /// Index of the first word; numbers below it count as seen.
    first: usize,
    words: VecDeque<u64>,
}

impl Window {
    /// Marks `number`; false if it was marked before, or has left the window.
    fn insert(&mut self, number: u32) -> bool {
        let (word, bit) = (number as usize / 64, 1 << (number % 64));
        if word < self.first {
            return false;
        }
        if word - self.first >= self.words.len() {
            // Grows by one window at most, however far the number leaps.
            let first = self.first.max((word + 1).saturating_sub(WINDOW_WORDS));
            self.words.drain(..(first - self.first).min(self.words.len()));
            self.first = first;
            self.words.resize(word + 1 - first, 0);
        }
        let word = &mut self.words[word - self.first];
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    fn contains(&self, number: u32) -> bool {
        let word = number as usize / 64;
        let Some(offset) = word.checked_sub(self.first) else { return true };
        self.words.get(offset).is_some_and(|word| word & 1 << (number % 64) != 0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    const PEER: PeerId = PeerId([7; 16]);

    fn id(life: u32, number: u32) -> CallId {
        CallId { life, number }
    }

    fn route(at: Instant, request: u8) -> Route {
        Route { link: [1; 16], request: Some([request; 16]), at }
    }

    #[test]
    fn a_repeated_request_runs_once_and_is_answered_again() {
        let (mut dedupe, now) = (Dedupe::default(), Instant::now());
        let call = id(1, 1);
        assert_eq!(dedupe.look(PEER, call, route(now, 0)), None);
        assert_eq!(dedupe.request(PEER, call, 9, route(now, 1)), Verdict::Run);
        assert_eq!(dedupe.request(PEER, call, 9, route(now, 2)), Verdict::Running);
        assert_eq!(dedupe.answered(PEER, call, b"yes", now), Some(route(now, 2)), "the newest route");
        assert_eq!(dedupe.answered(PEER, call, b"no", now), None, "one answer only");
        assert_eq!(dedupe.request(PEER, call, 9, route(now, 3)), Verdict::Answered(b"yes".to_vec()));
        assert_eq!(dedupe.request(PeerId([8; 16]), call, 9, route(now, 1)), Verdict::Run, "another caller's number");
        assert_eq!(dedupe.request(PEER, id(2, 1), 9, route(now, 1)), Verdict::Run, "another life's number");
    }

    #[test]
    fn a_call_whose_answer_is_gone_does_not_run_again() {
        let (mut dedupe, now) = (Dedupe::default(), Instant::now());
        dedupe.request(PEER, id(1, 1), 9, route(now, 1));
        dedupe.answered(PEER, id(1, 1), b"yes", now);
        let later = now + MAX_ANSWER_AGE + Duration::from_secs(1);
        dedupe.forget_old(later);
        assert_eq!(dedupe.request(PEER, id(1, 1), 9, route(later, 2)), Verdict::Ignore);

        dedupe.request(PEER, id(1, 2), 9, route(now, 1));
        dedupe.dropped(PEER, id(1, 2));
        assert_eq!(dedupe.request(PEER, id(1, 2), 9, route(now, 2)), Verdict::Ignore);
    }

    #[test]
    fn nothing_grows_without_limit() {
        let (mut dedupe, now) = (Dedupe::default(), Instant::now());
        for number in 1..=2 * MAX_ANSWERS as u32 {
            dedupe.request(PEER, id(1, number), 9, route(now, 1));
            dedupe.answered(PEER, id(1, number), &[0; 100], now);
        }
        assert_eq!((dedupe.answers.len(), dedupe.order.len()), (MAX_ANSWERS, MAX_ANSWERS));
        assert_eq!(dedupe.answer_bytes, MAX_ANSWERS * 100);
        for number in 0..40 {
            dedupe.request(PEER, id(2, number), 1, route(now, 1));
            dedupe.answered(PEER, id(2, number), &vec![0; 1024 * 1024], now);
        }
        assert!(dedupe.answer_bytes <= MAX_ANSWER_BYTES);

        for number in 0..MAX_RUNNING as u32 {
            assert_eq!(dedupe.request(PEER, id(3, number), 9, route(now, 1)), Verdict::Run);
        }
        let over = id(3, MAX_RUNNING as u32);
        assert_eq!(dedupe.request(PEER, over, 9, route(now, 1)), Verdict::Ignore);
        dedupe.dropped(PEER, id(3, 0));
        assert_eq!(dedupe.request(PEER, over, 9, route(now, 1)), Verdict::Run, "refused for room, not for ever");

        for n in 0..2 * MAX_PEERS as u32 {
            let peer = PeerId(u128::from(n).to_be_bytes());
            dedupe.request(peer, id(1, 1), 0, route(now, 1));
            dedupe.dropped(peer, id(1, 1));
        }
        assert!(dedupe.callers.len() <= MAX_PEERS);
    }

    proptest! {
        #[test]
        fn no_number_is_new_twice(numbers in prop::collection::vec(prop_oneof![0u32..300, any::<u32>()], 0..200)) {
            let (mut window, mut seen) = (Window::default(), HashSet::new());
            for number in numbers {
                let new = window.insert(number);
                prop_assert!(!(new && seen.contains(&number)));
                prop_assert!(window.contains(number));
                prop_assert!(window.words.len() <= WINDOW_WORDS);
                seen.insert(number);
            }
        }

        #[test]
        fn numbers_in_order_are_all_new(start in 0u32..1_000_000, count in 0u32..5_000) {
            let mut window = Window::default();
            for number in start..start + count {
                prop_assert!(window.insert(number));
            }
        }
    }
}
