//! Finds a commit's rows that another session holds, after `lock_timeout` has passed.

use super::commit::StaleRow;
use crate::rules::{ChangeSet, NetChanges};
use crate::store::postgres::connection::transaction::begin;
use crate::store::postgres::sets::column;
use tracing::{debug, warn};

/// Does not wait, and runs in a transaction that ends at once. Finds no row of a table that is locked as a
/// whole.
const LOCKED: &str = "
WITH
f AS MATERIALIZED (SELECT id FROM flights WHERE id = ANY($1) FOR NO KEY UPDATE SKIP LOCKED),
b AS MATERIALIZED (SELECT id FROM bookings WHERE id = ANY($2) FOR NO KEY UPDATE SKIP LOCKED),
p AS MATERIALIZED (
    SELECT reference FROM payments WHERE reference = ANY($3) FOR NO KEY UPDATE SKIP LOCKED)
SELECT 'flight', id, NULL FROM unnest($1::bigint[]) AS id WHERE id NOT IN (SELECT id FROM f)
UNION ALL
SELECT 'booking', id, NULL FROM unnest($2::bigint[]) AS id WHERE id NOT IN (SELECT id FROM b)
UNION ALL
SELECT 'payment', NULL, r FROM unnest($3::text[]) AS r WHERE r NOT IN (SELECT reference FROM p)";

/// The rows to change that another session holds.
pub(in crate::store) async fn locked(
    pool: &sqlx::PgPool,
    folded: &NetChanges,
    changes: &ChangeSet,
) -> Result<Vec<StaleRow>, sqlx::Error> {
    let bookings: Vec<_> = folded.bookings.iter().filter(|c| c.was.is_some()).collect();
    let payments: Vec<_> = folded.payments.iter().filter(|c| c.was.is_some()).collect();
    let mut tx = begin(pool).await?;
    sqlx::raw_sql("SET LOCAL lock_timeout = '100ms'").execute(&mut *tx).await?;
    let rows: Vec<StaleRow> = sqlx::query_as(LOCKED)
        .bind(column(&folded.flights, |c| c.after.id.0))
        .bind(column(&bookings, |c| c.after.id.0))
        .bind(column(&payments, |c| c.after.reference.to_string()))
        .fetch_all(&mut *tx)
        .await?;
    tx.roll_back().await?;
    // Logged as a warning the first time only.
    if changes.waits_briefly {
        debug!(rows = rows.len(), "another session still locks rows");
    } else if !rows.is_empty() {
        warn!(rows = rows.len(), "another session locks rows; commands that need them are refused");
    }
    Ok(rows)
}
