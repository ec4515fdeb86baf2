//! The gateway port: another party that moves money. Both its verbs are idempotent by reference.

pub mod simulated;

use crate::domain::{Currency, Money, PaymentMethod, PaymentReference};
use async_trait::async_trait;

/// Moves money.
#[async_trait]
pub trait Gateway: Send + Sync + 'static {
    /// Captures an amount, once for each reference: a repeat is answered like the first.
    async fn capture(&self, capture: &Capture) -> Result<Captured, GatewayError>;

    /// Voids what was not captured and refuses a later capture of it; refunds what was.
    async fn reverse(&self, reference: PaymentReference) -> Result<(), GatewayError>;
}

/// What to capture.
#[derive(Debug, Clone)]
pub struct Capture {
    /// Names the payment; the idempotency key.
    pub reference: PaymentReference,
    /// How much.
    pub amount: Money,
    /// In what.
    pub currency: Currency,
    /// From where.
    pub method: PaymentMethod,
}

/// The gateway's answer to a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Captured {
    /// The money is ours.
    Captured,
    /// It said no.
    Declined,
    /// The reference was reversed before.
    Reversed,
}

/// The gateway gave no answer: what was asked may or may not have happened. Ask again.
#[derive(Debug, thiserror::Error)]
#[error("the payment gateway did not answer: {0}")]
pub struct GatewayError(pub String);
