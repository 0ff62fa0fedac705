//! What running attempts have emitted so far: the end of each, kept for whoever asks while it runs and for a short time
//! after. Soft and bounded; lost with the process, and never sent to anybody who does not ask.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use akita_core::{TaskId, wire::Since};
use tokio::sync::Notify;

/// Bytes kept of one attempt: what scrolls by on a few screens.
const KEPT_BYTES: usize = 64 << 10;
/// Attempts that have ended and are still kept: who follows one looks again within a second or two.
const KEPT_ENDED: usize = 64;

/// What one attempt emitted.
#[derive(Debug)]
struct Emitted {
    fence: u64,
    attempt: u32,
    /// Bytes in all.
    total: u64,
    /// The last of them.
    tail: VecDeque<u8>,
}

/// A piece of what an attempt emitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Which attempt, from 1.
    pub attempt: u32,
    /// Where the piece begins.
    pub offset: u64,
    /// Bytes that the attempt emitted so far.
    pub total: u64,
    /// The piece.
    pub bytes: Vec<u8>,
}

/// What was emitted here.
#[derive(Debug, Default)]
pub struct Partials {
    inner: Mutex<Inner>,
    /// Told of each piece.
    pub(super) news: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    tasks: HashMap<TaskId, Emitted>,
    ended: VecDeque<(TaskId, u64)>,
}

impl Partials {
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An attempt has emitted something.
    pub fn append(&self, task: TaskId, fence: u64, attempt: u32, bytes: &[u8]) {
        {
            let mut inner = self.lock();
            let fresh = || Emitted { fence, attempt, total: 0, tail: VecDeque::new() };
            let emitted = inner.tasks.entry(task).or_insert_with(fresh);
            if emitted.fence != fence {
                *emitted = fresh();
            }
            emitted.total += bytes.len() as u64;
            let last = &bytes[bytes.len().saturating_sub(KEPT_BYTES)..];
            let over = (emitted.tail.len() + last.len()).saturating_sub(KEPT_BYTES);
            emitted.tail.drain(..over);
            emitted.tail.extend(last);
        }
        self.news.notify_waiters();
    }

    /// An attempt has ended; what it emitted is forgotten after some others have.
    pub fn ended(&self, task: TaskId, fence: u64) {
        let mut inner = self.lock();
        if inner.tasks.get(&task).is_none_or(|emitted| emitted.fence != fence) {
            return;
        }
        inner.ended.push_back((task, fence));
        if inner.ended.len() > KEPT_ENDED
            && let Some((task, fence)) = inner.ended.pop_front()
            && inner.tasks.get(&task).is_some_and(|emitted| emitted.fence == fence)
        {
            inner.tasks.remove(&task);
        }
    }

    /// The bytes that follow those that were seen, as far as they are kept; `None` where nothing was emitted.
    pub fn piece(&self, task: TaskId, since: Since) -> Option<Piece> {
        let inner = self.lock();
        let Emitted { attempt, total, tail, .. } = inner.tasks.get(&task)?;
        let seen = if since.attempt == *attempt { since.offset.min(*total) } else { 0 };
        let first = total - tail.len() as u64;
        let offset = seen.max(first);
        let skip = usize::try_from(offset - first).unwrap_or(usize::MAX);
        let most = usize::try_from(since.max).unwrap_or(usize::MAX);
        let bytes = tail.iter().skip(skip).take(most).copied().collect();
        Some(Piece { attempt: *attempt, offset, total: *total, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: TaskId = TaskId([1; 16]);

    fn since(attempt: u32, offset: u64) -> Since {
        Since { attempt, offset, max: 10 }
    }

    #[test]
    fn who_asks_gets_what_follows() {
        let all = Partials::default();
        assert_eq!(all.piece(TASK, since(0, 0)), None);
        all.append(TASK, 5, 1, b"one ");
        all.append(TASK, 5, 1, b"two three");
        let piece = |attempt, offset| all.piece(TASK, since(attempt, offset)).expect("it emitted");
        assert_eq!(piece(0, 0), Piece { attempt: 1, offset: 0, total: 13, bytes: b"one two th".to_vec() });
        assert_eq!((piece(1, 10).bytes, piece(1, 13).bytes, piece(1, 99).offset), (b"ree".to_vec(), vec![], 13));
        // Another attempt begins anew, whatever was seen of the one before.
        all.append(TASK, 9, 2, b"again");
        assert_eq!(piece(1, 4), Piece { attempt: 2, offset: 0, total: 5, bytes: b"again".to_vec() });
    }

    #[test]
    fn only_the_end_is_kept_and_what_is_missing_can_be_seen() {
        let all = Partials::default();
        all.append(TASK, 5, 1, &vec![b'a'; KEPT_BYTES]);
        all.append(TASK, 5, 1, b"bc");
        let piece = all.piece(TASK, since(1, 0)).expect("it emitted");
        assert_eq!((piece.offset, piece.total), (2, KEPT_BYTES as u64 + 2));
        all.append(TASK, 5, 1, &vec![b'd'; 3 * KEPT_BYTES]);
        let piece = all.piece(TASK, since(1, 0)).expect("it emitted");
        assert_eq!((piece.offset, piece.bytes.as_slice()), (3 * KEPT_BYTES as u64 + 2, b"dddddddddd".as_slice()));
        assert_eq!(all.lock().tasks[&TASK].tail.len(), KEPT_BYTES);
    }

    #[test]
    fn what_has_ended_is_kept_for_a_while_and_then_forgotten() {
        let all = Partials::default();
        let task = |n: u8| TaskId([n; 16]);
        for n in 0..=KEPT_ENDED as u8 {
            all.append(task(n), 1, 1, b"x");
            all.ended(task(n), 1);
            all.ended(task(n), 0);
        }
        assert_eq!(all.lock().tasks.len(), KEPT_ENDED);
        assert_eq!(all.lock().ended.len(), KEPT_ENDED);
        assert_eq!(all.piece(task(0), since(1, 0)), None);
        assert!(all.piece(task(1), since(1, 0)).is_some());
    }
}
