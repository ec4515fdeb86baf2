//! Holds that the rules refuse: nothing of the order is held.

use super::{hold, new_flight, policy, start, state};
use airline_booking::domain::{FlightId, FlightStatus, Money, NewFlight, SeatCount};
use airline_booking::rules::{Command, Hold, Refusal, State, decide};
use chrono::TimeDelta;

const BOTH: [FlightId; 2] = [FlightId(1), FlightId(2)];

/// Why an order over both flights is refused. Nothing changes.
fn refusal(state: &State, command: &Command) -> Refusal {
    let decision = decide(state, command, start(), &policy());
    assert!(decision.changes.is_empty(), "{:?}", decision.changes);
    decision.outcome.expect_err("a refusal")
}

/// The fields of an order over both flights that are invalid.
fn pointers(state: &State, flights: &[FlightId]) -> Vec<String> {
    match refusal(state, &hold(1, flights, 2)) {
        Refusal::Invalid(invalid) => invalid.0.into_iter().map(|v| v.pointer).collect(),
        other => panic!("{other:?}"),
    }
}

/// The two flights, with the second changed.
fn with_second(change: impl FnOnce(&mut NewFlight)) -> State {
    let mut state = state();
    let mut flight = new_flight(6);
    change(&mut flight);
    let currency = state.flights[&FlightId(1)].currency;
    state.flights.insert(FlightId(2), flight.into_flight(FlightId(2), currency, start()));
    state
}

#[test]
fn an_order_holds_all_its_flights_at_once() {
    let mut state = state();
    let decision = decide(&state, &hold(1, &BOTH, 2), start(), &policy());
    decision.outcome.expect("an order");
    state.apply(&decision.changes);
    assert!(state.flights.values().all(|flight| flight.held_seats == 2));
    assert_eq!(state.payments.len(), 1);
}

#[test]
fn a_flight_may_not_depart_before_the_one_before_it_arrives() {
    assert_eq!(pointers(&state(), &[FlightId(2), FlightId(1)]), ["/segments/1/flight_id"]);
}

#[test]
fn a_connection_may_not_be_shorter_than_the_minimum() {
    let arrival = new_flight(3).arrives_at.expect("an arrival");
    for (minutes, is_refused) in [(0, true), (44, true), (45, false)] {
        let state = with_second(|flight| flight.departs_at = arrival + TimeDelta::minutes(minutes));
        let outcome = decide(&state, &hold(1, &BOTH, 2), start(), &policy()).outcome;
        assert_eq!(outcome.is_err(), is_refused, "{minutes} minutes");
        if is_refused {
            assert_eq!(pointers(&state, &BOTH), ["/segments/1/flight_id"]);
        }
    }
}

#[test]
fn only_the_last_flight_may_lack_an_arrival() {
    let mut state = with_second(|flight| flight.arrives_at = None);
    decide(&state, &hold(1, &BOTH, 2), start(), &policy()).outcome.expect("an order");
    state.flights.get_mut(&FlightId(1)).expect("a flight").arrives_at = None;
    assert_eq!(pointers(&state, &BOTH), ["/segments/0/flight_id"]);
}

#[test]
fn all_flights_of_an_order_have_one_currency() {
    let mut state = state();
    state.flights.get_mut(&FlightId(2)).expect("a flight").currency = "USD".parse().expect("one");
    assert_eq!(pointers(&state, &BOTH), ["/segments/1/flight_id"]);
}

#[test]
fn an_order_beyond_the_largest_price_is_refused_even_if_each_flight_is_within_it() {
    let most = Money::most_of("INR".parse().expect("a currency"));
    let state = with_second(|flight| flight.price = most.per(2));
    assert_eq!(pointers(&state, &BOTH), ["/seats_booked"]);
}

#[test]
fn a_flight_without_enough_seats_is_named_and_the_others_are_untouched() {
    let state = with_second(|flight| flight.available_seats = 1);
    let sold_out = Refusal::InsufficientSeats { flight: FlightId(2), wanted: 2, free: 1 };
    assert_eq!(refusal(&state, &hold(1, &BOTH, 2)), sold_out);
}

#[test]
fn a_flight_that_is_closed_or_unknown_is_named() {
    let state = with_second(|flight| flight.flight_status = FlightStatus::Cancelled);
    let closed = Refusal::FlightNotBookable(FlightId(2));
    assert_eq!(refusal(&state, &hold(1, &BOTH, 2)), closed);
    let unknown = Refusal::FlightNotFound(FlightId(3));
    assert_eq!(refusal(&state, &hold(1, &[FlightId(1), FlightId(3)], 2)), unknown);
}

#[test]
fn the_limit_of_unpaid_seats_holds_on_each_flight() {
    let mut state = state();
    let limited = |number: i64, flights: &[FlightId], most: SeatCount| {
        let Command::Hold(hold) = hold(number, flights, 2) else { panic!("a hold") };
        Command::Hold(Hold { pending_max: Some(most), ..hold })
    };
    let first = decide(&state, &limited(1, &[FlightId(2)], 3), start(), &policy());
    state.apply(&first.changes);
    let beyond = Refusal::TooManyPending { flight: FlightId(2), pending: 2, wanted: 2, most: 3 };
    assert_eq!(refusal(&state, &limited(2, &BOTH, 3)), beyond);
    decide(&state, &limited(2, &BOTH, 4), start(), &policy()).outcome.expect("an order");
}
