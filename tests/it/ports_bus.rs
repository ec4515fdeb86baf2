//! The bus port's promises, on each adapter; and what the Kafka adapter survives beyond them.

use crate::simulated::bus::{Broker, SimBus};
use crate::simulated::process::Process;
use crate::support::eventually;
use crate::support::kafka;
use airline_booking::bus::kafka::KafkaBus;
use airline_booking::bus::memory::MemoryBus;
use airline_booking::bus::{Bus, BusError, Consumer};
use airline_booking::config::KafkaSettings;
use airline_booking::messages::{Headers, Message, Topic, parse_payment_event};
use airline_booking::telemetry::Metrics;
use rdkafka::message::{Header, OwnedHeaders};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Longer than any step here takes, also on a busy machine.
const WAIT_MAX: Duration = Duration::from_secs(60);

const TOPIC: Topic = Topic::PaymentEvents;

/// A bus under test.
struct Subject {
    bus: Arc<dyn Bus>,
    kind: Kind,
}

enum Kind {
    Memory(Arc<MemoryBus>),
    Kafka(Box<KafkaSettings>, Box<Metrics>),
    /// What it does when Kafka hangs, is away, or loses a topic is not simulated: that is the adapter's matter.
    Simulated(Broker),
}

/// A dead letter, wherever it was put.
struct Letter {
    key: String,
    payload: String,
    headers: Headers,
}

impl Subject {
    fn memory() -> Self {
        let bus = Arc::new(MemoryBus::default());
        Self { bus: bus.clone(), kind: Kind::Memory(bus) }
    }

    fn kafka() -> Self {
        Self::kafka_at(&kafka::brokers())
    }

    fn kafka_at(brokers: &str) -> Self {
        let settings = kafka::settings(brokers);
        let metrics = Metrics::new();
        let bus = KafkaBus::connect(&settings, metrics.clone()).expect("a bus");
        Self { bus: Arc::new(bus), kind: Kind::Kafka(Box::new(settings), Box::new(metrics)) }
    }

    fn simulated() -> Self {
        let broker = Broker::new();
        let bus = SimBus::new(&broker, &Process::sound("one"));
        Self { bus: Arc::new(bus), kind: Kind::Simulated(broker) }
    }

    /// Another replica's bus.
    fn another(&self) -> Arc<dyn Bus> {
        match &self.kind {
            Kind::Memory(bus) => bus.clone(),
            Kind::Kafka(settings, metrics) => {
                Arc::new(KafkaBus::connect(settings, (**metrics).clone()).expect("a bus"))
            }
            Kind::Simulated(broker) => Arc::new(SimBus::new(broker, &Process::sound("two"))),
        }
    }

    fn settings(&self) -> &KafkaSettings {
        match &self.kind {
            Kind::Memory(_) | Kind::Simulated(_) => panic!("Kafka only"),
            Kind::Kafka(settings, _) => settings,
        }
    }

    /// A group's name that no other test has.
    fn group(&self, name: &str) -> String {
        match &self.kind {
            Kind::Memory(_) | Kind::Simulated(_) => name.to_owned(),
            Kind::Kafka(settings, _) => format!("{}-{name}", settings.group_id),
        }
    }

    async fn consume(&self, group: &str) -> Box<dyn Consumer> {
        self.bus.consume(TOPIC, &self.group(group)).await.expect("a consumer")
    }

    /// Publishes aside: the embedded bus is done only when every group has committed.
    fn publish(&self, messages: Vec<Message>) -> JoinHandle<Result<(), BusError>> {
        let bus = self.bus.clone();
        let messages: Vec<_> = messages.into_iter().map(|message| (TOPIC, message)).collect();
        tokio::spawn(async move { bus.publish(&messages).await })
    }

    async fn dead_letters(&self, count: usize) -> Vec<Letter> {
        let letter = |Message { key, payload, headers, .. }| Letter { key, payload, headers };
        match &self.kind {
            Kind::Memory(bus) => bus.take_dead_letters().into_iter().map(letter).collect(),
            Kind::Simulated(broker) => broker
                .dead_letters()
                .into_iter()
                .map(|dead_letter| letter(dead_letter.message))
                .collect(),
            Kind::Kafka(settings, _) => {
                let topic = format!("{}.dlq", settings.topics.payment_events);
                let stored = kafka::stored(&settings.brokers, &topic, count).await;
                let text = |bytes: Option<Vec<u8>>| {
                    String::from_utf8(bytes.unwrap_or_default()).expect("text")
                };
                let letters = stored.into_iter().map(|letter| Letter {
                    key: text(letter.key),
                    payload: text(letter.payload),
                    headers: letter.headers,
                });
                letters.collect()
            }
        }
    }
}

