//! The embedded bus: queues in this process, one per group and topic.
//!
//! `publish` returns when every group has committed the messages. Until then the outbox keeps them, and a crash
//! publishes them again.

mod log;

use super::{Bus, BusError, Consumer, Cursor, LogError, LogPage, LogQuery};
use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::messages::{Message, Reason, Topic};
use crate::store::EventLog;
use async_trait::async_trait;
use log::{LogTable, Offsets};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tokio::sync::{Notify, broadcast};
use tracing::warn;

/// Maximum messages that wait for a listener without a group. Beyond it a slow listener loses the oldest.
const LISTENER_LAG_MAX: usize = 1_024;

/// The queues of one process.
#[derive(Default)]
pub struct MemoryBus {
    groups: Mutex<HashMap<Topic, HashMap<String, Arc<Group>>>>,
    listeners: Mutex<HashMap<Topic, broadcast::Sender<Message>>>,
    dead_letters: Mutex<VecDeque<Message>>,
    /// `None`: there is no log.
    log: Option<LogTable>,
}

/// Maximum dead letters in memory; the oldest are dropped.
const DEAD_LETTERS_MAX: usize = 1_024;

impl MemoryBus {
    /// Queues that also keep events in a table.
    pub fn with_log(table: Arc<dyn EventLog>, clock: Arc<dyn Clock>) -> Self {
        Self { log: Some(LogTable { table, clock }), ..Self::default() }
    }

    /// Number of messages that wait for a consumer or for its commit.
    pub fn in_flight(&self) -> usize {
        let groups = self.groups.lock();
        groups.values().flat_map(HashMap::values).map(|group| group.in_flight()).sum()
    }

    /// Removes and returns the dead letters, oldest first.
    pub fn take_dead_letters(&self) -> Vec<Message> {
        let mut letters = self.dead_letters.lock();
        letters.drain(..).collect()
    }

    fn groups_of(&self, topic: Topic) -> Vec<Arc<Group>> {
        let groups = self.groups.lock();
        groups.get(&topic).map(|groups| groups.values().cloned().collect()).unwrap_or_default()
    }

    fn send_to_listeners(&self, topic: Topic, message: &Message) {
        let listeners = self.listeners.lock();
        if let Some(listeners) = listeners.get(&topic) {
            // Fails if no listener is left.
            let _ = listeners.send(message.clone());
        }
    }
}

#[async_trait]
impl Bus for MemoryBus {
    /// Events go to the log before anyone receives them.
    async fn publish(&self, messages: &[(Topic, Message)]) -> Result<(), BusError> {
        let receipt = Arc::new(Receipt::default());
        let mut offsets = Offsets(match &self.log {
            Some(log) => log.append(messages).await?,
            None => None,
        });
        for (topic, message) in messages {
            let message = offsets.place(*topic, message);
            self.send_to_listeners(*topic, &message);
            for group in self.groups_of(*topic) {
                receipt.outstanding.fetch_add(1, Ordering::AcqRel);
                group.push(message.clone().into_owned(), receipt.clone());
            }
        }
        receipt.settled().await;
        Ok(())
    }

    async fn dead_letter(
        &self,
        topic: Topic,
        message: Message,
        reason: &str,
    ) -> Result<(), BusError> {
        let reason = Reason::from(reason);
        warn!(topic = topic.as_str(), %reason, "a message became a dead letter");
        let mut letters = self.dead_letters.lock();
        if letters.len() == DEAD_LETTERS_MAX {
            letters.pop_front();
        }
        letters.push_back(message.as_dead_letter(topic.as_str(), &reason));
        Ok(())
    }

    async fn consume(&self, topic: Topic, group: &str) -> Result<Box<dyn Consumer>, BusError> {
        let mut groups = self.groups.lock();
        let group = groups.entry(topic).or_default().entry(group.to_owned()).or_default();
        Ok(Box::new(GroupConsumer { group: group.clone(), received: Vec::new() }))
    }

    async fn listen(&self, topic: Topic) -> Result<Box<dyn Consumer>, BusError> {
        let mut listeners = self.listeners.lock();
        let sender =
            listeners.entry(topic).or_insert_with(|| broadcast::channel(LISTENER_LAG_MAX).0);
        Ok(Box::new(Listener(sender.subscribe())))
    }

    fn waiting_since(&self, topic: Topic, group: &str) -> Option<Instant> {
        let groups = self.groups.lock();
        let group = groups.get(&topic)?.get(group)?;
        group.queue.lock().waiting_since
    }

    async fn read_log(&self, query: LogQuery) -> Result<LogPage, LogError> {
        match &self.log {
            Some(log) => log.page(query).await,
            None => Err(BusError("there is no log".into()).into()),
        }
    }

    async fn log_end(&self, now: Timestamp) -> Result<Cursor, LogError> {
        match &self.log {
            Some(log) => log.end(now).await,
            None => Ok(Cursor::beginning(now)),
        }
    }

    async fn forget_log(&self, before: Timestamp, limit: usize) -> Result<usize, BusError> {
        match &self.log {
            Some(log) => Ok(log.table.forget_events(before, limit).await?),
            None => Ok(0),
        }
    }

    fn system(&self) -> &'static str {
        "memory"
    }

    async fn ping(&self) -> Result<(), BusError> {
        Ok(())
    }
}

/// Counts the commits that one `publish` still waits for.
#[derive(Default)]
struct Receipt {
    outstanding: AtomicUsize,
    committed: Notify,
}

