//! Deliveries to webhooks. Of each flight's deliveries that wait the first is due, and no other.

use crate::domain::{BookingId, Delivery, FlightId, NewDelivery, Timestamp, Webhook, WebhookId};
use crate::store::rows::sql::json;
use crate::store::rows::webhooks::{
    COUNT_WEBHOOKS, DeliveryRow, FAIL_DELIVERIES, FORGET_DELETED, FORGET_OF_DELETED, Noted,
    WebhookRow, forget_ended, hasten_deliveries,
};
use crate::store::rows::{BookingRow, FlightRow, micros};
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::columns::{
    booking_columns, delivery_columns, flight_columns, webhook_columns,
};
use crate::store::sqlite::connection::writer::{Tx, begin};
use crate::store::{Attempt, BACKLOG_MAX, Deliveries, EventRows, StoreError, WebhookCounts};
use async_trait::async_trait;
use std::collections::BTreeSet;

const ACTIVE_WEBHOOKS: &str =
    concat!("SELECT ", webhook_columns!(), " FROM webhooks WHERE status = 'active'");

const WEBHOOKS_NAMED: &str = concat!(
    "SELECT ",
    webhook_columns!(),
    " FROM webhooks WHERE id IN (SELECT value FROM json_each($1)) AND status <> 'deleted'"
);

const ADD: &str = "
INSERT INTO deliveries (webhook_id, event_id, type, flight_id, payload, status, attempts,
                        next_attempt_at, at)
SELECT c.value ->> 0, c.value ->> 1, c.value ->> 2, c.value ->> 3, c.value ->> 4, 'pending', 0,
       CASE WHEN c.value ->> 3 IS NULL THEN $2 END, $2
  FROM json_each($1) AS c JOIN webhooks AS w ON w.id = c.value ->> 0 AND w.status = 'active'
 WHERE true
 ORDER BY c.key
    ON CONFLICT (webhook_id, event_id) DO NOTHING";

/// Makes the first delivery of each line due.
const PROMOTE: &str = "
UPDATE deliveries SET next_attempt_at = $2
 WHERE next_attempt_at IS NULL AND id IN (
       SELECT (SELECT d.id FROM deliveries AS d
                WHERE d.webhook_id = c.value ->> 0 AND d.flight_id = c.value ->> 1
                  AND d.status = 'pending'
                ORDER BY d.id LIMIT 1)
         FROM json_each($1) AS c)";

const DUE: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM webhooks AS w CROSS JOIN deliveries AS d
       WHERE w.status <> 'deleted' AND w.id NOT IN (SELECT value FROM json_each($2))
         AND d.id IN (SELECT e.id FROM deliveries AS e
                       WHERE e.webhook_id = w.id AND e.next_attempt_at <= $1
                         AND (w.status = 'active' OR e.flight_id IS NULL)
                       ORDER BY e.next_attempt_at, e.id LIMIT $3)
       ORDER BY d.next_attempt_at, d.id LIMIT 2048"
);

const NOTE: &str = "
UPDATE deliveries SET status = c.value ->> 1, attempts = attempts + 1,
       response_status = c.value ->> 2, next_attempt_at = c.value ->> 3
  FROM json_each($1) AS c
 WHERE deliveries.id = c.value ->> 0 AND deliveries.status = 'pending'";

const SOUND: &str = "
UPDATE webhooks SET status = 'active', failing_since = NULL
 WHERE id IN (SELECT value FROM json_each($1)) AND status <> 'deleted'
   AND (status = 'disabled' OR failing_since IS NOT NULL)";

const FAILING: &str = "
UPDATE webhooks SET failing_since = $2
 WHERE id IN (SELECT value FROM json_each($1)) AND failing_since IS NULL";

const DISABLE: &str = "
UPDATE webhooks SET status = 'disabled'
 WHERE status = 'active'
   AND (id IN (SELECT value FROM json_each($2))
        OR (id IN (SELECT value FROM json_each($1)) AND failing_since <= $3))
RETURNING id";

const FLIGHTS: &str = concat!(
    "SELECT ",
    flight_columns!(),
    " FROM flights WHERE id IN (SELECT value FROM json_each($1))"
);

const BOOKINGS: &str = concat!(
    "SELECT ",
    booking_columns!("NULL"),
    " FROM bookings WHERE id IN (SELECT value FROM json_each($1))"
);

#[async_trait]
impl Deliveries for SqliteStore {
    async fn active_webhooks(&self) -> Result<Vec<Webhook>, StoreError> {
        let rows = sqlx::query(ACTIVE_WEBHOOKS).fetch_all(&self.reader).await?;
        Ok(self.unreadable.readable::<WebhookRow, _, _>(&rows))
    }

    async fn webhooks_named(&self, ids: &[WebhookId]) -> Result<Vec<Webhook>, StoreError> {
        let rows = sqlx::query(WEBHOOKS_NAMED).bind(json(&ids)).fetch_all(&self.reader).await?;
        Ok(self.unreadable.readable::<WebhookRow, _, _>(&rows))
    }

