//! A consumer in a group. It commits after the work, without waiting for the answer: a commit that
//! fails is repeated while the partition is its own, and what a crash took with it comes again.
//!
//! If the topic is deleted, it joins again with a new client: Kafka forgets a deleted topic's commits,
//! so that the new topic is read from its beginning, and what the old client knows (positions, leaders,
//! commits still to be sent) would make it skip messages of the new one.

use super::client::{DropInBackground, blocking, ends_before};
use super::offsets::{COMMIT_INTERVAL, Offsets};
use super::topics::{is_missing, says_missing};
use super::{BusError, Consumer, Message, Shared, Topic, offsets, wire};
use async_trait::async_trait;
use futures::StreamExt;
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{
    BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance, StreamConsumer,
};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList, TopicPartitionListElem};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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

/// How often it is looked whether the topic is still the same one.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// How long Kafka has to say it.
const LOOK_MAX: Duration = Duration::from_secs(1);

type Client = Arc<DropInBackground<StreamConsumer<Member>>>;

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
        loop {
            if let Some(messages) = self.join().await?.receive(max).await? {
                return Ok(messages);
            }
            self.membership = None;
        }
    }

    async fn commit(&mut self) -> Result<(), BusError> {
        if let Some(membership) = &self.membership {
            membership.member().offsets.lock().finish();
            membership.commit_done();
        }
        Ok(())
    }
}

/// The time in a group, from joining to leaving it.
struct Membership {
    consumer: Client,
    looked_at: Mutex<Instant>,
}

impl Membership {
    fn begin(shared: &Arc<Shared>, topic: Topic, group: &str) -> Result<Self, BusError> {
        let name = shared.topics.name(topic);
        let member = Member {
            shared: shared.clone(),
            topic,
            generation: shared.topics.generation(topic).into(),
            name: name.to_owned(),
            group: group.to_owned(),
            offsets: Mutex::default(),
            misses_topic: AtomicBool::new(false),
        };
        let mut config = shared.clients.config(&SETTINGS);
        let consumer: StreamConsumer<_> =
            config.set("group.id", group).create_with_context(member)?;
        consumer.subscribe(&[name])?;
        Ok(Self { consumer: Arc::new(consumer.into()), looked_at: Mutex::new(Instant::now()) })
    }

    fn member(&self) -> &Member {
        self.consumer.context()
    }

    /// Waits for a message; takes what is there already behind it. `None` if the topic was deleted.
    async fn receive(&self, max: usize) -> Result<Option<Vec<Message>>, BusError> {
        let mut stream = self.consumer.stream();
        loop {
            self.look_for_topic().await;
            if self.member().is_outdated() {
                return Ok(None);
            }
            self.commit_done();
            // An error that passes is librdkafka's to get over; the log has it.
            let tick =
                if self.member().offsets.lock().is_all_sent() { TICK } else { COMMIT_INTERVAL };
            let first = match tokio::time::timeout(tick, stream.next()).await {
                Ok(Some(Ok(first))) => first,
                Ok(Some(Err(error))) => {
                    self.member().note(&error);
                    self.fail_if_fatal()?;
                    continue;
                }
                Ok(None) | Err(_) => {
                    self.fail_if_fatal()?;
                    continue;
                }
            };
            let messages = wire::gather(&first, &mut stream, max, |next| self.received(next));
            return Ok(Some(messages));
        }
    }

    fn received(&self, message: &BorrowedMessage<'_>) -> (Message, usize) {
        if self.member().offsets.lock().receive(message.partition(), message.offset()) {
            self.member().begin_with_new_topic();
        }
        wire::message_of(message, self.member().shared.signatures.as_ref())
    }

    /// Looks whether the topic is gone, or another one by now: once in a while, and at once if Kafka
    /// said that it is not there.
    async fn look_for_topic(&self) {
        let member = self.member();
        {
            let mut looked_at = self.looked_at.lock();
            let is_due = looked_at.elapsed() >= LOOK_INTERVAL;
            if !is_due && !member.misses_topic.swap(false, Ordering::AcqRel) {
                return;
            }
            *looked_at = Instant::now();
        }
        let asked = self.consumer.clone();
        match blocking(move || asked.context().has_lost_topic(&asked)).await {
            Ok(true) => member.shared.lose(member.topic, member.generation()),
            Ok(false) => {}
            Err(error) => debug!(%error, topic = member.name, "no look at the topic"),
        }
    }

