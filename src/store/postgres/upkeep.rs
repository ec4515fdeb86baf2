//! What the sweeper, the payment worker and the relay look for and leave behind.

use super::columns::{booking_columns, payment_columns};
use super::commit::{insert_invalidation, insert_outbox};
use super::load::texts;
use super::transaction::begin;
use crate::domain::{
    Booking, BookingId, BookingStatus, FlightId, Invalidation, Payment, PaymentReference,
    Timestamp, UserId,
};
use crate::rules::OutboxEvent;
use crate::store::outbox::OutboxRow;
use crate::store::request_keys::forget_keys;
use crate::store::rows::{
    BookingRow, FailureRow, PaymentAskedRow, PaymentRow, adopted, instant, micros,
    position_of_payment, reference,
};
use crate::store::unreadable::Unreadable;
use crate::store::{
    BACKLOG_MAX, Backlog, Lane, OutboxEntry, Page, PaymentAsked, Position, StoreError, outbox,
    paired, rows,
};
use sqlx::{AssertSqlSafe, PgPool, Row as _};
use std::collections::{HashMap, HashSet};

/// Tables that grow with what is sold.
const GROWING: [&str; 5] =
    ["flights", "bookings", "payments", "gateway_ledger", "idempotency_keys"];

/// How many times as large as it was a table's statistics are too old.
const OUTGROWN_AT: i64 = 4;

/// Pages up to which a plan hardly matters.
const SMALL_PAGES: i32 = 8;

/// Goes on behind pages with rows that can't be read.
pub(super) async fn user_bookings(
    pool: &PgPool,
    unreadable: &Unreadable,
    user: UserId,
    status: Option<BookingStatus>,
    before: Option<BookingId>,
    limit: usize,
) -> Result<Vec<Booking>, StoreError> {
    let mut before = before.map_or(i64::MAX, |id| id.0);
    let mut found: Vec<Booking> = Vec::new();
    loop {
        let rows = sqlx::query(concat!(
            "SELECT ",
            booking_columns!(),
            " FROM bookings
               WHERE user_id = $1 AND id < $2 AND ($3 IS NULL OR status = $3)
               ORDER BY id DESC LIMIT $4"
        ))
        .bind(user.0)
        .bind(before)
        .bind(status.map(BookingStatus::as_str))
        .bind(limit as i64)
        .fetch_all(pool)
        .await?;
        found.extend(unreadable.readable::<BookingRow, _, _>(&rows));
        found.truncate(limit);
        let Some(last) = rows.last().filter(|_| rows.len() == limit && found.len() < limit) else {
            return Ok(found);
        };
        before = last.try_get(0)?;
    }
}

pub(super) async fn lapsed_holds(
    pool: &PgPool,
    unreadable: &Unreadable,
    now: Timestamp,
    after: Option<&Position>,
    limit: usize,
) -> Result<Page<PaymentReference>, StoreError> {
    let (at, behind) = Position::parts(after);
    let rows: Vec<(String, Option<i64>)> = sqlx::query_as(
        "SELECT reference, CASE WHEN isfinite(hold_expires_at) THEN micros(hold_expires_at) END
           FROM payments
          WHERE status = 'requested' AND hold_expires_at <= instant($1)
            AND (hold_expires_at, reference) > (coalesce(instant($2), '-infinity'), $3)
          ORDER BY hold_expires_at, reference LIMIT $4",
    )
    .bind(micros(now))
    .bind(at)
    .bind(behind)
    .bind(limit as i64)
    .fetch_all(pool)
    .await?;
    let last = rows.last().map(|(row, at)| Position { at: *at, reference: row.clone() });
    let next = Position::behind(rows.len(), limit, last);
    let read = |(row, _): &(String, _)| unreadable.leave_out(reference(row));
    Ok(Page { found: rows.iter().filter_map(read).collect(), next })
}

pub(super) async fn stranded_bookings(
    pool: &PgPool,
    after: Option<(FlightId, BookingId)>,
    limit: usize,
) -> Result<Vec<(FlightId, BookingId)>, StoreError> {
    let (flight, booking) = after.map_or((i64::MIN, i64::MIN), |(f, b)| (f.0, b.0));
    let rows: Vec<(i64, i64)> = sqlx::query_as(
        "WITH empty AS (
            DELETE FROM cancelled_flights AS c USING flights AS f
             WHERE f.id = c.flight_id AND f.held_seats = 0
               AND f.available_seats + f.blocked_seats = f.total_seats)
         SELECT c.flight_id, b.id FROM cancelled_flights AS c
           JOIN bookings AS b ON b.flight_id = c.flight_id AND b.status IN ('pending', 'completed')
          WHERE (c.flight_id, b.id) > ($2, $3)
          ORDER BY c.flight_id, b.id LIMIT $1",
    )
    .bind(limit as i64)
    .bind(flight)
    .bind(booking)
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|(flight, booking)| (FlightId(flight), BookingId(booking))).collect())
}

