//! The look for drift: whether flights and their bookings still agree about seats (I1 to I3), and
//! bookings and payments about money (I4).
//!
//! Each look takes the flights that were booked last and the next ones by number, so that all of
//! them come by; what it has found broken it looks at again until it is repaired. It changes nothing.

use super::drift_payments::PaymentsLook;
use crate::domain::FlightId;
use crate::store::{Operations, SeatCount, SeatsAsked, StoreError};
use crate::telemetry::Metrics;
use std::collections::BTreeSet;
use std::time::Duration;
use tracing::{debug, error};

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Flights that one look takes in the order of their numbers.
const WALK_SIZE: usize = 256;

/// Broken flights that are remembered and looked at again; there are more if this many are told.
const BROKEN_MAX: usize = 256;

/// Looks for drift, a bounded number of flights at a time.
#[derive(Default)]
pub struct Drift {
    /// By the running time of the clock port.
    looked_at: Option<Duration>,
    walked_to: Option<FlightId>,
    broken: BTreeSet<FlightId>,
    payments: PaymentsLook,
}

impl Drift {
    /// The invariants that it looks at, as ARCHITECTURE.md numbers them.
    pub const INVARIANTS: [&str; 3] = ["I1", "I2", "I3"];

    /// Tells of nothing: from now on another process looks.
    pub fn forget(metrics: &Metrics) {
        for invariant in Self::INVARIANTS {
            metrics.set_violations(invariant, 0);
        }
        metrics.set_violations(PaymentsLook::INVARIANT, 0);
    }

    /// Looks, if it is time to, by the running time of the clock port.
    pub async fn look_if_due(
        &mut self,
        running: Duration,
        store: &dyn Operations,
        metrics: &Metrics,
    ) {
        if self.looked_at.is_some_and(|at| running.saturating_sub(at) < LOOK_EVERY) {
            return;
        }
        self.looked_at = Some(running);
        if let Err(error) = self.look(store, metrics).await {
            debug!(%error, "seats could not be compared with bookings");
        }
        if let Err(error) = self.look_at_payments(store, metrics).await {
            debug!(%error, "bookings could not be compared with payments");
        }
    }

    /// Looks once at bookings and payments, and tells how many bookings break I4 at two looks.
    pub async fn look_at_payments(
        &mut self,
        store: &dyn Operations,
        metrics: &Metrics,
    ) -> Result<(), StoreError> {
        self.payments.look(store, metrics).await
    }

    /// Looks once, and tells how many flights break each invariant.
    pub async fn look(
        &mut self,
        store: &dyn Operations,
        metrics: &Metrics,
    ) -> Result<(), StoreError> {
        let after = self.walked_to.unwrap_or(FlightId(0));
        let also = self.broken.iter().copied().collect();
        let counts = store.count_seats(&SeatsAsked { after, walk: WALK_SIZE, also }).await?;
        self.walked_to = end_of_walk(&counts, after);
        let mut broken = BTreeSet::new();
        for (place, invariant) in Self::INVARIANTS.into_iter().enumerate() {
            let flights = counts.iter().filter(|count| !holds(count)[place]);
            let flights: BTreeSet<FlightId> = flights.map(|count| count.flight).collect();
            for flight in flights.difference(&self.broken) {
                error!(flight.id = %flight, "{invariant} is broken: run `airline-booking audit`");
            }
            metrics.set_violations(invariant, flights.len());
            broken.extend(flights);
        }
        self.broken = broken.into_iter().take(BROKEN_MAX).collect();
        Ok(())
    }
}

/// Where the walk goes on: the last of its flights, or from the beginning once there are no more.
///
/// Flights that were looked at for another reason lie among those of the walk, or behind them.
fn end_of_walk(counts: &[SeatCount], after: FlightId) -> Option<FlightId> {
    let mut ahead: Vec<_> = counts.iter().map(|c| c.flight).filter(|id| *id > after).collect();
    ahead.sort_unstable();
    ahead.get(WALK_SIZE - 1).copied()
}

/// Whether each of [`Drift::INVARIANTS`] holds.
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
    fn each_invariant_is_told_from_the_others() {
        assert_eq!(holds(&SOUND), [true; 3]);
        let too_many_held = SeatCount { held: 6, pending: 6, ..SOUND };
        assert_eq!(holds(&too_many_held), [false, true, true]);
        let too_many_blocked = SeatCount { blocked: 6, completed: -1, ..SOUND };
        assert_eq!(holds(&too_many_blocked), [false, true, true]);
        assert_eq!(holds(&SeatCount { pending: 3, ..SOUND }), [true, false, true]);
        assert_eq!(holds(&SeatCount { completed: 3, ..SOUND }), [true, true, false]);
    }

    #[test]
    fn the_walk_goes_past_no_flight_and_begins_again() {
        let flight = |id| SeatCount { flight: FlightId(id), ..SOUND };
        let walk = WALK_SIZE as i64;
        // Flights 11 to 266 are the walk's, 3 and 9,000 were booked last.
        let mut counts: Vec<_> = [9_000, 3].into_iter().chain(11..11 + walk).map(flight).collect();
        assert_eq!(end_of_walk(&counts, FlightId(10)), Some(FlightId(10 + walk)));
        counts.truncate(100);
        assert_eq!(end_of_walk(&counts, FlightId(10)), None);
    }
}
