//! What must hold before a booking moves to another flight.

use super::ChangeFlight;
use crate::domain::{
    Booking, BookingId, BookingStatus, Flight, FlightStatus, Invalid, PaymentStatus, Timestamp,
    route_key,
};
use crate::rules::commands::ending::Ending;
use crate::rules::commands::hold::{Party, check_connection, check_seats};
use crate::rules::{Policy, Refusal, State};

/// The booking, if it is paid for, has not departed, and no change of its order waits for its payment. The gateway does
/// not know what an earlier service took, so nothing could come back from it.
pub(super) fn changeable<'a>(
    end: &Ending<'a>,
    id: BookingId,
    policy: &Policy,
) -> Result<&'a Booking, Refusal> {
    let refused = || Refusal::BookingNotChangeable(id);
    let booking = end.bookings.iter().copied().find(|booking| booking.id == id);
    let booking = booking.filter(|booking| booking.status == BookingStatus::Completed);
    let booking = booking.filter(|booking| booking.replaces.is_none()).ok_or_else(refused)?;
    let is_paid = end.payment.status == PaymentStatus::Captured && !end.payment.method.is_adopted();
    let flight = end.flight(booking)?;
    let is_off = flight.flight_status == FlightStatus::Cancelled;
    if !is_paid || is_off || flight.has_departed(end.now, policy.closes_before) {
        return Err(refused());
    }
    if end.pending_change().is_some() && !planted!(two_changes_at_once) {
        return Err(Refusal::ChangePending(id));
    }
    Ok(booking)
}

/// The new flight is on the same route, is priced in the same currency, and is no other flight of the order.
pub(super) fn route(end: &Ending<'_>, booking: &Booking, flight: &Flight) -> Result<(), Refusal> {
    let mut invalid = Invalid::default();
    let mut note = |rule: String| invalid.add("/flight_id", rule);
    let old = end.flight(booking)?;
    let key = |flight: &Flight| route_key(&flight.source, &flight.destination);
    if flight.id == old.id {
        note("is the booking's flight".to_owned());
    } else if end.bookings.iter().any(|other| other.flight_id == flight.id) {
        note("is another flight of the itinerary".to_owned());
    }
    if key(flight) != key(old) {
        note(format!("must fly from {} to {}", &*old.source, &*old.destination));
    }
    if flight.currency != end.payment.currency {
        note(format!("must be priced in {}", end.payment.currency));
    }
    invalid.or(()).map_err(Refusal::Invalid)
}

/// The segments before and after it that are not cancelled still connect.
pub(super) fn connections(
    end: &Ending<'_>,
    booking: &Booking,
    flight: &Flight,
    policy: &Policy,
) -> Result<(), Refusal> {
    let live = || end.bookings.iter().copied().filter(|b| b.status == BookingStatus::Completed);
    let before = live().rfind(|other| other.segment < booking.segment);
    let after = live().find(|other| other.segment > booking.segment);
    let mut invalid = Invalid::default();
    let mut check = |earlier: &Flight, later: &Flight| {
        if let Err((_, rule)) = check_connection(earlier, later, policy.min_connection) {
            invalid.add("/flight_id", rule);
        }
    };
    if let Some(before) = before {
        check(end.flight(before)?, flight);
    }
    if let Some(after) = after {
        check(flight, end.flight(after)?);
    }
    invalid.or(()).map_err(Refusal::Invalid)
}

/// The new flight is on sale and has the seats.
pub(super) fn seats(
    state: &State,
    change: &ChangeFlight,
    booking: &Booking,
    flight: &Flight,
    (now, policy): (Timestamp, &Policy),
) -> Result<(), Refusal> {
    let (user_id, seats) = (booking.user_id, booking.seats_booked);
    let party = Party { user_id, seats, pending_max: change.pending_max };
    check_seats(state, &party, flight, now, policy)
}