pub(super) async fn unanswered_payments(
    pool: &PgPool,
    unreadable: &Unreadable,
    before: Timestamp,
    after: Option<&Position>,
    limit: usize,
) -> Result<Page<(Payment, Booking)>, StoreError> {
    let (at, behind) = Position::parts(after);
    let rows = sqlx::query(concat!(
        "SELECT ",
        payment_columns!(),
        " FROM payments
           WHERE status IN ('requested', 'reversal_requested')
             AND payments.updated_at < instant($1)
             AND (payments.updated_at, payments.reference)
                 > (coalesce(instant($2), '-infinity'), $3)
           ORDER BY payments.updated_at, payments.reference LIMIT $4"
    ))
    .bind(micros(before))
    .bind(at)
    .bind(behind)
    .bind(limit as i64)
    .fetch_all(pool)
    .await?;
    let last = rows.last().map(position_of_payment).transpose()?;
    let next = Position::behind(rows.len(), limit, last);
    let payments: Vec<Payment> = unreadable.readable::<PaymentRow, _, _>(&rows);
    let rows = sqlx::query(concat!(
        "SELECT ",
        booking_columns!("NULL"),
        " FROM bookings WHERE payment_reference_id = ANY($1)"
    ))
    .bind(texts(payments.iter().map(|payment| &payment.reference)))
    .fetch_all(pool)
    .await?;
    Ok(Page { found: paired(payments, unreadable.readable::<BookingRow, _, _>(&rows)), next })
}

pub(super) async fn redrive(
    pool: &PgPool,
    requests: &[(Payment, OutboxEvent)],
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut tx = begin(pool).await?;
    let payments = || requests.iter().map(|(payment, _)| payment);
    // What another replica drove meanwhile is left to it, and what another session keeps to a later look.
    let still: Vec<String> = sqlx::query_scalar(
        "WITH free AS MATERIALIZED (
            SELECT p.reference
              FROM unnest($1::text[], $2::text[], $3::bigint[]) AS c (reference, status, updated_at)
              JOIN payments AS p ON p.reference = c.reference AND p.status = c.status
                                AND p.updated_at = instant(c.updated_at)
               FOR NO KEY UPDATE OF p SKIP LOCKED)
         UPDATE payments SET updated_at = instant($4)
           FROM free WHERE payments.reference = free.reference
         RETURNING payments.reference",
    )
    .bind(texts(payments().map(|payment| &payment.reference)))
    .bind(payments().map(|payment| payment.status.as_str()).collect::<Vec<_>>())
    .bind(payments().map(|payment| micros(payment.updated_at)).collect::<Vec<_>>())
    .bind(micros(now))
    .fetch_all(&mut *tx)
    .await?;
    let still: HashSet<String> = still.into_iter().collect();
    let told: Vec<OutboxEvent> = requests
        .iter()
        .filter(|(payment, _)| still.contains(&payment.reference.to_string()))
        .map(|(_, told)| told.clone())
        .collect();
    insert_outbox(&mut tx, &told).await?;
    Ok(tx.commit().await?)
}

/// In two statements, each a transaction of its own.
pub(super) async fn forget_keys(
    pool: &PgPool,
    before: Timestamp,
    limit: usize,
) -> Result<usize, StoreError> {
    let mut forgotten = 0;
    for delete in forget_keys!("instant($1)") {
        let delete = sqlx::query(delete).bind(micros(before)).bind((limit - forgotten) as i64);
        forgotten += delete.execute(pool).await?.rows_affected() as usize;
    }
    Ok(forgotten)
}

pub(super) async fn payments_asked(
    pool: &PgPool,
    unreadable: &Unreadable,
    payments: &[PaymentReference],
) -> Result<HashMap<PaymentReference, PaymentAsked>, StoreError> {
    let rows: Vec<PaymentAskedRow> = sqlx::query_as(
        // Adopted payments do not say when the hold ends.
        "SELECT reference, minor(amount), currency, method, status,
                CASE WHEN isfinite(hold_end) THEN micros(hold_end) END
           FROM (SELECT *, coalesce(hold_expires_at, (SELECT b.hold_expires_at FROM bookings AS b
                                       WHERE b.payment_reference_id = reference)) AS hold_end
                   FROM payments WHERE reference = ANY($1)) AS asked",
    )
    .bind(texts(payments))
    .fetch_all(pool)
    .await?;
    Ok(rows::payments_asked(unreadable, rows))
}

/// Rows that one look at the outbox takes at most, however few messages they hold.
const OUTBOX_ROWS_MAX: i64 = 1_024;

/// Nobody waits for the end of `$3` to be durable: rows that a crash brings back go out twice.
const NEXT_OF_OUTBOX: &str = "
WITH unhurried AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
sent AS (DELETE FROM outbox WHERE id = ANY ($3) AND (SELECT true FROM unhurried))
SELECT id, micros(since), body
  FROM (SELECT *, sum(messages) OVER (ORDER BY id) - messages AS before
          FROM (SELECT * FROM outbox WHERE lane = $4 AND id > $5 AND id <> ALL ($3)
                 ORDER BY id LIMIT $2) AS oldest) AS counted
 WHERE before < $1 ORDER BY id";

