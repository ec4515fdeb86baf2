//! Facts of holds: seats that wait for a payment, the parties that waited for them, and how both end. Each is told once,
//! though the booking and the waiting list have an event each.

use super::facts::{Fact, Facts};
use super::told::Told;
use crate::domain::{
    Booking, BookingStatus, Entry, FailureReason, MessageKind, PaymentKind, WaitMode, WaitlistId,
};
use crate::store::StoreError;

impl Facts<'_> {
    /// Seats that are kept for a payment, of all flights of an order, once a deadline. An offer is told by its waiting
    /// list, until it is extended.
    pub(super) async fn of_hold(&self, booking: &Booking) -> Result<Option<Fact>, StoreError> {
        if booking.segment != 1 || booking.status != BookingStatus::Pending {
            return Ok(None);
        }
        let is_offer = !booking.extended && self.entry_of(booking).await?.is_some();
        let record = self.store.order(booking.id).await?.filter(|_| !is_offer);
        let is_so = record.is_some_and(|its| its.order.payment.kind == PaymentKind::Later);
        let subject = format!("{}/{}", booking.id, booking.hold_expires_at.timestamp_micros());
        Ok(is_so.then(|| Fact::new(MessageKind::BookingHeld, subject, booking)))
    }

    /// A booking of one flight was paid, or failed. The event of a waiting list says the same, often much later: both
    /// are one fact.
    pub(super) async fn of_end(
        &self,
        kind: MessageKind,
        booking: &Booking,
    ) -> Result<Option<Fact>, StoreError> {
        let is_so = match kind {
            MessageKind::BookingCompleted => self.was_completed(booking).await?,
            _ => booking.status == BookingStatus::Failed,
        };
        if !is_so {
            return Ok(None);
        }
        let told = match self.entry_of(booking).await? {
            Some(_) if kind == MessageKind::BookingCompleted => MessageKind::WaitlistPromoted,
            Some(entry) if is_lapsed(&entry, booking) => MessageKind::WaitlistLapsed,
            _ => kind,
        };
        Ok(Some(Fact::new(told, booking.id, booking)))
    }

    pub(super) async fn of_entry(
        &self,
        told: &Told,
        booking: &Booking,
    ) -> Result<Option<Fact>, StoreError> {
        let Some(entry) = self.entry_of(booking).await? else { return Ok(None) };
        let is_so = match told.kind {
            // What is bought by itself is not offered.
            MessageKind::WaitlistOffered => {
                entry.mode == WaitMode::Ask && booking.status == BookingStatus::Pending
            }
            MessageKind::WaitlistPromoted => self.was_completed(booking).await?,
            _ => is_lapsed(&entry, booking),
        };
        Ok(is_so.then(|| Fact::new(told.kind, booking.id, booking)))
    }

    /// The entry of a waiting list that became this booking.
    async fn entry_of(&self, booking: &Booking) -> Result<Option<Entry>, StoreError> {
        let record = self.store.entry(WaitlistId(booking.id.0)).await?;
        Ok(record.map(|record| record.entry))
    }
}

/// Whether an offer was not paid in time.
fn is_lapsed(entry: &Entry, booking: &Booking) -> bool {
    entry.mode == WaitMode::Ask && booking.failure_reason == Some(FailureReason::HoldExpired)
}
