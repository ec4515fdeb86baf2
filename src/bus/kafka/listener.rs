//! A listener: it sees every message from its beginning on, belongs to no group, commits nothing.

use super::client::{EndsAside, Log, blocking};
use super::{BusError, Consumer, Message, Shared, Topic, wire};
use async_trait::async_trait;
use futures::{FutureExt, StreamExt};
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

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
const POSITION_PAUSE: Duration = Duration::from_millis(250);

type Client = Arc<EndsAside<StreamConsumer<Log>>>;

/// One listener.
pub(super) struct Listener {
    shared: Arc<Shared>,
    topic: Topic,
    /// None until it could take its position.
    consumer: Option<Client>,
}

impl Listener {
    pub(super) fn new(shared: Arc<Shared>, topic: Topic) -> Self {
        Self { shared, topic, consumer: None }
    }

    /// Takes its place at the end of every partition.
    pub(super) async fn take_position(&mut self) -> Result<(), BusError> {
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

    /// Takes its place, however long Kafka is away.
    async fn position(&mut self) -> &StreamConsumer<Log> {
        while self.consumer.is_none() {
            let Err(error) = self.take_position().await else { break };
            if self.shared.clients.log.is_due("listen") {
                warn!(%error, topic = self.topic.as_str(), "waiting for Kafka");
            }
            tokio::time::sleep(POSITION_PAUSE).await;
        }
        self.consumer.as_ref().expect("the loop ends with it")
    }
}

/// The end of each partition as it is now, so that nothing that comes after is missed.
fn ends(consumer: &StreamConsumer<Log>, name: &str) -> KafkaResult<TopicPartitionList> {
    let metadata = consumer.fetch_metadata(Some(name), ANSWER_MAX)?;
    let mut list = TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        list.add_partition_offset(name, partition.id(), Offset::End)?;
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

#[async_trait]
impl Consumer for Listener {
    async fn receive(&mut self, max: usize) -> Result<Vec<Message>, BusError> {
        let consumer = self.position().await;
        let mut stream = consumer.stream();
        loop {
            // An error that passes is librdkafka's to get over; the log has it.
            let Some(Ok(first)) = stream.next().await else {
                if let Some((code, reason)) = consumer.client().fatal_error() {
                    return Err(BusError(format!("{code}: {reason}")));
                }
                continue;
            };
            let mut messages = vec![wire::message_of(&first)];
            while messages.len() < max {
                let Some(Some(Ok(next))) = stream.next().now_or_never() else { break };
                messages.push(wire::message_of(&next));
            }
            return Ok(messages);
        }
    }

    async fn commit(&mut self) -> Result<(), BusError> {
        Ok(())
    }
}
