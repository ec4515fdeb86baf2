//! The intake: reads `airline-events` and queues a delivery for each webhook that takes the event.

use super::facts::{Known, Named, Subject, needs_payments, references};
use super::rows;
use crate::bus::{Bus, BusError};
use crate::clock::Clock;
use crate::clock::pace::Pace;
use crate::domain::{NewDelivery, PaymentStatus, Webhook};
use crate::messages::{Message, Topic};
use crate::store::{Store, StoreError};
use crate::telemetry::{Metrics, Progress};
use std::collections::{HashMap, HashSet};
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

/// The pause after the store or the bus failed.
const OUTAGE_PAUSE: Duration = Duration::from_millis(250);

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

/// Why the intake restarts. The bus delivers its messages again; a webhook gets each event once.
#[derive(Debug, thiserror::Error)]
enum IntakeError {
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    Store(#[from] StoreError),
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

    async fn work(&self) -> Result<Infallible, IntakeError> {
        loop {
            while self.may_rest && self.store.active_webhooks().await?.is_empty() {
                tokio::time::sleep(REST_INTERVAL).await;
            }
            self.read().await?;
        }
    }

    /// Reads events until there is no webhook, if the intake may rest then.
    async fn read(&self) -> Result<(), IntakeError> {
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
        let is_wanted = |named: &Named| webhooks.iter().any(|webhook| named.is_for(webhook));
        let wanted: Vec<Named> = messages.iter().filter_map(Named::of).filter(is_wanted).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let known = self.known(&wanted).await?;
        let new: Vec<NewDelivery> =
            wanted.iter().flat_map(|named| deliveries(named, &known, webhooks)).collect();
        if !new.is_empty() {
            self.store.add_deliveries(&new, self.clock.now()).await?;
            self.due.notify_one();
        }
        Ok(())
    }

    /// The rows that events are about.
    async fn known(&self, events: &[Named]) -> Result<Known, StoreError> {
        let (mut flights, mut bookings) = (HashSet::new(), HashSet::new());
        let mut others = HashMap::new();
        for event in events {
            match event.subject {
                Subject::Flight(id) => drop(flights.insert(id)),
                Subject::Booking(id) => drop(bookings.insert(id)),
                _ => {
                    let fact = rows::read(&*self.store, event).await?;
                    others.extend(fact.map(|fact| (event.id.clone(), fact)));
                }
            }
        }
        let (flights, bookings): (Vec<_>, Vec<_>) =
            (flights.into_iter().collect(), bookings.into_iter().collect());
        let rows = self.store.event_rows(&flights, &bookings).await?;
        let is_unclear = |booking: &&crate::domain::Booking| {
            events.iter().any(|event| {
                event.subject == Subject::Booking(booking.id) && needs_payments(event, booking)
            })
        };
        let payments: Vec<_> =
            rows.bookings.iter().filter(is_unclear).flat_map(references).collect();
        let mut captured = HashSet::new();
        if !payments.is_empty() {
            let asked = self.store.payments_asked(&payments).await?;
            let paid = asked.into_iter().filter(|(_, its)| its.status == PaymentStatus::Captured);
            captured.extend(paid.map(|(reference, _)| reference));
        }
        Ok(Known::of(rows, captured, others))
    }
}

/// An event's deliveries: one to each webhook that takes it.
fn deliveries(named: &Named, known: &Known, webhooks: &[Webhook]) -> Vec<NewDelivery> {
    let Some(fact) = known.fact(named) else { return Vec::new() };
    let (id, payload): (Arc<str>, Arc<str>) = (named.id.as_str().into(), fact.payload.into());
    let takers = webhooks.iter().filter(|webhook| named.is_for(webhook));
    let delivery = |webhook: &Webhook| NewDelivery {
        webhook: webhook.id,
        event_id: id.clone(),
        kind: named.kind.into(),
        flight: Some(fact.flight),
        payload: payload.clone(),
    };
    takers.map(delivery).collect()
}