/// Goes on behind pages of nothing but unreadable rows.
pub(super) async fn outbox(
    pool: &PgPool,
    unreadable: &Unreadable,
    lane: Lane,
    sent: &[i64],
    messages: usize,
) -> Result<Vec<OutboxEntry>, StoreError> {
    let mut after = i64::MIN;
    loop {
        let rows: Vec<OutboxRow> = sqlx::query_as(NEXT_OF_OUTBOX)
            .bind(messages as i64)
            .bind(OUTBOX_ROWS_MAX)
            .bind(sent)
            .bind(lane.as_str())
            .bind(after)
            .fetch_all(pool)
            .await?;
        let Some((last, ..)) = rows.last() else { return Ok(Vec::new()) };
        after = *last;
        let entries = outbox::entries(unreadable, lane, rows);
        if !entries.is_empty() {
            return Ok(entries);
        }
    }
}

pub(super) async fn outdated(
    pool: &PgPool,
    unreadable: &Unreadable,
    limit: usize,
) -> Result<Vec<(i64, Invalidation)>, StoreError> {
    let rows: Vec<(i64, String)> =
        sqlx::query_as("SELECT id, body FROM outdated_answers ORDER BY id LIMIT $1")
            .bind(limit as i64)
            .fetch_all(pool)
            .await?;
    Ok(rows.into_iter().map(|row| outbox::outdated(row, unreadable)).collect())
}

pub(super) async fn forget_outdated(
    pool: &PgPool,
    ids: &[i64],
    all: bool,
) -> Result<(), StoreError> {
    let delete = sqlx::query("DELETE FROM outdated_answers WHERE id = ANY($1)").bind(ids);
    if !all {
        delete.execute(pool).await?;
        return Ok(());
    }
    let mut tx = begin(pool).await?;
    delete.execute(&mut *tx).await?;
    insert_invalidation(&mut tx, &Invalidation::All).await?;
    Ok(tx.commit().await?)
}

/// Renews the planner's statistics of tables that have outgrown them, and so the plans that were made
/// on them.
///
/// The database does so by itself, but a minute late. Until then a plan that was made while a table
/// was empty may read one index where it should look into another: the bookings of a user, all of
/// them, to find those of a batch.
pub(super) async fn renew_statistics(pool: &PgPool) -> Result<(), StoreError> {
    let outgrown: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class
          WHERE oid = ANY ($1::regclass[])
            AND pg_relation_size(oid) > $2 * greatest(relpages, $3) * current_setting('block_size')::bigint",
    )
    .bind(GROWING)
    .bind(OUTGROWN_AT)
    .bind(SMALL_PAGES)
    .fetch_all(pool)
    .await?;
    let mut renewed = Ok(());
    for table in outgrown {
        let analyze = AssertSqlSafe(format!("ANALYZE {table}"));
        let one = sqlx::raw_sql(analyze).execute(pool).await;
        renewed = renewed.and(one.map(|_| ()).map_err(StoreError::from));
    }
    renewed
}

pub(super) async fn adopted_bookings(
    pool: &PgPool,
    after: BookingId,
    limit: usize,
) -> Result<(Vec<BookingId>, Option<BookingId>), StoreError> {
    let rows: Vec<FailureRow> = sqlx::query_as(
        "SELECT id, failure_reason FROM bookings WHERE id > $1 ORDER BY id LIMIT $2",
    )
    .bind(after.0)
    .bind(limit as i64)
    .fetch_all(pool)
    .await?;
    Ok(adopted(&rows, limit))
}

pub(super) async fn backlog(
    pool: &PgPool,
    lapsed: Timestamp,
    asked: Timestamp,
) -> Result<Backlog, StoreError> {
    let (stuck_bookings, unanswered_payments, outbox): (i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM (SELECT 1 FROM payments
                  WHERE status = 'requested' AND hold_expires_at <= instant($1) LIMIT $3) AS h),
                (SELECT count(*) FROM (SELECT 1 FROM payments
                  WHERE status IN ('requested', 'reversal_requested')
                    AND updated_at < instant($2) LIMIT $3) AS p),
                (SELECT coalesce(sum(messages), 0) FROM
                  (SELECT messages FROM outbox ORDER BY id LIMIT $3) AS o)",
    )
    .bind(micros(lapsed))
    .bind(micros(asked))
    .bind(BACKLOG_MAX)
    .fetch_one(pool)
    .await?;
    let since: Option<i64> =
        sqlx::query_scalar("SELECT micros(since) FROM outbox ORDER BY id LIMIT 1")
            .fetch_optional(pool)
            .await?;
    let outbox_since = since.and_then(instant);
    Ok(Backlog { outbox, outbox_since, stuck_bookings, unanswered_payments })
}
