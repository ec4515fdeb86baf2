//! The bus port: topics between the booking engine, the payment worker, settlement and other teams.
//!
//! Published messages are already durable elsewhere (the outbox, the gateway's ledger), so a bus may deliver
//! late, more than once, and again after a crash: consumers are idempotent. `memory` serves one process; `kafka` is
//! shared by replicas and other teams. The room `relay` publishes the outbox. The events of `airline-events` are kept
//! for a while, as a log that is read from a cursor.

mod consuming;
pub mod kafka;
mod log;
pub mod memory;
mod spans;

use crate::domain::Timestamp;
use crate::messages::{Message, Topic};
use async_trait::async_trait;
use std::time::Instant;

pub use consuming::{Interrupted, OUTAGE_PAUSE};
pub use log::{
    Cursor, LogError, LogFilter, LogPage, LogQuery, Mark, NotACursor, PAGE_READ_MAX, PAGE_TIME_MAX,
    booking_of,
};
pub use spans::{publish, received};

/// The bus cannot take or deliver messages now. Try again.
#[derive(Debug, thiserror::Error)]
#[error("the bus is unavailable: {0}")]
pub struct BusError(pub String);

/// Where messages are published and consumed.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Publishes messages in order, and returns when the bus has accepted all of them. After an error any of them
    /// may have been published; the caller publishes all of them again.
    async fn publish(&self, messages: &[(Topic, Message)]) -> Result<(), BusError>;

    /// Keeps a message that could not be applied as a dead letter, with the reason and its origin in its headers
    /// (`dlq_reason`, `dlq_topic`, `dlq_partition`, `dlq_offset`). As durable as the bus.
    ///
    /// Fails only while the bus does not answer. A dead letter that the bus refuses for another reason is dropped,
    /// counted and logged: one message must not block those behind it.
    async fn dead_letter(
        &self,
        topic: Topic,
        message: Message,
        reason: &str,
    ) -> Result<(), BusError>;

    /// Joins a group: each message goes to one consumer of each group.
    async fn consume(&self, topic: Topic, group: &str) -> Result<Box<dyn Consumer>, BusError>;

    /// Listens from now on, without a group: every listener gets every message published while it listens.
    async fn listen(&self, topic: Topic) -> Result<Box<dyn Consumer>, BusError>;

    /// Since when this process's consumer in the group has had uncommitted messages without a break, received
    /// or not; `None` if it has none, or none is known.
    fn waiting_since(&self, topic: Topic, group: &str) -> Option<Instant>;

    /// A page of the log: events of `airline-events`, in order for each flight. Reads at most [`PAGE_READ_MAX`] messages
    /// for [`PAGE_TIME_MAX`].
    ///
    /// Fails with [`LogError::Expired`] if events behind the cursor may be missing: they are no longer kept, or the topic
    /// was deleted and made again.
    async fn read_log(&self, query: LogQuery) -> Result<LogPage, LogError>;

    /// The place behind the newest event of the log.
    async fn log_end(&self, now: Timestamp) -> Result<Cursor, LogError>;

    /// Deletes the log's events from before this time, at most `limit` rows, and returns how many. Kafka does so by
    /// itself: 0.
    async fn forget_log(&self, before: Timestamp, limit: usize) -> Result<usize, BusError>;

    /// The bus's name in traces (`messaging.system`).
    fn system(&self) -> &'static str;

    /// Succeeds if the bus answers within about a second.
    async fn ping(&self) -> Result<(), BusError>;
}

/// One consumer of one topic.
#[async_trait]
pub trait Consumer: Send {
    /// Waits for one message or more, and returns up to `max`.
    async fn receive(&mut self, max: usize) -> Result<Vec<Message>, BusError>;

    /// Marks all messages received so far as processed. Messages that are not committed are delivered again to
    /// the group's next consumer; after a crash committed ones may be too.
    async fn commit(&mut self) -> Result<(), BusError>;
}
