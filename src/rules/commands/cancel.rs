//! Cancellation by the traveller, by staff, or because the flight was cancelled.

use super::ending::Ending;
use super::{Decision, Outcome};
use crate::domain::{BookingId, BookingStatus, PaymentStatus, Timestamp};
use crate::rules::{Changes, Claim, Policy, Refusal, RequestKey, RequestRecord, State};

/// Cancels a booking.
#[derive(Debug, Clone)]
pub struct Cancel {
    /// The booking.
    pub booking_id: BookingId,
    /// Who asked for it.
    pub by: CancelledBy,
    /// The caller's idempotency key, if it sent one.
    pub request: Option<RequestKey>,
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

/// Releases or gives back the seats and asks for the reversal of the payment.
pub(super) fn decide(
    state: &State,
    cancel: &Cancel,
    now: Timestamp,
    policy: &Policy,
) -> Result<Decision, Refusal> {
    let end = Ending::of_booking(state, cancel.booking_id, now)?;
    let record = record_of(state, cancel, now)?;
    let decision = match end.booking.status {
        BookingStatus::Failed => return Err(Refusal::BookingNotCancellable(end.booking.id)),
        // After departure a traveller gets neither money nor seats back.
        BookingStatus::Completed
            if cancel.by == CancelledBy::Traveller
                && end.flight.has_departed(now, policy.closes_before) =>
        {
            return Err(Refusal::BookingNotCancellable(end.booking.id));
        }
        // A repeat gets the answer of the first request.
        BookingStatus::Cancelled => {
            let (booking, replayed) = (end.booking.clone(), record.is_none());
            Decision::unchanged(Outcome::Booking { booking, replayed })
        }
        BookingStatus::Completed if planted!(cancellation_keeps_the_money) => {
            end.cancelled(PaymentStatus::Captured)
        }
        BookingStatus::Pending | BookingStatus::Completed => {
            end.cancelled(PaymentStatus::ReversalRequested)
        }
    };
    let changes = Changes { request: record, ..decision.changes };
    Ok(Decision { changes, ..decision })
}

/// The record to write for the caller's key; `None` without a key, and for a repeat.
fn record_of(
    state: &State,
    cancel: &Cancel,
    now: Timestamp,
) -> Result<Option<RequestRecord>, Refusal> {
    let Some(request) = &cancel.request else { return Ok(None) };
    match request.meets(state.requests.get(&request.name()), now) {
        Claim::Reused => Err(Refusal::IdempotencyKeyReused),
        Claim::Made(_) => Ok(None),
        Claim::New(()) => {
            let (request, made) = (request.clone(), cancel.booking_id.0);
            Ok(Some(RequestRecord { request, made, created_at: now }))
        }
    }
}
