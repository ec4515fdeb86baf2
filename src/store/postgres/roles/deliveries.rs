//! Deliveries to webhooks.
//!
//! What adds deliveries and what ends them locks the webhook's row first: so of each flight's deliveries that wait
//! the first is due, and no other.

use crate::domain::{BookingId, Delivery, FlightId, NewDelivery, Timestamp, Webhook, WebhookId};
use crate::store::postgres::PostgresStore;
use crate::store::postgres::columns::{
    booking_columns, delivery_columns, flight_columns, webhook_columns,
};
use crate::store::postgres::connection::transaction::{Transaction, begin};
use crate::store::postgres::sets::column;
use crate::store::rows::webhooks::{
    COUNT_WEBHOOKS, DeliveryRow, FAIL_DELIVERIES, FORGET_DELETED, FORGET_OF_DELETED, Noted,
    WebhookRow, forget_ended, hasten_deliveries,
};
use crate::store::rows::{BookingRow, FlightRow, micros};
use crate::store::{Attempt, BACKLOG_MAX, Deliveries, EventRows, StoreError, WebhookCounts};
use async_trait::async_trait;
use sqlx::{PgConnection, PgPool};
use std::collections::BTreeSet;

const ACTIVE_WEBHOOKS: &str =
    concat!("SELECT ", webhook_columns!(), " FROM webhooks WHERE status = 'active'");

const WEBHOOKS_NAMED: &str = concat!(
    "SELECT ",
    webhook_columns!(),
    " FROM webhooks WHERE id = ANY($1) AND status <> 'deleted'"
);

const LOCK: &str = "SELECT id FROM webhooks WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE";

const ADD: &str = "
INSERT INTO deliveries (webhook_id, event_id, type, flight_id, payload, status, attempts,
                        next_attempt_at, at)
SELECT c.webhook, c.event, c.kind, c.flight, c.payload, 'pending', 0,
       CASE WHEN c.flight IS NULL THEN instant($6) END, instant($6)
  FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::text[])
       WITH ORDINALITY AS c (webhook, event, kind, flight, payload, position)
  JOIN webhooks AS w ON w.id = c.webhook AND w.status = 'active'
 ORDER BY c.position
    ON CONFLICT (webhook_id, event_id) DO NOTHING";

/// Makes the first delivery of each line due.
const PROMOTE: &str = "
UPDATE deliveries SET next_attempt_at = instant($3)
 WHERE next_attempt_at IS NULL AND id IN (
       SELECT (SELECT d.id FROM deliveries AS d
                WHERE d.webhook_id = c.webhook AND d.flight_id = c.flight AND d.status = 'pending'
                ORDER BY d.id LIMIT 1)
         FROM unnest($1::bigint[], $2::bigint[]) AS c (webhook, flight))";

const DUE: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM webhooks AS w CROSS JOIN LATERAL (
        SELECT * FROM deliveries AS e
         WHERE e.webhook_id = w.id AND e.next_attempt_at <= instant($1)
           AND (w.status = 'active' OR e.flight_id IS NULL)
         ORDER BY e.next_attempt_at, e.id LIMIT $3) AS d
       WHERE w.status <> 'deleted' AND w.id <> ALL ($2)
       ORDER BY d.next_attempt_at, d.id LIMIT 2048"
);

const NOTE: &str = "
UPDATE deliveries AS d SET status = c.status, attempts = d.attempts + 1,
       response_status = c.response, next_attempt_at = instant(c.next)
  FROM unnest($1::bigint[], $2::text[], $3::integer[], $4::bigint[])
       AS c (id, status, response, next)
 WHERE d.id = c.id AND d.status = 'pending'";

const SOUND: &str = "
UPDATE webhooks SET status = 'active', failing_since = NULL
 WHERE id = ANY($1) AND status <> 'deleted'
   AND (status = 'disabled' OR failing_since IS NOT NULL)";

