//! Bounds gateway calls of one kind: those that run, and those that wait.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A bounded number of calls.
pub(super) struct Calls {
    /// Permits of running and waiting calls.
    all: Arc<Semaphore>,
    /// Permits of running calls.
    running: Arc<Semaphore>,
}

impl Calls {
    /// Up to `running_max` calls run, and `waiting_max` wait.
    pub(super) fn new(running_max: usize, waiting_max: usize) -> Self {
        let all = Arc::new(Semaphore::new(running_max + waiting_max));
        Self { all, running: Arc::new(Semaphore::new(running_max)) }
    }

    /// A permit to wait; `None` if too many calls wait.
    pub(super) fn enter(&self) -> Option<PendingCall> {
        let admitted = self.all.clone().try_acquire_owned().ok()?;
        Some(PendingCall { admitted, running: self.running.clone() })
    }
}

/// A waiting call.
pub(super) struct PendingCall {
    admitted: OwnedSemaphorePermit,
    running: Arc<Semaphore>,
}

impl PendingCall {
    /// Waits to run, first in, first out. The call holds the returned permits.
    pub(super) async fn start(self) -> (OwnedSemaphorePermit, OwnedSemaphorePermit) {
        let running = self.running.acquire_owned().await.expect("the semaphore is never closed");
        (self.admitted, running)
    }
}
