//! Changes of flight: in any sequence of changes, cancellations and words of the gateway a booking has one flight, and
//! money is conserved.

use super::{by, hold, new_flight, part, policy, settle, settle_refund, start};
use airline_booking::domain::{
    AirlineEvent, BookingId, BookingStatus, DisputeStatus, Event, FlightId, Money, NewFlight,
    PaymentKind, PaymentMethod, PaymentOutcome, PaymentReference, PaymentStatus, RefundReason,
    Timestamp, UserId,
};
use airline_booking::rules::{
    Cancel, CancelledBy, ChangeFlight, Command, Decision, Dispute, OrderPart, Refusal, Segments,
    State, decide,
};
use chrono::TimeDelta;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use strum::VariantArray as _;

/// Prices of a seat, in minor units; the first two cost the same.
const PRICES: [i64; 5] = [250_000, 250_000, 180_000, 330_000, 250_001];

/// Numbers of bookings that hold seats for changes, and of their payments.
const CHANGES: i64 = 100_000;

/// Flights of one route, each of which connects to the next.
fn state() -> State {
    let mut state = State::default();
    for (at, price) in PRICES.into_iter().enumerate() {
        let id = FlightId(at as i64 + 1);
        let price = Money::from_minor(price);
        let flight = NewFlight { price, ..new_flight(3 * at as i64) };
        let currency = "INR".parse().expect("a currency");
        state.flights.insert(id, flight.into_flight(id, currency, start()));
    }
    state
}

fn change(booking: BookingId, flight: i64, number: i64) -> ChangeFlight {
    ChangeFlight {
        booking_id: booking,
        flight_id: FlightId(flight),
        user_id: UserId(1),
        method: PaymentMethod::default(),
        expected_difference: None,
        replacement_id: BookingId(CHANGES + number),
        reference: PaymentReference::from_bits((CHANGES + number) as u128),
        pending_max: None,
        request: None,
    }
}

