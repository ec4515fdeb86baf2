//! Unusable messages on all four topics: each becomes one dead letter and blocks nothing.

use crate::support::booking;
use crate::support::eventually;
use crate::support::garbage::{MARK, all, write};
use crate::support::kafka::count;
use crate::support::process::{Server, http_client};
use crate::support::replicas::Replicas;
use serde_json::{Value, json};
use std::fs::File;

/// The bytes of the longest log line: some fields and a bounded reason.
const LINE_BYTES_MAX: usize = 2_000;

const TOPICS: [&str; 4] = [
    "KAFKA_TOPIC_PAYMENT_REQUESTS",
    "KAFKA_TOPIC_PAYMENTS",
    "KAFKA_TOPIC_BOOKINGS",
    "KAFKA_TOPIC_EVENTS",
];

/// The topics that are read by a consumer group, as metrics call them, and by their setting.
const CONSUMED: [(&str, &str); 2] = [
    ("payment-requests", "KAFKA_TOPIC_PAYMENT_REQUESTS"),
    ("payment-events", "KAFKA_TOPIC_PAYMENTS"),
];

/// The service, its log and its topics.
struct Victim {
    server: Server,
    client: reqwest::Client,
    replicas: Replicas,
    directory: tempfile::TempDir,
}

impl Victim {
    async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        // One partition: all that is good comes behind all that is not.
        let replicas = Replicas::new().await.with("KAFKA_PARTITIONS", "1");
        let log = File::create(directory.path().join("log")).expect("a file");
        let mut settings = replicas.settings();
        settings.extend([("RUST_LOG", "info"), ("LOG_FORMAT", "json")]);
        let server = Server::start_logging(directory.path(), &settings, log.into()).await;
        Self { server, client: http_client(), replicas, directory }
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        let answer = self.client.get(format!("{}{path}", self.server.base)).send().await;
        answer.expect("an answer")
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let post = self.client.post(format!("{}{path}", self.server.base)).json(body);
        let answer = post.header("prefer", "wait=10").send().await.expect("an answer");
        assert_eq!(answer.status(), 201, "{path}");
        answer.json().await.expect("JSON")
    }

    /// Number of dead letters of a topic.
    async fn dead_letters(&self, topic: &str) -> usize {
        let metrics = self.get("/metrics").await.text().await.expect("text");
        let series = format!("events_dead_lettered_total{{topic=\"{topic}\"}} ");
        let value = metrics.lines().find_map(|line| line.strip_prefix(&series));
        value.map_or(0, |value| value.parse().expect("a count"))
    }

    async fn expect_completed(&self, flight: i64) {
        let placed = self.post("/api/v1/bookings", &booking(flight, 1)).await;
        let path = format!("/api/v1/bookings/{}", placed["booking_id"]);
        eventually("a completed booking", async || {
            let shown: Value = self.get(&path).await.json().await.expect("JSON");
            assert!(shown["status"] == "completed" || shown["status"] == "pending", "{shown}");
            shown["status"] == "completed"
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_of_every_kind_becomes_one_dead_letter_each_and_stops_nothing() {
    let victim = Victim::start().await;
    let created = victim.post("/api/v1/flights", &crate::support::flight(100)).await;
    let flight = created["id"].as_i64().expect("an id");
    victim.expect_completed(flight).await;

    let brokers = crate::support::kafka::brokers();
    let garbage = all();
    for topic in TOPICS {
        write(&brokers, victim.replicas.setting(topic), &garbage).await;
    }
    victim.expect_completed(flight).await;

    // A booking that completed is behind all of it, on both of the topics that it went through.
    for (topic, setting) in CONSUMED {
        assert_eq!(victim.dead_letters(topic).await, garbage.len(), "{topic}");
        let letters = format!("{}.dlq", victim.replicas.setting(setting));
        assert_eq!(count(&brokers, &letters).await, garbage.len() as i64, "{letters}");
    }
    let health: Value = victim.get("/api/v1/health").await.json().await.expect("JSON");
    assert_eq!(health["status"], json!("ok"), "{health}");
    victim.replicas.settled().await;
    victim.replicas.audit().await;

    assert!(victim.server.terminate().await, "a clean end");
    let log = std::fs::read_to_string(victim.directory.path().join("log")).expect("UTF-8");
    let longest = log.lines().map(str::len).max().unwrap_or_default();
    assert!(longest <= LINE_BYTES_MAX, "a line of {longest} bytes");
    assert!(!log.contains(MARK), "a value is in the log");
    assert!(log.lines().count() < 10 * garbage.len(), "{} lines", log.lines().count());
}
