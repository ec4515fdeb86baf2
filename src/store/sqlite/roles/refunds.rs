//! Refunds that the gateway has not answered.

use super::outbox::insert;
use crate::domain::{Payment, Refund, Timestamp};
use crate::rules::OutboxEvent;
use crate::store::roles::maintenance::still_due;
use crate::store::roles::refunds::due;
use crate::store::rows::refunds::RefundRow;
use crate::store::rows::sql::json;
use crate::store::rows::{PaymentRow, micros, position_of};
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::columns::{payment_columns, refund_columns};
use crate::store::sqlite::connection::writer::begin;
use crate::store::{Page, Position, RefundDue, Refunds, StoreError};
use async_trait::async_trait;

const UNANSWERED: &str = concat!(
    "SELECT ",
    refund_columns!(),
    " FROM refunds
       WHERE status = 'requested' AND updated_at < $1 AND (updated_at, id) > ($2, $3)
       ORDER BY updated_at, id LIMIT $4"
);

const PAYMENTS: &str = concat!(
    "SELECT ",
    payment_columns!(),
    " FROM payments WHERE reference IN (SELECT value FROM json_each($1))"
);

const ORDERS: &str = "
SELECT payment_reference_id, id FROM bookings
 WHERE payment_reference_id IN (SELECT value FROM json_each($1)) AND segment = 1";

const TOUCH: &str = "
UPDATE refunds SET updated_at = $2, attempts = attempts + 1 FROM json_each($1) AS c
 WHERE refunds.id = c.value ->> 0 AND refunds.status = 'requested'
   AND refunds.updated_at = c.value ->> 1
RETURNING refunds.id";

#[async_trait]
impl Refunds for SqliteStore {
    async fn unanswered_refunds(
        &self,
        before: Timestamp,
        after: Option<&Position>,
        limit: usize,
    ) -> Result<Page<RefundDue>, StoreError> {
        let (at, behind) = Position::parts(after);
        let rows = sqlx::query(UNANSWERED)
            .bind(micros(before))
            .bind(at.unwrap_or(i64::MIN))
            .bind(behind)
            .bind(limit as i64)
            .fetch_all(&self.reader)
            .await?;
        let last = rows.last().map(|row| position_of(row, "id")).transpose()?;
        let next = Position::behind(rows.len(), limit, last);
        let refunds: Vec<Refund> = self.unreadable.readable::<RefundRow, _, _>(&rows);
        let references: Vec<_> = refunds.iter().map(|refund| refund.payment).collect();
        let references = json(&references);
        let rows = sqlx::query(PAYMENTS).bind(&references).fetch_all(&self.reader).await?;
        let payments: Vec<Payment> = self.unreadable.readable::<PaymentRow, _, _>(&rows);
        let orders: Vec<_> = payments.iter().map(|payment| payment.order).collect();
        let rows: Vec<(String, i64)> =
            sqlx::query_as(ORDERS).bind(json(&orders)).fetch_all(&self.reader).await?;
        Ok(Page { found: due(refunds, payments, rows)?, next })
    }

    async fn redrive_refunds(
        &self,
        requests: &[(Refund, OutboxEvent)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let as_read = |(refund, _): &(Refund, OutboxEvent)| (refund.id, micros(refund.updated_at));
        let refunds: Vec<_> = requests.iter().map(as_read).collect();
        let mut writing = self.writer.take().await?;
        let mut tx = begin(&mut writing).await?;
        let touch = sqlx::query_scalar(TOUCH).bind(json(&refunds)).bind(micros(now));
        let unchanged: Vec<String> = touch.fetch_all(&mut *tx).await?;
        insert(&mut tx, &still_due(requests, unchanged, |refund| refund.id.to_string())).await?;
        Ok(tx.commit().await?)
    }
}
