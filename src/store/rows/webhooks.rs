//! Rows of webhooks and deliveries, and the statements that both adapters run on them. Instants of parameters are
//! converted by the adapter's expression.

use super::{Cell, Columns, instant, micros, row};
use crate::domain::{
    Delivery, DeliveryId, DeliveryStatus, FlightId, OldSecret, SigningSecret, Timestamp, UserId,
    Webhook, WebhookId, WebhookUrl,
};
use crate::store::{Attempt, AttemptOutcome, StoreError};

row! {
    struct WebhookRow of "webhooks" {
        id: i64,
        owner: i64,
        url: String,
        types: String,
        secret: String,
        old_secret: Option<String>,
        old_secret_until: Option<i64>,
        status: String,
        failing_since: Option<i64>,
        created_at: i64,
    }
}

impl TryFrom<WebhookRow> for Webhook {
    type Error = StoreError;

    fn try_from(row: WebhookRow) -> Result<Self, StoreError> {
        let cell = Cell { table: WebhookRow::TABLE, row: row.id.to_string() };
        let at = |column, micros: Option<i64>| -> Result<Option<Timestamp>, StoreError> {
            micros.map(|micros| cell.read(column, instant(micros))).transpose()
        };
        let secret = |column, text: &str| cell.read(column, SigningSecret::read(text));
        let old = row.old_secret.map(|text| secret("old_secret", &text)).transpose()?;
        let until = at("old_secret_until", row.old_secret_until)?;
        Ok(Self {
            id: WebhookId(row.id),
            owner: UserId(row.owner),
            url: WebhookUrl::stored(&row.url),
            types: cell.read("types", serde_json::from_str(&row.types).ok())?,
            secret: secret("secret", &row.secret)?,
            old_secret: old.zip(until).map(|(secret, until)| OldSecret { secret, until }),
            status: cell.read("status", row.status.parse().ok())?,
            failing_since: at("failing_since", row.failing_since)?,
            created_at: cell.read("created_at", instant(row.created_at))?,
        })
    }
}

row! {
    struct DeliveryRow of "deliveries" {
        id: i64,
        webhook_id: i64,
        event_id: String,
        kind: String,
        flight_id: Option<i64>,
        payload: String,
        status: String,
        attempts: i32,
        response_status: Option<i32>,
        at: i64,
    }
}

impl TryFrom<DeliveryRow> for Delivery {
    type Error = StoreError;

    fn try_from(row: DeliveryRow) -> Result<Self, StoreError> {
        let cell = Cell { table: DeliveryRow::TABLE, row: row.id.to_string() };
        Ok(Self {
            id: DeliveryId(row.id),
            webhook: WebhookId(row.webhook_id),
            event_id: row.event_id.into(),
            kind: row.kind.into(),
            flight: row.flight_id.map(FlightId),
            payload: row.payload.into(),
            status: cell.read("status", row.status.parse().ok())?,
            attempts: row.attempts,
            response_status: row.response_status,
            at: cell.read("at", instant(row.at))?,
        })
    }
}

/// Makes a webhook, unless its owner (`$1`) has the maximum (`$6`).
macro_rules! create_webhook {
    ($now:literal) => {
        concat!(
            "INSERT INTO webhooks (owner, url, types, secret, status, created_at)
             SELECT $1, $2, $3, $4, 'active', ",
            $now,
            " WHERE (SELECT count(*) FROM webhooks
                      WHERE owner = $1 AND status <> 'deleted') < $6
             RETURNING id"
        )
    };
}

/// Replaces a secret: of webhook `$1`, by `$2`.
macro_rules! rotate_webhook {
    ($until:literal) => {
        concat!(
            "UPDATE webhooks SET old_secret = secret, secret = $2, old_secret_until = ",
            $until,
            " WHERE id = $1 AND status <> 'deleted' RETURNING id"
        )
    };
}

