//! A listener: it receives every message published while it listens, belongs to no group and commits nothing.
//! If the topic is deleted, it reads the new topic from its beginning. If its client is stuck, a new one reads on.

use super::client::{DropInBackground, Log, blocking};
use super::positions::{
    Positions, Stalls, TopicCheck, bounds, bounds_of, compare, offsets_of, partitions_of,
};
use super::topics::is_missing;
use super::{BusError, Consumer, Message, Shared, Topic, wire};
use async_trait::async_trait;
use futures::StreamExt;
use rdkafka::consumer::{Consumer as _, ConsumerContext, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::metadata::{MetadataPartition, MetadataTopic};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{debug, warn};

/// librdkafka requires a `group.id`; no group is joined. A position that does not exist, in a recreated topic or
/// one whose oldest messages are deleted, becomes the earliest one.
const SETTINGS: [(&str, &str); 5] = [
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "earliest"),
    ("queued.min.messages", "10000"),
    ("fetch.queue.backoff.ms", "10"),
];

/// Time limit for Kafka to report the topic's partitions and ends.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// The pause after a failed attempt to take a position.
const POSITION_PAUSE: Duration = Duration::from_millis(100);

/// How often a listener checks whether the topic still exists and has new partitions.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// How soon a listener reacts to a loss of the topic that another part has detected.
const TICK: Duration = Duration::from_secs(1);

type Client = Arc<DropInBackground<StreamConsumer<Log>>>;

/// One listener.
pub(super) struct Listener {
    shared: Arc<Shared>,
    topic: Topic,
    /// The topic's generation when the listener was made, or last took a position.
    generation: u64,
    /// `None` until the listener has a position.
    consumer: Option<Client>,
    looked_at: Instant,
    stalls: Stalls,
    /// The next offset of each partition.
    next: Positions,
}

impl Listener {
    pub(super) fn new(shared: Arc<Shared>, topic: Topic) -> Self {
        let generation = shared.topics.generation(topic);
        Self {
            shared,
            topic,
            generation,
            consumer: None,
            looked_at: Instant::now(),
            stalls: Stalls::default(),
            next: Positions::new(),
        }
    }

    /// Takes a position: where the last client was; at first at the end of every partition; at the beginning if
    /// the topic was deleted since the listener was made.
    async fn take_position(&mut self) -> Result<(), BusError> {
        let shared = &self.shared;
        shared.topics_exist().await?;
        let generation = shared.topics.generation(self.topic);
        let is_new = generation != self.generation;
        let last = if is_new { Positions::new() } else { self.next.clone() };
        let mut config = shared.clients.config(&SETTINGS);
        let consumer: StreamConsumer<_> = config
            .set("group.id", &shared.group_id)
            .create_with_context(shared.clients.log.clone())?;
        let consumer: Client = Arc::new(consumer.into());
        let (asked, name) = (consumer.clone(), shared.topics.name(self.topic).to_owned());
        let is_there = blocking(move || {
            let Some(partitions) = partitions(&**asked, &name, ANSWER_MAX)? else {
                return Ok(None);
            };
            let mut positions = TopicPartitionList::new();
            for partition in partitions {
                let last = last.get(&partition).copied();
                let position = last.map_or(Offset::Beginning, Offset::Offset);
                positions.add_partition_offset(&name, partition, position)?;
            }
            if !is_new && last.is_empty() {
                positions = bounds(&**asked, positions, Offset::End, ANSWER_MAX)?;
            }
            asked.assign(&positions)?;
            Ok(Some(positions))
        });
        let Some(positions) = is_there.await? else {
            shared.lose(self.topic, generation);
            return Err(BusError("the topic does not exist".into()));
        };
        self.consumer = Some(consumer);
        self.generation = generation;
        self.next = offsets_of(&positions);
        Ok(())
    }

    /// Returns whether a new client must read: the topic was deleted since the position was taken, or the client
    /// is stuck. Every [`LOOK_INTERVAL`] it asks Kafka, and assigns new partitions, from their beginning.
    async fn has_ended(&mut self, consumer: &Client) -> bool {
        if self.looked_at.elapsed() >= LOOK_INTERVAL {
            self.looked_at = Instant::now();
            let (asked, name) = (consumer.clone(), self.shared.topics.name(self.topic).to_owned());
            let next = self.next.clone();
            match blocking(move || check_topic(&asked, &name, &next)).await {
                Ok(TopicCheck::Lost) => self.shared.lose(self.topic, self.generation),
                Ok(TopicCheck::Behind(behind)) => {
                    let stuck = self.stalls.add(behind);
                    if !stuck.is_empty() {
                        let topic = self.topic.as_str();
                        warn!(topic, partitions = ?stuck, "a listener is stuck, and reads on with a new client");
                        self.stalls = Stalls::default();
                        return true;
                    }
                }
                Err(error) => {
                    debug!(%error, topic = self.topic.as_str(), "cannot check whether the topic still exists");
                }
            }
        }
        self.shared.topics.generation(self.topic) != self.generation
    }

    fn heard(&mut self, message: &BorrowedMessage<'_>) -> (Message, usize) {
        self.next.insert(message.partition(), message.offset() + 1);
        wire::message_of(message, self.shared.signatures.as_ref())
    }

    /// The client, once it has a position. Waits as long as Kafka is down.
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

/// The partitions of a topic; `None` if it does not exist.
pub(super) fn partitions<C: ConsumerContext>(
    consumer: &impl rdkafka::consumer::Consumer<C>,
    name: &str,
    within: Duration,
) -> KafkaResult<Option<Vec<i32>>> {
    let metadata = consumer.fetch_metadata(Some(name), within)?;
    if metadata.topics().iter().any(is_missing) {
        return Ok(None);
    }
    if let Some(error) = metadata.topics().iter().find_map(MetadataTopic::error) {
        return Err(KafkaError::MetadataFetch(error.into()));
    }
    let partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
    Ok(Some(partitions.map(MetadataPartition::id).collect()))
}

/// Checks whether the topic is still there and the same one, and assigns new partitions. Fails if Kafka is down.
fn check_topic(
    consumer: &StreamConsumer<Log>,
    name: &str,
    next: &Positions,
) -> KafkaResult<TopicCheck> {
    if !assign_new(consumer, name)? {
        return Ok(TopicCheck::Lost);
    }
    let assigned = partitions_of(&consumer.assignment()?);
    Ok(compare(next, next, &bounds_of(consumer, name, assigned, Offset::End, ANSWER_MAX)?))
}

/// Assigns new partitions. Returns whether the topic still exists with those it had.
fn assign_new(consumer: &StreamConsumer<Log>, name: &str) -> KafkaResult<bool> {
    let known = consumer.assignment()?;
    let there = partitions(consumer, name, ANSWER_MAX)?.unwrap_or_default();
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
            if self.has_ended(&consumer).await {
                self.consumer = None;
                continue;
            }
            let mut stream = consumer.stream();
            // librdkafka recovers from transient errors by itself, and logs them.
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
