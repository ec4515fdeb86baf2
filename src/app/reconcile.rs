//! Reconciliation with Stripe, beside a service.

use super::open_store::{Access, CommandStore, stripe};
use crate::booking::PaymentHints;
use crate::config::Config;
use crate::domain::Timestamp;
use crate::payments::reconcile::{Reconciled, reconcile};
use anyhow::Context;
use chrono::TimeDelta;
use std::sync::Arc;
use tokio::sync::Notify;

/// How far back to look by default.
const DEFAULT_SPAN: TimeDelta = TimeDelta::days(7);

/// Compares Stripe's payments since a moment with the rows; `repair`: asks Stripe again about those that differ and
/// are still open. Moves no money by itself.
pub async fn reconcile_with_stripe(
    config: &Config,
    since: Option<Timestamp>,
    repair: bool,
) -> anyhow::Result<Reconciled> {
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
        let reconciled = reconcile((&*opened.store, &*names), &*gateway, span).await?;
        if repair {
            let (store, clock) = (opened.store.clone(), opened.clock.clone());
            let hints = PaymentHints::new(store, clock, Arc::new(Notify::new()));
            for payment in reconciled.differences.iter().filter_map(|found| found.payment) {
                hints.ask_again(payment).await?;
            }
        }
        Ok(reconciled)
    };
    let compared = compared.await;
    opened.close().await;
    compared
}
