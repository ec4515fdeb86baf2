//! Extension: more time to pay an order that was held to be paid later.

use super::Decision;
use super::ending::Ending;
use crate::domain::{AirlineEvent, Booking, BookingId, BookingStatus, PaymentKind, Timestamp};
use crate::rules::{Policy, Refusal, RequestKey, RequestRecord, State};

/// Lengthens the hold of an order, once.
#[derive(Debug, Clone)]
pub struct Extend {
    /// A booking of the order.
    pub booking_id: BookingId,
    /// The caller's idempotency key, if it sent one.
    pub request: Option<RequestKey>,
}

/// Sets the end of the hold to `PAYMENT_WINDOW` from now, or to the first departure if that is earlier.
pub(super) fn decide(
    state: &State,
    extend: &Extend,
    now: Timestamp,
    policy: &Policy,
) -> Result<Decision, Refusal> {
    let end = Ending::of_booking(state, extend.booking_id, now)?;
    let record = RequestRecord::of(extend.request.as_ref(), extend.booking_id.0, state, now)?;
    if extend.request.is_some() && record.is_none() {
        return Ok(end.unchanged());
    }
    let first = end.first();
    let is_used = first.extended && !planted!(extended_twice);
    let is_held = end.status() == BookingStatus::Pending && now < first.hold_expires_at;
    if !is_held || end.payment.kind != PaymentKind::Later || is_used {
        return Err(Refusal::NotExtendable(extend.booking_id));
    }
    let hold_expires_at = policy.pay_by(now, end.flight(first)?);
    if hold_expires_at <= first.hold_expires_at {
        return Err(Refusal::NotExtendable(extend.booking_id));
    }
    let mut draft = end.draft();
    for booking in end.bookings.iter().copied() {
        let after = end.booking_as(booking, booking.status, None);
        let after = Booking { hold_expires_at, extended: true, ..after };
        draft.tell(AirlineEvent::BookingHeld(after.clone()), end.flight(booking)?.version);
        draft.change_booking(booking, after);
    }
    // Its version grows too, so that a commit on the earlier hold is stale.
    draft.change_payment(end.payment_as(end.payment.status));
    draft.record(record);
    Ok(draft.decision())
}
