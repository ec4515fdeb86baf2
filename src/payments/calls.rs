//! Room for gateway calls of one kind: so many under way, and so many that wait for it.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Room for calls.
pub(super) struct Calls {
    /// Calls under way and those that wait.
    places: Arc<Semaphore>,
    /// Calls under way.
    rooms: Arc<Semaphore>,
}

impl Calls {
    /// Room for `running_max` calls, and as many places to wait as said.
    pub(super) fn new(running_max: usize, waiting_max: usize) -> Self {
        let places = Arc::new(Semaphore::new(running_max + waiting_max));
        Self { places, rooms: Arc::new(Semaphore::new(running_max)) }
    }

    /// A place to wait for room; none if too many wait.
    pub(super) fn place(&self) -> Option<Place> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        Some(Place { place, rooms: self.rooms.clone() })
    }
}

/// A call's place in the queue.
pub(super) struct Place {
    place: OwnedSemaphorePermit,
    rooms: Arc<Semaphore>,
}

impl Place {
    /// Waits for room, in the order of arrival. What it gives is held for the call.
    pub(super) async fn room(self) -> (OwnedSemaphorePermit, OwnedSemaphorePermit) {
        let room = self.rooms.acquire_owned().await.expect("the semaphore is never closed");
        (self.place, room)
    }
}
