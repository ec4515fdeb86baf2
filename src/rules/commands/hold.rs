//! Holds: seats for a party until it has paid.

use super::payment_request::request;
use super::{Decision, Outcome};
use crate::domain::{
    Booking, BookingId, BookingStatus, Flight, FlightId, Invalid, Money, Passenger, Payment,
    PaymentAction, PaymentMethod, PaymentReference, PaymentStatus, SeatCount, Timestamp, UserId,
};
use crate::rules::{Change, Changes, IdempotencyKey, IdempotencyRecord, Policy, Refusal, State};
use std::sync::Arc;

/// Holds seats for a party until it has paid.
///
/// The ids are drawn before the first attempt, so that a repeat is recognised; they are drawn again only
/// where another booking has them.
#[derive(Debug, Clone)]
pub struct Hold {
    /// Id of the new booking.
    pub booking_id: BookingId,
    /// Reference of the new payment.
    pub reference: PaymentReference,
    /// The flight.
    pub flight_id: FlightId,
    /// The user who books.
    pub user_id: UserId,
    /// Number of seats; equals the number of passengers.
    pub seats: SeatCount,
    /// The passengers.
    pub passengers: Arc<[Passenger]>,
    /// How the booking is paid.
    pub method: PaymentMethod,
    /// The caller's idempotency key, if it sent one.
    pub idempotency: Option<IdempotencyKey>,
    /// Maximum number of seats that the user may hold unpaid on the flight, these included
    /// (`MAX_PENDING_PER_USER`); `None`: no limit.
    pub pending_max: Option<SeatCount>,
}

/// Holds the seats, or answers as the first request with the same key was answered.
pub(super) fn decide(
    state: &State,
    hold: &Hold,
    now: Timestamp,
    policy: &Policy,
) -> Result<Decision, Refusal> {
    if let Some(replay) = replay_of(state, hold, now)? {
        return Ok(replay);
    }
    let flight =
        state.flights.get(&hold.flight_id).ok_or(Refusal::FlightNotFound(hold.flight_id))?;
    check(state, hold, flight, now, policy)?;
    let booking = booking_of(hold, flight, now, policy)?;
    let payment = payment_of(&booking, hold, flight);
    // `available_seats` moves only when the payment is captured.
    let after =
        Flight { held_seats: flight.held_seats + hold.seats, ..flight.clone() }.next_version(now);
    let after =
        if planted!(version_kept) { Flight { version: flight.version, ..after } } else { after };
    let record = hold.idempotency.as_ref().map(|idempotency| IdempotencyRecord {
        user_id: hold.user_id,
        key: idempotency.key.clone(),
        request_hash: idempotency.request_hash.clone(),
        booking_id: hold.booking_id,
        created_at: now,
    });
    Ok(Decision {
        outcome: Ok(Outcome::Booking { booking: booking.clone(), replayed: false }),
        changes: Changes {
            flights: vec![Change { was: flight.clone(), after }],
            events: vec![request(&booking, &payment, PaymentAction::Capture, now)],
            bookings: vec![Change { was: None, after: booking }],
            payment: Some(Change { was: None, after: payment }),
            idempotency: record,
            pending_max: hold.pending_max,
            request: None,
            traceparent: None,
        },
    })
}

/// Checks that the flight is on sale, has enough free seats, and that the user keeps its limit.
fn check(
    state: &State,
    hold: &Hold,
    flight: &Flight,
    now: Timestamp,
    policy: &Policy,
) -> Result<(), Refusal> {
    if !flight.is_bookable(now, policy.closes_before) {
        return Err(Refusal::FlightNotBookable(flight.id));
    }
    let free = flight.free_seats() + SeatCount::from(planted!(one_seat_too_many));
    if hold.seats > free {
        return Err(Refusal::InsufficientSeats { flight: flight.id, wanted: hold.seats, free });
    }
    if let Some(most) = hold.pending_max {
        let holder = (flight.id, hold.user_id);
        let pending = state.pending.get(&holder).copied().unwrap_or_default();
        if pending + hold.seats > most {
            let (flight, wanted) = (flight.id, hold.seats);
            return Err(Refusal::TooManyPending { flight, pending, wanted, most });
        }
    }
    Ok(())
}

/// The new booking, at the flight's price of now.
fn booking_of(
    hold: &Hold,
    flight: &Flight,
    now: Timestamp,
    policy: &Policy,
) -> Result<Booking, Refusal> {
    let booking_price = flight.price.times(hold.seats).ok_or_else(|| {
        let most = Money::most_of(flight.currency);
        Refusal::Invalid(Invalid::one("/seats_booked", format!("the total price is beyond {most}")))
    })?;
    Ok(Booking {
        id: hold.booking_id,
        flight_id: flight.id,
        user_id: hold.user_id,
        status: BookingStatus::Pending,
        failure_reason: None,
        payment_reference: hold.reference,
        booking_price,
        seats_booked: hold.seats,
        passengers: Some(hold.passengers.clone()),
        hold_expires_at: now + policy.hold_for,
        created_at: now,
        updated_at: now,
    })
}

fn payment_of(booking: &Booking, hold: &Hold, flight: &Flight) -> Payment {
    Payment {
        reference: hold.reference,
        amount: booking.booking_price,
        currency: flight.currency,
        method: hold.method.clone(),
        status: PaymentStatus::Requested,
        created_at: booking.created_at,
        updated_at: booking.created_at,
        traceparent: None,
    }
}

/// The answer to a repeat: the booking that an earlier request with the same key made.
fn replay_of(state: &State, hold: &Hold, now: Timestamp) -> Result<Option<Decision>, Refusal> {
    let Some(idempotency) = &hold.idempotency else { return Ok(None) };
    let name = (hold.user_id, idempotency.key.clone());
    let Some(record) = state.idempotency.get(&name) else { return Ok(None) };
    if record.created_at + IdempotencyRecord::KEPT_FOR <= now {
        return Ok(None);
    }
    if record.request_hash != idempotency.request_hash {
        return Err(Refusal::IdempotencyKeyReused);
    }
    let booking = state
        .bookings
        .get(&record.booking_id)
        .ok_or(Refusal::BookingNotFound(record.booking_id))?
        .clone();
    Ok(Some(Decision::unchanged(Outcome::Booking { booking, replayed: true })))
}
