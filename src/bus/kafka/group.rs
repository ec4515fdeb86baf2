//! A consumer in a group. It commits after the work, without waiting for the answer: a failed commit is
//! repeated while the partition is assigned, and messages whose commit a crash lost arrive again.
//!
//! If the topic is deleted, the consumer joins again with a new client. Kafka forgets a deleted topic's
//! commits, so the new topic is read from its beginning; the old client's positions, leaders and unsent
//! commits would make it skip messages of the new topic. A consumer that is stuck joins again too.

use super::client::{DropInBackground, blocking};
use super::member::Member;
use super::offsets::COMMIT_INTERVAL;
use super::positions::{Stalls, TopicCheck};
use super::{BusError, Consumer, Message, Shared, Topic, wire};
use async_trait::async_trait;
use futures::StreamExt;
use parking_lot::Mutex;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::message::{BorrowedMessage, Message as _};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{debug, warn};

/// Other members take over the partitions of a dead one after the session timeout.
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

/// The pause after a failed attempt to find or create the topics.
const JOIN_PAUSE: Duration = Duration::from_millis(500);

/// How often a consumer checks whether its topic is still the same one.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

type Client = Arc<DropInBackground<StreamConsumer<Member>>>;

/// A consumer of one topic, and its place in the group.
pub(super) struct GroupConsumer {
    shared: Arc<Shared>,
    topic: Topic,
    group: String,
    /// `None` until the first call of `receive`, and after the topic was deleted.
    membership: Option<Membership>,
}

impl GroupConsumer {
    /// A consumer that joins its group at the first call of `receive`.
    pub(super) fn new(shared: Arc<Shared>, topic: Topic, group: &str) -> Self {
        Self { shared, topic, group: group.to_owned(), membership: None }
    }

    /// Joins when the topics exist. Waits as long as Kafka is down.
    async fn join(&mut self) -> Result<&Membership, BusError> {
        let Self { shared, topic, group, membership } = self;
        while membership.is_none() {
            match shared.topics_exist().await {
                Ok(()) => {
                    // Without a topic for dead letters all other messages can still be processed.
                    if let Err(error) = shared.dead_letters_exist(*topic).await
                        && shared.clients.log.is_due("dead letters")
                    {
                        warn!(%error, topic = topic.as_str(), "the topic for dead letters cannot be created");
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
    checks: Mutex<Checks>,
}

/// The checks of a member's topic.
struct Checks {
    last: Instant,
    stalls: Stalls,
    /// Whether only a new client helps.
    is_stuck: bool,
}

impl Membership {
    fn begin(shared: &Arc<Shared>, topic: Topic, group: &str) -> Result<Self, BusError> {
        let name = shared.topics.name(topic);
        let member = Member::new(shared, topic, group);
        let mut config = shared.clients.config(&SETTINGS);
        let consumer: StreamConsumer<_> =
            config.set("group.id", group).create_with_context(member)?;
        consumer.subscribe(&[name])?;
        let checks = Checks { last: Instant::now(), stalls: Stalls::default(), is_stuck: false };
        Ok(Self { consumer: Arc::new(consumer.into()), checks: Mutex::new(checks) })
    }

    fn member(&self) -> &Member {
        self.consumer.context()
    }

    /// Waits for a message, and takes those that have arrived behind it. `None` if the topic was deleted, or if
    /// the client is stuck.
    async fn receive(&self, max: usize) -> Result<Option<Vec<Message>>, BusError> {
        let mut stream = self.consumer.stream();
        loop {
            self.check_topic().await;
            if self.has_ended() {
                return Ok(None);
            }
            self.commit_done();
            // librdkafka recovers from transient errors by itself, and logs them.
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

    /// Whether a new client must join: it would commit offsets of another topic.
    fn has_ended(&self) -> bool {
        self.member().is_outdated() || self.checks.lock().is_stuck
    }

    /// Checks whether the topic was deleted, or replaced by one of the same name: every
    /// [`CHECK_INTERVAL`], and at once after Kafka reported it missing.
    async fn check_topic(&self) {
        let member = self.member();
        {
            let mut checks = self.checks.lock();
            let is_due = checks.last.elapsed() >= CHECK_INTERVAL;
            if !is_due && !member.take_topic_missing() {
                return;
            }
            checks.last = Instant::now();
        }
        let asked = self.consumer.clone();
        match blocking(move || asked.context().check_topic(&asked)).await {
            Ok(check) => self.note(check),
            Err(error) => {
                debug!(%error, topic = member.name, "cannot check whether the topic still exists");
            }
        }
    }

    fn note(&self, check: TopicCheck) {
        let member = self.member();
        match check {
            TopicCheck::Lost => member.shared.lose(member.topic, member.generation()),
            TopicCheck::Behind(behind) => {
                let mut checks = self.checks.lock();
                let stuck = checks.stalls.add(behind);
                checks.is_stuck = !stuck.is_empty();
                if checks.is_stuck {
                    warn!(
                        topic = member.name,
                        group = member.group,
                        partitions = ?stuck,
                        "a consumer is stuck, and joins again with a new client"
                    );
                }
            }
        }
    }

    /// Commits finished messages, at most once per [`COMMIT_INTERVAL`].
    fn commit_done(&self) {
        let member = self.member();
        let next = member.offsets.lock().next_commit(Instant::now());
        if !next.is_empty() {
            member.commit(&**self.consumer, &next);
        }
    }

    /// A fatal error is permanent: only a new client helps.
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
        if !last.is_empty() && !self.has_ended() {
            member.commit(&**self.consumer, &last);
        }
        member.shared.metrics.forget_consumer_lag(member.topic, &member.group);
    }
}
