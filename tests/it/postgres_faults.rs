//! PostgreSQL aborts, hangs or is unreachable: a booking succeeds on retry, or its caller gets a 503. And a read
//! replica that is behind or gone.

use crate::support::process::{Server, http_client};
use crate::support::proxy::Proxy;
use crate::support::services::Service;
use crate::support::{TestDatabase, booking, equal, eventually, flight, within};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// One service on its own database, in which the test plants faults.
struct Faulty {
    server: Server,
    client: reqwest::Client,
    /// The database itself, past the service.
    database: PgConnection,
    flight: i64,
    _directory: TempDir,
}

impl Faulty {
    /// On the database, or on another way to it.
    async fn start(database: &str, url: &str, settings: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        // Longer than any of the store's bounds, so that it is they that are seen.
        let patient = [("DATABASE_URL", url), ("SERVER_WRITE_TIMEOUT", "2m")];
        let server = Server::start(directory.path(), &[&patient[..], settings].concat()).await;
        let client = http_client();
        let created = client.post(format!("{}/api/v1/flights", server.base)).json(&flight(100));
        let created: Value = created.send().await.expect("sent").json().await.expect("JSON");
        let flight = created["id"].as_i64().expect("a flight");
        let database = PgConnection::connect(database).await.expect("a connection");
        Self { server, client, database, flight, _directory: directory }
    }

    async fn new() -> Self {
        let url = TestDatabase::postgres().await.url();
        Self::start(&url, &url, &[]).await
    }

    async fn execute(&mut self, statements: &str) {
        let statements = AssertSqlSafe(statements);
        sqlx::raw_sql(statements).execute(&mut self.database).await.expect("statements");
    }

    /// Has each new booking do this first, in its own statement.
    async fn strike(&mut self, with: &str) {
        self.execute(&format!(
            "CREATE SEQUENCE IF NOT EXISTS struck;
             CREATE OR REPLACE FUNCTION strike() RETURNS trigger LANGUAGE plpgsql
                 AS $$ BEGIN {with} RETURN NEW; END $$;
             CREATE OR REPLACE TRIGGER strike BEFORE INSERT ON bookings
                 FOR EACH ROW EXECUTE FUNCTION strike();"
        ))
        .await;
    }

    async fn book(&self) -> (u16, Value) {
        let url = format!("{}/api/v1/bookings", self.server.base);
        let post = self.client.post(url).json(&booking(self.flight, 1));
        let answer = post.send().await.expect("an answer");
        let status = answer.status().as_u16();
        assert_eq!(status == 503, answer.headers().contains_key("retry-after"));
        (status, answer.json().await.expect("JSON"))
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.client.get(format!("{}{path}", self.server.base)).send().await;
        answer.expect("an answer").json().await.expect("JSON")
    }

    async fn expect_unavailable(&self) {
        let (status, problem) = self.book().await;
        assert_eq!((status, &problem["code"]), (503, &json!("unavailable")), "{problem}");
    }

