//! Kafka for tests: topics and groups for each test, and foreign producers and consumers.

use super::deployment::required;
use super::services::Service;
use airline_booking::config::{Config, KafkaSettings};
use airline_booking::messages::Headers;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use std::process::Command;
use std::time::{Duration, Instant};

/// The broker that `tests/run` started for all tests.
pub fn brokers() -> String {
    required("TEST_KAFKA_BROKERS")
}

/// Settings with names that no other test has.
pub fn settings(brokers: &str) -> KafkaSettings {
    let prefix = format!("test-{}", uuid::Uuid::new_v4().simple());
    let config = Config::from_env(|name| {
        Some(match name {
            "KAFKA_BROKERS" => brokers.to_owned(),
            "KAFKA_GROUP_ID" => format!("{prefix}-group"),
            "KAFKA_TOPIC_PAYMENT_REQUESTS" => format!("{prefix}-payment-requests"),
            "KAFKA_TOPIC_PAYMENTS" => format!("{prefix}-payment-events"),
            "KAFKA_TOPIC_BOOKINGS" => format!("{prefix}-flight-bookings"),
            "KAFKA_TOPIC_EVENTS" => format!("{prefix}-airline-events"),
            "KAFKA_PARTITIONS" => "4".to_owned(),
            "KAFKA_REPLICATION" => "1".to_owned(),
            _ => return None,
        })
    });
    config.expect("sound settings").kafka.expect("Kafka")
}

/// A message as it lies in a topic.
#[derive(Debug)]
pub struct Stored {
    pub partition: i32,
    pub key: Option<Vec<u8>>,
    pub payload: Option<Vec<u8>>,
    pub headers: Headers,
}

/// Reads a topic from its beginning until there are so many messages.
pub async fn stored(brokers: &str, topic: &str, count: usize) -> Vec<Stored> {
    let (brokers, topic) = (brokers.to_owned(), topic.to_owned());
    let reading = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", "reader")
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .create()
            .expect("a consumer");
        let (began, mut messages) = (Instant::now(), Vec::new());
        while messages.len() < count && began.elapsed() < WAIT_MAX {
            // A topic that was just made shows its partitions one after the other.
            assign_new_partitions(&consumer, &topic);
            while messages.len() < count
                && let Some(Ok(message)) = consumer.poll(Duration::from_millis(100))
            {
                let headers = message.headers().map(|headers| {
                    let texts = headers.iter().map(|header| {
                        let value = String::from_utf8_lossy(header.value.unwrap_or_default());
                        (header.key.to_owned(), value.into_owned())
                    });
                    texts.collect::<Headers>()
                });
                messages.push(Stored {
                    partition: message.partition(),
                    key: message.key().map(<[u8]>::to_vec),
                    payload: message.payload().map(<[u8]>::to_vec),
                    headers: headers.unwrap_or_default(),
                });
            }
        }
        messages
    });
    reading.await.expect("no panic")
}

/// Reads partitions that are not read yet, from their beginning.
fn assign_new_partitions(consumer: &BaseConsumer, topic: &str) {
    let metadata = consumer.fetch_metadata(Some(topic), WAIT_MAX).expect("metadata");
    let known = consumer.assignment().expect("an assignment");
    let mut new = rdkafka::TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        if known.find_partition(topic, partition.id()).is_none() {
            let start = rdkafka::Offset::Beginning;
            new.add_partition_offset(topic, partition.id(), start).expect("a partition");
        }
    }
    if new.count() > 0 {
        consumer.incremental_assign(&new).expect("assigned");
    }
}

/// How many messages lie in a topic.
pub async fn count(brokers: &str, topic: &str) -> i64 {
    let (brokers, topic) = (brokers.to_owned(), topic.to_owned());
    let counting = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", "reader")
            .create()
            .expect("a consumer");
        let metadata = consumer.fetch_metadata(Some(&topic), WAIT_MAX).expect("metadata");
        let partitions = metadata.topics()[0].partitions().iter();
        let messages = partitions.map(|partition| {
            let ends = consumer.fetch_watermarks(&topic, partition.id(), WAIT_MAX);
            let (first, next) = ends.expect("the partition's ends");
            next - first
        });
        messages.sum()
    });
    counting.await.expect("no panic")
}

/// Each partition's next offset of a group, and the partition's end.
pub async fn positions(brokers: &str, topic: &str, group: &str) -> Vec<String> {
    let (brokers, topic, group) = (brokers.to_owned(), topic.to_owned(), group.to_owned());
    let reading = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", group)
            .create()
            .expect("a consumer");
        let metadata = consumer.fetch_metadata(Some(&topic), WAIT_MAX).expect("metadata");
        let mut asked = rdkafka::TopicPartitionList::new();
        for partition in metadata.topics()[0].partitions() {
            asked.add_partition(&topic, partition.id());
        }
        let committed = consumer.committed_offsets(asked, WAIT_MAX).expect("offsets");
        let of_each = committed.elements().into_iter().map(|element| {
            let ends = consumer.fetch_watermarks(&topic, element.partition(), WAIT_MAX);
            let end = ends.map(|(_, end)| end);
            format!("{}: {:?} of {end:?}", element.partition(), element.offset())
        });
        of_each.collect()
    });
    reading.await.expect("no panic")
}

pub const WAIT_MAX: Duration = Duration::from_secs(30);

