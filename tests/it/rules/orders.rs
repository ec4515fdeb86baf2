//! Money and seats of orders: whatever is cancelled, in whatever order, the parts add up to the capture, to the
//! minor unit.

use super::{by, hold, new_flight, part, policy, refunds_of, settle, settle_refund, start};
use airline_booking::domain::{
    Booking, BookingId, BookingStatus, Currency, Event, FlightId, Money, NewFlight, PaymentOutcome,
    PaymentReference, PaymentStatus, RefundStatus,
};
use airline_booking::rules::{
    Cancel, CancelledBy, Command, Decision, OrderPart, Outcome, Refusal, Segments, Settle, State,
    decide,
};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::collections::BTreeMap;

/// Random orders in each currency, each with up to six cancellations.
const ORDERS: u32 = 20_000;

/// The largest price of a seat in minor units: four passengers on four flights are within the maximum.
const PRICE_MAX: i64 = Money::MINOR_MAX / 16;

/// An order, and what is cancelled of it.
#[derive(Debug, Clone)]
pub(super) struct Case {
    /// Price and taxes of a seat on each flight, in minor units.
    pub(super) prices: Vec<(i64, i64)>,
    seats: i32,
    /// The segment that the command names, who cancels and what.
    pub(super) cancellations: Vec<(usize, CancelledBy, OrderPart)>,
}

pub(super) fn case() -> impl Strategy<Value = Case> {
    let price = prop_oneof![3 => 1..100_000_i64, 1 => 1..=PRICE_MAX];
    let prices = price.prop_flat_map(|price| (Just(price), 0..=price));
    let cancellations = prop::collection::vec((0..4_usize, by(), part()), 1..=6);
    (prop::collection::vec(prices, 1..=4), 1..=4_i32, cancellations)
        .prop_map(|(prices, seats, cancellations)| Case { prices, seats, cancellations })
}

/// A paid order, and what it was when it was paid.
pub(super) struct Paid {
    pub(super) state: State,
    currency: Currency,
    seats: i32,
    /// By segment.
    pub(super) bookings: Vec<Booking>,
    /// Seats that messages have sold so far, by flight.
    told: BTreeMap<FlightId, i32>,
    refunds: usize,
}

const PAYMENT: u128 = 1;

pub(super) fn reference() -> PaymentReference {
    PaymentReference::from_bits(PAYMENT)
}

impl Paid {
    pub(super) fn of(case: &Case, currency: Currency) -> Self {
        let least = Money::least_of(currency).stored();
        let money = |minor: i64| Money::from_stored(minor * least, currency.decimals());
        let mut state = State::default();
        for (at, (price, taxes)) in case.prices.iter().enumerate() {
            let id = FlightId(at as i64 + 1);
            let (price, taxes) = (money(*price), money(*taxes));
            let flight = NewFlight { price, taxes, ..new_flight(3 * at as i64) };
            state.flights.insert(id, flight.into_flight(id, currency, start()));
        }
        let flights: Vec<_> = (1..=case.prices.len() as i64).map(FlightId).collect();
        let (bookings, told) = (Vec::new(), BTreeMap::new());
        let mut paid = Self { state, currency, seats: case.seats, bookings, told, refunds: 0 };
        paid.run(&hold(1, &flights, case.seats));
        paid.run(&settle(&paid.state, reference(), PaymentOutcome::Completed));
        let order = paid.state.order_of(reference()).expect("an order");
        assert_eq!(order.status(), BookingStatus::Completed);
        paid.bookings = order.bookings.into_vec();
        paid
    }

    /// Decides and applies a command, and checks what it left.
    pub(super) fn run(&mut self, command: &Command) -> Decision {
        let decision = decide(&self.state, command, start(), &policy());
        self.state.apply(&decision.changes);
        for event in &decision.changes.events {
            if let Event::SeatsMoved(moved, _) = event {
                *self.told.entry(moved.flight_id).or_default() += moved.seats_booked;
            }
        }
        self.refunds += decision.changes.refunds.iter().filter(|c| c.was.is_none()).count();
        if !self.bookings.is_empty() {
            self.check();
        }
        decision
    }

    /// Cancels a part; a repeat adds nothing.
    pub(super) fn cancel(&mut self, cancel: &Cancel) {
        let command = Command::Cancel(cancel.clone());
        let decision = self.run(&command);
        match decision.outcome {
            Ok(Outcome::Order { .. }) => {}
            // It names a segment or a passenger that there is not.
            Err(Refusal::Invalid(_)) => return assert!(decision.changes.is_empty()),
            other => panic!("{other:?}"),
        }
        let again = self.run(&command);
        assert!(again.outcome.is_ok() && again.changes.is_empty(), "{again:?}");
    }

