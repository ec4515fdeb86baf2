//! The intake: reads `airline-events` and queues a delivery for each webhook that takes the event.

use super::registry::payload;
use crate::bus::{Bus, Interrupted, OUTAGE_PAUSE};
use crate::clock::Clock;
use crate::clock::pace::Pace;
use crate::domain::{NewDelivery, Webhook};
use crate::facts::{self, Fact, Named};
use crate::messages::{Message, Topic};
use crate::store::{Store, StoreError};
use crate::telemetry::{Metrics, Progress};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tracing::{error, warn};

/// Messages read at once.
const BATCH_SIZE_MAX: usize = 512;

/// Minimum time between two turns: under load a turn's few statements are shared by many events.
const TURN: Duration = Duration::from_millis(20);

/// How often an intake that rests looks for the first webhook.
const REST_INTERVAL: Duration = Duration::from_secs(1);

/// Queues deliveries.
pub struct Intake {
    /// Delivers the events.
    pub bus: Arc<dyn Bus>,
    /// Keeps webhooks and deliveries, and the rows that events are about.
    pub store: Arc<dyn Store>,
    /// Dates the deliveries.
    pub clock: Arc<dyn Clock>,
    /// The consumer group (`KAFKA_WEBHOOK_GROUP_ID`).
    pub group: String,
    /// Notified when something is to be sent.
    pub due: Arc<Notify>,
    /// Counts the messages.
    pub metrics: Metrics,
    /// Records each batch.
    pub progress: Progress,
    /// Whether the bus keeps what nobody reads: then nothing is read while there is no webhook.
    pub may_rest: bool,
}

impl Intake {
    /// Runs until dropped.
    pub async fn run(&self) {
        loop {
            let Err(error) = self.work().await;
            warn!(%error, "reading events for webhooks failed, restarting");
            tokio::time::sleep(OUTAGE_PAUSE).await;
        }
    }

    async fn work(&self) -> Result<Infallible, Interrupted> {
        loop {
            while self.may_rest && self.store.active_webhooks().await?.is_empty() {
                tokio::time::sleep(REST_INTERVAL).await;
            }
            self.read().await?;
        }
    }

    /// Reads events until there is no webhook, if the intake may rest then.
    async fn read(&self) -> Result<(), Interrupted> {
        let mut events = self.bus.consume(Topic::AirlineEvents, &self.group).await?;
        let mut pace = Pace::of(TURN);
        loop {
            pace.turn().await;
            let messages = events.receive(BATCH_SIZE_MAX).await?;
            self.metrics.count_consumed(Topic::AirlineEvents, &self.group, messages.len());
            // Read after the messages: a webhook that was made before an event gets it.
            let webhooks = self.store.active_webhooks().await?;
            self.take(&messages, &webhooks).await?;
            events.commit().await?;
            self.progress.step();
            if self.may_rest && webhooks.is_empty() {
                return Ok(());
            }
        }
    }

    /// Queues the deliveries of these messages. A message that the store refuses stops no other.
    async fn take(&self, messages: &[Message], webhooks: &[Webhook]) -> Result<(), StoreError> {
        match self.take_all(messages, webhooks).await {
            Err(StoreError::Refused(_) | StoreError::Corrupt { .. }) => {}
            done => return done,
        }
        for message in messages {
            match self.take_all(std::slice::from_ref(message), webhooks).await {
                Err(fault @ (StoreError::Refused(_) | StoreError::Corrupt { .. })) => {
                    error!(error = %fault, "an event reaches no webhook");
                }
                done => done?,
            }
        }
        Ok(())
    }

    async fn take_all(&self, messages: &[Message], webhooks: &[Webhook]) -> Result<(), StoreError> {
        let is_wanted = |named: &Named| webhooks.iter().any(|webhook| is_for(named, webhook));
        let wanted: Vec<Named> = messages.iter().filter_map(Named::of).filter(is_wanted).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let facts = facts::read(&*self.store, &wanted).await?;
        let known = wanted.iter().zip(facts).filter_map(|(named, fact)| Some((named, fact?)));
        let new: Vec<NewDelivery> =
            known.flat_map(|(named, fact)| deliveries(named, &fact, webhooks)).collect();
        if !new.is_empty() {
            self.store.add_deliveries(&new, self.clock.now()).await?;
            self.due.notify_one();
        }
        Ok(())
    }
}

/// Whether a webhook takes an event: by its type, and unless it happened before the webhook was made.
fn is_for(named: &Named, webhook: &Webhook) -> bool {
    webhook.takes(named.kind) && named.at.is_none_or(|at| at >= webhook.created_at)
}

/// An event's deliveries: one to each webhook that takes it.
fn deliveries(named: &Named, fact: &Fact, webhooks: &[Webhook]) -> Vec<NewDelivery> {
    let payload: Arc<str> = payload(named.kind, fact.at, &fact.data).into();
    let id: Arc<str> = named.id.as_str().into();
    let takers = webhooks.iter().filter(|webhook| is_for(named, webhook));
    let delivery = |webhook: &Webhook| NewDelivery {
        webhook: webhook.id,
        event_id: id.clone(),
        kind: named.kind.into(),
        flight: Some(fact.flight),
        payload: payload.clone(),
    };
    takers.map(delivery).collect()
}