fn message(key: &str, payload: &str) -> Message {
    let id = format!("{key}/{payload}");
    let headers = Headers::from_iter([("ce_id", id.as_str()), ("ce_type", "test")]);
    Message { key: key.to_owned(), payload: payload.to_owned(), headers, origin: None }
}

/// Messages of the keys in turn, numbered.
fn numbered(count: usize, keys: usize) -> Vec<Message> {
    (0..count).map(|n| message(&(n % keys).to_string(), &n.to_string())).collect()
}

async fn receive(consumer: &mut dyn Consumer, max: usize) -> Vec<Message> {
    let received = tokio::time::timeout(WAIT_MAX, consumer.receive(max)).await;
    received.expect("messages arrive").expect("a bus that goes on")
}

/// Receives exactly so many.
async fn collect(consumer: &mut dyn Consumer, count: usize) -> Vec<Message> {
    let mut messages = Vec::new();
    while messages.len() < count {
        messages.extend(receive(consumer, count - messages.len()).await);
    }
    messages
}

fn payloads(messages: &[Message]) -> BTreeSet<&str> {
    messages.iter().map(|message| message.payload.as_str()).collect()
}

/// Asserts that each key's numbers only rise, where each is looked at when it first comes.
fn assert_ordered(messages: &[Message]) {
    let (mut last, mut seen) = (BTreeMap::new(), BTreeSet::new());
    for message in messages {
        let number: usize = message.payload.parse().expect("a number");
        if seen.insert(number) {
            let before = last.insert(&message.key, number);
            assert!(before < Some(number), "{number} of {} after {before:?}", message.key);
        }
    }
}

async fn messages_of_one_key_arrive_in_order(subject: Subject) {
    let mut consumer = subject.consume("a").await;
    let sent = numbered(500, 7);
    let published = subject.publish(sent.clone());
    let received = collect(&mut *consumer, sent.len()).await;
    consumer.commit().await.expect("committed");
    published.await.expect("no panic").expect("published");
    assert_ordered(&received);
    let mut bare: Vec<_> =
        received.into_iter().map(|message| Message { origin: None, ..message }).collect();
    bare.sort_by_key(|message| message.payload.parse::<usize>().expect("a number"));
    assert_eq!(bare, sent);
}

async fn uncommitted_messages_go_to_the_next_consumer_of_the_group(subject: Subject) {
    let mut first = subject.consume("a").await;
    let published = subject.publish(numbered(6, 1));
    collect(&mut *first, 3).await;
    first.commit().await.expect("committed");
    collect(&mut *first, 2).await;
    drop(first);
    let mut next = subject.consume("a").await;
    let again = collect(&mut *next, 3).await;
    let again: Vec<_> = again.iter().map(|message| message.payload.as_str()).collect();
    assert_eq!(again, ["3", "4", "5"]);
    next.commit().await.expect("committed");
    published.await.expect("no panic").expect("published");
}

async fn every_group_sees_every_message(subject: Subject) {
    let mut groups = [subject.consume("a").await, subject.consume("b").await];
    let published = subject.publish(numbered(50, 5));
    for consumer in &mut groups {
        assert_eq!(payloads(&collect(&mut **consumer, 50).await).len(), 50);
        consumer.commit().await.expect("committed");
    }
    published.await.expect("no panic").expect("published");
}

async fn a_listener_sees_what_is_published_after_it_began(subject: Subject) {
    subject.publish(vec![message("k", "before")]).await.expect("no panic").expect("published");
    let mut listeners = Vec::new();
    for _ in 0..2 {
        listeners.push(subject.bus.listen(TOPIC).await.expect("a listener"));
    }
    let sent = numbered(20, 20);
    subject.publish(sent).await.expect("no panic").expect("published");
    for listener in &mut listeners {
        let heard = collect(&mut **listener, 20).await;
        assert_eq!(payloads(&heard).len(), 20, "{heard:?}");
        assert!(!payloads(&heard).contains("before"));
    }
}

