//! The sweeper's role for refunds: find those that the gateway has not answered, and request them again.

use super::maintenance::{Page, Position};
use crate::domain::{BookingId, Payment, Refund, Timestamp};
use crate::rules::OutboxEvent;
use crate::store::rows::reference;
use crate::store::{Leases, StoreError};
use async_trait::async_trait;
use std::collections::HashMap;

/// Finds and repeats refunds.
#[async_trait]
pub trait Refunds: Leases {
    /// Refunds still `requested` that last changed before `before`, oldest first: a page of at most `limit`
    /// rows after `after`. Unreadable rows are left out, and logged and counted by the store.
    async fn unanswered_refunds(
        &self,
        before: Timestamp,
        after: Option<&Position>,
        limit: usize,
    ) -> Result<Page<RefundDue>, StoreError>;

    /// Writes the requests of these refunds to the outbox again, sets their `updated_at` to `now` and counts
    /// the attempt. Skips refunds that have changed since they were read.
    async fn redrive_refunds(
        &self,
        requests: &[(Refund, OutboxEvent)],
        now: Timestamp,
    ) -> Result<(), StoreError>;
}

/// A refund to request again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundDue {
    /// The refund.
    pub refund: Refund,
    /// The payment whose money goes back.
    pub payment: Payment,
    /// The order that the payment pays.
    pub order_id: BookingId,
}

/// Each refund with its payment and its order, given as payment and id. Refunds of an unreadable payment are
/// left out.
pub(in crate::store) fn due(
    refunds: Vec<Refund>,
    payments: Vec<Payment>,
    orders: Vec<(String, i64)>,
) -> Result<Vec<RefundDue>, StoreError> {
    let order = |(payment, id): (String, i64)| Ok((reference(&payment)?, BookingId(id)));
    let orders: HashMap<_, _> = orders.into_iter().map(order).collect::<Result<_, StoreError>>()?;
    let payments: HashMap<_, _> = payments.into_iter().map(|p| (p.reference, p)).collect();
    let due = |refund: Refund| {
        let payment = payments.get(&refund.payment)?.clone();
        let order_id = *orders.get(&payment.order)?;
        Some(RefundDue { refund, payment, order_id })
    };
    Ok(refunds.into_iter().filter_map(due).collect())
}
