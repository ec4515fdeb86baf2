//! The table of disputes.

use super::{decided, reference, state, table};
use airline_booking::domain::{BookingStatus, DisputeStatus, Money, PaymentStatus};
use airline_booking::rules::{Command, Dispute, Refusal};
use strum::VariantArray as _;

/// News from after the last change of the payment.
fn dispute(status: DisputeStatus) -> Command {
    dispute_seen(status, 1)
}

fn dispute_seen(status: DisputeStatus, seen: i64) -> Command {
    let amount = Money::from_minor(1);
    Command::Dispute(Dispute { reference: reference(), status, amount, seen })
}

#[test]
fn every_cell_of_the_dispute_table_matches_decide() {
    let (columns, rows) = table("payment's dispute");
    let mut checked = 0;
    for row in &rows {
        let known = row[0].parse().ok();
        for (column, said) in columns.iter().zip(row).skip(1) {
            let status = column.parse().expect("a dispute's status");
            let mut state = state(&[BookingStatus::Completed], PaymentStatus::Captured);
            state.payments.get_mut(&reference()).expect("the payment").dispute = known;
            let decision = decided(&state, &dispute(status));
            let changes = &decision.changes;
            let word = changes.payments.first().and_then(|c| c.after.dispute);
            assert_eq!(word.map_or("–", DisputeStatus::as_str), *said, "{}: {column}", row[0]);
            let is_lost = word == Some(DisputeStatus::Lost);
            assert_eq!(changes.refunds.len(), usize::from(is_lost), "{}: {column}", row[0]);
            checked += 1;
        }
    }
    let states = DisputeStatus::VARIANTS.len();
    assert_eq!(checked, (states + 1) * states, "the table is whole");
}

#[test]
fn a_payment_that_is_not_captured_is_not_disputed() {
    for (booking, payment) in [
        (BookingStatus::Failed, PaymentStatus::Declined),
        (BookingStatus::Cancelled, PaymentStatus::ReversalRequested),
        (BookingStatus::Cancelled, PaymentStatus::Reversed),
    ] {
        for status in DisputeStatus::VARIANTS {
            let decision = decided(&state(&[booking], payment), &dispute(*status));
            assert!(decision.outcome.is_ok() && decision.changes.is_empty(), "{payment:?}");
        }
    }
}

/// Else the dispute would be forgotten once the capture is settled.
#[test]
fn news_of_a_dispute_comes_again_while_the_capture_is_not_settled() {
    let state = state(&[BookingStatus::Pending], PaymentStatus::Requested);
    let decision = decided(&state, &dispute(DisputeStatus::Lost));
    assert!(matches!(decision.outcome, Err(Refusal::PaymentInProgress(_))), "{decision:?}");
}

/// Two replicas hear of one dispute: one asks the gateway before the bank decides, and notes the answer after the other.
#[test]
fn older_news_of_a_dispute_does_not_overwrite_newer_news() {
    let mut state = state(&[BookingStatus::Completed], PaymentStatus::Captured);
    let payment = state.payments.get_mut(&reference()).expect("the payment");
    (payment.dispute, payment.version) = (Some(DisputeStatus::Won), 2);
    let decision = decided(&state, &dispute_seen(DisputeStatus::Open, 1));
    assert_eq!(decision.outcome, Err(Refusal::PaymentChanged(reference())));
    assert!(decision.changes.is_empty());
    let again = decided(&state, &dispute_seen(DisputeStatus::Won, 2));
    assert!(again.outcome.is_ok() && again.changes.is_empty());
}
