//! Hints that a payment's outcome may have changed: the gateway is asked at once, and not only when the sweeper gets to
//! it. A hint settles nothing by itself, and one that is lost costs time alone.

use super::redrive::{request_of, request_of_refund};
use crate::clock::Clock;
use crate::domain::{PaymentReference, PaymentStatus, RefundId, RefundStatus};
use crate::rules::Wanted;
use crate::store::{RefundDue, Store, StoreError};
use std::sync::Arc;
use tokio::sync::Notify;

/// Takes hints about payments.
#[derive(Clone)]
pub struct PaymentHints {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// Wakes the relay.
    committed: Arc<Notify>,
}

impl PaymentHints {
    /// Hints about payments of a store.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, committed: Arc<Notify>) -> Self {
        Self { store, clock, committed }
    }

    /// Asks the gateway about a payment again, unless it is unknown or waits for nothing from the gateway. Returns
    /// whether it is asked.
    pub async fn ask_again(&self, payment: PaymentReference) -> Result<bool, StoreError> {
        let wanted = Wanted { payments: [payment].into(), ..Wanted::default() };
        let state = self.store.load(&wanted).await?;
        let Some(payment) = state.payments.get(&payment) else { return Ok(false) };
        let is_asked = match payment.status {
            PaymentStatus::Requested => !payment.is_unasked(),
            PaymentStatus::ReversalRequested => true,
            PaymentStatus::Captured | PaymentStatus::Declined | PaymentStatus::Reversed => false,
        };
        let order = state.order_of(payment.order).filter(|_| is_asked);
        let Some(order) = order else { return Ok(false) };
        let now = self.clock.now();
        self.store.redrive(&[request_of(payment.clone(), order.first(), now)], now).await?;
        self.committed.notify_one();
        Ok(true)
    }

    /// Asks the gateway for a refund of a payment again, unless it is unknown or has ended. Returns whether it is
    /// asked.
    pub async fn ask_again_for(
        &self,
        refund: RefundId,
        payment: PaymentReference,
    ) -> Result<bool, StoreError> {
        let (payments, refunds) = ([payment].into(), [refund].into());
        let state = self.store.load(&Wanted { payments, refunds, ..Wanted::default() }).await?;
        let refund = state
            .refunds
            .get(&refund)
            .filter(|refund| refund.payment == payment && refund.status == RefundStatus::Requested);
        let payment = state.payments.get(&payment);
        let order = payment.and_then(|payment| state.order_of(payment.order));
        let (Some(refund), Some(payment), Some(order)) = (refund, payment, order) else {
            return Ok(false);
        };
        let (refund, payment) = (refund.clone(), payment.clone());
        let due = RefundDue { refund, payment, order_id: order.first().order_id };
        let now = self.clock.now();
        self.store.redrive_refunds(&[request_of_refund(due, now)], now).await?;
        self.committed.notify_one();
        Ok(true)
    }
}
