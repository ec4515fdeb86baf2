//! The names of topics, and their creation: nothing is consumed from a topic that was not created.
//!
//! A topic may be deleted while the service runs. A failed write, a consumer or the ping detects it. That begins a
//! new generation of the topic, for which new clients are made: old ones keep positions and leaders of the deleted
//! topic.

use super::client::{Clients, DropInBackground, blocking};
use super::producer::Client;
use super::{BusError, Topic};
use crate::config::{KafkaSettings, TopicNames};
use parking_lot::Mutex;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::{Metadata, MetadataTopic};
use rdkafka::producer::Producer as _;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tracing::info;

/// Time limit for Kafka to list and to create topics.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Time limit for Kafka to list topics after a failed write.
const LOOK_MAX: Duration = Duration::from_secs(1);

/// Maximum checks whether a new topic has leaders, and the pause between two.
const LOOKS_MAX: usize = 20;
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// Number of times each topic was lost, in the order of [`Topic::ALL`].
pub(super) type Generations = [u64; Topic::ALL.len()];

/// The topics of one bus.
pub(super) struct Topics {
    names: TopicNames,
    partitions: i32,
    replication: i32,
    /// How long events are kept, in milliseconds, as a topic's setting.
    event_retention_ms: String,
    /// Names of topics known to exist, with their number of partitions.
    known: Mutex<BTreeMap<String, usize>>,
    generations: [AtomicU64; Topic::ALL.len()],
    /// Held while topics are created, so that one caller creates them.
    making: tokio::sync::Mutex<()>,
    /// Number of pings so far.
    pings: AtomicUsize,
}

