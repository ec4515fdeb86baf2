//! Kafka over TLS with SASL/SCRAM, on a broker of the test's own: bookings complete, and a client that the broker
//! refuses, or that does not trust the broker, is told why and changes nothing. Needs the feature `kafka-tls`.

use crate::support::authority::Authority;
use crate::support::kafka::{Broker, WAIT_MAX, count};
use crate::support::process::{Server, http_client, run};
use crate::support::{booking, equal, flight, within};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

const USER: &str = "booking";
const PASSWORD: &str = "a-password-of-the-broker";

/// How long what must happen may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// A broker with a plain and a secured listener.
struct Secured {
    broker: Broker,
    authority: Authority,
}

impl Secured {
    async fn start() -> Self {
        let authority = Authority::new();
        let read = |name| fs::read_to_string(authority.path(name)).expect("PEM");
        let both = [read("server.key"), read("server.pem")].concat();
        fs::write(authority.path("both.pem"), both).expect("written");
        let secured = format!("{} {USER} {PASSWORD}", authority.file("both.pem"));
        Self { broker: Broker::start_with("KAFKA_SECURED", &secured).await, authority }
    }

    fn brokers(&self) -> &str {
        self.broker.service.address("TEST_KAFKA_SECURED_BROKERS")
    }

    /// Sound settings, but for those that are given.
    fn settings<'a>(
        &'a self,
        authorities: &'a str,
        other: &[(&'a str, &'a str)],
    ) -> Vec<(&'a str, &'a str)> {
        let sound = [
            ("KAFKA_BROKERS", self.brokers()),
            ("KAFKA_SECURITY_PROTOCOL", "SASL_SSL"),
            ("KAFKA_SASL_MECHANISM", "SCRAM-SHA-512"),
            ("KAFKA_SASL_USERNAME", USER),
            ("KAFKA_SASL_PASSWORD", PASSWORD),
            ("KAFKA_SSL_CA_LOCATION", authorities),
            ("PAYMENT_LATENCY", "0s"),
            ("PAYMENT_REDRIVE_AFTER", "3s"),
        ];
        [&sound[..], other].concat()
    }

    /// The names of the broker's topics but its own.
    async fn topics(&self) -> Vec<String> {
        let brokers = self.broker.brokers.clone();
        let asking = tokio::task::spawn_blocking(move || {
            let mut config = ClientConfig::new();
            config.set("bootstrap.servers", brokers);
            let consumer: BaseConsumer = config.create().expect("a consumer");
            let metadata = consumer.fetch_metadata(None, WAIT_MAX).expect("metadata");
            let names = metadata.topics().iter().map(|topic| topic.name().to_owned());
            names.filter(|name| !name.starts_with("__")).collect()
        });
        asking.await.expect("no panic")
    }
}

async fn start(folder: &Path, settings: &[(&str, &str)]) -> Server {
    let log = File::create(folder.join("log")).expect("a file");
    Server::start_logging(folder, settings, log.into()).await
}

async fn get(server: &Server, path: &str) -> Value {
    let sent = http_client().get(format!("{}/api/v1{path}", server.base)).send().await;
    sent.expect("an answer").json().await.expect("JSON")
}

async fn post(server: &Server, path: &str, body: &Value) -> Value {
    let post = http_client().post(format!("{}/api/v1{path}", server.base)).json(body);
    let answer = post.send().await.expect("an answer");
    assert_eq!(answer.status(), 201, "{path}");
    answer.json().await.expect("JSON")
}

async fn book(server: &Server) -> Value {
    let created = post(server, "/flights", &flight(100)).await;
    post(server, "/bookings", &booking(created["id"].as_i64().expect("an id"), 2)).await
}

async fn comes_to_be(server: &Server, booking: &Value, status: &str) {
    within(PATIENCE, format!("a booking that is {status}"), async || {
        let shown = get(server, &format!("/bookings/{}", booking["booking_id"])).await;
        equal(shown["status"].clone(), json!(status))
    })
    .await;
}

async fn health_says(server: &Server, condition: &str) {
    within(PATIENCE, format!("Kafka {condition} in the health answer"), async || {
        equal(get(server, "/health").await["checks"]["kafka"]["status"].clone(), json!(condition))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_completes_over_tls_and_scram() {
    let secured = Secured::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let authorities = secured.authority.file("ca.pem");
    let server = start(directory.path(), &secured.settings(&authorities, &[])).await;
    health_says(&server, "ok").await;
    comes_to_be(&server, &book(&server).await, "completed").await;
    for topic in ["payment-requests", "payment-events"] {
        assert!(count(&secured.broker.brokers, topic).await >= 1, "{topic} is empty");
    }
    assert!(server.terminate().await);
    let (code, told) = run(directory.path(), &["audit"]).await;
    assert_eq!(code, 0, "{told}");
    let log = fs::read_to_string(directory.path().join("log")).expect("UTF-8");
    assert!(!log.contains(PASSWORD), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_refuses_or_is_not_trusted_is_logged_down_in_health_and_gets_nothing() {
    let secured = Secured::start().await;
    let stranger = Authority::new();
    let (sound, strange) = (secured.authority.file("ca.pem"), stranger.file("ca.pem"));
    let by_address = secured.brokers().replace("localhost", "127.0.0.1");
    for (what, authorities, other, words) in [
        ("a wrong password", &sound, ("KAFKA_SASL_PASSWORD", "hush-wrong"), "invalid credentials"),
        ("an unknown user", &sound, ("KAFKA_SASL_USERNAME", "nobody"), "invalid credentials"),
        ("another mechanism", &sound, ("KAFKA_SASL_MECHANISM", "PLAIN"), "mechanism"),
        ("an unknown authority", &strange, ("RUST_LOG", "warn"), "certificate verify failed"),
        ("a host not in the certificate", &sound, ("KAFKA_BROKERS", &by_address), "certificate"),
    ] {
        let directory = tempfile::tempdir().expect("a directory");
        let settings = secured.settings(authorities, &[other]);
        let server = start(directory.path(), &settings).await;
        health_says(&server, "down").await;
        let placed = book(&server).await;
        let log = directory.path().join("log");
        within(PATIENCE, format!("{what} in the log"), async || {
            let log = fs::read_to_string(&log).expect("UTF-8");
            assert!(!log.contains(PASSWORD) && !log.contains("hush-wrong"), "{log}");
            if log.contains(words) { Ok(()) } else { Err(log) }
        })
        .await;
        let log = fs::read_to_string(&log).expect("UTF-8");
        eprintln!("{what}: {}", log.lines().find(|line| line.contains(words)).unwrap_or_default());
        assert!(log.lines().count() < 100, "{what}: {} lines", log.lines().count());
        comes_to_be(&server, &placed, "pending").await;
        assert_eq!(secured.topics().await, Vec::<String>::new(), "{what}");
        assert!(server.terminate().await);
        // Nothing is lost: with the sound settings it completes.
        let server = start(directory.path(), &secured.settings(&sound, &[])).await;
        comes_to_be(&server, &placed, "completed").await;
        assert!(server.terminate().await);
        let topics: Vec<_> = secured.topics().await;
        let topics: Vec<_> = topics.iter().map(String::as_str).collect();
        crate::support::kafka::delete(&secured.broker.brokers, &topics, None).await;
        within(PATIENCE, "no topics", async || equal(secured.topics().await, Vec::<String>::new()))
            .await;
    }
}
