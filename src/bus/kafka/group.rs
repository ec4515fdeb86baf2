//! A consumer in a group. It commits after the work, without waiting for the answer: a commit that
//! fails is repeated while the partition is its own, and what a crash took with it comes again.

use super::client::{DropInBackground, Log};
use super::offsets::{COMMIT_INTERVAL, Offsets};
use super::{BusError, Consumer, Message, Shared, Topic, offsets, wire};
use crate::messages::Signatures;
use crate::telemetry::Metrics;
use async_trait::async_trait;
use futures::{FutureExt, StreamExt};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{
    BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance, StreamConsumer,
};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList, TopicPartitionListElem};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tracing::{debug, info, warn};

/// A replica that died leaves its partitions to the others after the session's time.
const SETTINGS: [(&str, &str); 9] = [
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "earliest"),
    ("partition.assignment.strategy", "cooperative-sticky"),
    ("session.timeout.ms", "6000"),
    ("heartbeat.interval.ms", "1000"),
    ("queued.min.messages", "10000"),
    ("fetch.queue.backoff.ms", "10"),
    ("statistics.interval.ms", "5000"),
];

/// How often failed commits are repeated while nothing arrives.
const TICK: Duration = Duration::from_secs(1);

/// The pause after Kafka could not be asked for the topics.
const JOIN_PAUSE: Duration = Duration::from_millis(500);

type Client = DropInBackground<StreamConsumer<Member>>;

/// One member of a group.
pub(super) struct GroupConsumer {
    shared: Arc<Shared>,
    topic: Topic,
    group: String,
    /// None until it is first asked for messages.
    membership: Option<Membership>,
}

impl GroupConsumer {
    /// A consumer that joins its group when it is first asked for messages.
    pub(super) fn new(shared: Arc<Shared>, topic: Topic, group: &str) -> Self {
        Self { shared, topic, group: group.to_owned(), membership: None }
    }

    /// Joins once the topics exist, however long Kafka is away.
    async fn join(&mut self) -> Result<&Membership, BusError> {
        let Self { shared, topic, group, membership } = self;
        while membership.is_none() {
            match shared.topics_exist().await {
                Ok(()) => {
                    // A place for dead letters is wanted; none must not stop what can be applied.
                    if let Err(error) = shared.dead_letters_exist(*topic).await
                        && shared.clients.log.is_due("dead letters")
                    {
                        warn!(%error, topic = topic.as_str(), "no place for dead letters");
                    }
                    *membership = Some(Membership::begin(shared, *topic, group)?);
                }
                Err(error) => {
                    if shared.clients.log.is_due("join") {
                        warn!(%error, topic = topic.as_str(), group, "waiting for Kafka");
                    }
                    tokio::time::sleep(JOIN_PAUSE).await;
                }
            }
        }
        Ok(membership.as_ref().expect("the loop ends with it"))
    }
}

#[async_trait]
impl Consumer for GroupConsumer {
    async fn receive(&mut self, max: usize) -> Result<Vec<Message>, BusError> {
        self.join().await?.receive(max).await
    }

    async fn commit(&mut self) -> Result<(), BusError> {
        if let Some(membership) = &self.membership {
            membership.member().offsets().finish();
            membership.commit_done();
        }
        Ok(())
    }
}

/// The time in a group, from joining to leaving it.
struct Membership {
    consumer: Client,
    signatures: Option<Signatures>,
}

impl Membership {
    fn begin(shared: &Shared, topic: Topic, group: &str) -> Result<Self, BusError> {
        let name = shared.topics.name(topic);
        let member = Member {
            log: shared.clients.log.clone(),
            metrics: shared.metrics.clone(),
            topic,
            name: name.to_owned(),
            group: group.to_owned(),
            offsets: Mutex::default(),
        };
        let mut config = shared.clients.config(&SETTINGS);
        let consumer: StreamConsumer<_> =
            config.set("group.id", group).create_with_context(member)?;
        consumer.subscribe(&[name])?;
        Ok(Self { consumer: consumer.into(), signatures: shared.signatures.clone() })
    }

    fn member(&self) -> &Member {
        self.consumer.context()
    }

