//! The log in a table of the store.

use super::super::log::{Kept, Reading};
use super::super::{BusError, Cursor, LogError, LogPage, LogQuery, PAGE_TIME_MAX};
use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::messages::{Message, Origin, Topic};
use crate::store::{EventLog, StoreError};
use std::sync::Arc;
use std::time::Instant;

/// The one partition of the table.
const PARTITION: i32 = 0;

/// Messages in one read of the table.
const READ_SIZE: usize = 512;

/// Where published events are kept.
pub(super) struct LogTable {
    pub(super) table: Arc<dyn EventLog>,
    pub(super) clock: Arc<dyn Clock>,
}

impl From<StoreError> for BusError {
    fn from(error: StoreError) -> Self {
        Self(error.to_string())
    }
}

impl LogTable {
    /// Appends the events among these messages, which then have their positions as origins.
    pub(super) async fn append(&self, messages: &mut [(Topic, Message)]) -> Result<(), BusError> {
        let is_event = |(topic, _): &&mut (Topic, Message)| *topic == Topic::AirlineEvents;
        let events: Vec<_> =
            messages.iter_mut().filter(is_event).map(|(_, message)| message.clone()).collect();
        if events.is_empty() {
            return Ok(());
        }
        let first = self.table.append_events(&events, self.clock.now()).await?;
        for ((_, message), offset) in messages.iter_mut().filter(is_event).zip(first..) {
            message.origin = Some(Origin::of_text(PARTITION, offset));
        }
        Ok(())
    }

    pub(super) async fn page(&self, query: LogQuery) -> Result<LogPage, LogError> {
        let (low, high) = self.kept().await?;
        let reading = Reading::begin(query, &[(PARTITION, Kept { low, high })].into())?;
        self.read(reading).await
    }

    pub(super) async fn end(&self, now: Timestamp) -> Result<Cursor, LogError> {
        let (low, high) = self.kept().await?;
        let reading = Reading::of_end(now, &[(PARTITION, Kept { low, high })].into());
        Ok(self.read(reading).await?.next)
    }

    async fn kept(&self) -> Result<(i64, i64), BusError> {
        Ok(self.table.kept_events().await?)
    }

    async fn read(&self, mut reading: Reading) -> Result<LogPage, LogError> {
        let began = Instant::now();
        while !reading.is_done() {
            let Some((_, from)) = reading.starts().first().copied() else { break };
            let batches = self.table.events(from, READ_SIZE).await.map_err(BusError::from)?;
            // Offsets have no gaps: the message was deleted meanwhile.
            if batches.first().is_none_or(|batch| batch.first > from) {
                return Err(LogError::Expired);
            }
            for batch in batches {
                for (message, offset) in batch.messages.into_iter().zip(batch.first..) {
                    reading.take(PARTITION, offset, message)?;
                }
            }
            if began.elapsed() >= PAGE_TIME_MAX {
                break;
            }
        }
        Ok(reading.finish())
    }
}
