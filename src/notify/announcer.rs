//! The consumer that turns events into messages. It waits for the store alone, never for a provider.

use super::address::recipients;
use super::facts::{Fact, Facts};
use super::sender::GIVE_UP_AFTER;
use super::templates::Templates;
use super::told::Told;
use crate::bus::{Bus, Interrupted, OUTAGE_PAUSE};
use crate::clock::Clock;
use crate::clock::pace::Pace;
use crate::domain::{BookingId, Channel, Timestamp};
use crate::ids::Ids;
use crate::messages::{Message, Topic};
use crate::store::{NewMessage, Store, StoreError};
use crate::telemetry::{Metrics, Progress};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tracing::warn;

/// Events read at once.
const BATCH_SIZE_MAX: usize = 512;

/// Messages added in one statement.
const ADDED_MAX: usize = 1_000;

/// Minimum time between two turns, so that under load one finds more.
const TURN: Duration = Duration::from_millis(10);

/// Turns events into messages.
pub struct Announcer {
    /// Delivers the events.
    pub bus: Arc<dyn Bus>,
    /// Confirms them, and takes the messages.
    pub store: Arc<dyn Store>,
    /// Tells which events are too old.
    pub clock: Arc<dyn Clock>,
    /// Draws the ids of messages.
    pub ids: Arc<dyn Ids>,
    /// The consumer group (`KAFKA_MESSAGE_GROUP_ID`).
    pub group: String,
    /// Which events are told by which way.
    pub templates: Arc<Templates>,
    /// The channels that are configured.
    pub channels: Vec<Channel>,
    /// The domain of Message-IDs: that of `MAIL_FROM`.
    pub domain: String,
    /// `SMS_COUNTRY_CODE`.
    pub country_code: Option<String>,
    /// Counts events.
    pub metrics: Metrics,
    /// Notified when messages are due, to wake the senders of this process.
    pub due: Arc<Notify>,
    /// Records each batch.
    pub progress: Progress,
}

impl Announcer {
    /// Runs until dropped.
    pub async fn run(&self) {
        loop {
            let Err(error) = self.work().await;
            warn!(%error, "turning events into messages failed, retrying");
            tokio::time::sleep(OUTAGE_PAUSE).await;
        }
    }

    async fn work(&self) -> Result<Infallible, Interrupted> {
        let mut events = self.bus.consume(Topic::AirlineEvents, &self.group).await?;
        let mut pace = Pace::of(TURN);
        loop {
            pace.turn().await;
            let messages = events.receive(BATCH_SIZE_MAX).await?;
            self.metrics.count_consumed(Topic::AirlineEvents, &self.group, messages.len());
            self.announce(&messages).await?;
            events.commit().await?;
            self.progress.step();
        }
    }

    /// Adds the messages that events cause. Events that no traveller hears of, or that happened too long ago, cause
    /// none: a new group reads all events that the topic keeps.
    pub async fn announce(&self, messages: &[Message]) -> Result<(), StoreError> {
        let now = self.clock.now();
        let is_fresh = |told: &Told| now - told.at < GIVE_UP_AFTER;
        let told: Vec<Told> = messages.iter().filter_map(Told::of).filter(is_fresh).collect();
        if told.is_empty() {
            return Ok(());
        }
        let facts = self.read(&told).await?;
        let mut new = Vec::new();
        for told in &told {
            match facts.of(told).await {
                Ok(found) => {
                    new.extend(found.iter().flat_map(|fact| self.messages_of(fact, now)));
                }
                // A retry could block the partition for ever.
                Err(error @ (StoreError::Corrupt { .. } | StoreError::Refused(_))) => {
                    warn!(%error, "an event is not told, because a row is unreadable");
                }
                Err(error) => return Err(error),
            }
        }
        for part in new.chunks(ADDED_MAX) {
            self.store.add_messages(part, now).await?;
        }
        if !new.is_empty() {
            self.due.notify_waiters();
        }
        Ok(())
    }

    async fn read(&self, told: &[Told]) -> Result<Facts<'_>, StoreError> {
        let mut ids: Vec<BookingId> = told.iter().filter_map(Told::booking).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut bookings = HashMap::new();
        if !ids.is_empty() {
            let read = self.store.bookings_with_passengers(&ids).await?;
            bookings.extend(read.into_iter().map(|booking| (booking.id, booking)));
        }
        Ok(Facts { store: &*self.store, bookings })
    }

    /// The messages about a fact: one a channel and recipient.
    fn messages_of(&self, fact: &Fact, now: Timestamp) -> Vec<NewMessage> {
        let channels = self.channels.iter().copied();
        let channels = channels.filter(|channel| self.templates.tells(fact.kind, *channel));
        channels
            .flat_map(|channel| {
                let code = self.country_code.as_deref();
                let to = recipients(&fact.booking, fact.audience, channel, code);
                to.into_iter().map(move |recipient| self.message(fact, channel, recipient, now))
            })
            .collect()
    }

    fn message(
        &self,
        fact: &Fact,
        channel: Channel,
        recipient: String,
        now: Timestamp,
    ) -> NewMessage {
        let id = self.ids.message(now);
        let message_id = (channel == Channel::Mail).then(|| format!("<{id}@{}>", self.domain));
        NewMessage {
            id,
            event_id: fact.event_id.clone(),
            channel,
            recipient,
            booking_id: fact.booking.id,
            kind: fact.kind,
            message_id,
        }
    }
}
