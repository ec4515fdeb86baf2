//! What the sweeper finds and renews.

use super::outbox::insert;
use crate::domain::{Booking, BookingId, FlightId, Payment, PaymentReference, Timestamp};
use crate::rules::OutboxEvent;
use crate::store::roles::maintenance::{paired, still_due};
use crate::store::rows::request_keys::forget_keys;
use crate::store::rows::sql::json;
use crate::store::rows::{BookingRow, PaymentRow, instant, micros, position_of, reference};
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::columns::{booking_columns, payment_columns};
use crate::store::sqlite::connection::writer::begin;
use crate::store::{BACKLOG_MAX, Backlog, Maintenance, Page, Position, StoreError};
use async_trait::async_trait;

const LAPSED_HOLDS: &str = "
SELECT DISTINCT payment_reference_id, hold_expires_at FROM bookings
 WHERE status = 'pending' AND hold_expires_at <= $1
   AND (hold_expires_at, payment_reference_id) > ($2, $3)
 ORDER BY hold_expires_at, payment_reference_id LIMIT $4";

/// Reads no booking of a flight without sold or held seats.
const STRANDED_BOOKINGS: &str = "
SELECT f.id, b.id FROM flights AS f
  JOIN bookings AS b ON b.flight_id = f.id AND b.status IN ('pending', 'completed')
 WHERE f.flight_status = 'cancelled'
   AND (f.held_seats > 0 OR f.available_seats + f.blocked_seats < f.total_seats)
   AND (f.id, b.id) > ($2, $3)
 ORDER BY f.id, b.id LIMIT $1";

const UNANSWERED_PAYMENTS: &str = concat!(
    "SELECT ",
    payment_columns!(),
    " FROM payments
       WHERE status IN ('requested', 'reversal_requested')
         AND waits_for IS NOT 'method' AND updated_at < $1
         AND (updated_at, reference) > ($2, $3)
       ORDER BY updated_at, reference LIMIT $4"
);

const THEIR_BOOKINGS: &str = concat!(
    "SELECT ",
    booking_columns!("NULL"),
    " FROM bookings WHERE payment_reference_id IN (SELECT value FROM json_each($1))"
);

const TOUCH_PAYMENTS: &str = "
UPDATE payments SET updated_at = $2 FROM json_each($1) AS c
 WHERE payments.reference = c.value ->> 0 AND payments.status = c.value ->> 1
   AND payments.updated_at = c.value ->> 2
RETURNING payments.reference";

const BACKLOG: &str = "
SELECT (SELECT count(*) FROM (SELECT 1 FROM bookings
         WHERE status = 'pending' AND hold_expires_at <= $1 LIMIT $3) AS b),
       (SELECT count(*) FROM (SELECT 1 FROM payments
         WHERE status IN ('requested', 'reversal_requested') AND waits_for IS NULL
           AND updated_at < $2 LIMIT $3) AS p),
       (SELECT coalesce(sum(messages), 0) FROM
         (SELECT messages FROM outbox ORDER BY id LIMIT $3) AS o),
       r.refunds, r.since,
       (SELECT count(*) FROM (SELECT 1 FROM refunds WHERE status = 'failed' LIMIT $3) AS f)
  FROM (SELECT count(*) AS refunds, min(created_at) AS since FROM
         (SELECT created_at FROM refunds
           WHERE status = 'requested' AND created_at < $2 LIMIT $3) AS u) AS r";

/// The columns of [`BACKLOG`], in their order.
type BacklogRow = (i64, i64, i64, i64, Option<i64>, i64);

#[async_trait]
impl Maintenance for SqliteStore {
    async fn lapsed_holds(
        &self,
        now: Timestamp,
        after: Option<&Position>,
        limit: usize,
    ) -> Result<Page<PaymentReference>, StoreError> {
        let (at, behind) = Position::parts(after);
        let page = sqlx::query_as(LAPSED_HOLDS)
            .bind(micros(now))
            .bind(at.unwrap_or(i64::MIN))
            .bind(behind)
            .bind(limit as i64);
        let rows: Vec<(String, i64)> = page.fetch_all(&self.reader).await?;
        let last = rows.last().map(|(row, at)| Position { at: Some(*at), reference: row.clone() });
        let next = Position::behind(rows.len(), limit, last);
        let read = |(row, _): &(String, _)| self.unreadable.leave_out(reference(row));
        Ok(Page { found: rows.iter().filter_map(read).collect(), next })
    }

