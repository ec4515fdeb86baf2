//! The clock port: the only place that time comes from, so that a test can move it.

pub mod pace;

use crate::domain::Timestamp;
use chrono::{DurationRound, TimeDelta};
use parking_lot::Mutex;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// The source of time for all rules and all SQL.
pub trait Clock: Send + Sync + 'static {
    /// Now, to the microsecond. It may go back, since a machine's or a database's clock may be set.
    fn now(&self) -> Timestamp;

    /// The time since an arbitrary moment, for measuring pauses. It never goes back, and setting a clock does not
    /// change it.
    fn running(&self) -> Duration;
}

/// The monotonic time since this process first asked for it.
fn running() -> Duration {
    static SINCE: LazyLock<Instant> = LazyLock::new(Instant::now);
    SINCE.elapsed()
}

/// The machine's clock. An embedded database shares it.
#[derive(Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> Timestamp {
        let now = chrono::Utc::now();
        now.duration_trunc(TimeDelta::microseconds(1)).unwrap_or(now)
    }

    fn running(&self) -> Duration {
        running()
    }
}

/// Minimum difference from the database's clock, in microseconds, that is corrected at once: one second. With a
/// larger one, replicas would disagree on which holds have lapsed.
const SET_FROM: i64 = 1_000_000;

/// Maximum correction of a smaller difference, in microseconds per call of [`OffsetClock::follow`].
const STEP_MAX: i64 = 50_000;

/// One answer of the database's clock.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// When the question was sent.
    pub asked: Instant,
    /// When the answer arrived.
    pub answered: Instant,
    /// The database's time, in microseconds since 1970.
    pub time: i64,
}

impl Sample {
    fn round_trip(&self) -> Duration {
        self.answered.saturating_duration_since(self.asked)
    }
}

/// The database's clock, so that replicas on machines whose clocks differ agree on when a hold ends.
///
/// Between two samples it advances by this machine's monotonic time, which cannot be set.
#[derive(Debug)]
pub struct OffsetClock {
    began: Instant,
    /// The time at `began`, in microseconds since 1970.
    offset: AtomicI64,
    is_set: AtomicBool,
}

impl Default for OffsetClock {
    /// This machine's time, until the first sample.
    fn default() -> Self {
        let offset = AtomicI64::new(SystemClock.now().timestamp_micros());
        Self { began: Instant::now(), offset, is_set: AtomicBool::default() }
    }
}

impl OffsetClock {
    /// Corrects the clock by the sample with the shortest round trip, the most exact one. The database read its
    /// time at some moment between question and answer, so the sample proves a range.
    ///
    /// The first call sets the clock to the middle of the range. Later calls move it only if it is outside, towards
    /// the nearest end: at once if that is a second away or more, otherwise by at most 50 ms.
    pub fn follow(&self, samples: &[Sample]) {
        let Some(best) = samples.iter().min_by_key(|sample| sample.round_trip()) else { return };
        let doubt = micros(best.round_trip() / 2);
        let answered = micros(best.answered.saturating_duration_since(self.began));
        let middle = best.time.saturating_add(doubt).saturating_sub(answered);
        let was = self.offset.load(Ordering::Relaxed);
        let offset = if self.is_set.swap(true, Ordering::Relaxed) {
            let end = was.clamp(middle.saturating_sub(doubt), middle.saturating_add(doubt));
            let difference = end.saturating_sub(was);
            let is_far = difference.saturating_abs() >= SET_FROM;
            if is_far { end } else { was + difference.clamp(-STEP_MAX, STEP_MAX) }
        } else {
            middle
        };
        self.offset.store(offset, Ordering::Relaxed);
    }
}

impl OffsetClock {
    fn at(&self, moment: Instant) -> Timestamp {
        let ran = micros(moment.saturating_duration_since(self.began));
        let time = self.offset.load(Ordering::Relaxed).saturating_add(ran);
        // A database may report a time outside the calendar's range.
        Timestamp::from_timestamp_micros(time).unwrap_or_else(|| SystemClock.now())
    }
}

fn micros(duration: Duration) -> i64 {
    duration.as_micros().try_into().unwrap_or(i64::MAX)
}

impl Clock for OffsetClock {
    fn now(&self) -> Timestamp {
        self.at(Instant::now())
    }

    fn running(&self) -> Duration {
        running()
    }
}

/// A clock for tests. It moves only when told to.
#[derive(Debug)]
pub struct ManualClock(Mutex<(Timestamp, Duration)>);

impl ManualClock {
    /// A clock that shows `start`.
    pub fn at(start: Timestamp) -> Self {
        Self(Mutex::new((start, Duration::ZERO)))
    }

    /// Lets time pass.
    pub fn advance(&self, by: TimeDelta) {
        let mut state = self.0.lock();
        state.0 += by;
        state.1 += by.to_std().unwrap_or_default();
    }

