//! The payment worker's role for what a gateway says beside an outcome.

use crate::domain::{NextAction, PaymentReference};
use crate::store::StoreError;
use async_trait::async_trait;

/// Writes notes on payments. They change no status, so a commit does not find the row stale.
#[async_trait]
pub trait PaymentNotes: Send + Sync + 'static {
    /// What the payer of an open payment must do. Does nothing if the payment is not open.
    async fn note_action(
        &self,
        payment: PaymentReference,
        action: &NextAction,
    ) -> Result<(), StoreError>;

    /// Why the gateway declined an open payment. Does nothing if the payment is not open.
    async fn note_decline(&self, payment: PaymentReference, reason: &str)
    -> Result<(), StoreError>;
}
