//! The end of a booking, or of its payment: what settlement, expiry, cancellation and release share.

use super::payment_request::request;
use super::{Decision, Outcome};
use crate::domain::{
    AirlineEvent, Booking, BookingId, BookingStatus, Event, FailureReason, Flight, FlightBooking,
    Payment, PaymentAction, PaymentReference, PaymentStatus, SeatCount, Timestamp,
};
use crate::rules::{Change, Changes, Refusal, State};

/// A booking that ends, or whose payment does.
pub(super) struct Ending<'a> {
    pub(super) booking: &'a Booking,
    pub(super) payment: &'a Payment,
    pub(super) flight: &'a Flight,
    pub(super) now: Timestamp,
}

impl<'a> Ending<'a> {
    /// The booking that a payment pays, with the payment and the flight.
    pub(super) fn of_payment(
        state: &'a State,
        reference: PaymentReference,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let unknown = || Refusal::UnknownPayment(reference);
        let payment = state.payments.get(&reference).ok_or_else(unknown)?;
        let id = state.paid_by.get(&reference).ok_or_else(unknown)?;
        let booking = state.bookings.get(id).ok_or_else(unknown)?;
        let flight = state
            .flights
            .get(&booking.flight_id)
            .ok_or(Refusal::FlightNotFound(booking.flight_id))?;
        Ok(Self { booking, payment, flight, now })
    }

    /// A booking with its payment and its flight.
    pub(super) fn of_booking(
        state: &'a State,
        id: BookingId,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let booking = state.bookings.get(&id).ok_or(Refusal::BookingNotFound(id))?;
        Self::of_payment(state, booking.payment_reference, now)
    }

    /// The booking as it stands: a repeat, or nothing to do.
    pub(super) fn unchanged(&self) -> Decision {
        Decision::unchanged(Outcome::Booking { booking: self.booking.clone(), replayed: true })
    }

    /// Paid: sells the held seats.
    pub(super) fn completed(&self) -> Decision {
        let seats = self.booking.seats_booked;
        let booking = self.booking_as(BookingStatus::Completed, None);
        self.decision(booking, PaymentStatus::Captured, -seats, -seats)
    }

    /// Not paid: releases the held seats.
    pub(super) fn failed(&self, reason: FailureReason, payment: PaymentStatus) -> Decision {
        let booking = self.booking_as(BookingStatus::Failed, Some(reason));
        let held = if planted!(failed_booking_keeps_seats) { 0 } else { self.booking.seats_booked };
        self.decision(booking, payment, 0, -held)
    }

    /// Cancelled: releases held seats, gives sold ones back.
    pub(super) fn cancelled(&self, payment: PaymentStatus) -> Decision {
        let seats = self.booking.seats_booked;
        let (available, held) = match self.booking.status {
            BookingStatus::Completed if planted!(cancelled_booking_keeps_seats) => (0, 0),
            BookingStatus::Completed => (seats, 0),
            _ => (0, -seats),
        };
        let booking = self.booking_as(BookingStatus::Cancelled, None);
        self.decision(booking, payment, available, held)
    }

    /// Adopted and never paid: puts the blocked seats on sale. The payment stays as it is.
    pub(super) fn released(&self) -> Decision {
        let seats = self.booking.seats_booked;
        let booking = self.booking_as(BookingStatus::Failed, Some(FailureReason::HoldExpired));
        let mut decision = self.decision(booking, self.payment.status, seats, 0);
        for flight in &mut decision.changes.flights {
            flight.after.blocked_seats -= seats;
        }
        decision.changes.payment = None;
        decision
    }

    /// Moves the payment of a booking that has ended.
    pub(super) fn payment(&self, status: PaymentStatus) -> Decision {
        let after = self.payment_as(status);
        let mut events = Vec::new();
        self.request_reversal(&mut events, &after);
        Decision {
            outcome: Ok(Outcome::Booking { booking: self.booking.clone(), replayed: false }),
            changes: Changes {
                payment: Some(Change { was: Some(self.payment.status), after }),
                events,
                ..Changes::default()
            },
        }
    }

    fn decision(
        &self,
        booking: Booking,
        payment: PaymentStatus,
        available: SeatCount,
        held: SeatCount,
    ) -> Decision {
        let flight = Flight {
            available_seats: self.flight.available_seats + available,
            held_seats: self.flight.held_seats + held,
            ..self.flight.clone()
        }
        .next_version(self.now);
        let payment = self.payment_as(payment);
        let mut events = Vec::new();
        if available != 0 && !planted!(seats_move_without_a_message) {
            let moved = FlightBooking {
                flight_id: flight.id,
                seats_booked: -available,
                timestamp: self.now,
                booking_id: booking.id,
            };
            events.push(Event::SeatsMoved(moved, flight.version));
        }
        let ended = AirlineEvent::BookingEnded(booking.clone());
        events.push(Event::Airline(ended, flight.version, self.now));
        self.request_reversal(&mut events, &payment);
        Decision {
            outcome: Ok(Outcome::Booking { booking: booking.clone(), replayed: false }),
            changes: Changes {
                flights: vec![Change { was: self.flight.clone(), after: flight }],
                bookings: vec![Change { was: Some(self.booking.status), after: booking }],
                payment: Some(Change { was: Some(self.payment.status), after: payment }),
                events,
                ..Changes::default()
            },
        }
    }

    fn request_reversal(&self, events: &mut Vec<Event>, payment: &Payment) {
        if payment.status == PaymentStatus::ReversalRequested {
            events.push(request(self.booking, payment, PaymentAction::Reverse, self.now));
        }
    }

    fn booking_as(&self, status: BookingStatus, failure_reason: Option<FailureReason>) -> Booking {
        Booking { status, failure_reason, updated_at: self.now, ..self.booking.clone() }
    }

    fn payment_as(&self, status: PaymentStatus) -> Payment {
        Payment { status, updated_at: self.now, ..self.payment.clone() }
    }
}
