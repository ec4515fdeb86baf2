//! Recomputes the route keys of flights.

use crate::domain::Invalidation;
use crate::store::StoreError;
use crate::store::postgres::connection::advisory_locks::for_whole_tables;
use crate::store::postgres::roles::outbox::insert_invalidation;
use crate::store::schema::route_keys::{ALL, DONE_TO, Keyed, NOTE, RULE, STEP, changed, reached};
use sqlx::{Connection, PgConnection};

/// Flights whose key may change. Plain ASCII with single blanks does not.
const LOOK: &str = "
SELECT id, source, destination, route FROM flights
 WHERE id > $1 AND (octet_length(route) <> length(route) OR position('  ' IN route) > 0)
 ORDER BY id LIMIT $2";

/// Skips flights whose route has changed since they were read: that change wrote the key.
const WRITE: &str = "
UPDATE flights SET route = c.key
  FROM unnest($1::bigint[], $2::text[], $3::text[]) AS c (id, was, key)
 WHERE flights.id = c.id AND flights.route = c.was";

/// Recomputes every key, step by step.
pub(in crate::store) async fn renew(connection: &mut PgConnection) -> Result<(), StoreError> {
    let done_to: Option<i64> =
        sqlx::query_scalar(DONE_TO).bind(RULE).fetch_optional(&mut *connection).await?;
    let mut done_to = done_to.unwrap_or(i64::MIN);
    while done_to != ALL {
        done_to = step(connection, done_to).await?;
    }
    Ok(())
}

async fn step(connection: &mut PgConnection, done_to: i64) -> Result<i64, StoreError> {
    let mut tx = connection.begin().await?;
    for_whole_tables(&mut tx).await?;
    let flights: Vec<Keyed> =
        sqlx::query_as(LOOK).bind(done_to).bind(STEP).fetch_all(&mut *tx).await?;
    let changed = changed(&flights);
    if !changed.is_empty() {
        sqlx::query(WRITE)
            .bind(changed.iter().map(|(id, _, _)| *id).collect::<Vec<_>>())
            .bind(changed.iter().map(|(_, was, _)| *was).collect::<Vec<_>>())
            .bind(changed.iter().map(|(_, _, key)| key.as_str()).collect::<Vec<_>>())
            .execute(&mut *tx)
            .await?;
        insert_invalidation(&mut tx, &Invalidation::All).await?;
    }
    let done_to = reached(&flights);
    sqlx::query(NOTE).bind(RULE).bind(done_to).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(done_to)
}
