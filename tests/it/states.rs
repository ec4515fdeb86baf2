//! Each cell of the table in `docs/states.md` matches `decide`.

use airline_booking::domain::{
    Booking, BookingId, BookingStatus, FailureReason, Flight, FlightId, FlightStatus, Money,
    NewFlight, Payment, PaymentMethod, PaymentOutcome, PaymentReference, PaymentStatus, Places,
    Timestamp, UserId,
};
use airline_booking::rules::{
    Cancel, CancelledBy, Command, Decision, OrderPart, Outcome, Policy, Refusal, Settle, State,
    decide,
};
use chrono::TimeDelta;
use strum::VariantArray as _;

const SEATS: i32 = 2;
const BOOKING: BookingId = BookingId(1);

fn reference() -> PaymentReference {
    PaymentReference::from_bits(1)
}

fn start() -> Timestamp {
    super::support::start_of_test()
}

/// A flight with one booking and its payment in these states; the seats as the booking has them.
fn state(booking: BookingStatus, payment: PaymentStatus) -> State {
    let price = Money::from_minor(500_000);
    let currency = "INR".parse().expect("a currency");
    let new = NewFlight {
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
    };
    let mut flight = new.into_flight(FlightId(1), currency, start());
    match booking {
        BookingStatus::Pending => flight.held_seats = SEATS,
        BookingStatus::Completed => flight.available_seats -= SEATS,
        BookingStatus::Failed | BookingStatus::Cancelled => {}
    }
    let mut state = State::default();
    state.add_booking(Booking {
        id: BOOKING,
        order_id: BOOKING,
        segment: 1,
        segments: 1,
        flight_id: flight.id,
        user_id: UserId(1),
        status: booking,
        failure_reason: (booking == BookingStatus::Failed)
            .then_some(FailureReason::PaymentDeclined),
        payment_reference: reference(),
        booking_price: price,
        booking_taxes: Money::default(),
        seats_booked: SEATS,
        cancelled: Places::new(),
        version: 1,
        passengers: None,
        hold_expires_at: start() + TimeDelta::minutes(5),
        created_at: start(),
        updated_at: start(),
    });
    state.payments.insert(
        reference(),
        Payment {
            reference: reference(),
            amount: price,
            currency,
            method: PaymentMethod::default(),
            status: payment,
            created_at: start(),
            updated_at: start(),
            traceparent: None,
            version: 1,
        },
    );
    state.flights.insert(flight.id, flight);
    state
}

fn command(column: &str) -> Command {
    let settle = |outcome| {
        let amount = Money::from_minor(500_000);
        Command::Settle(Settle {
            refund_id: None,
            reference: reference(),
            booking_id: BOOKING,
            amount,
            outcome,
        })
    };
    match column {
        "completed" => settle(PaymentOutcome::Completed),
        "failed" => settle(PaymentOutcome::Failed),
        "reversed" => settle(PaymentOutcome::Reversed),
        "expire" => Command::Expire(reference()),
        "cancel" => Command::Cancel(Cancel {
            part: OrderPart::default(),
            booking_id: BOOKING,
            by: CancelledBy::Traveller,
            request: None,
        }),
        other => panic!("the table has a column {other:?}"),
    }
}

/// What a decision did, in the table's words.
fn words(decision: &Decision) -> String {
    let changes = &decision.changes;
    match (&decision.outcome, &*changes.bookings, &changes.payment) {
        (Err(Refusal::BookingNotCancellable(_)), [], None) => {
            "refused: `booking_not_cancellable`".into()
        }
        (Ok(Outcome::Order { .. }), [], None) => "–".into(),
        (Ok(_), [], Some(payment)) => format!("payment {}", payment.after.status.as_str()),
        (Ok(_), [booking], Some(payment)) => {
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
        (Ok(_), [booking], None) if changes.refunds.len() == 1 => {
            let [flight] = &*changes.flights else { panic!("an ending booking moves seats") };
            let status = booking.after.status.as_str();
            format!("{status}; refund requested; {}", seats(&flight.was, &flight.after))
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
        other => panic!("no cell moves seats by {other:?}"),
    }
}

fn cells(line: &str) -> Vec<&str> {
    line.trim().trim_matches('|').split('|').map(str::trim).collect()
}

#[test]
fn every_cell_of_the_state_table_matches_decide() {
    let document = include_str!("../../docs/states.md");
    let mut table = document.lines().filter(|line| line.starts_with('|'));
    let columns = cells(table.next().expect("a head"));
    let policy = Policy {
        hold_for: TimeDelta::minutes(5),
        closes_before: None,
        min_connection: chrono::TimeDelta::zero(),
    };
    let after_the_hold = start() + TimeDelta::minutes(6);
    let mut checked = 0;
    for line in table.skip(1) {
        let row = cells(line);
        let (booking, payment) =
            row[0].trim_end_matches('✗').trim().split_once(", ").expect("two states");
        let booking = booking.parse().expect("a booking's state");
        let payment = payment.parse().expect("a payment's state");
        for (column, said) in columns.iter().zip(&row).skip(1) {
            let state = state(booking, payment);
            let decision = decide(&state, &command(column), after_the_hold, &policy);
            let said = said.trim_end_matches(" (answered like the first)");
            assert_eq!(words(&decision), said, "{booking:?}, {payment:?}: {column}");
            let asks_for_reversal =
                decision.changes.payment.as_ref().is_some_and(|payment| {
                    payment.after.status == PaymentStatus::ReversalRequested
                });
            let requests = decision.changes.events.iter().filter(|event| {
                matches!(event, airline_booking::domain::Event::PaymentRequested(_))
            });
            let asked = usize::from(asks_for_reversal) + decision.changes.refunds.len();
            assert_eq!(requests.count(), asked, "{column}");
            checked += 1;
        }
    }
    let states = BookingStatus::VARIANTS.len() * PaymentStatus::VARIANTS.len();
    // Each outcome but `refunded`, which is about a refund, and two commands.
    assert_eq!(checked, states * (PaymentOutcome::VARIANTS.len() - 1 + 2), "the table is whole");
}
