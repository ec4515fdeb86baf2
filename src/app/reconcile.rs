//! Reconciliation with Stripe, beside a service.

use super::open_store::{Access, CommandStore, stripe};
use crate::booking::PaymentHints;
use crate::config::Config;
use crate::domain::Timestamp;
use crate::payments::reconcile::{Difference, Mending, reconcile};
use crate::store::StoreError;
use anyhow::Context;
use chrono::TimeDelta;
use std::sync::Arc;
use tokio::sync::Notify;

/// How far back to look by default.
const DEFAULT_SPAN: TimeDelta = TimeDelta::days(7);

/// What Stripe and the database differ in, and what was done about it.
#[derive(Debug)]
pub struct ReconcileReport {
    /// Number of payments compared.
    pub payments: usize,
    /// The differences, by payment.
    pub differences: Vec<(Difference, Repair)>,
}

/// What was done about a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// The service can ask Stripe again.
    Offered,
    /// The service asks Stripe again.
    Asked,
    /// It was settled meanwhile.
    Settled,
    /// It is for a person.
    Person,
}

/// Compares Stripe's payments since a moment with the rows. `repair`: makes the service ask Stripe again about payments,
/// reversals and refunds that differ and are still open. Moves no money by itself.
pub async fn reconcile_with_stripe(
    config: &Config,
    since: Option<Timestamp>,
    repair: bool,
) -> anyhow::Result<ReconcileReport> {
    let settings = config.stripe.as_ref().context(
        "PAYMENT_GATEWAY=simulated has nothing to reconcile: `airline-booking audit` compares its ledger",
    )?;
    let access = if repair { Access::Write } else { Access::Read };
    let opened = CommandStore::from_config(config, access).await?;
    let compared = async {
        let names = opened.names();
        let gateway = stripe(settings, names.clone())?;
        let now = opened.clock.now();
        let span = (since.unwrap_or(now - DEFAULT_SPAN), now);
        let found = reconcile((&*opened.store, &*names), &*gateway, span).await?;
        let (store, clock) = (opened.store.clone(), opened.clock.clone());
        let hints = repair.then(|| PaymentHints::new(store, clock, Arc::new(Notify::new())));
        let mut differences = Vec::with_capacity(found.differences.len());
        for difference in found.differences {
            let done = mend(&difference, hints.as_ref()).await?;
            differences.push((difference, done));
        }
        Ok(ReconcileReport { payments: found.payments, differences })
    };
    let compared = compared.await;
    opened.close().await;
    compared
}

async fn mend(difference: &Difference, hints: Option<&PaymentHints>) -> Result<Repair, StoreError> {
    let payment = difference.payment;
    let is_asked = match (difference.mending, hints) {
        (Mending::Person, _) => return Ok(Repair::Person),
        (_, None) => return Ok(Repair::Offered),
        (Mending::Payment, Some(hints)) => hints.ask_again(payment).await?,
        (Mending::Refund(refund), Some(hints)) => hints.ask_again_for(refund, payment).await?,
    };
    Ok(if is_asked { Repair::Asked } else { Repair::Settled })
}