    /// Books once more, sees it completed, and that nothing else was sold.
    async fn expect_sold(&self, seats: i64) {
        let (status, placed) = self.book().await;
        assert_eq!(status, 201, "{placed}");
        let path = format!("/api/v1/flights/{}", self.flight);
        let flight = eventually("a flight without a hold", async || {
            let flight = self.get(&path).await;
            if flight["held_seats"] == 0 { Ok(flight) } else { Err(flight) }
        })
        .await;
        assert_eq!(flight["available_seats"], 100 - seats, "{flight}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_aborts_once_succeeds_on_retry() {
    let mut faulty = Faulty::new().await;
    for (state, sold) in [("40P01", 1), ("40001", 2), ("57014", 3)] {
        faulty
            .strike(&format!(
                "IF nextval('struck') = 1 THEN RAISE 'struck' USING ERRCODE = '{state}'; END IF;"
            ))
            .await;
        faulty.expect_sold(sold).await;
        faulty.execute("DROP SEQUENCE struck").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_always_aborts_is_answered_with_503_and_sells_nothing() {
    let mut faulty = Faulty::new().await;
    for state in ["40P01", "40001", "57014", "55P03", "28000", "53300"] {
        faulty.strike(&format!("RAISE 'struck' USING ERRCODE = '{state}';")).await;
        faulty.expect_unavailable().await;
    }
    faulty.strike("").await;
    faulty.expect_sold(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_statement_times_out_and_is_retried() {
    let mut faulty = Faulty::new().await;
    faulty.strike("IF nextval('struck') = 1 THEN PERFORM pg_sleep(300); END IF;").await;
    let asked_at = Instant::now();
    faulty.expect_sold(1).await;
    assert!(asked_at.elapsed() > Duration::from_secs(9), "by statement_timeout");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_table_is_answered_with_503() {
    let mut faulty = Faulty::new().await;
    faulty.execute("BEGIN; LOCK TABLE flights").await;
    faulty.expect_unavailable().await;
    faulty.execute("ROLLBACK").await;
    faulty.expect_sold(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_primary_is_abandoned_and_found_again() {
    let url = TestDatabase::postgres().await.url();
    let (user, place) = url.split_once('@').expect("a user");
    let (server, name) = place.split_once('/').expect("a database");
    let proxy = Proxy::start("127.0.0.1:0", server).await;
    let way = format!("{user}@{}/{name}", proxy.address);
    let mut faulty = Faulty::start(&url, &way, &[]).await;
    // What the server does about clients that are lost: the relay's and the sweeper's leases end.
    faulty.execute("CREATE TABLE told (what TEXT)").await;
    faulty
        .strike(
            "INSERT INTO told SELECT concat_ws(' ', current_setting('tcp_keepalives_idle'),
             current_setting('tcp_keepalives_interval'), current_setting('tcp_keepalives_count'),
             current_setting('tcp_user_timeout'));",
        )
        .await;
    faulty.expect_sold(1).await;
    let told: String = sqlx::query_scalar("SELECT what FROM told LIMIT 1")
        .fetch_one(&mut faulty.database)
        .await
        .expect("a row");
    assert_eq!(told, "5 2 3 10000");

    proxy.lose_connections();
    let asked_at = Instant::now();
    faulty.expect_sold(2).await;
    let waited = asked_at.elapsed();
    assert!(waited < Duration::from_secs(50), "{waited:?}");
    // Connections that lead nowhere were closed, not kept for the next caller.
    let asked_at = Instant::now();
    for sold in 3..=8 {
        faulty.expect_sold(sold).await;
    }
    let waited = asked_at.elapsed();
    assert!(waited < Duration::from_secs(30), "{waited:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_searches_read_the_replica_and_they_fall_back_to_the_primary() {
    let url = TestDatabase::postgres().await.url();
    let (_, place) = url.split_once('@').expect("a user");
    let (server, name) = place.split_once('/').expect("a database");
    let port = server.rsplit(':').next().expect("a port");
    // A replica that receives no changes: another server with a database of the same name.
    let replica = Service::start("postgres").await;
    let replica_url = replica.address("TEST_DATABASE_URL");
    let behind = {
        let mut admin = PgConnection::connect(replica_url).await.expect("a connection");
        let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::raw_sql(create).execute(&mut admin).await.expect("a database");
        format!("{}/{name}", replica_url.rsplit_once('/').expect("a database").0)
    };
    let replica_place = behind.split(['@', '/']).nth(3).expect("a place");
    let proxy = Proxy::start(&format!("127.0.0.2:{port}"), replica_place).await;
    let empty = Faulty::start(&behind, &behind, &[]).await;
    let mut replica_database = empty.database;
    assert!(empty.server.terminate().await);

    let read_host = proxy.address.ip().to_string();
    let faulty = Faulty::start(&url, &url, &[("DB_READ_HOST", &read_host)]).await;
    let search = "/api/v1/flights/search?source=Delhi&destination=Mumbai&date=2025-01-20";
    let seats =
        async |faulty: &Faulty| faulty.get(search).await["flights"][0]["available_seats"].clone();
    faulty.expect_sold(1).await;
    assert_eq!(seats(&faulty).await, 100, "the replica is behind");
    let placed = faulty.book().await.1;
    let path = format!("/api/v1/bookings/{}", placed["booking_id"]);
    assert_eq!(faulty.get(&path).await["id"], placed["booking_id"], "the primary knows at once");

    // No commit ends what was read from a replica, so it is kept for a second.
    assert_eq!(seats(&faulty).await, 100);
    sqlx::raw_sql("UPDATE flights SET available_seats = 60, blocked_seats = 40")
        .execute(&mut replica_database)
        .await
        .expect("it catches up");
    let bound = Duration::from_secs(30);
    within(bound, "the replica's new answer", async || equal(seats(&faulty).await, 60)).await;

    drop(proxy);
    within(bound, "the primary's answer", async || equal(seats(&faulty).await, 98)).await;
    assert!(faulty.server.terminate().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_are_durable_even_if_the_server_turns_synchronous_commit_off() {
    let url = TestDatabase::postgres().await.url();
    let mut session = PgConnection::connect(&url).await.expect("a connection");
    let name = url.rsplit_once('/').expect("a database").1;
    let unsafe_setting = format!("ALTER DATABASE {name} SET synchronous_commit = off");
    sqlx::raw_sql(AssertSqlSafe(unsafe_setting)).execute(&mut session).await.expect("set");
    let mut faulty = Faulty::start(&url, &url, &[]).await;
    faulty.execute("CREATE TABLE told (what TEXT)").await;
    faulty.strike("INSERT INTO told SELECT current_setting('synchronous_commit');").await;
    faulty.expect_sold(1).await;
    let told: String = sqlx::query_scalar("SELECT what FROM told LIMIT 1")
        .fetch_one(&mut faulty.database)
        .await
        .expect("a row");
    assert_eq!(told, "on");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_of_postgresql_no_booking_meets_a_dead_connection() {
    let service = Service::start("postgres").await;
    let url = service.address("TEST_DATABASE_URL");
    let faulty = Faulty::start(url, url, &[]).await;
    // As many connections as the pool has.
    let path = format!("/api/v1/flights/{}", faulty.flight);
    for _ in 0..4 {
        futures::future::join_all((0..100).map(|_| faulty.get(&path))).await;
    }
    service.stop().await;
    service.start_again().await;
    for _ in 0..20 {
        let (status, placed) = faulty.book().await;
        assert_eq!(status, 201, "{placed}");
    }
    assert!(faulty.server.terminate().await);
}
