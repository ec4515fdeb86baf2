//! What the sweeper finds and renews.

use super::outbox::insert_outbox;
use crate::domain::{Booking, BookingId, FlightId, Payment, PaymentReference, Timestamp};
use crate::rules::OutboxEvent;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::columns::{booking_columns, payment_columns};
use crate::store::postgres::connection::transaction::begin;
use crate::store::postgres::sets::texts;
use crate::store::roles::maintenance::{paired, still_due};
use crate::store::rows::request_keys::forget_keys;
use crate::store::rows::{BookingRow, PaymentRow, instant, micros, position_of, reference};
use crate::store::{BACKLOG_MAX, Backlog, Maintenance, Page, Position, StoreError};
use async_trait::async_trait;
use sqlx::AssertSqlSafe;

/// Tables that grow with sales.
const GROWING: [&str; 8] = [
    "flights",
    "bookings",
    "payments",
    "refunds",
    "gateway_ledger",
    "gateway_refunds",
    "idempotency_keys",
    "deliveries",
];

/// Statistics are renewed once a table has grown by this factor.
const OUTGROWN_AT: i64 = 4;

/// Tables of up to this many pages count as this large: their plans hardly matter.
const SMALL_PAGES: i32 = 8;

pub(in crate::store::postgres) const LAPSED_HOLDS: &str = "
SELECT reference, CASE WHEN isfinite(hold_expires_at) THEN micros(hold_expires_at) END
  FROM payments
 WHERE status = 'requested' AND hold_expires_at <= instant($1)
   AND (hold_expires_at, reference) > (coalesce(instant($2), '-infinity'), $3)
 ORDER BY hold_expires_at, reference LIMIT $4";

/// Also forgets cancelled flights without sold or held seats.
pub(in crate::store::postgres) const STRANDED_BOOKINGS: &str = "
WITH empty AS (
    DELETE FROM cancelled_flights AS c USING flights AS f
     WHERE f.id = c.flight_id AND f.held_seats = 0
       AND f.available_seats + f.blocked_seats = f.total_seats)
SELECT c.flight_id, b.id FROM cancelled_flights AS c
  JOIN bookings AS b ON b.flight_id = c.flight_id AND b.status IN ('pending', 'completed')
 WHERE (c.flight_id, b.id) > ($2, $3)
 ORDER BY c.flight_id, b.id LIMIT $1";

pub(in crate::store::postgres) const UNANSWERED_PAYMENTS: &str = concat!(
    "SELECT ",
    payment_columns!(),
    " FROM payments
       WHERE status IN ('requested', 'reversal_requested')
         AND waits_for IS DISTINCT FROM 'method' AND payments.updated_at < instant($1)
         AND (payments.updated_at, payments.reference)
             > (coalesce(instant($2), '-infinity'), $3)
       ORDER BY payments.updated_at, payments.reference LIMIT $4"
);

const THEIR_BOOKINGS: &str = concat!(
    "SELECT ",
    booking_columns!("NULL"),
    " FROM bookings WHERE payment_reference_id = ANY($1)"
);

/// Skips payments that another replica has redriven, and those that another session has locked: a later
/// sweep finds them.
const TOUCH_PAYMENTS: &str = "
WITH free AS MATERIALIZED (
   SELECT p.reference
     FROM unnest($1::text[], $2::text[], $3::bigint[]) AS c (reference, status, updated_at)
     JOIN payments AS p ON p.reference = c.reference AND p.status = c.status
                       AND p.updated_at = instant(c.updated_at)
      FOR NO KEY UPDATE OF p SKIP LOCKED)
UPDATE payments SET updated_at = instant($4)
  FROM free WHERE payments.reference = free.reference
RETURNING payments.reference";

pub(in crate::store::postgres) const BACKLOG: &str = "
SELECT (SELECT count(*) FROM (SELECT 1 FROM payments
         WHERE status = 'requested' AND hold_expires_at <= instant($1) LIMIT $3) AS h),
       (SELECT count(*) FROM (SELECT 1 FROM payments
         WHERE status IN ('requested', 'reversal_requested') AND waits_for IS NULL
           AND updated_at < instant($2) LIMIT $3) AS p),
       (SELECT coalesce(sum(messages), 0) FROM
         (SELECT messages FROM outbox ORDER BY id LIMIT $3) AS o),
       r.refunds, r.since,
       (SELECT count(*) FROM (SELECT 1 FROM refunds WHERE status = 'failed' LIMIT $3) AS f)
  FROM (SELECT count(*) AS refunds, micros(min(created_at)) AS since FROM
         (SELECT created_at FROM refunds
           WHERE status = 'requested' AND created_at < instant($2) LIMIT $3) AS u) AS r";

const OUTGROWN: &str = "
SELECT relname::text FROM pg_class
 WHERE oid = ANY ($1::regclass[])
   AND pg_relation_size(oid) > $2 * greatest(relpages, $3) * current_setting('block_size')::bigint";