/// Writes bytes as a foreign producer might.
pub async fn write(
    brokers: &str,
    topic: &str,
    key: Option<&[u8]>,
    payload: Option<&[u8]>,
    headers: OwnedHeaders,
) {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("message.max.bytes", "2000000")
        .create()
        .expect("a producer");
    let record = FutureRecord {
        topic,
        partition: Some(0),
        payload,
        key,
        timestamp: None,
        headers: Some(headers),
    };
    producer.send(record, WAIT_MAX).await.map_err(|(error, _)| error).expect("written");
}

/// Writes a value that a foreign producer compressed.
pub async fn write_compressed(brokers: &str, topic: &str, codec: &str, payload: &[u8]) {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("message.max.bytes", "100000000")
        .set("compression.type", codec)
        .create()
        .expect("a producer");
    let record = FutureRecord::to(topic).partition(0).key("1").payload(payload);
    producer.send(record, WAIT_MAX).await.map_err(|(error, _)| error).expect("written");
}

/// Makes a topic of one partition with these settings.
pub async fn make(brokers: &str, topic: &str, settings: &[(&str, &str)]) {
    let admin: AdminClient<_> =
        ClientConfig::new().set("bootstrap.servers", brokers).create().expect("an administrator");
    let new = NewTopic::new(topic, 1, TopicReplication::Fixed(1));
    let new = settings.iter().fold(new, |new, (name, value)| new.set(name, value));
    let outcomes = admin.create_topics(&[new], &AdminOptions::new()).await.expect("answered");
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
}

/// Deletes topics, and makes them again at once with as many partitions as said, if any are.
pub async fn delete(brokers: &str, topics: &[&str], partitions: Option<i32>) {
    let admin: AdminClient<_> =
        ClientConfig::new().set("bootstrap.servers", brokers).create().expect("an administrator");
    let options = AdminOptions::new().operation_timeout(Some(WAIT_MAX));
    let outcomes = admin.delete_topics(topics, &options).await.expect("answered");
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    let Some(partitions) = partitions else { return };
    let one = |topic| NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    let again: Vec<_> = topics.iter().copied().map(one).collect();
    let outcomes = admin.create_topics(&again, &options).await.expect("answered");
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
}

/// How many partitions a topic has; 0 if there is none.
pub async fn partitions(brokers: &str, topic: &str) -> usize {
    let (brokers, topic) = (brokers.to_owned(), topic.to_owned());
    let counting = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", brokers).create().expect("a consumer");
        let metadata = consumer.fetch_metadata(Some(&topic), WAIT_MAX).expect("metadata");
        metadata.topics()[0].partitions().len()
    });
    counting.await.expect("no panic")
}

/// How many members of a group have their partitions.
pub async fn members(brokers: &str, group: &str) -> usize {
    let (brokers, group) = (brokers.to_owned(), group.to_owned());
    let counting = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", brokers).create().expect("a consumer");
        // Fails while a broker that was restarted loads its groups.
        let Ok(groups) = consumer.fetch_group_list(Some(&group), WAIT_MAX) else { return 0 };
        let stable = groups.groups().iter().find(|group| group.state() == "Stable");
        stable.map_or(0, |group| group.members().len())
    });
    counting.await.expect("no panic")
}

/// Adds partitions to a topic.
pub async fn widen(brokers: &str, topic: &str, partitions: usize) {
    let admin: AdminClient<_> =
        ClientConfig::new().set("bootstrap.servers", brokers).create().expect("an administrator");
    let wider = [NewPartitions::new(topic, partitions)];
    let outcomes = admin.create_partitions(&wider, &AdminOptions::new()).await.expect("answered");
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    // The broker answers before it shows all of them.
    let (name, count) = (topic.to_owned(), partitions);
    let shown = tokio::task::spawn_blocking(move || {
        let began = Instant::now();
        while began.elapsed() < WAIT_MAX {
            let metadata = admin.inner().fetch_metadata(Some(&name), WAIT_MAX).expect("metadata");
            if metadata.topics()[0].partitions().len() == count {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    });
    assert!(shown.await.expect("no panic"), "{partitions} partitions of {topic} are never shown");
}

/// A broker of the test's own, which it may take away.
pub struct Broker {
    pub brokers: String,
    pub service: Service,
}

impl Broker {
    pub async fn start() -> Self {
        Self::start_behind("").await
    }

    /// Starts one that clients also reach through proxies: `PORT=SHOWN` for each, where it listens for the
    /// proxy, and which port it tells clients of that proxy.
    pub async fn start_behind(proxies: &str) -> Self {
        Self::start_with("KAFKA_BEHIND", proxies).await
    }

    /// Starts one with a variable for its script.
    pub async fn start_with(variable: &str, value: &str) -> Self {
        let service = Service::start_with("kafka", &[(variable, value)]).await;
        Self { brokers: service.address("TEST_KAFKA_BROKERS").to_owned(), service }
    }

    /// Kills it.
    pub async fn stop(&self) {
        self.service.stop().await;
    }

    /// Brings it back with what it had.
    pub async fn start_again(&self) {
        self.service.start_again().await;
    }

    /// Leaves its connections open and answers no request.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Ends what [`Broker::freeze`] began.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    /// To the process whose number the script wrote down, and to no other.
    fn signal(&self, signal: &str) {
        let id = std::fs::read_to_string(self.service.directory().join("pid")).expect("it runs");
        let sent = Command::new("kill").args([signal, id.trim()]).status().expect("kill runs");
        assert!(sent.success());
    }
}
