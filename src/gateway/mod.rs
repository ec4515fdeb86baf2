//! The gateway port: an external party that moves money. Each call is idempotent: captures and
//! reversals by the payment's reference, refunds by their own id.

pub mod simulated;

use crate::domain::{Currency, Money, PaymentMethod, PaymentReference, RefundId};
use async_trait::async_trait;

/// A payment gateway.
#[async_trait]
pub trait Gateway: Send + Sync + 'static {
    /// Captures an amount once per reference. A repeat gets the first answer.
    async fn capture(&self, capture: &Capture) -> Result<Captured, GatewayError>;

    /// Gives back what is left of a captured payment, after its refunds; voids one that is not captured, so
    /// that a later capture is refused.
    async fn reverse(&self, reference: PaymentReference) -> Result<(), GatewayError>;

    /// Gives back an amount of a captured payment, once per refund id. A repeat gets the first answer.
    ///
    /// Moves no money and fails if the payment is not captured, if the amount is more than was captured less
    /// what was given back, or if the id was used for another payment or amount. As a call without an answer
    /// fails too, an error leaves open whether the amount was given back: only a repeat tells.
    async fn refund(
        &self,
        id: RefundId,
        reference: PaymentReference,
        amount: Money,
    ) -> Result<(), GatewayError>;
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

/// The gateway gave no answer, or refused the call: it may have taken effect. Repeat it.
#[derive(Debug, thiserror::Error)]
#[error("the payment gateway did not answer: {0}")]
pub struct GatewayError(pub String);
