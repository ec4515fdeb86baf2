//! A consumer in a group. It commits after the work, without waiting for the answer: a commit that
//! fails is repeated while the partition is its own, and what a crash took with it comes again.

use super::client::{EndsAside, Log};
use super::offsets::{self, Offsets};
use super::{BusError, Consumer, Message, Shared, Topic, wire};
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
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tracing::{debug, info, warn};

/// A replica that died leaves its partitions to the others after the session's time.
const SETTINGS: [(&str, &str); 9] = [
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "earliest"),
    ("partition.assignment.strategy", "cooperative-sticky"),
    ("session.timeout.ms", "10000"),
    ("heartbeat.interval.ms", "1000"),
    ("queued.min.messages", "10000"),
    ("fetch.queue.backoff.ms", "10"),
    ("statistics.interval.ms", "5000"),
];

/// How often failed commits are repeated while nothing arrives.
const TICK: Duration = Duration::from_secs(1);

/// The pause after an error that passes.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// The pause after Kafka could not be asked for the topics.
const JOIN_PAUSE: Duration = Duration::from_millis(500);

/// One member of a group.
pub(super) struct GroupConsumer {
    consumer: EndsAside<StreamConsumer<Member>>,
    shared: Arc<Shared>,
    has_joined: bool,
}

impl GroupConsumer {
    /// A consumer that joins its group when it is first asked for messages.
    pub(super) fn new(shared: Arc<Shared>, topic: Topic, group: &str) -> Result<Self, BusError> {
        let member = Member {
            log: shared.clients.log.clone(),
            metrics: shared.metrics.clone(),
            topic,
            name: shared.topics.name(topic).to_owned(),
            group: group.to_owned(),
            offsets: Mutex::default(),
        };
        let mut config = shared.clients.config(&SETTINGS);
        let consumer: StreamConsumer<_> =
            config.set("group.id", group).create_with_context(member)?;
        Ok(Self { consumer: consumer.into(), shared, has_joined: false })
    }

    /// Joins once the topics exist, however long Kafka is away.
    async fn join(&mut self) -> Result<(), BusError> {
        let member = self.consumer.context();
        loop {
            let exist = async {
                self.shared.topics_exist().await?;
                self.shared.dead_letters_exist(member.topic).await
            };
            let Err(error) = exist.await else { break };
            if member.log.is_due("join") {
                warn!(%error, topic = member.name, group = member.group, "waiting for Kafka");
            }
            tokio::time::sleep(JOIN_PAUSE).await;
        }
        self.consumer.subscribe(&[&member.name])?;
        self.has_joined = true;
        Ok(())
    }

    /// Sends what is done on its way.
    fn commit_done(&self) {
        let member = self.consumer.context();
        let next = member.offsets().next_commit();
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

    /// Takes a message, and what is there already behind it.
    fn take<'a>(
        &self,
        first: &BorrowedMessage<'a>,
        mut next: impl FnMut() -> Option<BorrowedMessage<'a>>,
        max: usize,
    ) -> Vec<Message> {
        let mut messages = vec![self.received(first)];
        while messages.len() < max {
            let Some(message) = next() else { break };
            messages.push(self.received(&message));
        }
        let member = self.consumer.context();
        member.metrics.count_consumed(member.topic, &member.group, messages.len());
        messages
    }

    fn received(&self, message: &BorrowedMessage<'_>) -> Message {
        self.consumer.context().offsets().receive(message.partition(), message.offset());
        wire::message_of(message)
    }
}

#[async_trait]
impl Consumer for GroupConsumer {
    async fn receive(&mut self, max: usize) -> Result<Vec<Message>, BusError> {
        if !self.has_joined {
            self.join().await?;
        }
        let mut stream = self.consumer.stream();
        loop {
            self.commit_done();
            match tokio::time::timeout(TICK, stream.next()).await {
                Ok(Some(Ok(first))) => {
                    let next = || stream.next().now_or_never().flatten()?.ok();
                    return Ok(self.take(&first, next, max));
                }
                Ok(Some(Err(error))) => {
                    self.fail_if_fatal()?;
                    debug!(%error, topic = self.consumer.context().name, "waiting for Kafka");
                    tokio::time::sleep(ERROR_PAUSE).await;
                }
                Ok(None) => return Err(BusError("the consumer has ended".into())),
                Err(_) => self.fail_if_fatal()?,
            }
        }
    }

    async fn commit(&mut self) -> Result<(), BusError> {
        self.consumer.context().offsets().finish();
        self.commit_done();
        Ok(())
    }
}

impl Drop for GroupConsumer {
    fn drop(&mut self) {
        self.commit_done();
        let member = self.consumer.context();
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
    list.elements().iter().map(|element| element.partition()).collect()
}

impl ConsumerContext for Member {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => {
                info!(topic = self.name, group = self.group, partitions = ?partitions(list), "got");
                self.offsets().assign(partitions(list));
            }
            Rebalance::Revoke(list) => {
                info!(topic = self.name, group = self.group, partitions = ?partitions(list), "gave");
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
