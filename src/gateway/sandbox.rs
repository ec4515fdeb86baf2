//! The page of a gateway that has one of its own, on which payers act: port of the simulated gateway's.

use crate::domain::{Currency, Money, PaymentMethod, PaymentReference};
use crate::store::StoreError;
use async_trait::async_trait;
use std::sync::Arc;
use strum::{EnumString, IntoStaticStr};

/// The path of the page; the payment's reference follows. It is as hard to guess as a token.
pub const PAGE: &str = "/sandbox/pay/";

/// A payment whose payer must approve it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// The payment.
    pub reference: PaymentReference,
    /// The amount to charge.
    pub amount: Money,
    /// The currency of `amount`.
    pub currency: Currency,
    /// How the customer pays.
    pub method: PaymentMethod,
    /// Where the payer goes afterwards.
    pub return_url: Option<Arc<str>>,
    /// What the payer said, once they have.
    pub verdict: Option<Verdict>,
}

/// What a payer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Verdict {
    /// The payment may be captured.
    Approved,
    /// The payment must not be captured.
    Declined,
}

/// Where payers act.
#[async_trait]
pub trait Sandbox: Send + Sync + 'static {
    /// A payment that was opened and has, or had, to be approved.
    async fn challenge(&self, payment: PaymentReference) -> Result<Option<Challenge>, StoreError>;

    /// Notes what the payer says; the first word counts. Returns the payment as it is then.
    async fn act(
        &self,
        payment: PaymentReference,
        verdict: Verdict,
    ) -> Result<Option<Challenge>, StoreError>;
}
