//! The sweeper's role for refunds: find those that the gateway has not answered, and request them again.

use super::maintenance::{Page, Position};
use crate::domain::{BookingId, Payment, PaymentReference, Refund, Timestamp};
use crate::rules::OutboxEvent;
use crate::store::{Leases, StoreError};
use async_trait::async_trait;
use std::collections::{HashMap, HashSet};

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

/// Each refund with its payment and its order. Refunds of an unreadable payment are left out.
pub(in crate::store) fn due(
    refunds: Vec<Refund>,
    payments: Vec<Payment>,
    orders: &HashMap<PaymentReference, BookingId>,
) -> Vec<RefundDue> {
    let payments: HashMap<_, _> = payments.into_iter().map(|p| (p.reference, p)).collect();
    let due = |refund: Refund| {
        let payment = payments.get(&refund.payment)?.clone();
        let order_id = *orders.get(&refund.payment)?;
        Some(RefundDue { refund, payment, order_id })
    };
    refunds.into_iter().filter_map(due).collect()
}

/// The events of the refunds that are still as they were read, given their ids.
pub(in crate::store) fn still_due(
    requests: &[(Refund, OutboxEvent)],
    unchanged: Vec<String>,
) -> Vec<OutboxEvent> {
    let unchanged: HashSet<String> = unchanged.into_iter().collect();
    let due = requests.iter().filter(|(refund, _)| unchanged.contains(&refund.id.to_string()));
    due.map(|(_, event)| event.clone()).collect()
}