    /// Sets the time forward or back, as an operator sets a machine's clock: no time passes.
    pub fn set(&self, by: TimeDelta) {
        self.0.lock().0 += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.0.lock().0
    }

    fn running(&self) -> Duration {
        self.0.lock().1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    /// A clock, and the moment that counts as now.
    struct Followed {
        clock: OffsetClock,
        now: Instant,
    }

    impl Followed {
        /// A clock that follows a database whose time is `time` now.
        fn at(time: i64) -> Self {
            let clock = OffsetClock::default();
            let mut followed = Self { now: clock.began, clock };
            followed.follow(time, Duration::ZERO);
            assert_eq!(followed.time(), time);
            followed
        }

        /// An answer that arrives now, `took` after its question.
        fn answer(&self, time: i64, took: Duration) -> Sample {
            Sample {
                asked: self.now.checked_sub(took).expect("a moment"),
                answered: self.now,
                time,
            }
        }

        fn follow(&mut self, time: i64, took: Duration) {
            self.clock.follow(&[self.answer(time, took)]);
        }

        fn pass(&mut self, seconds: u64) {
            self.now += Duration::from_secs(seconds);
        }

        fn time(&self) -> i64 {
            self.clock.at(self.now).timestamp_micros()
        }
    }

    #[test]
    fn the_sample_with_the_shortest_round_trip_sets_the_clock() {
        let clock = OffsetClock::default();
        let mut followed = Followed { now: clock.began, clock };
        followed.pass(1);
        let slow = followed.answer(9_000 * SECOND, Duration::from_millis(800));
        let quick = followed.answer(5_000 * SECOND, Duration::from_millis(2));
        followed.clock.follow(&[slow, quick, slow]);
        assert_eq!(followed.time(), 5_000 * SECOND + 1_000);
        followed.clock.follow(&[]);
        followed.pass(7);
        assert_eq!(followed.time(), 5_007 * SECOND + 1_000, "it advances by itself");
    }

    #[test]
    fn a_slow_answer_moves_the_clock_only_as_far_as_it_proves() {
        let mut followed = Followed::at(5_000 * SECOND);
        // The database may have read its time at any moment of 14 s: this clock may be right.
        followed.follow(4_994 * SECOND, Duration::from_secs(14));
        assert_eq!(followed.time(), 5_000 * SECOND);
        followed.follow(5_020 * SECOND, Duration::from_secs(14));
        assert_eq!(followed.time(), 5_020 * SECOND, "the least that is proved");
    }

    #[test]
    fn a_small_difference_is_corrected_in_small_steps_and_a_large_one_at_once() {
        let mut followed = Followed::at(5_000 * SECOND);
        for (difference, moved) in [
            (0, 0),
            (30_000, 30_000),
            (-30_000, -30_000),
            (SECOND - 1, STEP_MAX),
            (1 - SECOND, -STEP_MAX),
            (SECOND, SECOND),
            (-SECOND, -SECOND),
            (-3_600 * SECOND, -3_600 * SECOND),
        ] {
            let before = followed.time();
            followed.follow(before + difference, Duration::ZERO);
            assert_eq!(followed.time() - before, moved, "{difference}");
        }
    }

    #[test]
    fn jumps_of_the_databases_clock_by_less_than_a_second_move_it_little() {
        let mut followed = Followed::at(5_000 * SECOND);
        let mut right = 5_000 * SECOND;
        for look in 0..600 {
            followed.pass(10);
            right += 10 * SECOND;
            let jump = if look % 2 == 0 { 900_000 } else { -900_000 };
            let before = followed.time();
            followed.follow(right + jump, Duration::from_millis(1));
            assert!((followed.time() - before).abs() <= STEP_MAX, "look {look}");
            assert!((followed.time() - right).abs() <= 2 * STEP_MAX, "look {look}");
        }
    }

    #[test]
    fn a_time_outside_the_calendar_is_ignored() {
        let mut followed = Followed::at(5_000 * SECOND);
        followed.follow(i64::MAX, Duration::ZERO);
        let day = 86_400 * SECOND;
        assert!((followed.time() - SystemClock.now().timestamp_micros()).abs() < day);
        followed.follow(5_000 * SECOND, Duration::ZERO);
        assert_eq!(followed.time(), 5_000 * SECOND);
    }

    #[test]
    fn setting_a_clock_does_not_change_its_running_time() {
        let clock = ManualClock::at(Timestamp::UNIX_EPOCH);
        clock.advance(TimeDelta::seconds(5));
        clock.set(TimeDelta::hours(-1));
        assert_eq!(clock.now(), Timestamp::UNIX_EPOCH + TimeDelta::seconds(5 - 3_600));
        assert_eq!(clock.running(), Duration::from_secs(5));
    }
}
