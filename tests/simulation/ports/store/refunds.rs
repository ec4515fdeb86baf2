//! Refunds that the gateway has not answered.

use super::super::rows::Rows;
use super::SimStore;
use super::maintenance::page;
use airline_booking::domain::{Refund, RefundStatus, Timestamp};
use airline_booking::rules::OutboxEvent;
use airline_booking::store::{Page, Position, RefundDue, Refunds, StoreError};
use async_trait::async_trait;

#[async_trait]
impl Refunds for SimStore {
    async fn unanswered_refunds(
        &self,
        before: Timestamp,
        after: Option<&Position>,
        limit: usize,
    ) -> Result<Page<RefundDue>, StoreError> {
        let unanswered = |rows: &Rows| {
            let is_open = |refund: &&Refund| {
                refund.status == RefundStatus::Requested && refund.updated_at < before
            };
            let row = |refund: &Refund| {
                let payment = rows.payments.get(&refund.payment)?.clone();
                let order_id = rows.order(&refund.payment).first()?.order_id;
                let position = Position::at(refund.updated_at, refund.id);
                Some((position, RefundDue { refund: refund.clone(), payment, order_id }))
            };
            let due = rows.refunds.values().filter(is_open).filter_map(row);
            page(due.collect(), after, limit)
        };
        self.read(unanswered).await
    }

    async fn redrive_refunds(
        &self,
        requests: &[(Refund, OutboxEvent)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let requests = requests.to_vec();
        self.write(move |rows| rows.redrive_refunds(&requests, now)).await
    }
}
