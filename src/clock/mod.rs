//! The clock port: the only place that time comes from, so that a test can move it.

pub mod pace;

use crate::domain::Timestamp;
use chrono::{DurationRound, TimeDelta};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// Tells the time. No SQL and no rule asks anyone else.
pub trait Clock: Send + Sync + 'static {
    /// Now, to the microsecond.
    fn now(&self) -> Timestamp;
}

/// The machine's clock. Embedded, the database shares the machine, so this is its clock too.
#[derive(Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one room where time enters")]
    fn now(&self) -> Timestamp {
        let now = chrono::Utc::now();
        now.duration_trunc(TimeDelta::microseconds(1)).unwrap_or(now)
    }
}

/// The database's clock, as this machine's and the difference between the two, so that replicas on
/// machines whose clocks differ agree on when a hold ends.
#[derive(Debug, Default)]
pub struct OffsetClock {
    offset: AtomicI64,
    is_set: AtomicBool,
}

impl OffsetClock {
    /// Takes in that the database's clock is `offset` microseconds ahead of this machine's, or behind it if
    /// negative, give or take `doubt`. The first time says where the clock stands; later ones move it only
    /// into what they leave possible.
    pub fn correct(&self, offset: i64, doubt: i64) {
        let (least, most) = (offset.saturating_sub(doubt), offset.saturating_add(doubt));
        let was = self.offset.load(Ordering::Relaxed);
        let is_set = self.is_set.swap(true, Ordering::Relaxed);
        let offset = if is_set { was.clamp(least, most.max(least)) } else { offset };
        self.offset.store(offset, Ordering::Relaxed);
    }
}

impl Clock for OffsetClock {
    fn now(&self) -> Timestamp {
        SystemClock.now() + TimeDelta::microseconds(self.offset.load(Ordering::Relaxed))
    }
}

/// A clock that stands still until it is moved; for tests.
#[derive(Debug)]
pub struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    /// A clock that stands at `start`.
    pub fn at(start: Timestamp) -> Self {
        Self(Mutex::new(start))
    }

    /// Moves it on.
    pub fn advance(&self, by: TimeDelta) {
        *self.0.lock().expect("no holder of the clock panics") += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().expect("no holder of the clock panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_took_long_moves_the_clock_only_as_far_as_it_proves() {
        let clock = OffsetClock::default();
        let offset = || clock.offset.load(Ordering::Relaxed);
        clock.correct(1_000, 400);
        assert_eq!(offset(), 1_000);
        clock.correct(5_000_000, 7_000_000);
        assert_eq!(offset(), 1_000, "it may still be right");
        clock.correct(1_200, 100);
        assert_eq!(offset(), 1_100);
        clock.correct(-500, 100);
        assert_eq!(offset(), -400);
    }
}
