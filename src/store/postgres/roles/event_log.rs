//! The log of `airline-events`, where no Kafka keeps the topic.

use crate::domain::Timestamp;
use crate::messages::Message;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::connection::transaction::begin;
use crate::store::roles::event_log::{KEPT, NEXT, ROWS_MAX, append_events, forget_events, logged};
use crate::store::rows::micros;
use crate::store::rows::sql::json;
use crate::store::{EventLog, LoggedEvents, StoreError};
use async_trait::async_trait;
use sqlx::PgPool;

/// Offsets have no gaps, so that one writer waits for another. Readers do not wait.
const ALONE: &str = "LOCK TABLE event_log IN SHARE ROW EXCLUSIVE MODE";

#[async_trait]
impl EventLog for PostgresStore {
    async fn append_events(&self, messages: &[Message], now: Timestamp) -> Result<i64, StoreError> {
        self.guard.bound(append(&self.primary, messages, now)).await
    }

    async fn kept_events(&self) -> Result<(i64, i64), StoreError> {
        let kept = sqlx::query_as(KEPT);
        Ok(self.guard.bound(kept.fetch_one(&self.primary)).await?)
    }

    async fn events(&self, from: i64, messages: usize) -> Result<Vec<LoggedEvents>, StoreError> {
        let next = sqlx::query_as(NEXT).bind(from).bind(messages as i64).bind(ROWS_MAX);
        let rows = self.guard.bound(next.fetch_all(&self.primary)).await?;
        rows.into_iter().map(logged).collect()
    }

    async fn forget_events(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let forget = sqlx::query(forget_events!("instant($1)"));
        let forget = forget.bind(micros(before)).bind(limit as i64);
        let done = self.guard.bound(forget.execute(&self.primary)).await?;
        Ok(done.rows_affected() as usize)
    }
}

async fn append(pool: &PgPool, messages: &[Message], now: Timestamp) -> Result<i64, StoreError> {
    let mut tx = begin(pool).await?;
    sqlx::query(ALONE).execute(&mut *tx).await?;
    let append = sqlx::query_scalar(append_events!("instant($2)"))
        .bind(messages.len() as i32)
        .bind(micros(now))
        .bind(json(&messages));
    let first = append.fetch_one(&mut *tx).await?;
    tx.commit().await?;
    Ok(first)
}
