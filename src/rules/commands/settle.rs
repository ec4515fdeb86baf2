//! Settlement: what the gateway did with a payment.

use super::change_flight;
use super::ending::Ending;
use super::{Decision, Outcome};
use crate::domain::{
    BookingId, BookingStatus, FailureReason, Money, PaymentKind, PaymentOutcome, PaymentReference,
    PaymentStatus, Refund, RefundId, RefundReason, RefundStatus, Timestamp, WaitsFor,
};
use crate::rules::{Change, Changes, Refusal, State};

/// Applies what the gateway did with a payment.
#[derive(Debug, Clone)]
pub struct Settle {
    /// The payment.
    pub reference: PaymentReference,
    /// The booking that the message names; refused unless it is the first of the payment's order, or for a
    /// refund any of it.
    pub booking_id: BookingId,
    /// The amount that the message names; refused unless it is the payment's, or the refund's.
    pub amount: Money,
    /// What the gateway did.
    pub outcome: PaymentOutcome,
    /// The refund; only if the gateway made one.
    pub refund_id: Option<RefundId>,
}

/// Completes, fails or cancels the order, or moves the payment of one that has ended, or ends a refund.
pub(super) fn decide(state: &State, settle: &Settle, now: Timestamp) -> Result<Decision, Refusal> {
    use BookingStatus::{Cancelled, Completed, Pending};
    use PaymentStatus::{Captured, Declined, Requested, ReversalRequested, Reversed};

    let end = Ending::of_payment(state, settle.reference, now)?;
    let payment = end.payment;
    if settle.outcome.is_of_refund() {
        let end = Ending::of_money(state, settle.reference, now)?;
        return refunded(state, &end, settle, now);
    }
    if end.first().order_id != settle.booking_id {
        return Err(Refusal::BookingMismatch(settle.reference));
    }
    if payment.amount != settle.amount {
        return Err(Refusal::AmountMismatch {
            reference: settle.reference,
            expected: payment.amount,
            stated: settle.amount,
        });
    }
    // The gateway does not know it yet.
    if payment.is_unasked() {
        return Ok(end.unchanged());
    }
    let may_be_paid_again = payment.kind == PaymentKind::Later && !planted!(decline_ends_the_hold);
    match (end.status(), payment.status, settle.outcome) {
        (Pending, Requested, PaymentOutcome::Completed) => match end.first().replaces {
            Some(changed) => change_flight::captured(state, &end, changed),
            None => end.completed(),
        },
        (Completed, _, PaymentOutcome::Completed) if planted!(settled_twice) => end.completed(),
        (Cancelled, _, PaymentOutcome::Completed) if planted!(cancelled_booking_is_sold) => {
            end.completed()
        }
        (Pending, Requested, PaymentOutcome::ActionRequired) => match payment.waits_for {
            WaitsFor::Gateway if planted!(payer_need_not_act) => end.completed(),
            WaitsFor::Gateway => Ok(end.asks_payer()),
            WaitsFor::Method | WaitsFor::Payer => Ok(end.unchanged()),
        },
        (Pending, Requested, PaymentOutcome::Failed) if may_be_paid_again => {
            Ok(end.attempt_ended(Declined))
        }
        (Pending, Requested, PaymentOutcome::Reversed) if may_be_paid_again => {
            Ok(end.attempt_ended(Reversed))
        }
        (Pending, Requested, PaymentOutcome::Failed) => {
            end.failed(FailureReason::PaymentDeclined, Declined)
        }
        (Pending, Requested, PaymentOutcome::Reversed) => {
            end.failed(FailureReason::HoldExpired, Reversed)
        }
        // The gateway reversed the payment unasked, so the seats go back too.
        (Completed, Captured, PaymentOutcome::Reversed) => end.reversed(),
        // The same of a difference: the change was done, so the order of the changed booking is paid for no more.
        (Cancelled, Captured, PaymentOutcome::Reversed) if end.first().replaces.is_some() => {
            let order = Ending::of_money(state, settle.reference, now)?;
            if order.status() == Completed { order.reversed() } else { Ok(end.unchanged()) }
        }
        (_, ReversalRequested, PaymentOutcome::Reversed) => Ok(end.payment(Reversed)),
        // A late capture of a declined payment: its money goes back, the order stays as it is.
        (_, Declined, PaymentOutcome::Completed) => Ok(end.payment(ReversalRequested)),
        // A repeat, or a message older than the recorded state.
        _ => Ok(end.unchanged()),
    }
}

/// Ends a refund that the gateway made or refused. It moves no seats and no other money.
fn refunded(
    state: &State,
    end: &Ending<'_>,
    settle: &Settle,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    if !end.bookings.iter().any(|booking| booking.id == settle.booking_id) {
        return Err(Refusal::BookingMismatch(settle.reference));
    }
    let unknown = || Refusal::UnknownRefund(settle.reference);
    let id = settle.refund_id.ok_or_else(unknown)?;
    let refund = state.refunds.get(&id).ok_or_else(unknown)?;
    let is_over_another = refund.amount != settle.amount && !planted!(refund_settled_on_its_word);
    if refund.payment != settle.reference || is_over_another {
        return Err(Refusal::RefundMismatch(id));
    }
    let status = match (refund.status, settle.outcome) {
        (RefundStatus::Requested | RefundStatus::Failed, PaymentOutcome::Refunded) => {
            RefundStatus::Done
        }
        // A bank may refuse a refund days after the gateway made it. What a dispute took is no refund of the gateway's.
        (RefundStatus::Requested | RefundStatus::Done, PaymentOutcome::RefundFailed)
            if refund.reason != RefundReason::Dispute =>
        {
            RefundStatus::Failed
        }
        _ => return Ok(end.unchanged()),
    };
    let after = Refund { status, ..refund.next_version(now) };
    Ok(Decision {
        outcome: Ok(Outcome::Order { order: end.order(), replayed: false }),
        changes: Changes {
            refunds: vec![Change { was: Some(refund.status), after }],
            ..Changes::default()
        },
    })
}