/// Adds a delivery (event `$2`, type `$3`, body `$4`) to webhook `$1`, which waits for no other.
macro_rules! ping_webhook {
    ($now:literal) => {
        concat!(
            "INSERT INTO deliveries (webhook_id, event_id, type, payload, status, attempts, next_attempt_at, at)
             SELECT id, $2, $3, $4, 'pending', 0, ",
            $now,
            ", ",
            $now,
            " FROM webhooks WHERE id = $1 AND status <> 'deleted'
             RETURNING id"
        )
    };
}

/// Sends delivery `$2` of webhook `$1` once more; it leaves its flight's line.
macro_rules! redeliver {
    ($now:literal) => {
        concat!(
            "UPDATE deliveries SET status = 'pending', flight_id = NULL,
                    attempts = CASE WHEN status = 'pending' THEN attempts ELSE 0 END,
                    next_attempt_at = ",
            $now,
            " WHERE webhook_id = $1 AND id = $2
                AND EXISTS (SELECT 1 FROM webhooks AS w WHERE w.id = $1 AND w.status <> 'deleted')
             RETURNING id"
        )
    };
}

/// Deletes a webhook.
pub(in crate::store) const DELETE_WEBHOOK: &str = "
UPDATE webhooks SET status = 'deleted', secret = '', old_secret = NULL, old_secret_until = NULL
 WHERE id = $1 AND status <> 'deleted'";

/// Webhook `$1`.
macro_rules! webhook_by_id {
    ($columns:expr) => {
        concat!("SELECT ", $columns, " FROM webhooks WHERE id = $1 AND status <> 'deleted'")
    };
}

/// Delivery `$2` of webhook `$1`.
macro_rules! delivery_by_id {
    ($columns:expr) => {
        concat!("SELECT ", $columns, " FROM deliveries AS d WHERE d.webhook_id = $1 AND d.id = $2")
    };
}

/// Webhooks of owner `$1` (NULL: of all) after id `$2`, at most `$3`.
macro_rules! webhooks_of {
    ($columns:expr) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM webhooks WHERE ($1 IS NULL OR owner = $1) AND id > $2 AND status <> 'deleted'
               ORDER BY id LIMIT $3"
        )
    };
}

/// Deliveries of webhook `$1` before id `$2`, at most `$3`.
macro_rules! deliveries_of {
    ($columns:expr) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM deliveries AS d
               WHERE d.webhook_id = $1 AND d.id < $2 ORDER BY d.id DESC LIMIT $3"
        )
    };
}

/// Makes deliveries of webhook `$1` due that wait for a further attempt.
macro_rules! hasten_deliveries {
    ($now:literal) => {
        concat!(
            "UPDATE deliveries SET next_attempt_at = ",
            $now,
            " WHERE webhook_id = $1 AND next_attempt_at > ",
            $now
        )
    };
}

/// Ends deliveries of disabled webhooks, but for pings and repetitions.
pub(in crate::store) const FAIL_DELIVERIES: &str = "
UPDATE deliveries SET status = 'failed', next_attempt_at = NULL
 WHERE id IN (SELECT d.id FROM webhooks AS w
                JOIN deliveries AS d ON d.webhook_id = w.id
                 AND d.status = 'pending' AND d.flight_id IS NOT NULL
               WHERE w.status = 'disabled' LIMIT $1)";

/// Deletes deliveries of deleted webhooks.
pub(in crate::store) const FORGET_OF_DELETED: &str = "
DELETE FROM deliveries
 WHERE id IN (SELECT d.id FROM webhooks AS w JOIN deliveries AS d ON d.webhook_id = w.id
               WHERE w.status = 'deleted' LIMIT $1)";

/// Deletes deleted webhooks without deliveries.
pub(in crate::store) const FORGET_DELETED: &str = "
DELETE FROM webhooks
 WHERE status = 'deleted'
   AND NOT EXISTS (SELECT 1 FROM deliveries AS d WHERE d.webhook_id = webhooks.id)";

