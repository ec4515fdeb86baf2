//! News of the gateway about refunds and disputes: it is asked at once, and its answer goes to the engine.
//!
//! News is not kept: if this fails, the gateway must tell it again. It repeats its webhooks for days.

use super::worker::GatewayCircuits;
use crate::breaker::NoAnswer;
use crate::domain::{DisputeStatus, PaymentOutcome, PaymentReference, RefundId, RefundStatus};
use crate::engine::{Engine, Error};
use crate::gateway::{Disputed, Gateway, GatewayError, Repaid};
use crate::rules::{Command, Dispute, Refusal, Settle, Wanted};
use crate::store::{Store, StoreError};
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

/// Maximum looks at one dispute whose payment changes meanwhile.
const LOOKS_MAX: u32 = 5;

/// Asks the gateway about refunds and disputes.
#[derive(Clone)]
pub struct GatewayNews {
    /// The payment gateway.
    pub gateway: Arc<dyn Gateway>,
    /// Knows the refunds.
    pub store: Arc<dyn Store>,
    /// Applies the answers.
    pub engine: Engine,
    /// The circuits around the gateway.
    pub circuits: Arc<GatewayCircuits>,
    /// Time limit of one call (`GATEWAY_TIMEOUT`).
    pub timeout: Duration,
}

impl GatewayNews {
    /// Asks what became of a refund. Unknown ones, of other systems, are left alone.
    pub async fn about_refund(&self, id: RefundId) -> Result<(), Error> {
        let asked = self.store.refunds_asked(&[id]).await?;
        let Some(refund) = asked.get(&id) else { return Ok(()) };
        let (gateway, payment) = (self.gateway.clone(), refund.payment);
        let asking = Box::pin(async move { gateway.repaid(id, payment).await });
        let answer =
            if planted!(event_taken_at_its_word) { Repaid::Done } else { self.ask(asking).await? };
        let outcome = match answer {
            Repaid::Done => PaymentOutcome::Refunded,
            Repaid::Failed(_) => PaymentOutcome::RefundFailed,
            Repaid::Processing => return Ok(()),
        };
        let settle = Settle {
            reference: refund.payment,
            booking_id: refund.booking_id,
            amount: refund.amount,
            outcome,
            refund_id: Some(id),
        };
        self.engine.submit(Command::Settle(settle)).await.map(drop)
    }

    /// Asks what became of the dispute of a payment, given by the gateway's own id.
    pub async fn about_dispute(&self, id: &str) -> Result<(), Error> {
        let Some(Disputed { payment, .. }) = self.dispute(id).await? else { return Ok(()) };
        for _ in 1..LOOKS_MAX {
            match self.look_at_dispute(id, payment).await {
                Err(Error::Refused(Refusal::PaymentChanged(_))) => {}
                done => return done,
            }
        }
        self.look_at_dispute(id, payment).await
    }

    /// One look. The row is read before the gateway is asked: where several replicas hear of one dispute, an earlier answer
    /// must not overwrite a later one.
    async fn look_at_dispute(&self, id: &str, reference: PaymentReference) -> Result<(), Error> {
        let wanted = Wanted {
            payments: [reference].into(),
            refunds_of: [reference].into(),
            ..Wanted::default()
        };
        let known = self.store.load(&wanted).await?;
        let payment = known.payments.get(&reference);
        let seen = payment.ok_or(Refusal::UnknownPayment(reference))?.version;
        let Some(Disputed { status, amount, .. }) = self.dispute(id).await? else { return Ok(()) };
        if status == DisputeStatus::Lost {
            // A refund that was made before the dispute, and is not settled yet, is not covered by it.
            for refund in known.refunds.into_values() {
                if refund.status == RefundStatus::Requested {
                    self.about_refund(refund.id).await?;
                }
            }
        }
        let dispute = Dispute { reference, status, amount, seen };
        self.engine.submit(Command::Dispute(dispute)).await.map(drop)
    }

    async fn dispute(&self, id: &str) -> Result<Option<Disputed>, Error> {
        let (gateway, id) = (self.gateway.clone(), id.to_owned());
        self.ask(Box::pin(async move { gateway.dispute(&id).await })).await
    }

    /// Makes one call within the circuit of refunds.
    async fn ask<T: Send + 'static>(
        &self,
        call: BoxFuture<'static, Result<T, GatewayError>>,
    ) -> Result<T, Error> {
        let answer = GatewayCircuits::call(&self.circuits.refunds, self.timeout, call).await;
        answer.map_err(|no_answer| {
            let cause = match no_answer {
                NoAnswer::Open(_) => anyhow::anyhow!("the gateway's circuit is open"),
                NoAnswer::Failed(error) => error.into(),
            };
            Error::Store(StoreError::Unavailable(cause))
        })
    }
}
