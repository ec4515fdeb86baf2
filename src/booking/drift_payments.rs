//! The check that bookings and their payments agree (I4): the newest bookings, the next ones by id, and
//! those that disagreed before. It changes nothing.

use crate::domain::BookingId;
use crate::store::{Operations, PaymentsCompared, StoreError};
use crate::telemetry::Metrics;
use std::collections::BTreeSet;
use tracing::error;

/// Bookings that one check covers in the order of their ids.
const SCAN_SIZE: usize = 256;

/// Maximum broken bookings to check again. A gauge at this value means: this many or more.
const BROKEN_MAX: usize = 256;

/// Compares bookings with payments, a bounded number at a time.
#[derive(Default)]
pub(super) struct PaymentDrift {
    scanned_to: Option<BookingId>,
    /// Bookings that disagreed in the last check. A gateway that reverses a payment unasked does so a
    /// moment before its event is settled, so only a booking that disagrees twice is reported.
    suspects: BTreeSet<BookingId>,
    reported: BTreeSet<BookingId>,
}

impl PaymentDrift {
    /// The invariant, as ARCHITECTURE.md numbers it.
    pub(super) const INVARIANT: &'static str = "I4";

    /// Compares bookings with payments, and sets the gauge of broken bookings.
    pub(super) async fn check(
        &mut self,
        store: &dyn Operations,
        metrics: &Metrics,
    ) -> Result<(), StoreError> {
        let after = self.scanned_to.unwrap_or(BookingId(0));
        let also = self.suspects.iter().copied().collect();
        let compared =
            store.compare_payments(&PaymentsCompared { after, walk: SCAN_SIZE, also }).await?;
        let mut ahead: Vec<_> =
            compared.iter().map(|(booking, _)| *booking).filter(|id| *id > after).collect();
        ahead.sort_unstable();
        self.scanned_to = ahead.get(SCAN_SIZE - 1).copied();
        let broken = compared.into_iter().filter(|(_, agrees)| !agrees).map(|(booking, _)| booking);
        let broken: BTreeSet<_> = broken.take(BROKEN_MAX).collect();
        let confirmed: BTreeSet<_> = broken.intersection(&self.suspects).copied().collect();
        for booking in confirmed.difference(&self.reported) {
            error!(booking.id = %booking, "I4 is broken: run `airline-booking audit`");
        }
        metrics.set_violations(Self::INVARIANT, confirmed.len());
        self.suspects = broken;
        self.reported = confirmed;
        Ok(())
    }
}
