//! The end of an order, of a part of it, or of its payment: what settlement, expiry, cancellation and release
//! share.

use super::cancel::GivenUp;
use super::draft::Draft;
use super::{Decision, Outcome};
use crate::domain::{
    Booking, BookingId, BookingStatus, FailureReason, FareRules, Flight, Money, Order, Payment,
    PaymentMethod, PaymentReference, PaymentStatus, Places, Quote, Refund, RefundId, RefundReason,
    RefundStatus, SeatCount, Timestamp, WaitsFor,
};
use crate::rules::{Refusal, State};
use smallvec::SmallVec;

/// An order that ends, or whose payment does.
pub(super) struct Ending<'a> {
    pub(super) state: &'a State,
    /// Its bookings, by segment; never empty.
    pub(super) bookings: SmallVec<[&'a Booking; 1]>,
    /// The attempt to pay it that the command is about.
    pub(super) payment: &'a Payment,
    pub(super) now: Timestamp,
}

impl<'a> Ending<'a> {
    /// The order that a payment is an attempt to pay.
    pub(super) fn of_payment(
        state: &'a State,
        reference: PaymentReference,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let unknown = || Refusal::UnknownPayment(reference);
        let payment = state.payments.get(&reference).ok_or_else(unknown)?;
        let ids = state.paid_by.get(&payment.order).ok_or_else(unknown)?;
        let bookings: Option<SmallVec<[&Booking; 1]>> =
            ids.iter().map(|id| state.bookings.get(id)).collect();
        let mut bookings = bookings.filter(|all| !all.is_empty()).ok_or_else(unknown)?;
        bookings.sort_by_key(|booking| booking.segment);
        // A missing booking, deleted by hand, must not leave the others settled without it.
        if bookings.len() as i32 != bookings[0].segments {
            return Err(unknown());
        }
        Ok(Self { state, bookings, payment, now })
    }

    /// The order of a payment, with the last attempt to pay it.
    pub(super) fn of_order_of(
        state: &'a State,
        reference: PaymentReference,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let end = Self::of_payment(state, reference, now)?;
        let payment = state.last_attempt(end.payment.order);
        Ok(Self { payment: payment.unwrap_or(end.payment), ..end })
    }

    /// The order of a booking, with the last attempt to pay it.
    pub(super) fn of_booking(
        state: &'a State,
        id: BookingId,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let booking = state.bookings.get(&id).ok_or(Refusal::BookingNotFound(id))?;
        Self::of_order_of(state, booking.payment_reference, now)
    }