const FAILING: &str =
    "UPDATE webhooks SET failing_since = instant($2) WHERE id = ANY($1) AND failing_since IS NULL";

const DISABLE: &str = "
UPDATE webhooks SET status = 'disabled'
 WHERE status = 'active'
   AND (id = ANY($2) OR (id = ANY($1) AND failing_since <= instant($3)))
RETURNING id";

const FLIGHTS: &str = concat!("SELECT ", flight_columns!(), " FROM flights WHERE id = ANY($1)");

const BOOKINGS: &str =
    concat!("SELECT ", booking_columns!("NULL"), " FROM bookings WHERE id = ANY($1)");

#[async_trait]
impl Deliveries for PostgresStore {
    async fn webhooks_named(&self, ids: &[WebhookId]) -> Result<Vec<Webhook>, StoreError> {
        let named = sqlx::query(WEBHOOKS_NAMED).bind(column(ids, |id| id.0));
        let rows = self.guard.bound(named.fetch_all(&self.primary)).await?;
        Ok(self.unreadable.readable::<WebhookRow, _, _>(&rows))
    }

    async fn active_webhooks(&self) -> Result<Vec<Webhook>, StoreError> {
        let active = sqlx::query(ACTIVE_WEBHOOKS);
        let rows = self.guard.bound(active.fetch_all(&self.primary)).await?;
        Ok(self.unreadable.readable::<WebhookRow, _, _>(&rows))
    }

    async fn add_deliveries(&self, new: &[NewDelivery], now: Timestamp) -> Result<(), StoreError> {
        self.guard.bound(add(&self.primary, new, now)).await
    }

    async fn due_deliveries(
        &self,
        now: Timestamp,
        busy: &[WebhookId],
        of_each: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        let due = sqlx::query(DUE)
            .bind(micros(now))
            .bind(column(busy, |webhook| webhook.0))
            .bind(of_each as i64);
        let rows = self.guard.bound(due.fetch_all(&self.primary)).await?;
        Ok(self.unreadable.readable::<DeliveryRow, _, _>(&rows))
    }

    async fn note_attempts(
        &self,
        attempts: &[Attempt],
        now: Timestamp,
        disable_before: Timestamp,
    ) -> Result<Vec<WebhookId>, StoreError> {
        self.guard.bound(note(&self.primary, &Noted::of(attempts), now, disable_before)).await
    }

    async fn hasten_deliveries(
        &self,
        webhook: WebhookId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let hasten =
            sqlx::query(hasten_deliveries!("instant($2)")).bind(webhook.0).bind(micros(now));
        self.guard.bound(hasten.execute(&self.primary)).await?;
        Ok(())
    }

    async fn fail_deliveries(&self, limit: usize) -> Result<usize, StoreError> {
        let fail = sqlx::query(FAIL_DELIVERIES).bind(limit as i64);
        Ok(self.guard.bound(fail.execute(&self.primary)).await?.rows_affected() as usize)
    }

    async fn forget_deliveries(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let of_deleted = sqlx::query(FORGET_OF_DELETED).bind(limit as i64);
        let done = self.guard.bound(of_deleted.execute(&self.primary)).await?;
        let forgotten = done.rows_affected() as usize;
        self.guard.bound(sqlx::query(FORGET_DELETED).execute(&self.primary)).await?;
        let ended = sqlx::query(forget_ended!("instant($2)"))
            .bind(limit.saturating_sub(forgotten) as i64)
            .bind(micros(before));
        let done = self.guard.bound(ended.execute(&self.primary)).await?;
        Ok(forgotten + done.rows_affected() as usize)
    }

    async fn count_webhooks(&self) -> Result<WebhookCounts, StoreError> {
        let counts = sqlx::query_as(COUNT_WEBHOOKS).bind(BACKLOG_MAX);
        let (pending, failing, disabled) =
            self.guard.bound(counts.fetch_one(&self.primary)).await?;
        Ok(WebhookCounts { pending, failing, disabled })
    }

