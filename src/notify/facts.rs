//! What the rows say about an event: who is told, and by which id. An event that they do not confirm tells nothing.

use super::address::Audience;
use super::told::Told;
use crate::domain::{
    Booking, BookingId, BookingStatus, DisputeStatus, FlightId, MessageKind, Order,
    PaymentReference, PaymentStatus, RefundId, RefundReason, RefundStatus, TimelineKind, Timestamp,
};
use crate::facts::Subject;
use crate::store::{Store, StoreError};
use std::collections::HashMap;

/// Maximum bookings of a flight in a page.
const PAGE: usize = 256;

/// An event that rows confirm, about one booking.
#[derive(Debug, Clone)]
pub(super) struct Fact {
    /// Of our own making: whatever an event calls itself, it is told once.
    pub(super) event_id: String,
    pub(super) kind: MessageKind,
    /// With its passengers.
    pub(super) booking: Booking,
    pub(super) audience: Audience,
}

impl Fact {
    pub(super) fn new(
        kind: MessageKind,
        subject: impl std::fmt::Display,
        booking: &Booking,
    ) -> Self {
        let event_id = format!("{}/{subject}", kind.as_str());
        Self { event_id, kind, booking: booking.clone(), audience: Audience::All }
    }
}

/// Reads what events name.
pub(super) struct Facts<'a> {
    pub(super) store: &'a dyn Store,
    /// The bookings that the events name, with their passengers.
    pub(super) bookings: HashMap<BookingId, Booking>,
}

