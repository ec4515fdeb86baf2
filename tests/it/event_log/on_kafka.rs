//! The log on Kafka: the topic itself.

use crate::support::kafka;
use crate::support::replicas::{Load, Replicas};
use crate::support::{equal, eventually};
use airline_booking::bus::kafka::KafkaBus;
use airline_booking::bus::{Bus as _, Cursor, LogError, LogFilter, LogPage, LogQuery};
use airline_booking::config::KafkaSettings;
use airline_booking::domain::Timestamp;
use airline_booking::messages::{Headers, Message, Topic};
use airline_booking::telemetry::Metrics;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// Longer than any step here takes, also on a busy machine.
const WAIT_MAX: Duration = Duration::from_secs(60);

struct Subject {
    settings: KafkaSettings,
    bus: KafkaBus,
}

impl Subject {
    fn new() -> Self {
        let settings = kafka::settings(&kafka::brokers());
        let bus = KafkaBus::connect(&settings, Metrics::new()).expect("a bus");
        Self { settings, bus }
    }

    fn topic(&self) -> &str {
        &self.settings.topics.airline_events
    }

    /// Publishes numbered events of several flights.
    async fn publish(&self, numbers: std::ops::Range<i64>) {
        let batch: Vec<_> =
            numbers.map(|number| (Topic::AirlineEvents, event(number % 7, number))).collect();
        eventually("published", async || self.bus.publish(&batch).await).await;
    }

    async fn read(&self, after: Option<&Cursor>, limit: usize) -> Result<LogPage, LogError> {
        let now = Timestamp::UNIX_EPOCH + chrono::TimeDelta::days(20_000);
        let (after, filter) = (after.cloned(), LogFilter::default());
        let query = LogQuery { after, filter, limit, now, kept_for: WEEK, is_patient: true };
        tokio::time::timeout(WAIT_MAX, self.bus.read_log(query)).await.expect("an answer")
    }

    /// Reads on to the end, in pages of so many events. Gives the numbers of each flight, and the end.
    async fn read_all(&self, after: Option<&Cursor>, limit: usize) -> (Numbers, Cursor) {
        let (mut numbers, mut after) = (Numbers::new(), after.cloned());
        loop {
            let page = self.read(after.as_ref(), limit).await.expect("a page");
            for message in &page.messages {
                let number = message.payload.parse().expect("a number");
                numbers.entry(message.key.clone()).or_default().push(number);
            }
            if after.as_ref() == Some(&page.next) && page.is_last {
                return (numbers, page.next);
            }
            after = Some(page.next);
        }
    }
}

type Numbers = BTreeMap<String, Vec<i64>>;

fn event(flight: i64, number: i64) -> Message {
    let id = format!("flight.updated/{flight}/{number}");
    let headers = Headers::from_iter([
        ("ce_id", id.as_str()),
        ("ce_type", "flight.updated"),
        ("ce_time", "2025-01-01T00:00:00Z"),
    ]);
    Message { key: flight.to_string(), payload: number.to_string(), headers, origin: None }
}

