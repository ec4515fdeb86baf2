//! Erases passengers some time after departure (`PASSENGER_RETENTION`): the sweeper, a page a step.
//!
//! A walk goes over the flights that have departed since the last one, by an index; once a day over all of
//! them, for bookings that were made or moved since. Where it stands is kept in memory alone: a process
//! that begins to sweep goes over all. Behind a walk the store's log is emptied and, once a day, its file is
//! written again if it is small: both may hold copies of what was erased.

use super::passed_over::Work;
use super::sweeper::Sweeper;
use crate::domain::{BookingId, Timestamp};
use crate::store::{Departed, Scrub, Scrubbed, StoreError};
use chrono::TimeDelta;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use tracing::{debug, info};

/// Bookings in a step: some milliseconds of the database's one writer.
const STEP_MAX: usize = 256;

/// Pages of flights in a step, where no booking of them is due.
const PAGES_MAX: usize = 16;

/// The time between two walks.
const WALK_EVERY: Duration = Duration::from_secs(60);

/// How often all flights that have departed are gone over.
const WHOLE_WALK_EVERY: Duration = Duration::from_secs(86_400);

/// How often the store's file is written again at most: bookings wait for a second or so.
const REWRITE_EVERY: Duration = Duration::from_secs(86_400);

/// How long passengers are kept after departure, and where the walk over them stands.
pub struct Retention {
    keep_for: TimeDelta,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    /// The walk under way.
    walk: Option<Walk>,
    /// When the next walk begins, by the running time of the clock port; at once where it is `None`.
    next_at: Option<Duration>,
    /// Where it begins; at the first flight where it is `None`.
    next_from: Option<Departed>,
    /// When a walk over all began, by the same.
    whole_at: Option<Duration>,
    /// Whether the store's log, and free space of its file, may hold what was erased.
    log_holds_copies: bool,
    file_holds_copies: bool,
    /// When it was last tried to write the file again, by the same.
    rewritten_at: Option<Duration>,
}

#[derive(Clone, Copy)]
struct Walk {
    /// Where it began.
    from: Option<Departed>,
    /// Departures and bookings up to this instant are due.
    until: Timestamp,
    after: Option<Departed>,
    erased: usize,
    /// Bookings that are due and could not be erased.
    missed: usize,
}

impl Retention {
    /// Keeps passengers for this long after departure.
    pub fn of(keep_for: TimeDelta) -> Self {
        Self { keep_for, progress: Mutex::default() }
    }

    /// The walk under way, or one that begins now if it is time.
    fn walk(&self, now: Timestamp, running: Duration) -> Option<Walk> {
        let mut progress = self.progress();
        if progress.walk.is_none() {
            if progress.next_at.is_some_and(|at| running < at) {
                return None;
            }
            let is_fresh = |at: Duration| running.saturating_sub(at) < WHOLE_WALK_EVERY;
            if !progress.whole_at.is_some_and(is_fresh) {
                progress.whole_at = Some(running);
                progress.next_from = None;
            }
            let from = progress.next_from;
            let until = now - self.keep_for;
            progress.walk = Some(Walk { from, until, after: from, erased: 0, missed: 0 });
        }
        progress.walk
    }

    /// Notes how far the walk got; a walk that has ended and what it missed decide where the next begins.
    fn note(&self, walk: Walk, next: Option<Departed>, running: Duration) {
        let mut progress = self.progress();
        if next.is_some() {
            progress.walk = Some(Walk { after: next, ..walk });
            return;
        }
        progress.walk = None;
        progress.log_holds_copies |= walk.erased > 0;
        progress.file_holds_copies |= walk.erased > 0;
        progress.next_at = Some(running + WALK_EVERY);
        progress.next_from =
            if walk.missed > 0 { walk.from } else { Some(Departed::from(walk.until)) };
    }

    /// What is to be done with the store's files at the end of a walk.
    fn scrub(&self, running: Duration) -> Option<Scrub> {
        let mut progress = self.progress();
        let is_fresh = |at: Duration| running.saturating_sub(at) < REWRITE_EVERY;
        if progress.file_holds_copies && !progress.rewritten_at.is_some_and(is_fresh) {
            progress.rewritten_at = Some(running);
            return Some(Scrub::Rewrite);
        }
        progress.log_holds_copies.then_some(Scrub::Log)
    }

    /// Notes what is left in the store's files.
    fn scrubbed(&self, scrubbed: Scrubbed) {
        let mut progress = self.progress();
        progress.log_holds_copies &= scrubbed == Scrubbed::Neither;
        progress.file_holds_copies &= matches!(scrubbed, Scrubbed::Neither | Scrubbed::LogAlone);
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().expect("no holder of the walk's place panics")
    }
}

impl Sweeper {
    /// A step of the walk: some pages, of which one at most has bookings that are due. It says that nothing
    /// was done, so that no further step follows without a pause.
    pub(super) async fn erase_departed(&self, now: Timestamp) -> Result<usize, StoreError> {
        let Some(retention) = &self.retention else { return Ok(0) };
        for _ in 0..PAGES_MAX {
            let running = self.clock.running();
            let Some(mut walk) = retention.walk(now, running) else { break };
            let page = self.store.departed_bookings(walk.until, walk.after, STEP_MAX).await?;
            let due = page.found.len();
            let erased = self.erase_passengers(page.found, now).await?;
            walk.erased += erased;
            walk.missed += due - erased;
            retention.note(walk, page.next, running);
            if page.next.is_none() {
                self.end_walk(retention, &walk, running).await;
            }
            if due > 0 {
                break;
            }
        }
        Ok(0)
    }

