//! Topics deleted while the service runs are recreated, and producers and consumers go on.

use crate::support::eventually;
use crate::support::kafka::{self, Broker};
use crate::support::replicas::{Load, Replicas};
use airline_booking::bus::kafka::KafkaBus;
use airline_booking::bus::{Bus, Consumer};
use airline_booking::config::KafkaSettings;
use airline_booking::messages::{Headers, Message, Topic};
use airline_booking::telemetry::Metrics;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// Longer than any step here takes, also on a busy machine.
const WAIT_MAX: Duration = Duration::from_secs(90);

/// Messages in a batch, each with a key of its own: they spread over all partitions.
const BATCH: usize = 40;

struct Subject {
    settings: KafkaSettings,
    metrics: Metrics,
    bus: Arc<KafkaBus>,
}

impl Subject {
    fn at(brokers: &str) -> Self {
        let settings = kafka::settings(brokers);
        let metrics = Metrics::new();
        let bus = KafkaBus::connect(&settings, metrics.clone()).expect("a bus");
        Self { settings, metrics, bus: Arc::new(bus) }
    }

    fn name(&self, topic: Topic) -> &str {
        let names = &self.settings.topics;
        match topic {
            Topic::PaymentRequests => &names.payment_requests,
            Topic::PaymentEvents => &names.payment_events,
            Topic::FlightBookings => &names.flight_bookings,
            Topic::AirlineEvents => &names.airline_events,
        }
    }

    /// Publishes a batch of messages to a topic until it is taken, as the relay does.
    async fn publish(&self, topic: Topic, name: &str) {
        let message = |number: usize| {
            let payload = format!("{name} {number}");
            let headers = Headers::default();
            Message { key: number.to_string(), payload, headers, origin: None }
        };
        let batch: Vec<_> = (0..BATCH).map(|number| (topic, message(number))).collect();
        eventually(format!("{name}, published"), async || self.bus.publish(&batch).await).await;
    }

    /// Waits until it is gone: messages that it takes before are deleted with it.
    async fn delete_and_wait(&self, topic: Topic, name: &str) {
        let lost = self.lost(topic);
        kafka::delete(&self.settings.brokers, &[name], None).await;
        let gone = async {
            while self.lost(topic) == lost
                && kafka::partitions(&self.settings.brokers, name).await > 0
            {}
        };
        tokio::time::timeout(WAIT_MAX, gone).await.expect("it is gone");
    }

    fn lost(&self, topic: Topic) -> String {
        let text = self.metrics.render();
        let name = format!("topics_lost_total{{topic=\"{}\"}} ", topic.as_str());
        let line = text.lines().find_map(|line| line.strip_prefix(&*name));
        line.expect("the metric").to_owned()
    }
}

/// What a consumer has received and committed.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<BTreeSet<String>>>);

impl Seen {
    /// Receives, notes and commits until stopped.
    fn by(&self, mut consumer: Box<dyn Consumer>) -> JoinHandle<()> {
        let seen = self.0.clone();
        tokio::spawn(async move {
            loop {
                let messages = consumer.receive(64).await.expect("a bus that goes on");
                let payloads = messages.into_iter().map(|message| message.payload);
                seen.lock().expect("no panic").extend(payloads);
                consumer.commit().await.expect("committed");
            }
        })
    }

    /// Waits for a whole batch.
    async fn all_of(&self, name: &str) {
        let missing = || {
            let seen = self.0.lock().expect("no panic");
            (0..BATCH).filter(|n| !seen.contains(&format!("{name} {n}"))).collect::<Vec<_>>()
        };
        eventually(format!("every number of {name}, none missing"), async || {
            let missing = missing();
            if missing.is_empty() { Ok(()) } else { Err(missing) }
        })
        .await;
    }
}

