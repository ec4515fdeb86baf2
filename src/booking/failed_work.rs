//! The sweeper's failed work, which it skips for a while so that other work proceeds.
//!
//! All times here are running times of the clock port: setting the system clock does not affect them.

use crate::domain::{BookingId, FlightId, PaymentReference, RefundId};
use crate::engine::Error;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;
use tracing::warn;

/// Maximum entries; work that fails beyond them is retried on every pass of the sweeper.
const ENTRIES_MAX: usize = 4_096;

/// The pause after the first failure; it doubles with each further one.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(64);

/// How long an entry is kept after the sweeper last found its work in the store.
const ENTRY_TTL: Duration = Duration::from_secs(120);

/// One piece of the sweeper's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Work {
    /// Ending a lapsed hold.
    Expiry(PaymentReference),
    /// Cancelling a booking of a cancelled flight.
    Cancellation(BookingId),
    /// Sending a payment request again.
    Request(PaymentReference),
    /// Requesting a refund again.
    Refund(RefundId),
    /// Erasing a booking's passengers.
    Erasure(BookingId),
    /// Serving a flight's line.
    Promotion(FlightId),
}

struct Entry {
    failures: u32,
    retry_at: Duration,
    last_seen_at: Duration,
    is_refused: bool,
}

/// Work that failed, and when to retry it.
#[derive(Default)]
pub struct FailedWork(Mutex<HashMap<Work, Entry>>);

impl FailedWork {
    /// Whether the work may run now: it never failed, or its pause is over.
    pub(super) fn is_due(&self, work: Work, now: Duration) -> bool {
        let mut entries = self.0.lock();
        let Some(entry) = entries.get_mut(&work) else { return true };
        entry.last_seen_at = now;
        now >= entry.retry_at
    }

    /// Forgets work that succeeded.
    pub(super) fn done(&self, work: Work) {
        self.0.lock().remove(&work);
    }

    /// Records a failure. After the rules refuse, another process may simply have done the work first;
    /// only work that is found again after that counts as refused.
    pub(super) fn failed(&self, work: Work, error: &Error, now: Duration) {
        let mut entries = self.0.lock();
        if entries.len() >= ENTRIES_MAX && !entries.contains_key(&work) {
            return;
        }
        let entry = entries.entry(work).or_insert(Entry {
            failures: 0,
            retry_at: now,
            last_seen_at: now,
            is_refused: false,
        });
        entry.failures += 1;
        entry.last_seen_at = now;
        let pause = PAUSE_MIN * 2_u32.pow((entry.failures - 1).min(6));
        entry.retry_at = now + pause.min(PAUSE_MAX);
        if !entry.is_refused && (entry.failures > 1 || !matches!(error, Error::Refused(_))) {
            entry.is_refused = true;
            let cause = std::error::Error::source(error).map(tracing::field::display);
            warn!(%error, cause, ?work, "the sweeper skips refused work for a while");
        }
    }

    /// Forgets entries that the sweeper no longer finds; returns the number of refused ones.
    pub(super) fn refused(&self, now: Duration) -> usize {
        let mut entries = self.0.lock();
        entries.retain(|_, entry| now.saturating_sub(entry.last_seen_at) < ENTRY_TTL);
        entries.values().filter(|entry| entry.is_refused).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Refusal;

    const WORK: Work = Work::Cancellation(BookingId(7));

    fn at(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    #[test]
    fn refused_work_is_retried_after_pauses_that_double_up_to_a_limit() {
        let skipped = FailedWork::default();
        let mut now = 0;
        for pause in [1, 2, 4, 8, 16, 32, 64, 64, 64] {
            skipped.failed(WORK, &Error::Stopping, at(now));
            assert!(!skipped.is_due(WORK, at(now + pause - 1)), "{pause}");
            now += pause;
            assert!(skipped.is_due(WORK, at(now)), "{pause}");
        }
    }

    #[test]
    fn work_that_another_process_did_first_does_not_count_as_refused() {
        let skipped = FailedWork::default();
        let refusal = Error::Refused(Refusal::BookingNotFound(BookingId(7)));
        skipped.failed(WORK, &refusal, at(0));
        assert_eq!(skipped.refused(at(0)), 0);
        skipped.failed(WORK, &refusal, at(1));
        assert_eq!(skipped.refused(at(1)), 1);
        skipped.done(WORK);
        assert_eq!(skipped.refused(at(1)), 0);
    }

    #[test]
    fn failed_work_is_bounded_and_forgotten_once_the_store_no_longer_has_it() {
        let skipped = FailedWork::default();
        for id in 0..2 * ENTRIES_MAX as i64 {
            skipped.failed(Work::Cancellation(BookingId(id)), &Error::Stopping, at(0));
        }
        assert_eq!(skipped.refused(at(0)), ENTRIES_MAX);
        assert_eq!(skipped.refused(at(600)), 0);
    }
}
