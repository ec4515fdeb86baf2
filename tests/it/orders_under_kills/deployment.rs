//! The service as processes that a test kills: one on SQLite, or two replicas on PostgreSQL, Redis and Kafka.

use crate::support::callers::Bases;
use crate::support::deployment::is_shared;
use crate::support::orders::flight_of_row;
use crate::support::process::{Server, http_client, run_with};
use crate::support::replicas::Replicas;
use crate::support::snapshot::Rows;
use crate::support::{TestDatabase, equal, eventually};
use serde_json::Value;
use tempfile::TempDir;

/// Enough crossing flights that most orders share one with another.
const FLIGHTS: usize = 50;
const SEATS: i32 = 4_000;

/// Flights that are soon sold out.
const SMALL_FLIGHTS: usize = 2;
const FEW_SEATS: i32 = 40;

/// Fast enough that payments and refunds are under way at any kill.
const SETTINGS: [(&str, &str); 5] = [
    ("PAYMENT_LATENCY", "5ms"),
    ("PAYMENT_REDRIVE_AFTER", "2s"),
    ("SWEEP_INTERVAL", "200ms"),
    ("RUST_LOG", "error"),
    ("MAX_PENDING_PER_USER", "0"),
];

/// What is still under way.
const OPEN: &str = "
    SELECT (SELECT count(*) FROM payments WHERE status IN ('requested', 'reversal_requested'))
         + (SELECT count(*) FROM refunds WHERE status = 'requested')
         + (SELECT count(*) FROM outbox)";

pub struct Deployment {
    pub database: TestDatabase,
    pub bases: Bases,
    servers: Vec<Option<Server>>,
    settings: Vec<(String, String)>,
    directory: TempDir,
}

impl Deployment {
    /// Starts its processes. An order that is not paid within `hold` lapses.
    pub async fn start(hold: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (database, shared) = if is_shared() {
            let replicas = Replicas::new().await;
            let url = replicas.setting("DATABASE_URL").to_owned();
            (TestDatabase::Postgres(url), replicas.owned_settings())
        } else {
            (TestDatabase::sqlite(), Vec::new())
        };
        let own = SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut settings = [shared, own.into()].concat();
        settings.push(("DATABASE_URL".to_owned(), database.url()));
        settings.push(("LOCK_TTL".to_owned(), hold.to_owned()));
        let processes = if is_shared() { 2 } else { 1 };
        let mut deployment = Self {
            database,
            bases: Bases::new(vec![String::new(); processes]),
            servers: (0..processes).map(|_| None).collect(),
            settings,
            directory,
        };
        for number in 0..processes {
            deployment.start_process(number).await;
        }
        deployment
    }

    /// Adds flights that any order in ascending order connects.
    pub async fn add_flights(&self) -> Vec<i64> {
        let (client, url) = (http_client(), format!("{}/api/v1/flights", self.bases.of(0)));
        let mut flights = Vec::new();
        for number in 0..FLIGHTS {
            let seats = if number < SMALL_FLIGHTS { FEW_SEATS } else { SEATS };
            let created = client.post(&url).json(&flight_of_row(number, seats)).send().await;
            let created: Value = created.expect("sent").json().await.expect("JSON");
            flights.push(created["id"].as_i64().unwrap_or_else(|| panic!("no flight: {created}")));
        }
        flights
    }

    /// `kill -9` of one process, in turn, and its start.
    pub async fn kill_and_restart(&mut self, turn: usize) {
        let number = turn % self.servers.len();
        self.servers[number].take().expect("it runs").kill().await;
        self.start_process(number).await;
    }

    async fn start_process(&mut self, number: usize) {
        let server = Server::start(self.directory.path(), &self.settings()).await;
        let mut bases: Vec<_> = (0..self.servers.len()).map(|other| self.bases.of(other)).collect();
        bases[number].clone_from(&server.base);
        self.bases.set(bases);
        self.servers[number] = Some(server);
    }

    fn settings(&self) -> Vec<(&str, &str)> {
        self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// Waits until no payment, refund or message is under way.
    pub async fn comes_to_rest(&self) {
        let mut rows = Rows::open(&self.database).await;
        eventually("an end of all that is under way", async || equal(rows.count(OPEN).await, 0))
            .await;
    }

    /// Checks every invariant with the binary's own audit.
    pub async fn audit(&self) {
        let (code, printed) = run_with(self.directory.path(), &self.settings(), &["audit"]).await;
        assert_eq!(code, 0, "{printed}");
    }
}
