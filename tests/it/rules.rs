//! `decide` alone: random sequences of commands keep the invariants, and repeats change nothing.

use airline_booking::domain::{
    Booking, BookingId, BookingStatus, Event, FlightId, FlightIds, FlightPatch, FlightStatus,
    Money, NewFlight, Order, Passenger, PaymentMethod, PaymentOutcome, PaymentReference,
    PaymentStatus, Places, Refund, RefundId, Timestamp, UserId,
};
use airline_booking::rules::{
    Cancel, CancelledBy, Command, Decision, ExpectedVersion, HeldSegment, Hold, OrderPart, Outcome,
    Policy, PutFlight, Segments, Settle, State, decide,
};
use chrono::TimeDelta;
use proptest::prelude::*;
use std::collections::BTreeSet;
use strum::VariantArray as _;

mod changes;
mod disputes;
mod holds;
mod orders;

const FLIGHTS: i64 = 2;

/// Bookings of later segments have the number of their order's first, and this much.
const NEXT_SEGMENT: i64 = 1_000;

fn policy() -> Policy {
    Policy {
        hold_for: TimeDelta::minutes(5),
        payment_window: chrono::TimeDelta::minutes(15),
        closes_before: None,
        min_connection: TimeDelta::minutes(45),
        free_refusal_after: chrono::TimeDelta::hours(2),
        offer_ttl: TimeDelta::minutes(30),
        waiting: airline_booking::rules::waiting::Terms {
            overtakes_max: 3,
            gather_for: TimeDelta::hours(6),
            release_before: TimeDelta::hours(24),
        },
    }
}

fn start() -> Timestamp {
    super::support::start_of_test()
}

/// A flight that departs some hours after the tenth day, and arrives 2 hours later.
fn new_flight(hours: i64) -> NewFlight {
    let departs_at = start() + TimeDelta::days(10) + TimeDelta::hours(hours);
    NewFlight {
        flight_number: None,
        source: "Delhi".into(),
        destination: "Mumbai".into(),
        departs_at,
        arrives_at: Some(departs_at + TimeDelta::hours(2)),
        available_seats: 10,
        total_seats: 12,
        flight_status: FlightStatus::Scheduled,
        price: Money::from_minor(250_000),
        taxes: Money::from_minor(30_001),
        fare_rules: airline_booking::domain::FareName::default(),
    }
}

/// Flights that connect, one after the other.
fn state() -> State {
    let mut state = State::default();
    for id in 1..=FLIGHTS {
        let currency = "INR".parse().expect("a currency");
        let flight = new_flight(3 * id).into_flight(FlightId(id), currency, start());
        state.flights.insert(FlightId(id), flight);
    }
    state
}

