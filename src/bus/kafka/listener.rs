//! A listener: it sees every message from its beginning on, belongs to no group, commits nothing. If the
//! topic is deleted, it listens to the new one from that one's beginning.

use super::client::{DropInBackground, Log, blocking, ends, ends_before};
use super::topics::is_missing;
use super::{BusError, Consumer, Message, Shared, Topic, wire};
use async_trait::async_trait;
use futures::StreamExt;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::metadata::{MetadataPartition, MetadataTopic};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{debug, warn};

/// `group.id` is there because librdkafka wants one; nothing is joined. A position that is not there, in
/// a topic that was made again or whose oldest messages are gone, becomes the first one that is.
const SETTINGS: [(&str, &str); 5] = [
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "earliest"),
    ("queued.min.messages", "10000"),
    ("fetch.queue.backoff.ms", "10"),
];

/// How long Kafka has to say where the topic ends.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// The pause after Kafka did not say it.
const POSITION_PAUSE: Duration = Duration::from_millis(100);

/// How often a topic is looked at: whether it is still there, and for new partitions.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// How soon it is found that others have noticed the topic's loss.
const TICK: Duration = Duration::from_secs(1);

type Client = Arc<DropInBackground<StreamConsumer<Log>>>;

/// One listener.
pub(super) struct Listener {
    shared: Arc<Shared>,
    topic: Topic,
    /// The topic's when it took its position, at first when it was made.
    generation: u64,
    /// None until it could take its position.
    consumer: Option<Client>,
    looked_at: Instant,
    /// For each partition of which something was heard, what comes next.
    next: HashMap<i32, i64>,
}

impl Listener {
    pub(super) fn new(shared: Arc<Shared>, topic: Topic) -> Self {
        let generation = shared.topics.generation(topic);
        let (looked_at, next) = (Instant::now(), HashMap::new());
        Self { shared, topic, generation, consumer: None, looked_at, next }
    }

    /// Takes its place at the end of every partition, or at its beginning where the topic was deleted
    /// since it listens.
    async fn take_position(&mut self) -> Result<(), BusError> {
        let shared = &self.shared;
        shared.topics_exist().await?;
        let generation = shared.topics.generation(self.topic);
        let is_new = generation != self.generation;
        let mut config = shared.clients.config(&SETTINGS);
        let consumer: StreamConsumer<_> = config
            .set("group.id", &shared.group_id)
            .create_with_context(shared.clients.log.clone())?;
        let consumer: Client = Arc::new(consumer.into());
        let (asked, name) = (consumer.clone(), shared.topics.name(self.topic).to_owned());
        let is_there = blocking(move || {
            let Some(partitions) = partitions(&asked, &name)? else { return Ok(false) };
            let mut places = TopicPartitionList::new();
            for partition in partitions {
                places.add_partition_offset(&name, partition, Offset::Beginning)?;
            }
            if !is_new {
                places = ends(&**asked, places, ANSWER_MAX)?;
            }
            asked.assign(&places)?;
            Ok(true)
        });
        if !is_there.await? {
            shared.lose(self.topic, generation);
            return Err(BusError("the topic is not there".into()));
        }
        self.consumer = Some(consumer);
        self.generation = generation;
        self.next.clear();
        Ok(())
    }

    /// Looks at the topic, once in a while: takes on partitions that were added since, from their
    /// beginning. Says whether the topic was deleted since the position was taken.
    async fn has_lost_topic(&mut self, consumer: &Client) -> bool {
        if self.looked_at.elapsed() >= LOOK_INTERVAL {
            self.looked_at = Instant::now();
            let (asked, name) = (consumer.clone(), self.shared.topics.name(self.topic).to_owned());
            let next: Vec<_> = self.next.iter().map(|(part, next)| (*part, *next)).collect();
            let is_there = blocking(move || {
                Ok(take_on_new(&asked, &name)? && !ends_before(&**asked, &name, &next, ANSWER_MAX)?)
            });
            match is_there.await {
                Ok(true) => {}
                Ok(false) => self.shared.lose(self.topic, self.generation),
                Err(error) => debug!(%error, topic = self.topic.as_str(), "no look at the topic"),
            }
        }
        self.shared.topics.generation(self.topic) != self.generation
    }

    fn heard(&mut self, message: &BorrowedMessage<'_>) -> (Message, usize) {
        self.next.insert(message.partition(), message.offset() + 1);
        wire::message_of(message, self.shared.signatures.as_ref())
    }

    /// Takes its place, if it has none, however long Kafka is away.
    pub(super) async fn position(&mut self) -> Client {
        loop {
            if let Some(consumer) = &self.consumer {
                return consumer.clone();
            }
            let Err(error) = self.take_position().await else { continue };
            if self.shared.clients.log.is_due("listen") {
                warn!(%error, topic = self.topic.as_str(), "waiting for Kafka");
            }
            tokio::time::sleep(POSITION_PAUSE).await;
        }
    }
}

/// The partitions that a topic has now; `None` if there is no such topic.
fn partitions(consumer: &StreamConsumer<Log>, name: &str) -> KafkaResult<Option<Vec<i32>>> {
    let metadata = consumer.fetch_metadata(Some(name), ANSWER_MAX)?;
    if metadata.topics().iter().any(is_missing) {
        return Ok(None);
    }
    if let Some(error) = metadata.topics().iter().find_map(MetadataTopic::error) {
        return Err(KafkaError::MetadataFetch(error.into()));
    }
    let partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
    Ok(Some(partitions.map(MetadataPartition::id).collect()))
}

/// Takes on partitions that were added; says whether the topic is still there, with those it had.
fn take_on_new(consumer: &StreamConsumer<Log>, name: &str) -> KafkaResult<bool> {
    let known = consumer.assignment()?;
    let there = partitions(consumer, name)?.unwrap_or_default();
    if there.len() < known.count() {
        return Ok(false);
    }
    let mut list = TopicPartitionList::new();
    for partition in there {
        if known.find_partition(name, partition).is_none() {
            list.add_partition_offset(name, partition, Offset::Beginning)?;
        }
    }
    if list.count() > 0 {
        consumer.incremental_assign(&list)?;
    }
    Ok(true)
}

#[async_trait]
impl Consumer for Listener {
    async fn receive(&mut self, max: usize) -> Result<Vec<Message>, BusError> {
        loop {
            let consumer = self.position().await;
            if self.has_lost_topic(&consumer).await {
                self.consumer = None;
                continue;
            }
            let mut stream = consumer.stream();
            // An error that passes is librdkafka's to get over; the log has it.
            let next = tokio::time::timeout(TICK, stream.next()).await;
            let Ok(Some(Ok(first))) = next else {
                if let Some((code, reason)) = consumer.client().fatal_error() {
                    return Err(BusError(format!("{code}: {reason}")));
                }
                continue;
            };
            let messages = wire::gather(&first, &mut stream, max, |next| self.heard(next));
            return Ok(messages);
        }
    }

    async fn commit(&mut self) -> Result<(), BusError> {
        Ok(())
    }
}
