//! The gateway port: an external party that moves money. Each call is idempotent: payments are opened, looked up and
//! voided by their reference, refunds are made by their own id.

pub mod sandbox;
pub mod simulated;
pub mod stripe;

use crate::domain::{
    Currency, DisputeStatus, Money, NextAction, PaymentMethod, PaymentReference, RefundId,
    Timestamp,
};
use async_trait::async_trait;
use std::sync::Arc;

/// A payment gateway.
#[async_trait]
pub trait Gateway: Send + Sync + 'static {
    /// Opens a payment, and captures it unless its payer must act first. Once per reference: a repeat gets the
    /// outcome of now.
    async fn open(&self, opening: &Opening) -> Result<Opened, GatewayError>;

    /// The outcome of an open payment as it is now. A payment whose payer has approved it is captured by then.
    async fn status(&self, reference: PaymentReference) -> Result<Opened, GatewayError>;

    /// Voids a payment that is not captured, so that it never is; gives back what is left of a captured one, after
    /// its refunds.
    async fn void(&self, reference: PaymentReference) -> Result<(), GatewayError>;

    /// Gives back an amount of a captured payment, once per refund id. A repeat gets the outcome of now; of a
    /// refund that has failed, it makes another.
    ///
    /// Moves no money and fails if the payment is not captured, if the amount is more than was captured less
    /// what was given back, or if the id was used for another payment or amount. As a call without an answer
    /// fails too, an error leaves open whether the amount was given back: only a repeat tells.
    async fn refund(
        &self,
        id: RefundId,
        reference: PaymentReference,
        amount: Money,
    ) -> Result<Repaid, GatewayError>;

    /// The outcome of a refund as it is now, for a gateway whose refunds may fail days after they were made. Makes
    /// none.
    async fn repaid(
        &self,
        _id: RefundId,
        _reference: PaymentReference,
    ) -> Result<Repaid, GatewayError> {
        Ok(Repaid::Processing)
    }

    /// What became of the payer's dispute of a payment, given by the gateway's own id; `None`: there was none, or
    /// the payment is another system's.
    async fn dispute(&self, _id: &str) -> Result<Option<Disputed>, GatewayError> {
        Ok(None)
    }
}

/// The outcome of a refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repaid {
    /// The amount is given back.
    Done,
    /// The gateway refused it, or the payer's bank did: nothing is given back. With the reason, if there is one.
    Failed(Option<Arc<str>>),
    /// The gateway has not decided yet, or knows no such refund: ask later.
    Processing,
}

/// A payer's dispute of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disputed {
    /// The payment.
    pub payment: PaymentReference,
    /// Its state.
    pub status: DisputeStatus,
    /// The disputed amount.
    pub amount: Money,
}

/// A gateway that lists what it took, for reconciliation.
#[async_trait]
pub trait Listing: Send + Sync + 'static {
    /// The word for the gateway in `payments.gateway`.
    fn name(&self) -> &'static str;

    /// The payments made since a moment.
    async fn payments_since(&self, since: Timestamp) -> Result<Vec<Listed>, GatewayError>;

    /// A payment by the gateway's own id.
    async fn payment(&self, id: &str) -> Result<Option<Listed>, GatewayError>;
}

/// A payment in a gateway's list.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The gateway's own id.
    pub id: String,
    /// The payment; `None`: another system made it.
    pub reference: Option<PaymentReference>,
    /// The currency of its amounts.
    pub currency: Currency,
    /// The amount to charge.
    pub amount: Money,
    /// The amount captured; zero if it is not.
    pub captured: Money,
    /// What may still become of it.
    pub state: ListedState,
    /// When it was made.
    pub created_at: Timestamp,
    /// The refunds made.
    pub refunds: Vec<ListedRefund>,
    /// The payer's dispute, if there was one.
    pub dispute: Option<DisputeStatus>,
    /// What lost disputes took.
    pub lost: Money,
}

/// The state of a payment in a gateway's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListedState {
    /// The gateway was never asked to charge it, so it takes no money.
    Unconfirmed,
    /// The gateway or the payer may still decide.
    Open,
    /// Captured.
    Captured,
    /// Declined or voided for good.
    Ended,
}

impl Listed {
    /// What was captured less what was given back, by refunds or to the payer's bank.
    pub fn kept(&self) -> Money {
        self.unrefunded().less(self.lost)
    }

    /// What was captured less the refunds.
    pub fn unrefunded(&self) -> Money {
        self.refunds.iter().fold(self.captured, |left, refund| left.less(refund.amount))
    }
}

/// A refund in a gateway's list.
#[derive(Debug, Clone)]
pub struct ListedRefund {
    /// The gateway's own id.
    pub name: String,
    /// The refund; `None`: it has no number of ours.
    pub refund: Option<RefundId>,
    /// Whether it gave back what was left of a payment that is void.
    pub is_void: bool,
    /// Whether the gateway or the payer's bank has not decided yet.
    pub is_pending: bool,
    /// The amount given back.
    pub amount: Money,
}

/// A payment to open.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The payment, and the idempotency key of the call.
    pub reference: PaymentReference,
    /// The amount to charge.
    pub amount: Money,
    /// The currency of `amount`.
    pub currency: Currency,
    /// How the customer pays.
    pub method: PaymentMethod,
    /// Where the payer goes after acting at the gateway.
    pub return_url: Option<Arc<str>>,
}

/// The outcome of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// The amount is charged.
    Captured,
    /// The gateway refused the charge; with its reason, if it gave one.
    Declined(Option<Arc<str>>),
    /// The payment was voided, or all of it given back.
    Voided,
    /// Nothing is charged before the payer has acted.
    ActionRequired(NextAction),
    /// The gateway has not decided yet: ask later.
    Processing,
}

/// A call has no outcome. Repeat it.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The gateway gave no answer, or wants no calls now: the call may have taken effect. Many of them open its circuit.
    #[error("the payment gateway did not answer: {0}")]
    Unanswered(String),
    /// The gateway works, and refused this one call.
    #[error("the payment gateway refused the call: {0}")]
    Refused(String),
}

impl GatewayError {
    /// The call took too long.
    pub fn late() -> Self {
        Self::Unanswered("no answer in GATEWAY_TIMEOUT".into())
    }
}
