//! Erases passengers some time after departure (`PASSENGER_RETENTION`), one page in each step of the
//! sweeper.
//!
//! A scan covers the flights that have departed since the last scan, by an index; once a day it covers all
//! departed flights, for bookings that were created or moved since. Its progress is kept in memory only: a
//! process that starts to sweep scans everything. After a scan the store's log is truncated and, once a
//! day, its file is rewritten if it is small: both may hold copies of erased data.

use super::failed_work::Work;
use super::sweeper::Sweeper;
use crate::domain::{BookingId, Timestamp};
use crate::store::{Departed, Scrub, Scrubbed, StoreError};
use chrono::TimeDelta;
use parking_lot::Mutex;
use std::time::Duration;
use tracing::{debug, info};

/// Maximum bookings erased in a step: keeps SQLite's only writer busy for a few milliseconds.
const STEP_MAX: usize = 256;

/// Maximum pages read in a step while no booking is due.
const PAGES_MAX: usize = 16;

/// Pause between two scans.
const SCAN_EVERY: Duration = Duration::from_secs(60);

/// Interval between two scans over all departed flights.
const FULL_SCAN_EVERY: Duration = Duration::from_secs(86_400);

/// Minimum interval between two rewrites of the store's file, which delay bookings by about a second.
const REWRITE_EVERY: Duration = Duration::from_secs(86_400);

/// How long passengers are kept after departure, and the progress of the scan.
pub struct Retention {
    keep_for: TimeDelta,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    /// The scan in progress.
    scan: Option<Scan>,
    /// When the next scan starts, in the clock port's running time; `None`: now.
    next_at: Option<Duration>,
    /// Where the next scan starts; `None`: at the first flight.
    next_from: Option<Departed>,
    /// When the last full scan started, in the clock port's running time.
    full_scan_at: Option<Duration>,
    /// Whether the store's log, and free space in its file, may hold erased data.
    log_holds_copies: bool,
    file_holds_copies: bool,
    /// When the last rewrite of the file was attempted, in the clock port's running time.
    rewritten_at: Option<Duration>,
}

#[derive(Clone, Copy)]
struct Scan {
    /// Where the scan started.
    from: Option<Departed>,
    /// Departures and bookings up to this instant are due.
    until: Timestamp,
    /// Where the next page starts.
    after: Option<Departed>,
    erased: usize,
    /// Due bookings whose erasure failed.
    missed: usize,
}

impl Retention {
    /// Keeps passengers for this long after departure.
    pub fn new(keep_for: TimeDelta) -> Self {
        Self { keep_for, progress: Mutex::default() }
    }

    /// The scan in progress, or a new one if it is time.
    fn scan(&self, now: Timestamp, running: Duration) -> Option<Scan> {
        let mut progress = self.progress.lock();
        if progress.scan.is_none() {
            if progress.next_at.is_some_and(|at| running < at) {
                return None;
            }
            let is_fresh = |at: Duration| running.saturating_sub(at) < FULL_SCAN_EVERY;
            if !progress.full_scan_at.is_some_and(is_fresh) {
                progress.full_scan_at = Some(running);
                progress.next_from = None;
            }
            let from = progress.next_from;
            let until = now - self.keep_for;
            progress.scan = Some(Scan { from, until, after: from, erased: 0, missed: 0 });
        }
        progress.scan
    }

    /// Records a page. After the last page it schedules the next scan, which starts where this one did if
    /// an erasure failed.
    fn record(&self, scan: Scan, next: Option<Departed>, running: Duration) {
        let mut progress = self.progress.lock();
        if next.is_some() {
            progress.scan = Some(Scan { after: next, ..scan });
            return;
        }
        progress.scan = None;
        progress.log_holds_copies |= scan.erased > 0;
        progress.file_holds_copies |= scan.erased > 0;
        progress.next_at = Some(running + SCAN_EVERY);
        progress.next_from =
            if scan.missed > 0 { scan.from } else { Some(Departed::from(scan.until)) };
    }

    /// How to scrub the store's files at the end of a scan, if they need it.
    fn scrub(&self, running: Duration) -> Option<Scrub> {
        let mut progress = self.progress.lock();
        let is_fresh = |at: Duration| running.saturating_sub(at) < REWRITE_EVERY;
        if progress.file_holds_copies && !progress.rewritten_at.is_some_and(is_fresh) {
            progress.rewritten_at = Some(running);
            return Some(Scrub::Rewrite);
        }
        progress.log_holds_copies.then_some(Scrub::Log)
    }

    /// Records what may be left in the store's files.
    fn scrubbed(&self, scrubbed: Scrubbed) {
        let mut progress = self.progress.lock();
        progress.log_holds_copies &= scrubbed == Scrubbed::Neither;
        progress.file_holds_copies &= matches!(scrubbed, Scrubbed::Neither | Scrubbed::LogAlone);
    }
}

