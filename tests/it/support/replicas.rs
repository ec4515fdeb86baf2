//! Replicas as separate processes on PostgreSQL, Redis and Kafka, and load on them.

use super::deployment::{TestDatabase, required};
use super::process::{Server, http_client, run_with};
use super::{booking, flight};
use super::{equal, eventually};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// What replicas have in common, and those that run.
pub struct Replicas {
    pub servers: Vec<Server>,
    settings: HashMap<String, String>,
    directory: TempDir,
    pub client: reqwest::Client,
}

impl Replicas {
    /// The settings of replicas on a database and topics of their own; none runs yet.
    pub async fn new() -> Self {
        let database = TestDatabase::postgres().await.url();
        Self::on(&database, &required("TEST_REDIS_URL"), &required("TEST_KAFKA_BROKERS"))
    }

    /// The settings of replicas on these services.
    pub fn on(database: &str, redis: &str, brokers: &str) -> Self {
        let topic = |name: &str| format!("{}-{name}", uuid::Uuid::new_v4().simple());
        let settings = [
            ("DATABASE_URL", database.to_owned()),
            ("REDIS_URL", redis.to_owned()),
            ("KAFKA_BROKERS", brokers.to_owned()),
            ("KAFKA_GROUP_ID", topic("group")),
            ("KAFKA_PAYMENT_GROUP_ID", topic("payment-group")),
            ("KAFKA_MESSAGE_GROUP_ID", topic("message-group")),
            ("KAFKA_TOPIC_PAYMENT_REQUESTS", topic("payment-requests")),
            ("KAFKA_TOPIC_PAYMENTS", topic("payment-events")),
            ("KAFKA_TOPIC_BOOKINGS", topic("flight-bookings")),
            ("KAFKA_TOPIC_EVENTS", topic("airline-events")),
            ("KAFKA_PARTITIONS", "4".to_owned()),
            ("KAFKA_REPLICATION", "1".to_owned()),
            ("DB_MAX_CONNECTIONS", "12".to_owned()),
            ("PAYMENT_LATENCY", "5ms".to_owned()),
            ("PAYMENT_REDRIVE_AFTER", "3s".to_owned()),
            ("SWEEP_INTERVAL", "200ms".to_owned()),
        ];
        Self {
            servers: Vec::new(),
            settings: settings.map(|(name, value)| (name.to_owned(), value)).into(),
            directory: tempfile::tempdir().expect("a directory"),
            client: http_client(),
        }
    }

    /// One setting more, or another value, for those that start from now on.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.set(name, value);
        self
    }

    /// The same, in place.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.insert(name.to_owned(), value.to_owned());
    }

    /// A setting's value.
    pub fn setting(&self, name: &str) -> &str {
        &self.settings[name]
    }

    /// All settings.
    pub fn settings(&self) -> Vec<(&str, &str)> {
        self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// The same, for processes that a test starts itself.
    pub fn owned_settings(&self) -> Vec<(String, String)> {
        self.settings.clone().into_iter().collect()
    }

    /// Starts that many more.
    #[must_use]
    pub async fn start(mut self, count: usize) -> Self {
        self.start_more(count).await;
        self
    }

    /// The same, in place.
    pub async fn start_more(&mut self, count: usize) {
        for _ in 0..count {
            let server = Server::start(self.directory.path(), &self.settings()).await;
            self.servers.push(server);
        }
    }

    /// A path of one of them.
    pub fn url(&self, replica: usize, path: &str) -> String {
        format!("{}{path}", self.servers[replica].base)
    }

    /// Creates a flight through the first; gives its id.
    pub async fn add_flight(&self, seats: i32) -> i64 {
        let created = self.client.post(self.url(0, "/api/v1/flights")).json(&flight(seats));
        let created: Value = created.send().await.expect("sent").json().await.expect("JSON");
        created["id"].as_i64().unwrap_or_else(|| panic!("no flight: {created}"))
    }

    /// Reads what one of them answers.
    pub async fn get(&self, replica: usize, path: &str) -> Value {
        let answer = self.client.get(self.url(replica, path)).send().await.expect("an answer");
        answer.json().await.expect("JSON")
    }

    /// A counter or gauge of one of them, summed over its labels.
    pub async fn metric(&self, replica: usize, name: &str) -> f64 {
        let answer =
            self.client.get(self.url(replica, "/metrics")).send().await.expect("an answer");
        let text = answer.text().await.expect("text");
        let lines = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
        });
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// All bookings by number, once none is pending: their reference, status and reason.
    pub async fn settled(&self) -> HashMap<i64, (String, String, Option<String>)> {
        let url = self.setting("DATABASE_URL");
        let mut database = PgConnection::connect(url).await.expect("a connection");
        let open = "SELECT count(*) FROM payments
                     WHERE status IN ('requested', 'reversal_requested')";
        eventually("no open payment", async || {
            let open = sqlx::query_scalar::<_, i64>(open).fetch_one(&mut database).await;
            equal(open.expect("a count"), 0)
        })
        .await;
        let all = "SELECT id, payment_reference_id, status, failure_reason FROM bookings";
        let rows: Vec<(i64, String, String, Option<String>)> =
            sqlx::query_as(all).fetch_all(&mut database).await.expect("bookings");
        let rows = rows.into_iter();
        rows.map(|(id, reference, status, why)| (id, (reference, status, why))).collect()
    }

    /// Runs statements on their database, past them.
    pub async fn execute(&self, statements: &str) {
        let database = PgConnection::connect(self.setting("DATABASE_URL")).await;
        let statements = sqlx::raw_sql(AssertSqlSafe(statements));
        statements.execute(&mut database.expect("a connection")).await.expect("statements");
    }

    /// Waits until the outbox is empty.
    pub async fn outbox_is_empty(&self) {
        let mut database =
            PgConnection::connect(self.setting("DATABASE_URL")).await.expect("a connection");
        let rows = "SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM outdated_answers)";
        eventually("an empty outbox", async || {
            let rows = sqlx::query_scalar::<_, i64>(rows).fetch_one(&mut database).await;
            equal(rows.expect("a count"), 0)
        })
        .await;
    }

    /// Checks every invariant with the binary's own audit.
    pub async fn audit(&self) {
        let (code, printed) = run_with(self.directory.path(), &self.settings(), &["audit"]).await;
        assert_eq!(code, 0, "{printed}");
    }

    /// Checks that what was answered has ended, under the very reference that was answered.
    pub async fn expect_ended(&self, answered: &[Value]) {
        let bookings = self.settled().await;
        for answer in answered {
            let id = answer["booking_id"].as_i64().expect("a booking's number");
            let (reference, status, why) = bookings.get(&id).expect("an answered booking is there");
            assert_eq!(answer["payment_reference_id"], **reference);
            let has_ended = status == "completed" || why.as_deref() == Some("payment_declined");
            assert!(has_ended, "booking {id} is {status}, {why:?}");
        }
        self.audit().await;
    }
}

