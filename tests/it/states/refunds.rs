//! The table of refunds.

use super::{BOOKING, cancel, decided, price, reference, refused, start, state, table};
use airline_booking::domain::{
    BookingStatus, Event, Money, PaymentOutcome, PaymentStatus, Refund, RefundId, RefundReason,
    RefundStatus,
};
use airline_booking::rules::{Command, Decision, RetryRefund, Segments, Settle};
use strum::VariantArray as _;

fn refund(status: RefundStatus) -> Refund {
    Refund {
        id: RefundId::of(BOOKING, 2, reference()),
        payment: reference(),
        booking_id: BOOKING,
        amount: price(),
        status,
        reason: RefundReason::Traveller,
        attempts: 1,
        gateway_reference: None,
        created_at: start(),
        updated_at: start(),
        version: 1,
    }
}

fn command(column: &str, refund: &Refund) -> Command {
    let settled = |amount, outcome| {
        Command::Settle(Settle {
            refund_id: Some(refund.id),
            reference: reference(),
            booking_id: BOOKING,
            amount,
            outcome,
        })
    };
    match column {
        "refunded" => settled(refund.amount, PaymentOutcome::Refunded),
        "refund failed" => settled(refund.amount, PaymentOutcome::RefundFailed),
        "refunded, another amount" => settled(Money::from_minor(1), PaymentOutcome::Refunded),
        "cancel again" => cancel(Segments::Own, &[]),
        "retry" => {
            Command::RetryRefund(RetryRefund { id: refund.id, payment: reference(), request: None })
        }
        other => panic!("the table has a column {other:?}"),
    }
}

fn words(decision: &Decision) -> String {
    let changes = &decision.changes;
    assert!(changes.bookings.is_empty() && changes.flights.is_empty());
    assert!(changes.payments.is_empty());
    let is_asked = changes.refunds.iter().any(|c| c.after.status == RefundStatus::Requested);
    let asked = changes.events.iter().filter(|event| matches!(event, Event::PaymentRequested(_)));
    assert_eq!(asked.count(), usize::from(is_asked), "asked in the commit that decides it");
    let told = changes.events.iter().filter(|event| matches!(event, Event::Airline(..)));
    assert_eq!(told.count(), changes.refunds.len(), "each change of a refund is told");
    match (&decision.outcome, &*changes.refunds) {
        (Err(refusal), []) => refused(refusal).to_owned(),
        (Ok(_), []) => "–".to_owned(),
        (Ok(_), [refund]) => refund.after.status.as_str().to_owned(),
        other => panic!("no cell says {other:?}"),
    }
}

#[test]
fn every_cell_of_the_refund_table_matches_decide() {
    let (columns, rows) = table("refund");
    let mut checked = 0;
    for row in &rows {
        let refund = refund(row[0].parse().expect("a refund's status"));
        for (column, said) in columns.iter().zip(row).skip(1) {
            let mut state = state(&[BookingStatus::Cancelled], PaymentStatus::Captured);
            state.refunds.insert(refund.id, refund.clone());
            let decision = decided(&state, &command(column, &refund));
            assert_eq!(words(&decision), *said, "{}: {column}", row[0]);
            checked += 1;
        }
    }
    assert_eq!(checked, 5 * RefundStatus::VARIANTS.len(), "the table is whole");
}
