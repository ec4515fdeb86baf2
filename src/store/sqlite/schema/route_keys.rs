//! Recomputes the route keys of flights.

use crate::domain::Invalidation;
use crate::store::StoreError;
use crate::store::schema::route_keys::{ALL, DONE_TO, Keyed, NOTE, RULE, STEP, changed, reached};
use crate::store::sqlite::connection::writer::begin;
use crate::store::sqlite::roles::outbox::insert_invalidation;
use sqlx::SqliteConnection;

/// Flights whose key may change. Plain ASCII with single blanks does not.
const LOOK: &str = "
SELECT id, source, destination, route FROM flights
 WHERE id > ?1 AND (length(CAST(route AS BLOB)) <> length(route) OR instr(route, '  ') > 0)
 ORDER BY id LIMIT ?2";

/// Recomputes every key, step by step.
pub(in crate::store) async fn renew(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let done_to: Option<i64> =
        sqlx::query_scalar(DONE_TO).bind(RULE).fetch_optional(&mut *connection).await?;
    let mut done_to = done_to.unwrap_or(i64::MIN);
    while done_to != ALL {
        done_to = step(connection, done_to).await?;
    }
    Ok(())
}

async fn step(connection: &mut SqliteConnection, done_to: i64) -> Result<i64, StoreError> {
    let mut tx = begin(connection).await?;
    let flights: Vec<Keyed> =
        sqlx::query_as(LOOK).bind(done_to).bind(STEP).fetch_all(&mut *tx).await?;
    let changed = changed(&flights);
    for (id, _, key) in &changed {
        sqlx::query("UPDATE flights SET route = ?2 WHERE id = ?1")
            .bind(id)
            .bind(key)
            .execute(&mut *tx)
            .await?;
    }
    if !changed.is_empty() {
        insert_invalidation(&mut tx, &Invalidation::All).await?;
    }
    let done_to = reached(&flights);
    sqlx::query(NOTE).bind(RULE).bind(done_to).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(done_to)
}