/// Clients that book without a pause until they are stopped.
pub struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
    answered: mpsc::UnboundedReceiver<Value>,
    accepted: Arc<AtomicUsize>,
}

impl Load {
    /// Starts that many clients on these replicas and flights.
    pub fn start(replicas: &Replicas, flights: &[i64], clients: usize) -> Self {
        let (sender, answered) = mpsc::unbounded_channel();
        let (stop, accepted) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let clients = (0..clients)
            .map(|number| {
                let client = Client {
                    client: replicas.client.clone(),
                    bases: replicas.servers.iter().map(|server| server.base.clone()).collect(),
                    flights: flights.to_vec(),
                    number,
                    stop: stop.clone(),
                    answered: sender.clone(),
                    accepted: Arc::clone(&accepted),
                };
                tokio::spawn(client.run())
            })
            .collect();
        Self { stop, clients, answered, accepted }
    }

    /// How many bookings were accepted so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Until so many more were accepted.
    pub async fn accepts(&self, more: usize) {
        let until = self.accepted() + more;
        eventually(format!("{more} more accepted bookings"), async || {
            let accepted = self.accepted();
            if accepted < until { Err(accepted) } else { Ok(()) }
        })
        .await;
    }

    /// Ends it; gives every booking that was answered 201.
    pub async fn stop(mut self) -> Vec<Value> {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.expect("no client panics");
        }
        let mut answered = Vec::new();
        while let Some(booking) = self.answered.recv().await {
            answered.push(booking);
        }
        answered
    }
}

struct Client {
    client: reqwest::Client,
    bases: Vec<String>,
    flights: Vec<i64>,
    number: usize,
    stop: Arc<AtomicBool>,
    answered: mpsc::UnboundedSender<Value>,
    accepted: Arc<AtomicUsize>,
}

impl Client {
    async fn run(self) {
        for round in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let base = &self.bases[(self.number + round) % self.bases.len()];
            let mut body = booking(self.flights[(self.number + round) % self.flights.len()], 1);
            if round % 5 == 0 {
                body["payment_method"] = json!("pm_card_declined");
            }
            let sent = self.client.post(format!("{base}/api/v1/bookings")).json(&body).send().await;
            // A killed replica does not answer; the next one does.
            let Ok(response) = sent else { continue };
            match response.status().as_u16() {
                201 => {
                    // An answer that was cut off was not given.
                    let Ok(booking) = response.json().await else { continue };
                    self.accepted.fetch_add(1, Ordering::Relaxed);
                    self.answered.send(booking).expect("the test listens");
                }
                503 => {
                    assert!(response.headers().contains_key("retry-after"));
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                status => panic!("{status}: {}", response.text().await.unwrap_or_default()),
            }
        }
    }
}