impl Receipt {
    fn commit(&self) {
        if self.outstanding.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.committed.notify_one();
        }
    }

    async fn settled(&self) {
        while self.outstanding.load(Ordering::Acquire) > 0 {
            self.committed.notified().await;
        }
    }
}

type Delivery = (Message, Arc<Receipt>);

/// One group's queue.
#[derive(Default)]
struct Group {
    queue: Mutex<Queue>,
    arrived: Notify,
}

#[derive(Default)]
struct Queue {
    deliveries: VecDeque<Delivery>,
    /// Number of deliveries that are received and not committed.
    uncommitted: usize,
    /// Since when the queue has had deliveries, received or not, without a break.
    waiting_since: Option<Instant>,
}

impl Queue {
    fn in_flight(&self) -> usize {
        self.deliveries.len() + self.uncommitted
    }
}

impl Group {
    fn push(&self, message: Message, receipt: Arc<Receipt>) {
        let mut queue = self.queue.lock();
        queue.waiting_since.get_or_insert_with(Instant::now);
        queue.deliveries.push_back((message, receipt));
        drop(queue);
        self.arrived.notify_one();
    }

    fn take(&self, max: usize) -> Vec<Delivery> {
        let mut queue = self.queue.lock();
        let count = queue.deliveries.len().min(max);
        queue.uncommitted += count;
        queue.deliveries.drain(..count).collect()
    }

    fn in_flight(&self) -> usize {
        self.queue.lock().in_flight()
    }

    fn commit(&self, count: usize) {
        let mut queue = self.queue.lock();
        queue.uncommitted -= count;
        if queue.in_flight() == 0 {
            queue.waiting_since = None;
        }
    }
}

struct GroupConsumer {
    group: Arc<Group>,
    received: Vec<Delivery>,
}

#[async_trait]
impl Consumer for GroupConsumer {
    async fn receive(&mut self, max: usize) -> Result<Vec<Message>, BusError> {
        loop {
            let deliveries = self.group.take(max);
            if !deliveries.is_empty() {
                let messages = deliveries.iter().map(|(message, _)| message.clone()).collect();
                self.received.extend(deliveries);
                return Ok(messages);
            }
            self.group.arrived.notified().await;
        }
    }

    async fn commit(&mut self) -> Result<(), BusError> {
        self.group.commit(self.received.len());
        for (_, receipt) in self.received.drain(..) {
            receipt.commit();
        }
        Ok(())
    }
}

impl Drop for GroupConsumer {
    /// Returns uncommitted deliveries to the front, for the group's next consumer.
    fn drop(&mut self) {
        let mut queue = self.group.queue.lock();
        queue.uncommitted -= self.received.len();
        for delivery in self.received.drain(..).rev() {
            queue.deliveries.push_front(delivery);
        }
        drop(queue);
        self.group.arrived.notify_one();
    }
}

struct Listener(broadcast::Receiver<Message>);

#[async_trait]
impl Consumer for Listener {
    async fn receive(&mut self, max: usize) -> Result<Vec<Message>, BusError> {
        let mut messages = Vec::new();
        loop {
            let next = if messages.is_empty() {
                self.0.recv().await
            } else {
                match self.0.try_recv() {
                    Ok(message) => Ok(message),
                    Err(_) => return Ok(messages),
                }
            };
            match next {
                Ok(message) => messages.push(message),
                Err(broadcast::error::RecvError::Lagged(lost)) => {
                    warn!(lost, "a listener was too slow and lost messages");
                }
                Err(broadcast::error::RecvError::Closed) => {
                    return Err(BusError("the bus has ended".into()));
                }
            }
            if messages.len() >= max {
                return Ok(messages);
            }
        }
    }

    async fn commit(&mut self) -> Result<(), BusError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(key: &str) -> Message {
        let headers = crate::messages::Headers::default();
        Message { key: key.into(), payload: "{}".into(), headers, origin: None }
    }

    #[tokio::test]
    async fn publish_returns_when_every_group_has_committed() {
        let bus = Arc::new(MemoryBus::default());
        let mut first = bus.consume(Topic::PaymentEvents, "a").await.expect("a consumer");
        let mut second = bus.consume(Topic::PaymentEvents, "b").await.expect("a consumer");
        let publisher = bus.clone();
        let mut publishing = tokio::spawn(async move {
            publisher.publish(&[(Topic::PaymentEvents, message("1"))]).await
        });
        assert_eq!(first.receive(9).await.expect("messages"), [message("1")]);
        first.commit().await.expect("commit");
        assert_eq!(second.receive(9).await.expect("messages"), [message("1")]);
        tokio::select! {
            biased;
            _ = &mut publishing => panic!("published before the second group committed"),
            () = tokio::task::yield_now() => {}
        }
        second.commit().await.expect("commit");
        publishing.await.expect("no panic").expect("published");
        assert_eq!(bus.in_flight(), 0);
    }

    #[tokio::test]
    async fn uncommitted_messages_are_delivered_again_in_order() {
        let bus = Arc::new(MemoryBus::default());
        let mut first = bus.consume(Topic::PaymentEvents, "a").await.expect("a consumer");
        let publisher = bus.clone();
        tokio::spawn(async move {
            let both = [(Topic::PaymentEvents, message("1")), (Topic::PaymentEvents, message("2"))];
            publisher.publish(&both).await
        });
        assert_eq!(first.receive(1).await.expect("messages"), [message("1")]);
        drop(first);
        let mut next = bus.consume(Topic::PaymentEvents, "a").await.expect("a consumer");
        assert_eq!(next.receive(9).await.expect("messages"), [message("1"), message("2")]);
    }
}
