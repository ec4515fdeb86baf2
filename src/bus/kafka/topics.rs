//! What topics are called, and that they exist: nothing is consumed from a topic that was not made.

use super::client::{Clients, DropInBackground, blocking};
use super::producer::Client;
use super::{BusError, Topic};
use crate::config::{KafkaSettings, TopicNames};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::MetadataTopic;
use rdkafka::producer::Producer as _;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tracing::info;

/// How long Kafka has to say what there is, and to make what there is not.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// How often, and how soon again, a new topic is looked for until all brokers know it.
const LOOKS_MAX: usize = 20;
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// The topics of one bus.
pub(super) struct Topics {
    names: TopicNames,
    partitions: i32,
    replication: i32,
    /// The four are known to exist.
    do_exist: AtomicBool,
    /// Every name that is known to exist; held while some are made, so that one caller makes them.
    known: tokio::sync::Mutex<BTreeSet<String>>,
}

impl Topics {
    pub(super) fn new(settings: &KafkaSettings) -> Self {
        Self {
            names: settings.topics.clone(),
            partitions: settings.partitions,
            replication: settings.replication,
            do_exist: AtomicBool::new(false),
            known: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn name(&self, topic: Topic) -> &str {
        match topic {
            Topic::PaymentRequests => &self.names.payment_requests,
            Topic::PaymentEvents => &self.names.payment_events,
            Topic::FlightBookings => &self.names.flight_bookings,
            Topic::AirlineEvents => &self.names.airline_events,
        }
    }

    /// Where a topic's dead letters go.
    pub(super) fn dead_letters(&self, topic: Topic) -> String {
        format!("{}.dlq", self.name(topic))
    }

    /// Whether the four are known to exist.
    pub(super) fn do_exist(&self) -> bool {
        self.do_exist.load(Ordering::Acquire)
    }

    /// Sees to it that the four exist.
    pub(super) async fn exist(&self, clients: &Clients, client: &Client) -> Result<(), BusError> {
        if !self.do_exist() {
            let names = Topic::ALL.map(|topic| self.name(topic).to_owned());
            self.make(names.map(|name| (name, self.partitions)).into(), clients, client).await?;
            self.do_exist.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Sees to it that a topic's dead letters have a place; few are expected.
    pub(super) async fn dead_letters_exist(
        &self,
        topic: Topic,
        clients: &Clients,
        client: &Client,
    ) -> Result<(), BusError> {
        self.make(vec![(self.dead_letters(topic), 1)], clients, client).await
    }

    /// Makes topics of so many partitions; leaves those that are there as they are.
    async fn make(
        &self,
        mut wanted: Vec<(String, i32)>,
        clients: &Clients,
        client: &Client,
    ) -> Result<(), BusError> {
        // In an outage each caller's turn takes its time; they don't add up for the last in line.
        let turn = tokio::time::timeout(ANSWER_MAX, self.known.lock()).await;
        let mut known = turn.map_err(|_| BusError("Kafka does not answer".into()))?;
        wanted.retain(|(name, _)| !known.contains(name));
        if wanted.is_empty() {
            return Ok(());
        }
        let there = existing(client, |_| true).await?;
        let (found, missing): (Vec<_>, Vec<_>) =
            wanted.into_iter().partition(|(name, _)| there.contains(name));
        known.extend(found.into_iter().map(|(name, _)| name));
        if !missing.is_empty() {
            self.create(&missing, clients).await?;
            await_all(&missing, client).await?;
            known.extend(missing.into_iter().map(|(name, _)| name));
        }
        Ok(())
    }

    async fn create(&self, missing: &[(String, i32)], clients: &Clients) -> Result<(), BusError> {
        let admin: AdminClient<_> = clients.config(&[]).create_with_context(clients.log.clone())?;
        let admin = DropInBackground::from(admin);
        let topics: Vec<_> = missing
            .iter()
            .map(|(name, partitions)| {
                NewTopic::new(name, *partitions, TopicReplication::Fixed(self.replication))
            })
            .collect();
        let options = AdminOptions::new()
            .request_timeout(Some(ANSWER_MAX))
            .operation_timeout(Some(ANSWER_MAX));
        for answer in admin.create_topics(&topics, &options).await? {
            match answer {
                Ok(name) => info!(name, "created a topic"),
                // Another replica was first.
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => {
                    return Err(BusError(format!("topic {name} can't be created: {code}")));
                }
            }
        }
        Ok(())
    }
}

/// The names of all topics that satisfy a condition.
async fn existing(
    client: &Client,
    condition: fn(&MetadataTopic) -> bool,
) -> Result<BTreeSet<String>, BusError> {
    let client = client.clone();
    let metadata = blocking(move || client.client().fetch_metadata(None, ANSWER_MAX)).await?;
    let topics = metadata.topics().iter().filter(|topic| condition(topic));
    Ok(topics.map(|topic| topic.name().to_owned()).collect())
}

/// Whether messages can be written to all of a topic.
fn has_leaders(topic: &MetadataTopic) -> bool {
    topic.error().is_none() && topic.partitions().iter().all(|part| part.leader() >= 0)
}

/// Waits until new topics can be written to.
async fn await_all(wanted: &[(String, i32)], client: &Client) -> Result<(), BusError> {
    for _ in 0..LOOKS_MAX {
        let there = existing(client, has_leaders).await?;
        if wanted.iter().all(|(name, _)| there.contains(name)) {
            return Ok(());
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
    Err(BusError("topics were created and are not there yet".into()))
}
