//! Compares a gateway's list of payments with the rows, both ways.

use crate::domain::{
    Money, Payment, PaymentReference, PaymentStatus, Refund, RefundId, RefundStatus, Timestamp,
};
use crate::gateway::{GatewayError, Listed, ListedRefund, Listing};
use crate::rules::Wanted;
use crate::store::{Commits, GatewayNames, StoreError};
use chrono::TimeDelta;
use std::collections::HashMap;

/// Maximum rows that are read at once.
const PAGE: usize = 500;

/// How long a payment or refund may be ahead at the gateway: its answer may be on the way.
const UNDER_WAY: TimeDelta = TimeDelta::minutes(10);

/// Payments that were made at the gateway shortly before their rows were read.
const LEAD: TimeDelta = TimeDelta::hours(1);

/// A difference between the gateway and the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The payment, if its reference is known.
    pub payment: Option<PaymentReference>,
    /// What differs.
    pub what: String,
}

/// The outcome of a comparison.
#[derive(Debug, Default)]
pub struct Reconciled {
    /// Number of payments compared.
    pub payments: usize,
    /// What differs.
    pub differences: Vec<Difference>,
}

/// Why nothing was compared.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The gateway does not answer.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
}

/// Compares the payments made since a moment.
pub async fn reconcile(
    (rows, names): (&dyn Commits, &dyn GatewayNames),
    gateway: &dyn Listing,
    (since, now): (Timestamp, Timestamp),
) -> Result<Reconciled, ReconcileError> {
    let listed = gateway.payments_since(since - LEAD).await?;
    let mut listed: HashMap<_, _> =
        listed.into_iter().map(|listed| (listed.id.clone(), listed)).collect();
    let mut done = Reconciled::default();
    let mut after = None;
    loop {
        let page = names.named_since(gateway.name(), since, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.payment);
        let state = rows
            .load(&Wanted {
                payments: page.iter().map(|named| named.payment).collect(),
                refunds: page.iter().flat_map(|named| named.refunds.iter().copied()).collect(),
                ..Wanted::default()
            })
            .await?;
        for named in &page {
            let Some(payment) = state.payments.get(&named.payment) else { continue };
            let refunds: Vec<_> =
                named.refunds.iter().filter_map(|id| state.refunds.get(id)).collect();
            done.payments += 1;
            let there = match listed.remove(&named.id) {
                Some(listed) => Some(listed),
                None => gateway.payment(&named.id).await?,
            };
            done.differences.extend(compare(payment, &refunds, there.as_ref(), now));
        }
    }
    for stray in listed.into_values() {
        done.differences.extend(unknown(names, stray).await?);
    }
    Ok(done)
}

/// The difference that a payment at the gateway makes which no row since the moment names.
async fn unknown(
    names: &dyn GatewayNames,
    listed: Listed,
) -> Result<Option<Difference>, StoreError> {
    // Payments of other systems have no reference.
    let Some(payment) = listed.reference.filter(|_| !is_zero(listed.kept())) else {
        return Ok(None);
    };
    let name = names.gateway_name(payment).await?;
    let is_named = name.is_some_and(|name| name.id == listed.id);
    let what = format!("the gateway keeps {} as {}, which is not here", listed.kept(), listed.id);
    Ok((!is_named).then_some(Difference { payment: Some(payment), what }))
}

fn compare(
    payment: &Payment,
    refunds: &[&Refund],
    there: Option<&Listed>,
    now: Timestamp,
) -> Vec<Difference> {
    let differs = |what| Difference { payment: Some(payment.reference), what };
    let Some(there) = there else {
        return vec![differs(format!("{} here, unknown at the gateway", payment.status.as_str()))];
    };
    let of_refunds = compare_refunds(payment, refunds, &there.refunds, now);
    difference_of(payment, there, now).into_iter().chain(of_refunds).map(differs).collect()
}

fn difference_of(payment: &Payment, there: &Listed, now: Timestamp) -> Option<String> {
    let (here, kept) = (payment.status.as_str(), there.kept());
    match payment.status {
        PaymentStatus::Captured if is_zero(there.captured) => {
            Some("captured here, not at the gateway".to_owned())
        }
        PaymentStatus::Captured => (there.captured != payment.amount).then(|| {
            format!("{} captured here, {} at the gateway", payment.amount, there.captured)
        }),
        PaymentStatus::Declined | PaymentStatus::Reversed => {
            (!is_zero(kept)).then(|| format!("{here} here, the gateway keeps {kept}"))
        }
        PaymentStatus::Requested | PaymentStatus::ReversalRequested => {
            let is_late = payment.updated_at.max(there.created_at) + UNDER_WAY < now;
            (is_late && !is_zero(kept)).then(|| format!("{here} here, the gateway keeps {kept}"))
        }
    }
}

fn compare_refunds(
    payment: &Payment,
    refunds: &[&Refund],
    there: &[ListedRefund],
    now: Timestamp,
) -> Vec<String> {
    let mut found: Vec<_> =
        refunds.iter().filter_map(|refund| difference_of_refund(refund, there, now)).collect();
    let is_here = |id: RefundId| refunds.iter().any(|refund| refund.id == id);
    found.extend(there.iter().filter_map(|made| match made.refund {
        Some(id) if is_here(id) => None,
        Some(id) => {
            Some(format!("the gateway made the refund {id} of {}, unknown here", made.amount))
        }
        // A reversal gives back what is left, without a refund's row.
        None if made.is_void && payment.status != PaymentStatus::Captured => None,
        None => Some(format!(
            "the gateway gave back {} as {}, which is not here",
            made.amount, made.name
        )),
    }));
    found
}

fn difference_of_refund(refund: &Refund, there: &[ListedRefund], now: Timestamp) -> Option<String> {
    let id = refund.id;
    match (there.iter().find(|made| made.refund == Some(id)), refund.status) {
        (None, RefundStatus::Done) => {
            Some(format!("the refund {id} is done here, not at the gateway"))
        }
        (Some(made), _) if made.amount != refund.amount => Some(format!(
            "the refund {id} is over {} here, {} at the gateway",
            refund.amount, made.amount
        )),
        (Some(_), RefundStatus::Requested) if refund.created_at + UNDER_WAY < now => {
            Some(format!("the refund {id} is requested here, made at the gateway"))
        }
        _ => None,
    }
}

fn is_zero(amount: Money) -> bool {
    amount == Money::default()
}
