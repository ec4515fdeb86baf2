//! Idempotency keys of the routes other than `POST /bookings`.

use crate::rules::{IdempotencyRecord, RequestName, RequestRecord};
use crate::store::StoreError;
use crate::store::postgres::sets::column;
use crate::store::rows::micros;
use crate::store::rows::request_keys::RequestRow;
use sqlx::{PgConnection, PgExecutor};
use std::collections::BTreeSet;

/// The rows with these names.
pub(in crate::store) async fn load(
    executor: impl PgExecutor<'_>,
    names: &BTreeSet<RequestName>,
) -> Result<Vec<RequestRow>, StoreError> {
    let sorted: Vec<&RequestName> = names.iter().collect();
    sqlx::query_as(
        "SELECT c.position - 1, k.hash, k.made,
                CASE WHEN isfinite(k.created_at) THEN micros(k.created_at) END
           FROM unnest($1::text[], $2::bigint[], $3::text[])
                WITH ORDINALITY AS c (route, owner, key, position)
           JOIN request_keys AS k
             ON k.route = c.route AND k.owner = c.owner AND k.key = c.key",
    )
    .bind(column(&sorted, |(route, _, _)| *route))
    .bind(column(&sorted, |(_, owner, _)| owner.0))
    .bind(column(&sorted, |(_, _, key)| key.to_string()))
    .fetch_all(executor)
    .await
    .map_err(StoreError::from)
}

/// Writes records, over those that have lapsed. Returns the positions of records whose keys another request
/// holds.
///
/// A second request with the same key waits here for the end of the first one's transaction.
pub(in crate::store) async fn write(
    connection: &mut PgConnection,
    requests: &[RequestRecord],
) -> Result<Vec<i64>, sqlx::Error> {
    if requests.is_empty() {
        return Ok(Vec::new());
    }
    let written: Vec<(String, i64, String)> = sqlx::query_as(
        "INSERT INTO request_keys AS k (route, owner, key, hash, made, created_at)
         SELECT route, owner, key, hash, made, instant(created_at)
           FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bigint[])
                AS c (route, owner, key, hash, made, created_at)
          ORDER BY route, owner, key
             ON CONFLICT (route, owner, key) DO UPDATE
            SET hash = excluded.hash, made = excluded.made, created_at = excluded.created_at
          WHERE k.created_at <= excluded.created_at - make_interval(secs => $7)
         RETURNING route, owner, key",
    )
    .bind(column(requests, |r| r.request.route))
    .bind(column(requests, |r| r.request.owner.0))
    .bind(column(requests, |r| r.request.key.key.to_string()))
    .bind(column(requests, |r| r.request.key.request_hash.to_string()))
    .bind(column(requests, |r| r.made))
    .bind(column(requests, |r| micros(r.created_at)))
    .bind(IdempotencyRecord::KEPT_FOR.as_seconds_f64())
    .fetch_all(connection)
    .await?;
    let is_taken = |request: &RequestRecord| {
        let (route, owner, key) = request.request.name();
        !written.iter().any(|w| w.0 == *route && w.1 == owner.0 && w.2 == *key)
    };
    let taken = (0..).zip(requests).filter(|(_, request)| is_taken(request));
    Ok(taken.map(|(position, _)| position).collect())
}
