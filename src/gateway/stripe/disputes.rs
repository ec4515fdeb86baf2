//! Disputes of a payment intent.

use super::StripeGateway;
use super::amounts::from_stripe;
use super::wire::StripeDispute;
use crate::domain::DisputeStatus;
use crate::gateway::{Disputed, GatewayError};

impl StripeGateway {
    /// The dispute of an intent. If a card's bank began several, the one that decides: a lost one, else an open one.
    pub(super) async fn dispute_of(&self, id: &str) -> Result<Option<Disputed>, GatewayError> {
        let intent = self.intent(id).await?;
        let reference = intent.metadata.get("reference").and_then(|text| text.parse().ok());
        let Some(payment) = reference else { return Ok(None) };
        let Some(name) = self.named(payment).await?.filter(|name| name.id == id) else {
            return Ok(None);
        };
        let all = self.disputes_of(id).await?;
        let of = |dispute: &StripeDispute| {
            let amount = from_stripe(dispute.amount, name.currency);
            Some(Disputed { payment, status: dispute.standing()?, amount })
        };
        let rank = |disputed: &Disputed| match disputed.status {
            DisputeStatus::Won => 0,
            DisputeStatus::Open => 1,
            DisputeStatus::Lost => 2,
        };
        Ok(all.iter().filter_map(of).max_by_key(rank))
    }

    /// What lost disputes took of an intent.
    pub(super) async fn lost_of(&self, intent: &str) -> Result<i64, GatewayError> {
        let all = self.disputes_of(intent).await?;
        let is_lost = |dispute: &&StripeDispute| dispute.standing() == Some(DisputeStatus::Lost);
        Ok(all.iter().filter(is_lost).map(|dispute| dispute.amount).sum())
    }

    async fn disputes_of(&self, intent: &str) -> Result<Vec<StripeDispute>, GatewayError> {
        self.all("/v1/disputes", ("payment_intent", intent)).await
    }
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
