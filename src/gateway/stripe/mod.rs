//! Stripe. A payment is a payment intent, in two steps: it is created without moving money, its id is written to the
//! payment's row, and only then is it confirmed. So an intent that can have taken money is always known.
//!
//! Each purpose has one idempotency key. Stripe keeps the first answer of a key for 24 hours, server errors too: a
//! call that cannot pay twice goes out once more under a fresh key then.

mod amounts;
mod api;
mod disputes;
mod intents;
mod lists;
mod refunds;
mod webhooks;
mod wire;

use super::{Disputed, Gateway, GatewayError, Opened, Opening, Repaid};
use crate::domain::{Money, PaymentReference, RefundId};
use crate::store::GatewayNames;
use api::Api;
use async_trait::async_trait;
use std::sync::Arc;
use tracing::warn;

pub use api::API_VERSION;
pub use webhooks::{News, SIGNATURE, Webhooks};

/// The word for Stripe in `payments.gateway`.
pub const NAME: &str = "stripe";

/// The gateway.
pub struct StripeGateway {
    api: Api,
    names: Arc<dyn GatewayNames>,
}

impl StripeGateway {
    /// A gateway that calls the API at `base` with a secret key, and writes the ids of its intents to `names`.
    pub fn new(
        base: &str,
        secret_key: &str,
        names: Arc<dyn GatewayNames>,
    ) -> Result<Self, GatewayError> {
        Ok(Self { api: Api::new(base, secret_key)?, names })
    }
}

impl StripeGateway {
    /// Fails if the simulated gateway has taken the payment, before `PAYMENT_GATEWAY` was changed: Stripe must not
    /// take it too, and cannot return it.
    pub(super) async fn refuse_simulated(
        &self,
        payment: PaymentReference,
    ) -> Result<(), GatewayError> {
        let is_taken = self.names.is_in_simulated_books(payment).await;
        if is_taken.map_err(|error| GatewayError::Unanswered(error.to_string()))? {
            warn!(payment.reference = %payment, "refused: {SIMULATED}");
            return Err(GatewayError::Refused(SIMULATED.into()));
        }
        Ok(())
    }
}

/// Why Stripe has no answer for a payment of the simulated gateway.
const SIMULATED: &str = "PAYMENT_GATEWAY=stripe cannot return what the simulated gateway took";

#[async_trait]
impl Gateway for StripeGateway {
    async fn open(&self, opening: &Opening) -> Result<Opened, GatewayError> {
        self.open_intent(opening).await
    }

    async fn status(&self, reference: PaymentReference) -> Result<Opened, GatewayError> {
        match self.named(reference).await? {
            Some(name) => self.outcome_of(self.intent(&name.id).await?).await,
            None => Ok(Opened::Processing),
        }
    }

    async fn void(&self, reference: PaymentReference) -> Result<(), GatewayError> {
        match self.named(reference).await? {
            Some(name) => self.void_intent(reference, &name).await,
            // No intent was ever confirmed, and none will be: the payment's row is not open any more.
            None => self.refuse_simulated(reference).await,
        }
    }

    async fn refund(
        &self,
        id: RefundId,
        reference: PaymentReference,
        amount: Money,
    ) -> Result<Repaid, GatewayError> {
        match self.named(reference).await? {
            Some(name) => self.refund_intent(&name, &id.to_string(), amount).await,
            None => {
                self.refuse_simulated(reference).await?;
                Err(GatewayError::Refused("a refund of a payment that Stripe does not know".into()))
            }
        }
    }

    async fn repaid(
        &self,
        id: RefundId,
        reference: PaymentReference,
    ) -> Result<Repaid, GatewayError> {
        match self.named(reference).await? {
            Some(name) => self.refund_of(&name, &id.to_string()).await,
            None => Ok(Repaid::Processing),
        }
    }

    async fn dispute(&self, id: &str) -> Result<Option<Disputed>, GatewayError> {
        self.dispute_of(id).await
    }
}
