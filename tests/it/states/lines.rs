//! A walk whose flight and whose line were read at two moments.

use super::{decided, new_flight, start};
use airline_booking::domain::{
    Entry, EntryStatus, FlightId, PaymentReference, UserId, WaitMode, WaitlistId,
};
use airline_booking::rules::{Command, State};
use chrono::TimeDelta;

const FLIGHT: FlightId = FlightId(1);

/// A party that waits; its wait may be over by the time of the walk.
fn party(place: i64, is_over: bool) -> Entry {
    Entry {
        id: WaitlistId(place),
        flight_id: FLIGHT,
        user_id: UserId(place),
        place,
        seats: 20,
        passengers: None,
        mode: WaitMode::Ask,
        payment_method: None,
        max_price: None,
        until: is_over.then(|| start() + TimeDelta::minutes(1)),
        status: EntryStatus::Waiting,
        reason: None,
        overtaken: 0,
        passed_before: Some(0),
        gathers_until: None,
        payment_reference: PaymentReference::from_bits(place as u128),
        created_at: start(),
        updated_at: start(),
        version: 1,
    }
}

/// The row of the flight is from before the second party joined, so its count of parties is that of after the first
/// one's end. Without a new version the store would write the end, and nobody would count the second party.
#[test]
fn the_end_of_a_wait_is_written_with_its_flight_whatever_the_row_counts() {
    let mut state = State::default();
    let currency = "INR".parse().expect("a currency");
    let mut flight = new_flight().into_flight(FLIGHT, currency, start());
    flight.held_seats = flight.available_seats;
    flight.line.waiting = 1;
    state.flights.insert(FLIGHT, flight.clone());
    for entry in [party(1, true), party(2, false)] {
        state.entries.insert(entry.id, entry);
    }
    let changes = decided(&state, &Command::Promote(FLIGHT)).changes;
    assert_eq!(changes.entries.len(), 1);
    assert_eq!(changes.entries[0].after.status, EntryStatus::Lapsed);
    let [change] = &changes.flights[..] else { panic!("the flight has no new version") };
    assert_eq!((change.was.version, change.after.version), (1, 2));
}
