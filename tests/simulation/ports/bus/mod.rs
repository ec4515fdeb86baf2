//! The simulated bus: at least once, in order for each key, as Kafka promises it.

mod broker;
mod consumer;
mod group;
mod poison;

use super::chance::Fault;
use super::process::Process;
use airline_booking::bus::{Bus, BusError, Consumer, Cursor, LogError, LogPage, LogQuery};
use airline_booking::domain::Timestamp;
use airline_booking::messages::{Message, Topic};
use async_trait::async_trait;
use consumer::{GroupConsumer, Listener};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

pub use broker::{Broker, Letter, PARTITIONS, Record};
pub use group::SESSION;

/// Longest time that one partition takes for its part of a publication.
const LATENCY: Duration = Duration::from_millis(2);

/// Longest delay of a message that arrives late.
const DELAY: Duration = Duration::from_secs(5);

/// Longest time until a message arrives again, or a failed publication lands.
const AGAIN: Duration = Duration::from_secs(3);

/// A replica's connection to the broker.
pub struct SimBus {
    broker: Broker,
    process: Process,
}

impl SimBus {
    /// The connection of one process.
    pub fn new(broker: &Broker, process: &Process) -> Self {
        Self { broker: broker.clone(), process: process.clone() }
    }

    /// Publishes a partition's part, some of it if `is_lost`.
    fn append(&self, topic: Topic, partition: usize, messages: &[&Message], is_lost: bool) {
        let (chance, now) = (self.process.chance(), Instant::now());
        let channel = self.broker.channel(topic);
        let count = messages.len();
        let out = if is_lost { chance.below(count as u64 + 1) as usize } else { count };
        let out = &messages[..out];
        if is_lost && chance.below(2) == 0 {
            let at = now + chance.pause(AGAIN);
            for message in out {
                channel.append_later(partition, bare(message), at);
            }
            return;
        }
        channel.append(out.iter().map(|message| {
            let is_late = chance.strikes(Fault::MessageDelayed);
            let visible_at = if is_late { now + chance.pause(DELAY) } else { now };
            (partition, bare(message), visible_at, false)
        }));
        for message in out {
            if chance.strikes(Fault::MessageDoubled) {
                channel.append_later(partition, bare(message), now + chance.pause(AGAIN));
            }
        }
    }
}

/// The message as a producer gives it.
fn bare(message: &Message) -> Message {
    Message { origin: None, ..message.clone() }
}

#[async_trait]
impl Bus for SimBus {
    /// Each partition takes its part by itself, so a crash or failure may leave some out. Of one partition the
    /// first messages are out, never later ones alone: the producer is idempotent.
    async fn publish(&self, messages: &[(Topic, Message)]) -> Result<(), BusError> {
        let Self { broker, process } = self;
        process.alive().await;
        if messages.is_empty() {
            return Ok(());
        }
        process.step(|| format!("publishes {}", listed(messages)));
        if planted!(bus_loses_a_publication) && process.chance().below(32) == 0 {
            return Ok(());
        }
        poison::perhaps(broker, process);
        if process.strikes(Fault::PublishLost) {
            process.pause(LATENCY).await;
            return Err(BusError("publication lost".into()));
        }
        let is_lost = process.strikes(Fault::PublishLostAfter);
        let mut parts: BTreeMap<_, Vec<&Message>> = BTreeMap::new();
        for (topic, message) in messages {
            parts.entry((*topic, broker::partition_of(&message.key))).or_default().push(message);
        }
        let mut parts: Vec<_> = parts.into_iter().collect();
        let first = process.chance().below(parts.len() as u64) as usize;
        parts.rotate_left(first);
        for ((topic, partition), messages) in parts {
            process.pause(LATENCY).await;
            let mut messages = messages;
            if planted!(bus_turns_the_order_round) {
                messages.reverse();
            }
            self.append(topic, partition, &messages, is_lost);
        }
        if is_lost { Err(BusError("receipt lost".into())) } else { Ok(()) }
    }

    async fn dead_letter(
        &self,
        topic: Topic,
        message: Message,
        reason: &str,
    ) -> Result<(), BusError> {
        let Self { broker, process } = self;
        process.alive().await;
        if process.strikes(Fault::PublishLost) {
            return Err(BusError("dead letter lost".into()));
        }
        process.pause(LATENCY).await;
        process.step(|| format!("puts aside {} of {}: {reason}", message.key, topic.as_str()));
        broker.add_dead_letter(topic, &message, reason);
        if process.strikes(Fault::PublishLostAfter) {
            return Err(BusError("receipt of a dead letter lost".into()));
        }
        Ok(())
    }

    async fn consume(&self, topic: Topic, group: &str) -> Result<Box<dyn Consumer>, BusError> {
        self.process.alive().await;
        self.broker.channel(topic).open_group(group);
        Ok(Box::new(GroupConsumer::new(&self.broker, &self.process, topic, group)))
    }

    async fn listen(&self, topic: Topic) -> Result<Box<dyn Consumer>, BusError> {
        self.process.alive().await;
        Ok(Box::new(Listener::new(&self.broker, &self.process, topic)))
    }

    /// Unknown: only the look for stalled workers asks, which measures real time.
    fn waiting_since(&self, _topic: Topic, _group: &str) -> Option<std::time::Instant> {
        None
    }

    async fn read_log(&self, _query: LogQuery) -> Result<LogPage, LogError> {
        Err(BusError("the log is not simulated".into()).into())
    }

    async fn log_end(&self, now: Timestamp) -> Result<Cursor, LogError> {
        Ok(Cursor::beginning(now))
    }

    async fn forget_log(&self, _before: Timestamp, _limit: usize) -> Result<usize, BusError> {
        Ok(0)
    }

    fn system(&self) -> &'static str {
        "simulated"
    }

    async fn ping(&self) -> Result<(), BusError> {
        self.process.alive().await;
        Ok(())
    }
}

/// Topics and keys of messages, for traces.
fn listed(messages: &[(Topic, Message)]) -> String {
    let kind = |message: &Message| message.headers.get("ce_type").unwrap_or("?").to_owned();
    let one = |(_, message): &(Topic, Message)| format!("{} {}", kind(message), message.key);
    messages.iter().map(one).collect::<Vec<_>>().join(", ")
}
