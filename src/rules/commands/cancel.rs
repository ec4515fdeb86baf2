//! Cancellation by the traveller, by staff, or because the flight was cancelled: of an order, or of some of its
//! segments and passengers.

use super::ending::{Ending, GivenBack};
use super::{Decision, Outcome};
use crate::domain::{
    Booking, BookingId, BookingStatus, Invalid, PaymentStatus, Places, RefundReason, Timestamp,
};
use crate::rules::{Changes, Policy, Refusal, RequestKey, RequestRecord, State};
use smallvec::SmallVec;

/// Cancels an order, or a part of it.
#[derive(Debug, Clone)]
pub struct Cancel {
    /// A booking of the order.
    pub booking_id: BookingId,
    /// What to cancel of the order.
    pub part: OrderPart,
    /// Who asked for it.
    pub by: CancelledBy,
    /// The caller's idempotency key, if it sent one.
    pub request: Option<RequestKey>,
}

/// What to cancel of an order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OrderPart {
    /// The segments.
    pub segments: Segments,
    /// Places of passengers, from 0; `None`: all.
    pub passengers: Option<Places>,
}

/// Segments of an order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Segments {
    /// That of the booking that the command names.
    #[default]
    Own,
    /// All.
    All,
    /// These, from 1.
    Only(SmallVec<[i32; 8]>),
}

/// Who asked for a cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelledBy {
    /// The traveller: refused once the flight has departed.
    Traveller,
    /// Staff: allowed after departure too.
    Staff,
    /// The airline, which cancelled the flight.
    Airline,
}

impl OrderPart {
    /// Broken rules are added at `/segments/N` and `/passengers/N`.
    fn check(&self, end: &Ending<'_>) -> Result<(), Refusal> {
        let mut invalid = Invalid::default();
        let (segments, party) = (end.first().segments, end.first().party_size());
        if let Segments::Only(named) = &self.segments {
            for (at, segment) in named.iter().enumerate() {
                if !(1..=segments).contains(segment) {
                    invalid.add(format!("/segments/{at}"), format!("must be 1 to {segments}"));
                }
            }
        }
        for (at, place) in self.passengers.iter().flatten().enumerate() {
            if usize::from(*place) >= party {
                invalid.add(format!("/passengers/{at}"), format!("must be 0 to {}", party - 1));
            }
        }
        invalid.or(()).map_err(Refusal::Invalid)
    }

    fn has_segment(&self, booking: &Booking, own: BookingId) -> bool {
        match &self.segments {
            Segments::Own => booking.id == own,
            Segments::All => true,
            Segments::Only(segments) => segments.contains(&booking.segment),
        }
    }

    fn has_passenger(&self, place: u16) -> bool {
        self.passengers.as_ref().is_none_or(|places| places.contains(&place))
    }

    /// Whether it is all of an order.
    fn is_all(&self, end: &Ending<'_>, own: BookingId) -> bool {
        end.bookings.iter().all(|booking| self.has_segment(booking, own))
            && (0..end.first().party_size()).all(|place| self.has_passenger(place as u16))
    }

    /// The passengers of a booking to cancel, without those cancelled before.
    fn places_of(&self, booking: &Booking) -> Places {
        let all = 0..booking.party_size() as u16;
        all.filter(|place| self.has_passenger(*place) && !booking.cancelled.contains(place))
            .collect()
    }
}

/// Ends an unpaid order as a whole and asks for the reversal of its payment; gives back seats of a paid one and
/// asks for their refund.
pub(super) fn decide(
    state: &State,
    cancel: &Cancel,
    now: Timestamp,
    policy: &Policy,
) -> Result<Decision, Refusal> {
    let end = Ending::of_booking(state, cancel.booking_id, now)?;
    let record = RequestRecord::of(cancel.request.as_ref(), cancel.booking_id.0, state, now)?;
    cancel.part.check(&end)?;
    let decision = match end.status() {
        BookingStatus::Failed => return Err(Refusal::BookingNotCancellable(cancel.booking_id)),
        // A repeat gets the answer of the first request.
        BookingStatus::Cancelled => {
            let (order, replayed) = (end.order(), record.is_none());
            Decision::unchanged(Outcome::Order { order, replayed })
        }
        BookingStatus::Pending => {
            // A flight that its airline cancels takes the whole unpaid order with it.
            if cancel.by != CancelledBy::Airline && !cancel.part.is_all(&end, cancel.booking_id) {
                return Err(Refusal::OrderNotPaid(cancel.booking_id));
            }
            end.cancelled(end.unpaid())?
        }
        BookingStatus::Completed => completed(&end, cancel, record.is_none(), policy, now)?,
    };
    let changes = Changes { request: record, ..decision.changes };
    Ok(Decision { changes, ..decision })
}

/// Cancels a part of a paid order.
fn completed(
    end: &Ending<'_>,
    cancel: &Cancel,
    is_repeat: bool,
    policy: &Policy,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let mut parts = Vec::new();
    for booking in end.bookings.iter().copied() {
        let is_live = booking.status == BookingStatus::Completed || planted!(refunded_twice);
        let places = cancel.part.places_of(booking);
        if !is_live || !cancel.part.has_segment(booking, cancel.booking_id) || places.is_empty() {
            continue;
        }
        // After departure a traveller gets neither money nor seats back.
        let is_traveller = cancel.by == CancelledBy::Traveller;
        if is_traveller && end.flight(booking)?.has_departed(now, policy.closes_before) {
            return Err(Refusal::BookingNotCancellable(booking.id));
        }
        parts.push(GivenBack { booking, places });
    }
    if parts.is_empty() {
        return Ok(Decision::unchanged(Outcome::Order { order: end.order(), replayed: is_repeat }));
    }
    if planted!(cancellation_keeps_the_money) {
        return end.cancelled(PaymentStatus::Captured);
    }
    // The gateway knows no payment that an earlier service took, so there is nothing to refund a part of.
    if end.payment.status != PaymentStatus::Captured || end.payment.method.is_adopted() {
        if !cancel.part.is_all(end, cancel.booking_id) {
            return Err(Refusal::PaidElsewhere(cancel.booking_id));
        }
        return end.cancelled(PaymentStatus::ReversalRequested);
    }
    let reason = match cancel.by {
        CancelledBy::Airline => RefundReason::Airline,
        CancelledBy::Traveller | CancelledBy::Staff => RefundReason::Traveller,
    };
    end.refunded(parts, reason)
}
