//! The log in a table of the store.

use super::super::log::{Kept, Reading};
use super::super::{BusError, Cursor, LogError, LogPage, LogQuery, PAGE_TIME_MAX, booking_of};
use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::messages::{Message, Origin, Topic};
use crate::store::{EventLog, StoreError};
use std::borrow::Cow;
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

/// Places the events among messages that were appended, from this offset on.
pub(super) struct Offsets(pub(super) Option<i64>);

impl Offsets {
    /// The message with its place in the log, if it is an event that has one.
    pub(super) fn place<'a>(&mut self, topic: Topic, message: &'a Message) -> Cow<'a, Message> {
        match &mut self.0 {
            Some(next) if topic == Topic::AirlineEvents => {
                let origin = Some(Origin::of_text(PARTITION, *next));
                *next += 1;
                Cow::Owned(Message { origin, ..message.clone() })
            }
            _ => Cow::Borrowed(message),
        }
    }
}

/// What the log keeps of an event: what readers take from it, and not what they read from rows.
fn noted(event: &Message) -> Message {
    let kept = ["ce_id", "ce_type", "ce_time"];
    let headers = kept.iter().filter_map(|name| Some((*name, event.headers.get(name)?)));
    let payload = match booking_of(event) {
        Some(booking) => format!("{{\"booking_id\":{booking}}}"),
        None => "{}".to_owned(),
    };
    Message { key: event.key.clone(), payload, headers: headers.collect(), origin: None }
}

impl LogTable {
    /// Appends the events among these messages. Returns the first one's offset; `None` if there are none.
    pub(super) async fn append(
        &self,
        messages: &[(Topic, Message)],
    ) -> Result<Option<i64>, BusError> {
        let events = messages.iter().filter(|(topic, _)| *topic == Topic::AirlineEvents);
        let events: Vec<_> = events.map(|(_, event)| noted(event)).collect();
        if events.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.table.append_events(&events, self.clock.now()).await?))
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
