//! Each cell of the tables in `docs/states.md` matches `decide`.

use airline_booking::domain::{
    Booking, BookingId, BookingStatus, Event, FailureReason, FareName, Flight, FlightId,
    FlightStatus, Money, NewFlight, Payment, PaymentKind, PaymentMethod, PaymentOutcome,
    PaymentReference, PaymentStatus, Places, Timestamp, UserId, WaitsFor,
};
use airline_booking::rules::{
    Cancel, CancelledBy, Command, Decision, OrderPart, Outcome, Policy, Refusal, Segments, Settle,
    State, decide,
};
use chrono::TimeDelta;
use strum::VariantArray as _;

mod attempts;
mod changes;
mod disputes;
mod lines;
mod orders;
mod refunds;

const SEATS: i32 = 2;
const BOOKING: BookingId = BookingId(1);

fn reference() -> PaymentReference {
    PaymentReference::from_bits(1)
}

fn start() -> Timestamp {
    super::support::start_of_test()
}

/// An order and its payment in these states, each booking on a flight of its own; the seats as the bookings have
/// them.
fn state(bookings: &[BookingStatus], payment: PaymentStatus) -> State {
    let currency = "INR".parse().expect("a currency");
    let mut state = State::default();
    for (at, status) in bookings.iter().enumerate() {
        let id = FlightId(at as i64 + 1);
        let mut flight = new_flight().into_flight(id, currency, start());
        match status {
            BookingStatus::Pending => flight.held_seats = SEATS,
            BookingStatus::Completed => flight.available_seats -= SEATS,
            BookingStatus::Failed | BookingStatus::Cancelled => {}
        }
        state.flights.insert(id, flight);
        state.add_booking(booking(at, *status, bookings.len()));
    }
    let payment = Payment {
        reference: reference(),
        amount: price().times(bookings.len() as i32).expect("within the most"),
        currency,
        order: reference(),
        attempt: 1,
        kind: PaymentKind::Now,
        method: PaymentMethod::default(),
        status: payment,
        waits_for: WaitsFor::Gateway,
        dispute: None,
        notes: None,
        created_at: start(),
        updated_at: start(),
        traceparent: None,
        version: 1,
    };
    state.add_payment(payment);
    state
}

/// Price of a booking.
fn price() -> Money {
    Money::from_minor(500_000)
}

fn new_flight() -> NewFlight {
    NewFlight {
        flight_number: None,
        source: "Delhi".into(),
        destination: "Mumbai".into(),
        departs_at: start() + TimeDelta::days(1),
        arrives_at: None,
        available_seats: 10,
        total_seats: 10,
        flight_status: FlightStatus::Scheduled,
        price: Money::from_minor(250_000),
        taxes: Money::default(),
        fare_rules: airline_booking::domain::FareName::default(),
    }
}

fn booking(at: usize, status: BookingStatus, segments: usize) -> Booking {
    Booking {
        id: BookingId(at as i64 + 1),
        order_id: BOOKING,
        segment: at as i32 + 1,
        segments: segments as i32,
        flight_id: FlightId(at as i64 + 1),
        user_id: UserId(1),
        status,
        failure_reason: (status == BookingStatus::Failed).then_some(FailureReason::PaymentDeclined),
        payment_reference: reference(),
        booking_price: price(),
        booking_taxes: Money::default(),
        fee: Money::default(),
        fare_rules: FareName::default(),
        sold_departure: None,
        was: None,
        erased: false,
        sold_at: None,
        replaces: None,
        has_changes: false,
        seats_booked: SEATS,
        extended: false,
        cancelled: Places::new(),
        version: 1,
        is_rewritten: false,
        passengers: None,
        hold_expires_at: start() + TimeDelta::minutes(5),
        created_at: start(),
        updated_at: start(),
    }
}

/// Decides a command after the hold has ended.
fn decided(state: &State, command: &Command) -> Decision {
    let policy = Policy {
        hold_for: TimeDelta::minutes(5),
        payment_window: chrono::TimeDelta::minutes(15),
        closes_before: None,
        min_connection: TimeDelta::zero(),
        free_refusal_after: chrono::TimeDelta::hours(2),
        offer_ttl: TimeDelta::minutes(30),
        waiting: airline_booking::rules::waiting::Terms {
            overtakes_max: 3,
            gather_for: TimeDelta::hours(6),
            release_before: TimeDelta::hours(24),
        },
    };
    decide(state, command, start() + TimeDelta::minutes(6), &policy)
}

/// The gateway's word on the payment of the state.
fn settle(state: &State, outcome: PaymentOutcome) -> Command {
    Command::Settle(Settle {
        refund_id: None,
        reference: reference(),
        booking_id: BOOKING,
        amount: state.payments[&reference()].amount,
        outcome,
    })
}

fn cancel(segments: Segments, passengers: &[u16]) -> Command {
    let passengers = (!passengers.is_empty()).then(|| passengers.into());
    Command::Cancel(Cancel {
        part: OrderPart { segments, passengers },
        booking_id: BOOKING,
        by: CancelledBy::Traveller,
        request: None,
        expected_refund: None,
    })
}

fn command(column: &str, state: &State) -> Command {
    match column {
        "completed" => settle(state, PaymentOutcome::Completed),
        "failed" => settle(state, PaymentOutcome::Failed),
        "reversed" => settle(state, PaymentOutcome::Reversed),
        "action required" => settle(state, PaymentOutcome::ActionRequired),
        "expire" => Command::Expire(reference()),
        "cancel" => cancel(Segments::Own, &[]),
        "cancel a passenger" => cancel(Segments::Own, &[1]),
        other => panic!("the table has a column {other:?}"),
    }
}

