//! One member of a group: what it has received and committed, and librdkafka's callbacks.

use super::offsets::Offsets;
use super::positions::{TopicCheck, bounds_of, compare, partitions_of};
use super::topics::{is_missing, says_missing};
use super::{Shared, Topic, offsets};
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{
    BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance, StreamConsumer,
};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tracing::{debug, info};

/// How long each question of a check of the topic waits for Kafka.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// A member's state, which librdkafka's callbacks update.
pub(super) struct Member {
    pub(super) shared: Arc<Shared>,
    pub(super) topic: Topic,
    /// The generation of the topic that it reads.
    generation: AtomicU64,
    pub(super) name: String,
    pub(super) group: String,
    pub(super) offsets: Mutex<Offsets>,
    /// Whether Kafka has reported the topic missing since the last check.
    is_topic_missing: AtomicBool,
}

impl Member {
    pub(super) fn new(shared: &Arc<Shared>, topic: Topic, group: &str) -> Self {
        Self {
            shared: shared.clone(),
            topic,
            generation: shared.topics.generation(topic).into(),
            name: shared.topics.name(topic).to_owned(),
            group: group.to_owned(),
            offsets: Mutex::default(),
            is_topic_missing: AtomicBool::new(false),
        }
    }

    /// Whether Kafka has reported the topic missing since the last call.
    pub(super) fn take_topic_missing(&self) -> bool {
        self.is_topic_missing.swap(false, Ordering::AcqRel)
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Whether the topic was deleted since this member joined.
    pub(super) fn is_outdated(&self) -> bool {
        self.shared.topics.generation(self.topic) != self.generation()
    }

    /// Records that the topic was deleted and recreated, and is already read from its beginning.
    pub(super) fn begin_with_new_topic(&self) {
        let generation = self.generation();
        self.shared.lose(self.topic, generation);
        self.generation.store(generation + 1, Ordering::Release);
    }

    /// Remembers an error that reports the topic missing, for the next check.
    pub(super) fn note(&self, error: &KafkaError) {
        if error.rdkafka_error_code().is_some_and(says_missing) {
            self.is_topic_missing.store(true, Ordering::Release);
        }
    }

    /// Checks whether the topic is still there and the same one. Fails if Kafka is down.
    pub(super) fn check_topic(&self, consumer: &StreamConsumer<Self>) -> KafkaResult<TopicCheck> {
        let answer = consumer.fetch_metadata(Some(&self.name), CHECK_TIMEOUT)?;
        if answer.topics().iter().any(is_missing) {
            return Ok(TopicCheck::Lost);
        }
        if self.has_lost_commits(consumer)? {
            return Ok(TopicCheck::Lost);
        }
        let assigned = self.offsets.lock().assigned();
        let ends = bounds_of(consumer, &self.name, assigned, Offset::End, CHECK_TIMEOUT)?;
        let offsets = self.offsets.lock();
        Ok(compare(offsets.next(), offsets.fetched(), &ends))
    }

    /// Whether Kafka has forgotten commits of this member, as it does when a topic is deleted.
    fn has_lost_commits(&self, consumer: &StreamConsumer<Self>) -> KafkaResult<bool> {
        let mut asked = TopicPartitionList::new();
        for partition in self.offsets.lock().committed() {
            asked.add_partition(&self.name, partition);
        }
        if asked.count() == 0 {
            return Ok(false);
        }
        let committed = consumer.committed_offsets(asked, CHECK_TIMEOUT)?;
        let forgotten = committed.elements().into_iter().filter(|element| {
            element.error().is_ok() && !matches!(element.offset(), Offset::Offset(_))
        });
        let forgotten: Vec<_> = forgotten.map(|element| element.partition()).collect();
        // Partitions that were revoked meanwhile prove nothing.
        let still = self.offsets.lock().committed();
        Ok(forgotten.iter().any(|partition| still.contains(partition)))
    }

    /// Starts a commit and does not wait for the answer. Offsets of a deleted topic are dropped: they would be
    /// committed in the new topic of the same name.
    pub(super) fn commit(
        &self,
        consumer: &impl rdkafka::consumer::Consumer<Self>,
        offsets: &[(i32, i64)],
    ) {
        if self.is_outdated() {
            return;
        }
        let sent = offsets::list_of(&self.name, offsets)
            .and_then(|list| consumer.commit(&list, CommitMode::Async));
        if let Err(error) = sent {
            debug!(%error, topic = self.name, "a commit could not be sent; it is repeated");
            self.offsets.lock().answer([], offsets.iter().copied());
        }
    }
}

impl ConsumerContext for Member {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => {
                info!(topic = self.name, group = self.group, partitions = ?partitions_of(list), "partitions assigned");
                self.offsets.lock().assign(partitions_of(list));
            }
            Rebalance::Revoke(list) => {
                info!(topic = self.name, group = self.group, partitions = ?partitions_of(list), "partitions revoked");
                let last = self.offsets.lock().revoke(partitions_of(list));
                if !last.is_empty() {
                    // Sent to the same broker before the request that gives the partitions up.
                    self.commit(consumer, &last);
                }
            }
            Rebalance::Error(error) => debug!(%error, topic = self.name, "rebalance failed"),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, list: &TopicPartitionList) {
        let (mut done, mut failed) = (Vec::new(), Vec::new());
        for element in list.elements() {
            let Offset::Offset(offset) = element.offset() else { continue };
            match result.clone().and_then(|()| element.error()) {
                Ok(()) => done.push(element.partition()),
                Err(error) => {
                    debug!(%error, topic = self.name, partition = element.partition(), "commit failed");
                    self.note(&error);
                    // A repeat could reach a new topic of the same name.
                    if !error.rdkafka_error_code().is_some_and(says_missing) {
                        failed.push((element.partition(), offset));
                    }
                }
            }
        }
        self.offsets.lock().answer(done, failed);
    }
}

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, kind: &str, line: &str) {
        self.shared.clients.log.log(level, kind, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.note(&error);
        self.shared.clients.log.error(error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        let Some(topic) = statistics.topics.get(&self.name) else { return };
        // Messages that were fetched and wait to be received: the consumer is busy.
        let drained = topic.partitions.values().filter(|part| part.fetchq_cnt == 0);
        let fetched = drained.map(|part| (part.partition, part.next_offset));
        self.offsets.lock().fetch(fetched);
        let known = topic.partitions.values().filter(|part| part.consumer_lag >= 0);
        let lag = known.map(|part| part.consumer_lag).sum();
        self.shared.metrics.set_consumer_lag(self.topic, &self.group, lag);
    }
}
