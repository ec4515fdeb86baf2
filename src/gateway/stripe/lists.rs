//! Stripe's lists of intents and refunds, for reconciliation.

use super::amounts::from_stripe;
use super::api::Fault;
use super::disputes::{deciding, lost};
use super::intents::is_unconfirmed;
use super::wire::{Intent, List, StripeDispute, StripeRefund};
use super::{NAME, StripeGateway};
use crate::domain::{Currency, Timestamp};
use crate::gateway::{GatewayError, Listed, ListedRefund, ListedState, Listing, Repaid};
use async_trait::async_trait;
use http::StatusCode;
use serde::de::DeserializeOwned;
use std::collections::HashMap;

/// The size of a page, Stripe's largest.
const PAGE: &str = "100";

/// An object in a list.
pub(super) trait Item: DeserializeOwned {
    fn id(&self) -> &str;
}

impl Item for Intent {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Item for StripeDispute {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Item for StripeRefund {
    fn id(&self) -> &str {
        &self.id
    }
}

impl StripeGateway {
    /// Every object of a list, page by page.
    pub(super) async fn all<T: Item>(
        &self,
        path: &str,
        filter: (&str, &str),
    ) -> Result<Vec<T>, GatewayError> {
        let mut all: Vec<T> = Vec::new();
        loop {
            let mut query = vec![filter, ("limit", PAGE)];
            let last = all.last().map(|item| item.id().to_owned());
            if let Some(last) = &last {
                query.push(("starting_after", last));
            }
            let page: List<T> = self.api.get(path, &query).await?;
            let is_last = !page.has_more || page.data.is_empty();
            all.extend(page.data);
            if is_last {
                return Ok(all);
            }
        }
    }
}

#[async_trait]
impl Listing for StripeGateway {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn payments_since(&self, since: Timestamp) -> Result<Vec<Listed>, GatewayError> {
        let since = since.timestamp().to_string();
        let filter = ("created[gte]", &*since);
        let intents: Vec<Intent> = self.all("/v1/payment_intents", filter).await?;
        // Refunds and disputes begin after their payment, so they are in the list of the same time.
        let refunds: Vec<StripeRefund> = self.all("/v1/refunds", filter).await?;
        let disputes: Vec<StripeDispute> = self.all("/v1/disputes", filter).await?;
        let mut refunds = by_intent(refunds, |refund| refund.payment_intent.clone());
        let mut disputes = by_intent(disputes, |dispute| dispute.payment_intent.clone());
        let listed = intents.into_iter().filter_map(|intent| {
            let refunds = refunds.remove(&intent.id).unwrap_or_default();
            let disputes = disputes.remove(&intent.id).unwrap_or_default();
            listed(intent, &refunds, &disputes)
        });
        Ok(listed.collect())
    }

    async fn payment(&self, id: &str) -> Result<Option<Listed>, GatewayError> {
        let intent: Intent = match self.api.get(&format!("/v1/payment_intents/{id}"), &[]).await {
            Ok(intent) => intent,
            Err(Fault::Refused(StatusCode::NOT_FOUND, _)) => return Ok(None),
            Err(fault) => return Err(fault.into()),
        };
        let refunds = self.all("/v1/refunds", ("payment_intent", id)).await?;
        let disputes = self.all("/v1/disputes", ("payment_intent", id)).await?;
        Ok(listed(intent, &refunds, &disputes))
    }
}

fn by_intent<T>(all: Vec<T>, intent: impl Fn(&T) -> Option<String>) -> HashMap<String, Vec<T>> {
    let mut found: HashMap<String, Vec<T>> = HashMap::new();
    for item in all {
        if let Some(intent) = intent(&item) {
            found.entry(intent).or_default().push(item);
        }
    }
    found
}

/// `None` if its currency is none that the service knows: another system's.
fn listed(intent: Intent, refunds: &[StripeRefund], disputes: &[StripeDispute]) -> Option<Listed> {
    let currency: Currency = intent.currency.as_deref()?.to_ascii_uppercase().parse().ok()?;
    let reference = intent.metadata.get("reference");
    let void = reference.map(|reference| format!("{reference}:void"));
    let made = refunds.iter().filter(|refund| !refund.has_failed()).map(|refund| {
        let id = refund.metadata.get("refund_id");
        ListedRefund {
            name: refund.id.clone(),
            refund: id.and_then(|id| id.parse().ok()),
            is_void: id.is_some() && id == void.as_ref(),
            is_pending: refund.outcome() == Repaid::Processing,
            amount: from_stripe(refund.amount, currency),
        }
    });
    let state = state_of(&intent);
    let received = if state == ListedState::Captured { intent.amount_received } else { 0 };
    Some(Listed {
        reference: reference.and_then(|text| text.parse().ok()),
        currency,
        amount: from_stripe(intent.amount, currency),
        captured: from_stripe(received, currency),
        state,
        created_at: Timestamp::from_timestamp(intent.created, 0)?,
        refunds: made.collect(),
        dispute: deciding(disputes).map(|(status, _)| status),
        lost: from_stripe(lost(disputes), currency),
        id: intent.id,
    })
}

fn state_of(intent: &Intent) -> ListedState {
    match &*intent.status {
        _ if is_unconfirmed(intent) => ListedState::Unconfirmed,
        "succeeded" => ListedState::Captured,
        "canceled" => ListedState::Ended,
        _ => ListedState::Open,
    }
}
