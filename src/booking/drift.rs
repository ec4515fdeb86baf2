//! Drift checks: flights and their bookings must agree about seats (I1 to I3), bookings and payments
//! about money (I4), and no waiting list may stay unserved (I7).
//!
//! Each check of the first two covers the flights booked last and the next flights by id, so that every flight gets its
//! turn. A broken flight is checked again until it is repaired. The checks change nothing.

use super::drift_payments::PaymentDrift;
use crate::domain::{FlightId, Timestamp};
use crate::store::{Operations, SWEEP_GRACE, SeatCount, SeatsAsked, StoreError};
use crate::telemetry::Metrics;
use std::collections::BTreeSet;
use std::time::Duration;
use tracing::{debug, error};

/// Interval between two checks.
const CHECK_EVERY: Duration = Duration::from_secs(60);

/// Flights that one check covers in the order of their ids.
const SCAN_SIZE: usize = 256;

/// Maximum broken flights to check again. A gauge at this value means: this many or more.
const BROKEN_MAX: usize = 256;

/// Checks for drift, a bounded number of flights at a time.
#[derive(Default)]
pub struct Drift {
    /// When the last check started, in the clock port's running time.
    checked_at: Option<Duration>,
    scanned_to: Option<FlightId>,
    broken: BTreeSet<FlightId>,
    payments: PaymentDrift,
    unserved: BTreeSet<FlightId>,
}

impl Drift {
    /// The invariants about seats, as ARCHITECTURE.md numbers them.
    pub const INVARIANTS: [&str; 3] = ["I1", "I2", "I3"];

    /// The invariant about waiting lists.
    pub const OF_LINES: &str = "I7";

    /// Resets the gauges when another process takes over the checks.
    pub fn reset(metrics: &Metrics) {
        for invariant in Self::INVARIANTS {
            metrics.set_violations(invariant, 0);
        }
        metrics.set_violations(PaymentDrift::INVARIANT, 0);
        metrics.set_violations(Self::OF_LINES, 0);
    }

    /// Checks if the interval has passed in the clock port's running time.
    pub async fn check_if_due(
        &mut self,
        (now, running): (Timestamp, Duration),
        store: &dyn Operations,
        metrics: &Metrics,
    ) {
        if self.checked_at.is_some_and(|at| running.saturating_sub(at) < CHECK_EVERY) {
            return;
        }
        self.checked_at = Some(running);
        if let Err(error) = self.check_seats(store, metrics).await {
            debug!(%error, "comparing seats with bookings failed");
        }
        if let Err(error) = self.check_payments(store, metrics).await {
            debug!(%error, "comparing bookings with payments failed");
        }
        if let Err(error) = self.check_lines(now, store, metrics).await {
            debug!(%error, "looking for unserved waiting lists failed");
        }
    }

    /// Looks for waiting lists that were to be served more than [`SWEEP_GRACE`] ago, and sets the gauge of their flights.
    pub async fn check_lines(
        &mut self,
        now: Timestamp,
        store: &dyn Operations,
        metrics: &Metrics,
    ) -> Result<(), StoreError> {
        let unserved = store.unserved_lines(now - SWEEP_GRACE, BROKEN_MAX).await?;
        let unserved = unserved.into_iter().collect();
        report(Self::OF_LINES, &unserved, &self.unserved, metrics);
        self.unserved = unserved;
        Ok(())
    }

    /// Compares bookings with payments, and sets the gauge of bookings that break I4 in two checks in a
    /// row.
    pub async fn check_payments(
        &mut self,
        store: &dyn Operations,
        metrics: &Metrics,
    ) -> Result<(), StoreError> {
        self.payments.check(store, metrics).await
    }

    /// Compares flights with their bookings, and sets the gauge of broken flights of each invariant.
    pub async fn check_seats(
        &mut self,
        store: &dyn Operations,
        metrics: &Metrics,
    ) -> Result<(), StoreError> {
        let after = self.scanned_to.unwrap_or(FlightId(0));
        let also = self.broken.iter().copied().collect();
        let counts = store.count_seats(&SeatsAsked { after, walk: SCAN_SIZE, also }).await?;
        self.scanned_to = end_of_scan(&counts, after);
        let mut broken = BTreeSet::new();
        for (index, invariant) in Self::INVARIANTS.into_iter().enumerate() {
            let flights = counts.iter().filter(|count| !holds(count)[index]);
            let flights: BTreeSet<FlightId> = flights.map(|count| count.flight).collect();
            report(invariant, &flights, &self.broken, metrics);
            broken.extend(flights);
        }
        self.broken = broken.into_iter().take(BROKEN_MAX).collect();
        Ok(())
    }
}

/// Logs the flights that did not break an invariant `before`, and sets its gauge.
fn report(
    invariant: &str,
    flights: &BTreeSet<FlightId>,
    before: &BTreeSet<FlightId>,
    metrics: &Metrics,
) {
    for flight in flights.difference(before) {
        error!(flight.id = %flight, "{invariant} is broken: run `airline-booking audit`");
    }
    metrics.set_violations(invariant, flights.len());
}

/// Where the next scan continues: after the last flight of this one; `None` restarts at the first
/// flight.
///
/// Flights that were checked for another reason have ids within the scan, or beyond it.
fn end_of_scan(counts: &[SeatCount], after: FlightId) -> Option<FlightId> {
    let mut ahead: Vec<_> = counts.iter().map(|c| c.flight).filter(|id| *id > after).collect();
    ahead.sort_unstable();
    ahead.get(SCAN_SIZE - 1).copied()
}

/// Which of [`Drift::INVARIANTS`] hold.
fn holds(count: &SeatCount) -> [bool; 3] {
    let SeatCount { total, available, held, blocked, pending, completed, .. } = *count;
    [
        0 <= held && held <= available && blocked >= 0 && available + blocked <= total,
        held == pending,
        total - blocked - available == completed,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: SeatCount = SeatCount {
        flight: FlightId(1),
        total: 10,
        available: 5,
        held: 2,
        blocked: 1,
        pending: 2,
        completed: 4,
    };

    #[test]
    fn each_invariant_is_checked_by_itself() {
        assert_eq!(holds(&SOUND), [true; 3]);
        let too_many_held = SeatCount { held: 6, pending: 6, ..SOUND };
        assert_eq!(holds(&too_many_held), [false, true, true]);
        let too_many_blocked = SeatCount { blocked: 6, completed: -1, ..SOUND };
        assert_eq!(holds(&too_many_blocked), [false, true, true]);
        assert_eq!(holds(&SeatCount { pending: 3, ..SOUND }), [true, false, true]);
        assert_eq!(holds(&SeatCount { completed: 3, ..SOUND }), [true, true, false]);
    }

    #[test]
    fn the_scan_skips_no_flight_and_restarts_at_the_end() {
        let flight = |id| SeatCount { flight: FlightId(id), ..SOUND };
        let scan = SCAN_SIZE as i64;
        // Flights 11 to 266 belong to the scan; 3 and 9,000 were booked last.
        let mut counts: Vec<_> = [9_000, 3].into_iter().chain(11..11 + scan).map(flight).collect();
        assert_eq!(end_of_scan(&counts, FlightId(10)), Some(FlightId(10 + scan)));
        counts.truncate(100);
        assert_eq!(end_of_scan(&counts, FlightId(10)), None);
    }
}