/// The columns of [`BACKLOG`], in their order.
type BacklogRow = (i64, i64, i64, i64, Option<i64>, i64);

#[async_trait]
impl Maintenance for PostgresStore {
    async fn lapsed_holds(
        &self,
        now: Timestamp,
        after: Option<&Position>,
        limit: usize,
    ) -> Result<Page<PaymentReference>, StoreError> {
        let (at, behind) = Position::parts(after);
        let page =
            sqlx::query_as(LAPSED_HOLDS).bind(micros(now)).bind(at).bind(behind).bind(limit as i64);
        let rows: Vec<(String, Option<i64>)> =
            self.guard.bound(page.fetch_all(&self.primary)).await?;
        let last = rows.last().map(|(row, at)| Position { at: *at, reference: row.clone() });
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
        let rows: Vec<(i64, i64)> = self.guard.bound(page.fetch_all(&self.primary)).await?;
        let ids = |(flight, booking)| (FlightId(flight), BookingId(booking));
        Ok(rows.into_iter().map(ids).collect())
    }

    async fn unanswered_payments(
        &self,
        before: Timestamp,
        after: Option<&Position>,
        limit: usize,
    ) -> Result<Page<(Payment, Booking)>, StoreError> {
        self.guard.bound(self.unanswered(before, after, limit)).await
    }

    async fn redrive(
        &self,
        requests: &[(Payment, OutboxEvent)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.guard.bound(self.redrive_unchanged(requests, now)).await
    }

    /// Each statement is its own transaction.
    async fn forget_keys(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let mut forgotten = 0;
        for delete in forget_keys!("instant($1)") {
            let delete = sqlx::query(delete).bind(micros(before)).bind((limit - forgotten) as i64);
            let done = self.guard.bound(delete.execute(&self.primary)).await?;
            forgotten += done.rows_affected() as usize;
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
        ): BacklogRow = self.guard.bound(counts.fetch_one(&self.primary)).await?;
        let first = sqlx::query_scalar("SELECT micros(since) FROM outbox ORDER BY id LIMIT 1");
        let since: Option<i64> = self.guard.bound(first.fetch_optional(&self.primary)).await?;
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

    /// The database analyzes tables by itself, but a minute late. Until then a plan made while a table
    /// was empty may walk one index instead of searching another: all bookings of a user, to find those
    /// of a batch.
    async fn renew_statistics(&self) -> Result<(), StoreError> {
        self.guard.bound(self.analyze_outgrown()).await
    }
}

impl PostgresStore {
    async fn unanswered(
        &self,
        before: Timestamp,
        after: Option<&Position>,
        limit: usize,
    ) -> Result<Page<(Payment, Booking)>, StoreError> {
        let (at, behind) = Position::parts(after);
        let rows = sqlx::query(UNANSWERED_PAYMENTS)
            .bind(micros(before))
            .bind(at)
            .bind(behind)
            .bind(limit as i64)
            .fetch_all(&self.primary)
            .await?;
        let last = rows.last().map(|row| position_of(row, "reference")).transpose()?;
        let next = Position::behind(rows.len(), limit, last);
        let payments: Vec<Payment> = self.unreadable.readable::<PaymentRow, _, _>(&rows);
        let rows = sqlx::query(THEIR_BOOKINGS)
            .bind(texts(payments.iter().map(|payment| &payment.order)))
            .fetch_all(&self.primary)
            .await?;
        let bookings = self.unreadable.readable::<BookingRow, _, _>(&rows);
        Ok(Page { found: paired(payments, bookings), next })
    }

    async fn redrive_unchanged(
        &self,
        requests: &[(Payment, OutboxEvent)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let payments = || requests.iter().map(|(payment, _)| payment);
        let mut tx = begin(&self.primary).await?;
        let unchanged: Vec<String> = sqlx::query_scalar(TOUCH_PAYMENTS)
            .bind(texts(payments().map(|payment| &payment.reference)))
            .bind(payments().map(|payment| payment.status.as_str()).collect::<Vec<_>>())
            .bind(payments().map(|payment| micros(payment.updated_at)).collect::<Vec<_>>())
            .bind(micros(now))
            .fetch_all(&mut *tx)
            .await?;
        insert_outbox(
            &mut tx,
            &still_due(requests, unchanged, |payment| payment.reference.to_string()),
        )
        .await?;
        Ok(tx.commit().await?)
    }

    pub(super) async fn analyze_outgrown(&self) -> Result<(), StoreError> {
        let outgrown: Vec<String> = sqlx::query_scalar(OUTGROWN)
            .bind(GROWING)
            .bind(OUTGROWN_AT)
            .bind(SMALL_PAGES)
            .fetch_all(&self.primary)
            .await?;
        let mut renewed = Ok(());
        for table in outgrown {
            let analyze = AssertSqlSafe(format!("ANALYZE {table}"));
            let one = sqlx::raw_sql(analyze).execute(&self.primary).await;
            renewed = renewed.and(one.map(|_| ()));
        }
        Ok(renewed?)
    }
}