/// A consumer of a group and a listener on one topic.
async fn followers(subject: &Subject, topic: Topic) -> [Seen; 2] {
    let group = format!("{}-a", subject.settings.group_id);
    let [worked, heard] = [Seen::default(), Seen::default()];
    worked.by(subject.bus.consume(topic, &group).await.expect("a consumer"));
    heard.by(subject.bus.listen(topic).await.expect("a listener"));
    [worked, heard]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_topic_is_recreated_with_its_partitions_and_consumers_read_on() {
    const TOPIC: Topic = Topic::PaymentEvents;
    let subject = Subject::at(&kafka::brokers());
    let followers = followers(&subject, TOPIC).await;
    subject.publish(TOPIC, "before").await;
    for seen in &followers {
        seen.all_of("before").await;
    }
    for round in ["first", "second"] {
        subject.delete_and_wait(TOPIC, subject.name(TOPIC)).await;
        subject.publish(TOPIC, round).await;
        for seen in &followers {
            seen.all_of(round).await;
        }
    }
    assert_eq!(kafka::partitions(&subject.settings.brokers, subject.name(TOPIC)).await, 4);
    assert_eq!(subject.lost(TOPIC), "2");
    assert_eq!(subject.lost(Topic::PaymentRequests), "0");
}

#[test]
fn a_topic_that_an_operator_recreates_at_once_is_read_from_its_beginning() {
    let runtime = Runtime::new().expect("a runtime");
    let broker = runtime.block_on(Broker::start());
    runtime.block_on(follow_a_topic_that_is_made_again_at_once(&broker));
    // Consumers leave their groups while the broker still runs.
    drop(runtime);
}

async fn follow_a_topic_that_is_made_again_at_once(broker: &Broker) {
    const TOPIC: Topic = Topic::PaymentRequests;
    let subject = Subject::at(&broker.brokers);
    let followers = followers(&subject, TOPIC).await;
    for name in ["a", "b", "c"] {
        subject.publish(TOPIC, name).await;
    }
    // After a restart the leader has a later epoch than the new topic will have.
    broker.stop().await;
    broker.start_again().await;
    subject.publish(TOPIC, "before").await;
    for seen in &followers {
        seen.all_of("before").await;
    }
    kafka::delete(&broker.brokers, &[subject.name(TOPIC)], Some(4)).await;
    subject.publish(TOPIC, "after").await;
    for seen in &followers {
        seen.all_of("after").await;
    }
    let again = Seen::default();
    let group = format!("{}-b", subject.settings.group_id);
    again.by(subject.bus.consume(TOPIC, &group).await.expect("a consumer"));
    again.all_of("after").await;
    assert!(!again.0.lock().expect("no panic").contains("before 0"), "it is another topic");
}

#[test]
fn a_client_that_is_stuck_on_a_recreated_topic_is_replaced() {
    let runtime = Runtime::new().expect("a runtime");
    let broker = runtime.block_on(Broker::start());
    runtime.block_on(follow_a_topic_of_an_earlier_epoch(&broker));
    drop(runtime);
}

/// The followers know the partitions' leader epoch, and have received nothing by which they could notice that the
/// topic is another one. Another process publishes.
async fn follow_a_topic_of_an_earlier_epoch(broker: &Broker) {
    const TOPIC: Topic = Topic::PaymentRequests;
    let subject = Subject::at(&broker.brokers);
    subject.publish(Topic::AirlineEvents, "all topics exist").await;
    for _ in 0..2 {
        broker.stop().await;
        broker.start_again().await;
    }
    let followers = followers(&subject, TOPIC).await;
    let group = format!("{}-a", subject.settings.group_id);
    eventually("a member", async || {
        let is_member = kafka::members(&broker.brokers, &group).await == 1;
        is_member.then_some(()).ok_or("none")
    })
    .await;
    kafka::delete(&broker.brokers, &[subject.name(TOPIC)], Some(4)).await;
    let other = KafkaBus::connect(&subject.settings, Metrics::new()).expect("a bus");
    let writer = Subject { bus: Arc::new(other), metrics: Metrics::new(), ..subject };
    writer.publish(TOPIC, "after").await;
    for seen in &followers {
        seen.all_of("after").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_detects_and_recreates_a_deleted_topic_without_writers() {
    const TOPIC: Topic = Topic::FlightBookings;
    let subject = Subject::at(&kafka::brokers());
    subject.publish(TOPIC, "before").await;
    for _ in Topic::ALL {
        subject.bus.ping().await.expect("all topics are there");
    }
    subject.delete_and_wait(TOPIC, subject.name(TOPIC)).await;
    let mut failures = Vec::new();
    let again = async {
        while kafka::partitions(&subject.settings.brokers, subject.name(TOPIC)).await != 4 {
            failures.extend(subject.bus.ping().await.err().map(|error| error.to_string()));
        }
    };
    tokio::time::timeout(WAIT_MAX, again).await.expect("it is made again");
    let is_named = |failure: &String| failure.contains(subject.name(TOPIC));
    assert!(!failures.is_empty() && failures.iter().all(is_named), "{failures:?}");
    for _ in Topic::ALL {
        subject.bus.ping().await.expect("all topics are there");
    }
    assert_eq!(subject.lost(TOPIC), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_dead_letter_topic_is_recreated() {
    let subject = Subject::at(&kafka::brokers());
    let (topic, group) = (Topic::PaymentEvents, format!("{}-a", subject.settings.group_id));
    subject.publish(topic, "odd").await;
    let mut consumer = subject.bus.consume(topic, &group).await.expect("a consumer");
    let messages = consumer.receive(1).await.expect("a message");
    let dead_letter = async |reason| {
        subject.bus.dead_letter(topic, messages[0].clone(), reason).await.expect("a dead letter");
    };
    dead_letter("first").await;
    let letters = format!("{}.dlq", subject.name(topic));
    subject.delete_and_wait(topic, &letters).await;
    dead_letter("second").await;
    let stored = kafka::stored(&subject.settings.brokers, &letters, 1).await;
    assert_eq!(stored[0].headers.get("dlq_reason"), Some("second"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_booking_ends_when_payment_topics_are_deleted_under_load() {
    let replicas = Replicas::new().await.start(2).await;
    let mut flights = Vec::new();
    for _ in 0..20 {
        flights.push(replicas.add_flight(10_000).await);
    }
    let load = Load::start(&replicas, &flights, 8);
    load.accepts(200).await;
    let names = ["KAFKA_TOPIC_PAYMENT_REQUESTS", "KAFKA_TOPIC_PAYMENTS"];
    let topics = names.map(|name| replicas.setting(name));
    kafka::delete(replicas.setting("KAFKA_BROKERS"), &topics, None).await;
    load.accepts(200).await;
    let is_back = async {
        while kafka::partitions(replicas.setting("KAFKA_BROKERS"), topics[1]).await != 4 {}
    };
    tokio::time::timeout(WAIT_MAX, is_back).await.expect("it is made again");
    // An operator may recreate it before the service notices that it is missing.
    kafka::delete(replicas.setting("KAFKA_BROKERS"), &topics[1..], Some(4)).await;
    load.accepts(200).await;
    let answered = load.stop().await;
    replicas.expect_ended(&answered).await;
    let mut lost = 0.0;
    for replica in 0..2 {
        lost += replicas.metric(replica, "topics_lost_total").await;
    }
    assert!(lost >= 2.0, "{lost} were noticed");
}
