//! The table of attempts: orders that are held and paid later.

use super::{BOOKING, assert_requests, cancel, reference, refused, start, state};
use airline_booking::domain::{
    BookingStatus, Payment, PaymentKind, PaymentMethod, PaymentOutcome, PaymentReference,
    PaymentStatus, WaitsFor,
};
use airline_booking::rules::{
    Command, Decision, Extend, Pay, Policy, Refusal, Segments, Settle, State, decide,
};
use chrono::TimeDelta;

/// Column by column of the row's name: the order's status, then its payments.
fn state_of(name: &str) -> State {
    let words: Vec<&str> = name.split(", ").collect();
    let (booking, attempts) = words.split_first().expect("a status");
    let booking: BookingStatus = booking.parse().expect("a booking's status");
    let mut all = state(&[booking], PaymentStatus::Requested);
    let first = all.payments[&reference()].clone();
    for (at, word) in attempts.iter().enumerate() {
        let attempt = at as i32 + 1;
        let (status, waits_for) = match *word {
            "unasked" => (PaymentStatus::Requested, WaitsFor::Method),
            "asks its payer" => (PaymentStatus::Requested, WaitsFor::Payer),
            word => (word.parse().expect("a payment's status"), WaitsFor::Gateway),
        };
        let is_unasked = waits_for == WaitsFor::Method;
        let method = if is_unasked { PaymentMethod::unchosen() } else { PaymentMethod::default() };
        let reference = reference_of(attempt);
        let kind = PaymentKind::Later;
        all.add_payment(Payment {
            reference,
            attempt,
            kind,
            status,
            waits_for,
            method,
            ..first.clone()
        });
    }
    all
}

fn reference_of(attempt: i32) -> PaymentReference {
    match attempt {
        1 => reference(),
        attempt => PaymentReference::of_attempt(reference(), attempt),
    }
}

fn settle(state: &State, attempt: i32, outcome: PaymentOutcome) -> Command {
    Command::Settle(Settle {
        refund_id: None,
        reference: reference_of(attempt),
        booking_id: BOOKING,
        amount: state.payments[&reference()].amount,
        outcome,
    })
}

fn command(column: &str, state: &State) -> Command {
    let last = state.last_attempt(reference()).expect("a payment").attempt;
    match column {
        "pay" => Command::Pay(Pay {
            booking_id: BOOKING,
            method: PaymentMethod::default(),
            return_url: None,
            request: None,
        }),
        "extend" => Command::Extend(Extend { booking_id: BOOKING, request: None }),
        "completed" => settle(state, last, PaymentOutcome::Completed),
        "failed" => settle(state, last, PaymentOutcome::Failed),
        "reversed" => settle(state, last, PaymentOutcome::Reversed),
        "action required" => settle(state, last, PaymentOutcome::ActionRequired),
        "first completed" => settle(state, 1, PaymentOutcome::Completed),
        "first failed" => settle(state, 1, PaymentOutcome::Failed),
        "expire" => Command::Expire(reference()),
        "cancel" => cancel(Segments::Own, &[]),
        other => panic!("the table has a column {other:?}"),
    }
}

/// Decides a command within the hold; an expiry after it.
fn decided(state: &State, command: &Command) -> Decision {
    let policy = Policy {
        hold_for: TimeDelta::minutes(5),
        payment_window: TimeDelta::minutes(15),
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
    let minutes = if matches!(command, Command::Expire(_)) { 6 } else { 1 };
    decide(state, command, start() + TimeDelta::minutes(minutes), &policy)
}

/// What a decision did, in the table's words.
fn words(decision: &Decision) -> String {
    let changes = &decision.changes;
    match &decision.outcome {
        Err(Refusal::PaymentNotDue(_)) => return "refused: `payment_not_due`".into(),
        Err(Refusal::PaymentInProgress(_)) => return "refused: `payment_in_progress`".into(),
        Err(Refusal::TooManyAttempts { .. }) => return "refused: `too_many_attempts`".into(),
        Err(Refusal::NotExtendable(_)) => return "refused: `not_extendable`".into(),
        Err(refusal) => return refused(refusal).into(),
        Ok(_) => {}
    }
    let mut words = Vec::new();
    for change in &changes.bookings {
        let status = change.after.status;
        let is_same = change.was.is_some_and(|was| was.status == status);
        words.push(if is_same { "extended".to_owned() } else { status.as_str().to_owned() });
    }
    let is_extension = words == ["extended"];
    for change in changes.payments.iter().filter(|_| !is_extension) {
        let Payment { attempt, status, .. } = change.after;
        let word = match (change.after.waits_for, status) {
            (WaitsFor::Method, _) => "unasked",
            (WaitsFor::Payer, _) => "asks its payer",
            (WaitsFor::Gateway, status) => status.as_str(),
        };
        words.push(format!("{attempt} {word}"));
    }
    words.extend((!changes.refunds.is_empty()).then(|| "refund requested".to_owned()));
    if words.is_empty() { "–".to_owned() } else { words.join("; ") }
}

#[test]
fn every_cell_of_the_attempt_table_matches_decide() {
    let (columns, rows) = super::table("order, attempts");
    let mut checked = 0;
    let mut wrong = Vec::new();
    for row in &rows {
        for (column, said) in columns.iter().zip(row).skip(1) {
            let mut state = state_of(row[0]);
            let decision = decided(&state, &command(column, &state));
            let is = words(&decision);
            if is != *said {
                wrong.push(format!("{}: {column}: {is:?}, not {said:?}", row[0]));
            }
            if *column != "pay" {
                assert_requests(&decision, column);
            }
            state.apply(&decision.changes);
            let open = state.payments.values().filter(|payment| payment.is_open()).count();
            let pending = usize::from(state.bookings[&BOOKING].status == BookingStatus::Pending);
            assert_eq!(
                open, pending,
                "{}: {column}: an order is pending while a payment is open",
                row[0]
            );
            checked += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(checked, 10 * 10, "the table is whole");
}
