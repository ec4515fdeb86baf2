//! What the sweeper could not carry out, and passes over for a while so that it hinders no other work.
//!
//! All times here are running times of the clock port, which nobody sets.

use crate::domain::{BookingId, PaymentReference};
use crate::engine::Error;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use tracing::warn;

/// Maximum entries; what fails beyond them is tried on every walk of the sweeper.
const ENTRIES_MAX: usize = 4_096;

/// The pause after the first failure; it doubles with each further one.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(64);

/// How long an entry is kept that the sweeper no longer finds in the store.
const KEPT_FOR: Duration = Duration::from_secs(120);

/// One piece of the sweeper's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Work {
    /// Ending a lapsed hold.
    Expiry(PaymentReference),
    /// Cancelling a booking of a cancelled flight.
    Cancellation(BookingId),
    /// Asking the gateway again.
    Request(PaymentReference),
    /// Erasing a booking's passengers.
    Erasure(BookingId),
}

struct Entry {
    failures: u32,
    retry_at: Duration,
    found_at: Duration,
    is_refused: bool,
}

/// Work that failed, and when to try it again.
#[derive(Default)]
pub struct PassedOver(Mutex<HashMap<Work, Entry>>);

impl PassedOver {
    /// Whether to try this work now.
    pub(super) fn is_due(&self, work: Work, now: Duration) -> bool {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(&work) else { return true };
        entry.found_at = now;
        now >= entry.retry_at
    }

    /// The work is done.
    pub(super) fn done(&self, work: Work) {
        self.entries().remove(&work);
    }

    /// Notes a failure. Where a rule said no, another process may have been faster; only work that is
    /// found again after that counts as refused.
    pub(super) fn failed(&self, work: Work, error: &Error, now: Duration) {
        let mut entries = self.entries();
        if entries.len() >= ENTRIES_MAX && !entries.contains_key(&work) {
            return;
        }
        let entry = entries.entry(work).or_insert(Entry {
            failures: 0,
            retry_at: now,
            found_at: now,
            is_refused: false,
        });
        entry.failures += 1;
        entry.found_at = now;
        let pause = PAUSE_MIN * 2_u32.pow((entry.failures - 1).min(6));
        entry.retry_at = now + pause.min(PAUSE_MAX);
        if !entry.is_refused && (entry.failures > 1 || !matches!(error, Error::Refused(_))) {
            entry.is_refused = true;
            let cause = std::error::Error::source(error).map(tracing::field::display);
            warn!(%error, cause, ?work, "the sweeper passes over work that is refused");
        }
    }

    /// Forgets what is no longer found; says how much is refused.
    pub(super) fn refused(&self, now: Duration) -> usize {
        let mut entries = self.entries();
        entries.retain(|_, entry| now.saturating_sub(entry.found_at) < KEPT_FOR);
        entries.values().filter(|entry| entry.is_refused).count()
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Work, Entry>> {
        self.0.lock().expect("no holder of the sweeper's entries panics")
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
    fn refused_work_is_tried_again_after_pauses_that_double_up_to_a_bound() {
        let passed = PassedOver::default();
        let mut now = 0;
        for pause in [1, 2, 4, 8, 16, 32, 64, 64, 64] {
            passed.failed(WORK, &Error::Stopping, at(now));
            assert!(!passed.is_due(WORK, at(now + pause - 1)), "{pause}");
            now += pause;
            assert!(passed.is_due(WORK, at(now)), "{pause}");
        }
    }

    #[test]
    fn work_that_another_process_did_is_not_called_refused() {
        let passed = PassedOver::default();
        let refusal = Error::Refused(Refusal::BookingNotFound(BookingId(7)));
        passed.failed(WORK, &refusal, at(0));
        assert_eq!(passed.refused(at(0)), 0);
        passed.failed(WORK, &refusal, at(1));
        assert_eq!(passed.refused(at(1)), 1);
        passed.done(WORK);
        assert_eq!(passed.refused(at(1)), 0);
    }

    #[test]
    fn what_fails_takes_no_more_memory_than_the_bound_and_is_forgotten_once_it_is_gone() {
        let passed = PassedOver::default();
        for id in 0..2 * ENTRIES_MAX as i64 {
            passed.failed(Work::Cancellation(BookingId(id)), &Error::Stopping, at(0));
        }
        assert_eq!(passed.refused(at(0)), ENTRIES_MAX);
        assert_eq!(passed.refused(at(600)), 0);
    }
}