    async fn add_deliveries(&self, new: &[NewDelivery], now: Timestamp) -> Result<(), StoreError> {
        let row = |new: &NewDelivery| {
            (new.webhook, new.event_id.clone(), new.kind.clone(), new.flight, new.payload.clone())
        };
        let rows: Vec<_> = new.iter().map(row).collect();
        let line = |new: &NewDelivery| Some((new.webhook.0, new.flight?.0));
        let lines: BTreeSet<(i64, i64)> = new.iter().filter_map(line).collect();
        let mut writing = self.writer.take().await?;
        let mut tx = begin(&mut writing).await?;
        sqlx::query(ADD).bind(json(&rows)).bind(micros(now)).execute(&mut *tx).await?;
        promote(&mut tx, &lines.into_iter().collect::<Vec<_>>(), now).await?;
        Ok(tx.commit().await?)
    }

    async fn due_deliveries(
        &self,
        now: Timestamp,
        busy: &[WebhookId],
        of_each: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        let due = sqlx::query(DUE).bind(micros(now)).bind(json(&busy)).bind(of_each as i64);
        let rows = due.fetch_all(&self.reader).await?;
        Ok(self.unreadable.readable::<DeliveryRow, _, _>(&rows))
    }

    async fn note_attempts(
        &self,
        attempts: &[Attempt],
        now: Timestamp,
        disable_before: Timestamp,
    ) -> Result<Vec<WebhookId>, StoreError> {
        let noted = Noted::of(attempts);
        let mut writing = self.writer.take().await?;
        let mut tx = begin(&mut writing).await?;
        sqlx::query(NOTE).bind(json(&noted.deliveries)).execute(&mut *tx).await?;
        promote(&mut tx, &noted.lines, now).await?;
        sqlx::query(SOUND).bind(json(&noted.sound)).execute(&mut *tx).await?;
        let failing = sqlx::query(FAILING).bind(json(&noted.failing)).bind(micros(now));
        failing.execute(&mut *tx).await?;
        let disable = sqlx::query_scalar(DISABLE)
            .bind(json(&noted.used_up))
            .bind(json(&noted.gone))
            .bind(micros(disable_before));
        let disabled: Vec<i64> = disable.fetch_all(&mut *tx).await?;
        tx.commit().await?;
        Ok(disabled.into_iter().map(WebhookId).collect())
    }

    async fn hasten_deliveries(
        &self,
        webhook: WebhookId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut writing = self.writer.take().await?;
        let hasten = sqlx::query(hasten_deliveries!("$2")).bind(webhook.0).bind(micros(now));
        hasten.execute(&mut *writing).await?;
        Ok(())
    }

    async fn fail_deliveries(&self, limit: usize) -> Result<usize, StoreError> {
        let mut writing = self.writer.take().await?;
        let fail = sqlx::query(FAIL_DELIVERIES).bind(limit as i64);
        Ok(fail.execute(&mut *writing).await?.rows_affected() as usize)
    }

    /// Gives the writer back between the statements.
    async fn forget_deliveries(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let of_deleted = sqlx::query(FORGET_OF_DELETED).bind(limit as i64);
        let done = of_deleted.execute(&mut *self.writer.take().await?).await?;
        let forgotten = done.rows_affected() as usize;
        sqlx::query(FORGET_DELETED).execute(&mut *self.writer.take().await?).await?;
        let ended = sqlx::query(forget_ended!("$2"))
            .bind(limit.saturating_sub(forgotten) as i64)
            .bind(micros(before));
        let done = ended.execute(&mut *self.writer.take().await?).await?;
        Ok(forgotten + done.rows_affected() as usize)
    }

    async fn count_webhooks(&self) -> Result<WebhookCounts, StoreError> {
        let counts = sqlx::query_as(COUNT_WEBHOOKS).bind(BACKLOG_MAX);
        let (pending, failing, disabled) = counts.fetch_one(&self.reader).await?;
        Ok(WebhookCounts { pending, failing, disabled })
    }

    async fn event_rows(
        &self,
        flights: &[FlightId],
        bookings: &[BookingId],
    ) -> Result<EventRows, StoreError> {
        let mut found = EventRows::default();
        if !flights.is_empty() {
            let rows = sqlx::query(FLIGHTS).bind(json(&flights)).fetch_all(&self.reader).await?;
            found.flights = self.unreadable.readable::<FlightRow, _, _>(&rows);
        }
        if !bookings.is_empty() {
            let rows = sqlx::query(BOOKINGS).bind(json(&bookings)).fetch_all(&self.reader).await?;
            found.bookings = self.unreadable.readable::<BookingRow, _, _>(&rows);
        }
        Ok(found)
    }
}

async fn promote(tx: &mut Tx<'_>, lines: &[(i64, i64)], now: Timestamp) -> Result<(), sqlx::Error> {
    if lines.is_empty() {
        return Ok(());
    }
    sqlx::query(PROMOTE).bind(json(&lines)).bind(micros(now)).execute(&mut **tx).await?;
    Ok(())
}
