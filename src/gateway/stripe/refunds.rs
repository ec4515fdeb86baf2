//! Refunds of a payment intent.
//!
//! Stripe forgets a key after 24 hours, and a refund may be repeated for longer. So each refund is looked for before
//! it is made, by its id in the metadata.

use super::StripeGateway;
use super::amounts::to_stripe;
use super::wire::{Intent, StripeRefund};
use crate::domain::{Money, PaymentReference};
use crate::gateway::GatewayError;
use crate::store::GatewayName;

impl StripeGateway {
    pub(super) async fn refund_intent(
        &self,
        name: &GatewayName,
        id: &str,
        amount: Money,
    ) -> Result<(), GatewayError> {
        let amount = to_stripe(amount, name.currency)
            .ok_or_else(|| GatewayError("Stripe has no number for the refund's amount".into()))?;
        let made = self.refunds_of(&name.id).await?;
        self.refund_once(&name.id, id, amount, &made).await
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
        let left = intent.amount_received - given;
        if left <= 0 {
            return Ok(());
        }
        self.refund_once(&intent.id, &format!("{payment}:void"), left, &made).await
    }

    /// Makes a refund unless it is among those made. A failed one is made again under a key of its own.
    async fn refund_once(
        &self,
        intent: &str,
        id: &str,
        amount: i64,
        made: &[StripeRefund],
    ) -> Result<(), GatewayError> {
        let ours = || {
            made.iter()
                .filter(|refund| refund.metadata.get("refund_id").is_some_and(|its| its == id))
        };
        match ours().find(|refund| !refund.has_failed()) {
            Some(refund) if refund.amount == amount => return Ok(()),
            Some(_) => return Err(GatewayError("the refund was made over another amount".into())),
            None => {}
        }
        let amount = amount.to_string();
        let form = [("payment_intent", intent), ("amount", &*amount), ("metadata[refund_id]", id)];
        let key = match ours().count() {
            0 => id.to_owned(),
            failed => format!("{id}:{failed}"),
        };
        let refund: StripeRefund = self.api.post("/v1/refunds", &form, &key).await?;
        if refund.has_failed() {
            return Err(GatewayError(format!("Stripe's refund {} failed", refund.id)));
        }
        Ok(())
    }

    async fn refunds_of(&self, intent: &str) -> Result<Vec<StripeRefund>, GatewayError> {
        self.all("/v1/refunds", ("payment_intent", intent)).await
    }
}
