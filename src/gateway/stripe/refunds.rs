//! Refunds of a payment intent.
//!
//! Stripe forgets a key after 24 hours, and a refund may be repeated for longer. So each refund is looked for before
//! it is made, by its id in the metadata.

use super::StripeGateway;
use super::amounts::to_stripe;
use super::api::Fault;
use super::intents::is_final;
use super::wire::{Intent, StripeRefund};
use crate::domain::{Money, PaymentReference};
use crate::gateway::{GatewayError, Repaid};
use crate::store::GatewayName;

impl StripeGateway {
    pub(super) async fn refund_intent(
        &self,
        name: &GatewayName,
        id: &str,
        amount: Money,
    ) -> Result<Repaid, GatewayError> {
        let amount = to_stripe(amount, name.currency).ok_or_else(|| {
            GatewayError::Refused("Stripe has no number for the refund's amount".into())
        })?;
        let made = self.refunds_of(&name.id).await?;
        self.refund_once(&name.id, id, amount, &made).await
    }

    /// The outcome of the last refund with this id. Makes none.
    pub(super) async fn refund_of(
        &self,
        name: &GatewayName,
        id: &str,
    ) -> Result<Repaid, GatewayError> {
        let made = self.refund_made(&name.id, id).await?;
        Ok(made.map_or(Repaid::Processing, |refund| refund.outcome()))
    }

    /// Gives back what is left of a captured intent.
    pub(super) async fn refund_rest(
        &self,
        payment: PaymentReference,
        intent: &Intent,
    ) -> Result<(), GatewayError> {
        let made = self.refunds_of(&intent.id).await?;
        let given: i64 =
            made.iter().filter(|refund| !refund.has_failed()).map(|refund| refund.amount).sum();
        let left = intent.amount_received - given - self.lost_of(&intent.id).await?;
        if left <= 0 {
            return Ok(());
        }
        match self.refund_once(&intent.id, &format!("{payment}:void"), left, &made).await? {
            // A reversal has no other end than that the money went back.
            Repaid::Failed(reason) => {
                let reason = reason.as_deref().unwrap_or("without a reason").to_owned();
                Err(GatewayError::Refused(format!(
                    "Stripe refused to give back what is left: {reason}"
                )))
            }
            Repaid::Done | Repaid::Processing => Ok(()),
        }
    }

    /// Makes a refund unless it is among those made. A failed one is made again under a key of its own.
    async fn refund_once(
        &self,
        intent: &str,
        id: &str,
        amount: i64,
        made: &[StripeRefund],
    ) -> Result<Repaid, GatewayError> {
        let ours = || made.iter().filter(|refund| refund.is_of(id));
        match ours().find(|refund| !refund.has_failed()) {
            Some(refund) if refund.amount == amount => return Ok(refund.outcome()),
            Some(_) => {
                return Err(GatewayError::Refused(
                    "the refund was made over another amount".into(),
                ));
            }
            None => {}
        }
        let amount = amount.to_string();
        let form = [("payment_intent", intent), ("amount", &*amount), ("metadata[refund_id]", id)];
        let key = match ours().count() {
            0 => id.to_owned(),
            failed => format!("{id}:{failed}"),
        };
        match self.api.post::<StripeRefund>("/v1/refunds", &form, &key).await {
            Ok(refund) => Ok(refund.outcome()),
            Err(Fault::Refused(status, problem)) if is_final(status, &problem) => {
                // Another call may have made it after `made` was listed.
                let made = self.refund_made(intent, id).await?;
                let refused = || Repaid::Failed(problem.reason().map(Into::into));
                Ok(made.filter(|made| !made.has_failed()).map_or_else(refused, |it| it.outcome()))
            }
            Err(fault) => Err(fault.into()),
        }
    }

    /// The last refund with this id: one whose money went back, if there is one.
    async fn refund_made(
        &self,
        intent: &str,
        id: &str,
    ) -> Result<Option<StripeRefund>, GatewayError> {
        let mut ours = self.refunds_of(intent).await?;
        ours.retain(|refund| refund.is_of(id));
        let decides = ours.iter().position(|refund| !refund.has_failed()).unwrap_or(0);
        Ok(ours.into_iter().nth(decides))
    }

    async fn refunds_of(&self, intent: &str) -> Result<Vec<StripeRefund>, GatewayError> {
        self.all("/v1/refunds", ("payment_intent", intent)).await
    }
}
