//! Retry of a refund that the gateway refused.

use super::Decision;
use super::ending::Ending;
use crate::domain::{PaymentReference, Refund, RefundId, RefundStatus, Timestamp};
use crate::rules::{Refusal, RequestKey, RequestRecord, State};

/// Asks the gateway again for a refund that it refused.
#[derive(Debug, Clone)]
pub struct RetryRefund {
    /// The refund.
    pub id: RefundId,
    /// Its payment.
    pub payment: PaymentReference,
    /// The caller's idempotency key, if it sent one.
    pub request: Option<RequestKey>,
}

/// Requests the refund again, under its own id.
pub(super) fn decide(
    state: &State,
    retry: &RetryRefund,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let end = Ending::of_payment(state, retry.payment, now)?;
    let unknown = || Refusal::UnknownRefund(retry.payment);
    let refund = state.refunds.get(&retry.id).ok_or_else(unknown)?;
    let made = refund.booking_id.0;
    let record = RequestRecord::of(retry.request.as_ref(), made, state, now)?;
    if retry.request.is_some() && record.is_none() {
        return Ok(end.unchanged());
    }
    if refund.payment != retry.payment {
        return Err(unknown());
    }
    if refund.status != RefundStatus::Failed {
        return Err(Refusal::RefundNotFailed(retry.id));
    }
    let mut draft = end.draft();
    let after = Refund { status: RefundStatus::Requested, ..refund.next_version(now) };
    draft.change_refund(refund, after);
    draft.record(record);
    Ok(draft.decision())
}