impl Topics {
    pub(super) fn new(settings: &KafkaSettings) -> Self {
        Self {
            names: settings.topics.clone(),
            partitions: settings.partitions,
            replication: settings.replication,
            event_retention_ms: settings.event_retention.as_millis().to_string(),
            known: Mutex::default(),
            generations: Default::default(),
            making: tokio::sync::Mutex::default(),
            pings: AtomicUsize::default(),
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

    /// The name of the topic for a topic's dead letters.
    pub(super) fn dead_letters(&self, topic: Topic) -> String {
        format!("{}.dlq", self.name(topic))
    }

    /// Whether all four topics are known to exist.
    pub(super) fn do_exist(&self) -> bool {
        let known = self.known.lock();
        Topic::ALL.iter().all(|topic| known.contains_key(self.name(*topic)))
    }

    /// Creates those of the four topics that do not exist.
    pub(super) async fn exist(&self, clients: &Clients, client: &Client) -> Result<(), BusError> {
        if self.do_exist() {
            return Ok(());
        }
        let names = Topic::ALL.map(|topic| self.name(topic).to_owned());
        self.make(names.map(|name| (name, self.partitions)).into(), clients, client).await
    }

    /// How often a topic was lost so far. Clients of an earlier generation are replaced.
    pub(super) fn generation(&self, topic: Topic) -> u64 {
        self.generations[topic as usize].load(Ordering::Acquire)
    }

    /// The generation of each topic.
    pub(super) fn generations(&self) -> Generations {
        Topic::ALL.map(|topic| self.generation(topic))
    }

    /// Forgets that a topic exists, so that it is recreated. Returns `false` if that loss was recorded before: the
    /// generation is later than the caller's.
    pub(super) fn lose(&self, topic: Topic, generation: u64) -> bool {
        let lost = &self.generations[topic as usize];
        let next = generation + 1;
        let is_news =
            lost.compare_exchange(generation, next, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if is_news {
            self.forget(self.name(topic));
        }
        is_news
    }

    /// Forgets that a topic exists.
    pub(super) fn forget(&self, name: &str) {
        self.known.lock().remove(name);
    }

    /// The topic that the next ping checks: each in turn.
    pub(super) fn next_to_ping(&self) -> Topic {
        Topic::ALL[self.pings.fetch_add(1, Ordering::Relaxed) % Topic::ALL.len()]
    }

    /// Whether a topic that was known to exist is missing in Kafka's answer, or has fewer partitions: then it is a
    /// new one of the same name.
    pub(super) fn is_lost(&self, topic: Topic, answer: &Metadata) -> bool {
        let name = self.name(topic);
        let Some(partitions) = self.known.lock().get(name).copied() else { return false };
        let found = answer.topics().iter().find(|found| found.name() == name);
        found.is_none_or(|found| is_missing(found) || shrank(found, partitions))
    }

    /// Those of the four topics that are lost. Takes at most [`LOOK_MAX`].
    pub(super) async fn lost(&self, client: &Client) -> Result<Vec<Topic>, BusError> {
        let answer = metadata(client, LOOK_MAX).await?;
        Ok(Topic::ALL.into_iter().filter(|topic| self.is_lost(*topic, &answer)).collect())
    }

    /// Creates the topic for a topic's dead letters, with one partition: few are expected.
    pub(super) async fn dead_letters_exist(
        &self,
        topic: Topic,
        clients: &Clients,
        client: &Client,
    ) -> Result<(), BusError> {
        self.make(vec![(self.dead_letters(topic), 1)], clients, client).await
    }

    /// Creates topics with these numbers of partitions. Existing topics stay as they are.
    async fn make(
        &self,
        mut wanted: Vec<(String, i32)>,
        clients: &Clients,
        client: &Client,
    ) -> Result<(), BusError> {
        wanted.retain(|(name, _)| !self.known.lock().contains_key(name));
        if wanted.is_empty() {
            return Ok(());
        }
        // In an outage each turn takes its whole time limit. The limit here keeps them from adding up.
        let turn = tokio::time::timeout(ANSWER_MAX, self.making.lock()).await;
        let _turn = turn.map_err(|_| BusError("Kafka does not answer".into()))?;
        wanted.retain(|(name, _)| !self.known.lock().contains_key(name));
        let there = existing(client, |topic| !is_missing(topic)).await?;
        let (found, missing): (Vec<_>, Vec<_>) =
            wanted.into_iter().partition(|(name, _)| there.contains_key(name));
        self.know(&found, &there);
        if !missing.is_empty() {
            self.create(&missing, clients).await?;
            let there = await_all(&missing, client).await?;
            self.know(&missing, &there);
        }
        Ok(())
    }

    fn know(&self, wanted: &[(String, i32)], there: &BTreeMap<String, usize>) {
        let found = wanted.iter().filter_map(|(name, _)| there.get_key_value(name));
        self.known.lock().extend(found.map(|(name, partitions)| (name.clone(), *partitions)));
    }

    async fn create(&self, missing: &[(String, i32)], clients: &Clients) -> Result<(), BusError> {
        let admin: AdminClient<_> = clients.config(&[]).create_with_context(clients.log.clone())?;
        let admin = DropInBackground::from(admin);
        let topics: Vec<_> = missing
            .iter()
            .map(|(name, partitions)| {
                let topic =
                    NewTopic::new(name, *partitions, TopicReplication::Fixed(self.replication));
                let is_log = name == self.name(Topic::AirlineEvents);
                if is_log { topic.set("retention.ms", &self.event_retention_ms) } else { topic }
            })
            .collect();
        let options = AdminOptions::new()
            .request_timeout(Some(ANSWER_MAX))
            .operation_timeout(Some(ANSWER_MAX));
        for answer in admin.create_topics(&topics, &options).await? {
            match answer {
                Ok(name) => info!(name, "created a topic"),
                // Another replica has created it.
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => {
                    return Err(BusError(format!("topic {name} cannot be created: {code}")));
                }
            }
        }
        Ok(())
    }
}

/// All topics of the cluster.
async fn metadata(client: &Client, within: Duration) -> Result<Metadata, BusError> {
    let client = client.clone();
    blocking(move || client.client().fetch_metadata(None, within)).await
}

/// The topics that satisfy a condition: names and numbers of partitions.
async fn existing(
    client: &Client,
    condition: fn(&MetadataTopic) -> bool,
) -> Result<BTreeMap<String, usize>, BusError> {
    let metadata = metadata(client, ANSWER_MAX).await?;
    let topics = metadata.topics().iter().filter(|topic| condition(topic));
    Ok(topics.map(|topic| (topic.name().to_owned(), topic.partitions().len())).collect())
}

/// Whether all partitions of a topic can be written to.
fn has_leaders(topic: &MetadataTopic) -> bool {
    topic.error().is_none() && topic.partitions().iter().all(|part| part.leader() >= 0)
}

/// Whether Kafka reports that the topic does not exist.
pub(super) fn is_missing(topic: &MetadataTopic) -> bool {
    topic.error().is_some_and(|error| says_missing(error.into()))
}

/// Whether a topic has fewer partitions than before. A topic never loses partitions: it is a new one.
fn shrank(topic: &MetadataTopic, partitions: usize) -> bool {
    topic.error().is_none() && topic.partitions().len() < partitions
}

/// Whether an error means that a topic or partition does not exist.
pub(super) fn says_missing(error: RDKafkaErrorCode) -> bool {
    matches!(
        error,
        RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopicId
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition
    )
}

/// Waits until new topics can be written to.
async fn await_all(
    wanted: &[(String, i32)],
    client: &Client,
) -> Result<BTreeMap<String, usize>, BusError> {
    for _ in 0..LOOKS_MAX {
        let there = existing(client, has_leaders).await?;
        if wanted.iter().all(|(name, _)| there.contains_key(name)) {
            return Ok(there);
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
    Err(BusError("new topics have no leaders yet".into()))
}
