//! A flight's version can outgrow its INTEGER column: the metrics, the alert and the rewrite to BIGINT.

use crate::support::process::{Server, http_client, run_with};
use crate::support::{TestDatabase, booking};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

const REWRITE: [&str; 2] = ["migrate", "--rewrite"];
const TYPE: &str = "SELECT format_type(atttypid, NULL) FROM pg_attribute
                     WHERE attrelid = 'flights'::regclass AND attname = 'version'";

/// A service on PostgreSQL that is started and stopped.
struct City {
    url: String,
    client: Client,
    directory: tempfile::TempDir,
}

impl City {
    async fn new() -> Self {
        let url = TestDatabase::postgres().await.url();
        let directory = tempfile::tempdir().expect("a directory");
        Self { url, client: http_client(), directory }
    }

    async fn start(&self) -> Server {
        let settings = [("DATABASE_URL", &*self.url), ("PAYMENT_LATENCY", "0s")];
        Server::start(self.directory.path(), &settings).await
    }

    async fn run(&self, arguments: &[&str]) -> (i32, String) {
        run_with(self.directory.path(), &[("DATABASE_URL", &self.url)], arguments).await
    }

    async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.expect("a connection")
    }

    async fn column_type(&self) -> String {
        let mut connection = self.connect().await;
        sqlx::query_scalar(TYPE).fetch_one(&mut connection).await.expect("a type")
    }

    /// A flight without bookings, at this version.
    async fn add_flight(&self, version: i64) -> i64 {
        let mut connection = self.connect().await;
        let flight = AssertSqlSafe(format!(
            "INSERT INTO flights (source, destination, route, timestamp, available_seats, held_seats,
                    blocked_seats, total_seats, flight_status, price, currency, version, created_at,
                    updated_at)
             SELECT 'Delhi', 'Mumbai', 'delhi#mumbai', now() + interval '9 days', 10, 0, 0, 10,
                    'scheduled', 2500, 'INR', {version}, now(), now() RETURNING id"
        ));
        sqlx::query_scalar(flight).fetch_one(&mut connection).await.expect("a flight")
    }

    async fn change(&self, server: &Server, flight: i64, version: i64) -> (StatusCode, Value) {
        let url = format!("{}/api/v1/flights/{flight}", server.base);
        // Another price for each version, so that there is something to write.
        let body = json!({ "version": version, "price": version % 1_000 + 1 });
        let answer = self.client.put(url).json(&body).send().await.expect("an answer");
        (answer.status(), answer.json().await.expect("JSON"))
    }

    async fn metric(&self, server: &Server, name: &str) -> String {
        let url = format!("{}/metrics", server.base);
        let text = self.client.get(url).send().await.expect("an answer").text().await;
        let text = text.expect("text");
        let value = text.lines().find_map(|line| line.strip_prefix(name)).expect("a metric");
        value.trim().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flight_at_the_maximum_version_sells_again_after_a_rewrite() {
    let place = City::new().await;
    let last = i64::from(i32::MAX);
    let flight = place.add_flight(last - 1).await;
    let server = place.start().await;
    assert_eq!(place.metric(&server, "flight_version_limit ").await, last.to_string());
    let (status, changed) = place.change(&server, flight, last - 1).await;
    assert_eq!(
        (status, &changed["flight"]["version"]),
        (StatusCode::OK, &json!(last)),
        "{changed}"
    );
    assert_eq!(place.metric(&server, "flight_version_max ").await, last.to_string());
    let (status, refused) = place.change(&server, flight, last).await;
    assert!(status.is_server_error(), "{refused}");

    let (code, printed) = place.run(&REWRITE).await;
    assert_eq!(code, 1, "{printed}");
    assert!(printed.contains("a service runs on this database"), "{printed}");
    assert!(server.terminate().await);
    let (code, printed) = place.run(&REWRITE).await;
    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains("is rewritten and has 64 bits now"), "{printed}");
    let (code, printed) = place.run(&REWRITE).await;
    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains("nothing to rewrite"), "{printed}");

    let server = place.start().await;
    assert_ne!(place.metric(&server, "flight_version_limit ").await, last.to_string());
    let (status, changed) = place.change(&server, flight, last).await;
    assert_eq!(
        (status, &changed["flight"]["version"]),
        (StatusCode::OK, &json!(last + 1)),
        "{changed}"
    );
    let bookings = format!("{}/api/v1/bookings", server.base);
    let placed = place.client.post(&bookings).header("prefer", "wait=10");
    let placed = placed.json(&booking(flight, 2)).send().await.expect("an answer");
    let placed: Value = placed.json().await.expect("JSON");
    assert_eq!(placed["status"], "completed", "{placed}");
    let id = placed["booking_id"].as_i64().expect("a number");
    let cancel = place.client.post(format!("{bookings}/{id}/cancel")).json(&json!({}));
    let cancelled = cancel.send().await.expect("an answer");
    assert!(cancelled.status().is_success(), "{cancelled:?}");
    let flights = format!("{}/api/v1/flights/{flight}", server.base);
    let read = place.client.get(flights).send().await.expect("an answer");
    let read: Value = read.json().await.expect("JSON");
    assert_eq!((&read["available_seats"], &read["version"]), (&json!(10), &json!(last + 4)));
    assert_eq!(place.metric(&server, "flight_version_max ").await, (last + 4).to_string());
    assert!(server.terminate().await);
    assert_eq!(place.run(&["audit"]).await.0, 0);
}

#[tokio::test]
async fn a_rewrite_gives_up_while_another_session_locks_the_table() {
    let place = City::new().await;
    let mut other = place.connect().await;
    let keeps = "BEGIN; LOCK TABLE flights IN ACCESS SHARE MODE";
    sqlx::raw_sql(keeps).execute(&mut other).await.expect("a lock");
    let (code, printed) = place.run(&REWRITE).await;
    assert_eq!(code, 1, "{printed}");
    assert!(printed.contains("another session locks the table `flights`"), "{printed}");
    assert_eq!(place.column_type().await, "integer");
    other.close().await.expect("closed");
    let (code, printed) = place.run(&REWRITE).await;
    assert_eq!(code, 0, "{printed}");
    assert_eq!(place.column_type().await, "bigint");
}

#[tokio::test]
async fn a_rewrite_happens_only_on_request_and_never_on_sqlite() {
    let place = City::new().await;
    let (code, printed) = place.run(&["migrate"]).await;
    assert_eq!(code, 0, "{printed}");
    assert_eq!(place.column_type().await, "integer");
    let (code, printed) = crate::support::process::run(place.directory.path(), &REWRITE).await;
    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains("nothing to rewrite"), "{printed}");
}
