//! Expiry: a hold whose time is up.

use super::Decision;
use super::ending::Ending;
use crate::domain::{BookingStatus, FailureReason, PaymentReference, PaymentStatus, Timestamp};
use crate::rules::{Refusal, State};

/// Fails a pending order whose hold has ended, and asks for the reversal of its payment, which may
/// have been captured meanwhile.
pub(super) fn decide(
    state: &State,
    reference: PaymentReference,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let end = Ending::of_payment(state, reference, now)?;
    if end.status() != BookingStatus::Pending || now < end.first().hold_expires_at {
        return Ok(end.unchanged());
    }
    let payment = match end.payment.status {
        status if planted!(expiry_reverses_nothing) => status,
        _ => PaymentStatus::ReversalRequested,
    };
    end.failed(FailureReason::HoldExpired, payment)
}
