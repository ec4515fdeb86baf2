//! The outbox and the invalidations beside it.

use crate::domain::Invalidation;
use crate::rules::OutboxEvent;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::connection::transaction::begin;
use crate::store::roles::outbox::{self, ROWS_MAX};
use crate::store::rows::micros;
use crate::store::rows::sql;
use crate::store::{Lane, Outbox, OutboxEntry, StoreError};
use async_trait::async_trait;
use sqlx::PgConnection;

/// Deletes `$3` without waiting for durability: rows that a crash brings back go out twice.
pub(in crate::store::postgres) const NEXT: &str = "
WITH unhurried AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
sent AS (DELETE FROM outbox WHERE id = ANY ($3) AND (SELECT true FROM unhurried))
SELECT id, micros(since), body
  FROM (SELECT *, sum(messages) OVER (ORDER BY id) - messages AS before
          FROM (SELECT * FROM outbox WHERE lane = $4 AND id > $5 AND id <> ALL ($3)
                 ORDER BY id LIMIT $2) AS oldest) AS counted
 WHERE before < $1 ORDER BY id";

const INSERT: &str =
    "INSERT INTO outbox (lane, messages, since, body) VALUES ($1, $2, instant($3), $4)";

#[async_trait]
impl Outbox for PostgresStore {
    async fn outbox(
        &self,
        lane: Lane,
        sent: &[i64],
        messages: usize,
    ) -> Result<Vec<OutboxEntry>, StoreError> {
        let page = |after: i64| {
            sqlx::query_as(NEXT)
                .bind(messages as i64)
                .bind(ROWS_MAX)
                .bind(sent)
                .bind(lane.as_str())
                .bind(after)
                .fetch_all(&self.primary)
        };
        self.guard.bound(outbox::readable_entries(&self.unreadable, lane, page)).await
    }

    async fn invalidations(&self, limit: usize) -> Result<Vec<(i64, Invalidation)>, StoreError> {
        let oldest = sqlx::query_as(sql::OLDEST_INVALIDATIONS).bind(limit as i64);
        let rows: Vec<(i64, String)> = self.guard.bound(oldest.fetch_all(&self.primary)).await?;
        Ok(rows.into_iter().map(|row| outbox::invalidation(row, &self.unreadable)).collect())
    }

    async fn forget_invalidations(&self, ids: &[i64], all: bool) -> Result<(), StoreError> {
        self.guard.bound(self.delete_invalidations(ids, all)).await
    }
}

impl PostgresStore {
    async fn delete_invalidations(&self, ids: &[i64], all: bool) -> Result<(), StoreError> {
        let delete = sqlx::query("DELETE FROM outdated_answers WHERE id = ANY($1)").bind(ids);
        if !all {
            delete.execute(&self.primary).await?;
            return Ok(());
        }
        let mut tx = begin(&self.primary).await?;
        delete.execute(&mut *tx).await?;
        insert_invalidation(&mut tx, &Invalidation::All).await?;
        Ok(tx.commit().await?)
    }
}

/// Appends events to the outbox, in their order.
pub(super) async fn insert_outbox(
    connection: &mut PgConnection,
    events: &[OutboxEvent],
) -> Result<(), StoreError> {
    for entry in OutboxEntry::of(events).into_iter().flatten() {
        sqlx::query(INSERT)
            .bind(entry.lane.as_str())
            .bind(entry.messages.len() as i32)
            .bind(micros(entry.since))
            .bind(entry.body())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Appends an invalidation of cached answers.
pub(in crate::store) async fn insert_invalidation(
    connection: &mut PgConnection,
    invalidation: &Invalidation,
) -> Result<(), StoreError> {
    let body = outbox::invalidation_body(invalidation);
    sqlx::query(sql::INSERT_INVALIDATION).bind(body).execute(connection).await?;
    Ok(())
}