impl Facts<'_> {
    /// The facts that confirm an event.
    pub(super) async fn of(&self, told: &Told) -> Result<Vec<Fact>, StoreError> {
        let booking = told.booking().and_then(|id| self.bookings.get(&id));
        let fact = match (told.subject, booking) {
            (Subject::Booking(_), Some(booking)) => self.of_booking(told, booking).await?,
            (Subject::Change { .. }, Some(booking)) => self.of_ended_change(told, booking).await?,
            (Subject::Entry(_), Some(booking)) => self.of_entry(told, booking).await?,
            (Subject::Booking(_) | Subject::Change { .. } | Subject::Entry(_), None) => None,
            (Subject::Dispute(payment, booking), _) => {
                self.of_dispute(told.kind, payment, booking).await?
            }
            (Subject::Order(id), _) => self.of_order(told, id).await?,
            (Subject::Refund(refund, booking), _) => self.of_refund(told, refund, booking).await?,
            (Subject::Flight(flight), _) => return self.of_flight(told, flight).await,
        };
        Ok(fact.into_iter().collect())
    }

    async fn of_booking(&self, told: &Told, booking: &Booking) -> Result<Option<Fact>, StoreError> {
        let id = booking.id;
        let is_part = booking.segments > 1;
        let kind = told.kind;
        let is_so = match kind {
            // The order's own event tells of all its flights.
            MessageKind::BookingCompleted | MessageKind::BookingFailed if is_part => false,
            MessageKind::BookingCompleted | MessageKind::BookingFailed => {
                return self.of_end(kind, booking).await;
            }
            MessageKind::BookingHeld => return self.of_hold(booking).await,
            MessageKind::BookingCancelled => {
                booking.status == BookingStatus::Cancelled
                    && !(is_part && self.ended_with_its_order(booking).await?)
            }
            MessageKind::BookingChanged => return self.of_change(told, booking).await,
            _ => false,
        };
        Ok(is_so.then(|| Fact::new(kind, id, booking)))
    }

    /// Whether a booking was ever paid.
    pub(super) async fn was_completed(&self, booking: &Booking) -> Result<bool, StoreError> {
        match booking.status {
            BookingStatus::Completed => Ok(true),
            BookingStatus::Pending | BookingStatus::Failed => Ok(false),
            BookingStatus::Cancelled => {
                let life = self.store.life(booking.id).await?;
                let events = life.map(|life| life.timeline(booking)).unwrap_or_default();
                Ok(events.iter().any(|event| event.kind == TimelineKind::Completed))
            }
        }
    }

    /// Whether it is one of the last flights of its order that were cancelled: the order's own event tells of them.
    async fn ended_with_its_order(&self, booking: &Booking) -> Result<bool, StoreError> {
        let Some(record) = self.store.order(booking.id).await? else { return Ok(false) };
        let ends = record.order.bookings.iter().map(|its| its.updated_at);
        let is_last = ends.max() == Some(booking.updated_at);
        Ok(is_last && record.order.status() == BookingStatus::Cancelled)
    }

    /// A correction, a cancellation in part or a move to another flight, which a row of that time must show.
    async fn of_change(&self, told: &Told, booking: &Booking) -> Result<Option<Fact>, StoreError> {
        let (id, at) = (booking.id, told.at);
        let is_past = (2..=booking.version).contains(&told.version);
        if booking.sold_at == Some(at) {
            let subject = format!("{id}/{}", at.timestamp_micros());
            return Ok(Some(Fact::new(told.kind, subject, booking)));
        }
        let Some(life) = self.store.life(id).await?.filter(|_| is_past) else { return Ok(None) };
        let is_corrected = life.changes.iter().any(|change| change.at == at);
        let mut refunds = life.record.refunds.iter();
        let is_refunded = refunds.any(|r| r.booking_id == id && r.created_at == at);
        // A cancellation in part that gives nothing back is known by its fee, while nothing follows it.
        let is_forfeited = !booking.cancelled.is_empty() && booking.updated_at == at;
        let is_so = is_corrected || is_refunded || is_forfeited;
        Ok(is_so.then(|| Fact::new(told.kind, format!("{id}/{}", told.version), booking)))
    }

    /// A change of flight that ended at that time without its payment.
    async fn of_ended_change(
        &self,
        told: &Told,
        booking: &Booking,
    ) -> Result<Option<Fact>, StoreError> {
        let ends = self.store.ended_changes(booking.id).await?;
        let is_so = booking.status == BookingStatus::Completed && ends.contains(&told.at);
        let subject = format!("{}/{}", booking.id, told.at.timestamp_micros());
        Ok(is_so.then(|| Fact::new(told.kind, subject, booking)))
    }

    async fn of_dispute(
        &self,
        kind: MessageKind,
        payment: PaymentReference,
        booking: BookingId,
    ) -> Result<Option<Fact>, StoreError> {
        let status = match kind {
            MessageKind::DisputeOpened => DisputeStatus::Open,
            MessageKind::DisputeWon => DisputeStatus::Won,
            _ => DisputeStatus::Lost,
        };
        let Some(record) = self.store.order(booking).await? else { return Ok(None) };
        let mut payments = record.earlier.iter().chain([&record.order.payment]);
        let is_so = payments.any(|its| its.reference == payment && its.dispute == Some(status));
        let booking = record.order.booking(booking).filter(|_| is_so);
        Ok(booking.map(|booking| Fact::new(kind, payment, booking)))
    }

    async fn of_order(&self, told: &Told, id: BookingId) -> Result<Option<Fact>, StoreError> {
        let Some(record) = self.store.order(id).await? else { return Ok(None) };
        let order = &record.order;
        if order.id() != id || order.bookings.len() < 2 {
            return Ok(None);
        }
        let is_so = match told.kind {
            MessageKind::OrderCompleted => is_paid(order),
            MessageKind::OrderFailed => order.status() == BookingStatus::Failed,
            MessageKind::OrderCancelled => order.status() == BookingStatus::Cancelled,
            _ => false,
        };
        Ok(is_so.then(|| Fact::new(told.kind, id, order.first())))
    }

    async fn of_refund(
        &self,
        told: &Told,
        id: RefundId,
        booking: BookingId,
    ) -> Result<Option<Fact>, StoreError> {
        let Some(record) = self.store.order(booking).await? else { return Ok(None) };
        let status = match told.kind {
            MessageKind::RefundDone => RefundStatus::Done,
            _ => RefundStatus::Failed,
        };
        let mut of_booking = record.refunds.iter().filter(|refund| refund.booking_id == booking);
        // What a bank took after a dispute is told by the dispute.
        let is_so = of_booking.any(|refund| {
            refund.id == id && refund.status == status && refund.reason != RefundReason::Dispute
        });
        let booking = record.order.booking(booking).filter(|_| is_so);
        Ok(booking.map(|booking| Fact::new(told.kind, id, booking)))
    }

    /// A moved departure concerns those who travel and bought their seats before.
    async fn of_flight(&self, told: &Told, id: FlightId) -> Result<Vec<Fact>, StoreError> {
        let (mut facts, mut after) = (Vec::new(), None);
        loop {
            let status = Some(BookingStatus::Completed);
            let page = self.store.bookings_of_flight(id, status, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(facts) };
            if after.is_none() && !self.was_moved(&page[0], told.at).await? {
                return Ok(facts);
            }
            after = Some(last.id);
            for booking in page.iter().filter(|booking| booking.sale() < told.at) {
                let subject = format!("{id}/{}/{}", told.at.timestamp_micros(), booking.id);
                let fact = Fact::new(told.kind, subject, booking);
                facts.push(Fact { audience: Audience::Travelling, ..fact });
            }
        }
    }

    /// Whether a row says that the flight of a booking was moved then.
    async fn was_moved(&self, booking: &Booking, at: Timestamp) -> Result<bool, StoreError> {
        let life = self.store.life(booking.id).await?;
        Ok(life.is_some_and(|life| life.moves.iter().any(|moved| moved.at == at)))
    }
}

/// Whether an order was paid, whatever became of its bookings later.
fn is_paid(order: &Order) -> bool {
    let is_sold = |booking: &Booking| {
        matches!(booking.status, BookingStatus::Completed | BookingStatus::Cancelled)
    };
    order.payment.status == PaymentStatus::Captured && order.bookings.iter().all(is_sold)
}
