//! Hints that a payment's outcome may have changed: the gateway is asked at once, and not only when the sweeper gets to
//! it. A hint settles nothing by itself, and one that is lost costs time alone.

use super::redrive::request_of;
use crate::clock::Clock;
use crate::domain::{PaymentReference, PaymentStatus};
use crate::rules::Wanted;
use crate::store::{Store, StoreError};
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

    /// Asks the gateway about a payment again, unless it is unknown or waits for nothing from the gateway.
    pub async fn ask_again(&self, payment: PaymentReference) -> Result<(), StoreError> {
        let wanted = Wanted { payments: [payment].into(), ..Wanted::default() };
        let state = self.store.load(&wanted).await?;
        let Some(payment) = state.payments.get(&payment) else { return Ok(()) };
        let is_asked = match payment.status {
            PaymentStatus::Requested => !payment.is_unasked(),
            PaymentStatus::ReversalRequested => true,
            PaymentStatus::Captured | PaymentStatus::Declined | PaymentStatus::Reversed => false,
        };
        let order = state.order_of(payment.order).filter(|_| is_asked);
        let Some(order) = order else { return Ok(()) };
        let now = self.clock.now();
        self.store.redrive(&[request_of(payment.clone(), order.first(), now)], now).await?;
        self.committed.notify_one();
        Ok(())
    }
}