    async fn stranded_bookings(
        &self,
        after: Option<(FlightId, BookingId)>,
        limit: usize,
    ) -> Result<Vec<(FlightId, BookingId)>, StoreError> {
        let (flight, booking) = after.map_or((i64::MIN, i64::MIN), |(f, b)| (f.0, b.0));
        let page = sqlx::query_as(STRANDED_BOOKINGS).bind(limit as i64).bind(flight).bind(booking);
        let rows: Vec<(i64, i64)> = page.fetch_all(&self.reader).await?;
        let ids = |(flight, booking)| (FlightId(flight), BookingId(booking));
        Ok(rows.into_iter().map(ids).collect())
    }

    async fn unanswered_payments(
        &self,
        before: Timestamp,
        after: Option<&Position>,
        limit: usize,
    ) -> Result<Page<(Payment, Booking)>, StoreError> {
        let (at, behind) = Position::parts(after);
        let rows = sqlx::query(UNANSWERED_PAYMENTS)
            .bind(micros(before))
            .bind(at.unwrap_or(i64::MIN))
            .bind(behind)
            .bind(limit as i64)
            .fetch_all(&self.reader)
            .await?;
        let last = rows.last().map(|row| position_of(row, "reference")).transpose()?;
        let next = Position::behind(rows.len(), limit, last);
        let payments: Vec<Payment> = self.unreadable.readable::<PaymentRow, _, _>(&rows);
        let orders: Vec<_> = payments.iter().map(|payment| payment.order).collect();
        let bookings = sqlx::query(THEIR_BOOKINGS).bind(json(&orders));
        let rows = bookings.fetch_all(&self.reader).await?;
        let bookings = self.unreadable.readable::<BookingRow, _, _>(&rows);
        Ok(Page { found: paired(payments, bookings), next })
    }

    async fn redrive(
        &self,
        requests: &[(Payment, OutboxEvent)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let as_read = |(payment, _): &(Payment, OutboxEvent)| {
            (payment.reference, payment.status.as_str(), micros(payment.updated_at))
        };
        let payments: Vec<_> = requests.iter().map(as_read).collect();
        let mut writing = self.writer.take().await?;
        let mut tx = begin(&mut writing).await?;
        let touch = sqlx::query_scalar(TOUCH_PAYMENTS).bind(json(&payments)).bind(micros(now));
        let unchanged: Vec<String> = touch.fetch_all(&mut *tx).await?;
        insert(&mut tx, &still_due(requests, unchanged, |payment| payment.reference.to_string()))
            .await?;
        Ok(tx.commit().await?)
    }

    /// Gives the writer back between the two statements.
    async fn forget_keys(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let mut forgotten = 0;
        for delete in forget_keys!("$1") {
            let mut writing = self.writer.take().await?;
            let delete = sqlx::query(delete).bind(micros(before)).bind((limit - forgotten) as i64);
            forgotten += delete.execute(&mut *writing).await?.rows_affected() as usize;
        }
        Ok(forgotten)
    }

    async fn backlog(&self, lapsed: Timestamp, asked: Timestamp) -> Result<Backlog, StoreError> {
        let counts =
            sqlx::query_as(BACKLOG).bind(micros(lapsed)).bind(micros(asked)).bind(BACKLOG_MAX);
        let (
            stuck_bookings,
            unanswered_payments,
            outbox,
            unanswered_refunds,
            oldest,
            failed_refunds,
        ): BacklogRow = counts.fetch_one(&self.reader).await?;
        let first = sqlx::query_scalar("SELECT since FROM outbox ORDER BY id LIMIT 1");
        let since: Option<i64> = first.fetch_optional(&self.reader).await?;
        let outbox_since = since.and_then(instant);
        Ok(Backlog {
            outbox,
            outbox_since,
            stuck_bookings,
            unanswered_payments,
            unanswered_refunds,
            failed_refunds,
            unanswered_refunds_since: oldest.and_then(instant),
        })
    }

    /// Does nothing: without statistics, SQLite's plans do not depend on the tables' sizes.
    async fn renew_statistics(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
