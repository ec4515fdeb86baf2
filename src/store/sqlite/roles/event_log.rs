//! The log of `airline-events`, where no Kafka keeps the topic.

use crate::domain::Timestamp;
use crate::messages::Message;
use crate::store::roles::event_log::{KEPT, NEXT, ROWS_MAX, append_events, forget_events, logged};
use crate::store::rows::micros;
use crate::store::rows::sql::json;
use crate::store::sqlite::SqliteStore;
use crate::store::{EventLog, LoggedEvents, StoreError};
use async_trait::async_trait;

#[async_trait]
impl EventLog for SqliteStore {
    async fn append_events(&self, messages: &[Message], now: Timestamp) -> Result<i64, StoreError> {
        let append = sqlx::query_scalar(append_events!("$2"))
            .bind(messages.len() as i64)
            .bind(micros(now))
            .bind(json(&messages));
        let mut writing = self.writer.take().await?;
        Ok(append.fetch_one(&mut *writing).await?)
    }

    async fn kept_events(&self) -> Result<(i64, i64), StoreError> {
        Ok(sqlx::query_as(KEPT).fetch_one(&self.reader).await?)
    }

    async fn events(&self, from: i64, messages: usize) -> Result<Vec<LoggedEvents>, StoreError> {
        let next = sqlx::query_as(NEXT).bind(from).bind(messages as i64).bind(ROWS_MAX);
        next.fetch_all(&self.reader).await?.into_iter().map(logged).collect()
    }

    async fn forget_events(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let forget = sqlx::query(forget_events!("$1")).bind(micros(before)).bind(limit as i64);
        let mut writing = self.writer.take().await?;
        Ok(forget.execute(&mut *writing).await?.rows_affected() as usize)
    }
}
