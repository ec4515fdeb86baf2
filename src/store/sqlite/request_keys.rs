//! Idempotency keys of routes other than that of bookings.

use super::commit::json;
use super::error::store_error;
use super::writer::Writer;
use crate::domain::Timestamp;
use crate::rules::{RequestName, RequestRecord};
use crate::store::StoreError;
use crate::store::request_keys::{RequestRow, records};
use crate::store::rows::micros;
use sqlx::SqliteConnection;
use std::collections::{BTreeSet, HashMap};

/// The records that are stored under these names.
pub(super) async fn load(
    connection: &mut SqliteConnection,
    names: &BTreeSet<RequestName>,
) -> Result<HashMap<RequestName, RequestRecord>, StoreError> {
    let rows: Vec<RequestRow> = sqlx::query_as(
        "SELECT c.key, k.hash, k.made, k.created_at
           FROM json_each(?1) AS c
           JOIN request_keys AS k ON k.route = c.value ->> 0 AND k.owner = c.value ->> 1
                                 AND k.key = c.value ->> 2",
    )
    .bind(json(names))
    .fetch_all(connection)
    .await
    .map_err(store_error)?;
    records(names, rows)
}

/// Forgets keys used before `before`, the oldest `limit` at most; says how many.
pub(super) async fn forget(
    writer: &Writer,
    before: Timestamp,
    limit: usize,
) -> Result<usize, StoreError> {
    let mut writing = writer.take().await?;
    let forgotten = sqlx::query(
        "DELETE FROM request_keys WHERE (route, owner, key) IN (
             SELECT route, owner, key FROM request_keys
              WHERE created_at < ?1 ORDER BY created_at LIMIT ?2)",
    )
    .bind(micros(before))
    .bind(limit as i64)
    .execute(&mut *writing)
    .await
    .map_err(store_error)?;
    Ok(forgotten.rows_affected() as usize)
}
