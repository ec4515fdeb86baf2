//! The changes of an order, as a command puts them together.

use super::ending::Ending;
use super::payment_request::{refund_request, request};
use super::replacements::Sources;
use super::{Decision, Outcome};
use crate::domain::{
    AirlineEvent, Booking, BookingStatus, ChangeEnded, Event, Flight, FlightBooking, Money, Order,
    OrderEnded, PassengerChange, Payment, PaymentAction, PaymentStatus, Refund, RefundReason,
    RefundStatus, SeatCount,
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
            self.publish_seats(booking, &moved, -available);
        }
        let event = if after.status == booking.status {
            AirlineEvent::BookingChanged(after.clone())
        } else {
            AirlineEvent::BookingEnded(after.clone())
        };
        // A booking that holds seats for a change is shown nowhere.
        match self.end_of_change(&after) {
            _ if booking.replaces.is_none() => self.tell(event, moved.version),
            Some(ended) => self.tell(AirlineEvent::ChangeEnded(ended), after.version),
            None => {}
        }
        self.change_booking(booking, after);
        self.changes.flights.push(Change { was: flight.clone(), after: moved });
    }

    /// Adds an event of `airline-events`.
    pub(super) fn tell(&mut self, event: AirlineEvent, version: i64) {
        self.changes.events.push(Event::Airline(event, version, self.end.now));
    }

    /// What ended with a booking that held seats for a change, and that was declined or has lapsed. The end of the changed
    /// booking says the same by itself.
    fn end_of_change(&self, replacement: &Booking) -> Option<ChangeEnded> {
        if replacement.status != BookingStatus::Failed {
            return None;
        }
        let booking = self.end.state.bookings.get(&replacement.replaces?)?;
        Some(ChangeEnded {
            booking_id: booking.id,
            order_id: booking.order_id,
            flight_id: booking.flight_id,
            to_flight_id: replacement.flight_id,
            reason: replacement.failure_reason,
            amount: self.end.payment.amount,
            currency: self.end.payment.currency,
            replacement: replacement.id,
        })
    }

    /// Adds the event of an order of several flights whose status has changed, after those of its bookings.
    fn tell_order(&mut self) {
        let (first, status) = (self.end.first(), self.order.status());
        if first.segments == 1 || status == self.end.status() {
            return;
        }
        let payment = &self.order.payment;
        let ended = OrderEnded {
            order_id: first.order_id,
            flight_id: first.flight_id,
            status,
            segments: first.segments,
            total_price: self.order.total_price(),
            currency: payment.currency,
            payment: payment.reference,
        };
        self.tell(AirlineEvent::OrderEnded(ended), first.version + 1);
    }

    /// Adds the message of seats that a booking takes of a flight; below zero: that it gives back.
    fn publish_seats(&mut self, booking: &Booking, flight: &Flight, seats_booked: SeatCount) {
        let (flight_id, booking_id, timestamp) = (flight.id, booking.id, self.end.now);
        let seats = FlightBooking { flight_id, seats_booked, timestamp, booking_id };
        self.changes.events.push(Event::SeatsMoved(seats, flight.version));
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

    /// Moves a booking's sold seats to the flight of `after`, of which `held` seats were held for it.
    pub(super) fn swap(
        &mut self,
        booking: &Booking,
        after: Booking,
        held: SeatCount,
    ) -> Result<(), Refusal> {
        let (from, to) = (self.end.flight(booking)?, self.end.flight(&after)?);
        let (seats, now) = (booking.seats_booked, self.end.now);
        let returned = if planted!(both_flights_kept_on_a_change) { 0 } else { seats };
        let available_seats = from.available_seats + returned;
        let left = Flight { available_seats, ..from.clone() }.next_version(now);
        // Those in line were overtaken when the seats were held.
        let line = if held == 0 { to.line.held() } else { to.line };
        let taken = Flight {
            available_seats: to.available_seats - seats,
            held_seats: to.held_seats - held,
            line,
            ..to.clone()
        }
        .next_version(now);
        for (flight, seats_booked) in [(&left, -seats), (&taken, seats)] {
            self.publish_seats(booking, flight, seats_booked);
        }
        self.tell(AirlineEvent::BookingChanged(after.clone()), taken.version);
        self.change_booking(booking, after);
        self.changes.flights.push(Change { was: from.clone(), after: left });
        self.changes.flights.push(Change { was: to.clone(), after: taken });
        Ok(())
    }

    /// Adds a booking that holds seats for a change.
    pub(super) fn hold(
        &mut self,
        replacement: Booking,
        flight: &Flight,
        pending_max: Option<SeatCount>,
    ) {
        let held_seats = flight.held_seats + replacement.seats_booked;
        let line = flight.line.held();
        let after = Flight { held_seats, line, ..flight.clone() }.next_version(self.end.now);
        self.changes.flights.push(Change { was: flight.clone(), after });
        self.changes.bookings.push(Change { was: None, after: replacement });
        self.changes.pending_max = pending_max;
    }

    /// Changes the version of the order's other completed bookings, so that no other command is decided on one of them
    /// and the flight that this booking leaves.
    pub(super) fn touch_others_of(&mut self, booking: &Booking) {
        let is_other = |it: &&Booking| it.id != booking.id && it.status == BookingStatus::Completed;
        for other in self.end.bookings.iter().copied().filter(is_other) {
            self.change_booking(other, self.end.booking_as(other, other.status, None));
        }
    }

    /// Ends the change of a booking that waits for its payment, if there is one: its seats are released, and its payment
    /// is voided or reversed.
    pub(super) fn end_change_of(&mut self, booking: &Booking) -> Result<(), Refusal> {
        let Some(replacement) = self.end.pending_change_of(booking) else { return Ok(()) };
        if planted!(cancellation_leaves_the_change) {
            return Ok(());
        }
        let (state, now) = (self.end.state, self.end.now);
        let change = Ending::of_payment(state, replacement.payment_reference, now)?;
        let after = change.booking_as(replacement, BookingStatus::Cancelled, None);
        self.add(replacement, after, 0, -replacement.seats_booked)?;
        let payment = change.payment_as(change.unpaid());
        if payment.status == PaymentStatus::ReversalRequested {
            self.publish(request(replacement, &payment, PaymentAction::Reverse, now));
        }
        self.change_other_payment(change.payment, payment);
        Ok(())
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
        let shown = &self.order.payment;
        if after.order == shown.order && after.attempt >= shown.attempt {
            self.order.payment = after.clone();
        }
        self.changes.payments.push(Change { was, after });
    }

    /// Adds the change of another payment than the order's.
    pub(super) fn change_other_payment(&mut self, was: &Payment, after: Payment) {
        let was = Some(Seen { status: was.status, version: was.version });
        self.push_payment(was, after);
    }

    /// Gives an amount of a booking's price back, from the payments that have it left.
    pub(super) fn give_back(
        &mut self,
        booking: &Booking,
        amount: Money,
        reason: RefundReason,
        sources: &mut Sources<'a>,
    ) {
        for (payment, part) in sources.take(amount) {
            self.refund(booking, payment, part, reason);
            // Another command that was decided on what the payment has left is decided again.
            if sources.are_several()
                && !self.changes.payments.iter().any(|c| c.after.reference == payment.reference)
            {
                let version = payment.version + 1;
                let after = Payment { version, updated_at: self.end.now, ..payment.clone() };
                self.change_other_payment(payment, after);
            }
        }
    }

    /// Adds a refund of one of the order's payments, unless it is of nothing.
    pub(super) fn refund(
        &mut self,
        booking: &Booking,
        payment: &Payment,
        amount: Money,
        reason: RefundReason,
    ) {
        if amount > Money::default() {
            self.add_refund(self.end.refund_of(booking, payment, amount, reason));
        }
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
            let (order_id, state) = (self.end.first().order_id, self.end.state);
            let payment = state.payments.get(&after.payment).unwrap_or(self.end.payment);
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

    pub(super) fn decision(mut self) -> Decision {
        self.tell_order();
        let outcome = Ok(Outcome::Order { order: self.order, replayed: false });
        Decision { outcome, changes: self.changes }
    }
}