    /// Sends what is done on its way, once in a while.
    fn commit_done(&self) {
        let member = self.member();
        let next = member.offsets.lock().next_commit(Instant::now());
        if !next.is_empty() {
            member.commit(&**self.consumer, &next);
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
        let last = member.offsets.lock().last_commit();
        if !last.is_empty() {
            member.commit(&**self.consumer, &last);
        }
        member.shared.metrics.forget_consumer_lag(member.topic, &member.group);
    }
}

/// What librdkafka tells a member.
pub(super) struct Member {
    shared: Arc<Shared>,
    topic: Topic,
    /// That of the topic that it reads.
    generation: AtomicU64,
    name: String,
    group: String,
    offsets: Mutex<Offsets>,
    /// Kafka has said that the topic is not there.
    misses_topic: AtomicBool,
}

impl Member {
    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Whether its topic was deleted since it joined.
    fn is_outdated(&self) -> bool {
        self.shared.topics.generation(self.topic) != self.generation()
    }

    /// The topic was deleted and made again, and is being read from its beginning already.
    fn begin_with_new_topic(&self) {
        let generation = self.generation();
        self.shared.lose(self.topic, generation);
        self.generation.store(generation + 1, Ordering::Release);
    }

    fn note(&self, error: &KafkaError) {
        if error.rdkafka_error_code().is_some_and(says_missing) {
            self.misses_topic.store(true, Ordering::Release);
        }
    }

    /// Whether the topic is missing, or another one has its name: Kafka forgets what was committed in a
    /// deleted topic.
    fn has_lost_topic(&self, consumer: &StreamConsumer<Self>) -> KafkaResult<bool> {
        let answer = consumer.fetch_metadata(Some(&self.name), LOOK_MAX)?;
        let next = self.offsets.lock().next();
        if answer.topics().iter().any(is_missing)
            || ends_before(consumer, &self.name, &next, LOOK_MAX)?
        {
            return Ok(true);
        }
        let mut asked = TopicPartitionList::new();
        for partition in self.offsets.lock().committed() {
            asked.add_partition(&self.name, partition);
        }
        if asked.count() == 0 {
            return Ok(false);
        }
        let committed = consumer.committed_offsets(asked, LOOK_MAX)?;
        let forgotten = committed.elements().into_iter().filter(|element| {
            element.error().is_ok() && !matches!(element.offset(), Offset::Offset(_))
        });
        let forgotten: Vec<_> = forgotten.map(|element| element.partition()).collect();
        // Those that became another consumer's meanwhile say nothing.
        let still = self.offsets.lock().committed();
        Ok(forgotten.iter().any(|partition| still.contains(partition)))
    }

    /// Sends a commit on its way, without waiting for its answer. What was done in a deleted topic would
    /// be committed in the one that has its name now.
    fn commit(&self, consumer: &impl rdkafka::consumer::Consumer<Self>, offsets: &[(i32, i64)]) {
        if self.is_outdated() {
            return;
        }
        let sent = offsets::list_of(&self.name, offsets)
            .and_then(|list| consumer.commit(&list, CommitMode::Async));
        if let Err(error) = sent {
            debug!(%error, topic = self.name, "a commit was not taken");
            self.offsets.lock().answer([], offsets.iter().copied());
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
                self.offsets.lock().assign(partitions(list));
            }
            Rebalance::Revoke(list) => {
                info!(topic = self.name, group = self.group, partitions = ?partitions(list), "partitions revoked");
                let last = self.offsets.lock().revoke(partitions(list));
                if !last.is_empty() {
                    // Ahead of the message that gives the partitions away, to the same broker.
                    self.commit(consumer, &last);
                }
            }
            Rebalance::Error(error) => debug!(%error, topic = self.name, "no rebalance"),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, list: &TopicPartitionList) {
        let (mut done, mut failed) = (Vec::new(), Vec::new());
        for element in list.elements() {
            let Offset::Offset(offset) = element.offset() else { continue };
            match result.clone().and_then(|()| element.error()) {
                Ok(()) => done.push(element.partition()),
                Err(error) => {
                    debug!(%error, topic = self.name, partition = element.partition(), "not committed");
                    self.note(&error);
                    // In a topic that is gone nothing is committed, and another may have its name soon.
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
        let known = topic.partitions.values().filter(|part| part.consumer_lag >= 0);
        let lag = known.map(|part| part.consumer_lag).sum();
        self.shared.metrics.set_consumer_lag(self.topic, &self.group, lag);
    }
}
