//! The slot of one run, which it leaves while it waits for its children. It does not know what the run waits for.

use std::sync::Arc;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// A slot that is held, or was left.
pub(crate) struct Slot {
    slots: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
}

impl Slot {
    /// Waits for a free one.
    pub(crate) async fn take(slots: Arc<Semaphore>) -> Result<Slot, AcquireError> {
        let held = Some(slots.clone().acquire_owned().await?);
        Ok(Slot { slots, held })
    }

    /// Lets another run have it.
    pub(crate) fn leave(&mut self) {
        self.held = None;
    }

    /// What waits for a free one again, for [`Slot::sit`].
    pub(crate) fn free(&self) -> impl Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send + use<> {
        self.slots.clone().acquire_owned()
    }

    /// Goes on in a slot that was waited for.
    pub(crate) fn sit(&mut self, held: OwnedSemaphorePermit) {
        self.held = Some(held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slot_that_was_left_is_somebody_elses_until_it_is_free() {
        let slots = Arc::new(Semaphore::new(1));
        let mut parent = Slot::take(slots.clone()).await.unwrap();
        parent.leave();
        let child = Slot::take(slots.clone()).await.unwrap();
        assert_eq!(slots.available_permits(), 0);
        drop(child);
        let held = parent.free().await.unwrap();
        parent.sit(held);
        assert_eq!(slots.available_permits(), 0);
        drop(parent);
        assert_eq!(slots.available_permits(), 1);
    }
}
