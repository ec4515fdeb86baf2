//! Idempotency keys of routes other than bookings.

use super::error::store_error;
use super::writer::{Writer, begin};
use crate::booking::{Claim, IdempotencyRecord, RequestKey};
use crate::domain::Timestamp;
use crate::store::StoreError;
use crate::store::rows::micros;
use sqlx::SqliteConnection;

/// Takes a key for a request, or gives what it made before.
pub(super) async fn claim(
    connection: &mut SqliteConnection,
    request: &RequestKey,
    made: i64,
    now: Timestamp,
) -> Result<Claim<()>, StoreError> {
    let taken = sqlx::query(
        "INSERT INTO request_keys (route, owner, key, hash, made, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (route, owner, key) DO UPDATE
            SET hash = excluded.hash, made = excluded.made, created_at = excluded.created_at
          WHERE request_keys.created_at < ?7",
    )
    .bind(request.route)
    .bind(request.owner.0)
    .bind(&*request.key.key)
    .bind(&*request.key.request_hash)
    .bind(made)
    .bind(micros(now))
    .bind(micros(now - IdempotencyRecord::KEPT_FOR))
    .execute(&mut *connection)
    .await
    .map_err(store_error)?;
    if taken.rows_affected() == 1 {
        return Ok(Claim::New(()));
    }
    let (hash, made): (String, i64) = sqlx::query_as(
        "SELECT hash, made FROM request_keys WHERE route = ?1 AND owner = ?2 AND key = ?3",
    )
    .bind(request.route)
    .bind(request.owner.0)
    .bind(&*request.key.key)
    .fetch_one(connection)
    .await
    .map_err(store_error)?;
    Ok(request.meets(&hash, made))
}

/// Notes what a claimed key has made, in the transaction that made it.
pub(super) async fn note(
    connection: &mut SqliteConnection,
    request: &RequestKey,
    made: i64,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE request_keys SET made = ?4 WHERE route = ?1 AND owner = ?2 AND key = ?3")
        .bind(request.route)
        .bind(request.owner.0)
        .bind(&*request.key.key)
        .bind(made)
        .execute(connection)
        .await
        .map_err(store_error)?;
    Ok(())
}

/// Claims a key for a change that is made in a transaction of its own.
pub(super) async fn claim_alone(
    writer: &Writer,
    request: &RequestKey,
    made: i64,
    now: Timestamp,
) -> Result<Claim<()>, StoreError> {
    let mut writing = writer.take().await?;
    let mut tx = begin(&mut writing).await?;
    let claim = claim(&mut tx, request, made, now).await?;
    tx.commit().await.map_err(store_error)?;
    Ok(claim)
}

/// Gives a claimed key back.
pub(super) async fn release(writer: &Writer, request: &RequestKey) -> Result<(), StoreError> {
    let mut writing = writer.take().await?;
    sqlx::query(
        "DELETE FROM request_keys WHERE route = ?1 AND owner = ?2 AND key = ?3 AND hash = ?4",
    )
    .bind(request.route)
    .bind(request.owner.0)
    .bind(&*request.key.key)
    .bind(&*request.key.request_hash)
    .execute(&mut *writing)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// Forgets keys claimed before `before`, the oldest `limit` at most; says how many.
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
