//! The event heap and its clock: virtual microseconds that pass only from one event to the next. Of two events at the
//! same time the one that was put in first comes first, so that a run is the same each time.

use std::{cmp::Ordering, collections::BinaryHeap};

/// Virtual microseconds since the world began.
pub type Time = u64;

pub const MS: Time = 1_000;
pub const SECOND: Time = 1_000 * MS;
pub const MINUTE: Time = 60 * SECOND;

struct Item<E> {
    at: Time,
    order: u64,
    event: E,
}

impl<E> PartialEq for Item<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Item<E> {}

impl<E> PartialOrd for Item<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Item<E> {
    /// The heap gives what is greatest: what is due first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

pub struct Heap<E> {
    items: BinaryHeap<Item<E>>,
    now: Time,
    pushed: u64,
}

impl<E> Default for Heap<E> {
    fn default() -> Self {
        Heap { items: BinaryHeap::new(), now: 0, pushed: 0 }
    }
}

impl<E> Heap<E> {
    pub fn now(&self) -> Time {
        self.now
    }

    pub fn at(&mut self, at: Time, event: E) {
        self.pushed += 1;
        self.items.push(Item { at: at.max(self.now), order: self.pushed, event });
    }

    pub fn after(&mut self, delay: Time, event: E) {
        self.at(self.now + delay, event);
    }

    /// The next event, and the clock goes on to it.
    pub fn pop(&mut self) -> Option<E> {
        let item = self.items.pop()?;
        self.now = item.at;
        Some(item.event)
    }

    pub fn next_at(&self) -> Option<Time> {
        self.items.peek().map(|item| item.at)
    }
}
