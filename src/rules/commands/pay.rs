//! Payment: an attempt to pay an order that was held to be paid later.

use super::Decision;
use super::ending::Ending;
use super::payment_request::request;
use crate::domain::{
    ATTEMPTS_MAX, BookingId, BookingStatus, Payment, PaymentAction, PaymentKind, PaymentMethod,
    PaymentNotes, Timestamp, WaitsFor,
};
use crate::rules::{Refusal, RequestKey, RequestRecord, State};
use std::sync::Arc;

/// Begins an attempt to pay an order.
#[derive(Debug, Clone)]
pub struct Pay {
    /// A booking of the order.
    pub booking_id: BookingId,
    /// How the order is paid.
    pub method: PaymentMethod,
    /// Where the payer goes after an action at the gateway.
    pub return_url: Option<Arc<str>>,
    /// The caller's idempotency key, if it sent one.
    pub request: Option<RequestKey>,
}

/// Asks for the capture of the order's open payment, if that waits for a method.
pub(super) fn decide(state: &State, pay: &Pay, now: Timestamp) -> Result<Decision, Refusal> {
    let end = Ending::of_booking(state, pay.booking_id, now)?;
    let record = RequestRecord::of(pay.request.as_ref(), pay.booking_id.0, state, now)?;
    if pay.request.is_some() && record.is_none() {
        return Ok(end.unchanged());
    }
    let payment = end.payment;
    if payment.kind != PaymentKind::Later || end.status() != BookingStatus::Pending {
        return Err(Refusal::PaymentNotDue(pay.booking_id));
    }
    if now >= end.first().hold_expires_at {
        return Err(Refusal::HoldExpired(pay.booking_id));
    }
    if !payment.is_unasked() && !planted!(two_attempts_at_once) {
        return Err(Refusal::PaymentInProgress(pay.booking_id));
    }
    if payment.attempt > ATTEMPTS_MAX {
        return Err(Refusal::TooManyAttempts { booking: pay.booking_id, most: ATTEMPTS_MAX });
    }
    let after = Payment {
        method: pay.method.clone(),
        notes: PaymentNotes { return_url: pay.return_url.clone(), ..PaymentNotes::default() }
            .boxed(),
        waits_for: WaitsFor::Gateway,
        ..end.payment_as(payment.status)
    };
    let asked = request(end.first(), &after, PaymentAction::Capture, now);
    let mut draft = end.draft();
    draft.change_payment(after);
    draft.publish(asked);
    draft.record(record);
    Ok(draft.decision())
}
