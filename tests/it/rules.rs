//! `decide` alone: random sequences of commands keep the invariants, and repeats change nothing.

use airline_booking::domain::{
    BookingId, BookingStatus, FlightId, FlightPatch, FlightStatus, Money, NewFlight, Passenger,
    PaymentMethod, PaymentOutcome, PaymentReference, PaymentStatus, Timestamp, UserId,
};
use airline_booking::rules::{
    Cancel, CancelledBy, Command, ExpectedVersion, Hold, OrderPart, Policy, PutFlight, Settle,
    State, decide,
};
use chrono::TimeDelta;
use proptest::prelude::*;
use std::collections::HashMap;
use strum::VariantArray as _;

const FLIGHTS: i64 = 2;

fn policy() -> Policy {
    Policy {
        hold_for: TimeDelta::minutes(5),
        closes_before: None,
        min_connection: chrono::TimeDelta::zero(),
    }
}

fn start() -> Timestamp {
    super::support::start_of_test()
}

fn state() -> State {
    let mut state = State::default();
    for id in 1..=FLIGHTS {
        let flight = NewFlight {
            flight_number: None,
            source: "Delhi".into(),
            destination: "Mumbai".into(),
            departs_at: start() + TimeDelta::days(10),
            arrives_at: None,
            available_seats: 10,
            total_seats: 12,
            flight_status: FlightStatus::Scheduled,
            price: Money::from_minor(250_000),
            taxes: Money::default(),
        };
        let currency = "INR".parse().expect("a currency");
        state.flights.insert(FlightId(id), flight.into_flight(FlightId(id), currency, start()));
    }
    state
}

