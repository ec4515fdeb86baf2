//! Each setting's effect on the running binary, and every combination of services.

use crate::support::collector::Collector;
use crate::support::deployment::required;
use crate::support::process::{Server, http_client, run_with};
use crate::support::redis::Server as RedisServer;
use crate::support::redis::command_at;
use crate::support::replicas::Replicas;
use crate::support::services::Service;
use crate::support::{TestDatabase, booking, equal, eventually, flight};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::time::Duration;

const SEARCH: &str = "/api/v1/flights/search?source=Delhi&destination=Mumbai&date=2025-01-20";

async fn post(base: &str, path: &str, body: &Value) -> Value {
    let post = http_client().post(format!("{base}{path}")).header("prefer", "wait=20").json(body);
    post.send().await.expect("sent").json().await.expect("JSON")
}

async fn get(base: &str, path: &str) -> Value {
    let answer = http_client().get(format!("{base}{path}")).send().await.expect("an answer");
    answer.json().await.expect("JSON")
}

/// Creates a flight of that many seats, sells one, and sees it searched for.
async fn sells(base: &str, seats: i32) {
    let created = post(base, "/api/v1/flights", &flight(seats)).await;
    let id = created["id"].as_i64().unwrap_or_else(|| panic!("no flight: {created}"));
    let placed = post(base, "/api/v1/bookings", &booking(id, 1)).await;
    assert_eq!(placed["status"], "completed", "{placed}");
    shows(base, seats - 1).await;
}

/// A search comes to show the one flight with that many seats.
async fn shows(base: &str, seats: i32) {
    eventually(format!("a search that shows {seats} seats"), async || {
        let found = get(base, SEARCH).await;
        let is_shown = found["count"] == 1 && found["flights"][0]["available_seats"] == seats;
        if is_shown { Ok(()) } else { Err(found) }
    })
    .await;
}

/// For how long Redis keeps a search's answer, in ms. The change before may end an answer that was
/// already new, so it is searched for until Redis has one.
async fn shared_for(base: &str, database: &str) -> i64 {
    eventually("one answer in Redis", async || {
        get(base, SEARCH).await;
        let keys: Vec<String> = command_at(database, &["KEYS", "search:*delhi#mumbai#*"]).await;
        let [key] = &keys[..] else { return Err(keys) };
        let kept_ms: i64 = command_at(database, &["PTTL", key]).await;
        // -2: it has ended since it was listed.
        if kept_ms == -2 { Err(keys) } else { Ok(kept_ms) }
    })
    .await
}