/// What a sequence may do; numbers are folded into what exists.
#[derive(Debug, Clone)]
enum Step {
    Hold { flights: FlightIds, seats: i32 },
    Settle { payment: u128, outcome: PaymentOutcome, refund: usize },
    Expire { payment: u128 },
    Cancel { booking: i64, by: CancelledBy, part: OrderPart },
    Seats { flight: i64, available: Option<i32>, total: Option<i32> },
    Status { flight: i64, status: FlightStatus },
    Pass { seconds: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    let flight = 1..=FLIGHTS;
    let flights = prop::sample::select(vec![vec![1], vec![2], vec![1, 2], vec![2, 1]]);
    let flights = flights.prop_map(|ids| ids.into_iter().map(FlightId).collect());
    let outcome = prop::sample::select(PaymentOutcome::VARIANTS);
    let status = prop::sample::select(FlightStatus::VARIANTS);
    prop_oneof![
        6 => (flights, 1..6_i32).prop_map(|(flights, seats)| Step::Hold { flights, seats }),
        6 => (0..20_u128, outcome, 0..9_usize)
            .prop_map(|(payment, outcome, refund)| Step::Settle { payment, outcome, refund }),
        2 => (0..20_u128).prop_map(|payment| Step::Expire { payment }),
        3 => (0..20_i64, by(), part())
            .prop_map(|(booking, by, part)| Step::Cancel { booking, by, part }),
        1 => (flight.clone(), prop::option::of(0..14_i32), prop::option::of(1..14_i32))
            .prop_map(|(flight, available, total)| Step::Seats { flight, available, total }),
        1 => (flight, status).prop_map(|(flight, status)| Step::Status { flight, status }),
        2 => (1..400_i64).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

fn by() -> impl Strategy<Value = CancelledBy> {
    prop::sample::select(vec![CancelledBy::Traveller, CancelledBy::Staff, CancelledBy::Airline])
}

/// Segments and passengers of an order, some of which may not exist.
fn part() -> impl Strategy<Value = OrderPart> {
    let segments = prop_oneof![
        2 => Just(Segments::Own),
        1 => Just(Segments::All),
        1 => prop::collection::vec(1..=4, 1..=3).prop_map(|all| Segments::Only(all.into())),
    ];
    let passengers = prop::collection::vec(0..5_u16, 1..=3).prop_map(Places::from);
    (segments, prop::option::of(passengers))
        .prop_map(|(segments, passengers)| OrderPart { segments, passengers })
}

fn hold(number: i64, flights: &[FlightId], seats: i32) -> Command {
    let passengers: Vec<Passenger> = Vec::new();
    let segment = |(at, flight_id): (usize, &FlightId)| HeldSegment {
        booking_id: BookingId(number + NEXT_SEGMENT * at as i64),
        flight_id: *flight_id,
    };
    Command::Hold(Hold {
        segments: flights.iter().enumerate().map(segment).collect(),
        reference: PaymentReference::from_bits(number.unsigned_abs().into()),
        user_id: UserId(1),
        seats,
        passengers: passengers.into(),
        method: Some(PaymentMethod::default()),
        idempotency: None,
        request: None,
        pending_max: None,
        expected_price: None,
    })
}

/// The gateway's word on a payment.
fn settle(state: &State, reference: PaymentReference, outcome: PaymentOutcome) -> Command {
    let payment = state.payments.get(&reference);
    let first = state.paid_by.get(&reference).map(|order| order[0]);
    Command::Settle(Settle {
        reference,
        booking_id: first.unwrap_or(BookingId(1)),
        amount: payment.map(|payment| payment.amount).unwrap_or_default(),
        outcome,
        refund_id: None,
    })
}

/// The gateway's word on a refund.
fn settle_refund(refund: &Refund) -> Command {
    Command::Settle(Settle {
        reference: refund.payment,
        booking_id: refund.booking_id,
        amount: refund.amount,
        outcome: PaymentOutcome::Refunded,
        refund_id: Some(refund.id),
    })
}

/// The refunds of a payment, by id.
fn refunds_of(state: &State, payment: PaymentReference) -> Vec<&Refund> {
    let refunds = state.refunds.values().filter(|refund| refund.payment == payment);
    let mut refunds: Vec<_> = refunds.collect();
    refunds.sort_by_key(|refund| refund.id);
    refunds
}

fn command(step: &Step, state: &State, drawn: &mut i64) -> Option<Command> {
    Some(match step {
        Step::Hold { flights, seats } => {
            *drawn += 1;
            hold(*drawn, flights, *seats)
        }
        Step::Settle { payment, outcome, refund } => {
            let reference = PaymentReference::from_bits(*payment);
            let refunds = refunds_of(state, reference);
            match outcome {
                PaymentOutcome::Refunded if !refunds.is_empty() => {
                    settle_refund(refunds[refund % refunds.len()])
                }
                outcome => settle(state, reference, *outcome),
            }
        }
        Step::Expire { payment } => Command::Expire(PaymentReference::from_bits(*payment)),
        Step::Cancel { booking, by, part } => Command::Cancel(Cancel {
            booking_id: BookingId(*booking),
            part: part.clone(),
            by: *by,
            request: None,
            expected_refund: None,
        }),
        Step::Seats { flight, available, total } => Command::PutFlight(PutFlight {
            flight_id: FlightId(*flight),
            patch: FlightPatch {
                available_seats: *available,
                total_seats: *total,
                ..FlightPatch::default()
            },
            expected: Some(ExpectedVersion::Body(state.flights[&FlightId(*flight)].version)),
        }),
        Step::Status { flight, status } => Command::PutFlight(PutFlight {
            flight_id: FlightId(*flight),
            patch: FlightPatch { flight_status: Some(*status), ..FlightPatch::default() },
            expected: None,
        }),
        Step::Pass { .. } => return None,
    })
}

/// I1 to I4 over the whole state.
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
    for payment in state.payments.keys() {
        assert_order(state, *payment);
    }
}

/// An order is whole, pending and failed as a whole, and its money is where its bookings say.
fn assert_order(state: &State, reference: PaymentReference) {
    let payment = &state.payments[&reference];
    let order: Vec<&Booking> =
        state.paid_by[&reference].iter().map(|id| &state.bookings[id]).collect();
    let count = |status| order.iter().filter(|booking| booking.status == status).count();
    let [pending, completed, failed] =
        [BookingStatus::Pending, BookingStatus::Completed, BookingStatus::Failed].map(count);
    assert_eq!(order.len(), order[0].segments as usize, "{order:?}");
    assert!([0, order.len()].contains(&pending) && [0, order.len()].contains(&failed), "{order:?}");
    let refunds: i64 = refunds_of(state, reference).iter().map(|r| r.amount.stored()).sum();
    let prices = order.iter().filter(|b| b.status == BookingStatus::Completed);
    let prices: i64 = prices.map(|booking| booking.booking_price.stored()).sum();
    let fees: i64 = order.iter().map(|booking| booking.fee.stored()).sum();
    let is_sound = match payment.status {
        PaymentStatus::Requested => pending == order.len() && refunds == 0,
        PaymentStatus::Captured => {
            pending + failed == 0 && prices + fees + refunds == payment.amount.stored()
        }
        PaymentStatus::Declined => failed == order.len() && refunds == 0,
        // The gateway may reverse unasked what is left of a payment.
        PaymentStatus::ReversalRequested | PaymentStatus::Reversed => {
            pending + completed == 0 && refunds <= payment.amount.stored()
        }
    };
    assert!(is_sound, "{payment:?}, {refunds} refunded: {order:?}");
}

/// Each row moves on by one version, and each refund is new.
fn assert_versions(before: &State, decision: &Decision) {
    for change in &decision.changes.flights {
        assert_eq!(change.after.version, before.flights[&change.after.id].version + 1);
    }
    for change in &decision.changes.bookings {
        let version = before.bookings.get(&change.after.id).map_or(0, |booking| booking.version);
        assert_eq!(change.after.version, version + 1);
    }
    for change in &decision.changes.refunds {
        let known = before.refunds.get(&change.after.id);
        assert_eq!(change.was, known.map(|refund| refund.status));
        assert_eq!(change.after.version, known.map_or(1, |refund| refund.version + 1));
    }
    let ids: Vec<RefundId> = decision.changes.refunds.iter().map(|c| c.after.id).collect();
    assert!((1..ids.len()).all(|at| !ids[..at].contains(&ids[at])), "{ids:?}");
}

/// No event of a decision has the id of an earlier one, and each refund and each order of several flights that changed
/// has one. `told`: the ids of earlier events.
fn assert_told(before: &State, decision: &Decision, told: &mut BTreeSet<String>) {
    for event in decision.changes.events.iter().filter(|event| matches!(event, Event::Airline(..)))
    {
        let (_, message) = event.into();
        let id = message.headers.get("ce_id").expect("an id");
        assert!(told.insert(id.to_owned()), "{id} a second time");
    }
    for change in &decision.changes.refunds {
        let refund = &change.after;
        let id = format!("refund.{}/{}/{}", refund.status.as_str(), refund.id, refund.version);
        assert!(told.contains(&id), "{id} is missing");
    }
    let Ok(Outcome::Order { order, .. }) = &decision.outcome else { return };
    let was = Order::status_of(order.bookings.iter().filter_map(|b| before.bookings.get(&b.id)));
    if order.bookings.len() > 1 && before.bookings.contains_key(&order.id()) {
        let id = format!("itinerary.{}/{}", order.status().as_str(), order.id());
        assert!(was == order.status() || told.contains(&id), "{id} is missing");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_commands_keeps_the_invariants(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let (mut state, mut drawn, mut now) = (state(), 0, start());
        let mut told = BTreeSet::new();
        for step in &steps {
            if let Step::Pass { seconds } = step {
                now += TimeDelta::seconds(*seconds);
            }
            let Some(command) = command(step, &state, &mut drawn) else { continue };
            let decision = decide(&state, &command, now, &policy());
            let again = decide(&state, &command, now, &policy());
            prop_assert_eq!(&decision.outcome, &again.outcome);
            prop_assert_eq!(&decision.changes, &again.changes);
            if decision.outcome.is_err() {
                prop_assert!(decision.changes.is_empty());
            }
            assert_versions(&state, &decision);
            assert_told(&state, &decision, &mut told);
            state.apply(&decision.changes);
            assert_invariants(&state);
        }
    }

    #[test]
    fn a_settled_payment_settles_once(
        steps in prop::collection::vec(step(), 1..40),
        payment in 1..20_u128,
        outcome in prop::sample::select(PaymentOutcome::VARIANTS),
        refund in 0..9_usize,
    ) {
        let (mut state, mut drawn) = (state(), 0);
        for step in &steps {
            if let Some(command) = command(step, &state, &mut drawn) {
                let decision = decide(&state, &command, start(), &policy());
                state.apply(&decision.changes);
            }
        }
        let settle = command(&Step::Settle { payment, outcome, refund }, &state, &mut drawn)
            .expect("a command");
        let first = decide(&state, &settle, start(), &policy());
        state.apply(&first.changes);
        let second = decide(&state, &settle, start(), &policy());
        prop_assert!(second.changes.is_empty(), "{:?}", second.changes);
    }
}

#[test]
fn available_seats_move_only_when_the_payment_is_captured() {
    let mut state = state();
    let flight = FlightId(1);
    let held = decide(&state, &hold(1, &[FlightId(1)], 4), start(), &policy());
    state.apply(&held.changes);
    assert_eq!(
        (state.flights[&flight].available_seats, state.flights[&flight].held_seats),
        (10, 4)
    );

    let settle = settle(&state, PaymentReference::from_bits(1), PaymentOutcome::Completed);
    let settled = decide(&state, &settle, start(), &policy());
    state.apply(&settled.changes);
    assert_eq!((state.flights[&flight].available_seats, state.flights[&flight].held_seats), (6, 0));
}

#[test]
fn a_booking_closes_the_stated_time_before_departure() {
    let state = state();
    let closing = Policy { closes_before: Some(TimeDelta::hours(1)), ..policy() };
    let departure = state.flights[&FlightId(1)].departs_at;
    let early = departure - TimeDelta::minutes(61);
    let late = departure - TimeDelta::minutes(60);
    let hold = hold(1, &[FlightId(1)], 1);
    assert!(decide(&state, &hold, early, &closing).outcome.is_ok());
    assert!(decide(&state, &hold, late, &closing).outcome.is_err());
    assert!(decide(&state, &hold, late, &policy()).outcome.is_ok());
}
