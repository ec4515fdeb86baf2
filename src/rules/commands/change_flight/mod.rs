//! Change of flight: a completed booking moves to another flight of its route, at the price of now and without a fee.
//!
//! If nothing is due, the flights are swapped at once. Else a booking of its own holds the new seats for a payment of
//! the difference; its capture swaps them ([`captured`]), and any other end leaves the booking as it was.

mod checks;

use super::Decision;
use super::ending::Ending;
use super::payment_request::request;
use crate::domain::{
    Booking, BookingId, BookingStatus, FailureReason, Flight, FlightId, Invalid, Money, Payment,
    PaymentAction, PaymentKind, PaymentMethod, PaymentReference, PaymentStatus, Places,
    RefundReason, SeatCount, Timestamp, UserId, WaitsFor,
};
use crate::rules::{Policy, Refusal, RequestKey, RequestRecord, State};

/// Moves a completed booking to another flight.
///
/// Id and reference are drawn before the first attempt, and used if a difference is to be paid.
#[derive(Debug, Clone)]
pub struct ChangeFlight {
    /// The booking.
    pub booking_id: BookingId,
    /// The flight to move it to.
    pub flight_id: FlightId,
    /// The user of the booking.
    pub user_id: UserId,
    /// How a difference is paid.
    pub method: PaymentMethod,
    /// What the caller expects to pay, or below zero to get back; refused if it is another amount.
    pub expected_difference: Option<Money>,
    /// Id of the booking that would hold the new seats.
    pub replacement_id: BookingId,
    /// Reference of the payment of a difference.
    pub reference: PaymentReference,
    /// Maximum number of seats that the user may hold unpaid on a flight (`MAX_PENDING_PER_USER`); `None`: no limit.
    pub pending_max: Option<SeatCount>,
    /// The caller's idempotency key, if it sent one.
    pub request: Option<RequestKey>,
}

/// What a change comes to.
struct Quote<'a> {
    end: Ending<'a>,
    booking: &'a Booking,
    /// The new flight.
    flight: &'a Flight,
    /// Price of the booking's seats there.
    price: Money,
    taxes: Money,
    /// What is to pay, or below zero what comes back.
    difference: Money,
}

/// Swaps the flights, or holds the new seats for the payment of the difference.
pub(super) fn decide(
    state: &State,
    change: &ChangeFlight,
    now: Timestamp,
    policy: &Policy,
) -> Result<Decision, Refusal> {
    let end = Ending::of_booking(state, change.booking_id, now)?;
    let record = RequestRecord::of(change.request.as_ref(), change.booking_id.0, state, now)?;
    if change.request.is_some() && record.is_none() {
        return Ok(end.unchanged());
    }
    let quote = Quote::of(state, change, end, policy)?;
    let mut decision = if quote.difference > Money::default() {
        quote.held(change, policy)
    } else {
        quote.swapped()?
    };
    decision.changes.request = record;
    Ok(decision)
}

impl<'a> Quote<'a> {
    fn of(
        state: &'a State,
        change: &ChangeFlight,
        end: Ending<'a>,
        policy: &Policy,
    ) -> Result<Self, Refusal> {
        let booking = checks::changeable(&end, change.booking_id, policy)?;
        let unknown = Refusal::FlightNotFound(change.flight_id);
        let flight = state.flights.get(&change.flight_id).ok_or(unknown)?;
        checks::route(&end, booking, flight)?;
        checks::connections(&end, booking, flight, policy)?;
        checks::seats(state, change, booking, flight, (end.now, policy))?;
        let too_dear = || {
            let most = Money::most_of(flight.currency);
            let rule = format!("the total price would be beyond {most}");
            Refusal::Invalid(Invalid::one("/flight_id", rule))
        };
        let price = flight.price.times(booking.seats_booked).ok_or_else(too_dear)?;
        let taxes = flight.taxes.times(booking.seats_booked).ok_or_else(too_dear)?;
        let difference = price.less(booking.booking_price);
        match change.expected_difference {
            Some(expected) if expected != difference => {
                Err(Refusal::DifferenceChanged { expected, now: difference })
            }
            _ => Ok(Self { end, booking, flight, price, taxes, difference }),
        }
    }

