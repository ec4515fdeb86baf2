//! The bus on Kafka: durable topics that other teams read and write as well.
//!
//! Nothing here needs Kafka at the start: clients connect by themselves, a topic is created at its
//! first use, and a consumer waits until it can join its group. Calls of librdkafka
//! that block run beside the runtime.

mod client;
mod group;
mod letters;
mod listener;
mod offsets;
mod producer;
mod topics;
mod wire;

use super::{Bus, BusError, Consumer};
use crate::config::{KafkaSettings, Secret};
use crate::messages::{Message, Signatures, Topic};
use crate::telemetry::Metrics;
use async_trait::async_trait;
use client::{Clients, blocking};
use group::GroupConsumer;
use letters::Letters;
use listener::Listener;
use producer::{Producer, may_lack_its_topic};
use rdkafka::producer::Producer as _;
use std::sync::Arc;
use std::time::{Duration, Instant};
use topics::{Generations, Topics};
use tracing::warn;

/// How long Kafka has to answer a health check.
const PING_MAX: Duration = Duration::from_secs(1);

/// How long `listen` waits for Kafka before it leaves the rest to the listener itself.
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
    signatures: Option<Signatures>,
    pinging: Arc<tokio::sync::Mutex<()>>,
    /// In whose name listeners ask; they join nothing.
    group_id: String,
}

impl Shared {
    /// Sees to it that the four topics exist.
    async fn topics_exist(&self) -> Result<(), BusError> {
        self.topics.exist(&self.clients, &self.producer.current()).await
    }

    /// Whether Kafka answers, and has the topic that is next in turn. One that was lost is made again.
    async fn ping(&self) -> Result<(), BusError> {
        // One at a time, however many ask: the call holds a thread until Kafka answers or does not.
        let turn = self.pinging.clone().lock_owned().await;
        let generations = self.topics.generations();
        if generations.iter().any(|lost| *lost > 0) {
            self.topics_exist().await?;
        }
        let producer = self.producer.current();
        // Asking for a topic that is not there would make brokers create it that do such things.
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

    /// After messages could not be written: looks whether their topics are gone.
    async fn look_for_topics(&self, generations: Generations) {
        // Kafka does not answer: nothing is known of the topics.
        let Ok(lost) = self.topics.lost(&self.producer.current()).await else { return };
        for topic in lost {
            self.lose(topic, generations[topic as usize]);
        }
    }

    /// Notes that a topic is gone, once for each loss: its next use creates it again.
    fn lose(&self, topic: Topic, generation: u64) {
        let producer = self.producer.current();
        if !self.topics.lose(topic, generation) {
            return;
        }
        self.metrics.count_topic_lost(topic);
        warn!(
            topic = topic.as_str(),
            name = self.topics.name(topic),
            "a topic was deleted and is made again; payments are asked for again, its other messages \
             are lost"
        );
        // The one that has used the deleted topic keeps what it knows of its leaders.
        if let Err(error) = self.producer.replace(&self.clients, &producer) {
            warn!(%error, "no new producer");
        }
    }

    /// Sees to it that a topic's dead letters have a place.
    async fn dead_letters_exist(&self, topic: Topic) -> Result<(), BusError> {
        self.topics.dead_letters_exist(topic, &self.clients, &self.producer.current()).await
    }
}

impl KafkaBus {
    /// A bus on these brokers. Fails for settings that can never work; whether a broker answers,
    /// later calls find out.
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
        self.shared.put_aside(topic, &message, reason).await
    }

    async fn consume(&self, topic: Topic, group: &str) -> Result<Box<dyn Consumer>, BusError> {
        Ok(Box::new(GroupConsumer::new(self.shared.clone(), topic, group)))
    }

    async fn listen(&self, topic: Topic) -> Result<Box<dyn Consumer>, BusError> {
        let mut listener = Listener::new(self.shared.clone(), topic);
        if tokio::time::timeout(LISTEN_MAX, listener.position()).await.is_err() {
            warn!(topic = topic.as_str(), "Kafka does not answer: listening begins later");
        }
        Ok(Box::new(listener))
    }

    /// As of the last statistics, which come every five seconds.
    fn waiting_since(&self, topic: Topic, group: &str) -> Option<Instant> {
        self.shared.metrics.lagging_since(topic, group)
    }

    fn system(&self) -> &'static str {
        "kafka"
    }

    async fn ping(&self) -> Result<(), BusError> {
        self.shared.ping().await
    }
}
