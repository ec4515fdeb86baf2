//! Messages by topic.

use super::Metrics;
use super::registrar::Registrar;
use crate::messages::{Message, Topic};
use prometheus::{IntCounterVec, IntGaugeVec};

pub(super) struct TopicMetrics {
    published: IntCounterVec,
    consumed: IntCounterVec,
    consumer_lag: IntGaugeVec,
    dead_lettered: IntCounterVec,
    dead_letters_lost: IntCounterVec,
    topics_lost: IntCounterVec,
}

impl TopicMetrics {
    pub(super) fn register(registrar: &Registrar) -> Self {
        let by_topic = |name, help| registrar.counters(name, help, &["topic"]);
        let metrics = Self {
            published: by_topic("events_published_total", "Messages handed to the bus, by topic."),
            consumed: registrar.counters(
                "events_consumed_total",
                "Messages received from the bus, by topic and consumer group.",
                &["topic", "group"],
            ),
            consumer_lag: registrar.gauges(
                "kafka_consumer_lag",
                "Messages in this process's partitions that the group has not committed.",
                &["topic", "group"],
            ),
            dead_lettered: by_topic(
                "events_dead_lettered_total",
                "Messages copied to a dead-letter topic because they can't be applied, by topic.",
            ),
            dead_letters_lost: by_topic(
                "dead_letters_lost_total",
                "Messages whose dead letter Kafka refused, by topic.",
            ),
            topics_lost: by_topic("topics_lost_total", "Topics found deleted, by topic."),
        };
        metrics.start_at_zero();
        metrics
    }

    fn start_at_zero(&self) {
        for topic in Topic::ALL {
            self.published.with_label_values(&[topic.as_str()]);
            self.dead_lettered.with_label_values(&[topic.as_str()]);
            self.dead_letters_lost.with_label_values(&[topic.as_str()]);
            self.topics_lost.with_label_values(&[topic.as_str()]);
        }
    }
}

impl Metrics {
    /// Counts published messages.
    pub fn count_published(&self, messages: &[(Topic, Message)]) {
        for topic in Topic::ALL {
            let count = messages.iter().filter(|(its, _)| *its == topic).count();
            self.topics.published.with_label_values(&[topic.as_str()]).inc_by(count as u64);
        }
    }

    /// Counts received messages, redelivered ones included.
    pub fn count_consumed(&self, topic: Topic, group: &str, messages: usize) {
        self.topics.consumed.with_label_values(&[topic.as_str(), group]).inc_by(messages as u64);
    }

    /// Sets how many messages of a topic this process has not committed yet.
    pub fn set_consumer_lag(&self, topic: Topic, group: &str, lag: i64) {
        self.topics.consumer_lag.with_label_values(&[topic.as_str(), group]).set(lag);
        self.stalls.set_lagging(topic, group, lag > 0);
    }

    /// Removes the lag of a group that this process has left: another process reports it now.
    pub fn forget_consumer_lag(&self, topic: Topic, group: &str) {
        self.stalls.set_lagging(topic, group, false);
        // Fails where no lag was set yet: then there is nothing to remove.
        let _ = self.topics.consumer_lag.remove_label_values(&[topic.as_str(), group]);
    }

    /// Counts a message that became a dead letter.
    pub fn count_dead_lettered(&self, topic: Topic) {
        self.topics.dead_lettered.with_label_values(&[topic.as_str()]).inc();
    }

    /// Counts a dead letter that Kafka refused, also as a stub.
    pub fn count_dead_letter_lost(&self, topic: Topic) {
        self.topics.dead_letters_lost.with_label_values(&[topic.as_str()]).inc();
    }

    /// Counts a topic that was deleted while the service runs.
    pub fn count_topic_lost(&self, topic: Topic) {
        self.topics.topics_lost.with_label_values(&[topic.as_str()]).inc();
    }
}
