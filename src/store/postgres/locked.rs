//! Rows that another session keeps: which of a commit's they are, once `lock_timeout` has passed.

use super::commit::StaleRow;
use super::statement::column;
use super::transaction::begin;
use crate::rules::{ChangeSet, NetChanges};
use tracing::{debug, warn};

/// Looks without waiting, in a transaction that ends at once. A table that is kept as a whole is none of
/// its rows.
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

/// The rows to be changed that another session keeps.
pub(super) async fn locked(
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
    // What is known is not news.
    if changes.waits_briefly {
        debug!(rows = rows.len(), "another session still keeps rows");
    } else if !rows.is_empty() {
        warn!(rows = rows.len(), "another session keeps rows; commands that need them are refused");
    }
    Ok(rows)
}
