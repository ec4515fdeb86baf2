//! Expiry: a hold whose time is up.

use super::Decision;
use super::ending::Ending;
use crate::domain::{BookingStatus, FailureReason, PaymentReference, Timestamp};
use crate::rules::{Refusal, State};

/// Fails a pending order whose hold has ended, and asks for the reversal of its payment, which may
/// have been captured meanwhile. `reference`: any payment of the order.
pub(super) fn decide(
    state: &State,
    reference: PaymentReference,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let end = Ending::of_order_of(state, reference, now)?;
    if end.status() != BookingStatus::Pending || now < end.first().hold_expires_at {
        return Ok(end.unchanged());
    }
    let payment = if planted!(expiry_reverses_nothing) { end.payment.status } else { end.unpaid() };
    end.failed(FailureReason::HoldExpired, payment)
}