    async fn event_rows(
        &self,
        flights: &[FlightId],
        bookings: &[BookingId],
    ) -> Result<EventRows, StoreError> {
        let mut found = EventRows::default();
        if !flights.is_empty() {
            let named = sqlx::query(FLIGHTS).bind(column(flights, |flight| flight.0));
            let rows = self.guard.bound(named.fetch_all(&self.primary)).await?;
            found.flights = self.unreadable.readable::<FlightRow, _, _>(&rows);
        }
        if !bookings.is_empty() {
            let named = sqlx::query(BOOKINGS).bind(column(bookings, |booking| booking.0));
            let rows = self.guard.bound(named.fetch_all(&self.primary)).await?;
            found.bookings = self.unreadable.readable::<BookingRow, _, _>(&rows);
        }
        Ok(found)
    }
}

async fn add(pool: &PgPool, new: &[NewDelivery], now: Timestamp) -> Result<(), StoreError> {
    let webhooks: BTreeSet<i64> = new.iter().map(|new| new.webhook.0).collect();
    let mut tx = locked(pool, &webhooks.into_iter().collect::<Vec<_>>()).await?;
    sqlx::query(ADD)
        .bind(column(new, |new| new.webhook.0))
        .bind(column(new, |new| new.event_id.to_string()))
        .bind(column(new, |new| new.kind.to_string()))
        .bind(column(new, |new| new.flight.map(|flight| flight.0)))
        .bind(column(new, |new| new.payload.to_string()))
        .bind(micros(now))
        .execute(&mut *tx)
        .await?;
    let line = |new: &NewDelivery| Some((new.webhook.0, new.flight?.0));
    let lines: BTreeSet<(i64, i64)> = new.iter().filter_map(line).collect();
    promote(&mut tx, &lines.into_iter().collect::<Vec<_>>(), now).await?;
    Ok(tx.commit().await?)
}

/// Begins a transaction that holds the rows of these webhooks.
async fn locked(pool: &PgPool, webhooks: &[i64]) -> Result<Transaction, sqlx::Error> {
    let mut tx = begin(pool).await?;
    sqlx::query(LOCK).bind(webhooks).execute(&mut *tx).await?;
    Ok(tx)
}

async fn promote(
    tx: &mut PgConnection,
    lines: &[(i64, i64)],
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    if lines.is_empty() {
        return Ok(());
    }
    sqlx::query(PROMOTE)
        .bind(column(lines, |(webhook, _)| *webhook))
        .bind(column(lines, |(_, flight)| *flight))
        .bind(micros(now))
        .execute(tx)
        .await?;
    Ok(())
}

async fn note(
    pool: &PgPool,
    noted: &Noted,
    now: Timestamp,
    disable_before: Timestamp,
) -> Result<Vec<WebhookId>, StoreError> {
    let mut tx = locked(pool, &noted.webhooks).await?;
    sqlx::query(NOTE)
        .bind(column(&noted.deliveries, |(id, ..)| *id))
        .bind(column(&noted.deliveries, |(_, status, ..)| *status))
        .bind(column(&noted.deliveries, |(_, _, response, _)| *response))
        .bind(column(&noted.deliveries, |(.., next)| *next))
        .execute(&mut *tx)
        .await?;
    promote(&mut tx, &noted.lines, now).await?;
    sqlx::query(SOUND).bind(&noted.sound).execute(&mut *tx).await?;
    sqlx::query(FAILING).bind(&noted.failing).bind(micros(now)).execute(&mut *tx).await?;
    let disabled: Vec<i64> = sqlx::query_scalar(DISABLE)
        .bind(&noted.used_up)
        .bind(&noted.gone)
        .bind(micros(disable_before))
        .fetch_all(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(disabled.into_iter().map(WebhookId).collect())
}
