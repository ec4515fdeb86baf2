//! Release: seats of a booking that an earlier service left without a payment go back on sale.

use super::Decision;
use super::ending::Ending;
use crate::domain::{BookingId, FailureReason, Timestamp};
use crate::rules::{Refusal, State};

/// Ends an adopted booking like a hold that lapsed.
///
/// Its seats are among the flight's blocked seats, since no payment ran for them here. The release puts them
/// on sale, and the failure reason shows that it is done.
pub(super) fn decide(state: &State, id: BookingId, now: Timestamp) -> Result<Decision, Refusal> {
    let end = Ending::of_booking(state, id, now)?;
    let booking = end.first();
    let is_adopted = booking.failure_reason == Some(FailureReason::Adopted);
    // Fewer seats are blocked if the earlier service never took them, or an operator gave them back.
    if !is_adopted || end.flight(booking)?.blocked_seats < booking.seats_booked {
        return Ok(end.unchanged());
    }
    end.released()
}
