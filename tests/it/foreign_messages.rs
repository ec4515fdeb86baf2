//! Messages that no consumer can use: each becomes a bounded dead letter and blocks nothing behind it.

use crate::support::booking;
use crate::support::kafka::{self, Stored};
use crate::support::replicas::Replicas;
use crate::support::{equal, eventually};
use airline_booking::bus::kafka::KafkaBus;
use airline_booking::bus::{Bus, Consumer};
use airline_booking::config::KafkaSettings;
use airline_booking::messages::{Headers, Message, Topic, parse_payment_event};
use airline_booking::telemetry::Metrics;
use rdkafka::message::{Header, OwnedHeaders};
use serde_json::{Value, json};
use std::time::Duration;

const WAIT_MAX: Duration = Duration::from_secs(60);

const TOPIC: Topic = Topic::PaymentEvents;

/// A bus, and a consumer of `payment-events`.
struct Subject {
    settings: KafkaSettings,
    metrics: Metrics,
    bus: KafkaBus,
    consumer: Box<dyn Consumer>,
}

impl Subject {
    async fn start(change: impl FnOnce(&mut KafkaSettings)) -> Self {
        let mut settings = kafka::settings(&kafka::brokers());
        change(&mut settings);
        let metrics = Metrics::new();
        let bus = KafkaBus::connect(&settings, metrics.clone()).expect("a bus");
        let consumer = bus.consume(TOPIC, &settings.group_id).await.expect("a consumer");
        let subject = Self { settings, metrics, bus, consumer };
        // With the first message all topics are made.
        subject.publish(Topic::AirlineEvents, "{}").await;
        subject
    }

    async fn write(&self, key: Option<&[u8]>, payload: Option<&[u8]>, headers: OwnedHeaders) {
        let topic = &self.settings.topics.payment_events;
        kafka::write(&self.settings.brokers, topic, key, payload, headers).await;
    }

    async fn publish(&self, topic: Topic, payload: &str) {
        let (key, payload) = ("1".to_owned(), payload.to_owned());
        let message = Message { key, payload, headers: Headers::default(), origin: None };
        self.bus.publish(&[(topic, message)]).await.expect("published");
    }

    async fn receive(&mut self) -> Message {
        let received = tokio::time::timeout(WAIT_MAX, self.consumer.receive(1)).await;
        received.expect("a message arrives").expect("a bus that goes on").remove(0)
    }

    /// Writes a message, receives it and makes it a dead letter, which it returns.
    async fn dead_letter(
        &mut self,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        headers: OwnedHeaders,
    ) -> Stored {
        self.write(key, payload, headers).await;
        let received = self.receive().await;
        let reason = parse_payment_event(&received).expect_err("malformed").to_string();
        let place = received.origin.clone().expect("a place");
        self.bus.dead_letter(TOPIC, received, &reason).await.expect("a dead letter");
        self.consumer.commit().await.expect("committed");
        let letters = self.letters(usize::try_from(place.offset).expect("a count") + 1).await;
        let letter = letters.into_iter().last().expect("a letter");
        let told = |name| letter.headers.get(name).map(str::to_owned);
        assert_eq!(told("dlq_topic"), Some(self.settings.topics.payment_events.clone()));
        assert_eq!(told("dlq_partition"), Some(place.partition.to_string()));
        assert_eq!(told("dlq_offset"), Some(place.offset.to_string()));
        assert!(told("dlq_reason").is_some_and(|reason| reason.chars().count() <= 200));
        letter
    }

    async fn letters(&self, count: usize) -> Vec<Stored> {
        let topic = format!("{}.dlq", self.settings.topics.payment_events);
        let letters = kafka::stored(&self.settings.brokers, &topic, count).await;
        assert_eq!(letters.len(), count);
        letters
    }
}

