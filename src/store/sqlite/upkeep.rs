//! What the sweeper, the payment worker and the relay look for and leave behind.

use super::columns::{booking_columns, payment_columns};
use super::commit::json;
use super::outbox::{insert, insert_invalidation};
use super::writer::{Writer, begin};
use crate::domain::{
    Booking, BookingId, BookingStatus, FlightId, Invalidation, Payment, PaymentReference,
    Timestamp, UserId,
};
use crate::rules::OutboxEvent;
use crate::store::request_keys::forget_keys;
use crate::store::rows::{
    BookingRow, FailureRow, PaymentAskedRow, PaymentRow, adopted, instant, micros,
    position_of_payment, reference,
};
use crate::store::unreadable::Unreadable;
use crate::store::{
    BACKLOG_MAX, Backlog, Page, PaymentAsked, Position, StoreError, outbox, paired, rows,
};
use sqlx::{Row as _, SqlitePool};
use std::collections::HashMap;

/// Goes on behind pages with rows that can't be read.
pub(super) async fn user_bookings(
    reader: &SqlitePool,
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
               WHERE user_id = ?1 AND id < ?2 AND (?3 IS NULL OR status = ?3)
               ORDER BY id DESC LIMIT ?4"
        ))
        .bind(user.0)
        .bind(before)
        .bind(status.map(BookingStatus::as_str))
        .bind(limit as i64)
        .fetch_all(reader)
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
    reader: &SqlitePool,
    unreadable: &Unreadable,
    now: Timestamp,
    after: Option<&Position>,
    limit: usize,
) -> Result<Page<PaymentReference>, StoreError> {
    let (at, behind) = Position::parts(after);
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT payment_reference_id, hold_expires_at FROM bookings
          WHERE status = 'pending' AND hold_expires_at <= ?1
            AND (hold_expires_at, payment_reference_id) > (?2, ?3)
          ORDER BY hold_expires_at, payment_reference_id LIMIT ?4",
    )
    .bind(micros(now))
    .bind(at.unwrap_or(i64::MIN))
    .bind(behind)
    .bind(limit as i64)
    .fetch_all(reader)
    .await?;
    let last = rows.last().map(|(row, at)| Position { at: Some(*at), reference: row.clone() });
    let next = Position::behind(rows.len(), limit, last);
    let read = |(row, _): &(String, _)| unreadable.leave_out(reference(row));
    Ok(Page { found: rows.iter().filter_map(read).collect(), next })
}

/// Of flights on which nobody has a seat any more, no booking is read.
pub(super) async fn stranded_bookings(
    reader: &SqlitePool,
    after: Option<(FlightId, BookingId)>,
    limit: usize,
) -> Result<Vec<(FlightId, BookingId)>, StoreError> {
    let (flight, booking) = after.map_or((i64::MIN, i64::MIN), |(f, b)| (f.0, b.0));
    let rows: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT f.id, b.id FROM flights AS f
           JOIN bookings AS b ON b.flight_id = f.id AND b.status IN ('pending', 'completed')
          WHERE f.flight_status = 'cancelled'
            AND (f.held_seats > 0 OR f.available_seats + f.blocked_seats < f.total_seats)
            AND (f.id, b.id) > (?2, ?3)
          ORDER BY f.id, b.id LIMIT ?1",
    )
    .bind(limit as i64)
    .bind(flight)
    .bind(booking)
    .fetch_all(reader)
    .await?;
    Ok(rows.into_iter().map(|(flight, booking)| (FlightId(flight), BookingId(booking))).collect())
}

pub(super) async fn unanswered_payments(
    reader: &SqlitePool,
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
           WHERE status IN ('requested', 'reversal_requested') AND updated_at < ?1
             AND (updated_at, reference) > (?2, ?3)
           ORDER BY updated_at, reference LIMIT ?4"
    ))
    .bind(micros(before))
    .bind(at.unwrap_or(i64::MIN))
    .bind(behind)
    .bind(limit as i64)
    .fetch_all(reader)
    .await?;
    let last = rows.last().map(position_of_payment).transpose()?;
    let next = Position::behind(rows.len(), limit, last);
    let payments: Vec<Payment> = unreadable.readable::<PaymentRow, _, _>(&rows);
    let references: Vec<_> = payments.iter().map(|payment| payment.reference).collect();
    let rows = sqlx::query(concat!(
        "SELECT ",
        booking_columns!("NULL"),
        " FROM bookings WHERE payment_reference_id IN (SELECT value FROM json_each(?1))"
    ))
    .bind(json(&references))
    .fetch_all(reader)
    .await?;
    Ok(Page { found: paired(payments, unreadable.readable::<BookingRow, _, _>(&rows)), next })
}

