//! Disputes of a payment intent.

use super::StripeGateway;
use super::amounts::from_stripe;
use super::wire::StripeDispute;
use crate::domain::DisputeStatus;
use crate::gateway::{Disputed, GatewayError};

impl StripeGateway {
    /// The dispute of an intent.
    pub(super) async fn dispute_of(&self, id: &str) -> Result<Option<Disputed>, GatewayError> {
        let intent = self.intent(id).await?;
        let reference = intent.metadata.get("reference").and_then(|text| text.parse().ok());
        let Some(payment) = reference else { return Ok(None) };
        let Some(name) = self.named(payment).await?.filter(|name| name.id == id) else {
            return Ok(None);
        };
        let all = self.disputes_of(id).await?;
        Ok(deciding(&all).map(|(status, amount)| {
            let amount = from_stripe(amount, name.currency);
            Disputed { payment, status, amount }
        }))
    }

    /// What lost disputes took of an intent.
    pub(super) async fn lost_of(&self, intent: &str) -> Result<i64, GatewayError> {
        Ok(lost(&self.disputes_of(intent).await?))
    }

    async fn disputes_of(&self, intent: &str) -> Result<Vec<StripeDispute>, GatewayError> {
        self.all("/v1/disputes", ("payment_intent", intent)).await
    }
}

/// The state and amount of the dispute that decides, if a card's bank began several: a lost one, else an open one.
pub(super) fn deciding(all: &[StripeDispute]) -> Option<(DisputeStatus, i64)> {
    let of = |dispute: &StripeDispute| Some((dispute.standing()?, dispute.amount));
    all.iter().filter_map(of).max_by_key(|(status, _)| match status {
        DisputeStatus::Won => 0,
        DisputeStatus::Open => 1,
        DisputeStatus::Lost => 2,
    })
}

/// What lost disputes took.
pub(super) fn lost(all: &[StripeDispute]) -> i64 {
    let is_lost = |dispute: &&StripeDispute| dispute.standing() == Some(DisputeStatus::Lost);
    all.iter().filter(is_lost).map(|dispute| dispute.amount).sum()
}

impl StripeDispute {
    /// The dispute's state; `None` of an inquiry, which moves no money, and of words that Stripe adds later.
    fn standing(&self) -> Option<DisputeStatus> {
        match &*self.status {
            "needs_response" | "under_review" => Some(DisputeStatus::Open),
            "won" | "prevented" => Some(DisputeStatus::Won),
            "lost" => Some(DisputeStatus::Lost),
            _ => None,
        }
    }
}
