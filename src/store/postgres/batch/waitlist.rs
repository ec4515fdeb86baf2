//! The entries of waiting lists of a batch.

use crate::domain::{EndReason, Entry, EntryStatus, Money, PaymentMethod, WaitlistId};
use crate::rules::{EntryChange, Wanted};
use crate::store::postgres::columns::entry_columns;
use crate::store::postgres::sets::column;
use crate::store::rows::micros;
use crate::store::rows::sql::json;
use sqlx::PgConnection;
use sqlx::postgres::PgRow;
use std::collections::BTreeSet;

pub(in crate::store::postgres) const ENTRIES: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM waitlist WHERE id = ANY($1)
      UNION ALL SELECT ",
    entry_columns!(),
    " FROM waitlist
       WHERE flight_id = ANY($2) AND status IN ('waiting', 'offered') AND NOT id = ANY($1)
      UNION ALL SELECT ",
    entry_columns!(),
    " FROM waitlist
       WHERE (flight_id, user_id) IN (SELECT * FROM unnest($3::bigint[], $4::bigint[]))
         AND status IN ('waiting', 'offered') AND NOT id = ANY($1) AND NOT flight_id = ANY($2)"
);

const INSERT: &str = "
INSERT INTO waitlist (id, flight_id, user_id, place, seats, passengers, mode, payment_method,
       max_price, until, status, reason, overtaken, passed_before, gathers_until,
       payment_reference_id, created_at, updated_at, version)
VALUES ($1, $2, $3, $4, $5, $6::jsonb, $7, $8, major($9), instant($10), $11, $12, $13, $14,
       instant($15), $16, instant($17), instant($18), $19)
    ON CONFLICT (id) DO NOTHING";

const UPDATE: &str = "
UPDATE waitlist AS w SET status = c.status, reason = c.reason, overtaken = c.overtaken,
       passed_before = c.passed_before, gathers_until = instant(c.gathers_until),
       updated_at = instant(c.at), version = c.version,
       passengers = CASE WHEN c.status = 'waiting' THEN w.passengers END
  FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::int[], $6::int[],
              $7::bigint[], $8::bigint[], $9::bigint[])
       AS c (id, was, status, reason, overtaken, passed_before, gathers_until, at, version)
 WHERE w.id = c.id AND w.version = c.was
RETURNING w.id";

/// The wanted entries, and those with these ids.
pub(super) async fn load(
    connection: &mut PgConnection,
    wanted: &Wanted,
    ids: &BTreeSet<WaitlistId>,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let (flights, users): (Vec<i64>, Vec<i64>) =
        wanted.entrants.iter().map(|(flight, user)| (flight.0, user.0)).unzip();
    sqlx::query(ENTRIES)
        .bind(ids.iter().map(|id| id.0).collect::<Vec<_>>())
        .bind(wanted.lines.iter().map(|flight| flight.0).collect::<Vec<_>>())
        .bind(flights)
        .bind(users)
        .fetch_all(connection)
        .await
}

/// Writes the entries: changed ones first, so that a user's earlier entry is over before the next is active.
/// Returns the ids of those that another commit wrote or changed first.
pub(super) async fn write(
    connection: &mut PgConnection,
    entries: &[EntryChange],
) -> Result<Vec<i64>, sqlx::Error> {
    let (new, changed): (Vec<_>, Vec<_>) = entries.iter().partition(|c| c.was.is_none());
    let mut stale = update(connection, &changed).await?;
    for EntryChange { after, .. } in new {
        if stale.is_empty() && !insert(connection, after).await? {
            stale.push(after.id.0);
        }
    }
    Ok(stale)
}

/// Returns the ids of those that have changed since.
async fn update(
    connection: &mut PgConnection,
    changed: &[&EntryChange],
) -> Result<Vec<i64>, sqlx::Error> {
    if changed.is_empty() {
        return Ok(Vec::new());
    }
    let written: Vec<i64> = sqlx::query_scalar(UPDATE)
        .bind(column(changed, |c| c.after.id.0))
        .bind(column(changed, |c| c.was))
        .bind(column(changed, |c| c.after.status.as_str()))
        .bind(column(changed, |c| c.after.reason.map(EndReason::as_str)))
        .bind(column(changed, |c| c.after.overtaken))
        .bind(column(changed, |c| c.after.passed_before))
        .bind(column(changed, |c| c.after.gathers_until.map(micros)))
        .bind(column(changed, |c| micros(c.after.updated_at)))
        .bind(column(changed, |c| c.after.version))
        .fetch_all(connection)
        .await?;
    let ids = changed.iter().map(|change| change.after.id.0);
    Ok(ids.filter(|id| !written.contains(id)).collect())
}

/// Returns whether it was written: no other entry has its id.
async fn insert(connection: &mut PgConnection, entry: &Entry) -> Result<bool, sqlx::Error> {
    let is_waiting = entry.status == EntryStatus::Waiting;
    let done = sqlx::query(INSERT)
        .bind(entry.id.0)
        .bind(entry.flight_id.0)
        .bind(entry.user_id.0)
        .bind(entry.place)
        .bind(entry.seats)
        .bind(entry.passengers.as_ref().filter(|_| is_waiting).map(json))
        .bind(entry.mode.as_str())
        .bind(entry.payment_method.as_ref().map(PaymentMethod::as_str))
        .bind(entry.max_price.map(Money::stored))
        .bind(entry.until.map(micros))
        .bind(entry.status.as_str())
        .bind(entry.reason.map(EndReason::as_str))
        .bind(entry.overtaken)
        .bind(entry.passed_before)
        .bind(entry.gathers_until.map(micros))
        .bind(entry.payment_reference.to_string())
        .bind(micros(entry.created_at))
        .bind(micros(entry.updated_at))
        .bind(entry.version)
        .execute(connection)
        .await?;
    Ok(done.rows_affected() == 1)
}
