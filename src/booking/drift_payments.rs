//! The look whether bookings and their payments agree (I4): the newest bookings, the next ones by
//! number, and those that did not agree before. It changes nothing.

use crate::domain::BookingId;
use crate::store::{Operations, PaymentsCompared, StoreError};
use crate::telemetry::Metrics;
use std::collections::BTreeSet;
use tracing::error;

/// Bookings that one look takes in the order of their numbers.
const WALK_SIZE: usize = 256;

/// Bookings that are remembered and looked at again; there are more if this many are told.
const BROKEN_MAX: usize = 256;

/// Compares bookings with payments, a bounded number at a time.
#[derive(Default)]
pub(super) struct PaymentsLook {
    walked_to: Option<BookingId>,
    /// Did not agree at the last look. A gateway that gave money back by itself has done so a moment
    /// before its event is settled, so only what is seen twice is told.
    suspects: BTreeSet<BookingId>,
    told: BTreeSet<BookingId>,
}

impl PaymentsLook {
    /// Its invariant, as ARCHITECTURE.md numbers it.
    pub(super) const INVARIANT: &'static str = "I4";

    /// Looks once, and tells how many bookings break it.
    pub(super) async fn look(
        &mut self,
        store: &dyn Operations,
        metrics: &Metrics,
    ) -> Result<(), StoreError> {
        let after = self.walked_to.unwrap_or(BookingId(0));
        let also = self.suspects.iter().copied().collect();
        let compared =
            store.compare_payments(&PaymentsCompared { after, walk: WALK_SIZE, also }).await?;
        let mut ahead: Vec<_> =
            compared.iter().map(|(booking, _)| *booking).filter(|id| *id > after).collect();
        ahead.sort_unstable();
        self.walked_to = ahead.get(WALK_SIZE - 1).copied();
        let broken = compared.into_iter().filter(|(_, agrees)| !agrees).map(|(booking, _)| booking);
        let broken: BTreeSet<_> = broken.take(BROKEN_MAX).collect();
        let told: BTreeSet<_> = broken.intersection(&self.suspects).copied().collect();
        for booking in told.difference(&self.told) {
            error!(booking.id = %booking, "I4 is broken: run `airline-booking audit`");
        }
        metrics.set_violations(Self::INVARIANT, told.len());
        self.suspects = broken;
        self.told = told;
        Ok(())
    }
}