    async fn end_walk(&self, retention: &Retention, walk: &Walk, running: Duration) {
        if walk.erased > 0 {
            info!(
                bookings = walk.erased,
                "passengers were erased, PASSENGER_RETENTION after departure"
            );
        }
        let Some(how) = retention.scrub(running) else { return };
        match self.store.scrub(how).await {
            Ok(scrubbed) => {
                if (how, scrubbed) == (Scrub::Rewrite, Scrubbed::LogAlone) {
                    info!(
                        "free space in the file may hold old copies of passengers that were erased: it is \
                         too large to be written again beside a service (docs/operations.md, Personal data)"
                    );
                }
                retention.scrubbed(scrubbed);
            }
            Err(error) => {
                debug!(%error, "the store's files may still hold passengers that were erased");
            }
        }
    }

    /// Says of how many bookings the passengers were erased. Where the store refuses, halves of them, down
    /// to the one that it refuses, which is passed over for a while.
    async fn erase_passengers(
        &self,
        bookings: Vec<BookingId>,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let running = self.clock.running();
        let is_due =
            |booking: &BookingId| self.passed_over.is_due(Work::Erasure(*booking), running);
        let mut parts: Vec<Vec<_>> = vec![bookings.into_iter().filter(is_due).collect()];
        let mut done = 0;
        while let Some(mut part) = parts.pop() {
            let Some(first) = part.first().copied() else { continue };
            match self.store.erase_passengers(&part, None, now).await {
                Ok(erased) => {
                    done += erased.len();
                    self.metrics.passengers_erased.inc_by(erased.len() as u64);
                    for booking in erased {
                        self.passed_over.done(Work::Erasure(booking));
                    }
                }
                Err(error @ StoreError::Unavailable(_)) => return Err(error),
                Err(error) if part.len() == 1 => {
                    self.passed_over.failed(Work::Erasure(first), &error.into(), running);
                }
                Err(_) => {
                    let rest = part.split_off(part.len() / 2);
                    parts.extend([rest, part]);
                }
            }
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_timestamp(second, 0).expect("an instant")
    }

    fn after(seconds: i64) -> Duration {
        Duration::from_secs(seconds.try_into().expect("no time before the beginning"))
    }

    #[test]
    fn walks_begin_where_the_last_one_ended_and_once_a_day_at_the_first_flight() {
        let retention = Retention::of(TimeDelta::seconds(100));
        let day = 86_400;
        let walk = |second| retention.walk(at(10 * day + second), after(second));
        let first = walk(0).expect("a walk");
        assert_eq!((first.from, first.until), (None, at(10 * day - 100)));
        retention.note(first, None, after(0));
        assert!(walk(59).is_none(), "it pauses");
        let second = walk(60).expect("a walk");
        assert_eq!(second.from, Some(Departed::from(first.until)));
        retention.note(Walk { missed: 1, ..second }, None, after(60));
        let third = walk(120).expect("a walk");
        assert_eq!(third.from, second.from, "what was missed is looked for again");
        retention.note(third, None, after(120));
        assert_eq!(walk(day).expect("a walk").from, None);
    }

    #[test]
    fn files_are_cleared_after_an_erasure_until_they_are_and_written_again_once_a_day() {
        let retention = Retention::of(TimeDelta::seconds(100));
        let (day, mut now) = (86_400, 0);
        let mut end_walk = |erased: usize, after: i64, left: Option<Scrubbed>| {
            now += after;
            let walk = retention.walk(at(now), self::after(now)).expect("a walk");
            retention.note(Walk { erased, ..walk }, None, self::after(now));
            let how = retention.scrub(self::after(now));
            if let Some(left) = left {
                retention.scrubbed(left);
            }
            how
        };
        assert_eq!(end_walk(0, day, None), None);
        assert_eq!(end_walk(5, 60, None), Some(Scrub::Rewrite), "and it fails");
        assert_eq!(end_walk(0, 60, Some(Scrubbed::Neither)), Some(Scrub::Log));
        assert_eq!(end_walk(0, 60, Some(Scrubbed::LogAlone)), Some(Scrub::Log));
        assert_eq!(end_walk(0, 60, None), None, "the log is empty, and the file waits");
        assert_eq!(end_walk(0, day, Some(Scrubbed::Whole)), Some(Scrub::Rewrite));
        assert_eq!(end_walk(0, day, None), None);
        assert_eq!(end_walk(1, 60, Some(Scrubbed::Whole)), Some(Scrub::Rewrite));
        assert_eq!(end_walk(1, 60, Some(Scrubbed::LogAlone)), Some(Scrub::Log));
    }

    #[test]
    fn a_clock_that_is_set_changes_no_pause() {
        let retention = Retention::of(TimeDelta::zero());
        let first = retention.walk(at(1_000_000), after(0)).expect("a walk");
        retention.note(first, None, after(0));
        for set in [5_000, 1_000_000, 9_000_000] {
            assert!(retention.walk(at(set), after(59)).is_none(), "{set}");
        }
        let second = retention.walk(at(5_000), after(60)).expect("a walk");
        assert_eq!(second.from, Some(Departed::from(first.until)));
    }
}
