//! A listener: it sees every message from its beginning on, belongs to no group, commits nothing.

use super::client::{DropInBackground, Log, blocking};
use super::{BusError, Consumer, Message, Shared, Topic, wire};
use async_trait::async_trait;
use futures::{FutureExt, StreamExt};
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::{MetadataPartition, MetadataTopic};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{debug, warn};

/// `group.id` is there because librdkafka wants one; nothing is joined.
const SETTINGS: [(&str, &str); 5] = [
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "latest"),
    ("queued.min.messages", "10000"),
    ("fetch.queue.backoff.ms", "10"),
];

/// How long Kafka has to say where the topic ends.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// The pause after Kafka did not say it.
const POSITION_PAUSE: Duration = Duration::from_millis(100);

/// How often a topic is looked at for new partitions.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

type Client = Arc<DropInBackground<StreamConsumer<Log>>>;

/// One listener.
pub(super) struct Listener {
    shared: Arc<Shared>,
    topic: Topic,
    /// None until it could take its position.
    consumer: Option<Client>,
    looked_at: Instant,
}

impl Listener {
    pub(super) fn new(shared: Arc<Shared>, topic: Topic) -> Self {
        Self { shared, topic, consumer: None, looked_at: Instant::now() }
    }

    /// Takes its place at the end of every partition.
    async fn take_position(&mut self) -> Result<(), BusError> {
        let shared = &self.shared;
        shared.topics_exist().await?;
        let mut config = shared.clients.config(&SETTINGS);
        let consumer: StreamConsumer<_> = config
            .set("group.id", &shared.group_id)
            .create_with_context(shared.clients.log.clone())?;
        let consumer: Client = Arc::new(consumer.into());
        let (asked, name) = (consumer.clone(), shared.topics.name(self.topic).to_owned());
        blocking(move || asked.assign(&ends(&asked, &name)?)).await?;
        self.consumer = Some(consumer);
        Ok(())
    }

    /// Takes on partitions that were added since, from their beginning, once in a while.
    async fn look_for_partitions(&mut self, consumer: &Client) {
        if self.looked_at.elapsed() < LOOK_INTERVAL {
            return;
        }
        self.looked_at = Instant::now();
        let (asked, name) = (consumer.clone(), self.shared.topics.name(self.topic).to_owned());
        if let Err(error) = blocking(move || take_on_new(&asked, &name)).await {
            debug!(%error, topic = self.topic.as_str(), "no look at the partitions");
        }
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

/// The partitions that a topic has now.
fn partitions(consumer: &StreamConsumer<Log>, name: &str) -> KafkaResult<Vec<i32>> {
    let metadata = consumer.fetch_metadata(Some(name), ANSWER_MAX)?;
    let partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
    Ok(partitions.map(MetadataPartition::id).collect())
}

/// The end of each partition as it is now, so that nothing that comes after is missed.
fn ends(consumer: &StreamConsumer<Log>, name: &str) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for partition in partitions(consumer, name)? {
        list.add_partition_offset(name, partition, Offset::End)?;
    }
    let ends = consumer.offsets_for_times(list, ANSWER_MAX)?;
    for element in ends.elements() {
        element.error()?;
        if !matches!(element.offset(), Offset::Offset(_)) {
            return Err(KafkaError::OffsetFetch(RDKafkaErrorCode::NoOffset));
        }
    }
    Ok(ends)
}

fn take_on_new(consumer: &StreamConsumer<Log>, name: &str) -> KafkaResult<()> {
    let known = consumer.assignment()?;
    let mut list = TopicPartitionList::new();
    for partition in partitions(consumer, name)? {
        if known.find_partition(name, partition).is_none() {
            list.add_partition_offset(name, partition, Offset::Beginning)?;
        }
    }
    if list.count() > 0 { consumer.incremental_assign(&list) } else { Ok(()) }
}

#[async_trait]
impl Consumer for Listener {
    async fn receive(&mut self, max: usize) -> Result<Vec<Message>, BusError> {
        let consumer = self.position().await;
        let mut stream = consumer.stream();
        loop {
            self.look_for_partitions(&consumer).await;
            // An error that passes is librdkafka's to get over; the log has it.
            let next = tokio::time::timeout(LOOK_INTERVAL, stream.next()).await;
            let Ok(Some(Ok(first))) = next else {
                if let Some((code, reason)) = consumer.client().fatal_error() {
                    return Err(BusError(format!("{code}: {reason}")));
                }
                continue;
            };
            let (first, mut bytes) = wire::message_of(&first, self.shared.signatures.as_ref());
            let mut messages = vec![first];
            while messages.len() < max && bytes < wire::BATCH_BYTES_MAX {
                let Some(Some(Ok(next))) = stream.next().now_or_never() else { break };
                let (next, size) = wire::message_of(&next, self.shared.signatures.as_ref());
                bytes += size;
                messages.push(next);
            }
            return Ok(messages);
        }
    }

    async fn commit(&mut self) -> Result<(), BusError> {
        Ok(())
    }
}