/// What a sequence may do; numbers are folded into what exists.
#[derive(Debug, Clone)]
enum Step {
    Hold { flight: i64, seats: i32 },
    Settle { payment: u128, outcome: PaymentOutcome },
    Expire { payment: u128 },
    Cancel { booking: i64, by_airline: bool },
    Seats { flight: i64, available: Option<i32>, total: Option<i32> },
    Status { flight: i64, status: FlightStatus },
    Pass { seconds: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    let flight = 1..=FLIGHTS;
    let outcome = prop::sample::select(PaymentOutcome::VARIANTS);
    let status = prop::sample::select(FlightStatus::VARIANTS);
    prop_oneof![
        6 => (flight.clone(), 1..6_i32).prop_map(|(flight, seats)| Step::Hold { flight, seats }),
        6 => (0..20_u128, outcome).prop_map(|(payment, outcome)| Step::Settle { payment, outcome }),
        2 => (0..20_u128).prop_map(|payment| Step::Expire { payment }),
        2 => (0..20_i64, any::<bool>())
            .prop_map(|(booking, by_airline)| Step::Cancel { booking, by_airline }),
        1 => (flight.clone(), prop::option::of(0..14_i32), prop::option::of(1..14_i32))
            .prop_map(|(flight, available, total)| Step::Seats { flight, available, total }),
        1 => (flight, status).prop_map(|(flight, status)| Step::Status { flight, status }),
        2 => (1..400_i64).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

fn hold(number: u128, flight: i64, seats: i32) -> Command {
    let passengers: Vec<Passenger> = Vec::new();
    Command::Hold(Hold {
        segments: Hold::on_one(BookingId(i64::try_from(number).expect("few")), FlightId(flight)),
        reference: PaymentReference::from_bits(number),
        user_id: UserId(1),
        seats,
        passengers: passengers.into(),
        method: PaymentMethod::default(),
        idempotency: None,
        request: None,
        pending_max: None,
    })
}

fn command(step: &Step, state: &State, drawn: &mut u128) -> Option<Command> {
    Some(match *step {
        Step::Hold { flight, seats } => {
            *drawn += 1;
            hold(*drawn, flight, seats)
        }
        Step::Settle { payment, outcome } => {
            let reference = PaymentReference::from_bits(payment);
            let amount = state.payments.get(&reference).map(|payment| payment.amount);
            let booking_id = BookingId(i64::try_from(payment).expect("few"));
            let amount = amount.unwrap_or_default();
            Command::Settle(Settle { refund_id: None, reference, booking_id, amount, outcome })
        }
        Step::Expire { payment } => Command::Expire(PaymentReference::from_bits(payment)),
        Step::Cancel { booking, by_airline } => {
            let by = if by_airline { CancelledBy::Airline } else { CancelledBy::Traveller };
            Command::Cancel(Cancel {
                part: OrderPart::default(),
                booking_id: BookingId(booking),
                by,
                request: None,
            })
        }
        Step::Seats { flight, available, total } => Command::PutFlight(PutFlight {
            flight_id: FlightId(flight),
            patch: FlightPatch {
                available_seats: available,
                total_seats: total,
                ..FlightPatch::default()
            },
            expected: Some(ExpectedVersion::Body(state.flights[&FlightId(flight)].version)),
        }),
        Step::Status { flight, status } => Command::PutFlight(PutFlight {
            flight_id: FlightId(flight),
            patch: FlightPatch { flight_status: Some(status), ..FlightPatch::default() },
            expected: None,
        }),
        Step::Pass { .. } => return None,
    })
}

/// I1 to I4 over the whole state.
fn assert_invariants(state: &State) {
    let mut held: HashMap<FlightId, i32> = HashMap::new();
    let mut sold: HashMap<FlightId, i32> = HashMap::new();
    for booking in state.bookings.values() {
        let payment = &state.payments[&booking.payment_reference];
        assert_eq!(payment.amount, booking.booking_price);
        let expected: &[PaymentStatus] = match booking.status {
            BookingStatus::Pending => {
                *held.entry(booking.flight_id).or_default() += booking.seats_booked;
                &[PaymentStatus::Requested]
            }
            BookingStatus::Completed => {
                *sold.entry(booking.flight_id).or_default() += booking.seats_booked;
                &[PaymentStatus::Captured]
            }
            BookingStatus::Failed => &[
                PaymentStatus::Declined,
                PaymentStatus::ReversalRequested,
                PaymentStatus::Reversed,
            ],
            BookingStatus::Cancelled => &[
                PaymentStatus::Captured,
                PaymentStatus::ReversalRequested,
                PaymentStatus::Reversed,
            ],
        };
        assert!(expected.contains(&payment.status), "{booking:?} {payment:?}");
    }
    for flight in state.flights.values() {
        assert!(flight.is_sound(), "{flight:?}");
        assert_eq!(flight.held_seats, held.get(&flight.id).copied().unwrap_or(0), "{flight:?}");
        assert_eq!(flight.sold_seats(), sold.get(&flight.id).copied().unwrap_or(0), "{flight:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_commands_keeps_the_invariants(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let (mut state, mut drawn, mut now) = (state(), 0, start());
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
            let versions: HashMap<_, _> =
                state.flights.values().map(|flight| (flight.id, flight.version)).collect();
            state.apply(&decision.changes);
            assert_invariants(&state);
            for change in &decision.changes.flights {
                prop_assert_eq!(change.after.version, versions[&change.after.id] + 1);
            }
        }
    }

    #[test]
    fn a_settled_payment_settles_once(
        steps in prop::collection::vec(step(), 1..40),
        payment in 1..20_u128,
        outcome in prop::sample::select(PaymentOutcome::VARIANTS),
    ) {
        let (mut state, mut drawn) = (state(), 0);
        for step in &steps {
            if let Some(command) = command(step, &state, &mut drawn) {
                let decision = decide(&state, &command, start(), &policy());
                state.apply(&decision.changes);
            }
        }
        let settle = command(&Step::Settle { payment, outcome }, &state, &mut drawn)
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
    let held = decide(&state, &hold(1, 1, 4), start(), &policy());
    state.apply(&held.changes);
    assert_eq!(
        (state.flights[&flight].available_seats, state.flights[&flight].held_seats),
        (10, 4)
    );

    let settle = Command::Settle(Settle {
        refund_id: None,
        reference: PaymentReference::from_bits(1),
        booking_id: BookingId(1),
        amount: Money::from_minor(1_000_000),
        outcome: PaymentOutcome::Completed,
    });
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
    assert!(decide(&state, &hold(1, 1, 1), early, &closing).outcome.is_ok());
    assert!(decide(&state, &hold(1, 1, 1), late, &closing).outcome.is_err());
    assert!(decide(&state, &hold(1, 1, 1), late, &policy()).outcome.is_ok());
}
