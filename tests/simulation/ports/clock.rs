//! Clocks and ids of simulated replicas.

use super::chance::Chance;
use airline_booking::clock::Clock;
use airline_booking::domain::{PaymentReference, Timestamp};
use airline_booking::ids::Ids;
use chrono::TimeDelta;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// A replica's clock: simulated time, and the replica's own error.
pub struct SimClock {
    began: Instant,
    /// Microseconds before or after the database's time.
    error: AtomicI64,
}

impl SimClock {
    /// The time at which every run begins: 2026-01-01.
    pub const START: i64 = 1_767_225_600_000_000;

    /// A clock that is right, in a run that began at `began`.
    pub const fn since(began: Instant) -> Self {
        Self { began, error: AtomicI64::new(0) }
    }

    /// Sets how far the clock is off.
    pub fn set_error(&self, error: TimeDelta) {
        self.error.store(error.num_microseconds().unwrap_or(0), Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let ran = self.began.elapsed().as_micros() as i64;
        let time = Self::START + ran + self.error.load(Ordering::Relaxed);
        Timestamp::from_timestamp_micros(time).expect("a time of this century")
    }

    fn running(&self) -> Duration {
        self.began.elapsed()
    }
}

/// Ids from the run's chance.
pub struct SimIds(pub Chance);

impl Ids for SimIds {
    fn payment_reference(&self, _now: Timestamp) -> PaymentReference {
        PaymentReference::from_bits(self.0.bits())
    }
}