/// Waits until health shows these statuses of the database, Redis and Kafka: on a busy machine a first
/// answer may take longer than health waits for it.
async fn health_shows(base: &str, statuses: [&str; 3]) {
    eventually(format!("{statuses:?} in the health answer"), async || {
        let checks = &get(base, "/api/v1/health").await["checks"];
        let found = ["database", "redis", "kafka"]
            .map(|part| checks[part]["status"].as_str().expect("a status").to_owned());
        equal(found, statuses)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_postgresql_password_setting_is_used() {
    let postgres = Service::start("postgres").await;
    let server = postgres.address("TEST_DATABASE_URL");
    let mut admin = PgConnection::connect(server).await.expect("a connection");
    let rules: String =
        sqlx::query_scalar("SHOW hba_file").fetch_one(&mut admin).await.expect("a file");
    let statements = format!(
        "SET password_encryption = 'scram-sha-256';
         CREATE ROLE booking LOGIN PASSWORD 'p@ss/wörd';
         COPY (VALUES ('host all booking all scram-sha-256'), ('host all all all trust'))
           TO '{rules}';
         SELECT pg_reload_conf();"
    );
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut admin).await.expect("a user");
    // One statement alone, since it may be in no transaction.
    sqlx::raw_sql("CREATE DATABASE booking OWNER booking").execute(&mut admin).await.expect("made");

    let (_, place) = server.split_once('@').expect("a user");
    let (host, port) = place.split('/').next().expect("a server").split_once(':').expect("a port");
    let with = |password| {
        let (host, port) = (("DB_HOST", host), ("DB_PORT", port));
        [host, port, ("DB_USER", "booking"), ("DB_NAME", "booking"), ("DB_PASSWORD", password)]
    };
    let directory = tempfile::tempdir().expect("a directory");
    let (code, printed) = run_with(directory.path(), &with("another"), &["migrate"]).await;
    assert_eq!(code, 1, "{printed}");
    assert!(printed.contains("password authentication failed"), "{printed}");
    assert!(!printed.contains("another"), "{printed}");
    let server = Server::start(directory.path(), &with("p@ss/wörd")).await;
    sells(&server.base, 9).await;
    assert!(server.terminate().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_password_database_and_cache_ttl_settings_are_used() {
    let redis = RedisServer::start_with(&["--requirepass", "p@ss/1"]).await;
    let directory = tempfile::tempdir().expect("a directory");
    let port = redis.port();
    let with = |password| {
        let place = [("REDIS_HOST", "127.0.0.1"), ("REDIS_PORT", port.as_str()), ("REDIS_DB", "3")];
        [&place[..], &[("REDIS_PASSWORD", password), ("CACHE_TTL", "10m")]].concat()
    };
    let server = Server::start(directory.path(), &with("p@ss/1")).await;
    health_shows(&server.base, ["ok", "ok", "embedded"]).await;
    sells(&server.base, 9).await;

    let database = |number| format!("redis://:p%40ss%2F1@127.0.0.1:{port}/{number}");
    let kept_ms = shared_for(&server.base, &database(3)).await;
    assert!((500_000..=600_000).contains(&kept_ms), "{kept_ms} ms");
    let elsewhere: i64 = command_at(&database(0), &["DBSIZE"]).await;
    assert_eq!(elsewhere, 0);
    assert!(server.terminate().await);

    let server = Server::start(directory.path(), &with("another")).await;
    health_shows(&server.base, ["ok", "down", "embedded"]).await;
    assert!(server.terminate().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_port_setting_is_used() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("an address").port().to_string();
    drop(free);
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path(), &[("SERVER_PORT", &port)]).await;
    assert_eq!(server.base, format!("http://127.0.0.1:{port}"));
    assert_eq!(get(&server.base, "/api/v1/health").await["status"], "ok");
    assert!(server.terminate().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn tracing_endpoint_service_name_and_ratio_settings_are_used() {
    let directory = tempfile::tempdir().expect("a directory");
    for (enabled, ratio, is_sent) in
        [("true", "1", true), ("true", "0", false), ("false", "1", false)]
    {
        let collector = Collector::start().await;
        let settings = [
            ("TRACING_ENABLED", enabled),
            ("TRACING_ENDPOINT", collector.endpoint.as_str()),
            ("TRACING_SERVICE_NAME", "seats"),
            ("TRACING_ENVIRONMENT", "rehearsal"),
            ("TRACING_SAMPLER_RATIO", ratio),
        ];
        let server = Server::start(directory.path(), &settings).await;
        get(&server.base, SEARCH).await;
        assert!(server.terminate().await, "a stop sends what there is");
        assert_eq!(!collector.spans().is_empty(), is_sent, "{enabled}, {ratio}");
        if is_sent {
            let resource = collector.resource();
            assert_eq!(resource["service.name"], "seats");
            assert!(resource.values().any(|value| value == "rehearsal"), "{resource:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sqlite_services_on_one_redis_share_no_answers() {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let settings = [("REDIS_URL", url.as_str())];
    let directories = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let mut servers = Vec::new();
    for directory in &directories {
        servers.push(Server::start(directory.path(), &settings).await);
    }
    // The same route and day, in numbers of seats that tell whose answer it is.
    for (server, seats) in servers.iter().zip([9, 50]) {
        health_shows(&server.base, ["ok", "ok", "embedded"]).await;
        sells(&server.base, seats).await;
    }
    for _ in 0..3 {
        // After 100 ms a process asks Redis again whether its answer is still valid.
        tokio::time::sleep(Duration::from_millis(110)).await;
        for (server, seats) in servers.iter().zip([8, 49]) {
            let found = get(&server.base, SEARCH).await;
            assert_eq!(found["flights"][0]["available_seats"], seats, "{found}");
        }
    }
    // A service that restarts finds the answers that it had shared.
    for server in servers {
        assert!(server.terminate().await);
    }
    let keys: Vec<String> = command_at(&url, &["KEYS", "search:*delhi#mumbai#*"]).await;
    assert_eq!(keys.len(), 2, "{keys:?}");
    let server = Server::start(directories[0].path(), &settings).await;
    shows(&server.base, 8).await;
    assert!(server.terminate().await);
    let again: Vec<String> = command_at(&url, &["KEYS", "search:*delhi#mumbai#*"]).await;
    assert_eq!(again.len(), 2, "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_works_with_kafka() {
    let replicas =
        Replicas::new().await.with("DATABASE_URL", "").with("REDIS_URL", "").start(1).await;
    let base = &replicas.servers[0].base;
    health_shows(base, ["ok", "embedded", "ok"]).await;
    sells(base, 9).await;
    replicas.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_works_without_redis_and_kafka() {
    let directory = tempfile::tempdir().expect("a directory");
    let url = TestDatabase::postgres().await.url();
    let server = Server::start(directory.path(), &[("DATABASE_URL", &url)]).await;
    health_shows(&server.base, ["ok", "embedded", "embedded"]).await;
    sells(&server.base, 9).await;
    assert!(server.terminate().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_work_without_redis() {
    let replicas = Replicas::new().await.with("REDIS_URL", "").start(2).await;
    let [one, other] = &replicas.servers[..] else { panic!("two") };
    health_shows(&one.base, ["ok", "embedded", "ok"]).await;
    sells(&one.base, 9).await;
    shows(&other.base, 8).await;
    let placed = post(&other.base, "/api/v1/bookings", &booking(1, 2)).await;
    assert_eq!(placed["status"], "completed", "{placed}");
    shows(&one.base, 6).await;
    replicas.expect_ended(&[placed]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_answers_on_a_redis_cluster() {
    let nodes = required("TEST_REDIS_CLUSTER_URL");
    let nodes: Vec<_> = nodes.split(',').map(|url| url.trim_start_matches("redis://")).collect();
    let replicas = Replicas::new()
        .await
        .with("REDIS_URL", "")
        .with("REDIS_HOST", &nodes.join(", "))
        .with("REDIS_CLUSTER", "true")
        .start(2)
        .await;
    let [one, other] = &replicas.servers[..] else { panic!("two") };
    health_shows(&one.base, ["ok"; 3]).await;
    sells(&one.base, 900).await;
    // Each sale invalidates the answer: one replica loads it and shares it, and the other fetches it,
    // unless the machine is so busy that a call takes Redis longer than 50 ms.
    let mut left = 899;
    eventually("a shared answer that the other replica fetched", async || {
        let sold = post(&one.base, "/api/v1/bookings", &booking(1, 1)).await;
        assert_eq!(sold["status"], "completed", "{sold}");
        left -= 1;
        shows(&one.base, left).await;
        shows(&other.base, left).await;
        let hits = "cache_requests_total{layer=\"redis\",result=\"hit\"}";
        replicas.metric(0, hits).await + replicas.metric(1, hits).await > 0.0
    })
    .await;
    let placed = post(&other.base, "/api/v1/bookings", &booking(1, 2)).await;
    assert_eq!(placed["status"], json!("completed"), "{placed}");
    replicas.expect_ended(&[placed]).await;
}