impl Sweeper {
    /// A step of the scan: some pages, up to the first that has due bookings. Always returns 0, so that the
    /// sweeper pauses before its next step.
    pub(super) async fn erase_departed(&self, now: Timestamp) -> Result<usize, StoreError> {
        let Some(retention) = &self.retention else { return Ok(0) };
        for _ in 0..PAGES_MAX {
            let running = self.clock.running();
            let Some(mut scan) = retention.scan(now, running) else { break };
            let page = self.store.departed_bookings(scan.until, scan.after, STEP_MAX).await?;
            let due = page.found.len();
            let erased = self.erase_passengers(page.found, now).await?;
            scan.erased += erased;
            scan.missed += due - erased;
            retention.record(scan, page.next, running);
            if page.next.is_none() {
                self.end_scan(retention, &scan, running).await;
            }
            if due > 0 {
                break;
            }
        }
        Ok(0)
    }

    async fn end_scan(&self, retention: &Retention, scan: &Scan, running: Duration) {
        if scan.erased > 0 {
            info!(bookings = scan.erased, "erased passengers, PASSENGER_RETENTION after departure");
        }
        let Some(how) = retention.scrub(running) else { return };
        match self.store.scrub(how).await {
            Ok(scrubbed) => {
                if (how, scrubbed) == (Scrub::Rewrite, Scrubbed::LogAlone) {
                    info!(
                        "free space in the file may hold old copies of erased passengers: the file is too \
                         large to be rewritten beside a service (docs/operations.md, Personal data)"
                    );
                }
                retention.scrubbed(scrubbed);
            }
            Err(error) => {
                debug!(%error, "scrubbing failed: the store's files may still hold erased passengers");
            }
        }
    }

    /// Returns the number of bookings whose passengers were erased. If the store refuses, each half is tried
    /// alone, down to the booking at fault, which is skipped for a while.
    async fn erase_passengers(
        &self,
        bookings: Vec<BookingId>,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let running = self.clock.running();
        let is_due =
            |booking: &BookingId| self.failed_work.is_due(Work::Erasure(*booking), running);
        let mut parts: Vec<Vec<_>> = vec![bookings.into_iter().filter(is_due).collect()];
        let mut done = 0;
        while let Some(mut part) = parts.pop() {
            let Some(first) = part.first().copied() else { continue };
            match self.store.erase_passengers(&part, None, now).await {
                Ok(erased) => {
                    done += erased.len();
                    self.metrics.passengers_erased.inc_by(erased.len() as u64);
                    for booking in erased {
                        self.failed_work.done(Work::Erasure(booking));
                    }
                }
                Err(error @ StoreError::Unavailable(_)) => return Err(error),
                Err(error) if part.len() == 1 => {
                    self.failed_work.failed(Work::Erasure(first), &error.into(), running);
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
    fn scans_start_where_the_last_one_ended_and_once_a_day_at_the_first_flight() {
        let retention = Retention::new(TimeDelta::seconds(100));
        let day = 86_400;
        let scan = |second| retention.scan(at(10 * day + second), after(second));
        let first = scan(0).expect("a scan");
        assert_eq!((first.from, first.until), (None, at(10 * day - 100)));
        retention.record(first, None, after(0));
        assert!(scan(59).is_none(), "it pauses");
        let second = scan(60).expect("a scan");
        assert_eq!(second.from, Some(Departed::from(first.until)));
        retention.record(Scan { missed: 1, ..second }, None, after(60));
        let third = scan(120).expect("a scan");
        assert_eq!(third.from, second.from, "bookings that were missed are scanned again");
        retention.record(third, None, after(120));
        assert_eq!(scan(day).expect("a scan").from, None);
    }

    #[test]
    fn after_an_erasure_the_log_is_scrubbed_until_it_is_clean_and_the_file_rewritten_once_a_day() {
        let retention = Retention::new(TimeDelta::seconds(100));
        let (day, mut now) = (86_400, 0);
        let mut end_scan = |erased: usize, after: i64, left: Option<Scrubbed>| {
            now += after;
            let scan = retention.scan(at(now), self::after(now)).expect("a scan");
            retention.record(Scan { erased, ..scan }, None, self::after(now));
            let how = retention.scrub(self::after(now));
            if let Some(left) = left {
                retention.scrubbed(left);
            }
            how
        };
        assert_eq!(end_scan(0, day, None), None);
        assert_eq!(end_scan(5, 60, None), Some(Scrub::Rewrite), "the rewrite fails");
        assert_eq!(end_scan(0, 60, Some(Scrubbed::Neither)), Some(Scrub::Log));
        assert_eq!(end_scan(0, 60, Some(Scrubbed::LogAlone)), Some(Scrub::Log));
        assert_eq!(end_scan(0, 60, None), None, "the log is clean, and the file waits for its day");
        assert_eq!(end_scan(0, day, Some(Scrubbed::Whole)), Some(Scrub::Rewrite));
        assert_eq!(end_scan(0, day, None), None);
        assert_eq!(end_scan(1, 60, Some(Scrubbed::Whole)), Some(Scrub::Rewrite));
        assert_eq!(end_scan(1, 60, Some(Scrubbed::LogAlone)), Some(Scrub::Log));
    }

    #[test]
    fn setting_the_system_clock_changes_no_pause() {
        let retention = Retention::new(TimeDelta::zero());
        let first = retention.scan(at(1_000_000), after(0)).expect("a scan");
        retention.record(first, None, after(0));
        for set in [5_000, 1_000_000, 9_000_000] {
            assert!(retention.scan(at(set), after(59)).is_none(), "{set}");
        }
        let second = retention.scan(at(5_000), after(60)).expect("a scan");
        assert_eq!(second.from, Some(Departed::from(first.until)));
    }
}
