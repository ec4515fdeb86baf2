//! What a running batch gives back, even if it panics: its flights' locks, and its slot in the scheduler.

use super::batch::LockedRows;
use super::door::Engine;
use super::parts::EngineParts;
use super::queues::Group;
use crate::domain::FlightId;
use crate::lock::Taken;
use futures::FutureExt as _;
use tokio::runtime::Handle;

/// The locks of a running batch; released even if the batch panics.
pub(super) struct LockGuard<'a> {
    pub(super) parts: &'a EngineParts,
    /// `None` once they are released.
    pub(super) taken: Option<Taken>,
}

impl LockGuard<'_> {
    pub(super) fn taken(&self) -> &Taken {
        self.taken.as_ref().expect("only `into_taken` takes the locks, by value")
    }

    pub(super) fn into_taken(mut self) -> Taken {
        self.taken.take().expect("only `into_taken` takes the locks, by value")
    }
}

impl Drop for LockGuard<'_> {
    fn drop(&mut self) {
        let Some(taken) = self.taken.take() else { return };
        let locks = self.parts.locks.clone();
        let mut release = async move { locks.release(taken).await }.boxed();
        // Locks in memory are released at once. Others need the runtime; without it they lapse.
        if (&mut release).now_or_never().is_none() && Handle::try_current().is_ok() {
            self.parts.tasks.spawn(release);
        }
    }
}

/// A running batch's slot in the scheduler; returned even if the batch panics.
pub(super) struct BatchSlot {
    pub(super) engine: Engine,
    pub(super) group: Group,
    pub(super) flights: Vec<FlightId>,
    pub(super) locked_rows: LockedRows,
}

impl Drop for BatchSlot {
    fn drop(&mut self) {
        let flights = self.flights.drain(..);
        self.engine.shared.scheduler.lock().end_batch(self.group, &self.locked_rows, flights);
        self.engine.dispatch();
    }
}