async fn a_dead_letter_names_its_reason_and_origin(subject: Subject) {
    let mut consumer = subject.consume("a").await;
    let published = subject.publish(vec![message("k", "no payment at all")]);
    let received = collect(&mut *consumer, 1).await.remove(0);
    subject
        .bus
        .dead_letter(TOPIC, received.clone(), "it fits nothing")
        .await
        .expect("a dead letter");
    consumer.commit().await.expect("committed");
    published.await.expect("no panic").expect("published");

    let letters = subject.dead_letters(1).await;
    let [letter] = &letters[..] else { panic!("{} letters", letters.len()) };
    assert_eq!((letter.key.as_str(), letter.payload.as_str()), ("k", "no payment at all"));
    let headers = &letter.headers;
    assert_eq!(headers.get("ce_id"), Some("k/no payment at all"));
    assert_eq!(headers.get("dlq_reason"), Some("it fits nothing"));
    let topic = match &subject.kind {
        Kind::Memory(_) | Kind::Simulated(_) => TOPIC.as_str(),
        Kind::Kafka(settings, _) => &settings.topics.payment_events,
    };
    assert_eq!(headers.get("dlq_topic"), Some(topic));
    let origin = received.origin;
    let place = |number: Option<i64>| number.map(|number| number.to_string());
    assert_eq!(
        headers.get("dlq_partition").map(str::to_owned),
        place(origin.as_ref().map(|origin| origin.partition.into()))
    );
    assert_eq!(
        headers.get("dlq_offset").map(str::to_owned),
        place(origin.as_ref().map(|origin| origin.offset))
    );
    assert_ne!(origin.is_some(), matches!(subject.kind, Kind::Memory(_)));
}

async fn a_large_batch_arrives_completely(subject: Subject) {
    const COUNT: usize = 10_000;
    let mut consumer = subject.consume("a").await;
    let published = subject.publish(numbered(COUNT, 50));
    let received = collect(&mut *consumer, COUNT).await;
    consumer.commit().await.expect("committed");
    published.await.expect("no panic").expect("published");
    assert_eq!(payloads(&received).len(), COUNT);
    assert_ordered(&received);
}

async fn an_empty_batch_can_be_published_and_a_ping_succeeds(subject: Subject) {
    subject.bus.publish(&[]).await.expect("published");
    subject.bus.ping().await.expect("answered");
}

/// Each body as a test of each bus.
macro_rules! on_every_bus {
    ($($body:ident),+ $(,)?) => {
        mod in_memory {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $body() {
                super::$body(super::Subject::memory()).await;
            })+
        }
        mod on_kafka {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $body() {
                super::$body(super::Subject::kafka()).await;
            })+
        }
        mod in_simulation {
            $(#[tokio::test(start_paused = true)]
            async fn $body() {
                super::$body(super::Subject::simulated()).await;
            })+
        }
    };
}

on_every_bus! {
    messages_of_one_key_arrive_in_order,
    uncommitted_messages_go_to_the_next_consumer_of_the_group,
    every_group_sees_every_message,
    a_listener_sees_what_is_published_after_it_began,
    a_dead_letter_names_its_reason_and_origin,
    a_large_batch_arrives_completely,
    an_empty_batch_can_be_published_and_a_ping_succeeds,
}

/// What one consumer has received, and committed.
type Seen = Arc<Mutex<Vec<Message>>>;

fn count(seen: &Seen) -> usize {
    seen.lock().expect("no panic").len()
}

