//! Where a run sits: its slot and its turn among the runs of its plugin, which it gives back while it waits for its
//! children, and its place among the runs that may have any. It never begins a run.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use akita_core::{task::MAX_DEPTH, tuning::families};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// Runs that may wait for their children at once on a node of so many slots, of all generations that can have any.
pub fn most_parked(slots: usize) -> usize {
    usize::from(families(u16::try_from(slots).unwrap_or(u16::MAX), MAX_DEPTH - 1))
}

/// Tasks that are held and take no slot.
#[derive(Debug, Default)]
pub(super) struct Idle {
    count: AtomicUsize,
    more: Notify,
}

impl Idle {
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Returns when there is one more.
    pub(super) async fn grows(&self) {
        self.more.notified().await;
    }

    /// Counts one until the guard is dropped.
    fn enter(self: &Arc<Self>) -> IdleGuard {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.more.notify_one();
        IdleGuard(Arc::clone(self))
    }
}

/// One that takes no slot.
pub(super) struct IdleGuard(Arc<Idle>);

impl Drop for IdleGuard {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many runs that may have children are begun. Each keeps an instance until its end; the sandbox has so many.
#[derive(Debug)]
pub(super) struct Families {
    slots: u16,
    begun: Mutex<u16>,
    ended: Notify,
}

/// One that is begun.
pub(super) struct Begun(Arc<Families>);

impl Drop for Begun {
    fn drop(&mut self) {
        *self.0.begun() -= 1;
        self.0.ended.notify_waiters();
    }
}

impl Families {
    pub(super) fn new(slots: usize) -> Arc<Families> {
        let slots = u16::try_from(slots).unwrap_or(u16::MAX);
        Arc::new(Families { slots, begun: Mutex::default(), ended: Notify::new() })
    }

    fn begun(&self) -> std::sync::MutexGuard<'_, u16> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until one of that generation may begin. The last generation has no children, and never waits.
    pub(super) async fn begin(self: &Arc<Self>, depth: u8, idle: &Arc<Idle>) -> Option<Begun> {
        if depth >= MAX_DEPTH {
            return None;
        }
        let most = families(self.slots, depth);
        let mut waiting = None;
        loop {
            // Listened to before it is looked, so that no end is missed.
            let ended = self.ended.notified();
            {
                let mut begun = self.begun();
                if *begun < most {
                    *begun += 1;
                    return Some(Begun(Arc::clone(self)));
                }
            }
            waiting.get_or_insert_with(|| idle.enter());
            ended.await;
        }
    }
}

/// What a run holds while it goes on.
struct Seat {
    _turn: Option<OwnedSemaphorePermit>,
    _slot: OwnedSemaphorePermit,
}

/// The place of one run.
pub(super) struct Place {
    gate: Option<Arc<Semaphore>>,
    slots: Arc<Semaphore>,
    drained: CancellationToken,
    idle: Arc<Idle>,
    seat: Mutex<Option<Seat>>,
}

impl Place {
    pub(super) fn new(
        gate: Option<Arc<Semaphore>>,
        slots: Arc<Semaphore>,
        drained: CancellationToken,
        idle: Arc<Idle>,
    ) -> Place {
        Place { gate, slots, drained, idle, seat: Mutex::default() }
    }

    fn seat(&self) -> std::sync::MutexGuard<'_, Option<Seat>> {
        self.seat.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a turn and a slot. `false`: the node is stopping, and nothing more begins or goes on.
    pub(super) async fn sit(&self) -> bool {
        // A plugin that may not run more often at once waits without a slot, so that others have it.
        let turn = match self.gate.clone() {
            Some(gate) => tokio::select! {
                turn = gate.acquire_owned() => turn.ok(),
                () = self.drained.cancelled() => None,
            },
            None => None,
        };
        // Closed when draining.
        let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else { return false };
        *self.seat() = Some(Seat { _turn: turn, _slot: slot });
        true
    }

    /// Gives turn and slot to others, until [`Place::sit`].
    pub(super) fn leave(&self) -> IdleGuard {
        self.seat().take();
        self.idle.enter()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn parents_wait_for_each_other_and_never_keep_a_child_from_beginning() {
        let (all, idle) = (Families::new(1), Arc::new(Idle::default()));
        let mut begun = Vec::new();
        for _ in 0..families(1, 0) {
            begun.extend(all.begin(0, &idle).await);
        }
        let (more, idle_there) = (Arc::clone(&all), Arc::clone(&idle));
        let late = tokio::spawn(async move { more.begin(0, &idle_there).await.is_some() });
        idle.grows().await;
        assert_eq!(idle.count(), 1, "it holds no slot, and counts so");
        for depth in 1..=MAX_DEPTH {
            let child = tokio::time::timeout(Duration::from_secs(5), all.begin(depth, &idle)).await;
            begun.extend(child.expect("each generation has room of its own"));
        }
        assert!(begun.len() <= most_parked(1));
        begun.clear();
        assert!(late.await.unwrap());
        assert_eq!((idle.count(), *all.begun()), (0, 0));
    }

    #[tokio::test]
    async fn who_waits_for_children_holds_neither_slot_nor_turn() {
        let (gate, slots) = (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(1)));
        let (drained, idle) = (CancellationToken::new(), Arc::new(Idle::default()));
        let place = || Place::new(Some(Arc::clone(&gate)), Arc::clone(&slots), drained.clone(), Arc::clone(&idle));
        let (parent, child) = (place(), place());
        assert!(parent.sit().await);
        assert_eq!((gate.available_permits(), slots.available_permits()), (0, 0));
        let parked = parent.leave();
        assert!(child.sit().await, "there is one of each");
        assert_eq!(idle.count(), 1);
        drop(child);
        drop(parked);
        assert!(parent.sit().await);
        drop(parent);
        assert_eq!((gate.available_permits(), slots.available_permits(), idle.count()), (1, 1, 0));
        slots.close();
        assert!(!place().sit().await);
    }
}
