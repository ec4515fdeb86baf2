//! The table of orders: what an event does to each of two segments.

use super::{assert_requests, cancel, decided, reference, refused, settle, state, statuses, table};
use airline_booking::domain::{BookingStatus, FlightId, PaymentOutcome};
use airline_booking::rules::{BookingChange, Command, Decision, Segments, State};

fn command(column: &str, state: &State) -> Command {
    match column {
        "completed" => settle(state, PaymentOutcome::Completed),
        "failed" => settle(state, PaymentOutcome::Failed),
        "reversed" => settle(state, PaymentOutcome::Reversed),
        "expire" => Command::Expire(reference()),
        "cancel all" => cancel(Segments::All, &[]),
        "cancel segment 1" => cancel(Segments::Only([1].as_slice().into()), &[]),
        "cancel passenger 1" => cancel(Segments::All, &[0]),
        other => panic!("the table has a column {other:?}"),
    }
}

/// What a decision did, in the table's words.
fn words(decision: &Decision) -> String {
    let changes = &decision.changes;
    if let Err(refusal) = &decision.outcome {
        return refused(refusal).to_owned();
    }
    let segments = |all: &[&BookingChange]| {
        let segments: Vec<_> = all.iter().map(|c| c.after.segment.to_string()).collect();
        segments.join(" and ")
    };
    let is_part =
        |change: &&BookingChange| change.was.is_some_and(|was| was.status == change.after.status);
    let (parts, ended): (Vec<_>, Vec<_>) = changes.bookings.iter().partition(is_part);
    let mut words = Vec::new();
    if let Some(first) = ended.first() {
        let status = first.after.status;
        assert!(ended.iter().all(|change| change.after.status == status));
        words.push(format!("{} {}", segments(&ended), status.as_str()));
    }
    if !parts.is_empty() {
        words.push(format!("{} without the passenger", segments(&parts)));
    }
    let payments = changes.payments.iter();
    words.extend(payments.map(|c| format!("payment {}", c.after.status.as_str())));
    match changes.refunds.len() {
        0 => {}
        1 => words.push("a refund requested".to_owned()),
        refunds => words.push(format!("{refunds} refunds requested")),
    }
    if words.is_empty() { "–".to_owned() } else { words.join("; ") }
}

/// Held and sold seats are those of the bookings.
fn assert_seats(state: &State) {
    for (id, flight) in &state.flights {
        let seats = |status| {
            let of = |id: &FlightId| state.bookings.values().find(|b| b.flight_id == *id);
            of(id).filter(|booking| booking.status == status).map_or(0, |b| b.seats_booked)
        };
        assert_eq!(flight.held_seats, seats(BookingStatus::Pending), "{flight:?}");
        assert_eq!(flight.sold_seats(), seats(BookingStatus::Completed), "{flight:?}");
    }
}

#[test]
fn every_cell_of_the_order_table_matches_decide() {
    let (columns, rows) = table("segments 1 and 2, payment");
    let mut checked = 0;
    for row in &rows {
        let (bookings, payment) = statuses(row[0]);
        for (column, said) in columns.iter().zip(row).skip(1) {
            let mut state = state(&bookings, payment);
            assert_seats(&state);
            let decision = decided(&state, &command(column, &state));
            assert_eq!(words(&decision), *said, "{}: {column}", row[0]);
            assert_requests(&decision, column);
            state.apply(&decision.changes);
            assert_seats(&state);
            checked += 1;
        }
    }
    assert_eq!(checked, 10 * 7, "the table is whole");
}
