//! The bus on Kafka: durable topics that other teams also read and write.
//!
//! The service starts without Kafka: clients connect by themselves, topics are created at their first use, and a
//! consumer waits until it can join its group. Blocking calls of librdkafka run on threads for blocking work.

mod client;
mod group;
mod letters;
mod listener;
mod member;
mod offsets;
mod positions;
mod producer;
mod readers;
mod topics;
mod wire;

use super::{Bus, BusError, Consumer, Cursor, LogError, LogPage, LogQuery};
use crate::config::{KafkaSettings, Secret};
use crate::domain::Timestamp;
use crate::messages::{Message, Signatures, Topic};
use crate::telemetry::Metrics;
use async_trait::async_trait;
use client::{Clients, blocking};
use group::GroupConsumer;
use letters::Letters;
use listener::Listener;
use producer::{Producer, may_lack_its_topic};
use rdkafka::producer::Producer as _;
use readers::Readers;
use std::sync::Arc;
use std::time::{Duration, Instant};
use topics::{Generations, Topics};
use tracing::warn;

/// How long a health check waits for Kafka.
const PING_MAX: Duration = Duration::from_secs(1);

/// How long `listen` waits for Kafka. After that the listener takes its position when Kafka answers.
const LISTEN_MAX: Duration = Duration::from_secs(4);

/// Topics on Kafka.
pub struct KafkaBus {
    shared: Arc<Shared>,
}

/// What the bus shares with its consumers.
struct Shared {
    clients: Clients,
    producer: Producer,
    topics: Topics,
    metrics: Metrics,
    letters: Letters,
    readers: Readers,
    signatures: Option<Signatures>,
    pinging: Arc<tokio::sync::Mutex<()>>,
    /// The `group.id` of listeners and of readers of the log, which join no group.
    group_id: String,
}

impl Shared {
    /// Creates those of the four topics that do not exist.
    async fn topics_exist(&self) -> Result<(), BusError> {
        self.topics.exist(&self.clients, &self.producer.current()).await
    }

    /// Whether Kafka answers, and has the next topic in turn. Recreates topics that were lost.
    async fn ping(&self) -> Result<(), BusError> {
        // One at a time, however many callers: the call blocks a thread until Kafka answers or times out.
        let turn = self.pinging.clone().lock_owned().await;
        let generations = self.topics.generations();
        if generations.iter().any(|lost| *lost > 0) {
            self.topics_exist().await?;
        }
        let producer = self.producer.current();
        // Some brokers create a missing topic when they are asked for it.
        let topic = self.topics.do_exist().then(|| self.topics.next_to_ping());
        let name = topic.map(|topic| self.topics.name(topic).to_owned());
        let answer = blocking(move || {
            let _turn = turn;
            producer.client().fetch_metadata(name.as_deref(), PING_MAX)
        })
        .await?;
        let lost = topic.filter(|topic| self.topics.is_lost(*topic, &answer));
        let Some(topic) = lost else { return Ok(()) };
        self.lose(topic, generations[topic as usize]);
        Err(BusError(format!("topic {} is gone", self.topics.name(topic))))
    }

    /// Checks, after a failed write, whether topics were deleted.
    async fn look_for_topics(&self, generations: Generations) {
        // Without an answer nothing is known.
        let Ok(lost) = self.topics.lost(&self.producer.current()).await else { return };
        for topic in lost {
            self.lose(topic, generations[topic as usize]);
        }
    }

    /// Records that a topic was deleted, once per loss. The next use recreates it.
    fn lose(&self, topic: Topic, generation: u64) {
        let producer = self.producer.current();
        if !self.topics.lose(topic, generation) {
            return;
        }
        self.metrics.count_topic_lost(topic);
        warn!(
            topic = topic.as_str(),
            name = self.topics.name(topic),
            "a topic was deleted and is recreated; its payments are requested again, its other messages \
             are lost"
        );
        // A producer that has used the deleted topic keeps its leaders.
        if let Err(error) = self.producer.replace(&self.clients, &producer) {
            warn!(%error, "a new producer cannot be created");
        }
    }

    /// Creates the topic for a topic's dead letters if it does not exist.
    async fn dead_letters_exist(&self, topic: Topic) -> Result<(), BusError> {
        self.topics.dead_letters_exist(topic, &self.clients, &self.producer.current()).await
    }
}

impl KafkaBus {
    /// A bus on these brokers. Fails if the settings are invalid; does not wait for a broker.
    pub fn connect(settings: &KafkaSettings, metrics: Metrics) -> Result<Self, BusError> {
        let clients = Clients::new(settings)?;
        let producer = Producer::new(&clients)?;
        let topics = Topics::new(settings);
        let group_id = settings.group_id.clone();
        let secrets = settings.events_secrets.iter().map(Secret::expose);
        let signatures = Signatures::new(secrets, settings.events_required);
        let shared = Shared {
            clients,
            producer,
            topics,
            metrics,
            letters: Letters::default(),
            readers: Readers::default(),
            signatures,
            pinging: Arc::default(),
            group_id,
        };
        Ok(Self { shared: Arc::new(shared) })
    }
}

#[async_trait]
impl Bus for KafkaBus {
    async fn publish(&self, messages: &[(Topic, Message)]) -> Result<(), BusError> {
        if messages.is_empty() {
            return Ok(());
        }
        let shared = &self.shared;
        shared.topics_exist().await?;
        let name = |topic: Topic| shared.topics.name(topic);
        let named: Vec<_> =
            messages.iter().map(|(topic, message)| (name(*topic), message)).collect();
        let generations = shared.topics.generations();
        let sent = shared.producer.send(&shared.clients, shared.signatures.as_ref(), &named).await;
        if sent.as_ref().is_err_and(may_lack_its_topic) {
            shared.look_for_topics(generations).await;
        }
        Ok(sent?)
    }

    async fn dead_letter(
        &self,
        topic: Topic,
        message: Message,
        reason: &str,
    ) -> Result<(), BusError> {
        self.shared.write_dead_letter(topic, &message, reason).await
    }

    async fn consume(&self, topic: Topic, group: &str) -> Result<Box<dyn Consumer>, BusError> {
        Ok(Box::new(GroupConsumer::new(self.shared.clone(), topic, group)))
    }

    async fn listen(&self, topic: Topic) -> Result<Box<dyn Consumer>, BusError> {
        let mut listener = Listener::new(self.shared.clone(), topic);
        if tokio::time::timeout(LISTEN_MAX, listener.position()).await.is_err() {
            warn!(topic = topic.as_str(), "Kafka does not answer; listening begins later");
        }
        Ok(Box::new(listener))
    }

    /// As of the last statistics, which arrive every five seconds.
    fn waiting_since(&self, topic: Topic, group: &str) -> Option<Instant> {
        self.shared.metrics.lagging_since(topic, group)
    }

    async fn read_log(&self, query: LogQuery) -> Result<LogPage, LogError> {
        self.shared.read_log(query).await
    }

    async fn log_end(&self, now: Timestamp) -> Result<Cursor, LogError> {
        self.shared.log_end(now).await
    }

    async fn forget_log(&self, _before: Timestamp, _limit: usize) -> Result<usize, BusError> {
        Ok(0)
    }

    fn system(&self) -> &'static str {
        "kafka"
    }

    async fn ping(&self) -> Result<(), BusError> {
        self.shared.ping().await
    }
}
