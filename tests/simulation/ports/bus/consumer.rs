//! Consumers: members of a group, and listeners without one.

use super::super::chance::Fault;
use super::super::process::Process;
use super::broker::{Broker, Channel, Found, PARTITIONS};
use super::group::{Group, MemberId};
use airline_booking::bus::{BusError, Consumer};
use airline_booking::messages::{Message, Topic};
use async_trait::async_trait;
use std::future::pending;
use std::pin::pin;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Longest time that a group takes to let a member join.
const JOIN: Duration = Duration::from_millis(50);

/// A member of a group. It joins when it is first asked for messages, as with Kafka.
pub struct GroupConsumer {
    broker: Broker,
    process: Process,
    topic: Topic,
    group: String,
    member: Option<MemberId>,
}

impl GroupConsumer {
    pub(super) fn new(broker: &Broker, process: &Process, topic: Topic, group: &str) -> Self {
        let (broker, process) = (broker.clone(), process.clone());
        Self { broker, process, topic, group: group.to_owned(), member: None }
    }

    fn channel(&self) -> &Channel {
        self.broker.channel(self.topic)
    }

    async fn member(&mut self) -> MemberId {
        if let Some(member) = self.member {
            return member;
        }
        self.process.pause(JOIN).await;
        let member = self.channel().join(&self.group, &self.process);
        *self.member.insert(member)
    }

    fn rebalance(&self) {
        if self.process.strikes(Fault::Rebalance) {
            self.channel().with_group(&self.group, Group::rebalance);
        }
    }

    /// Up to how many messages come at once: all that are there, or fewer.
    fn limit(&self, max: usize) -> usize {
        let chance = self.process.chance();
        if chance.below(2) == 0 { max } else { chance.below(max.min(8) as u64) as usize + 1 }
    }
}

#[async_trait]
impl Consumer for GroupConsumer {
    async fn receive(&mut self, max: usize) -> Result<Vec<Message>, BusError> {
        let process = self.process.clone();
        process.alive().await;
        let member = self.member().await;
        if process.strikes(Fault::ReceiveLost) {
            return Err(BusError("connection to the group lost".into()));
        }
        let (limit, first) = (self.limit(max), process.chance().below(PARTITIONS as u64) as usize);
        let look = |channel: &Channel| channel.take(&self.group, member, limit, first);
        let messages = wait_for(self.channel(), &process, look).await;
        process.step(|| format!("{} receives {}", self.group, listed(&messages)));
        // In mid-batch: another member gets these messages again.
        self.rebalance();
        Ok(messages)
    }

    async fn commit(&mut self) -> Result<(), BusError> {
        self.process.alive().await;
        let Some(member) = self.member else { return Ok(()) };
        self.process.step(|| format!("{} commits", self.group));
        self.rebalance();
        self.channel().with_group(&self.group, |group| group.finish(member));
        if self.process.strikes(Fault::OffsetsLost) {
            let is_told = self.process.chance().below(2) == 0;
            return if is_told { Err(BusError("offsets lost".into())) } else { Ok(()) };
        }
        self.channel().with_group(&self.group, |group| group.commit(member));
        Ok(())
    }
}

impl Drop for GroupConsumer {
    fn drop(&mut self) {
        if let Some(member) = self.member {
            self.channel().with_group(&self.group, |group| group.leave(member, Instant::now()));
        }
    }
}

/// A listener: it sees every message from its beginning on.
pub struct Listener {
    broker: Broker,
    process: Process,
    topic: Topic,
    next: [usize; PARTITIONS],
}

impl Listener {
    pub(super) fn new(broker: &Broker, process: &Process, topic: Topic) -> Self {
        let next = broker.channel(topic).ends();
        Self { broker: broker.clone(), process: process.clone(), topic, next }
    }
}

#[async_trait]
impl Consumer for Listener {
    async fn receive(&mut self, max: usize) -> Result<Vec<Message>, BusError> {
        let Self { broker, process, topic, next } = self;
        process.alive().await;
        if process.strikes(Fault::ReceiveLost) {
            return Err(BusError("connection lost".into()));
        }
        let look = |channel: &Channel| channel.listen(next, max);
        let messages = wait_for(broker.channel(*topic), process, look).await;
        process.step(|| format!("hears {}", listed(&messages)));
        Ok(messages)
    }

    async fn commit(&mut self) -> Result<(), BusError> {
        Ok(())
    }
}

/// Looks until there is something, whenever something changes or is due.
async fn wait_for(
    channel: &Channel,
    process: &Process,
    mut look: impl FnMut(&Channel) -> Found,
) -> Vec<Message> {
    loop {
        process.alive().await;
        let mut changed = pin!(channel.changed.notified());
        changed.as_mut().enable();
        let due = match look(channel) {
            Found::Messages(messages) => return messages,
            Found::Nothing(due) => due,
        };
        let is_due = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            () = changed => {}
            () = is_due => {}
        }
    }
}

fn listed(messages: &[Message]) -> String {
    let place = |message: &Message| {
        let origin = message.origin.as_ref().map(|origin| (origin.partition, origin.offset));
        let (partition, offset) = origin.unwrap_or_default();
        format!("{}@{partition}:{offset}", message.key)
    };
    messages.iter().map(place).collect::<Vec<_>>().join(" ")
}
