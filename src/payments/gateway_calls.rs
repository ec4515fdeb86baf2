//! One call of the gateway, within its circuit, and what its answer means.

use super::requests::{Asked, Wanted};
use super::worker::{GatewayCircuits, PaymentWorker};
use crate::breaker::NoAnswer;
use crate::domain::{NextAction, PaymentOutcome, PaymentReference};
use crate::gateway::{GatewayError, Opened, Opening, Repaid};
use crate::store::StoreError;
use crate::telemetry::Side;
use futures::future::BoxFuture;
use std::sync::Arc;
use tracing::warn;

/// What the gateway told.
#[derive(Debug)]
pub(super) struct Told {
    /// The outcome to publish; `None`: nothing new.
    pub(super) outcome: Option<PaymentOutcome>,
    /// What goes to the payment's row alone, before the outcome is published.
    note: Option<Note>,
}

#[derive(Debug)]
enum Note {
    Action(NextAction),
    Decline(Arc<str>),
}

impl Told {
    /// The gateway has not decided.
    const NOTHING: Self = Self { outcome: None, note: None };

    pub(super) fn of(outcome: PaymentOutcome) -> Self {
        Self { outcome: Some(outcome), note: None }
    }

    /// What an outcome of a payment tells. `is_repeat`: its payer was asked to act before.
    fn of_payment(opened: Opened, is_repeat: bool) -> Self {
        match opened {
            Opened::Captured => Self::of(PaymentOutcome::Completed),
            Opened::Voided => Self::of(PaymentOutcome::Reversed),
            Opened::Declined(reason) => {
                Self { note: reason.map(Note::Decline), ..Self::of(PaymentOutcome::Failed) }
            }
            Opened::ActionRequired(_) if is_repeat => Self::NOTHING,
            Opened::ActionRequired(action) => {
                let note = Some(Note::Action(action));
                Self { note, ..Self::of(PaymentOutcome::ActionRequired) }
            }
            Opened::Processing => Self::NOTHING,
        }
    }
}

impl PaymentWorker {
    /// Calls the gateway once, unless its circuit is open.
    pub(super) async fn ask(&self, asked: &Asked) -> Result<Told, NoAnswer<GatewayError>> {
        let name = match asked.call {
            Wanted::Open(_) => "gateway.open",
            Wanted::Status(_) => "gateway.status",
            Wanted::Void(_) => "gateway.void",
            Wanted::Refund(..) => "gateway.refund",
        };
        let call = self.tracing.span(name, Side::Client, &asked.span.context());
        let is_capture = asked.call.payment().is_some();
        let circuit = if is_capture { &self.circuits.captures } else { &self.circuits.refunds };
        let answer = GatewayCircuits::call(circuit, self.timeout, self.call(asked)).await;
        match &answer {
            Ok(told) => {
                let outcome = told.outcome.as_ref().map_or("none", <&str>::from);
                call.note("payment.outcome", outcome);
            }
            Err(NoAnswer::Failed(_)) => call.fail("unanswered"),
            Err(NoAnswer::Open(_)) => call.fail("circuit_open"),
        }
        answer
    }

    fn call(&self, asked: &Asked) -> BoxFuture<'static, Result<Told, GatewayError>> {
        let (gateway, reference) = (self.gateway.clone(), asked.reference);
        match &asked.call {
            Wanted::Void(_) => Box::pin(async move {
                gateway.void(reference).await?;
                Ok(Told::of(PaymentOutcome::Reversed))
            }),
            Wanted::Refund(id, amount) => {
                let (id, amount) = (*id, *amount);
                Box::pin(async move {
                    Ok(match gateway.refund(id, reference, amount).await? {
                        Repaid::Done => Told::of(PaymentOutcome::Refunded),
                        Repaid::Failed(reason) => {
                            warn!(refund.id = %id, reason = reason.as_deref(), "the gateway refused a refund");
                            Told::of(PaymentOutcome::RefundFailed)
                        }
                        Repaid::Processing => Told::NOTHING,
                    })
                })
            }
            Wanted::Status(_) => {
                Box::pin(
                    async move { Ok(Told::of_payment(gateway.status(reference).await?, true)) },
                )
            }
            Wanted::Open(payment) => {
                let opening = Opening {
                    reference,
                    amount: payment.amount,
                    currency: payment.currency,
                    method: payment.method.clone(),
                    return_url: payment.return_url.clone(),
                };
                Box::pin(async move { Ok(Told::of_payment(gateway.open(&opening).await?, false)) })
            }
        }
    }

    /// Writes what the gateway said beside an outcome to the payment's row.
    pub(super) async fn note(
        &self,
        payment: PaymentReference,
        told: &Told,
    ) -> Result<(), StoreError> {
        match &told.note {
            None => Ok(()),
            Some(Note::Action(action)) => self.notes.note_action(payment, action).await,
            Some(Note::Decline(reason)) => self.notes.note_decline(payment, reason).await,
        }
    }
}
