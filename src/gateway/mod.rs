//! The gateway port: an external party that moves money. Both calls are idempotent by payment reference.

pub mod simulated;

use crate::domain::{Currency, Money, PaymentMethod, PaymentReference};
use async_trait::async_trait;

/// A payment gateway.
#[async_trait]
pub trait Gateway: Send + Sync + 'static {
    /// Captures an amount once per reference. A repeat gets the first answer.
    async fn capture(&self, capture: &Capture) -> Result<Captured, GatewayError>;

    /// Refunds a captured payment; voids one that is not captured, so that a later capture is refused.
    async fn reverse(&self, reference: PaymentReference) -> Result<(), GatewayError>;
}

/// A capture to make.
#[derive(Debug, Clone)]
pub struct Capture {
    /// The payment, and the idempotency key of the call.
    pub reference: PaymentReference,
    /// The amount to charge.
    pub amount: Money,
    /// The currency of `amount`.
    pub currency: Currency,
    /// How the customer pays.
    pub method: PaymentMethod,
}

/// The gateway's answer to a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Captured {
    /// The amount is charged.
    Captured,
    /// The gateway refused the charge.
    Declined,
    /// The payment was reversed before, so it cannot be captured.
    Reversed,
}

/// The gateway gave no answer: the call may have taken effect. Repeat it.
#[derive(Debug, thiserror::Error)]
#[error("the payment gateway did not answer: {0}")]
pub struct GatewayError(pub String);
