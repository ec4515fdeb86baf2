//! The bus port: topics between the booking engine, the payment worker, settlement and other teams.
//!
//! Whatever is published has been made durable before (the outbox, the gateway's ledger), so a bus
//! may deliver twice, late, and again after a crash; a consumer must bear that. `memory` is the
//! embedded implementation, `kafka` the one that replicas and other teams share; [`relay`] drains the
//! outbox into whichever is there.

pub mod kafka;
pub mod memory;
mod spans;

use crate::messages::{Message, Topic};
use async_trait::async_trait;
use std::time::Instant;

pub use spans::{publish, received};

/// The bus could not take or give messages now; try again.
#[derive(Debug, thiserror::Error)]
#[error("the bus is unavailable: {0}")]
pub struct BusError(pub String);

/// Where messages are published and consumed.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Publishes messages in order. Done when the bus is answerable for them: when it comes back
    /// with an error, any of them may or may not be out, and the caller publishes all again.
    async fn publish(&self, messages: &[(Topic, Message)]) -> Result<(), BusError>;

    /// Puts a message aside that could not be applied, with the reason and its origin in its
    /// headers (`dlq_reason`, `dlq_topic`, `dlq_partition`, `dlq_offset`). Durable once it is done,
    /// where the bus is.
    ///
    /// Fails only while the bus does not answer. A letter that the bus refuses for any other reason
    /// is given up, counted and logged: one message must not stop those behind it.
    async fn dead_letter(
        &self,
        topic: Topic,
        message: Message,
        reason: &str,
    ) -> Result<(), BusError>;

    /// Joins a group: each message goes to one consumer of each group.
    async fn consume(&self, topic: Topic, group: &str) -> Result<Box<dyn Consumer>, BusError>;

    /// Listens from now on without a group: every listener sees every message, none is kept for it.
    async fn listen(&self, topic: Topic) -> Result<Box<dyn Consumer>, BusError>;

    /// Since when messages have waited without a break for this process's consumer in the group,
    /// those included that it has received and not committed; `None` if none does, as far as is
    /// known here.
    fn waiting_since(&self, topic: Topic, group: &str) -> Option<Instant>;

    /// What traces call it.
    fn system(&self) -> &'static str;

    /// Whether the bus answers, found out within about a second.
    async fn ping(&self) -> Result<(), BusError>;
}

/// One consumer of one topic.
#[async_trait]
pub trait Consumer: Send {
    /// Waits for messages: at least one, at most `max`.
    async fn receive(&mut self, max: usize) -> Result<Vec<Message>, BusError>;

    /// Says that the work of all messages received so far is done. What was received and not
    /// committed comes again, to this group's next consumer; so may what was, after a crash.
    async fn commit(&mut self) -> Result<(), BusError>;
}