/// A payment event that is sound but for its status.
fn event_of_status(status: &str) -> String {
    let reference = "PAY-7b0c2f0e5d3c7a519d7e0c2f5d3c7a51";
    json!({
        "booking_id": 1, "payment_reference_id": reference, "amount": 1.00, "status": status,
        "timestamp": "2025-01-01T00:00:00Z"
    })
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_keeps_the_bytes_of_its_message() {
    let mut subject = Subject::start(|_| {}).await;
    let headers = OwnedHeaders::new()
        .insert(Header { key: "bytes", value: Some(&[0xff, 0x00]) })
        .insert(Header { key: "nothing", value: None::<&[u8]> });
    let binary = vec![0xff; 350_000];
    let letter = subject.dead_letter(Some(b"\xfe"), Some(&binary), headers).await;
    assert_eq!((letter.key.as_deref(), letter.payload), (Some(&b"\xfe"[..]), Some(binary)));
    assert!(letter.headers.get("nothing").is_some());

    let tombstone = subject.dead_letter(None, None, OwnedHeaders::new()).await;
    assert_eq!((tombstone.key, tombstone.payload), (None, None));
    let empty = subject.dead_letter(Some(b""), Some(b""), OwnedHeaders::new()).await;
    assert_eq!((empty.key, empty.payload), (Some(vec![]), Some(vec![])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_too_large_for_the_dead_letter_topic_leaves_a_stub() {
    let mut subject = Subject::start(|_| {}).await;
    let text = vec![b'x'; 1_048_000];
    let letter = subject.dead_letter(Some(b"1"), Some(&text), OwnedHeaders::new()).await;
    assert_eq!((letter.key.as_deref(), letter.payload), (Some(&b"1"[..]), Some(vec![b'x'; 1_024])));
    assert_eq!(letter.headers.get("dlq_bytes"), Some("1048000"));
    // By `head -c 1048000 /dev/zero | tr '\0' x | sha256sum`.
    let hash = "354bd173ae08064ed53c00afec1e41d77c5aaa69f04dd84a07bcd50abd2c6a33";
    assert_eq!(letter.headers.get("dlq_sha256"), Some(hash));

    let key = vec![b'k'; 1_000_000];
    let letter = subject.dead_letter(Some(&key), Some(b"{}"), OwnedHeaders::new()).await;
    assert_eq!(letter.key.map(|key| key.len()), Some(1_024));
    assert_eq!(letter.payload.as_deref(), Some(&b"{}"[..]));

    let value = vec![b'v'; 1_000_000];
    let headers = OwnedHeaders::new().insert(Header { key: "large", value: Some(&value) });
    let letter = subject.dead_letter(Some(b"1"), Some(b"?"), headers).await;
    assert_eq!((letter.headers.get("large"), letter.payload.as_deref()), (None, Some(&b"?"[..])));

    // 30 MB that travel as a few kilobytes.
    let bomb = vec![b'0'; 30 << 20];
    let topic = &subject.settings.topics.payment_events;
    kafka::write_compressed(&subject.settings.brokers, topic, "gzip", &bomb).await;
    let received = subject.receive().await;
    assert!(received.payload.len() < 9);
    subject.bus.dead_letter(TOPIC, received, "a bomb").await.expect("a dead letter");
    let letters = subject.letters(4).await;
    assert_eq!(letters[3].headers.get("dlq_bytes"), Some("31457280"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reason_of_a_dead_letter_is_short_and_quotes_no_payload() {
    let mut subject = Subject::start(|_| {}).await;
    let secret = format!("john.secret@example.com{}", "x".repeat(600_000));
    let payload = event_of_status(&secret);
    let letter =
        subject.dead_letter(Some(b"1"), Some(payload.as_bytes()), OwnedHeaders::new()).await;
    let reason = letter.headers.get("dlq_reason").expect("a reason");
    assert!(!reason.contains("john") && reason.contains("line 1 column"), "{reason}");
    assert_eq!(letter.payload, Some(payload.into_bytes()));
    for wrong in [r#"{"booking_id":"john"}"#, r#"{"john":1}"#, r#""john""#, "john", "[1e999]", "{"]
    {
        let letter =
            subject.dead_letter(Some(b"john"), Some(wrong.as_bytes()), OwnedHeaders::new()).await;
        let reason = letter.headers.get("dlq_reason").expect("a reason");
        assert!(reason.starts_with("malformed message") && !reason.contains("john"), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_topic_with_a_smaller_limit_gets_the_stub() {
    let mut subject = Subject::start(|_| {}).await;
    let dead = format!("{}.dlq", subject.settings.topics.payment_events);
    kafka::make(&subject.settings.brokers, &dead, &[("max.message.bytes", "4000")]).await;
    let random: Vec<u8> =
        (0..20_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let letter = subject.dead_letter(Some(b"1"), Some(&random), OwnedHeaders::new()).await;
    assert_eq!(letter.payload, Some(random[..1_024].to_vec()));
    assert_eq!(letter.headers.get("dlq_bytes"), Some("80000"));
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_go_on_when_dead_letters_cannot_be_written() {
    // 249 characters are the longest name, and `.dlq` makes this one longer.
    let long = |settings: &mut KafkaSettings| {
        let name = &mut settings.topics.payment_events;
        *name = format!("{name:-<248}");
    };
    let mut subject = Subject::start(long).await;
    subject.publish(TOPIC, "garbage").await;
    for lost in 1..=3 {
        let received = subject.receive().await;
        let dead_letter = subject.bus.dead_letter(TOPIC, received, "why");
        let dead_letter = tokio::time::timeout(WAIT_MAX, dead_letter).await.expect("bounded");
        dead_letter.expect("given up");
        subject.consumer.commit().await.expect("committed");
        let told = format!("dead_letters_lost_total{{topic=\"payment-events\"}} {lost}\n");
        assert!(subject.metrics.render().contains(&told));
        subject.publish(TOPIC, "garbage").await;
    }
}

/// Garbage of many kinds.
async fn litter(brokers: &str, topic: &str) {
    let write = async |key: Option<&[u8]>, payload: Option<&[u8]>, headers: OwnedHeaders| {
        kafka::write(brokers, topic, key, payload, headers).await;
    };
    let plain = OwnedHeaders::new;
    write(Some(b"1"), Some(&vec![0xff; 350_000]), plain()).await;
    write(Some(b"1"), Some(&vec![b'x'; 1_048_000]), plain()).await;
    write(Some(b"1"), Some(event_of_status(&"s".repeat(600_000)).as_bytes()), plain()).await;
    write(Some(&vec![0xfe; 1_000_000]), Some(b"{}"), plain()).await;
    write(Some(b"1"), None, plain()).await;
    write(None, None, plain()).await;
    write(None, Some("[".repeat(200_000).as_bytes()), plain()).await;
    let value = vec![0xff; 900_000];
    let large = plain().insert(Header { key: "traceparent", value: Some(&value) });
    write(Some(b"1"), Some(b"{}"), large).await;
    let many = (0..5_000).fold(plain(), |headers, n| {
        headers.insert(Header { key: &format!("h{n}"), value: Some("v") })
    });
    write(Some(b"1"), Some(b"null"), many).await;
    for codec in ["gzip", "lz4", "snappy", "zstd"] {
        kafka::write_compressed(brokers, topic, codec, &vec![b' '; 20 << 20]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_ahead_of_a_payment_does_not_stop_it() {
    let replicas = Replicas::new().await.with("KAFKA_PARTITIONS", "1").start(1).await;
    let flight = replicas.add_flight(10).await;
    replicas.outbox_is_empty().await;
    let brokers = replicas.setting("KAFKA_BROKERS");
    for topic in ["KAFKA_TOPIC_PAYMENT_REQUESTS", "KAFKA_TOPIC_PAYMENTS", "KAFKA_TOPIC_EVENTS"] {
        litter(brokers, replicas.setting(topic)).await;
    }
    let post = replicas.client.post(replicas.url(0, "/api/v1/bookings"));
    let post = post.header("prefer", "wait=30").json(&booking(flight, 2));
    let placed: Value = post.send().await.expect("sent").json().await.expect("JSON");
    let path = format!("/api/v1/bookings/{}", placed["booking_id"]);
    eventually("a completed booking", async || {
        equal(replicas.get(0, &path).await["status"].clone(), "completed")
    })
    .await;
    for topic in ["KAFKA_TOPIC_PAYMENT_REQUESTS", "KAFKA_TOPIC_PAYMENTS"] {
        let dead = format!("{}.dlq", replicas.setting(topic));
        assert_eq!(kafka::stored(brokers, &dead, 13).await.len(), 13, "{topic}");
    }
    replicas.audit().await;
}
