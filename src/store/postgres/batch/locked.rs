//! Finds a commit's rows that another session holds, after the commit has waited for them in vain.

use super::commit::StaleRow;
use crate::rules::NetChanges;
use crate::store::postgres::connection::transaction::begin;
use crate::store::postgres::sets::column;
use sqlx::PgPool;
use std::time::Duration;

/// How often the rows are looked at, and the pause in between: in all 300 ms, which is longer than a commit waits for a
/// row. So a row is not mistaken for locked because another replica's commit holds it, and waits for the locked one.
const LOOKS: usize = 7;
const PAUSE: Duration = Duration::from_millis(50);

/// Does not wait, and runs in a transaction that ends at once.
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

/// The rows to change that another session holds all the time. Fails if a table is locked as a whole.
pub(in crate::store) async fn locked(
    pool: &PgPool,
    folded: &NetChanges,
) -> Result<Vec<StaleRow>, sqlx::Error> {
    let mut locked = look(pool, folded).await?;
    for _ in 1..LOOKS {
        if locked.is_empty() {
            return Ok(locked);
        }
        tokio::time::sleep(PAUSE).await;
        let still = look(pool, folded).await?;
        locked.retain(|row| still.contains(row));
    }
    Ok(locked)
}

/// The rows to change that another session holds.
async fn look(pool: &PgPool, folded: &NetChanges) -> Result<Vec<StaleRow>, sqlx::Error> {
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
    Ok(rows)
}
