//! The table of changes of flight.

use super::{BOOKING, SEATS, cancel, decided, refused, start, state, table};
use airline_booking::domain::{
    BookingId, BookingStatus, FlightId, Money, PaymentKind, PaymentMethod, PaymentOutcome,
    PaymentReference, PaymentStatus, UserId, WaitsFor,
};
use airline_booking::rules::{ChangeFlight, Command, Decision, Refusal, Segments, Settle, State};

const OLD: FlightId = FlightId(1);
const NEW: FlightId = FlightId(2);
const REPLACEMENT: BookingId = BookingId(50);

fn difference(number: u128) -> PaymentReference {
    PaymentReference::from_bits(50 + number)
}

fn change(flight_id: FlightId, number: i64) -> Command {
    Command::ChangeFlight(ChangeFlight {
        booking_id: BOOKING,
        flight_id,
        user_id: UserId(1),
        method: PaymentMethod::default(),
        expected_difference: None,
        replacement_id: BookingId(REPLACEMENT.0 + number),
        reference: difference(number as u128),
        pending_max: None,
        request: None,
    })
}

fn settle(state: &State, outcome: PaymentOutcome) -> Command {
    let reference = difference(0);
    let amount = state.payments[&reference].amount;
    let booking_id = REPLACEMENT;
    Command::Settle(Settle { refund_id: None, reference, booking_id, amount, outcome })
}

/// A completed booking whose change to a flight that costs 1,000.00 more came to this.
fn changed(row: &str) -> State {
    let mut state = state(&[BookingStatus::Completed], PaymentStatus::Captured);
    let mut flight = super::new_flight().into_flight(NEW, "INR".parse().expect("INR"), start());
    flight.price = Money::from_minor(300_000);
    state.flights.insert(NEW, flight);
    apply(&mut state, &change(NEW, 0));
    let ended = match row {
        "waits, requested" => return state,
        "done, captured" => settle(&state, PaymentOutcome::Completed),
        "declined, declined" => settle(&state, PaymentOutcome::Failed),
        "lapsed, reversal_requested" => {
            let at = start();
            let replacement = state.bookings.get_mut(&REPLACEMENT).expect("the held seats");
            replacement.hold_expires_at = at;
            Command::Expire(difference(0))
        }
        "ended with its booking, reversal_requested" => cancel(Segments::All, &[]),
        other => panic!("no row is {other:?}"),
    };
    apply(&mut state, &ended);
    state
}

fn apply(state: &mut State, command: &Command) {
    let decision = decided(state, command);
    assert!(decision.outcome.is_ok(), "{decision:?}");
    state.apply(&decision.changes);
}

fn command(column: &str, state: &State) -> Command {
    let flight = state.bookings[&BOOKING].flight_id;
    match column {
        "completed" => settle(state, PaymentOutcome::Completed),
        "failed" => settle(state, PaymentOutcome::Failed),
        "reversed" => settle(state, PaymentOutcome::Reversed),
        "action required" => settle(state, PaymentOutcome::ActionRequired),
        "change" => change(if flight == OLD { NEW } else { OLD }, 1),
        "cancel a passenger" => cancel(Segments::Own, &[1]),
        "cancel" => cancel(Segments::Own, &[]),
        other => panic!("the table has a column {other:?}"),
    }
}

/// What a decision did, in the table's words.
fn words(state: &State, decision: &Decision) -> String {
    let changes = &decision.changes;
    match &decision.outcome {
        Err(Refusal::ChangePending(_)) => return "refused: `change_pending`".to_owned(),
        Err(Refusal::BookingNotChangeable(_)) => {
            return "refused: `booking_not_changeable`".to_owned();
        }
        Err(refusal) => return refused(refusal).to_owned(),
        Ok(_) if changes.is_empty() => return "–".to_owned(),
        Ok(_) => {}
    }
    let was = &state.bookings[&BOOKING];
    let main = changes.bookings.iter().find(|change| change.after.id == BOOKING);
    let is_new = changes.bookings.iter().any(|change| change.was.is_none());
    let mut said = Vec::new();
    match main.map(|change| &change.after) {
        Some(after) if after.flight_id != was.flight_id => {
            assert_eq!((after.seats_booked, after.status), (SEATS, BookingStatus::Completed));
            said.push("moved".to_owned());
        }
        Some(after) if after.status != was.status => said.push(after.status.as_str().to_owned()),
        Some(after) if after.seats_booked < SEATS => said.push("a seat comes back".to_owned()),
        Some(_) if is_new => said.push("the new seats are held".to_owned()),
        None if !changes.bookings.is_empty() => said.push("as it was".to_owned()),
        None => {}
        Some(after) => panic!("no cell says {after:?}"),
    }
    let payments = changes.payments.iter().map(|change| &change.after);
    let of_change = payments.filter(|payment| {
        let before = state.payments.get(&payment.reference);
        payment.kind == PaymentKind::Difference
            && before
                .is_none_or(|it| (it.status, it.waits_for) != (payment.status, payment.waits_for))
    });
    said.extend(of_change.map(|payment| match payment.waits_for {
        WaitsFor::Payer => "difference asks its payer".to_owned(),
        WaitsFor::Gateway | WaitsFor::Method => format!("difference {}", payment.status.as_str()),
    }));
    match changes.refunds.len() {
        0 => {}
        1 => said.push("a refund requested".to_owned()),
        more => said.push(format!("{more} refunds requested")),
    }
    said.join("; ")
}

#[test]
fn every_cell_of_the_table_of_changes_matches_decide() {
    let (columns, rows) = table("change, difference");
    let mut checked = 0;
    for row in &rows {
        for (column, said) in columns.iter().zip(row).skip(1) {
            let state = changed(row[0]);
            let decision = decided(&state, &command(column, &state));
            assert_eq!(words(&state, &decision), *said, "{}: {column}", row[0]);
            checked += 1;
        }
    }
    assert_eq!(checked, 5 * 7, "the table is whole");
}