/// A refusal in the tables' words.
fn refused(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::BookingNotCancellable(_) => "refused: `booking_not_cancellable`",
        Refusal::OrderNotPaid(_) => "refused: not paid yet",
        Refusal::PaidElsewhere(_) => "refused: only as a whole",
        Refusal::RefundMismatch(_) => "dead letter",
        Refusal::RefundNotFailed(_) => "refused: `refund_not_failed`",
        other => panic!("no cell says {other:?}"),
    }
}

/// What a decision did, in the table's words.
fn words(decision: &Decision) -> String {
    let changes = &decision.changes;
    match (&decision.outcome, &*changes.bookings, &*changes.payments) {
        (Err(refusal), [], []) => refused(refusal).into(),
        (Ok(Outcome::Order { .. }), [], []) => "–".into(),
        (Ok(_), [], [payment]) if payment.after.waits_for == WaitsFor::Payer => {
            "payment waits for its payer".into()
        }
        (Ok(_), [], [payment]) => format!("payment {}", payment.after.status.as_str()),
        (Ok(_), [booking], [payment]) => {
            let reason = booking.after.failure_reason;
            let reason = reason.map(|r| format!(" (`{}`)", r.as_str())).unwrap_or_default();
            let [flight] = &*changes.flights else { panic!("an ending booking moves seats") };
            format!(
                "{}{reason}, {}; {}",
                booking.after.status.as_str(),
                payment.after.status.as_str(),
                seats(&flight.was, &flight.after)
            )
        }
        (Ok(_), [booking], []) if changes.refunds.len() == 1 => {
            let [flight] = &*changes.flights else { panic!("an ending booking moves seats") };
            let status = booking.after.status;
            let is_part = booking.was.is_some_and(|was| was.status == status);
            let ended = if is_part { String::new() } else { format!("{}; ", status.as_str()) };
            format!("{ended}refund requested; {}", seats(&flight.was, &flight.after))
        }
        other => panic!("no cell says {other:?}"),
    }
}

fn seats(was: &Flight, after: &Flight) -> &'static str {
    let moved = (
        after.available_seats - was.available_seats,
        after.held_seats - was.held_seats,
        after.blocked_seats - was.blocked_seats,
    );
    match moved {
        (a, h, 0) if (a, h) == (-SEATS, -SEATS) => "the held seats are sold",
        (a, h, 0) if (a, h) == (0, -SEATS) => "the seats are released",
        (a, h, 0) if (a, h) == (SEATS, 0) => "the seats come back",
        (1, 0, 0) => "the seat comes back",
        other => panic!("no cell moves seats by {other:?}"),
    }
}

fn cells(line: &str) -> Vec<&str> {
    line.trim().trim_matches('|').split('|').map(str::trim).collect()
}

/// A table of the document, named by its first cell: its columns and its rows.
fn table(name: &str) -> (Vec<&'static str>, Vec<Vec<&'static str>>) {
    let document = include_str!("../../docs/states.md");
    let is_head = |line: &&str| line.starts_with('|') && cells(line)[0] == name;
    let mut lines = document.lines().skip_while(|line| !is_head(line));
    let columns = cells(lines.next().expect("the table"));
    let rows = lines.skip(1).take_while(|line| line.starts_with('|')).map(cells);
    (columns, rows.collect())
}

/// The statuses of a row: those of bookings, then that of the payment.
fn statuses(name: &str) -> (Vec<BookingStatus>, PaymentStatus) {
    let words: Vec<&str> = name.trim_end_matches('✗').trim().split(", ").collect();
    let (payment, bookings) = words.split_last().expect("statuses");
    let bookings = bookings.iter().map(|word| word.parse().expect("a booking's status"));
    (bookings.collect(), payment.parse().expect("a payment's status"))
}

#[test]
fn every_cell_of_the_state_table_matches_decide() {
    let (columns, rows) = table("booking, payment");
    let mut checked = 0;
    for row in &rows {
        let (bookings, payment) = statuses(row[0]);
        for (column, said) in columns.iter().zip(row).skip(1) {
            let state = state(&bookings, payment);
            let decision = decided(&state, &command(column, &state));
            let said = said.trim_end_matches(" (answered like the first)");
            assert_eq!(words(&decision), said, "{}: {column}", row[0]);
            assert_requests(&decision, column);
            checked += 1;
        }
    }
    let states = BookingStatus::VARIANTS.len() * PaymentStatus::VARIANTS.len();
    // Each outcome but those of refunds, and three commands.
    let outcomes = PaymentOutcome::VARIANTS.iter().filter(|outcome| !outcome.is_of_refund());
    assert_eq!(checked, states * (outcomes.count() + 3), "the table is whole");
}

/// A reversal and each refund are requested in the commit that decides them, and nothing else is.
fn assert_requests(decision: &Decision, what: &str) {
    let changes = &decision.changes;
    let is_reversal = |payment: &PaymentStatus| *payment == PaymentStatus::ReversalRequested;
    let reversals = changes.payments.iter().map(|change| change.after.status).filter(is_reversal);
    let is_request = |event: &&Event| matches!(event, Event::PaymentRequested(_));
    let new_refunds = changes.refunds.iter().filter(|change| change.was.is_none());
    let requests = changes.events.iter().filter(is_request).count();
    assert_eq!(requests, reversals.count() + new_refunds.count(), "{what}");
}