/// Deletes deliveries that have ended and are older than `$2`, at most `$1`.
macro_rules! forget_ended {
    ($before:literal) => {
        concat!(
            "DELETE FROM deliveries WHERE id IN (
                 SELECT id FROM deliveries WHERE status <> 'pending' AND at < ",
            $before,
            " ORDER BY at LIMIT $1)"
        )
    };
}

/// Counts deliveries that have not ended, and webhooks that fail; each up to `$1`.
pub(in crate::store) const COUNT_WEBHOOKS: &str = "
SELECT (SELECT count(*) FROM (SELECT 1 FROM deliveries WHERE status = 'pending' LIMIT $1) AS p),
       (SELECT count(*) FROM (SELECT 1 FROM webhooks
         WHERE status = 'active' AND failing_since IS NOT NULL LIMIT $1) AS f),
       (SELECT count(*) FROM (SELECT 1 FROM webhooks WHERE status = 'disabled' LIMIT $1) AS d)";

pub(in crate::store) use {
    create_webhook, deliveries_of, delivery_by_id, forget_ended, hasten_deliveries, ping_webhook,
    redeliver, rotate_webhook, webhook_by_id, webhooks_of,
};

/// What attempts change, as sets of rows.
pub(in crate::store) struct Noted {
    /// Delivery, status, status of the answer, next attempt.
    pub(in crate::store) deliveries: Vec<(i64, &'static str, Option<i32>, Option<i64>)>,
    /// Webhook and flight of each delivery that has ended: the next in line is due.
    pub(in crate::store) lines: Vec<(i64, i64)>,
    /// All webhooks, each once, in the order in which they are locked.
    pub(in crate::store) webhooks: Vec<i64>,
    /// Those with a success.
    pub(in crate::store) sound: Vec<i64>,
    /// Those with failures alone.
    pub(in crate::store) failing: Vec<i64>,
    /// Of those, the ones to disable if they have failed for long.
    pub(in crate::store) used_up: Vec<i64>,
    /// Those to disable at once.
    pub(in crate::store) gone: Vec<i64>,
}

impl Noted {
    pub(in crate::store) fn of(attempts: &[Attempt]) -> Self {
        let delivered = |attempt: &&Attempt| attempt.outcome == AttemptOutcome::Delivered;
        let sound = distinct(attempts.iter().filter(delivered));
        let of = |outcome: AttemptOutcome| {
            let with_it = attempts.iter().filter(|attempt| attempt.outcome == outcome);
            without(distinct(with_it), &sound)
        };
        let lines = attempts.iter().filter(|attempt| status(attempt) != DeliveryStatus::Pending);
        let line = |attempt: &Attempt| Some((attempt.webhook.0, attempt.flight?.0));
        Self {
            deliveries: attempts.iter().map(delivery).collect(),
            lines: lines.filter_map(line).collect(),
            webhooks: distinct(attempts.iter()),
            failing: without(distinct(attempts.iter()), &sound),
            used_up: of(AttemptOutcome::UsedUp),
            gone: of(AttemptOutcome::Gone),
            sound,
        }
    }
}

fn delivery(attempt: &Attempt) -> (i64, &'static str, Option<i32>, Option<i64>) {
    let next = match attempt.outcome {
        AttemptOutcome::Again(at) => Some(micros(at)),
        _ => None,
    };
    (attempt.delivery.0, status(attempt).as_str(), attempt.response_status, next)
}

const fn status(attempt: &Attempt) -> DeliveryStatus {
    match attempt.outcome {
        AttemptOutcome::Delivered => DeliveryStatus::Delivered,
        AttemptOutcome::Again(_) => DeliveryStatus::Pending,
        AttemptOutcome::UsedUp | AttemptOutcome::Gone => DeliveryStatus::Failed,
    }
}

/// The webhooks of attempts, sorted, each once.
fn distinct<'a>(attempts: impl Iterator<Item = &'a Attempt>) -> Vec<i64> {
    let mut ids: Vec<i64> = attempts.map(|attempt| attempt.webhook.0).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn without(mut ids: Vec<i64>, others: &[i64]) -> Vec<i64> {
    ids.retain(|id| !others.contains(id));
    ids
}