    /// Waits for a message; takes what is there already behind it.
    async fn receive(&self, max: usize) -> Result<Vec<Message>, BusError> {
        let mut stream = self.consumer.stream();
        loop {
            self.commit_done();
            // An error that passes is librdkafka's to get over; the log has it.
            let tick = if self.member().offsets().is_all_sent() { TICK } else { COMMIT_INTERVAL };
            let next = tokio::time::timeout(tick, stream.next()).await;
            let Ok(Some(Ok(first))) = next else {
                self.fail_if_fatal()?;
                continue;
            };
            let (first, mut bytes) = self.received(&first);
            let mut messages = vec![first];
            while messages.len() < max && bytes < wire::BATCH_BYTES_MAX {
                let Some(Some(Ok(next))) = stream.next().now_or_never() else { break };
                let (next, size) = self.received(&next);
                bytes += size;
                messages.push(next);
            }
            return Ok(messages);
        }
    }

    fn received(&self, message: &BorrowedMessage<'_>) -> (Message, usize) {
        self.member().offsets().receive(message.partition(), message.offset());
        wire::message_of(message, self.signatures.as_ref())
    }

    /// Sends what is done on its way, once in a while.
    fn commit_done(&self) {
        let member = self.member();
        let next = member.offsets().next_commit(Instant::now());
        if !next.is_empty() {
            member.commit(&*self.consumer, &next);
        }
    }

    /// Errors of this kind never pass.
    fn fail_if_fatal(&self) -> Result<(), BusError> {
        match self.consumer.client().fatal_error() {
            Some((code, reason)) => Err(BusError(format!("{code}: {reason}"))),
            None => Ok(()),
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let member = self.member();
        let last = member.offsets().last_commit();
        if !last.is_empty() {
            member.commit(&*self.consumer, &last);
        }
        member.metrics.forget_consumer_lag(member.topic, &member.group);
    }
}

/// What librdkafka tells a member.
pub(super) struct Member {
    log: Log,
    metrics: Metrics,
    topic: Topic,
    name: String,
    group: String,
    offsets: Mutex<Offsets>,
}

impl Member {
    fn offsets(&self) -> MutexGuard<'_, Offsets> {
        self.offsets.lock().expect("no holder of the offsets panics")
    }

    /// Sends a commit on its way, without waiting for its answer.
    fn commit(&self, consumer: &impl rdkafka::consumer::Consumer<Self>, offsets: &[(i32, i64)]) {
        let sent = offsets::list_of(&self.name, offsets)
            .and_then(|list| consumer.commit(&list, CommitMode::Async));
        if let Err(error) = sent {
            debug!(%error, topic = self.name, "a commit was not taken");
            self.offsets().answer(offsets.iter().copied());
        }
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<i32> {
    list.elements().iter().map(TopicPartitionListElem::partition).collect()
}

impl ConsumerContext for Member {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => {
                info!(topic = self.name, group = self.group, partitions = ?partitions(list), "partitions assigned");
                self.offsets().assign(partitions(list));
            }
            Rebalance::Revoke(list) => {
                info!(topic = self.name, group = self.group, partitions = ?partitions(list), "partitions revoked");
                let last = self.offsets().revoke(partitions(list));
                if !last.is_empty() {
                    // Ahead of the message that gives the partitions away, to the same broker.
                    self.commit(consumer, &last);
                }
            }
            Rebalance::Error(error) => debug!(%error, topic = self.name, "no rebalance"),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, list: &TopicPartitionList) {
        let mut failed = Vec::new();
        for element in list.elements() {
            let outcome = result.clone().and_then(|()| element.error());
            if let (Err(error), Offset::Offset(offset)) = (outcome, element.offset()) {
                debug!(%error, topic = self.name, partition = element.partition(), "not committed");
                failed.push((element.partition(), offset));
            }
        }
        self.offsets().answer(failed);
    }
}

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, kind: &str, line: &str) {
        self.log.log(level, kind, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.log.error(error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        let Some(topic) = statistics.topics.get(&self.name) else { return };
        let known = topic.partitions.values().filter(|part| part.consumer_lag >= 0);
        let lag = known.map(|part| part.consumer_lag).sum();
        self.metrics.set_consumer_lag(self.topic, &self.group, lag);
    }
}
