//! Payments whose payer acts on a page of the simulated gateway, as with 3-D Secure and UPI.

use super::{Call, SimulatedGateway};
use crate::domain::{Currency, Money, NextAction, PaymentMethod, PaymentReference};
use crate::gateway::sandbox::{Challenge, PAGE, Sandbox, Verdict};
use crate::gateway::{GatewayError, Opened, Opening};
use crate::store::StoreError;
use async_trait::async_trait;

/// Methods whose payer must approve the payment.
const CHALLENGED: [&str; 2] = ["pm_card_3ds", "pm_upi"];

#[async_trait]
impl Sandbox for SimulatedGateway {
    async fn challenge(&self, payment: PaymentReference) -> Result<Option<Challenge>, StoreError> {
        self.ledger.challenge(payment).await
    }

    async fn act(
        &self,
        payment: PaymentReference,
        verdict: Verdict,
    ) -> Result<Option<Challenge>, StoreError> {
        self.ledger.act(payment, verdict, self.clock.now()).await
    }
}

impl SimulatedGateway {
    /// Whether a payer must approve payments by this method.
    pub(super) fn is_challenged(method: &PaymentMethod) -> bool {
        CHALLENGED.contains(&method.as_str())
    }

    /// Opens a payment that its payer must approve, or goes on with it.
    pub(super) async fn open_challenge(&self, opening: &Opening) -> Result<Opened, GatewayError> {
        self.ledger.add_challenge(opening, self.clock.now()).await.map_err(|error| away(&error))?;
        self.settle_challenge(opening.reference).await
    }

    /// The outcome of a payment that its payer must approve.
    pub(super) async fn settle_challenge(
        &self,
        payment: PaymentReference,
    ) -> Result<Opened, GatewayError> {
        let unknown = || {
            GatewayError::Refused(
                "the simulated gateway does not know the payment, or another one has it".into(),
            )
        };
        let challenge = self
            .ledger
            .challenge(payment)
            .await
            .map_err(|error| away(&error))?
            .ok_or_else(unknown)?;
        if challenge.verdict.is_none() {
            let url = format!("{PAGE}{payment}");
            return Ok(Opened::ActionRequired(NextAction::Redirect { url }));
        }
        self.ask(Call::Challenged(challenge)).await
    }
}

fn away(error: &StoreError) -> GatewayError {
    GatewayError::Unanswered(format!("its ledger is unavailable: {error}"))
}

/// A challenge from its row's columns: reference, amount, currency, method, return URL, verdict.
pub(super) type ChallengeRow = (String, i64, String, String, Option<String>, Option<String>);

pub(super) fn challenge_from_row(row: ChallengeRow) -> Result<Challenge, StoreError> {
    let (text, amount, currency, method, return_url, verdict) = row;
    let corrupt =
        |column| StoreError::Corrupt { table: "gateway_challenges", column, row: text.clone() };
    let currency: Currency = currency.parse().map_err(|_| corrupt("currency"))?;
    let verdict = verdict.map(|word| word.parse().map_err(|_| corrupt("verdict")));
    Ok(Challenge {
        reference: text.parse().map_err(|_| corrupt("reference"))?,
        amount: Money::from_stored(amount, currency.decimals()),
        currency,
        method: PaymentMethod::new(&method).ok_or_else(|| corrupt("method"))?,
        return_url: return_url.map(Into::into),
        verdict: verdict.transpose()?,
    })
}