    /// The order's first booking.
    pub(super) fn first(&self) -> &'a Booking {
        self.bookings[0]
    }

    /// One of its bookings.
    pub(super) fn booking(&self, id: BookingId) -> Result<&'a Booking, Refusal> {
        let found = self.bookings.iter().copied().find(|booking| booking.id == id);
        found.ok_or(Refusal::BookingNotFound(id))
    }

    /// The order as it stands, with the last attempt to pay it.
    pub(super) fn order(&self) -> Order {
        let bookings = self.bookings.iter().map(|booking| (*booking).clone()).collect();
        let payment = self.state.last_attempt(self.payment.order).unwrap_or(self.payment);
        Order { bookings, payment: payment.clone() }
    }

    /// An empty draft of its changes.
    pub(super) fn draft(&self) -> Draft<'_, 'a> {
        Draft::new(self)
    }

    /// The order's status.
    pub(super) fn status(&self) -> BookingStatus {
        Order::status_of(self.bookings.iter().copied())
    }

    /// The flight of one of its bookings.
    pub(super) fn flight(&self, booking: &Booking) -> Result<&'a Flight, Refusal> {
        let id = booking.flight_id;
        self.state.flights.get(&id).ok_or(Refusal::FlightNotFound(id))
    }

    /// The order as it stands: a repeat, or nothing to do.
    pub(super) fn unchanged(&self) -> Decision {
        Decision::unchanged(Outcome::Order { order: self.order(), replayed: true })
    }

    /// Paid: sells the held seats.
    pub(super) fn completed(&self) -> Result<Decision, Refusal> {
        let mut draft = Draft::new(self);
        for booking in self.bookings.iter().copied() {
            if planted!(order_settled_in_part) && booking.segment > 1 {
                continue;
            }
            let seats = booking.seats_booked;
            let after = self.booking_as(booking, BookingStatus::Completed, None);
            draft.add(booking, after, -seats, -seats)?;
        }
        draft.set_payment(PaymentStatus::Captured);
        Ok(draft.decision())
    }

    /// Not paid: releases the held seats.
    pub(super) fn failed(
        &self,
        reason: FailureReason,
        payment: PaymentStatus,
    ) -> Result<Decision, Refusal> {
        let mut draft = Draft::new(self);
        for booking in self.bookings.iter().copied() {
            let mut held = booking.seats_booked;
            if planted!(failed_booking_keeps_seats) {
                held = 0;
            }
            if planted!(one_leg_released) && booking.segment > 1 {
                held = 0;
            }
            let after = self.booking_as(booking, BookingStatus::Failed, Some(reason));
            draft.add(booking, after, 0, -held)?;
        }
        draft.set_payment(payment);
        Ok(draft.decision())
    }

    /// Cancelled as a whole: releases held seats, gives sold ones back.
    pub(super) fn cancelled(&self, payment: PaymentStatus) -> Result<Decision, Refusal> {
        Ok(self.all_cancelled(payment)?.decision())
    }

    fn all_cancelled(&self, payment: PaymentStatus) -> Result<Draft<'_, 'a>, Refusal> {
        let mut draft = Draft::new(self);
        for booking in self.bookings.iter().copied() {
            let seats = booking.seats_booked;
            let (available, held) = match booking.status {
                BookingStatus::Completed if planted!(cancelled_booking_keeps_seats) => (0, 0),
                BookingStatus::Completed => (seats, 0),
                BookingStatus::Pending => (0, -seats),
                BookingStatus::Failed | BookingStatus::Cancelled => continue,
            };
            let after = self.booking_as(booking, BookingStatus::Cancelled, None);
            draft.add(booking, after, available, held)?;
            draft.end_change_of(booking)?;
        }
        draft.set_payment(payment);
        Ok(draft)
    }

    /// The gateway reversed a captured payment unasked: nothing is paid for any more. What the other payments of the
    /// order paid goes back too, but for the fees.
    pub(super) fn reversed(&self) -> Result<Decision, Refusal> {
        let mut draft = self.all_cancelled(PaymentStatus::Reversed)?;
        let others =
            self.captured().into_iter().filter(|it| it.reference != self.payment.reference);
        let others: SmallVec<[&Payment; 1]> = others.collect();
        if others.is_empty() {
            return Ok(draft.decision());
        }
        let zero = Money::whole(0, self.payment.currency);
        let fees = self.bookings.iter().fold(zero, |sum, it| sum.plus(it.fee).unwrap_or(sum));
        let mut lost = fees;
        for payment in others {
            let left = self.left_of(payment);
            let kept = left.min(lost);
            lost = lost.less(kept);
            draft.refund(self.first(), payment, left.less(kept), RefundReason::Change);
        }
        for booking in self.bookings.iter().copied() {
            let part = booking.fee.min(lost);
            if part > zero {
                lost = lost.less(part);
                draft.lower_fee(booking, part, self);
            }
        }
        Ok(draft.decision())
    }

    /// Gives sold seats up, and asks for the refund of what is left after the fee. The payment stays captured.
    pub(super) fn given_up(&self, parts: Vec<GivenUp<'a>>) -> Result<Decision, Refusal> {
        let (mut draft, mut sources) = (Draft::new(self), self.sources());
        for GivenUp { booking, places, quote, reason, is_returned } in parts {
            let seats = places.len() as SeatCount;
            let after = if seats == booking.seats_booked {
                self.booking_as(booking, BookingStatus::Cancelled, None)
            } else {
                self.without(booking, places, &quote)
            };
            let fee = booking.fee.plus(quote.fee).unwrap_or(booking.fee);
            let is_kept = planted!(cancelled_passenger_keeps_seat) && seats < booking.seats_booked;
            let is_kept = is_kept || planted!(cancelled_booking_keeps_seats);
            let after = Booking { fee, ..after };
            if is_returned {
                draft.add(booking, after, if is_kept { 0 } else { seats }, 0)?;
            } else {
                draft.add_no_show(booking, after, seats)?;
            }
            if seats == booking.seats_booked {
                draft.end_change_of(booking)?;
            }
            draft.give_back(booking, quote.refund, reason, &mut sources);
        }
        Ok(draft.decision())
    }

    /// The refund of a part of a booking's price, from one of its order's payments.
    pub(super) fn refund_of(
        &self,
        booking: &Booking,
        payment: &Payment,
        amount: Money,
        reason: RefundReason,
    ) -> Refund {
        let id = RefundId::of(booking.id, booking.version + 1, payment.reference);
        Refund {
            id,
            payment: payment.reference,
            booking_id: booking.id,
            amount: if planted!(refund_is_one_paisa_off) {
                amount.plus(Money::least_of(payment.currency)).unwrap_or(amount)
            } else {
                amount
            },
            reason,
            status: RefundStatus::Requested,
            gateway_reference: None,
            attempts: 1,
            created_at: self.now,
            updated_at: self.now,
            version: 1,
        }
    }

    /// The booking without some of its passengers. What it has left and what their seats cost add up, also if its
    /// price is not a multiple of its seats.
    fn without(&self, booking: &Booking, places: Places, quote: &Quote) -> Booking {
        let mut cancelled = booking.cancelled.clone();
        let seats_booked = booking.seats_booked - places.len() as SeatCount;
        cancelled.extend(places);
        cancelled.sort_unstable();
        Booking {
            seats_booked,
            booking_price: booking.booking_price.less(quote.price),
            booking_taxes: booking.booking_taxes.less(quote.taxes),
            cancelled,
            ..self.booking_as(booking, booking.status, None)
        }
    }

    /// The fare rules that a booking was sold with.
    pub(super) fn rules_of(&self, booking: &Booking) -> FareRules {
        self.state.fares.of(booking, self.payment.currency)
    }

    /// Adopted and never paid: puts the blocked seats on sale. The payment stays as it is.
    pub(super) fn released(&self) -> Result<Decision, Refusal> {
        let booking = self.first();
        let seats = booking.seats_booked;
        let reason = Some(FailureReason::HoldExpired);
        let mut draft = Draft::new(self);
        draft.add(booking, self.booking_as(booking, BookingStatus::Failed, reason), seats, 0)?;
        draft.unblock(seats);
        Ok(draft.decision())
    }

    /// Moves the payment alone.
    pub(super) fn payment(&self, status: PaymentStatus) -> Decision {
        let mut draft = Draft::new(self);
        draft.set_payment(status);
        draft.decision()
    }

    /// The gateway waits for the payer.
    pub(super) fn asks_payer(&self) -> Decision {
        let mut draft = Draft::new(self);
        let waits_for = WaitsFor::Payer;
        draft.change_payment(Payment { waits_for, ..self.payment_as(self.payment.status) });
        draft.decision()
    }

    /// The attempt ends without money; the order stays held, and may be paid by a further attempt.
    pub(super) fn attempt_ended(&self, status: PaymentStatus) -> Decision {
        let mut draft = Draft::new(self);
        draft.set_payment(status);
        if planted!(decline_adds_no_attempt) {
            return draft.decision();
        }
        let attempt = self.payment.attempt + 1 + i32::from(planted!(attempt_counted_twice));
        draft.add_payment(Payment {
            reference: PaymentReference::of_attempt(self.payment.order, attempt),
            attempt,
            method: PaymentMethod::unchosen(),
            status: PaymentStatus::Requested,
            waits_for: WaitsFor::Method,
            notes: None,
            created_at: self.now,
            updated_at: self.now,
            version: 1,
            ..self.payment.clone()
        });
        draft.decision()
    }

    /// How the payment of an order that ends unpaid ends: reversed at once if the gateway never knew it.
    pub(super) fn unpaid(&self) -> PaymentStatus {
        if self.payment.is_unasked() || planted!(lapsed_attempt_is_not_voided) {
            PaymentStatus::Reversed
        } else {
            PaymentStatus::ReversalRequested
        }
    }

    /// The payment with another status.
    pub(super) fn payment_as(&self, status: PaymentStatus) -> Payment {
        let version = self.payment.version + 1;
        let is_open = status == PaymentStatus::Requested;
        let waits_for = if is_open { self.payment.waits_for } else { WaitsFor::default() };
        Payment { status, waits_for, updated_at: self.now, version, ..self.payment.clone() }
    }

    pub(super) fn booking_as(
        &self,
        booking: &Booking,
        status: BookingStatus,
        failure_reason: Option<FailureReason>,
    ) -> Booking {
        let version = booking.version + 1;
        Booking { status, failure_reason, updated_at: self.now, version, ..booking.clone() }
    }
}
