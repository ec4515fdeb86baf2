//! The changes of an order, as a command puts them together.

use super::ending::Ending;
use super::payment_request::{refund_request, request};
use super::{Decision, Outcome};
use crate::domain::{
    AirlineEvent, Booking, Event, Flight, FlightBooking, Money, Order, PassengerChange, Payment,
    PaymentAction, PaymentStatus, Refund, RefundStatus, SeatCount,
};
use crate::rules::{Change, Changes, Refusal, RequestRecord, Seen};

/// The changes of an order, as they are put together.
pub(super) struct Draft<'e, 'a> {
    end: &'e Ending<'a>,
    order: Order,
    changes: Changes,
}

impl<'e, 'a> Draft<'e, 'a> {
    pub(super) fn new(end: &'e Ending<'a>) -> Self {
        Self { end, order: end.order(), changes: Changes::default() }
    }

    /// Adds a booking's change, and that of its flight by these seats.
    pub(super) fn add(
        &mut self,
        booking: &Booking,
        after: Booking,
        available: SeatCount,
        held: SeatCount,
    ) -> Result<(), Refusal> {
        let flight = self.end.flight(booking)?;
        let moved = Flight {
            available_seats: flight.available_seats + available,
            held_seats: flight.held_seats + held,
            ..flight.clone()
        }
        .next_version(self.end.now);
        self.move_seats(booking, (flight, moved), after, available);
        Ok(())
    }

    /// Adds a booking's change after the departure of its flight: its seats were flown empty, so nobody can buy them.
    pub(super) fn add_no_show(
        &mut self,
        booking: &Booking,
        after: Booking,
        seats: SeatCount,
    ) -> Result<(), Refusal> {
        let flight = self.end.flight(booking)?;
        let blocked_seats = flight.blocked_seats + seats;
        let moved = Flight { blocked_seats, ..flight.clone() }.next_version(self.end.now);
        self.move_seats(booking, (flight, moved), after, 0);
        Ok(())
    }

    fn move_seats(
        &mut self,
        booking: &Booking,
        (flight, moved): (&Flight, Flight),
        after: Booking,
        available: SeatCount,
    ) {
        if available != 0 && !planted!(seats_move_without_a_message) {
            let seats = FlightBooking {
                flight_id: flight.id,
                seats_booked: -available,
                timestamp: self.end.now,
                booking_id: booking.id,
            };
            self.changes.events.push(Event::SeatsMoved(seats, moved.version));
        }
        let event = if after.status == booking.status {
            AirlineEvent::BookingChanged(after.clone())
        } else {
            AirlineEvent::BookingEnded(after.clone())
        };
        self.changes.events.push(Event::Airline(event, moved.version, self.end.now));
        self.change_booking(booking, after);
        self.changes.flights.push(Change { was: flight.clone(), after: moved });
    }

    /// Takes seats of the flights out of those that are sold elsewhere.
    pub(super) fn unblock(&mut self, seats: SeatCount) {
        for flight in &mut self.changes.flights {
            flight.after.blocked_seats -= seats;
        }
    }

    /// Adds a booking's change alone.
    pub(super) fn change_booking(&mut self, booking: &Booking, after: Booking) {
        let is_rewritten = booking.is_rewritten || after.differs_beyond_status(booking);
        let after = Booking { is_rewritten, ..after };
        for changed in self.order.bookings.iter_mut().filter(|b| b.id == after.id) {
            *changed = after.clone();
        }
        let was = Some(Seen { status: booking.status, version: booking.version });
        self.changes.bookings.push(Change { was, after });
    }

    /// Lowers a booking's fee, beside what was changed of it before.
    pub(super) fn lower_fee(&mut self, booking: &Booking, part: Money, end: &Ending<'_>) {
        let changed = self.changes.bookings.iter_mut().find(|change| change.after.id == booking.id);
        match changed {
            Some(change) => {
                change.after.fee = change.after.fee.less(part);
                change.after.is_rewritten = true;
            }
            None => {
                let fee = booking.fee.less(part);
                self.change_booking(
                    booking,
                    Booking { fee, ..end.booking_as(booking, booking.status, None) },
                );
            }
        }
    }

    /// Sets the payment's status; a reversal is asked for.
    pub(super) fn set_payment(&mut self, status: PaymentStatus) {
        let after = self.end.payment_as(status);
        if status == PaymentStatus::ReversalRequested {
            let event = request(self.end.first(), &after, PaymentAction::Reverse, self.end.now);
            self.changes.events.push(event);
        }
        self.change_payment(after);
    }

    /// Adds the payment's change.
    pub(super) fn change_payment(&mut self, after: Payment) {
        let was = self.end.payment;
        let was = Some(Seen { status: was.status, version: was.version });
        self.push_payment(was, after);
    }

    /// Adds a further attempt.
    pub(super) fn add_payment(&mut self, payment: Payment) {
        self.push_payment(None, payment);
    }

    fn push_payment(&mut self, was: Option<Seen<PaymentStatus>>, after: Payment) {
        if after.attempt >= self.order.payment.attempt {
            self.order.payment = after.clone();
        }
        self.changes.payments.push(Change { was, after });
    }

    /// Adds an event.
    pub(super) fn publish(&mut self, event: Event) {
        self.changes.events.push(event);
    }

    /// Adds a refund, and asks for it unless it is done.
    pub(super) fn add_refund(&mut self, refund: Refund) {
        self.push_refund(None, refund);
    }

    /// Adds a refund's change, and asks for it unless it has ended.
    pub(super) fn change_refund(&mut self, was: &Refund, after: Refund) {
        self.push_refund(Some(was.status), after);
    }

    fn push_refund(&mut self, was: Option<RefundStatus>, after: Refund) {
        if after.status == RefundStatus::Requested {
            let (order_id, payment) = (self.end.first().order_id, self.end.payment);
            self.changes.events.push(refund_request(order_id, payment, &after, self.end.now));
        }
        self.changes.refunds.push(Change { was, after });
    }

    /// Adds a correction of a passenger. The change of its booking is added by itself.
    pub(super) fn change_passenger(&mut self, change: PassengerChange) {
        self.changes.passengers.push(change);
    }

    /// Adds the record of the caller's key.
    pub(super) fn record(&mut self, record: Option<RequestRecord>) {
        self.changes.request = record;
    }

    pub(super) fn decision(self) -> Decision {
        let outcome = Ok(Outcome::Order { order: self.order, replayed: false });
        Decision { outcome, changes: self.changes }
    }
}
