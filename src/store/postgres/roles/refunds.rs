//! Refunds that the gateway has not answered.

use super::outbox::insert_outbox;
use crate::domain::{Payment, Refund, Timestamp};
use crate::rules::OutboxEvent;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::columns::{payment_columns, refund_columns};
use crate::store::postgres::connection::transaction::begin;
use crate::store::postgres::sets::texts;
use crate::store::roles::maintenance::still_due;
use crate::store::roles::refunds::due;
use crate::store::rows::refunds::RefundRow;
use crate::store::rows::{PaymentRow, micros, position_of};
use crate::store::{Page, Position, RefundDue, Refunds, StoreError};
use async_trait::async_trait;

pub(in crate::store::postgres) const UNANSWERED: &str = concat!(
    "SELECT ",
    refund_columns!(),
    " FROM refunds
       WHERE status = 'requested' AND refunds.updated_at < instant($1)
         AND (refunds.updated_at, refunds.id) > (coalesce(instant($2), '-infinity'), $3)
       ORDER BY refunds.updated_at, refunds.id LIMIT $4"
);

const PAYMENTS: &str =
    concat!("SELECT ", payment_columns!(), " FROM payments WHERE reference = ANY($1)");

const ORDERS: &str = "
SELECT payment_reference_id, id FROM bookings
 WHERE payment_reference_id = ANY($1) AND segment = 1";

/// Skips refunds that another replica has redriven, and those that another session has locked: a later sweep
/// finds them.
const TOUCH: &str = "
WITH free AS MATERIALIZED (
   SELECT r.id FROM unnest($1::text[], $2::bigint[]) AS c (id, updated_at)
     JOIN refunds AS r ON r.id = c.id AND r.status = 'requested'
                      AND r.updated_at = instant(c.updated_at)
      FOR NO KEY UPDATE OF r SKIP LOCKED)
UPDATE refunds SET updated_at = instant($3), attempts = attempts + 1
  FROM free WHERE refunds.id = free.id
RETURNING refunds.id";

#[async_trait]
impl Refunds for PostgresStore {
    async fn unanswered_refunds(
        &self,
        before: Timestamp,
        after: Option<&Position>,
        limit: usize,
    ) -> Result<Page<RefundDue>, StoreError> {
        self.guard.bound(self.find_refunds(before, after, limit)).await
    }

    async fn redrive_refunds(
        &self,
        requests: &[(Refund, OutboxEvent)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.guard.bound(self.touch_refunds(requests, now)).await
    }
}

impl PostgresStore {
    async fn find_refunds(
        &self,
        before: Timestamp,
        after: Option<&Position>,
        limit: usize,
    ) -> Result<Page<RefundDue>, StoreError> {
        let (at, behind) = Position::parts(after);
        let rows = sqlx::query(UNANSWERED)
            .bind(micros(before))
            .bind(at)
            .bind(behind)
            .bind(limit as i64)
            .fetch_all(&self.primary)
            .await?;
        let last = rows.last().map(|row| position_of(row, "id")).transpose()?;
        let next = Position::behind(rows.len(), limit, last);
        let refunds: Vec<Refund> = self.unreadable.readable::<RefundRow, _, _>(&rows);
        let references = texts(refunds.iter().map(|refund| &refund.payment));
        let rows = sqlx::query(PAYMENTS).bind(&references).fetch_all(&self.primary).await?;
        let payments: Vec<Payment> = self.unreadable.readable::<PaymentRow, _, _>(&rows);
        let orders = texts(payments.iter().map(|payment| &payment.order));
        let rows: Vec<(String, i64)> =
            sqlx::query_as(ORDERS).bind(orders).fetch_all(&self.primary).await?;
        Ok(Page { found: due(refunds, payments, rows)?, next })
    }

    async fn touch_refunds(
        &self,
        requests: &[(Refund, OutboxEvent)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let refunds = || requests.iter().map(|(refund, _)| refund);
        let mut tx = begin(&self.primary).await?;
        let unchanged: Vec<String> = sqlx::query_scalar(TOUCH)
            .bind(refunds().map(|refund| refund.id.to_string()).collect::<Vec<_>>())
            .bind(refunds().map(|refund| micros(refund.updated_at)).collect::<Vec<_>>())
            .bind(micros(now))
            .fetch_all(&mut *tx)
            .await?;
        insert_outbox(&mut tx, &still_due(requests, unchanged, |refund| refund.id.to_string()))
            .await?;
        tx.commit().await?;
        Ok(())
    }
}