    /// Nothing is due: swaps the flights, and gives back what the new one costs less.
    fn swapped(&self) -> Result<Decision, Refusal> {
        let mut draft = self.end.draft();
        let price = if planted!(change_keeps_the_old_price) {
            self.booking.booking_price
        } else {
            self.price
        };
        let after = Booking {
            flight_id: self.flight.id,
            booking_price: price,
            booking_taxes: self.taxes,
            fare_rules: self.flight.fare_rules.clone(),
            sold_departure: Some(self.flight.departs_at),
            sold_at: Some(self.end.now),
            ..self.end.booking_as(self.booking, BookingStatus::Completed, None)
        };
        draft.swap(self.booking, after, 0)?;
        draft.touch_others_of(self.booking);
        let over = self.booking.booking_price.less(self.price);
        draft.give_back(self.booking, over, RefundReason::Change, &mut self.end.sources());
        Ok(draft.decision())
    }

    /// Holds the new seats, and asks for the payment of the difference.
    fn held(&self, change: &ChangeFlight, policy: &Policy) -> Decision {
        let mut draft = self.end.draft();
        let replacement = self.replacement(change, policy);
        let payment = self.payment(change);
        draft.publish(request(&replacement, &payment, PaymentAction::Capture, self.end.now));
        draft.hold(replacement, self.flight, change.pending_max);
        draft.add_payment(payment);
        // Another command that was decided on the booking or on its order is decided again.
        let noted = Booking {
            has_changes: true,
            ..self.end.booking_as(self.booking, BookingStatus::Completed, None)
        };
        draft.change_booking(self.booking, noted);
        draft.touch_others_of(self.booking);
        draft.decision()
    }

    /// The booking that holds the new seats, at their full price.
    fn replacement(&self, change: &ChangeFlight, policy: &Policy) -> Booking {
        let (id, now) = (change.replacement_id, self.end.now);
        Booking {
            id,
            order_id: id,
            segment: 1,
            segments: 1,
            flight_id: self.flight.id,
            user_id: self.booking.user_id,
            status: BookingStatus::Pending,
            failure_reason: None,
            payment_reference: change.reference,
            booking_price: self.price,
            booking_taxes: self.taxes,
            fee: Money::whole(0, self.flight.currency),
            fare_rules: self.flight.fare_rules.clone(),
            sold_departure: Some(self.flight.departs_at),
            was: None,
            sold_at: None,
            replaces: Some(self.booking.id),
            has_changes: false,
            seats_booked: self.booking.seats_booked,
            extended: false,
            cancelled: Places::new(),
            erased: false,
            passengers: None,
            hold_expires_at: now + policy.hold_for,
            created_at: now,
            updated_at: now,
            version: 1,
            is_rewritten: false,
        }
    }

    fn payment(&self, change: &ChangeFlight) -> Payment {
        Payment {
            reference: change.reference,
            order: change.reference,
            attempt: 1,
            kind: PaymentKind::Difference,
            amount: self.difference,
            currency: self.flight.currency,
            method: change.method.clone(),
            status: PaymentStatus::Requested,
            waits_for: WaitsFor::Gateway,
            dispute: None,
            notes: None,
            created_at: self.end.now,
            updated_at: self.end.now,
            traceparent: None,
            version: 1,
        }
    }
}

/// The difference was captured: swaps the flights. `change`: the booking that holds the new seats, with its payment.
///
/// What ends the changed booking ends its change in the same commit, so the booking is completed.
pub(super) fn captured(
    state: &State,
    change: &Ending<'_>,
    changed: BookingId,
) -> Result<Decision, Refusal> {
    let (replacement, payment) = (change.first(), change.payment);
    let end = Ending::of_booking(state, changed, change.now)?;
    let booking = end.bookings.iter().copied().find(|booking| booking.id == changed);
    let live = booking.filter(|booking| booking.status == BookingStatus::Completed);
    let Some(booking) = live else {
        return change.failed(FailureReason::HoldExpired, PaymentStatus::ReversalRequested);
    };
    let price = booking.booking_price.plus(payment.amount).unwrap_or(booking.booking_price);
    let price = if planted!(change_keeps_the_old_price) { booking.booking_price } else { price };
    let mut draft = end.draft();
    let after = Booking {
        flight_id: replacement.flight_id,
        booking_price: price,
        booking_taxes: replacement.booking_taxes.min(price),
        fare_rules: replacement.fare_rules.clone(),
        sold_departure: replacement.sold_departure,
        sold_at: Some(replacement.created_at),
        ..end.booking_as(booking, BookingStatus::Completed, None)
    };
    draft.swap(booking, after, replacement.seats_booked)?;
    draft.touch_others_of(booking);
    draft.change_booking(
        replacement,
        change.booking_as(replacement, BookingStatus::Cancelled, None),
    );
    draft.change_other_payment(payment, change.payment_as(PaymentStatus::Captured));
    Ok(draft.decision())
}
