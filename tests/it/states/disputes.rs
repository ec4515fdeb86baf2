//! The table of disputes.

use super::{decided, reference, state, table};
use airline_booking::domain::{BookingStatus, DisputeStatus, Money, PaymentStatus};
use airline_booking::rules::{Command, Dispute, Refusal};
use strum::VariantArray as _;

fn dispute(status: DisputeStatus) -> Command {
    Command::Dispute(Dispute { reference: reference(), status, amount: Money::from_minor(1) })
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
