//! The clock port: the only place that time comes from, so that a test can move it.

pub mod pace;

use crate::domain::Timestamp;
use chrono::{DurationRound, TimeDelta};
use parking_lot::Mutex;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// Tells the time. No SQL and no rule asks anyone else.
pub trait Clock: Send + Sync + 'static {
    /// Now, to the microsecond. A machine's or a database's clock may be set, so it may go back.
    fn now(&self) -> Timestamp;

    /// The time since some moment. It never goes back and does not heed how a clock is set: by it pauses
    /// are measured.
    fn running(&self) -> Duration;
}

/// How long this process has told the time.
fn running() -> Duration {
    static SINCE: LazyLock<Instant> = LazyLock::new(Instant::now);
    SINCE.elapsed()
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

    fn running(&self) -> Duration {
        running()
    }
}

/// A difference from the database's clock, in microseconds, from which on the clock is set at once: one
/// second. So far apart, replicas disagree on which holds have lapsed.
const SET_FROM: i64 = 1_000_000;

/// How far one look moves the clock if it differs by less, in microseconds.
const STEP_MAX: i64 = 50_000;

/// One answer of the database's clock.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// When it was asked.
    pub asked: Instant,
    /// When the answer came.
    pub answered: Instant,
    /// What it said, in microseconds since 1970.
    pub time: i64,
}

impl Sample {
    fn round_trip(&self) -> Duration {
        self.answered.saturating_duration_since(self.asked)
    }
}

/// The database's clock, so that replicas on machines whose clocks differ agree on when a hold ends.
///
/// Between two looks at it this machine's monotonic time goes on, which nobody sets.
#[derive(Debug)]
pub struct OffsetClock {
    began: Instant,
    /// The time when it began, in microseconds since 1970.
    offset: AtomicI64,
    is_set: AtomicBool,
}

impl Default for OffsetClock {
    /// This machine's time, until the database's is known.
    fn default() -> Self {
        let offset = AtomicI64::new(SystemClock.now().timestamp_micros());
        Self { began: Instant::now(), offset, is_set: AtomicBool::default() }
    }
}

impl OffsetClock {
    /// Takes in what one look at the database's clock found: of its samples the one that took least, which
    /// says most. It was told at some moment between question and answer, so it leaves a span possible.
    ///
    /// The first look sets the clock to the middle of it. Later ones move it only if it stands outside,
    /// towards the nearest end: at once if that is a second away or more, else by 50 ms a look at most.
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
        // A database may tell a time that no calendar has.
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

/// A clock that stands still until it is moved; for tests.
#[derive(Debug)]
pub struct ManualClock(Mutex<(Timestamp, Duration)>);

impl ManualClock {
    /// A clock that stands at `start`.
    pub fn at(start: Timestamp) -> Self {
        Self(Mutex::new((start, Duration::ZERO)))
    }

    /// Lets time pass.
    pub fn advance(&self, by: TimeDelta) {
        let mut state = self.0.lock();
        state.0 += by;
        state.1 += by.to_std().unwrap_or_default();
    }

    /// Sets it forward or back, as an operator sets a machine's clock: no time passes.
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

    /// A clock, the moment that counts as now, and what the clock said of it last.
    struct Followed {
        clock: OffsetClock,
        now: Instant,
    }

    impl Followed {
        /// Has followed a database whose clock says `time` now.
        fn at(time: i64) -> Self {
            let clock = OffsetClock::default();
            let mut followed = Self { now: clock.began, clock };
            followed.hear(time, Duration::ZERO);
            assert_eq!(followed.says(), time);
            followed
        }

        /// An answer that comes now, `took` after its question.
        fn answer(&self, time: i64, took: Duration) -> Sample {
            Sample {
                asked: self.now.checked_sub(took).expect("a moment"),
                answered: self.now,
                time,
            }
        }

        fn hear(&mut self, time: i64, took: Duration) {
            self.clock.follow(&[self.answer(time, took)]);
        }

        fn pass(&mut self, seconds: u64) {
            self.now += Duration::from_secs(seconds);
        }

        fn says(&self) -> i64 {
            self.clock.at(self.now).timestamp_micros()
        }
    }

    #[test]
    fn the_answer_that_took_least_says_where_the_clock_stands() {
        let clock = OffsetClock::default();
        let mut followed = Followed { now: clock.began, clock };
        followed.pass(1);
        let slow = followed.answer(9_000 * SECOND, Duration::from_millis(800));
        let quick = followed.answer(5_000 * SECOND, Duration::from_millis(2));
        followed.clock.follow(&[slow, quick, slow]);
        assert_eq!(followed.says(), 5_000 * SECOND + 1_000);
        followed.clock.follow(&[]);
        followed.pass(7);
        assert_eq!(followed.says(), 5_007 * SECOND + 1_000, "it goes on by itself");
    }

    #[test]
    fn an_answer_that_took_long_moves_the_clock_only_as_far_as_it_proves() {
        let mut followed = Followed::at(5_000 * SECOND);
        // Told at any moment of 14 s: this clock may be right.
        followed.hear(4_994 * SECOND, Duration::from_secs(14));
        assert_eq!(followed.says(), 5_000 * SECOND);
        followed.hear(5_020 * SECOND, Duration::from_secs(14));
        assert_eq!(followed.says(), 5_020 * SECOND, "the least that is proved");
    }

    #[test]
    fn a_small_difference_is_made_up_in_small_steps_and_a_large_one_at_once() {
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
            let before = followed.says();
            followed.hear(before + difference, Duration::ZERO);
            assert_eq!(followed.says() - before, moved, "{difference}");
        }
    }

    #[test]
    fn a_database_whose_clock_jumps_to_and_fro_by_less_than_a_second_moves_it_little() {
        let mut followed = Followed::at(5_000 * SECOND);
        let mut right = 5_000 * SECOND;
        for look in 0..600 {
            followed.pass(10);
            right += 10 * SECOND;
            let jump = if look % 2 == 0 { 900_000 } else { -900_000 };
            let before = followed.says();
            followed.hear(right + jump, Duration::from_millis(1));
            assert!((followed.says() - before).abs() <= STEP_MAX, "look {look}");
            assert!((followed.says() - right).abs() <= 2 * STEP_MAX, "look {look}");
        }
    }

    #[test]
    fn a_time_that_no_calendar_has_is_not_told() {
        let mut followed = Followed::at(5_000 * SECOND);
        followed.hear(i64::MAX, Duration::ZERO);
        let day = 86_400 * SECOND;
        assert!((followed.says() - SystemClock.now().timestamp_micros()).abs() < day);
        followed.hear(5_000 * SECOND, Duration::ZERO);
        assert_eq!(followed.says(), 5_000 * SECOND);
    }

    #[test]
    fn a_clock_that_is_set_goes_on_running() {
        let clock = ManualClock::at(Timestamp::UNIX_EPOCH);
        clock.advance(TimeDelta::seconds(5));
        clock.set(TimeDelta::hours(-1));
        assert_eq!(clock.now(), Timestamp::UNIX_EPOCH + TimeDelta::seconds(5 - 3_600));
        assert_eq!(clock.running(), Duration::from_secs(5));
    }
}