pub(super) async fn redrive(
    writer: &Writer,
    requests: &[(Payment, OutboxEvent)],
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut writing = writer.take().await?;
    let mut tx = begin(&mut writing).await?;
    let rows: Vec<_> = requests
        .iter()
        .map(|(p, _)| (p.reference, p.status.as_str(), micros(p.updated_at)))
        .collect();
    let still: Vec<String> = sqlx::query_scalar(
        "UPDATE payments SET updated_at = ?2 FROM json_each(?1) AS c
          WHERE payments.reference = c.value ->> 0 AND payments.status = c.value ->> 1
            AND payments.updated_at = c.value ->> 2
         RETURNING payments.reference",
    )
    .bind(json(&rows))
    .bind(micros(now))
    .fetch_all(&mut *tx)
    .await?;
    let still: std::collections::HashSet<String> = still.into_iter().collect();
    let told: Vec<OutboxEvent> = requests
        .iter()
        .filter(|(payment, _)| still.contains(&payment.reference.to_string()))
        .map(|(_, told)| told.clone())
        .collect();
    insert(&mut tx, &told).await?;
    Ok(tx.commit().await?)
}

/// In two statements, between which others write.
pub(super) async fn forget_keys(
    writer: &Writer,
    before: Timestamp,
    limit: usize,
) -> Result<usize, StoreError> {
    let mut forgotten = 0;
    for delete in forget_keys!("$1") {
        let mut writing = writer.take().await?;
        let delete = sqlx::query(delete).bind(micros(before)).bind((limit - forgotten) as i64);
        let done = delete.execute(&mut *writing).await?;
        forgotten += done.rows_affected() as usize;
    }
    Ok(forgotten)
}

pub(super) async fn payments_asked(
    reader: &SqlitePool,
    unreadable: &Unreadable,
    payments: &[PaymentReference],
) -> Result<HashMap<PaymentReference, PaymentAsked>, StoreError> {
    let rows: Vec<PaymentAskedRow> = sqlx::query_as(
        "SELECT p.reference, p.amount, p.currency, p.method, p.status, b.hold_expires_at
           FROM payments AS p JOIN bookings AS b ON b.payment_reference_id = p.reference
          WHERE p.reference IN (SELECT value FROM json_each(?1))",
    )
    .bind(json(&payments))
    .fetch_all(reader)
    .await?;
    Ok(rows::payments_asked(unreadable, rows))
}

pub(super) async fn outdated(
    reader: &SqlitePool,
    unreadable: &Unreadable,
    limit: usize,
) -> Result<Vec<(i64, Invalidation)>, StoreError> {
    let rows: Vec<(i64, String)> =
        sqlx::query_as("SELECT id, body FROM outdated_answers ORDER BY id LIMIT ?1")
            .bind(limit as i64)
            .fetch_all(reader)
            .await?;
    Ok(rows.into_iter().map(|row| outbox::outdated(row, unreadable)).collect())
}

pub(super) async fn forget_outdated(
    writer: &Writer,
    ids: &[i64],
    all: bool,
) -> Result<(), StoreError> {
    let mut writing = writer.take().await?;
    let mut tx = begin(&mut writing).await?;
    let delete = "DELETE FROM outdated_answers WHERE id IN (SELECT value FROM json_each(?1))";
    sqlx::query(delete).bind(json(&ids)).execute(&mut *tx).await?;
    if all {
        insert_invalidation(&mut tx, &Invalidation::All).await?;
    }
    Ok(tx.commit().await?)
}

pub(super) async fn adopted_bookings(
    pool: &SqlitePool,
    after: BookingId,
    limit: usize,
) -> Result<(Vec<BookingId>, Option<BookingId>), StoreError> {
    let rows: Vec<FailureRow> = sqlx::query_as(
        "SELECT id, failure_reason FROM bookings WHERE id > ?1 ORDER BY id LIMIT ?2",
    )
    .bind(after.0)
    .bind(limit as i64)
    .fetch_all(pool)
    .await?;
    Ok(adopted(&rows, limit))
}

pub(super) async fn backlog(
    pool: &SqlitePool,
    lapsed: Timestamp,
    asked: Timestamp,
) -> Result<Backlog, StoreError> {
    let (stuck_bookings, unanswered_payments, outbox): (i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM (SELECT 1 FROM bookings
                  WHERE status = 'pending' AND hold_expires_at <= $1 LIMIT $3) AS b),
                (SELECT count(*) FROM (SELECT 1 FROM payments
                  WHERE status IN ('requested', 'reversal_requested')
                    AND updated_at < $2 LIMIT $3) AS p),
                (SELECT coalesce(sum(messages), 0) FROM
                  (SELECT messages FROM outbox ORDER BY id LIMIT $3) AS o)",
    )
    .bind(micros(lapsed))
    .bind(micros(asked))
    .bind(BACKLOG_MAX)
    .fetch_one(pool)
    .await?;
    let since: Option<i64> = sqlx::query_scalar("SELECT since FROM outbox ORDER BY id LIMIT 1")
        .fetch_optional(pool)
        .await?;
    let outbox_since = since.and_then(instant);
    Ok(Backlog { outbox, outbox_since, stuck_bookings, unanswered_payments })
}
