//! Payment intents: created, noted, confirmed; read; cancelled.

use super::amounts::to_stripe;
use super::api::Fault;
use super::wire::{Intent, Problem};
use super::{NAME, StripeGateway};
use crate::domain::PaymentReference;
use crate::gateway::{GatewayError, Opened, Opening};
use crate::store::GatewayName;
use http::StatusCode;

impl StripeGateway {
    /// The id of a payment's intent, if one is noted.
    pub(super) async fn named(
        &self,
        payment: PaymentReference,
    ) -> Result<Option<GatewayName>, GatewayError> {
        self.names
            .gateway_name(payment)
            .await
            .map_err(|error| GatewayError::Unanswered(error.to_string()))
    }

    pub(super) async fn intent(&self, id: &str) -> Result<Intent, GatewayError> {
        Ok(self.api.get(&format!("/v1/payment_intents/{id}"), &[]).await?)
    }

    pub(super) async fn open_intent(&self, opening: &Opening) -> Result<Opened, GatewayError> {
        let named = self.named(opening.reference).await?;
        if let Some(name) = named {
            let intent = self.intent(&name.id).await?;
            if !is_unconfirmed(&intent) {
                return self.outcome_of(intent).await;
            }
            return self.confirm(opening, &name.id).await;
        }
        self.refuse_simulated(opening.reference).await?;
        let intent = match self.create(opening).await? {
            Ok(intent) => intent,
            Err(declined) => return Ok(declined),
        };
        let noted = self.names.name_at_gateway(opening.reference, NAME, &intent.id).await;
        match noted.map_err(|error| GatewayError::Unanswered(error.to_string()))? {
            Some(id) => self.confirm(opening, &id).await,
            // The payment is not open any more, so nothing may take money for it.
            None => Ok(Opened::Processing),
        }
    }

    /// Creates an intent, which moves no money; or the outcome, if Stripe can never charge this amount.
    async fn create(&self, opening: &Opening) -> Result<Result<Intent, Opened>, GatewayError> {
        let Some(amount) = to_stripe(opening.amount, opening.currency) else {
            return Ok(Err(Opened::Declined(Some("amount_not_supported".into()))));
        };
        let reference = opening.reference.to_string();
        let (amount, currency) =
            (amount.to_string(), opening.currency.as_str().to_ascii_lowercase());
        let mut form = vec![
            ("amount", &*amount),
            ("currency", &currency),
            ("automatic_payment_methods[enabled]", "true"),
            ("metadata[reference]", &reference),
        ];
        if opening.return_url.is_none() {
            // Methods that lead the payer to a page need one to return to.
            form.push(("automatic_payment_methods[allow_redirects]", "never"));
        }
        let key = format!("{reference}:create");
        match self.api.post_repeatable("/v1/payment_intents", &form, &key).await {
            Ok(intent) => Ok(Ok(intent)),
            Err(Fault::Refused(status, problem)) if is_final(status, &problem) => {
                Ok(Err(declined(&problem)))
            }
            Err(fault) => Err(fault.into()),
        }
    }

    /// Confirms an intent. It captures at most once, whatever the key: a second confirmation of a captured intent is
    /// refused.
    async fn confirm(&self, opening: &Opening, id: &str) -> Result<Opened, GatewayError> {
        let mut form = vec![("payment_method", opening.method.as_str())];
        match &opening.return_url {
            Some(url) => form.push(("return_url", url)),
            None => form.push(("use_stripe_sdk", "true")),
        }
        let path = format!("/v1/payment_intents/{id}/confirm");
        let key = format!("{}:confirm", opening.reference);
        match self.api.post_repeatable(&path, &form, &key).await {
            Ok(intent) => self.outcome_of(intent).await,
            Err(Fault::Refused(status, problem)) if is_final(status, &problem) => {
                self.end_declined(id, declined(&problem)).await
            }
            Err(Fault::Refused(_, problem)) if is_unexpected_state(&problem) => {
                self.outcome_of(self.intent(id).await?).await
            }
            Err(fault) => Err(fault.into()),
        }
    }

    /// What an intent's status means. An intent whose attempt failed is cancelled, so that no later attempt of its
    /// payer captures it.
    pub(super) async fn outcome_of(&self, intent: Intent) -> Result<Opened, GatewayError> {
        Ok(match &*intent.status {
            "succeeded" => Opened::Captured,
            "canceled" => match &intent.last_payment_error {
                Some(problem) => declined(problem),
                None => Opened::Voided,
            },
            "requires_payment_method" => {
                let outcome = declined(intent.last_payment_error.as_ref().unwrap_or(&UNTOLD));
                return self.end_declined(&intent.id, outcome).await;
            }
            "requires_action" => intent.action().map_or(Opened::Processing, Opened::ActionRequired),
            _ => Opened::Processing,
        })
    }

    /// Cancels a declined intent; what it took meanwhile is captured.
    async fn end_declined(&self, id: &str, outcome: Opened) -> Result<Opened, GatewayError> {
        if self.cancel(id).await? {
            return Ok(outcome);
        }
        match &*self.intent(id).await?.status {
            "succeeded" => Ok(Opened::Captured),
            "canceled" => Ok(outcome),
            _ => Ok(Opened::Processing),
        }
    }

    /// Whether the intent is cancelled: `false` if its state does not allow it.
    async fn cancel(&self, id: &str) -> Result<bool, GatewayError> {
        let path = format!("/v1/payment_intents/{id}/cancel");
        let answer: Result<Intent, Fault> =
            self.api.post_repeatable(&path, &[], &format!("{id}:cancel")).await;
        match answer {
            Ok(_) => Ok(true),
            Err(Fault::Refused(_, problem)) if is_unexpected_state(&problem) => Ok(false),
            Err(fault) => Err(fault.into()),
        }
    }

    /// Cancels an intent, or gives back what is left of it once it is captured.
    pub(super) async fn void_intent(
        &self,
        payment: PaymentReference,
        name: &GatewayName,
    ) -> Result<(), GatewayError> {
        let intent = self.intent(&name.id).await?;
        match &*intent.status {
            "canceled" => Ok(()),
            "succeeded" => self.refund_rest(payment, &intent).await,
            _ if self.cancel(&name.id).await? => Ok(()),
            _ => Err(GatewayError::Refused("the intent changed while it was cancelled".into())),
        }
    }
}

/// Whether an intent was never confirmed. A new one requires a payment method, as one does whose attempt failed.
pub(super) fn is_unconfirmed(intent: &Intent) -> bool {
    match &*intent.status {
        "requires_confirmation" => true,
        "requires_payment_method" => intent.last_payment_error.is_none(),
        _ => false,
    }
}

/// The problem of an intent that tells none.
const UNTOLD: Problem = Problem { kind: String::new(), code: None, decline_code: None };

fn declined(problem: &Problem) -> Opened {
    Opened::Declined(problem.reason().map(Into::into))
}

fn is_unexpected_state(problem: &Problem) -> bool {
    problem.code.as_deref() == Some("payment_intent_unexpected_state")
}

/// Whether a refusal ends the payment: the card is declined, or no repeat of the call can succeed, as with an unknown
/// payment method. Such a refusal is no failure of Stripe's: it must not open the circuit.
pub(super) fn is_final(status: StatusCode, problem: &Problem) -> bool {
    let is_invalid = status == StatusCode::BAD_REQUEST && problem.kind == "invalid_request_error";
    status == StatusCode::PAYMENT_REQUIRED || (is_invalid && !is_unexpected_state(problem))
}