/// The numbers in this range by flight.
fn numbers(range: std::ops::Range<i64>) -> Numbers {
    let mut numbers = Numbers::new();
    for number in range {
        numbers.entry((number % 7).to_string()).or_default().push(number);
    }
    numbers
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_have_each_event_once_in_order_for_each_flight() {
    let subject = Subject::new();
    subject.publish(0..1_000).await;
    let (all, end) = subject.read_all(None, 64).await;
    assert_eq!(all, numbers(0..1_000));
    subject.publish(1_000..1_100).await;
    let (more, _) = subject.read_all(Some(&end), 1_000).await;
    assert_eq!(more, numbers(1_000..1_100));
    let again = end.to_string().parse().expect("a cursor");
    let (more, end) = subject.read_all(Some(&again), 7).await;
    assert_eq!(more, numbers(1_000..1_100));
    let last = subject.bus.log_end(Timestamp::UNIX_EPOCH).await.expect("an end");
    let (none, _) = subject.read_all(Some(&last), 7).await;
    assert_eq!(none, Numbers::new(), "{last} is {end}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_was_deleted_and_made_again_expires_each_cursor_whatever_its_length() {
    let subject = Subject::new();
    subject.publish(0..100).await;
    let (_, end) = subject.read_all(None, 100).await;
    kafka::delete(&subject.settings.brokers, &[subject.topic()], Some(4)).await;
    // Shorter than it was, as long, and longer.
    for more in [0..20, 20..120, 120..400] {
        subject.publish(10_000 + more.start..10_000 + more.end).await;
        eventually("an expired cursor", async || match subject.read(Some(&end), 9).await {
            Err(LogError::Expired) => Ok(()),
            Err(error) => Err(error.to_string()),
            Ok(page) => panic!("it skips events in silence: {page:?}"),
        })
        .await;
    }
    let (all, _) = subject.read_all(Some(&Cursor::oldest()), 100).await;
    let all: BTreeSet<i64> = all.into_values().flatten().collect();
    // The broker may take the first ones into the topic that it is about to delete.
    let missing: Vec<_> = (10_020..10_400).filter(|number| !all.contains(number)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_others_that_are_no_events_are_passed_over() {
    let subject = Subject::new();
    subject.publish(0..10).await;
    let headers = rdkafka::message::OwnedHeaders::new();
    let (brokers, topic) = (&subject.settings.brokers, subject.topic());
    kafka::write(brokers, topic, None, Some(b"\xff"), headers.clone()).await;
    kafka::write(brokers, topic, Some(b"one"), None, headers).await;
    subject.publish(10..20).await;
    let (all, _) = subject.read_all(None, 3).await;
    assert_eq!(all, numbers(0..20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_two_replicas_in_turn_has_every_booking_of_a_load() {
    let replicas = Replicas::new().await.start(2).await;
    let flights = [replicas.add_flight(400).await, replicas.add_flight(400).await];
    let load = Load::start(&replicas, &flights, 8);
    let (mut after, mut seen): (String, Vec<Value>) = Default::default();
    let read = async |replica: usize, after: &str| {
        let path = format!("/api/v1/events?limit=50&after={after}");
        let page = replicas.get(replica, &path).await;
        assert!(page["next"].is_string(), "{page}");
        page
    };
    while load.accepted() < 200 {
        let page = read(load.accepted() % 2, &after).await;
        seen.extend(page["events"].as_array().expect("events").iter().cloned());
        after = page["next"].as_str().expect("a cursor").to_owned();
    }
    let answered = load.stop().await;
    replicas.expect_ended(&answered).await;
    replicas.outbox_is_empty().await;
    let ended = replicas.settled().await.len();
    eventually("an event of each booking", async || {
        let page = read(0, &after).await;
        seen.extend(page["events"].as_array().expect("events").iter().cloned());
        after = page["next"].as_str().expect("a cursor").to_owned();
        let ids = seen.iter().filter_map(|event| event["id"].as_str());
        let ended_ids = ids.filter(|id| id.starts_with("booking."));
        equal(ended_ids.collect::<BTreeSet<_>>().len(), ended)
    })
    .await;
    in_order(&seen);
}

/// Each flight's own events have ascending versions, but for what is told again.
fn in_order(events: &[Value]) {
    let mut last: BTreeMap<i64, i64> = BTreeMap::new();
    let mut known = BTreeSet::new();
    for event in events.iter().filter(|event| known.insert(event["id"].to_string())) {
        if event["type"].as_str().is_some_and(|kind| kind.starts_with("flight.")) {
            let flight = event["flight_id"].as_i64().expect("a number");
            let version = super::version(event);
            let before = last.insert(flight, version).unwrap_or_default();
            assert!(before < version, "{before} before {version} of flight {flight}");
        }
    }
    assert!(!last.is_empty());
}
