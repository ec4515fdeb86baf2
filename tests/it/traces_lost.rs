//! A collector that does not accept traces costs only spans.

use crate::support::collector::Collector;
use crate::support::process::{Server, http_client};
use crate::support::{booking, eventually, flight};
use futures::{StreamExt as _, stream};
use serde_json::Value;
use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// More than the queue holds: each makes about twenty spans.
const BOOKINGS: i32 = 1_500;

/// What a full queue may take: 16,384 spans of about a kilobyte, and what an allocator keeps.
const MEMORY_MAX: f64 = 64e6;

/// A stop gives the collector three seconds; the rest is for a busy machine.
const STOP_MAX: Duration = Duration::from_secs(15);

const SENT: &str = "trace_spans_total{outcome=\"sent\"}";
const FAILED: &str = "trace_spans_total{outcome=\"failed\"}";

/// The service as a process that sends traces somewhere.
struct Traced {
    server: Server,
    client: reqwest::Client,
    log: PathBuf,
    _directory: TempDir,
}

impl Traced {
    async fn to(endpoint: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let log = directory.path().join("log");
        let settings = [
            ("DATABASE_URL", "sqlite:test.db"),
            ("PAYMENT_LATENCY", "0s"),
            ("RUST_LOG", "info"),
            ("TRACING_ENABLED", "true"),
            ("TRACING_ENDPOINT", endpoint),
        ];
        let file = File::create(&log).expect("a file");
        let server = Server::start_logging(directory.path(), &settings, file.into()).await;
        Self { server, client: http_client(), log, _directory: directory }
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let sent = self.client.post(format!("{}{path}", self.server.base)).json(body).send().await;
        let answer = sent.expect("an answer");
        assert_eq!(answer.status(), 201);
        answer.json().await.expect("JSON")
    }

    /// Sells a flight out.
    async fn sell_one(&self) {
        let created = self.post("/api/v1/flights", &flight(BOOKINGS)).await;
        let body = booking(created["id"].as_i64().expect("an id"), 1);
        let bookings = (0..BOOKINGS).map(|_| self.post("/api/v1/bookings", &body));
        stream::iter(bookings).buffer_unordered(32).for_each(async |_| {}).await;
    }

    async fn metric(&self, name: &str) -> f64 {
        let sent = self.client.get(format!("{}/metrics", self.server.base)).send().await;
        let text = sent.expect("an answer").text().await.expect("text");
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.unwrap_or_default()
    }

    async fn until(&self, name: &str, at_least: f64) {
        eventually(format!("{name} of at least {at_least}"), async || {
            let value = self.metric(name).await;
            if value < at_least { Err(value) } else { Ok(()) }
        })
        .await;
    }

    /// Lines of the log that say this.
    fn said(&self, words: &str) -> usize {
        let log = std::fs::read_to_string(&self.log).expect("a log");
        log.lines().filter(|line| line.contains(words)).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_costs_spans_one_warning_and_a_bounded_stop() {
    let hung = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", hung.local_addr().expect("an address"));
    let taking = tokio::spawn(async move {
        let mut taken = Vec::new();
        while let Ok(connection) = hung.accept().await {
            taken.push(connection);
        }
    });
    let service = Traced::to(&endpoint).await;

    // The first fills the queue; what comes then is lost, and takes no memory any more.
    service.sell_one().await;
    let before = service.metric("process_resident_memory_bytes").await;
    service.sell_one().await;
    let after = service.metric("process_resident_memory_bytes").await;
    assert!(after - before < MEMORY_MAX, "{before} bytes, then {after}");
    service.until(FAILED, 1_024.0).await;
    assert_eq!(service.said("the collector does not take traces"), 1, "one for two failures");

    let stopping = Instant::now();
    assert!(service.server.terminate().await, "a clean end");
    assert!(stopping.elapsed() < STOP_MAX, "{:?}", stopping.elapsed());
    taking.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_return_of_a_collector_is_logged_once() {
    let away = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = away.local_addr().expect("an address");
    drop(away);
    let service = Traced::to(&format!("http://{address}")).await;
    service.post("/api/v1/flights", &flight(1)).await;
    service.until(FAILED, 1.0).await;
    let _collector = Collector::on(TcpListener::bind(address).await.expect("the same port"));
    service.post("/api/v1/flights", &flight(1)).await;
    service.until(SENT, 1.0).await;
    service.post("/api/v1/flights", &flight(1)).await;
    service.until(SENT, 2.0).await;
    assert_eq!(service.said("the collector does not take traces"), 1);
    assert_eq!(service.said("the collector takes traces again"), 1);
    assert!(service.server.terminate().await, "a clean end");
}