/// Receives, notes and commits until stopped.
fn work(mut consumer: Box<dyn Consumer>, seen: &Seen) -> JoinHandle<()> {
    let seen = seen.clone();
    tokio::spawn(async move {
        loop {
            let messages = consumer.receive(64).await.expect("a bus that goes on");
            seen.lock().expect("no panic").extend(messages);
            consumer.commit().await.expect("committed");
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_of_a_group_share_the_work_and_a_rebalance_loses_nothing() {
    consumers_share_the_work(Subject::kafka()).await;
}

#[tokio::test(start_paused = true)]
async fn simulated_consumers_of_a_group_share_the_work_and_a_rebalance_loses_nothing() {
    consumers_share_the_work(Subject::simulated()).await;
}

async fn consumers_share_the_work(subject: Subject) {
    let replica = subject.another();
    let group = subject.group("a");
    let (first, second) = (Seen::default(), Seen::default());
    let one = work(subject.bus.consume(TOPIC, &group).await.expect("a consumer"), &first);
    let publisher = subject.bus.clone();
    let publishing = tokio::spawn(async move {
        for batch in numbered(6_000, 200).chunks(20) {
            let batch: Vec<_> = batch.iter().map(|message| (TOPIC, message.clone())).collect();
            publisher.publish(&batch).await.expect("published");
            // So that the rebalances come in the midst of the messages.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    eventually("the first consumer works", async || count(&first) > 500).await;
    let other = replica.consume(TOPIC, &group).await.expect("a consumer");
    let two = work(other, &second);
    eventually("the second consumer has its share", async || count(&second) > 500).await;
    let before = count(&first);
    eventually("the first one works on", async || count(&first) > before + 100).await;
    one.abort();
    publishing.await.expect("published");
    let all = || {
        let (first, second) = (first.lock().expect("no panic"), second.lock().expect("no panic"));
        payloads(&first).union(&payloads(&second)).count()
    };
    eventually("everything arrives", async || all() == 6_000).await;
    two.abort();
    assert_ordered(&first.lock().expect("no panic"));
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_messages_are_received_and_fail_to_parse() {
    let subject = Subject::kafka();
    let KafkaSettings { brokers, topics, .. } = subject.settings().clone();
    subject.publish(vec![message("k", "0")]).await.expect("no panic").expect("published");
    let write = async |key: Option<&[u8]>, payload: Option<&[u8]>, headers: OwnedHeaders| {
        kafka::write(&brokers, &topics.payment_events, key, payload, headers).await;
    };
    let plain = OwnedHeaders::new;
    let odd = plain()
        .insert(Header { key: "bytes", value: Some(&[0xff, 0xfe, 0x00]) })
        .insert(Header { key: "null", value: None::<&[u8]> });
    let event: &[u8] = br#"{"booking_id":1,"payment_reference_id":"PAY-7b0c2f0e5d3c7a519d7e0c2f5d3c7a51","amount":1.00,"status":"completed","timestamp":"2025-01-01T00:00:00Z"}"#;
    let mut broken = event.to_vec();
    let place = broken.len() - 2;
    broken.splice(place..place, *b"\",\"note\":\"\xff");
    write(Some(b"\xff\xfe"), Some(b"\x00\xff\xfe"), plain()).await;
    write(None, Some(&broken), plain()).await;
    write(Some(b"\xff"), Some(event), plain()).await;
    write(Some(b"tombstone"), None, plain()).await;
    write(None, Some(event), odd).await;

    let mut consumer = subject.consume("a").await;
    let all = collect(&mut *consumer, 6).await;
    let foreign: Vec<_> =
        all.iter().filter(|message| message.payload != "0").map(parse_payment_event).collect();
    let outcomes: Vec<_> = foreign.iter().map(Result::is_ok).collect();
    assert_eq!(outcomes, [false, false, false, false, true], "{foreign:?}");
    let last = all.iter().find(|message| message.headers.get("null").is_some()).expect("the last");
    assert_eq!(last.headers.get("null"), Some(""));
    let tombstone = all.iter().find(|message| message.key == "tombstone").expect("a message");
    let dead_letter = subject.bus.dead_letter(TOPIC, tombstone.clone(), "empty").await;
    dead_letter.expect("a dead letter");
    assert_eq!(subject.dead_letters(1).await[0].key, "tombstone");
}

#[tokio::test(flavor = "multi_thread")]
async fn existing_topics_keep_their_settings_and_the_lag_is_reported() {
    let subject = Subject::kafka();
    subject.publish(numbered(40, 40)).await.expect("no panic").expect("published");
    let mut settings = subject.settings().clone();
    settings.partitions = 9;
    let metrics = Metrics::new();
    let other = KafkaBus::connect(&settings, metrics.clone()).expect("a bus");
    let mut consumer = other.consume(TOPIC, &subject.group("a")).await.expect("a consumer");
    assert_eq!(payloads(&collect(&mut *consumer, 40).await).len(), 40);
    let name = &settings.topics.payment_events;
    let partitions: BTreeSet<_> = kafka::stored(&settings.brokers, name, 40)
        .await
        .iter()
        .map(|message| message.partition)
        .collect();
    assert_eq!(partitions, (0..4).collect());

    let labels = format!("{{group=\"{}\",topic=\"payment-events\"}}", subject.group("a"));
    consumer.commit().await.expect("committed");
    let lag = format!("kafka_consumer_lag{labels} 0");
    let told = async {
        while !metrics.render().contains(&lag) {
            // Statistics come while the consumer waits.
            let waiting = tokio::time::timeout(Duration::from_millis(200), consumer.receive(1));
            assert!(waiting.await.is_err(), "nothing is left");
        }
    };
    tokio::time::timeout(WAIT_MAX, told).await.expect("the lag is told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_finds_partitions_that_were_added() {
    let subject = Subject::kafka();
    let mut listener = subject.bus.listen(TOPIC).await.expect("a listener");
    let KafkaSettings { brokers, topics, .. } = subject.settings();
    kafka::widen(brokers, &topics.payment_events, 6).await;
    // By another replica, which knows of all six at once.
    let replica = subject.another();
    let sent: Vec<_> = numbered(60, 60).into_iter().map(|message| (TOPIC, message)).collect();
    replica.publish(&sent).await.expect("published");
    let heard = collect(&mut *listener, 60).await;
    assert_eq!(payloads(&heard).len(), 60);
    let from: BTreeSet<_> =
        heard.iter().filter_map(|heard| heard.origin.as_ref()).map(|o| o.partition).collect();
    assert_eq!(from, (0..6).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_broker_is_detected_and_blocks_no_caller() {
    let broker = kafka::Broker::start().await;
    let subject = Subject::kafka_at(&broker.brokers);
    let mut consumer = subject.consume("a").await;
    subject.publish(vec![message("k", "0")]).await.expect("no panic").expect("published");
    collect(&mut *consumer, 1).await;
    broker.freeze();
    let began = Instant::now();
    subject.bus.ping().await.expect_err("it hangs");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let refused = subject.bus.publish(&[(TOPIC, message("k", "1"))]).await;
    refused.expect_err("it hangs");
    assert!(began.elapsed() < WAIT_MAX, "{:?}", began.elapsed());
    let began = Instant::now();
    consumer.commit().await.expect("on its way");
    drop(consumer);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    broker.thaw();
    let again =
        async { while subject.bus.publish(&[(TOPIC, message("k", "2"))]).await.is_err() {} };
    tokio::time::timeout(WAIT_MAX, again).await.expect("it goes on");
    let mut next = subject.consume("a").await;
    while !payloads(&receive(&mut *next, 9).await).contains("2") {}
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_outage_of_kafka_every_acknowledged_message_arrives() {
    let broker = kafka::Broker::start().await;
    broker.stop().await;

    // The start, while Kafka is away.
    let subject = Subject::kafka_at(&broker.brokers);
    subject.bus.ping().await.expect_err("Kafka is away");
    let worked = Seen::default();
    let worker = work(subject.consume("a").await, &worked);
    let heard = Seen::default();
    let listener = work(subject.bus.listen(TOPIC).await.expect("a listener"), &heard);
    let began = Instant::now();
    let refused = subject.bus.publish(&[(TOPIC, message("k", "0"))]).await;
    refused.expect_err("Kafka is away");
    assert!(began.elapsed() < WAIT_MAX, "{:?}", began.elapsed());

    // Numbers in batches, each batch until it is acknowledged, as the relay does it.
    let acknowledged = Arc::new(Mutex::new(0));
    let (publisher, counter) = (subject.bus.clone(), acknowledged.clone());
    let publishing = tokio::spawn(async move {
        for batch in numbered(100_000, 40).chunks(20) {
            let batch: Vec<_> = batch.iter().map(|message| (TOPIC, message.clone())).collect();
            while publisher.publish(&batch).await.is_err() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            *counter.lock().expect("no panic") += batch.len();
            // So that messages last until the end of the outages.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let published = || *acknowledged.lock().expect("no panic");
    broker.start_again().await;
    eventually("it begins once Kafka is there", async || count(&worked) > 500 && count(&heard) > 0)
        .await;
    subject.bus.ping().await.expect("Kafka is there");

    // Shorter and longer than the 6 s after which a group gives up a member.
    for outage in [1, 8] {
        broker.stop().await;
        tokio::time::sleep(Duration::from_secs(outage)).await;
        broker.start_again().await;
        let (before, heard_before) = (published(), count(&heard));
        eventually("it goes on", async || {
            published() > before + 500
                && count(&worked) > before + 500
                && count(&heard) > heard_before + 100
        })
        .await;
    }
    publishing.abort();
    let acknowledged = published();
    eventually("all of it arrives", async || {
        let worked = worked.lock().expect("no panic");
        let numbers = worked.iter().map(|message| message.payload.parse().expect("a number"));
        numbers.filter(|number| *number < acknowledged).collect::<BTreeSet<usize>>().len()
            == acknowledged
    })
    .await;
    assert_ordered(&worked.lock().expect("no panic"));
    worker.abort();
    listener.abort();
}