    /// The parts of the order add up.
    fn check(&self) {
        let least = Money::least_of(self.currency).stored();
        let mut parts = 0;
        for sold in &self.bookings {
            let booking = &self.state.bookings[&sold.id];
            let is_sold = booking.status == BookingStatus::Completed;
            let left = if is_sold { booking.seats_booked } else { 0 };
            let refunds = refunds_of(&self.state, reference());
            let amounts = refunds.iter().filter(|r| r.booking_id == sold.id);
            let refunded: i64 = amounts.map(|refund| refund.amount.stored()).sum();
            let seat = |money: Money| money.stored() / i64::from(self.seats);
            assert_eq!(refunded, seat(sold.booking_price) * i64::from(self.seats - left));
            assert_eq!(refunded % least, 0, "whole minor units");
            if is_sold {
                let of_seats = |money| seat(money) * i64::from(left);
                assert_eq!(booking.booking_price.stored(), of_seats(sold.booking_price));
                assert_eq!(booking.booking_taxes.stored(), of_seats(sold.booking_taxes));
                assert_eq!(booking.cancelled.len() as i32, self.seats - left);
                parts += booking.booking_price.stored();
            }
            parts += refunded;
            let flight = &self.state.flights[&sold.flight_id];
            assert_eq!((flight.sold_seats(), flight.held_seats), (left, 0), "{flight:?}");
            assert_eq!(self.told[&sold.flight_id], left, "as messages say");
        }
        let payment = &self.state.payments[&reference()];
        assert_eq!((payment.status, payment.amount.stored()), (PaymentStatus::Captured, parts));
        assert_eq!(self.state.refunds.len(), self.refunds, "each refund has an id of its own");
    }

    /// The gateway makes each refund: once, and for its own amount alone.
    fn settle_refunds(&mut self) {
        let refunds: Vec<_> = refunds_of(&self.state, reference()).into_iter().cloned().collect();
        for refund in refunds {
            let amount = refund.amount.plus(Money::least_of(self.currency)).expect("not the most");
            let Command::Settle(settle) = settle_refund(&refund) else { panic!("a settlement") };
            let wrong = self.run(&Command::Settle(Settle { amount, ..settle }));
            assert_eq!(wrong.outcome, Err(Refusal::RefundMismatch(refund.id)));
            let [done, again] = [(); 2].map(|()| self.run(&settle_refund(&refund)));
            assert!(done.outcome.is_ok() && again.changes.is_empty());
            assert_eq!(self.state.refunds[&refund.id].status, RefundStatus::Done);
        }
    }
}

pub(super) fn cancel(segment: usize, by: CancelledBy, part: OrderPart) -> Cancel {
    let booking_id = BookingId(1 + super::NEXT_SEGMENT * segment as i64);
    Cancel { booking_id, part, by, request: None, expected_refund: None }
}

fn adds_up(currency: &str) {
    let currency: Currency = currency.parse().expect("a currency");
    let mut runner = TestRunner::new(ProptestConfig { cases: ORDERS, ..ProptestConfig::default() });
    let result = runner.run(&case(), |case| {
        let mut paid = Paid::of(&case, currency);
        for (segment, by, part) in &case.cancellations {
            paid.cancel(&cancel(segment % case.prices.len(), *by, part.clone()));
        }
        let all = OrderPart { segments: Segments::All, passengers: None };
        paid.cancel(&cancel(0, CancelledBy::Traveller, all));
        let refunds = refunds_of(&paid.state, reference());
        let refunded: i64 = refunds.iter().map(|refund| refund.amount.stored()).sum();
        prop_assert_eq!(refunded, paid.state.payments[&reference()].amount.stored());
        paid.settle_refunds();
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{currency}: {error}"));
}

#[test]
fn parts_of_an_order_in_rupees_add_up_to_the_capture() {
    adds_up("INR");
}

#[test]
fn parts_of_an_order_in_yen_add_up_to_the_capture() {
    adds_up("JPY");
}

#[test]
fn parts_of_an_order_in_dinars_add_up_to_the_capture() {
    adds_up("KWD");
}

#[test]
fn a_price_that_no_whole_amount_a_seat_makes_up_is_refunded_whole() {
    let case = Case { prices: vec![(100, 7)], seats: 3, cancellations: Vec::new() };
    let mut paid = Paid::of(&case, "INR".parse().expect("a currency"));
    // Written by hand: 3 seats for 3.01, with 0.22 of taxes.
    let booking = paid.state.bookings.get_mut(&BookingId(1)).expect("the booking");
    booking.booking_price = Money::from_minor(301);
    booking.booking_taxes = Money::from_minor(22);
    let payment = paid.state.payments.get_mut(&reference()).expect("the payment");
    payment.amount = Money::from_minor(301);
    paid.bookings.clear();
    for place in [1, 0, 2] {
        let part = OrderPart { passengers: Some([place].as_slice().into()), ..Default::default() };
        paid.cancel(&cancel(0, CancelledBy::Traveller, part));
    }
    let refunds = refunds_of(&paid.state, reference());
    let mut amounts: Vec<_> = refunds.iter().map(|refund| refund.amount.stored()).collect();
    amounts.sort_unstable();
    assert_eq!(amounts, [100, 100, 101]);
}