/// What a sequence may do; numbers are folded into what exists.
#[derive(Debug, Clone)]
enum Step {
    Hold { flights: Vec<i64>, seats: i32 },
    Change { booking: usize, flight: i64 },
    Settle { payment: usize, outcome: PaymentOutcome },
    Refund { refund: usize },
    Dispute { payment: usize, status: DisputeStatus, share: i64 },
    Expire { payment: usize },
    Cancel { booking: usize, by: CancelledBy, part: OrderPart },
    Pass { seconds: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    let flights = prop::sample::select(vec![vec![1], vec![3], vec![1, 4], vec![2, 3, 5]]);
    let outcome = prop_oneof![
        6 => Just(PaymentOutcome::Completed),
        2 => prop::sample::select(PaymentOutcome::VARIANTS),
    ];
    let status = prop::sample::select(DisputeStatus::VARIANTS);
    let any = || 0..64_usize;
    prop_oneof![
        3 => (flights, 1..4_i32).prop_map(|(flights, seats)| Step::Hold { flights, seats }),
        8 => (any(), 1..=PRICES.len() as i64)
            .prop_map(|(booking, flight)| Step::Change { booking, flight }),
        8 => (any(), outcome).prop_map(|(payment, outcome)| Step::Settle { payment, outcome }),
        2 => any().prop_map(|refund| Step::Refund { refund }),
        1 => (any(), status, 1..=4_i64)
            .prop_map(|(payment, status, share)| Step::Dispute { payment, status, share }),
        1 => any().prop_map(|payment| Step::Expire { payment }),
        3 => (any(), by(), part()).prop_map(|(booking, by, part)| Step::Cancel { booking, by, part }),
        2 => (1..200_i64).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

/// The one of some keys at a number, in their order.
fn nth<K: Copy + Ord, V>(all: &std::collections::HashMap<K, V>, at: usize) -> Option<K> {
    let keys: BTreeSet<K> = all.keys().copied().collect();
    keys.iter().nth(at % keys.len().max(1)).copied()
}

fn command(step: &Step, state: &State, drawn: &mut i64) -> Option<Command> {
    *drawn += 1;
    Some(match step {
        Step::Hold { flights, seats } => {
            let flights: Vec<_> = flights.iter().copied().map(FlightId).collect();
            hold(*drawn, &flights, *seats)
        }
        Step::Change { booking, flight } => {
            Command::ChangeFlight(change(nth(&state.bookings, *booking)?, *flight, *drawn))
        }
        Step::Settle { payment, outcome } => {
            settle(state, nth(&state.payments, *payment)?, *outcome)
        }
        Step::Refund { refund } => settle_refund(&state.refunds[&nth(&state.refunds, *refund)?]),
        Step::Dispute { payment, status, share } => {
            let reference = nth(&state.payments, *payment)?;
            let payment = &state.payments[&reference];
            let amount = Money::from_minor(payment.amount.stored() * share / 4);
            let seen = payment.version;
            Command::Dispute(Dispute { reference, status: *status, amount, seen })
        }
        Step::Expire { payment } => Command::Expire(nth(&state.payments, *payment)?),
        Step::Cancel { booking, by, part } => Command::Cancel(Cancel {
            booking_id: nth(&state.bookings, *booking)?,
            part: part.clone(),
            by: *by,
            expected_refund: None,
            request: None,
        }),
        Step::Pass { .. } => return None,
    })
}

/// The order for which a payment pays: a difference for that of the changed booking.
fn owner(state: &State, payment: PaymentReference) -> PaymentReference {
    let first = state.payments[&payment].order;
    let replaced = state.bookings[&state.paid_by[&first][0]].replaces;
    replaced.map_or(first, |id| state.bookings[&id].payment_reference)
}

fn assert_invariants(state: &State) {
    for flight in state.flights.values() {
        let seats = |status| {
            let bookings = state.bookings.values();
            let counted = bookings.filter(|b| b.flight_id == flight.id && b.status == status);
            counted.map(|booking| booking.seats_booked).sum::<i32>()
        };
        assert!(flight.is_sound(), "{flight:?}");
        assert_eq!(flight.held_seats, seats(BookingStatus::Pending), "{flight:?}");
        assert_eq!(flight.sold_seats(), seats(BookingStatus::Completed), "{flight:?}");
    }
    let mut sums: BTreeMap<PaymentReference, i64> = BTreeMap::new();
    for payment in state.payments.values().filter(|it| it.status == PaymentStatus::Captured) {
        let refunds = state.refunds.values().filter(|it| it.payment == payment.reference);
        let refunded: i64 = refunds.map(|refund| refund.amount.stored()).sum();
        assert!(refunded <= payment.amount.stored(), "{payment:?} refunds {refunded}");
        let left = payment.amount.stored() - refunded;
        *sums.entry(owner(state, payment.reference)).or_default() += left;
    }
    for (order, left) in sums {
        let bookings = state.paid_by[&order].iter().map(|id| &state.bookings[id]);
        let kept = bookings.map(|it| {
            let is_sold = it.status == BookingStatus::Completed;
            it.fee.stored() + if is_sold { it.booking_price.stored() } else { 0 }
        });
        assert_eq!(kept.sum::<i64>(), left, "order {order}: {state:#?}");
    }
    assert_replacements(state);
}

/// An order has one change at a time, of a completed booking.
fn assert_replacements(state: &State) {
    let mut changing = BTreeSet::new();
    for it in state.bookings.values() {
        let Some(replaced) = it.replaces.map(|id| &state.bookings[&id]) else { continue };
        assert_ne!(it.status, BookingStatus::Completed);
        assert!(replaced.has_changes);
        if it.status == BookingStatus::Pending {
            assert_eq!(replaced.status, BookingStatus::Completed);
            assert!(changing.insert(replaced.payment_reference), "two changes at once");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_changes_and_cancellations_conserves_seats_and_money(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let (mut state, mut drawn, mut now) = (state(), 0, start());
        let mut told: BTreeMap<FlightId, i32> = BTreeMap::new();
        let mut ids = BTreeSet::new();
        for step in &steps {
            if let Step::Pass { seconds } = step {
                now += TimeDelta::seconds(*seconds);
            }
            let Some(command) = command(step, &state, &mut drawn) else { continue };
            let decision = decide(&state, &command, now, &policy());
            super::assert_versions(&state, &decision);
            super::assert_told(&state, &decision, &mut ids);
            let flights: BTreeSet<_> = decision.changes.flights.iter().map(|c| c.after.id).collect();
            prop_assert_eq!(flights.len(), decision.changes.flights.len(), "each flight once");
            state.apply(&decision.changes);
            for event in &decision.changes.events {
                if let Event::SeatsMoved(moved, _) = event {
                    *told.entry(moved.flight_id).or_default() += moved.seats_booked;
                }
            }
            assert_invariants(&state);
            for flight in state.flights.values() {
                let told = told.get(&flight.id).copied().unwrap_or_default();
                prop_assert_eq!(told, flight.sold_seats(), "as messages say");
            }
        }
    }
}

/// A state with the bookings of one order, paid.
fn paid(flights: &[i64], seats: i32) -> State {
    let mut state = state();
    let flights: Vec<_> = flights.iter().copied().map(FlightId).collect();
    run(&mut state, &hold(1, &flights, seats), start());
    let paid = settle(&state, PaymentReference::from_bits(1), PaymentOutcome::Completed);
    run(&mut state, &paid, start());
    state
}

fn run(state: &mut State, command: &Command, now: Timestamp) -> Decision {
    let decision = decide(state, command, now, &policy());
    state.apply(&decision.changes);
    assert_invariants(state);
    decision
}

fn seats(state: &State, flight: i64) -> (i32, i32) {
    let flight = &state.flights[&FlightId(flight)];
    (flight.sold_seats(), flight.held_seats)
}

fn difference() -> PaymentReference {
    PaymentReference::from_bits((CHANGES + 1) as u128)
}

fn cancel(segments: Segments, passengers: Option<&[u16]>, by: CancelledBy) -> Command {
    let part = OrderPart { segments, passengers: passengers.map(Into::into) };
    let booking_id = BookingId(1);
    Command::Cancel(Cancel { booking_id, part, by, expected_refund: None, request: None })
}

#[test]
fn a_cheaper_flight_is_swapped_at_once_and_the_rest_comes_back() {
    let mut state = paid(&[1], 2);
    let decision = run(&mut state, &Command::ChangeFlight(change(BookingId(1), 3, 1)), start());
    assert!(decision.outcome.is_ok(), "{decision:?}");
    assert_eq!((seats(&state, 1), seats(&state, 3)), ((0, 0), (2, 0)));
    let booking = &state.bookings[&BookingId(1)];
    assert_eq!((booking.flight_id, booking.booking_price.stored()), (FlightId(3), 360_000));
    let refunds: Vec<_> = state.refunds.values().collect();
    assert_eq!(refunds.len(), 1);
    assert_eq!((refunds[0].amount.stored(), refunds[0].reason), (140_000, RefundReason::Change));
    // One that costs the same gives nothing back.
    let mut state = paid(&[1], 2);
    run(&mut state, &Command::ChangeFlight(change(BookingId(1), 2, 1)), start());
    assert_eq!((state.bookings[&BookingId(1)].flight_id, state.refunds.len()), (FlightId(2), 0));
}

#[test]
fn a_dearer_flight_is_held_until_its_difference_is_captured() {
    let mut state = paid(&[1], 2);
    let moved = Command::ChangeFlight(change(BookingId(1), 4, 1));
    run(&mut state, &moved, start());
    assert_eq!((seats(&state, 1), seats(&state, 4)), ((2, 0), (0, 2)));
    let payment = &state.payments[&difference()];
    assert_eq!((payment.kind, payment.amount.stored()), (PaymentKind::Difference, 160_000));
    let captured = settle(&state, difference(), PaymentOutcome::Completed);
    let decision = run(&mut state, &captured, start());
    assert_eq!((seats(&state, 1), seats(&state, 4)), ((0, 0), (2, 0)));
    let booking = &state.bookings[&BookingId(1)];
    assert_eq!((booking.flight_id, booking.booking_price.stored()), (FlightId(4), 660_000));
    assert!(!decision.changes.is_empty());
    let again = decide(&state, &captured, start(), &policy());
    assert!(again.outcome.is_ok() && again.changes.is_empty(), "{again:?}");
    // Cancelled, it gives back both payments, each what it has.
    run(&mut state, &cancel(Segments::All, None, CancelledBy::Staff), start());
    let of = |payment| {
        let refunds = state.refunds.values().filter(|refund| refund.payment == payment);
        refunds.map(|refund| refund.amount.stored()).sum::<i64>()
    };
    assert_eq!((of(difference()), of(PaymentReference::from_bits(1))), (160_000, 500_000));
    let refunds: Vec<_> = state.refunds.values().cloned().collect();
    for refund in refunds {
        let settled = run(&mut state, &settle_refund(&refund), start());
        assert!(settled.outcome.is_ok(), "{settled:?}");
    }
}

/// Number of events of changes that ended. Nothing else shows the booking that held the seats.
fn ended_changes(decision: &Decision) -> usize {
    let mut ended = 0;
    for event in &decision.changes.events {
        match event {
            Event::Airline(AirlineEvent::ChangeEnded(change), ..) => {
                let flights = (change.flight_id, change.to_flight_id);
                assert_eq!(
                    (change.booking_id, flights),
                    (BookingId(1), (FlightId(1), FlightId(4)))
                );
                ended += 1;
            }
            Event::Airline(other, ..) => panic!("{other:?}"),
            Event::PaymentRequested(_) | Event::SeatsMoved(..) => {}
        }
    }
    ended
}

#[test]
fn a_change_that_is_declined_or_lapses_leaves_the_booking() {
    for end in [PaymentOutcome::Failed, PaymentOutcome::Reversed, PaymentOutcome::Completed] {
        let mut state = paid(&[1], 2);
        let before = state.bookings[&BookingId(1)].clone();
        run(&mut state, &Command::ChangeFlight(change(BookingId(1), 4, 1)), start());
        let late = start() + TimeDelta::minutes(6);
        if end == PaymentOutcome::Completed {
            let lapsed = run(&mut state, &Command::Expire(difference()), late);
            assert_eq!(ended_changes(&lapsed), 1, "{lapsed:?}");
        }
        let word = settle(&state, difference(), end);
        let settled = run(&mut state, &word, late);
        let expected = usize::from(end != PaymentOutcome::Completed);
        assert_eq!(ended_changes(&settled), expected, "{settled:?}");
        assert_eq!((seats(&state, 1), seats(&state, 4)), ((2, 0), (0, 0)), "{end:?}");
        let after = &state.bookings[&BookingId(1)];
        assert_eq!(
            (after.flight_id, after.booking_price, after.status),
            (before.flight_id, before.booking_price, before.status)
        );
        assert_ne!(state.payments[&difference()].status, PaymentStatus::Captured);
        let again = run(&mut state, &Command::ChangeFlight(change(BookingId(1), 4, 2)), late);
        assert!(again.outcome.is_ok(), "it may be changed again: {again:?}");
    }
}

#[test]
fn while_a_change_waits_the_order_is_cancelled_whole_and_the_change_with_it() {
    let mut state = paid(&[1, 4], 2);
    // Flight 2 costs the same: a dearer price makes a difference.
    state.flights.get_mut(&FlightId(2)).expect("a flight").price = Money::from_minor(260_000);
    run(&mut state, &Command::ChangeFlight(change(BookingId(1), 2, 1)), start());
    assert_eq!(seats(&state, 2), (0, 2));
    for command in [
        cancel(Segments::Own, None, CancelledBy::Traveller),
        cancel(Segments::All, Some(&[0]), CancelledBy::Staff),
        Command::ChangeFlight(change(BookingId(1), 3, 2)),
    ] {
        let decision = decide(&state, &command, start(), &policy());
        assert_eq!(decision.outcome, Err(Refusal::ChangePending(BookingId(1))));
    }
    run(&mut state, &cancel(Segments::All, None, CancelledBy::Traveller), start());
    assert_eq!((seats(&state, 1), seats(&state, 2), seats(&state, 4)), ((0, 0), (0, 0), (0, 0)));
    assert_eq!(state.payments[&difference()].status, PaymentStatus::ReversalRequested);
}

#[test]
fn a_change_keeps_the_route_the_connections_and_the_seats() {
    let state = paid(&[1, 4], 2);
    let refusal = |state: &State, moved: ChangeFlight| {
        decide(state, &Command::ChangeFlight(moved), start(), &policy())
            .outcome
            .expect_err("refused")
    };
    let broken = |refusal: Refusal| match refusal {
        Refusal::Invalid(invalid) => invalid.0.into_iter().map(|it| it.detail).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(broken(refusal(&state, change(BookingId(1), 1, 1))), ["is the booking's flight"]);
    let other = broken(refusal(&state, change(BookingId(1), 4, 1)));
    assert_eq!(other, ["is another flight of the itinerary"]);
    let late = broken(refusal(&state, change(BookingId(1), 5, 1)));
    assert_eq!(late, ["flight 4 departs before flight 5 arrives"]);
    let mut elsewhere = state.clone();
    elsewhere.flights.get_mut(&FlightId(2)).expect("a flight").destination = "Pune".into();
    let route = broken(refusal(&elsewhere, change(BookingId(1), 2, 1)));
    assert_eq!(route, ["must fly from Delhi to Mumbai"]);
    let mut full = state.clone();
    full.flights.get_mut(&FlightId(2)).expect("a flight").held_seats = 9;
    let none = refusal(&full, change(BookingId(1), 2, 1));
    assert_eq!(none, Refusal::InsufficientSeats { flight: FlightId(2), wanted: 2, free: 1 });
    let expected = ChangeFlight {
        expected_difference: Some(Money::from_minor(1)),
        ..change(BookingId(1), 3, 1)
    };
    let now = Money::from_minor(-140_000);
    let changed = Refusal::DifferenceChanged { expected: Money::from_minor(1), now };
    assert_eq!(refusal(&state, expected), changed);
    let unknown = refusal(&state, change(BookingId(1), 99, 1));
    assert_eq!(unknown, Refusal::FlightNotFound(FlightId(99)));
    let mut unpaid = super::state();
    run(&mut unpaid, &hold(1, &[FlightId(1)], 1), start());
    let refused = refusal(&unpaid, change(BookingId(1), 2, 1));
    assert_eq!(refused, Refusal::BookingNotChangeable(BookingId(1)));
}

#[test]
fn a_difference_that_the_gateway_reverses_unasked_ends_the_order_and_gives_the_rest_back() {
    let mut state = paid(&[1], 2);
    run(&mut state, &Command::ChangeFlight(change(BookingId(1), 4, 1)), start());
    let captured = settle(&state, difference(), PaymentOutcome::Completed);
    run(&mut state, &captured, start());
    let reversed = settle(&state, difference(), PaymentOutcome::Reversed);
    run(&mut state, &reversed, start());
    assert_eq!(state.bookings[&BookingId(1)].status, BookingStatus::Cancelled);
    assert_eq!(state.payments[&difference()].status, PaymentStatus::Reversed);
    assert_eq!(seats(&state, 4), (0, 0));
    let refunds: Vec<_> = state.refunds.values().collect();
    assert_eq!((refunds.len(), refunds[0].amount.stored()), (1, 500_000));
}
