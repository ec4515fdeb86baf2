//! Settlement: what the gateway did with a payment.

use super::ending::Ending;
use super::{Decision, Outcome};
use crate::domain::{
    BookingId, BookingStatus, FailureReason, Money, PaymentOutcome, PaymentReference,
    PaymentStatus, Timestamp,
};
use crate::rules::{Refusal, State};

/// Applies what the gateway did with a payment.
#[derive(Debug, Clone)]
pub struct Settle {
    /// The payment.
    pub reference: PaymentReference,
    /// The booking that the message names; refused unless the payment is for it.
    pub booking_id: BookingId,
    /// The amount that the message names; refused unless it is the payment's.
    pub amount: Money,
    /// What the gateway did.
    pub outcome: PaymentOutcome,
}

/// Completes, fails or cancels the booking, or moves the payment of one that has ended.
pub(super) fn decide(state: &State, settle: &Settle, now: Timestamp) -> Result<Decision, Refusal> {
    use BookingStatus::{Cancelled, Completed, Failed, Pending};
    use PaymentStatus::{Captured, Declined, Requested, ReversalRequested, Reversed};

    let end = Ending::of_payment(state, settle.reference, now)?;
    let (booking, payment) = (end.booking, end.payment);
    if settle.outcome == PaymentOutcome::Refunded {
        return Err(Refusal::UnknownRefund(settle.reference));
    }
    if booking.id != settle.booking_id {
        return Err(Refusal::BookingMismatch(settle.reference));
    }
    if payment.amount != settle.amount {
        return Err(Refusal::AmountMismatch {
            reference: settle.reference,
            expected: payment.amount,
            stated: settle.amount,
        });
    }
    Ok(match (booking.status, payment.status, settle.outcome) {
        (Pending, Requested, PaymentOutcome::Completed) => end.completed(),
        (Completed, _, PaymentOutcome::Completed) if planted!(settled_twice) => end.completed(),
        (Cancelled, _, PaymentOutcome::Completed) if planted!(cancelled_booking_is_sold) => {
            end.completed()
        }
        (Pending, Requested, PaymentOutcome::Failed) => {
            end.failed(FailureReason::PaymentDeclined, Declined)
        }
        (Pending, Requested, PaymentOutcome::Reversed) => {
            end.failed(FailureReason::HoldExpired, Reversed)
        }
        // The gateway reversed the payment unasked, so the seats go back too.
        (Completed, Captured, PaymentOutcome::Reversed) => end.cancelled(Reversed),
        (Failed | Cancelled, ReversalRequested, PaymentOutcome::Reversed) => end.payment(Reversed),
        // A late capture of a declined payment: the money goes back, the booking stays ended.
        (Failed | Cancelled, Declined, PaymentOutcome::Completed) => end.payment(ReversalRequested),
        // A repeat, or a message older than the recorded state.
        _ => Decision::unchanged(Outcome::Booking { booking: booking.clone(), replayed: true }),
    })
}
