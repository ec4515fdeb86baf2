//! Callers that wait for a booking to end (`Prefer: wait`): a bounded register, woken by
//! `airline-events`, which every replica hears.

use crate::bus::{BusError, Consumer, Message};
use crate::domain::{Booking, BookingId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

const BATCH_SIZE_MAX: usize = 512;

/// Who waits for which booking.
#[derive(Clone)]
pub struct Waiting {
    register: Arc<Mutex<HashMap<BookingId, Waiters>>>,
    waiting_max: usize,
    stopping: CancellationToken,
}

#[derive(Default)]
struct Waiters {
    ended: Arc<Notify>,
    count: usize,
}

impl Waiting {
    /// A register with room for `waiting_max` bookings; all waits end when `stopping` is cancelled.
    pub fn new(waiting_max: usize, stopping: CancellationToken) -> Self {
        Self { register: Arc::default(), waiting_max, stopping }
    }

    /// Begins to wait for a booking's end; `None` if the register is full.
    pub(super) fn for_end_of(&self, booking: BookingId) -> Option<Wait> {
        let mut register = self.register();
        if register.len() >= self.waiting_max {
            return None;
        }
        let waiters = register.entry(booking).or_default();
        waiters.count += 1;
        Some(Wait { booking, ended: waiters.ended.clone(), waiting: self.clone() })
    }

    /// Hears `airline-events` and wakes those who wait; runs until the bus fails.
    pub async fn run(&self, mut events: Box<dyn Consumer>) -> Result<(), BusError> {
        loop {
            for message in events.receive(BATCH_SIZE_MAX).await? {
                self.wake(&message);
            }
            events.commit().await?;
        }
    }

    fn wake(&self, message: &Message) {
        let register = self.register();
        let kind = message.headers.get("ce_type").unwrap_or_default();
        if register.is_empty() || !kind.starts_with("booking.") {
            return;
        }
        let Ok(booking) = serde_json::from_str::<Booking>(&message.payload) else { return };
        if let Some(waiters) = register.get(&booking.id) {
            waiters.ended.notify_waiters();
            // A permit for one who has registered but does not await yet.
            waiters.ended.notify_one();
        }
    }

    fn register(&self) -> MutexGuard<'_, HashMap<BookingId, Waiters>> {
        self.register.lock().expect("no holder of the register panics")
    }
}

/// One caller's wait; leaves the register when dropped.
pub(super) struct Wait {
    booking: BookingId,
    ended: Arc<Notify>,
    waiting: Waiting,
}

impl Wait {
    /// Until the booking has ended, the time is up, or the service stops.
    pub(super) async fn within(self, time: Duration) {
        tokio::select! {
            () = self.ended.notified() => {}
            () = tokio::time::sleep(time) => {}
            () = self.waiting.stopping.cancelled() => {}
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut register = self.waiting.register();
        if let Some(waiters) = register.get_mut(&self.booking) {
            waiters.count -= 1;
            if waiters.count == 0 {
                register.remove(&self.booking);
            } else {
                // Pass the permit on, if this waiter took the only one.
                waiters.ended.notify_one();
            }
        }
    }
}
